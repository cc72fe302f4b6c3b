"""Subjects: recording them, finding them, changing what is known about them."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from zoneinfo import ZoneInfo

from consent_service.core import ids, ledger
from consent_service.core.clients import Client
from consent_service.core.errors import (
    ClientNotPermitted,
    IdentifierTaken,
    InvalidInput,
    RecordUntrusted,
    SubjectNotFound,
)
from consent_service.core.instants import local_date
from consent_service.core.people import Identifier, Membership, MembershipStatus, Pseudonym, Reference
from consent_service.core.policy import Policy, SubjectKind
from consent_service.core.projection import SubjectState
from consent_service.operations import policies
from consent_service.operations.checks import visible
from consent_service.operations.clients import recorder
from consent_service.store import ledger as ledger_store
from consent_service.store import people, projection
from consent_service.store.db import ReadTx, WriteTx
from consent_service.store.ledger import Append

EARLIEST_BIRTH = date(1900, 1, 1)

AT_ONCE = 8
"""How many people are read at once where many are, so that checks get their turns in between."""


@dataclass(frozen=True, slots=True)
class NewSubject:
    """A person to be recorded. `kind` comes from the first identifier's namespace if nobody says."""

    identifiers: tuple[Identifier, ...]
    kind: SubjectKind | None = None
    birth_date: date | None = None
    language: str | None = None
    membership: Membership | None = None


@dataclass(frozen=True, slots=True)
class SubjectChange:
    """What to change about a person. `facts` holds birth_date and language where they are to be set, None to clear."""

    kind: SubjectKind | None = None
    facts: dict[str, date | str | None] | None = None
    membership: Membership | None = None
    add_identifiers: tuple[Identifier, ...] = ()
    remove_identifiers: tuple[Identifier, ...] = ()


@dataclass(frozen=True, slots=True)
class Person:
    """What the service knows about a subject, as far as the asking client may see it."""

    subject: str
    kind: SubjectKind
    membership: Membership
    identifiers: tuple[str, ...]
    birth_date: date | None
    language: str | None
    as_of: int


async def create(tx: WriteTx, client: Client, new: NewSubject, *, zone: ZoneInfo, subject: str | None = None) -> Person:
    """Record a person. `subject` fixes the pseudonym, for the example person only.

    Raises ClientNotPermitted, IdentifierTaken or InvalidInput.
    """
    append = await ledger_store.begin(tx)
    _refuse_foreign(client, new.identifiers)
    _refuse_taken(await people.subjects_named(tx, new.identifiers), owner=None)
    policy = (await policies.in_force(tx)).policy
    made = record_new(append, recorder(client), new, policy, subject or ids.subject_id(tx.entropy), zone)
    await append.write()
    return await described(tx, client, append.changes.states[made], append.as_of)


def record_new(append: Append, recorded_by: str, new: NewSubject, policy: Policy, subject: str, zone: ZoneInfo) -> str:
    """Add the entries that record a new subject; answers its pseudonym. Raises InvalidInput."""
    facts = {"birth_date": new.birth_date, "language": new.language}
    detail = _detail({name: value for name, value in facts.items() if value is not None}, append.at, zone)
    kind = new.kind or SubjectKind(policy.kind_of(new.identifiers[0].namespace))
    append.add(
        ledger.SubjectRecorded(
            at=append.at, recorded_by=recorded_by, change="created", subject=subject, subject_kind=kind
        ),
        detail,
    )
    for name in new.identifiers:
        _add_identifier(append, recorded_by, subject, name, "added")
    if new.membership:
        _add_membership(append, recorded_by, subject, new.membership, zone)
    return subject


async def look_up(tx: ReadTx, client: Client, who: Reference) -> str:
    """The pseudonym of a subject. Raises SubjectNotFound, also for one that the client may not see."""
    return (await seen(tx, client, who))[0].subject


async def read(tx: ReadTx, client: Client, who: Pseudonym) -> Person:
    """What is known about a subject. Raises SubjectNotFound."""
    return await described(tx, client, *await seen(tx, client, who))


async def change(tx: WriteTx, client: Client, who: Pseudonym, wanted: SubjectChange, *, zone: ZoneInfo) -> Person:
    """Change what is known about a subject, all or nothing.

    Linking an identifier needs every namespace that the subject has. Raises SubjectNotFound, ClientNotPermitted,
    IdentifierTaken or InvalidInput.
    """
    append = await ledger_store.begin(tx)
    state, _ = await seen(tx, client, who)
    await append.load([state])
    own = await people.subjects_named(tx, wanted.add_identifiers)
    await _refuse_wrong_links(tx, client, state, wanted, own)
    wanted = replace(wanted, add_identifiers=tuple(name for name in wanted.add_identifiers if name not in own))
    add_changes(append, recorder(client), state, wanted, zone)
    await append.write()
    return await described(tx, client, append.changes.states[state.subject], append.as_of)


async def exists(tx: ReadTx, name: Identifier) -> bool:
    """Whether the identifier names a subject; for the first start, not for clients."""
    return name in await people.subjects_named(tx, [name])


async def seen(tx: ReadTx, client: Client, who: Reference) -> tuple[SubjectState, int]:
    """The state of a subject that the client may see, and the ledger's size. Raises SubjectNotFound for every other."""
    facts = await projection.facts_for(tx, (), [who])
    return known_to(client, who, facts.states[0]), facts.as_of


def known_to(client: Client, who: Reference, state: SubjectState | None) -> SubjectState:
    """The state of whom a reference names, if the client may see that. Raises SubjectNotFound and RecordUntrusted."""
    foreign = isinstance(who, Identifier) and not client.may_touch(who.namespace)
    if state is None or foreign or not client.sees(state.visible_in):
        raise SubjectNotFound("No subject that you may see has this reference.")
    return trusted(state)


def trusted(state: SubjectState) -> SubjectState:
    """The state, to build on. Raises RecordUntrusted when its row fails its seal or is not the newest."""
    if not state.trusted:
        raise RecordUntrusted("This person's record fails its seal or is not the newest; see: consent-service verify.")
    return state


async def seen_in_turns(tx: ReadTx, client: Client, names: Sequence[str]) -> AsyncIterator[SubjectState]:
    """Of many people, those whom the client may see and whose rows are to be trusted."""
    for begin in range(0, len(names), AT_ONCE):
        facts = await projection.facts_for(tx, (), [Pseudonym(name) for name in names[begin : begin + AT_ONCE]])
        for found in facts.states:
            if (state := visible(found, client)) and state.trusted:
                yield state


async def described(tx: ReadTx, client: Client, state: SubjectState, as_of: int) -> Person:
    """What is known about a subject in this state, as far as the client may see it."""
    entries = await ledger_store.entries_of(tx, state.subject, kinds=["subject", "identifier"])
    names: dict[str, str] = {}
    facts: ledger.JsonObject = {}
    for entry in entries:
        match entry.body:
            case ledger.IdentifierChanged(change="added") if entry.detail:
                names[str(entry.detail["identifier"])] = entry.body.namespace
            case ledger.IdentifierChanged() if entry.detail:
                names.pop(str(entry.detail["identifier"]), None)
            case _:
                facts |= entry.detail or {}
    shown = tuple(name for name, namespace in names.items() if client.may_touch(namespace))
    birth_date, language = facts.get("birth_date"), facts.get("language")
    return Person(
        state.subject,
        state.kind,
        state.membership,
        shown,
        date.fromisoformat(str(birth_date)) if birth_date else None,
        str(language) if language else None,
        as_of,
    )


def add_changes(append: Append, recorded_by: str, state: SubjectState, wanted: SubjectChange, zone: ZoneInfo) -> None:
    """Add the entries that change what is known about a subject. Raises InvalidInput."""
    if wanted.kind or wanted.facts:
        body = ledger.SubjectRecorded(
            at=append.at,
            recorded_by=recorded_by,
            change="changed",
            subject=state.subject,
            subject_kind=wanted.kind or state.kind,
        )
        append.add(body, _detail(wanted.facts or {}, append.at, zone))
    for name in wanted.add_identifiers:
        _add_identifier(append, recorded_by, state.subject, name, "added")
    for name in wanted.remove_identifiers:
        _add_identifier(append, recorded_by, state.subject, name, "removed")
    if wanted.membership:
        _add_membership(append, recorded_by, state.subject, wanted.membership, zone)


def _add_identifier(append: Append, recorded_by: str, subject: str, name: Identifier, how: str) -> None:
    body = ledger.IdentifierChanged(
        at=append.at,
        recorded_by=recorded_by,
        change="added" if how == "added" else "removed",
        subject=subject,
        namespace=name.namespace,
    )
    append.add(body, {"identifier": str(name)})


def _add_membership(append: Append, recorded_by: str, subject: str, membership: Membership, zone: ZoneInfo) -> None:
    if membership.status is MembershipStatus.ENDED and membership.ended_on is None:
        membership = replace(membership, ended_on=local_date(append.at, zone))
    append.add(
        ledger.MembershipChanged(
            at=append.at,
            recorded_by=recorded_by,
            subject=subject,
            status=membership.status,
            ended_on=membership.ended_on,
        )
    )


def _detail(facts: dict[str, date | str | None], at: datetime, zone: ZoneInfo) -> ledger.JsonObject | None:
    born = facts.get("birth_date")
    if isinstance(born, date) and not EARLIEST_BIRTH <= born <= local_date(at, zone):
        raise InvalidInput.at("/birth_date", f"a birth date lies between {EARLIEST_BIRTH} and today")
    return {name: fact.isoformat() if isinstance(fact, date) else fact for name, fact in facts.items()} or None


def _refuse_foreign(client: Client, names: Iterable[Identifier]) -> None:
    foreign = sorted({name.namespace for name in names if not client.may_touch(name.namespace)})
    if foreign:
        raise ClientNotPermitted(f"This client is not registered for the namespaces {', '.join(foreign)}.")


def _refuse_taken(owners: Mapping[Identifier, str], *, owner: str | None) -> None:
    if any(subject != owner for subject in owners.values()):
        raise IdentifierTaken("An identifier names another subject already; look it up, or leave it out.")


async def _refuse_wrong_links(
    tx: ReadTx, client: Client, state: SubjectState, wanted: SubjectChange, linked: Mapping[Identifier, str]
) -> None:
    """`linked` are those of the identifiers to add that name somebody already."""
    _refuse_foreign(client, [*wanted.add_identifiers, *wanted.remove_identifiers])
    if wanted.add_identifiers and not all(map(client.may_touch, state.namespaces)):
        raise ClientNotPermitted("Linking an identifier needs every namespace in which the subject has one.")
    _refuse_taken(linked, owner=state.subject)
    own = await people.subjects_named(tx, wanted.remove_identifiers)
    for position, name in enumerate(wanted.remove_identifiers):
        if own.get(name) != state.subject:
            raise InvalidInput.at(f"/remove_identifiers/{position}", "the subject does not have this identifier")
    new = set(wanted.add_identifiers) - linked.keys()
    if sum(state.namespaces.values()) + len(new) <= len(wanted.remove_identifiers):
        raise InvalidInput.at("/remove_identifiers", "a subject keeps at least one identifier; add another one first")
