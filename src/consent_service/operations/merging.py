"""Merging two records of one person: one stays, and the other becomes another name of it, for good."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple
from zoneinfo import ZoneInfo

from consent_service.core import ledger, merging
from consent_service.core.clients import Client
from consent_service.core.errors import ClientNotPermitted, InvalidInput, SubjectNotFound
from consent_service.core.guardianship import Guardianship, GuardianshipChange, number_of
from consent_service.core.ledger import Stands
from consent_service.core.merging import Law, Pair, Word
from consent_service.core.people import Pseudonym, Reference, identifier
from consent_service.core.projection import SubjectState
from consent_service.operations import guardianships, people
from consent_service.operations.checks import policy_of
from consent_service.operations.clients import recorder
from consent_service.operations.people import Person, SubjectChange
from consent_service.store import ledger as ledger_store
from consent_service.store import merging as store
from consent_service.store import projection
from consent_service.store.db import ReadTx, WriteTx
from consent_service.store.ledger import Append

_BLOCKED = GuardianshipChange.BLOCKED


@dataclass(frozen=True, slots=True)
class Mentions:
    """In whose records a subject was named, when the ledger had a size. It was looked for without a lock."""

    subject: str
    found: frozenset[str]
    as_of: int


class _Two(NamedTuple):
    """The two records as they are before, and how they are called."""

    kept: SubjectState
    merged: SubjectState

    @property
    def pair(self) -> Pair:
        return Pair(self.merged.subject, self.kept.subject)


class _Book(NamedTuple):
    """Where the entries go, and who has them recorded."""

    append: Append
    client: Client

    def state(self, subject: str) -> SubjectState:
        """A subject's state with what was added."""
        return self.append.changes.states[subject]

    def guard(
        self, ward: str, name: str, now: Guardianship, how: GuardianshipChange, detail: Mapping[str, str]
    ) -> None:
        """Add a step in the life of a guardianship."""
        guardianships.add(self.append, self.client, ward, name, now, how, detail)


async def mentions(tx: ReadTx, _: Client, other: Reference) -> Mentions | None:
    """In whose records somebody is named. Refuses nothing, so that a retry still gets its first answer."""
    facts = await projection.facts_for(tx, (), [other])
    state = facts.states[0]
    if state is None:
        return None
    return Mentions(state.subject, frozenset(await store.mentioning(tx, state.subject)), facts.as_of)


async def merge(
    tx: WriteTx, client: Client, who: Pseudonym, other: Reference, known: Mentions | None, *, zone: ZoneInfo
) -> Person:
    """Merge the other one into the first: no no becomes a yes by it, and both references go on naming the person.

    `known` is where the other one is named. Raises SubjectNotFound, InvalidInput, ClientNotPermitted or
    RecordUntrusted.
    """
    append = await ledger_store.begin(tx)
    found = await projection.facts_for(tx, (), [who, other])
    two = _Two(people.known_to(client, who, found.states[0]), _other(client, other, found.states[1]))
    await _refuse(tx, client, two)
    wards = await _wards(tx, two, known)
    await append.load([two.kept, two.merged, *wards])
    book, law = _Book(append, client), Law(await policy_of(tx, found), append.at, zone)
    facts = merging.facts_of_two(*two, law.now)
    _add_words(book, two.pair, two.kept.subject, merging.words_of_two(*two, facts, law))
    known_of_two = [await people.described(tx, client, state, append.as_of) for state in two]
    _add_facts(book, two, facts, known_of_two, zone)
    await _add_guardianships(tx, book, two.kept, facts, two.merged)
    _move_identifiers(book, two, known_of_two[1], zone)
    for ward in wards:
        await _add_ward(tx, book, two.pair, ward, law)
    _add_words(book, two.pair, two.merged.subject, {})
    await append.write()
    return await people.described(tx, client, book.state(two.kept.subject), append.as_of)


def _other(client: Client, other: Reference, state: SubjectState | None) -> SubjectState:
    try:
        return people.known_to(client, other, state)
    except SubjectNotFound:
        raise InvalidInput.at("/other", "this person is not recorded; see POST /v1/subjects") from None


async def _refuse(tx: WriteTx, client: Client, two: _Two) -> None:
    """Refuse whom nobody merges. Raises InvalidInput or ClientNotPermitted."""
    kept, merged = two
    if kept.subject == merged.subject:
        raise InvalidInput.at("/other", "both references name one and the same record already")
    if client.purposes:
        raise ClientNotPermitted("Merging is about every purpose; this key is registered for some only.")
    if not all(map(client.may_touch, [*kept.namespaces, *merged.namespaces])):
        raise ClientNotPermitted("Merging needs every namespace in which one of the two has an identifier.")
    if _speaks_for(kept, merged) or _speaks_for(merged, kept):
        raise InvalidInput.at("/other", "one of the two is or was the other's guardian or spoke for them: two people")
    if {kept.subject, merged.subject} & await guardianships.all_above(tx, two):
        raise InvalidInput.at("/other", "a guardian of one of the two is a ward of the other, which makes a circle")


def _speaks_for(one: SubjectState, ward: SubjectState) -> bool:
    return one.subject in merging.guardians_of(ward) | ward.voices.speakers()


async def _wards(tx: WriteTx, two: _Two, known: Mentions | None) -> list[SubjectState]:
    """Everybody in whose record the merged one is named. Raises RecordUntrusted."""
    name = two.merged.subject
    if known is None or known.subject != name:  # somebody recorded or merged this one meanwhile
        found = await store.mentioning(tx, name)
    else:
        found = {*known.found, *await store.mentioned_since(tx, name, known.as_of)}
    names = sorted(found - {name, two.kept.subject})
    facts = await projection.facts_for(tx, (), [Pseudonym(one) for one in names])
    states = [people.trusted(state) for state in facts.states if state]
    return [state for state in states if state.subject in names and _speaks_for(two.merged, state)]


def _add_facts(book: _Book, two: _Two, facts: SubjectState, described: Sequence[Person], zone: ZoneInfo) -> None:
    """Add the entries that bring kind, birth date, language and membership together."""
    kept, merged = described
    changed: dict[str, date | str | None] = {"birth_date": facts.born} if facts.born != two.kept.born else {}
    changed |= {"language": merged.language} if merged.language and not kept.language else {}
    told = SubjectChange(
        facts.kind if facts.kind is not two.kept.kind else None,
        changed or None,
        facts.membership if facts.membership != two.kept.membership else None,
    )
    people.add_changes(book.append, recorder(book.client), two.kept, told, zone)


def _move_identifiers(book: _Book, two: _Two, merged: Person, zone: ZoneInfo) -> None:
    """Add the entries by which the other one's identifiers come to name the person."""
    names, by = tuple(identifier(name, default_namespace="") for name in merged.identifiers), recorder(book.client)
    people.add_changes(book.append, by, two.merged, SubjectChange(remove_identifiers=names), zone)
    people.add_changes(book.append, by, two.kept, SubjectChange(add_identifiers=names), zone)


async def _add_guardianships(
    tx: WriteTx, book: _Book, before: SubjectState, facts: SubjectState, *others: SubjectState
) -> None:
    """Add what changes in a ward's guardianships. `others` are those who had some of them until now."""
    if facts.guardianships == before.guardianships:
        return
    told = {
        name: one for ward in (before, *others) for name, one in (await guardianships.details(tx, ward.subject)).items()
    }
    for name in sorted(facts.guardianships, key=lambda name: (number_of(name), name)):
        now, was = facts.guardianships[name], before.guardianships.get(name)
        if was is None or was.guardian != now.guardian:
            book.guard(before.subject, name, now, GuardianshipChange.MERGED, told[name] if was is None else {})
        if now.blocked_at and not (was and was.blocked_at):
            orders = [told[other] for other in _blocked_with(name, facts, before, *others)]
            reference = next((one["reference"] for one in orders if "reference" in one), None)
            book.guard(before.subject, name, now, _BLOCKED, {"reference": reference} if reference else {})


def _blocked_with(name: str, facts: SubjectState, *before: SubjectState) -> list[str]:
    """The guardianships of one and the same guardian that were blocked until now; this one first, if it was."""
    guardian = facts.guardianships[name].guardian
    blocked = {other for ward in before for other, one in ward.guardianships.items() if one.blocked_at}
    found = [other for other in sorted(blocked) if facts.guardianships[other].guardian == guardian]
    return sorted(found, key=lambda other: other != name)


async def _add_ward(tx: WriteTx, book: _Book, pair: Pair, ward: SubjectState, law: Law) -> None:
    """Add what changes for a ward of the merged one: the guardian's name, and what stands."""
    facts, meanwhile = merging.facts_of_ward(ward, pair, law.now), merging.words_meanwhile(ward, law)
    if meanwhile:
        _add_words(book, pair, ward.subject, meanwhile)
    await _add_guardianships(tx, book, ward, facts)
    if words := merging.words_of_ward(ward, facts, pair, law, meanwhile):
        _add_words(book, pair, ward.subject, words)


def _add_words(book: _Book, pair: Pair, subject: str, words: Mapping[str, Word]) -> None:
    """Add the entry that says what stands afterwards."""
    body = ledger.SubjectsMerged(
        at=book.append.at,
        recorded_by=recorder(book.client),
        subject=subject,
        merged=pair.merged,
        into=pair.into,
        leaves={leaf: Stands.of(word.last) if word.last else None for leaf, word in words.items()},
        voices={
            leaf: {who: Stands.of(said) for who, said in word.voices.items()}
            for leaf, word in words.items()
            if word.voices
        },
    )
    book.append.add(body)
