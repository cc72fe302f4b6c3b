"""Asking again: what a person may be asked for now, and what not before a day."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from consent_service.core import hearing
from consent_service.core.clients import Client
from consent_service.core.consent import Action, Standing, StateName
from consent_service.core.guardianship import Authority, authority_of
from consent_service.core.instants import local_date
from consent_service.core.people import Pseudonym
from consent_service.core.policy import Basis, Policy, Purpose, Text
from consent_service.core.projection import SubjectState
from consent_service.core.voices import Outcome
from consent_service.operations import people, policies
from consent_service.store.db import ReadTx

_FOR_THE_OF_AGE = frozenset(StateName) - {StateName.GRANTED}
_FOR_A_MINOR = frozenset(
    {StateName.NEVER_ASKED, StateName.REFUSED, StateName.WITHDRAWN, StateName.EXPIRED, StateName.POLICY_CHANGED}
)


@dataclass(frozen=True, slots=True)
class Ask:
    """A leaf that the person may be asked for: why, and with which wording.

    `because` is what stands. A no is among them only when the quiet period after it is over.
    """

    purpose: str
    because: StateName
    wording: int
    text: Text


@dataclass(frozen=True, slots=True)
class Quiet:
    """A leaf that the person said no to, and may not be asked for until an instant."""

    purpose: str
    because: StateName
    until: datetime


@dataclass(frozen=True, slots=True)
class Asks:
    """What a person may be asked for now, and what they said no to too short a time ago."""

    subject: str
    policy_version: str
    asks: tuple[Ask, ...]
    quiet: tuple[Quiet, ...]
    as_of: int


async def asks(tx: ReadTx, client: Client, who: Pseudonym, *, zone: ZoneInfo) -> Asks:
    """The leaves of the policy in force that the person may be asked for now, in its order.

    Where a yes would not count, since the person has left, nobody is asked. Raises SubjectNotFound.
    """
    state, as_of = await people.seen(tx, client, who)
    policy = (await policies.in_force(tx)).policy
    today = local_date(tx.now, zone)
    going_on = [leaf for leaf in policy.leaves if client.may_ask_for(leaf.code) and hearing.goes_on(state, leaf, today)]
    outcomes = {leaf.code: hearing.outcome(state, leaf, policy, tx.now, zone) for leaf in going_on}
    leaves = [leaf for leaf in going_on if _is_wanted(leaf, outcomes[leaf.code], tx.now)]
    quiet = {leaf.code: one for leaf in leaves if (one := _quiet(leaf, state, outcomes[leaf.code], policy, tx.now))}
    of_age = not hearing.majority(state, policy, tx.now, zone).is_minor(tx.now)
    open_to = _FOR_THE_OF_AGE if of_age else _for_a_minor(state, tx.now)
    found = (_ask(leaf, outcomes[leaf.code], tx.now, open_to) for leaf in leaves if leaf.code not in quiet)
    return Asks(state.subject, policy.version, tuple(one for one in found if one), tuple(quiet.values()), as_of)


def _is_wanted(leaf: Purpose, found: Outcome, now: datetime) -> bool:
    """Whether a yes is needed; where notice suffices, only instead of one that has run out and says no since."""
    return leaf.basis is Basis.CONSENT or hearing.state_name(found, leaf, now) is StateName.EXPIRED


def _for_a_minor(state: SubjectState, now: datetime) -> Collection[StateName]:
    """Of a minor nobody is asked what an office has to settle first: a missing guardian, a proof, a disagreement."""
    guardianships = state.guardianships.values()
    may_speak = any(authority_of(one.guardian, guardianships, now) is Authority.VERIFIED for one in guardianships)
    return _FOR_A_MINOR | ({StateName.GUARDIAN_REQUIRED} if may_speak else set())


def _ask(leaf: Purpose, found: Outcome, now: datetime, open_to: Collection[StateName]) -> Ask | None:
    """One who came of age is asked while a guardian's yes still counts, too."""
    because = hearing.state_name(found, leaf, now)
    if found.ends_at is not None and StateName.OWN_CONSENT_REQUIRED in open_to:
        because = StateName.OWN_CONSENT_REQUIRED
    return Ask(leaf.code, because, leaf.wording.number, leaf.wording.text) if because in open_to else None


def _quiet(leaf: Purpose, state: SubjectState, found: Outcome, policy: Policy, now: datetime) -> Quiet | None:
    standing = found.no or found.standing
    if standing is None or standing.action is Action.GRANT:
        return None
    noes = [said for said in state.voices.of(leaf.code).values() if said.action is not Action.GRANT]
    until = max(_no_at(no) for no in (standing, *noes)) + timedelta(days=policy.quiet_period_days)
    return Quiet(leaf.code, hearing.state_name(found, leaf, now), until) if now < until else None


def _no_at(standing: Standing) -> datetime:
    return standing.last_no_at or standing.made_at
