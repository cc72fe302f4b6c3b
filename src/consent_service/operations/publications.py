"""Publishing a policy version: what it would do is found out first, then it is published under the head's lock."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from consent_service.core import ledger, publication
from consent_service.core.clients import Client
from consent_service.core.errors import ClientNotPermitted, Fault, InvalidInput
from consent_service.core.instants import local_date, start_of_day
from consent_service.core.policy import Policy
from consent_service.core.policy_file import to_document
from consent_service.core.publication import (
    ChangeUndeclared,
    Declared,
    Diff,
    LapsesUnconfirmed,
    PolicySuperseded,
    PolicyVersionTaken,
    Publication,
)
from consent_service.operations.clients import recorder
from consent_service.store import ledger as ledger_store
from consent_service.store import policies, tallies
from consent_service.store.db import ReadTx, WriteTx
from consent_service.store.policies import Published


@dataclass(frozen=True, slots=True)
class Proposal:
    """A policy that somebody wants published, and what they say of it.

    `confirm_lapses` is how many yeses they know will lapse; `compared_with` the version that they compared it with,
    if they say so.
    """

    policy: Policy
    declared: Declared
    confirm_lapses: int
    compared_with: str | None = None


@dataclass(frozen=True, slots=True)
class Impact:
    """What publishing would do, found out without a lock: how many yeses lapse, by leaf, after the version `newest`."""

    newest: str | None
    lapses: dict[str, int]


async def impact(tx: ReadTx, _: Client | None, proposal: Proposal) -> Impact:
    """Count the yeses that would lapse. Refuses nothing, so that a retry still gets its first answer."""
    versions = await policies.all_published(tx)
    policy = _numbered(proposal, versions)
    current = await policies.in_force(tx)
    leaves = publication.endangered(current.policy if current else None, policy)
    counted = (await tallies.count(tx, [leaf.code for leaf in leaves], tx.now)).tallies if leaves else ()
    return Impact(_newest(versions), publication.lapses(leaves, policy, counted))


async def preview(tx: ReadTx, caller: Client | None, proposal: Proposal, *, zone: ZoneInfo) -> Publication:
    """What publishing would do; a dry run, which writes nothing. Raises what `publish` raises of wrong input."""
    _refuse_registered_for_some(caller)
    versions = await policies.all_published(tx)
    found = await impact(tx, caller, proposal)
    told = _publication(proposal, versions, found, tx.now, zone)
    _refuse_wrong(proposal, versions, told, zone)
    return told


async def publish(
    tx: WriteTx, caller: Client | None, proposal: Proposal, found: Impact, *, zone: ZoneInfo
) -> Publication:
    """Publish the version, in force at once or from the instant that it names.

    Raises ClientNotPermitted, InvalidInput, PolicySuperseded, PolicyVersionTaken, ChangeUndeclared or
    LapsesUnconfirmed.
    """
    append = await ledger_store.begin(tx)
    _refuse_registered_for_some(caller)
    versions = await policies.all_published(tx)
    told = _publication(proposal, versions, found, append.at, zone)
    _refuse_other_newest(proposal, found, told)
    _refuse_wrong(proposal, versions, told, zone)
    _refuse_undeclared(told)
    _refuse_unconfirmed(proposal, told)
    index = append.add(_body(proposal, versions, told, append.at, caller))
    await append.write()
    return replace(told, index=index)


def _publication(
    proposal: Proposal, versions: Sequence[Published], found: Impact, now: datetime, zone: ZoneInfo
) -> Publication:
    changes = publication.diff(versions[-1].policy if versions else None, proposal.policy)
    effective_at = _effective_at(proposal.policy, now, zone)
    return Publication(
        proposal.policy.version,
        effective_at,
        _newest(versions),
        tuple(one.policy.version for one in versions if one.effective_at > now and one.effective_at >= effective_at),
        changes,
        publication.undeclared(changes, proposal.declared),
        found.lapses,
        sum(found.lapses.values()),
        None,
    )


def _numbered(proposal: Proposal, versions: Sequence[Published]) -> Policy:
    policies_before = [one.policy for one in versions]
    changes = publication.diff(policies_before[-1] if policies_before else None, proposal.policy)
    return publication.numbered(proposal.policy, policies_before, changes, proposal.declared)


def _newest(versions: Sequence[Published]) -> str | None:
    return versions[-1].policy.version if versions else None


def _effective_at(policy: Policy, now: datetime, zone: ZoneInfo) -> datetime:
    """When it takes effect: never in the past, for answers that were given stay as they were."""
    if policy.effective_at is not None:
        return max(policy.effective_at, now)
    today = local_date(now, zone)
    return now if policy.effective_from <= today else start_of_day(policy.effective_from, zone)


def _refuse_registered_for_some(caller: Client | None) -> None:
    if caller and (caller.purposes or caller.namespaces):
        raise ClientNotPermitted("A policy is about all purposes and people; this key is registered for some only.")


def _refuse_other_newest(proposal: Proposal, found: Impact, told: Publication) -> None:
    if found.newest == told.compared_with and proposal.compared_with in (None, told.compared_with):
        return
    raise PolicySuperseded(
        f"Version {told.compared_with} was published meanwhile; look at the difference from it, and publish again.",
        told,
        errors=[Fault("/policy", line) for line in publication.in_words(told.diff)],
    )


def _refuse_wrong(proposal: Proposal, versions: Sequence[Published], told: Publication, zone: ZoneInfo) -> None:
    if proposal.policy.version in {one.policy.version for one in versions}:
        raise PolicyVersionTaken("This version was published already and never changes; give yours a new name.", told)
    policy, declared = proposal.policy, proposal.declared
    faults = [
        *publication.wrong_names(policy, told.diff, declared),
        *publication.wrong_numbers(policy, _numbered(proposal, versions)),
        *_wrong_day(policy, zone),
    ]
    if faults:
        raise InvalidInput("The version cannot be published as it is; see errors.", errors=faults)


def _wrong_day(policy: Policy, zone: ZoneInfo) -> Iterator[Fault]:
    at = policy.effective_at
    if at is not None and local_date(at, zone) != policy.effective_from:
        yield Fault("/policy/effective_at", "this instant lies on another day at the school than `effective_from`")


def _refuse_undeclared(told: Publication) -> None:
    faults = [
        Fault("/material", f"{leaf} is {_how(told.diff, leaf)}; name it here or in `editorial`")
        for leaf in told.undeclared
    ]
    if faults:
        raise ChangeUndeclared(
            f"Say of each changed leaf whether it is material: {', '.join(told.undeclared)}.", told, errors=faults
        )


def _how(changes: Diff, leaf: str) -> str:
    how = {"reworded": changes.reworded, "put on another basis": changes.basis_changed}
    return " and ".join(word for word, leaves in how.items() if leaf in leaves)


def _refuse_unconfirmed(proposal: Proposal, told: Publication) -> None:
    if proposal.confirm_lapses != told.confirm_lapses:
        raise LapsesUnconfirmed(
            f"{told.confirm_lapses} yeses would lapse; to publish nevertheless, say so in `confirm_lapses`.",
            told,
            errors=[
                Fault("/confirm_lapses", f"{told.confirm_lapses} yeses would lapse"),
                *(Fault("/confirm_lapses", f"{leaf}: {count}") for leaf, count in told.lapses.items() if count),
            ],
        )


def _body(
    proposal: Proposal, versions: Sequence[Published], told: Publication, at: datetime, caller: Client | None
) -> ledger.PolicyPublished:
    return ledger.PolicyPublished(
        at=at,
        recorded_by=recorder(caller),
        version=told.version,
        effective_at=told.effective_at,
        policy=to_document(_numbered(proposal, versions)),
        material=sorted(proposal.declared.material),
        editorial=sorted(proposal.declared.editorial),
        lapses=told.confirm_lapses,
    )
