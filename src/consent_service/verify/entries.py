"""The entries: stored bytes to leaf hashes, dense indexes, times that never fall, columns that say what the body says."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from json import JSONDecoder

from consent_service.verify import fold
from consent_service.verify.report import Report
from consent_service.verify.spill import Record
from consent_service.verify.tree import Tree, leaf_hash

_decoded = JSONDecoder().decode

Body = Mapping[str, object]
EntryRow = Sequence[object]
"""Index, time, kind, subject, the stored bytes, the stored leaf hash."""


@dataclass(slots=True)
class Told:
    """What a run of entries says, for whoever folds it: `facts` of subjects, and the bodies that are about none."""

    facts: list[Record] = field(default_factory=list)
    others: list[tuple[int, Body]] = field(default_factory=list)


class Walk:
    """Walks through the entries in the order of their indexes, block by block, and builds the tree over them."""

    def __init__(self, report: Report) -> None:
        self.tree = Tree()
        self.last_at = ""
        self._report = report
        self._next = 0

    def blocks(self, rows: Iterator[Sequence[EntryRow]]) -> Iterator[tuple[Told, list[tuple[int, int, bytes]]]]:
        """What each block of rows says, and the tree's nodes that it completes."""
        for block in rows:
            told, leaves = Told(), []
            for row in block:
                leaves.append(self._entry(row, told))
            yield told, self.tree.add(leaves)
        self._report.entries = self.tree.size

    def _entry(self, row: EntryRow, told: Told) -> bytes:
        index, at, kind, subject, stored, hashed = row
        if index != self._next:
            self._gap(index)
        self._next += 1
        leaf = leaf_hash(stored) if type(stored) is bytes else b""
        if leaf != hashed:
            self._wrong(index, "its leaf hash is not that of its bytes")
        try:
            self._says(index, _decoded(str(stored, "utf-8")), at, kind, subject, told)  # type: ignore[arg-type]
        except (ValueError, KeyError, TypeError):
            self._wrong(index, "its bytes are not those of an entry")
        return leaf or bytes(32)

    def _says(self, index: int, body: Body, at: object, kind: object, subject: object, told: Told) -> None:
        said_at = body["at"]
        if at != said_at and at != fold.instant(said_at):  # type: ignore[arg-type]
            self._wrong(index, "its column at is not what its bytes say")
        if kind != body["kind"]:
            self._wrong(index, "its column kind is not what its bytes say")
        said_of = body.get("subject")
        if subject != said_of:
            self._wrong(index, "its column subject is not what its bytes say")
        if said_at < self.last_at:  # type: ignore[operator]
            self._wrong(index, "its time lies before the time of the entry ahead of it")
        self.last_at = said_at  # type: ignore[assignment]
        self._tell(index, said_of, body, told)

    def _tell(self, index: int, subject: object, body: Body, told: Told) -> None:
        if subject is None:
            told.others.append((index, body))
            return
        fact = fold.fact_of(subject, index, body) if index >= 0 else None
        if fact is None:
            self._wrong(index, f"its kind is none that this version knows: {body['kind']!r}")
        else:
            told.facts.append(fact)

    def _gap(self, index: int) -> None:
        """Say which entries are not where they should be, and go on from where the rows are."""
        if index > self._next:
            lost = f"entries {self._next} to {index - 1} are" if index - self._next > 1 else f"entry {self._next} is"
            self._report.found("entry", f"{lost} missing", self._next, self._next)
            self._next = index
        else:
            self._report.found("entry", f"there is an entry {index}, of which the indexes must be dense from 0", index)
            self._next = index

    def _wrong(self, index: int, what: str) -> None:
        self._report.found("entry", f"entry {index}: {what}", index)
