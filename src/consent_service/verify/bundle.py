"""A bundle: a ledger, or a part of it, in one file that needs no database and no server to be verified.

NOTE: bundles lie with auditors; docs/verify.md has the format, to which members may be added, never renamed.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from consent_service.verify import notes
from consent_service.verify.database import Tell, Trust
from consent_service.verify.entries import RUN, EntryRow, Walk
from consent_service.verify.keys import Keys
from consent_service.verify.notes import Claim, Notes
from consent_service.verify.projected import Others
from consent_service.verify.receipt import Receipt
from consent_service.verify.report import Report, Unreadable
from consent_service.verify.tree import leaf_hash, root_from_inclusion

FORMAT = "consent-service-ledger"
VERSION = 1
_LONGEST_LINE = 1 << 24
_BROKEN = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class _Header:
    """What a bundle says of itself."""

    origin: str
    size: int
    partial: bool


@dataclass(slots=True)
class _Lines:
    """The lines of a bundle behind its header, each once. `hashed` is the digest of those before the last."""

    report: Report
    hashed: "hashlib._Hash"
    read: int = 1
    ended: bool = False
    claims: list[Claim] = field(default_factory=list)

    def items(self, lines: Iterator[bytes]) -> Iterator[Mapping[str, Any]]:
        """Each line that is an entry; checkpoints wait in `claims`."""
        for line in lines:
            self.read += 1
            item = self._item(line)
            if self.ended:
                self._found("stands behind the end")
            elif "end" in item:
                self._end(item["end"])
            elif "checkpoint" in item:
                self._claim(item["checkpoint"])
            elif "entry" in item:
                yield item
            self.hashed.update(line)
        if not self.ended:
            self._found("would be the end of the bundle, and is missing")

    def _item(self, line: bytes) -> Mapping[str, Any]:
        try:
            item = json.loads(line)
        except _BROKEN:
            item = None
        if not isinstance(item, dict) or not item.keys() & {"entry", "checkpoint", "end"} or not line.endswith(b"\n"):
            self._found("is not a line of a bundle, or not all of it")
            return {}
        return item

    def _end(self, told: object) -> None:
        self.ended = True
        if told != {"lines": self.read, "sha256": self.hashed.hexdigest()}:
            self._found("says that the bundle has other lines than it has")

    def _claim(self, told: Any) -> None:  # noqa: ANN401 (whatever a file says)
        try:
            self.claims.append(notes.stored(int(told["size"]), str(told["at"]), told["note"]))
        except _BROKEN:
            self._found("is no checkpoint")

    def _found(self, what: str) -> None:
        self.report.found("bundle", f"line {self.read + (not self.ended and 'missing' in what)} {what}")


def verified(file: Path, trust: Trust, receipt: Receipt | None, tell: Tell) -> Report:
    """Verify a bundle. Raises Unreadable when it is none, or of another version than this program."""
    report, keys = Report(), Keys(trust.public_keys)
    try:
        with file.open("rb") as opened:
            first = opened.readline(_LONGEST_LINE)
            header = _header(file, first)
            lines = _Lines(report, hashlib.sha256(first))
            items = lines.items(iter(lambda: opened.readline(_LONGEST_LINE), b""))
            told = Notes(report, keys, trust.origin or header.origin)
            if header.partial:
                _check_part(items, lines, header, report, keys, told)
            else:
                _check_whole(items, lines, header, trust, report, keys, told, receipt, tell)
    except OSError as error:
        raise Unreadable(f"the bundle cannot be read: {error.strerror or error}") from error
    return report


def _header(file: Path, line: bytes) -> _Header:
    try:
        said = json.loads(line)
        name, version = said["bundle"], said["version"]
        header = _Header(said["origin"], said["size"], said["partial"])
    except _BROKEN:
        raise Unreadable(f"{file} is no bundle: its first line does not say so") from None
    if name != FORMAT or version != VERSION:
        raise Unreadable(
            f"{file} is a bundle of another kind or version than this program knows ({name!r}, {version!r})"
        )
    if not isinstance(header.origin, str) or type(header.size) is not int or type(header.partial) is not bool:
        raise Unreadable(f"{file} is no bundle: its first line does not say of what")
    return header


def _check_whole(
    items: Iterator[Mapping[str, Any]],
    lines: _Lines,
    header: _Header,
    trust: Trust,
    report: Report,
    keys: Keys,
    told: Notes,
    receipt: Receipt | None,
    tell: Tell,
) -> None:
    """Build the whole tree, and hold the checkpoints on the way against it."""
    others, walk = Others(report, keys), Walk(report)
    file = trust.anchors
    told.expect(None, notes.anchors(file, report, notes.length(file)) if file else None)
    if receipt:
        walk.wanted[receipt.index] = None
    for said, _ in walk.blocks(_runs(items, report)):
        for index, body in said.others:
            others.add(index, body)
        _check_claims(lines, walk, told)
        told.passed(walk.tree.begin, walk.tree.size, walk.tree.root_at)
        tell(walk.tree.size, header.size)
    _check_claims(lines, walk, told)
    told.finish(walk.tree.size)
    report.entries = walk.tree.size
    if walk.tree.size != header.size:
        report.found("bundle", f"the bundle says {header.size} entries, and has {walk.tree.size}", walk.tree.size)
    report.root = walk.tree.root_at(walk.tree.size)
    report.checked += ["entries and tree", f"{told.checkpoints} checkpoints"]
    _say_what_is_signed(report, told, trust)
    if receipt:
        receipt.check_in(report, keys, walk.wanted[receipt.index])


def _check_claims(lines: _Lines, walk: Walk, told: Notes) -> None:
    for claim in lines.claims:
        within = walk.tree.begin <= claim.size <= walk.tree.size
        if claim.size > walk.tree.size:
            what = f"the checkpoint of {claim.size} entries stands ahead of them"
            told.report.found("checkpoint", what, walk.tree.size)
        else:
            told.check(claim, walk.tree.root_at(claim.size) if within else None)
    lines.claims.clear()


def _say_what_is_signed(report: Report, told: Notes, trust: Trust) -> None:
    if told.signed_size < report.entries:
        behind = report.entries - told.signed_size
        report.unchecked.append(f"the newest {behind} entries: they lie behind the newest checkpoint, unsigned")
    if trust.anchors:
        report.checked.append("anchors")
    else:
        report.unchecked.append("anchors: none were given, and without them a ledger that was cut off is not noticed")


def _runs(items: Iterator[Mapping[str, Any]], report: Report) -> Iterator[Sequence[EntryRow]]:
    run: list[EntryRow] = []
    for item in items:
        try:
            run.append(_row(item["entry"]))
        except _BROKEN:
            report.found("bundle", "there is an entry that cannot be read")
        if len(run) == RUN:
            yield run
            run = []
    if run:
        yield run


def _row(entry: Mapping[str, Any]) -> EntryRow:
    body, leaf = entry["body"].encode("utf-8", "surrogateescape"), bytes.fromhex(entry["leaf_hash"])
    if type(entry["index"]) is not int:
        raise TypeError("an index is a whole number")
    return entry["index"], entry["at"], entry["kind"], entry["subject"], body, leaf


def _check_part(
    items: Iterator[Mapping[str, Any]], lines: _Lines, header: _Header, report: Report, keys: Keys, told: Notes
) -> None:
    """Each entry of a part proves for itself that it is in the ledger of the one checkpoint."""
    report.partial = True
    others, roots = Others(report, keys), set()
    for item in items:
        report.entries += 1
        try:
            row = _row(item["entry"])
            hashes = [bytes.fromhex(one) for one in item["hashes"]]
        except _BROKEN:
            report.found("bundle", "there is an entry that cannot be read")
            continue
        roots.add(_root(row, hashes, header.size, others, report))
    for claim in lines.claims:
        told.check(claim, None)
        report.root = told.root
    if roots - {report.root} or len(lines.claims) != 1:
        report.found("checkpoint", "the entries' proofs do not lead to the root of one signed checkpoint")
    report.checked.append("the entries and their proofs")
    report.unchecked.append("every other entry: the bundle says of itself that it is a part")


def _root(row: EntryRow, hashes: Sequence[bytes], size: int, others: Others, report: Report) -> bytes | None:
    """The root that the entry's proof leads to."""
    walk = Walk(report)
    walk.start(row[0])
    for said, _ in walk.blocks(iter([[row]])):
        for index, body in said.others:
            others.add(index, body)
    return root_from_inclusion(row[0], size, leaf_hash(row[4]), hashes)
