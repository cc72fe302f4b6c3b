"""Handovers: who comes of age next, and which of a guardian's yeses end by it."""

from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from consent_service.core import hearing
from consent_service.core.clients import Client
from consent_service.core.consent import StateName
from consent_service.core.instants import MILLISECOND, local_date
from consent_service.core.policy import Basis, Policy
from consent_service.core.policy import Handover as Rule
from consent_service.core.projection import SubjectState
from consent_service.operations.checks import policy_of
from consent_service.operations.people import EARLIEST_BIRTH, seen_in_turns
from consent_service.store import handovers, projection
from consent_service.store.db import ReadTx

_YEAR = 366


@dataclass(frozen=True, slots=True)
class Handover:
    """A ward who comes of age on a day, and what guardians have said yes to that is needed and lasts until then.

    `ends_at` is when these yeses end by it, None where the policy keeps them.
    """

    subject: str
    of_age_on: date
    ends_at: datetime | None
    purposes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Handovers:
    """A page of them; `next` goes into `after` for the next page, None at the end."""

    items: tuple[Handover, ...]
    next: str | None


async def forecast(tx: ReadTx, client: Client, *, until: date, after: str, limit: int, zone: ZoneInfo) -> Handovers:
    """Who comes of age from now until the end of a day, of those for whom a guardian's yes stands."""
    facts = await projection.facts_for(tx, (), ())
    policy = await policy_of(tx, facts)
    first, last = _births(policy, local_date(tx.now, zone), until)
    names = await handovers.wards_born(tx, first, last, after=after, limit=limit)
    seen = [state async for state in seen_in_turns(tx, client, names)]
    items = [one for state in seen if (one := _handover(state, policy, client, until, facts.at, zone))]
    return Handovers(tuple(items), names[-1] if len(names) == limit else None)


def _births(policy: Policy, today: date, until: date) -> tuple[date, date]:
    """Between which days those were born who can come of age in between."""
    ages = [rule.under_age for rule in policy.minor_rules] or [0]
    first = today.toordinal() - (max(ages) + 1) * _YEAR
    last = until.toordinal() - min(ages) * (_YEAR - 1) + 1
    return date.fromordinal(max(first, EARLIEST_BIRTH.toordinal())), date.fromordinal(max(1, last))


def _handover(
    state: SubjectState, policy: Policy, client: Client, until: date, now: datetime, zone: ZoneInfo
) -> Handover | None:
    majority = hearing.majority(state, policy, now, zone)
    since = majority.of_age_from
    if since is None or since <= now or local_date(since, zone) > until:
        return None
    then = since - MILLISECOND
    yeses = tuple(
        leaf.code
        for leaf in policy.leaves
        if leaf.basis is Basis.CONSENT
        and hearing.goes_on(state, leaf, local_date(since, zone))
        and client.may_ask_for(leaf.code)
        and hearing.state_name(hearing.outcome(state, leaf, policy, then, zone), leaf, then) is StateName.GRANTED
    )
    ends_at = None if majority.handover is Rule.KEEP else since + majority.grace
    return Handover(state.subject, local_date(since, zone), ends_at, yeses) if yeses else None
