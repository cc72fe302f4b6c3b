"""Coming of age: the day from which a person speaks for themself, by the policy's dated rules."""

import functools
from collections.abc import Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

from consent_service.core.instants import local_date, start_of_day
from consent_service.core.policy import MinorRule

FROM_BIRTH = datetime.fromisoformat("0001-01-02T00:00:00+00:00")
"""From when on a person is of age whom no rule calls a minor."""


def birthday(born: date, age: int) -> date:
    """The day on which somebody reaches an age; born on 29 February, 1 March in a year that has none."""
    year = min(born.year + age, date.max.year)
    try:
        return born.replace(year=year)
    except ValueError:
        return date(year, 3, 1)


def of_age_from(born: date | None, rules: tuple[MinorRule, ...], now: datetime, zone: ZoneInfo) -> datetime | None:
    """Since when a person is of age, or from when on they will be; None for one whose birth date is not known.

    The day begins at midnight at the school.
    """
    if not rules:
        return FROM_BIRTH
    return None if born is None else _of_age_from(born, rules, local_date(now, zone), zone)


@functools.lru_cache(maxsize=16384)
def _of_age_from(born: date, rules: tuple[MinorRule, ...], today: date, zone: ZoneInfo) -> datetime:
    return start_of_day(majority(born, rules, today), zone)


def majority(born: date, rules: Sequence[MinorRule], today: date) -> date:
    """The day since which a person has been of age without a break; or, for a minor, the first one to come.

    The first rule holds for the time before it, too.
    """
    days = [birthday(born, rule.under_age) for rule in rules]
    place = max([0, *(at for at, rule in enumerate(rules) if rule.from_ <= today)])
    if days[place] <= today:
        while place and days[place] <= rules[place].from_ and days[place - 1] < rules[place].from_:
            place -= 1
        return max(days[place], rules[place].from_) if place else days[0]
    while place + 1 < len(rules) and days[place] >= rules[place + 1].from_:
        place += 1
        days[place] = max(days[place], rules[place].from_)
    return days[place]
