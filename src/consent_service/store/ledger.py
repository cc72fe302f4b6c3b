"""The ledger: the one door through which state changes, entry and projection together."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select

from consent_service.core import ledger, merkle
from consent_service.core.keyring import KEY_BYTES, NONCE_BYTES, opened, seal
from consent_service.core.projection import SubjectState
from consent_service.store import projection, tree
from consent_service.store.db import ReadTx, WriteTx
from consent_service.store.tables import entry_detail, ledger_entry, ledger_head, ledger_node, subject_key

EntryRow = tuple[int, datetime, str, str | None, bytes, bytes]

_SALT_BYTES = 32
_THE_HEAD = 1
_LOCKED_HEAD = {
    "postgresql": "SELECT size, at, frontier FROM ledger_head FOR UPDATE",
    "sqlite": "SELECT size, at, frontier FROM ledger_head",
}
_KEYS = {
    "postgresql": "SELECT subject, wrapped_key FROM subject_key WHERE subject = ANY($1::text[])",
    "sqlite": "SELECT subject, wrapped_key FROM subject_key WHERE subject IN (SELECT value FROM json_each(?1))",
}


@dataclass(frozen=True, slots=True)
class Stored:
    """One entry as it is stored, whatever its body says."""

    index: int
    at: datetime
    kind: str
    subject: str | None
    body: bytes
    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored entry.

    `body_bytes` are what was hashed; `detail` is its personal part, if it has one; `erased` says that the subject's key
    is gone, and with it whatever was personal.
    """

    index: int
    at: datetime
    body: ledger.Body
    body_bytes: bytes
    leaf_hash: bytes
    detail: ledger.JsonObject | None
    erased: bool

    @property
    def stored(self) -> Stored:
        """The entry as it is stored."""
        subject = ledger.subject_of(self.body)
        return Stored(self.index, self.at, self.body.kind, subject, self.body_bytes, self.leaf_hash)


@dataclass(frozen=True, slots=True)
class Head:
    """How many entries there are, and the root hash of their tree."""

    size: int
    root: bytes


class Append:
    """Entries on their way into the ledger. Holds the head's lock, so indexes are dense and order is commit order.

    `at` is the entries' time: the clock's, or the head's if that is later, so that time never runs backwards.
    """

    def __init__(self, tx: WriteTx, size: int, head_at: datetime, frontier: bytes) -> None:
        self.at = max(tx.now, head_at)
        self.changes = projection.Changes(tx.keyring)
        self._tx = tx
        self._size = size
        self._frontier = frontier
        self._entries: list[EntryRow] = []
        self._details: list[tuple[int, bytes, bytes]] = []
        self._wrapped: dict[str, bytes] = {}
        self._new_keys: list[tuple[str, bytes]] = []

    @property
    def as_of(self) -> int:
        """The ledger's size with what was added; the next entry's index."""
        return self._size + len(self._entries)

    async def load(self, states: Iterable[SubjectState]) -> None:
        """Make known the subjects that entries will be about: their states, read under this lock, and their keys."""
        self.changes.states.update((state.subject, state) for state in states)
        wanted = [subject for subject in self.changes.states if subject not in self._wrapped]
        if not wanted:
            return
        asked: object = wanted if self._tx.dialect == "postgresql" else json.dumps(wanted)
        self._wrapped.update([(name, key) for name, key in await self._tx.fetch(_KEYS[self._tx.dialect], asked)])

    def add(self, body: ledger.Body, detail: ledger.JsonObject | None = None) -> int:
        """Add one entry, fold it into the projection, and answer its index. `detail` is what is personal in it."""
        index, subject = self.as_of, ledger.subject_of(body)
        if isinstance(body, ledger.SubjectRecorded) and subject not in self._wrapped:
            self._make_key(body.subject)
        if detail is not None and subject is not None:
            body = self._with_detail(index, subject, body, detail)
        self._entries.append(_entry_row(index, body))
        self.changes.add(index, body, detail)
        return index

    async def write(self) -> None:
        """Write entries, details, projection and head; nothing if nothing was added."""
        if not self._entries:
            return
        tx, size = self._tx, self.as_of
        leaf_hashes = (row[-1] for row in self._entries)
        frontier, nodes = merkle.grown(tree.split(self._frontier), self._size, leaf_hashes)
        await tx.insert(ledger_entry, self._entries)
        await tx.insert(ledger_node, nodes)
        await tx.insert(subject_key, self._new_keys)
        await tx.insert(entry_detail, self._details)
        await self.changes.write(tx)
        await tx.upsert(ledger_head, [(_THE_HEAD, size, self.at, b"".join(frontier))])
        tx.trust.latest = max(tx.trust.latest, self.at)

    def _make_key(self, subject: str) -> None:
        key, nonce = self._tx.entropy(KEY_BYTES), self._tx.entropy(NONCE_BYTES)
        self._wrapped[subject] = self._tx.keyring.wrap(subject, key, nonce)
        self._new_keys.append((subject, self._wrapped[subject]))

    def _with_detail(self, index: int, subject: str, body: ledger.Body, detail: ledger.JsonObject) -> ledger.Body:
        salt, nonce = self._tx.entropy(_SALT_BYTES), self._tx.entropy(NONCE_BYTES)
        key, clear = self._tx.keyring.unwrap(subject, self._wrapped[subject]), ledger.detail_bytes(detail)
        self._details.append((index, salt, seal(key, clear, nonce, context(index, subject))))
        return body.model_copy(update={"commitment": ledger.commitment(salt, clear)})


async def begin(tx: WriteTx) -> Append:
    """Lock the head. From here to the commit nobody else appends, and whoever waited sees what was appended."""
    rows = await tx.fetch(_LOCKED_HEAD[tx.dialect])
    if not rows:
        raise LookupError("the ledger has no head row; its migration did not run")
    size, at, frontier = rows[0]
    return Append(tx, size, tx.loaded(at), frontier)


_ENTRIES = (
    select(ledger_entry, entry_detail.c.ciphertext, subject_key.c.wrapped_key)
    .outerjoin(entry_detail, entry_detail.c.index == ledger_entry.c.index)
    .outerjoin(subject_key, subject_key.c.subject == ledger_entry.c.subject)
    .order_by(ledger_entry.c.index)
)


async def entries_of(
    tx: ReadTx,
    subject: str,
    *,
    kinds: Sequence[str] | None = None,
    after: int = -1,
    before: int | None = None,
    limit: int | None = None,
) -> list[Entry]:
    """A subject's entries in order: of these kinds, behind `after`, before `before`."""
    return await entries_of_all(tx, [subject], kinds=kinds, after=after, before=before, limit=limit)


async def entries_of_all(
    tx: ReadTx,
    subjects: Sequence[str],
    *,
    kinds: Sequence[str] | None = None,
    after: int = -1,
    before: int | None = None,
    limit: int | None = None,
) -> list[Entry]:
    """The same for several subjects."""
    query = _ENTRIES.where(ledger_entry.c.subject.in_(subjects), ledger_entry.c.index > after)
    if kinds is not None:
        query = query.where(ledger_entry.c.kind.in_(kinds))
    if before is not None:
        query = query.where(ledger_entry.c.index < before)
    return [_entry(tx, row) for row in await tx.rows(query.limit(limit))]


async def entries_at(tx: ReadTx, indexes: Sequence[int]) -> list[Entry]:
    """The entries at these indexes, in order."""
    return [_entry(tx, row) for row in await tx.rows(_ENTRIES.where(ledger_entry.c.index.in_(indexes)))]


async def stored_after(tx: ReadTx, after: int, *, limit: int) -> list[Stored]:
    """Entries as they are stored, in order, from the one behind `after`."""
    query = select(ledger_entry).where(ledger_entry.c.index > after).order_by(ledger_entry.c.index).limit(limit)
    return [Stored(**row._mapping) for row in await tx.rows(query)]


async def indexes_of(tx: ReadTx, subject: str) -> list[int]:
    """The indexes of a subject's entries, in order."""
    query = select(ledger_entry.c.index).where(ledger_entry.c.subject == subject).order_by(ledger_entry.c.index)
    return [row[0] for row in await tx.rows(query)]


async def indexes_of_kind(tx: ReadTx, kind: str, *, before: int) -> list[int]:
    """The indexes of the entries of a kind that is about no subject, in order."""
    of_kind = (ledger_entry.c.subject.is_(None), ledger_entry.c.kind == kind, ledger_entry.c.index < before)
    query = select(ledger_entry.c.index).where(*of_kind).order_by(ledger_entry.c.index)
    return [row[0] for row in await tx.rows(query)]


async def time_of(tx: ReadTx, index: int) -> datetime | None:
    """When the entry at this index was made; None if there is none."""
    row = await tx.first(select(ledger_entry.c.at).where(ledger_entry.c.index == index))
    return row.at if row else None


async def holds(tx: ReadTx, kind: str) -> bool:
    """Whether there is an entry of a kind that is made at the first start, so that it is found at once."""
    query = select(ledger_entry.c.index).where(ledger_entry.c.kind == kind).order_by(ledger_entry.c.index).limit(1)
    return await tx.first(query) is not None


async def size(tx: ReadTx) -> int:
    """How many entries there are."""
    return (await head(tx)).size


async def head(tx: ReadTx) -> Head:
    """How many entries there are, and the root of their tree."""
    row = await tx.first(select(ledger_head.c.size, ledger_head.c.frontier))
    return Head(row.size, merkle.root(tree.split(row.frontier))) if row else Head(0, merkle.root(()))


async def size_at(tx: ReadTx, at: datetime) -> int:
    """How many entries were made up to an instant. Their times never fall, so halving finds it."""
    low, high = 0, await size(tx)
    while low < high:
        middle = (low + high) // 2
        made_at = await time_of(tx, middle)
        low, high = (middle + 1, high) if made_at is not None and made_at <= at else (low, middle)
    return low


async def entries_after(tx: ReadTx, after: int, *, limit: int) -> list[Entry]:
    """Entries in order, from the one behind `after`."""
    return [_entry(tx, row) for row in await tx.rows(_ENTRIES.where(ledger_entry.c.index > after).limit(limit))]


async def details_at(tx: ReadTx, indexes: Sequence[int]) -> list[tuple[str, ledger.JsonObject]]:
    """The subject and the personal detail of each of these entries, in order; the erased are left out."""
    query = (
        select(entry_detail, ledger_entry.c.subject, subject_key.c.wrapped_key)
        .join(ledger_entry, ledger_entry.c.index == entry_detail.c.index)
        .join(subject_key, subject_key.c.subject == ledger_entry.c.subject)
        .where(entry_detail.c.index.in_(indexes))
        .order_by(entry_detail.c.index)
    )
    return [(row.subject, _detail_of(tx, row)) for row in await tx.rows(query)]


def _entry_row(index: int, body: ledger.Body) -> EntryRow:
    """The cells in the order of the table's columns."""
    stored = ledger.to_bytes(body)
    return index, body.at, body.kind, ledger.subject_of(body), stored, merkle.leaf_hash(stored)


def _entry(tx: ReadTx, row: Row[Any]) -> Entry:
    index, detail = row._mapping["index"], None
    if row.ciphertext is not None and row.wrapped_key is not None:
        detail = _detail_of(tx, row)
    erased = row.subject is not None and row.wrapped_key is None
    return Entry(index, row.at, ledger.from_bytes(row.body), row.body, row.leaf_hash, detail, erased)


def _detail_of(tx: ReadTx, row: Row[Any]) -> ledger.JsonObject:
    key = tx.keyring.unwrap(row.subject, row.wrapped_key)
    detail: ledger.JsonObject = json.loads(opened(key, row.ciphertext, context(row._mapping["index"], row.subject)))
    return detail


def context(index: int, subject: str) -> str:
    """What the encryption of a detail is bound to: the entry and its subject."""
    return f"{subject}/{index}"
