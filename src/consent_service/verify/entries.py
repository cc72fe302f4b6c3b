"""The entries: hashes of the stored bytes, dense indexes, times that never fall, columns that say what they say."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import le
from typing import Any

from pydantic_core import from_json

from consent_service.verify import fold
from consent_service.verify.report import Report
from consent_service.verify.spill import Record
from consent_service.verify.tree import BLOCK, Tree, leaf_hash

RUN = 256
"""How many entries are looked at together: few enough to stay near the processor; so many make up a block."""

_sha256 = hashlib.sha256

Body = Mapping[str, Any]
EntryRow = Sequence[Any]
"""Index, time, kind, subject, the stored bytes, the stored leaf hash."""


@dataclass(slots=True)
class Told:
    """What a run of entries says: its leaf hashes, `facts` about subjects, and the bodies that are about none."""

    leaves: list[bytes]
    facts: list[Record] = field(default_factory=list)
    others: list[tuple[int, Body]] = field(default_factory=list)

    def add(self, more: "Told") -> None:
        """Add what the run behind it says."""
        self.leaves += more.leaves
        self.facts += more.facts
        self.others += more.others


class Walk:
    """Walks through the entries in the order of their indexes, block by block, and builds the tree over them."""

    def __init__(self, report: Report) -> None:
        self.tree = Tree()
        self.last_at = ""
        self.wanted: dict[int, bytes | None] = {}  # indexes whose leaf hash somebody asks for
        self._report = report
        self._next = 0

    def blocks(self, runs: Iterator[Sequence[EntryRow]]) -> Iterator[tuple[Told, list[tuple[int, int, bytes]]]]:
        """What each block of runs of `RUN` rows says, and the tree's nodes that it completes."""
        told = Told([])
        for run in runs:
            told.add(self._whole(run) or self._one_by_one(run))
            if len(told.leaves) == BLOCK:
                yield told, self._grown(told)
                told = Told([])
        if told.leaves:
            yield told, self._grown(told)

    def _grown(self, told: Told) -> list[tuple[int, int, bytes]]:
        made = self.tree.add(told.leaves)
        for index in self.wanted:
            if self.tree.begin <= index < self.tree.size:
                self.wanted[index] = told.leaves[index - self.tree.begin]
        return made

    def start(self, index: int) -> None:
        """Begin at another entry than the first."""
        self._next = index

    def _whole(self, block: Sequence[EntryRow]) -> Told | None:
        """What a block says when everything about it is right, looked at column by column; None when it is not."""
        indexes, ats, kinds, subjects, stored, hashed = zip(*block, strict=True)
        try:
            leaves = [_sha256(b"\x00" + one).digest() for one in stored]
            bodies = [_read(one) for one in stored]
            said = [body["at"] for body in bodies]
            right = (
                tuple(leaves) == hashed
                and indexes == tuple(range(self._next, self._next + len(block)))
                and (ats == tuple(said) or ats == tuple(map(fold.instant, said)))
                and kinds == tuple([body["kind"] for body in bodies])
                and subjects == tuple([body.get("subject") for body in bodies])
                and all(map(le, [self.last_at, *said], said))
            )
            told = self._told(indexes, bodies, leaves) if right else None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        if told is not None:
            self._next, self.last_at = indexes[-1] + 1, said[-1]
        return told

    def _told(self, indexes: Sequence[int], bodies: Sequence[Body], leaves: list[bytes]) -> Told | None:
        told, fact_of = Told(leaves), fold.fact_of
        for index, body in zip(indexes, bodies, strict=True):
            if (subject := body.get("subject")) is None:
                told.others.append((index, body))
            elif (fact := fact_of(subject, index, body)) is not None:
                told.facts.append(fact)
            else:
                return None
        return told

    def _one_by_one(self, block: Sequence[EntryRow]) -> Told:
        """Say of each entry of a block what is wrong with it."""
        told = Told([])
        for row in block:
            told.leaves.append(self._entry(row, told))
        return told

    def _entry(self, row: EntryRow, told: Told) -> bytes:
        index, at, kind, subject, stored, hashed = row
        if index != self._next:
            self._gap(index)
        self._next += 1
        leaf = leaf_hash(stored) if isinstance(stored, bytes) else bytes(32)
        if leaf != hashed:
            self._wrong(index, "its leaf hash is not that of its bytes")
        try:
            self._compare(index, _read(stored), at, kind, subject, told)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self._wrong(index, "its bytes are not those of an entry")
        return leaf

    def _compare(self, index: int, body: Body, at: object, kind: object, subject: object, told: Told) -> None:
        said_at, said_of = body["at"], body.get("subject")
        for name, wrong in (
            ("at", at not in (said_at, fold.instant(said_at))),
            ("kind", kind != body["kind"]),
            ("subject", subject != said_of),
        ):
            if wrong:
                self._wrong(index, f"its column {name} is not what its bytes say")
        if said_at < self.last_at:
            self._wrong(index, "its time lies before the time of the entry ahead of it")
        self.last_at = said_at
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


def _read(stored: bytes) -> Body:
    """The members of stored bytes, which are nothing but one JSON object. Raises ValueError.

    Anything but an object is let through, and fails where it is looked at.
    """
    body: Body = from_json(stored, cache_strings="keys")
    return body
