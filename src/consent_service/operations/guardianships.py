"""Guardianships: recording them, verifying, ending and blocking them, and who may speak for a ward."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from zoneinfo import ZoneInfo

from consent_service.core import ledger
from consent_service.core.clients import Client
from consent_service.core.errors import (
    GuardianshipNotFound,
    InvalidInput,
    SubjectNotFound,
)
from consent_service.core.guardianship import (
    Guardianship,
    GuardianshipChange,
    GuardianshipStatus,
    guardianship_id,
    is_blocked,
    number_of,
    ward_of,
)
from consent_service.core.instants import from_text, start_of_day, to_text
from consent_service.core.people import Pseudonym, Reference, pseudonym
from consent_service.core.policy import SubjectKind
from consent_service.core.projection import SubjectState
from consent_service.operations import people
from consent_service.operations.clients import recorder
from consent_service.store import ledger as ledger_store
from consent_service.store import projection
from consent_service.store.db import ReadTx, WriteTx
from consent_service.store.ledger import Append, Entry

EARLIEST, LATEST = date(1900, 1, 1), date(2200, 1, 1)
"""Between which days a guardianship begins and ends."""

Day = date | datetime
"""A day at the school, from its beginning, or an instant."""


ABSENT = "No guardianship that you may see has this id."


@dataclass(frozen=True, slots=True)
class NewGuardianship:
    """Who is to be recorded as whose guardian. Without `verified_by` it is not verified."""

    guardian: Reference
    ward: Reference
    relation: str
    verified_by: str | None = None
    verified_at: Day | None = None
    from_: Day | None = None
    until: Day | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What happens to a guardianship, and what is personal in it. `until` is for ending it: now, if left out."""

    change: GuardianshipChange
    detail: Mapping[str, str]
    verified_at: Day | None = None
    until: Day | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known about a guardianship. `reference` is the court order's, while it is blocked."""

    id: str
    guardian: str
    ward: str
    relation: str | None
    status: GuardianshipStatus
    verified: bool
    verified_by: str | None
    verified_at: datetime | None
    from_: datetime | None
    until: datetime | None
    blocked: bool
    reference: str | None


@dataclass(frozen=True, slots=True)
class Guardians:
    """A ward's guardianships, ended ones too, in the order in which they were recorded."""

    ward: str
    items: tuple[Known, ...]
    as_of: int


async def create(tx: WriteTx, client: Client, new: NewGuardianship, *, zone: ZoneInfo) -> Known:
    """Record a guardianship. Being listed as a contact is not authority: only a verified guardian's yes counts.

    Raises InvalidInput.
    """
    append = await ledger_store.begin(tx)
    ward, guardian = await _person(tx, client, new.ward, "/ward"), await _person(tx, client, new.guardian, "/guardian")
    made = Guardianship(
        guardian.subject, _at(new.from_, "/from", zone), _at(new.until, "/until", zone), bool(new.verified_by), None
    )
    _refuse_wrong_pair(ward, guardian)
    _refuse_wrong_period(ward, made)
    await _refuse_circle(tx, ward.subject, guardian)
    await append.load([ward])
    detail = {"relation": new.relation} | _verification(append, new.verified_by, new.verified_at, zone)
    name = guardianship_id(ward.subject, len(ward.guardianships) + 1)
    add(append, client, ward.subject, name, made, GuardianshipChange.CREATED, detail)
    await append.write()
    return await _known(tx, append.changes.states[ward.subject], name)


async def change(tx: WriteTx, client: Client, name: str, step: Step, *, zone: ZoneInfo) -> Known:
    """Verify, end, block or unblock a guardianship. Raises GuardianshipNotFound or InvalidInput."""
    append = await ledger_store.begin(tx)
    ward = await _ward_of(tx, client, name)
    before = ward.guardianships[name]
    after = _after(before, step, append.at, zone)
    await append.load([ward])
    verified_by = step.detail.get("verified_by") if step.change is GuardianshipChange.VERIFIED else None
    detail = {**step.detail} | _verification(append, verified_by, step.verified_at, zone)
    add(append, client, ward.subject, name, after, step.change, detail)
    await append.write()
    return await _known(tx, append.changes.states[ward.subject], name)


async def guardians(tx: ReadTx, client: Client, who: Pseudonym) -> Guardians:
    """Everybody who is or was recorded as a subject's guardian. Raises SubjectNotFound."""
    ward, as_of = await people.seen(tx, client, who)
    told = await details(tx, ward.subject)
    names = sorted(ward.guardianships, key=number_of)
    return Guardians(ward.subject, tuple(_described(ward, name, told[name], tx.now) for name in names), as_of)


async def _person(tx: ReadTx, client: Client, who: Reference, pointer: str) -> SubjectState:
    try:
        return (await people.seen(tx, client, who))[0]
    except SubjectNotFound:
        raise InvalidInput.at(pointer, "this person is not recorded; see POST /v1/subjects") from None


async def _ward_of(tx: ReadTx, client: Client, name: str) -> SubjectState:
    absent = GuardianshipNotFound(ABSENT)
    try:
        ward, _ = await people.seen(tx, client, pseudonym(ward_of(name)))
    except (ValueError, SubjectNotFound):
        raise absent from None
    if name not in ward.guardianships:
        raise absent
    return ward


def _refuse_wrong_pair(ward: SubjectState, guardian: SubjectState) -> None:
    if guardian.subject == ward.subject:
        raise InvalidInput.at("/guardian", "nobody is their own guardian")
    if ward.kind is not SubjectKind.STUDENT:
        wrong = (
            f"a ward is a student, and this person is recorded as {ward.kind}; PATCH /v1/subjects/{{sub}} puts it right"
        )
        raise InvalidInput.at("/ward", wrong)
    if guardian.born and ward.born and guardian.born >= ward.born:
        raise InvalidInput.at("/guardian", "a guardian is older than the ward; see the birth dates of both")


def _refuse_wrong_period(ward: SubjectState, new: Guardianship) -> None:
    if new.from_ is not None and new.until is not None and new.until <= new.from_:
        raise InvalidInput.at("/until", "a guardianship ends after it begins")
    for name, one in ward.guardianships.items():
        if one.guardian == new.guardian and one.overlaps(new):
            told = f"for this time {name} is recorded, a guardianship of these two; end that one first"
            raise InvalidInput.at("/guardian", told)


async def _refuse_circle(tx: ReadTx, ward: str, guardian: SubjectState) -> None:
    """Nobody is, by however many steps, the guardian of their own guardian; ended ones do not count."""
    if ward in await all_above(tx, [guardian]):
        raise InvalidInput.at("/guardian", "the ward is a guardian of this guardian, which makes a circle")


async def all_above(tx: ReadTx, wards: Iterable[SubjectState]) -> set[str]:
    """The guardians of these, their guardians, and so on; ended guardianships do not count. Raises RecordUntrusted."""
    seen, states = set[str](), list(wards)
    while states:
        found = {one.guardian for state in states for one in state.guardianships.values() if not one.is_over(tx.now)}
        facts = await projection.facts_for(tx, (), [Pseudonym(name) for name in sorted(found - seen)])
        states = [people.trusted(state) for state in facts.states if state]
        seen |= found
    return seen


def _after(before: Guardianship, step: Step, now: datetime, zone: ZoneInfo) -> Guardianship:
    match step.change:
        case GuardianshipChange.VERIFIED | GuardianshipChange.UNVERIFIED:
            return replace(before, is_verified=step.change is GuardianshipChange.VERIFIED)
        case GuardianshipChange.ENDED:
            return replace(before, until=_end(before, _at(step.until, "/until", zone) or now))
        case GuardianshipChange.UNBLOCKED if before.blocked_at is None:
            raise InvalidInput.at("", "this guardianship is not blocked")
    return before


def _end(before: Guardianship, until: datetime) -> datetime:
    if before.from_ is not None and until <= before.from_:
        raise InvalidInput.at("/until", "a guardianship ends after it begins")
    if before.until is not None and until > before.until:
        raise InvalidInput.at("/until", "it ends earlier than that already; record a new guardianship instead")
    return until


def _at(day: Day | None, pointer: str, zone: ZoneInfo) -> datetime | None:
    if day is None:
        return None
    if not EARLIEST <= (day.date() if isinstance(day, datetime) else day) <= LATEST:
        raise InvalidInput.at(pointer, f"this lies between {EARLIEST} and {LATEST}")
    return day if isinstance(day, datetime) else start_of_day(day, zone)


def _verification(append: Append, by: str | None, given: Day | None, zone: ZoneInfo) -> dict[str, str]:
    """Who verified a guardianship and when, as it goes into the entry's detail."""
    at = _at(given, "/verified_at", zone)
    if by is None:
        if at is not None:
            raise InvalidInput.at("/verified_by", "say who verified it, not only when")
        return {}
    if at is not None and at > append.at:
        raise InvalidInput.at("/verified_at", "it cannot have been verified in the future")
    return {"verified_by": by, "verified_at": to_text(at or append.at)}


def add(
    append: Append,
    client: Client,
    ward: str,
    name: str,
    now: Guardianship,
    how: GuardianshipChange,
    detail: Mapping[str, str],
) -> None:
    """Add the entry of a step in the life of a guardianship, after which it is as it is `now`."""
    body = ledger.GuardianshipChanged(
        at=append.at,
        recorded_by=recorder(client),
        change=how,
        subject=ward,
        guardianship=name,
        guardian=now.guardian,
        from_at=now.from_,
        until_at=now.until,
        verified=now.is_verified,
    )
    append.add(body, {**detail} or None)


async def _known(tx: ReadTx, ward: SubjectState, name: str) -> Known:
    return _described(ward, name, (await details(tx, ward.subject))[name], tx.now)


async def details(tx: ReadTx, ward: str) -> dict[str, dict[str, str]]:
    """What is personal in each guardianship: what was told last counts."""
    told: dict[str, dict[str, str]] = {}
    for entry in await ledger_store.entries_of(tx, ward, kinds=["guardianship"]):
        _tell(entry, told)
    return told


def _tell(entry: Entry, told: dict[str, dict[str, str]]) -> None:
    if isinstance(entry.body, ledger.GuardianshipChanged):
        detail = {name: str(value) for name, value in (entry.detail or {}).items()}
        told.setdefault(entry.body.guardianship, {}).update(detail)


def _described(ward: SubjectState, name: str, detail: Mapping[str, str], now: datetime) -> Known:
    one = ward.guardianships[name]
    verified_at = detail.get("verified_at") if one.is_verified else None
    blocked, status = one.blocked_at is not None, one.status(now)
    if is_blocked(one.guardian, ward.guardianships.values()) and status is not GuardianshipStatus.ENDED:
        status = GuardianshipStatus.BLOCKED
    return Known(
        name,
        one.guardian,
        ward.subject,
        detail.get("relation"),
        status,
        one.is_verified,
        detail.get("verified_by") if one.is_verified else None,
        from_text(verified_at) if verified_at else None,
        one.from_,
        one.until,
        blocked,
        detail.get("reference") if blocked else None,
    )
