"""What was known at an earlier size of the ledger: answered from the entries, never from the projection."""

from dataclasses import dataclass
from datetime import datetime

from consent_service.core import ledger, projection
from consent_service.core.errors import InvalidInput
from consent_service.core.people import Identifier, Pseudonym, Reference
from consent_service.core.policy import Policy
from consent_service.core.projection import SubjectState
from consent_service.store import ledger as ledger_store
from consent_service.store import merging, people, policies
from consent_service.store.db import ReadTx
from consent_service.store.ledger import Entry


@dataclass(frozen=True, slots=True)
class Moment:
    """A past moment: the ledger's size, which covers the entries 0 to `as_of` - 1, and the time."""

    as_of: int
    at: datetime


async def moment(tx: ReadTx, *, as_of: int | None, at: datetime | None) -> Moment:
    """The moment of a size of the ledger, or of an instant. Raises InvalidInput, also for neither or both."""
    if as_of is not None and at is None:
        return await moment_of(tx, as_of, pointer="/as_of")
    if at is not None and as_of is None:
        return await moment_of(tx, at, pointer="/at")
    raise InvalidInput.at("", "give either `as_of`, a size of the ledger, or `at`, an instant")


async def moment_of(tx: ReadTx, given: datetime | int, *, pointer: str) -> Moment:
    """The moment that was given as an instant or as a size of the ledger; a wrong one is pointed at.

    Raises InvalidInput for a size that the ledger never had, and for the future.
    """
    if isinstance(given, datetime):
        if given > tx.now:
            raise InvalidInput.at(pointer, "this is about the past; the instant must not lie in the future")
        return Moment(await ledger_store.size_at(tx, given), given)
    last = await ledger_store.time_of(tx, given - 1) if 1 <= given <= await ledger_store.size(tx) else None
    if last is None:
        raise InvalidInput.at(pointer, "the ledger never had this size; take 1 to the latest `as_of`")
    return Moment(given, last)


async def policy_at(tx: ReadTx, then: Moment) -> Policy:
    """The version in force at a moment. Raises InvalidInput when there was none yet."""
    found = await policies.in_force_at(tx, then.at, before=then.as_of)
    if found is None:
        raise InvalidInput.at("", "no policy version was in force at that moment yet; ask about a later one")
    return found.policy


async def state_at(tx: ReadTx, subject: str, as_of: int) -> SubjectState | None:
    """The state of a subject that an earlier ledger gave; None before it was recorded, and for the erased."""
    return _folded(await ledger_store.entries_of(tx, subject, before=as_of))


async def known_at(tx: ReadTx, who: Reference, as_of: int) -> SubjectState | None:
    """The same for any reference: of whom it named then.

    So before a merger each of the two is found under the references that were its own, and after it the one is.
    """
    name = who.value if isinstance(who, Pseudonym) else await _named_at(tx, who, as_of)
    state = await state_at(tx, name, as_of) if name else None
    while state and state.into:
        state = await state_at(tx, state.into, as_of)
    return state


async def _named_at(tx: ReadTx, who: Identifier, as_of: int) -> str | None:
    """Whom an identifier named; one that was taken from everybody since is found no more."""
    owner = (await people.subjects_named(tx, [who])).get(who)
    for one in await merging.group_of(tx, owner) if owner else ():
        if _is_named(await ledger_store.entries_of(tx, one, kinds=["identifier"], before=as_of), who):
            return one
    return None


def _is_named(entries: list[Entry], name: Identifier) -> bool:
    named = False
    for entry in entries:
        if isinstance(entry.body, ledger.IdentifierChanged) and (entry.detail or {}).get("identifier") == str(name):
            named = entry.body.change == "added"
    return named


def _folded(entries: list[Entry]) -> SubjectState | None:
    state: SubjectState | None = None
    for entry in entries:
        if entry.erased or isinstance(entry.body, ledger.PolicyPublished | ledger.ClientChanged | ledger.KeyChanged):
            return None
        state = projection.applied(state, entry.index, entry.body, entry.detail)
    return state
