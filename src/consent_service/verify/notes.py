"""Checkpoints, in the database, in a bundle and in the anchor file, against the tree at their sizes."""

import heapq
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from consent_service.verify import note
from consent_service.verify.keys import Keys
from consent_service.verify.note import BadNote
from consent_service.verify.report import Report, Unreadable

_STORED, _ANCHOR = 0, 1
_LONGEST_LINE = 1 << 16


@dataclass(frozen=True, slots=True, order=True)
class Claim:
    """That the ledger had a root at a size. `source` is 0 for a checkpoint of the ledger's own, 1 for an anchor."""

    size: int
    source: int
    text: str
    at: str


class Notes:
    """Checks claims in the order of their sizes, as the tree grows past them."""

    def __init__(self, report: Report, keys: Keys, origin: str | None = None) -> None:
        self.signed_size = 0
        self.root = b""
        self.checkpoints = 0
        self.report = report
        self._keys = keys
        self._origin = origin
        self._stored: Claim | None = None
        self._claims: Iterator[Claim] = iter(())
        self._next: Claim | None = None
        self._with_stored = False

    def expect(self, stored: Iterator[Claim] | None, anchors: Iterator[Claim] | None) -> None:
        """What to check: the ledger's own checkpoints and the anchors, each in the order of their sizes."""
        self._with_stored = stored is not None
        self._claims = heapq.merge(*(self._rising(one) for one in (stored, anchors) if one is not None))
        self._next = next(self._claims, None)

    def passed(self, begin: int, size: int, root_at: Callable[[int], bytes]) -> None:
        """Check the claims of sizes from `begin` to `size`, whose roots the tree can tell now."""
        while self._next is not None and self._next.size <= size:
            claim, self._next = self._next, next(self._claims, None)
            self.check(claim, root_at(claim.size) if claim.size >= begin else None)

    def finish(self, size: int) -> None:
        """Say which claims are of a larger ledger than this is."""
        while self._next is not None:
            claim, self._next = self._next, next(self._claims, None)
            what = f"is of {claim.size} entries, and the ledger has {size}: its end is missing"
            self._found(claim, what, size, None)

    def check(self, claim: Claim, root: bytes | None) -> None:
        """Check one claim against the root that the tree has at its size."""
        try:
            told = note.read(claim.text)
        except BadNote as fault:
            self._found(claim, f"cannot be read: {fault}", None, None)
            return
        self._origin = self._origin or told.origin
        if told.size != claim.size or told.origin != self._origin:
            self._found(claim, "is of another size or another ledger than it should be", None, None)
        elif told.signer(self._keys.for_checkpoint(told.size)) is None:
            self._found(claim, "is not signed by a key that may sign checkpoints", None, None)
        elif root is not None and told.root != root:
            self._found(claim, "has another root than the entries give", self.signed_size, claim.size - 1)
        else:
            self.signed_size, self.root = max(self.signed_size, claim.size), told.root
        self._compare(claim)

    def _compare(self, claim: Claim) -> None:
        """An anchor was a checkpoint of the ledger before it was written down."""
        if claim.source == _STORED:
            self.checkpoints += 1
            self._stored = claim
        elif self._with_stored and (self._stored is None or self._stored.size != claim.size):
            self.report.found("checkpoint", f"the checkpoint of {claim.size} entries, which is anchored, is missing")
        elif self._stored and self._stored.size == claim.size and self._stored.at != claim.at:
            self._found(self._stored, "was made at another time than its anchor says", None, None)

    def _rising(self, claims: Iterator[Claim]) -> Iterator[Claim]:
        last = -1
        for claim in claims:
            if claim.size < last:
                self._found(claim, f"stands behind one of {last} entries", None, None)
                continue
            last = claim.size
            yield claim

    def _found(self, claim: Claim, what: str, first: int | None, last: int | None) -> None:
        check, name = ("anchor", "anchor") if claim.source == _ANCHOR else ("checkpoint", "checkpoint")
        self.report.found(check, f"the {name} of {claim.size} entries {what}", first, last)


def stored(size: int, at: str, text: str) -> Claim:
    """A checkpoint as the ledger's own tables or a bundle have it."""
    return Claim(size, _STORED, text, at)


def length(file: Path | None) -> int:
    """How many bytes a file of anchors has now; none if it is not there."""
    return file.stat().st_size if file is not None and file.exists() else 0


def anchors(file: Path, report: Report, until: int) -> Iterator[Claim]:
    """The anchors in so many bytes of a file, line by line. Raises Unreadable when there is no such file."""
    try:
        with file.open("rb") as lines:
            number = 0
            while line := lines.readline(min(_LONGEST_LINE, until - lines.tell())):
                number += 1
                if (claim := _anchor(line)) is not None:
                    yield claim
                elif line.endswith(b"\n") or lines.tell() < until:
                    report.found("anchor", f"line {number} of the anchors is none")
    except OSError as error:
        raise Unreadable(f"the anchors cannot be read: {error.strerror or error}") from error


def _anchor(line: bytes) -> Claim | None:
    try:
        told = json.loads(line)
        return Claim(note.read(told["checkpoint"]).size, _ANCHOR, told["checkpoint"], str(told["at"]))
    except (ValueError, KeyError, TypeError, BadNote, RecursionError):
        return None
