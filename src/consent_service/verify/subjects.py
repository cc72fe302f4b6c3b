"""What the database says of each subject, against what its entries say: state, identifiers, keys and details."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from consent_service.verify import fold, secrets
from consent_service.verify.fold import Fact, State
from consent_service.verify.report import Report
from consent_service.verify.secrets import Secrets
from consent_service.verify.source import Row, Source, rows
from consent_service.verify.spill import Record, Spill

_KEY, _DETAIL, _STATE, _IDENTIFIER = -1, -2, -3, -4  # where the record of an entry has its index
_BATCH = 5000


@dataclass(slots=True)
class Gathered:
    """Everything about one subject: its entries in order, and its rows."""

    facts: list[Fact] = field(default_factory=list)
    keys: list[Record] = field(default_factory=list)
    details: dict[int, Record] = field(default_factory=dict)
    states: list[Record] = field(default_factory=list)
    identifiers: list[Record] = field(default_factory=list)


class Details:
    """The rows of `entry_detail`, read beside the entries, for they do not say whose they are."""

    def __init__(self, report: Report, found: Iterator[Row]) -> None:
        self._report = report
        self._found = found
        self._row = next(found, None)

    def of(self, facts: list[Record]) -> list[Record]:
        """The details of these entries; says which belong to none."""
        taken = []
        for fact in facts:
            if fact[3] is not None:
                self._skip_to(fact[1])
                if self._row is not None and self._row[0] == fact[1]:
                    taken.append((fact[0], _DETAIL, *self._row))
                    self._row = next(self._found, None)
        return taken

    def rest(self) -> None:
        """Say which are left behind the last entry."""
        self._skip_to(None)

    def _skip_to(self, index: int | None) -> None:
        while self._row is not None and (index is None or self._row[0] < index):
            of = self._row[0]
            self._report.found("detail", f"there is a detail of entry {of}, which commits to none", of)
            self._row = next(self._found, None)


def gather(source: Source, spill: Spill, held: Secrets, present: set[str]) -> None:
    """Read every row that is about a subject, those of its entries apart."""
    for table, record in (("subject_key", _key), ("subject_state", _state), ("subject_identifier", _identifier)):
        if table in present:
            batch = []
            for row in rows(source, table):
                batch.append(record(row, held))
                if len(batch) == _BATCH:
                    spill.add(batch)
                    batch = []
            spill.add(batch)


def _key(row: Row, _: Secrets) -> Record:
    subject, wrapped = row
    return subject, _KEY, wrapped


def _state(row: Row, held: Secrets) -> Record:
    subject, last_index, document, seal = row
    sealed = not held.seals or held.is_sealed(f"state\0{subject}\0{last_index}\0{document}", seal)
    document = document if held.masters else fold.unborn(document)
    return subject, _STATE, last_index, hashlib.sha256(document.encode()).digest(), sealed


def _identifier(row: Row, held: Secrets) -> Record:
    lookup, namespace, subject, index, seal = row
    sealed = not held.seals or held.is_sealed(f"identifier\0{lookup}\0{namespace}\0{subject}\0{index}", seal)
    return subject, _IDENTIFIER, lookup, namespace, index, sealed


class Subjects:
    """Folds each subject's entries and compares."""

    def __init__(self, report: Report, held: Secrets, present: set[str]) -> None:
        self._report = report
        self._held = held
        self._present = present

    def check(self, spill: Spill) -> Iterator[int]:
        """Check every subject; tells after each how many records it had."""
        for subject, records in spill.subjects():
            gathered = _sorted(records)
            self._check(subject, gathered)
            yield len(gathered.facts)

    def _check(self, subject: str, of: Gathered) -> None:
        if not of.facts:
            self._found("state", subject, "has rows, and no entry", None)
        elif not of.keys:
            self._check_erased(subject, of)
        else:
            self._check_kept(subject, of)

    def _check_erased(self, subject: str, of: Gathered) -> None:
        """Without its key a subject is erased; then nothing may be left by which it is known or found."""
        if of.states:
            self._found("state", subject, "has no key, so it is erased, but its state is still there", of.facts[-1])
        if of.identifiers:
            self._found("identifier", subject, "has no key, so it is erased, but is still found", of.facts[-1])

    def _check_kept(self, subject: str, of: Gathered) -> None:
        state = State()
        try:
            state.fold(of.facts)
        except (ValueError, KeyError, TypeError) as error:
            self._found("state", subject, f"has entries that make no state: {error}", of.facts[-1])
            return
        names = self._details(subject, state, of)
        if "subject_state" in self._present:
            self._check_state(subject, state, of)
        if "subject_identifier" in self._present:
            self._check_identifiers(subject, state, names, of)

    def _check_state(self, subject: str, state: State, of: Gathered) -> None:
        last = of.facts[-1]
        if not of.states:
            self._found("state", subject, "has no state in the database", last)
            return
        _, _, last_index, digest, sealed = of.states[0]
        if last_index != state.last_index:
            self._found("state", subject, f"has a state as of entry {last_index}, not {state.last_index}", last)
        if digest != hashlib.sha256(state.document().encode()).digest():
            self._found("state", subject, "has a state that is not what its entries say", last)
        if not sealed:
            self._found("seal", subject, "has a state without a seal of ours", last)

    def _details(self, subject: str, state: State, of: Gathered) -> dict[str, tuple[str, int]] | None:
        """Check each detail against its entry's commitment; answers what the subject is found under, if that can be.

        The state learns the birth date.
        """
        names: dict[str, tuple[str, int]] | None = {} if self._held.identifier_peppers and self._held.masters else None
        committed = [fact for fact in of.facts if fact[3] is not None]
        key = self._unwrapped(subject, of) if committed and self._held.masters else None
        for fact in committed:
            found = of.details.get(fact[1])
            if found is None:
                self._found("detail", subject, f"has no detail for entry {fact[1]}", fact)
            elif key is not None:
                self._check_detail(subject, state, fact, found, key, names)
        return names if key is not None or not committed else None

    def _unwrapped(self, subject: str, of: Gathered) -> bytes | None:
        key = self._held.unwrapped(subject, of.keys[0][2])
        if key is None:
            self._found("detail", subject, "has a key that the master key does not open", of.facts[0])
        return key

    def _check_detail(
        self,
        subject: str,
        state: State,
        fact: Fact,
        found: Record,
        key: bytes,
        names: dict[str, tuple[str, int]] | None,
    ) -> None:
        _, _, index, salt, ciphertext = found
        clear = secrets.detail(key, ciphertext, subject, index)
        if clear is None or secrets.commitment(salt, clear) != fact[3]:
            self._found("detail", subject, f"has a detail of entry {index} that is not what the entry commits to", fact)
        elif fact[2] == "subject":
            state.learn_birth(json.loads(clear))
        elif fact[2] == "identifier" and names is not None:
            lookup = self._held.lookup(json.loads(clear)["identifier"])
            names.pop(lookup, None)
            if fact[4] == "added":
                names[lookup] = (str(fact[5]), index)

    def _check_identifiers(
        self, subject: str, state: State, names: dict[str, tuple[str, int]] | None, of: Gathered
    ) -> None:
        last = of.facts[-1]
        found = {lookup: (namespace, index) for _, _, lookup, namespace, index, _ in of.identifiers}
        if not all(record[5] for record in of.identifiers):
            self._found("seal", subject, "has an identifier without a seal of ours", last)
        if names is not None and found != names:
            self._found("identifier", subject, "is not found under the identifiers that its entries say", last)
        elif names is None and not _may_be(found, state, of):
            self._found("identifier", subject, "has other identifiers than its entries say", last)

    def _found(self, check: str, subject: str, what: str, at: Fact | None) -> None:
        index = at[1] if at is not None else None
        self._report.found(check, f"subject {subject} {what}", index)


def _may_be(found: dict[str, tuple[str, int]], state: State, of: Gathered) -> bool:
    """Whether identifiers agree with the entries as far as can be told without the secrets that find them."""
    added = {fact[1]: fact[5] for fact in of.facts if fact[2] == "identifier" and fact[4] == "added"}
    counts: dict[str, int] = {}
    for namespace, index in found.values():
        counts[namespace] = counts.get(namespace, 0) + 1
        if added.pop(index, None) != namespace:
            return False
    return counts == state.namespaces


def _sorted(records: list[Record]) -> Gathered:
    of = Gathered([record for record in records if record[1] >= 0])
    if len(of.facts) < len(records):
        kept = {_KEY: of.keys, _STATE: of.states, _IDENTIFIER: of.identifiers}
        for record in records:
            if record[1] == _DETAIL:
                of.details[record[2]] = record
            elif record[1] < 0:
                kept[record[1]].append(record)
    return of
