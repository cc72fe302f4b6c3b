"""Coming of age: exact days at the school, leap days, and laws that change."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from consent_service.core.majority import FROM_BIRTH, birthday, majority, of_age_from
from consent_service.core.policy import MinorRule

TOKYO = ZoneInfo("Asia/Tokyo")
SIXTEEN = (MinorRule(date(2026, 11, 1), 16),)
JAPAN = (MinorRule(date(1876, 4, 1), 20), MinorRule(date(2022, 4, 1), 18))


@pytest.mark.parametrize(
    ("born", "age", "day"),
    [
        (date(2012, 6, 15), 16, date(2028, 6, 15)),
        (date(2012, 2, 29), 16, date(2028, 2, 29)),
        (date(2012, 2, 29), 18, date(2030, 3, 1)),
        (date(2012, 2, 29), 20, date(2032, 2, 29)),
    ],
)
def test_a_birthday_is_exact_and_a_leap_days_comes_on_1_march(born: date, age: int, day: date) -> None:
    assert birthday(born, age) == day


def test_the_day_begins_at_midnight_at_the_school() -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    assert of_age_from(date(2012, 6, 15), SIXTEEN, now, TOKYO) == datetime(2028, 6, 14, 15, tzinfo=UTC)


def test_without_a_birth_date_nobody_comes_of_age_and_without_a_rule_everybody_has() -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    assert of_age_from(None, SIXTEEN, now, TOKYO) is None
    assert of_age_from(None, (), now, TOKYO) == FROM_BIRTH


@pytest.mark.parametrize(
    ("born", "today", "day"),
    [
        (date(2000, 1, 1), date(2026, 1, 1), date(2020, 1, 1)),  # under the old law
        (date(2003, 5, 1), date(2026, 1, 1), date(2022, 4, 1)),  # by the change of the law
        (date(2005, 5, 1), date(2026, 1, 1), date(2023, 5, 1)),  # under the new law
        (date(2003, 5, 1), date(2021, 6, 1), date(2022, 4, 1)),  # seen beforehand
        (date(2005, 5, 1), date(2021, 6, 1), date(2023, 5, 1)),
        (date(2001, 5, 1), date(2021, 4, 1), date(2021, 5, 1)),
    ],
)
def test_a_law_that_lowers_the_age_makes_of_age_on_its_own_day(born: date, today: date, day: date) -> None:
    assert majority(born, JAPAN, today) == day


def test_a_law_that_raises_the_age_makes_minors_again() -> None:
    raised = (MinorRule(date(2000, 1, 1), 16), MinorRule(date(2030, 1, 1), 18))
    assert majority(date(2013, 1, 1), raised, date(2029, 6, 1)) == date(2029, 1, 1)
    assert majority(date(2013, 1, 1), raised, date(2030, 6, 1)) == date(2031, 1, 1)
    assert majority(date(2013, 1, 1), raised, date(2031, 6, 1)) == date(2031, 1, 1)
