"""What stands for a person, now and at a past moment, and everything that they ever said."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from consent_service.core import hearing, ledger
from consent_service.core.clients import Client, Scope, authenticated
from consent_service.core.consent import StateName
from consent_service.core.errors import SubjectNotFound
from consent_service.core.people import Pseudonym
from consent_service.core.policy import Policy, Purpose
from consent_service.core.projection import SubjectState
from consent_service.operations import past, people, policies
from consent_service.operations.checks import visible
from consent_service.store import ledger as ledger_store
from consent_service.store import merging
from consent_service.store.db import ReadTx
from consent_service.store.ledger import Entry


@dataclass(frozen=True, slots=True)
class LeafState:
    """What stands for one leaf."""

    state: StateName
    index: int | None
    made_at: datetime | None
    expires_at: datetime | None
    wording: int | None


@dataclass(frozen=True, slots=True)
class States:
    """What stands for every leaf of the policy in force, the never-asked ones too."""

    subject: str
    policy_version: str
    states: dict[str, LeafState]
    as_of: int


async def states(tx: ReadTx, client: Client, who: Pseudonym, *, zone: ZoneInfo) -> States:
    """What stands for a subject, leaf by leaf. Raises SubjectNotFound."""
    subject, as_of = await people.seen(tx, client, who)
    policy = (await policies.in_force(tx)).policy
    return States(subject.subject, policy.version, _of_leaves(client, policy, subject, tx.now, zone), as_of)


def _of_leaves(
    client: Client, policy: Policy, state: SubjectState, now: datetime, zone: ZoneInfo
) -> dict[str, LeafState]:
    asked = [leaf for leaf in policy.leaves if client.may_ask_for(leaf.code)]
    return {leaf.code: leaf_state(state, leaf, policy, now, zone) for leaf in asked}


async def states_at(tx: ReadTx, client: Client, who: Pseudonym, at: datetime | int, *, zone: ZoneInfo) -> States:
    """What stood for a subject at an instant or at a size of the ledger, under the policy in force then.

    Raises ScopeMissing without `audit:read`, SubjectNotFound, or InvalidInput for a moment that never was.
    """
    authenticated(client, Scope.AUDIT_READ, tx.now)
    await people.seen(tx, client, who)
    then = await past.moment_of(tx, at, pointer="query/at")
    state = visible(await past.known_at(tx, who, then.as_of), client)
    if state is None:
        raise SubjectNotFound("No subject that you may see had this reference then.")
    policy = await past.policy_at(tx, then)
    return States(state.subject, policy.version, _of_leaves(client, policy, state, then.at, zone), then.as_of)


async def history(
    tx: ReadTx, client: Client, who: Pseudonym, *, after: int, limit: int
) -> tuple[list[Entry], int | None]:
    """A subject's statements in the order in which they were recorded, and the index to go on after.

    Those of whoever was merged into the subject are among them; those about purposes that the client is not registered
    for are left out. Raises SubjectNotFound.
    """
    subject = (await people.seen(tx, client, who))[0].subject
    group = await merging.group_of(tx, subject)
    entries = await ledger_store.entries_of_all(tx, group, kinds=["statement"], after=after, limit=limit + 1)
    page = entries[:limit]
    shown = [
        entry
        for entry in page
        if isinstance(entry.body, ledger.StatementMade) and client.may_ask_for(entry.body.purpose)
    ]
    return shown, page[-1].index if len(entries) > limit else None


def leaf_state(state: SubjectState, leaf: Purpose, policy: Policy, now: datetime, zone: ZoneInfo) -> LeafState:
    """What stands for one leaf of a policy at an instant, and rests on what."""
    found = hearing.outcome(state, leaf, policy, now, zone)
    name, standing = hearing.state_name(found, leaf, now), found.standing
    if standing is None:
        return LeafState(name, None, None, None, None)
    return LeafState(name, standing.index, standing.made_at, standing.expires_at, standing.wording)
