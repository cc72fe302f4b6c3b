"""A whole database, verified from its raw rows: ledger, tree, checkpoints, anchors, projection, seals, details."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from consent_service.verify import notes, projected, source, subjects
from consent_service.verify.entries import RUN, Walk
from consent_service.verify.keys import Keys
from consent_service.verify.notes import Notes
from consent_service.verify.projected import Others
from consent_service.verify.receipt import Receipt
from consent_service.verify.report import Report, Unreadable
from consent_service.verify.secrets import Secrets, mark
from consent_service.verify.source import TABLES, Source, rows, statement
from consent_service.verify.spill import Spill
from consent_service.verify.subjects import Details, Subjects

Tell = Callable[[int, int], None]
"""Hears how much of how much is done."""


@dataclass(frozen=True, slots=True)
class Trust:
    """What the auditor brings along: anchors, public keys that may sign checkpoints, the origin, and secrets if any.

    `anchors_due` says that there have to be anchors as soon as there are checkpoints.
    """

    anchors: Path | None = None
    anchors_due: bool = False
    public_keys: tuple[bytes, ...] = ()
    origin: str | None = None
    secrets: Secrets = field(default_factory=Secrets)


def verified(url: str, trust: Trust, receipt: Receipt | None, tell: Tell) -> Report:
    """Verify the database at `url`, and a receipt that it gave. Raises Unreadable."""
    anchored = notes.length(trust.anchors)  # before the snapshot, which a running service anchors beyond
    with source.opened(url) as database:
        report = Report()
        present = _present(database, report)
        _Verification(database, report, trust, anchored, receipt, present, tell).run()
        return report


def _present(database: Source, report: Report) -> set[str]:
    """Which of the tables are there, whole."""
    found = database.columns()
    if not found.keys() & TABLES.keys():
        raise Unreadable("there is no ledger in this database")
    present = {table for table, columns in TABLES.items() if found.get(table, set()) >= set(columns)}
    for table in TABLES.keys() - present:
        report.found("schema", f"the table {table} is missing, or lacks a column")
    return present


class _Verification:
    def __init__(
        self,
        database: Source,
        report: Report,
        trust: Trust,
        anchored: int,
        receipt: Receipt | None,
        present: set[str],
        tell: Tell,
    ) -> None:
        self._database = database
        self._report = report
        self._keys = Keys(trust.public_keys)
        self._receipt = receipt
        self._trust = trust
        self._anchored = anchored
        self._present = present
        self._size = _count(database) if "ledger_entry" in present else 0
        self._tell = tell

    def run(self) -> None:
        others, notes_ = Others(self._report, self._keys), Notes(self._report, self._keys, self._trust.origin)
        with Spill(self._size) as spill:
            self._walk(spill, others, notes_)
            held = self._held()
            others.check(self._database, held, self._present)
            subjects.gather(self._database, spill, held, self._present)
            done = self._size
            for count in Subjects(self._report, held, self._present).check(spill):
                done += count
                self._tell(done, 2 * self._size)
        self._say_what_was_checked(notes_)

    def _walk(self, spill: Spill, others: Others, notes_: Notes) -> None:
        walk, nodes = Walk(self._report), _Nodes(self._database, self._report)
        details = Details(self._report, self._rows("entry_detail", '"index"'))
        notes_.expect(self._checkpoints(), self._anchors())
        walk.wanted.update({self._receipt.index: None} if self._receipt else {})
        runs = self._database.batches(statement("ledger_entry", '"index"'), RUN)
        for told, made in walk.blocks(runs if "ledger_entry" in self._present else iter(())):
            for index, body in told.others:
                others.add(index, body)
            spill.add(told.facts)
            spill.add(details.of(told.facts))
            if "ledger_node" in self._present:
                nodes.check(made)
            notes_.passed(walk.tree.begin, walk.tree.size, walk.tree.root_at)
            self._tell(walk.tree.size, 2 * self._size)
        details.rest()
        self._report.entries = walk.tree.size
        if self._receipt:
            self._receipt.check_in(self._report, self._keys, walk.wanted[self._receipt.index])
        notes_.passed(walk.tree.begin, walk.tree.size, walk.tree.root_at)
        notes_.finish(walk.tree.size)
        if "ledger_node" in self._present:
            nodes.finish()
        self._report.root = walk.tree.root_at(walk.tree.size)
        if "ledger_head" in self._present:
            projected.check_head(self._database, self._report, walk.tree.frontier(), walk.last_at)

    def _rows(self, table: str, order: str) -> Iterator[source.Row]:
        return rows(self._database, table, order) if table in self._present else iter(())

    def _checkpoints(self) -> Iterator[notes.Claim]:
        for size, at, text in self._rows("checkpoint", "size"):
            yield notes.stored(size, str(projected.told(at)), text)

    def _anchors(self) -> Iterator[notes.Claim] | None:
        file = self._trust.anchors
        if file is None or (self._trust.anchors_due and not file.exists()):
            return None
        return notes.anchors(file, self._report, self._anchored)

    def _held(self) -> Secrets:
        """The secrets at hand that the ledger knows: none that was revoked, and the pepper that is in use."""
        held, revoked = self._trust.secrets, {key.kid for key in self._keys.by_kid.values() if key.state == "revoked"}
        for use, kids in held.kids().items():
            if (active := self._keys.active(use)) is not None and active not in kids:
                self._report.found("secret", f"the {use} at hand is not the one that the ledger says is active")
        return replace(
            held,
            seals=[one for one in held.seals if mark(one) not in revoked],
            identifier_peppers=_in_use(held.identifier_peppers, self._keys.active("identifier_pepper")),
        )

    def _say_what_was_checked(self, notes_: Notes) -> None:
        report, held = self._report, self._trust.secrets
        if (
            self._trust.anchors_due
            and notes_.checkpoints
            and not (self._trust.anchors and self._trust.anchors.exists())
        ):
            report.found("anchor", "there are checkpoints, and the anchor file is missing")
        report.checked += ["entries, tree and head", f"{notes_.checkpoints} checkpoints", "the projection"]
        if notes_.signed_size < report.entries:
            behind = report.entries - notes_.signed_size
            report.unchecked.append(f"the newest {behind} entries: they lie behind the newest checkpoint, unsigned")
        for name, given in (
            ("anchors", self._trust.anchors),
            ("the seals of rows", held.seals),
            ("the personal details", held.masters),
            ("under what identifiers are found", held.masters and held.identifier_peppers),
        ):
            (report.checked if given else report.unchecked).append(name if given else f"{name}: {_LACKING[name]}")


_LACKING: Mapping[str, str] = {
    "anchors": "none were given, and without them an old backup put back whole is not noticed",
    "the seals of rows": "the seal key is not at hand",
    "the personal details": "the master key is not at hand",
    "under what identifiers are found": "the master key and the identifier pepper are not both at hand",
}


def _in_use(secrets: Iterable[bytes], active: str | None) -> list[bytes]:
    held = list(secrets)
    return [one for one in held if mark(one) == active] or held[-1:]


def _count(database: Source) -> int:
    """How many entries there are, or about as many: the newest one's index tells it at once."""
    query = 'SELECT coalesce(max("index"), -1) + 1 FROM ledger_entry'
    return max(0, int(next(iter(database.batches(query, 1)))[0][0]))


class _Nodes:
    """The stored nodes of the tree, level by level, beside those that the entries give."""

    def __init__(self, database: Source, report: Report) -> None:
        self._database = database
        self._report = report
        self._levels: dict[int, Iterator[source.Row]] = {}
        self._counts: dict[int, int] = {}

    def check(self, made: Iterable[tuple[int, int, bytes]]) -> None:
        """Compare the next nodes of each level."""
        for level, position, node in made:
            if level not in self._levels:
                self._levels[level] = rows(self._database, "ledger_node", "position", where=f"level = {level}")
            self._counts[level] = self._counts.get(level, 0) + 1
            if tuple(next(self._levels[level], ())) != (level, position, node):
                what = f"the tree's node {position} on level {level} is missing, or is not what the entries give"
                self._report.found("tree", what, position << level, (position + 1 << level) - 1)

    def finish(self) -> None:
        """Say what is there beyond the tree."""
        query = "SELECT level, count(*) FROM ledger_node GROUP BY level"
        stored = {level: count for batch in self._database.batches(query, 100) for level, count in batch}
        if stored != self._counts:
            self._report.found("tree", "the tree has other nodes than the entries make")
