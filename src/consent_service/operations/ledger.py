"""The ledger as auditors see it: its entries, proofs about them, and checkpoints."""

from dataclasses import dataclass
from datetime import timedelta

from consent_service.core import checkpoint, merkle
from consent_service.core.checkpoint import Checkpoint
from consent_service.core.clients import Client
from consent_service.core.errors import ClientNotPermitted, InvalidInput, LedgerDamaged, LedgerRolledBack
from consent_service.core.ledger import KeyUse
from consent_service.core.note import NoteFault
from consent_service.core.signing import decoded
from consent_service.store import checkpoints, keys, tree
from consent_service.store import ledger as ledger_store
from consent_service.store.checkpoints import Signed
from consent_service.store.db import ReadTx, WriteTx
from consent_service.store.ledger import Head, Stored

EVERY = timedelta(seconds=1)
"""How far one checkpoint is from the next at least."""


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """That an entry is in the ledger of this size: from its leaf hash the path leads to the root (RFC 6962)."""

    index: int
    size: int
    leaf_hash: bytes
    path: tuple[bytes, ...]
    root: bytes


@dataclass(frozen=True, slots=True)
class ConsistencyProof:
    """That the ledger of the second size is the one of the first with entries behind it (RFC 6962)."""

    first: int
    second: int
    path: tuple[bytes, ...]
    first_root: bytes
    second_root: bytes


async def inclusion(tx: ReadTx, _: Client | None, *, index: int, size: int | None = None) -> InclusionProof:
    """Prove that an entry is in the ledger of a size, or of all its entries now.

    Raises InvalidInput when there is no such entry or no such size, and LedgerDamaged.
    """
    head = await ledger_store.head(tx)
    size = _size(head, size, "query/size")
    if index >= size:
        raise InvalidInput.at("query/index", f"a ledger of {size} entries has none at this index; the first one is 0")
    ranges = merkle.inclusion_ranges(index, size)
    leaf, root, *path = await tree.hashes(tx, [(index, index + 1), (0, size), *ranges])
    if _departs(head, size, root) or not merkle.verify_inclusion(leaf, index, size, path, root):
        raise LedgerDamaged(_DAMAGED)
    return InclusionProof(index, size, leaf, tuple(path), root)


async def consistency(tx: ReadTx, _: Client | None, *, first: int, second: int | None = None) -> ConsistencyProof:
    """Prove that the ledger of the second size, or of now, extends that of the first, which has an entry or more.

    Raises InvalidInput for sizes that it never had or that go backwards, and LedgerDamaged.
    """
    head = await ledger_store.head(tx)
    second = _size(head, second, "query/to")
    if first > second:
        raise InvalidInput.at("query/from", f"a ledger of {second} entries extends none of more than those")
    ranges = merkle.consistency_ranges(first, second)
    first_root, second_root, *path = await tree.hashes(tx, [(0, first), (0, second), *ranges])
    verified = merkle.verify_consistency(first, second, path, first_root, second_root)
    if _departs(head, second, second_root) or not verified:
        raise LedgerDamaged(_DAMAGED)
    return ConsistencyProof(first, second, tuple(path), first_root, second_root)


async def entries(tx: ReadTx, client: Client, *, after: int, limit: int) -> tuple[list[Stored], int | None]:
    """Entries in order, from the one behind `after`, and the index to go on behind.

    Raises ClientNotPermitted for a client of certain purposes or namespaces, since the ledger tells of all.
    """
    if client.purposes or client.namespaces:
        raise ClientNotPermitted("The ledger tells of everybody; it takes a key for all purposes and all namespaces.")
    found = await ledger_store.stored_after(tx, after, limit=limit + 1)
    page = found[:limit]
    return page, page[-1].index if len(found) > limit else None


async def size(tx: ReadTx, _: Client) -> int:
    """How many entries there are."""
    return await ledger_store.size(tx)


async def standing(tx: ReadTx) -> tuple[int, Signed | None]:
    """How many entries there are, and the newest checkpoint."""
    return await ledger_store.size(tx), await checkpoints.newest(tx)


async def make_checkpoint(tx: WriteTx, *, origin: str, anchor: str | None) -> Signed | None:
    """Sign what the ledger is now, unless the newest checkpoint says it or is too young; answers the newest then.

    What departs from the newest anchor is never signed, nor a head that is not the root of the stored tree. Raises
    LedgerRolledBack and LedgerDamaged.
    """
    await checkpoints.lock(tx)
    newest, head = await checkpoints.newest(tx), await ledger_store.head(tx)
    if departed := await departure(tx, origin=origin, anchor=anchor):
        raise LedgerRolledBack(departed)
    if head.size <= (newest.size if newest else 0) or (newest and abs(tx.clock - newest.at) < EVERY):
        return newest
    if await tree.root_at(tx, head.size) != head.root:
        raise LedgerDamaged(_DAMAGED)
    note = checkpoint.signed(Checkpoint(origin, head.size, head.root), tx.keyring.checkpoint)
    made = Signed(head.size, tx.clock, note)
    await checkpoints.add(tx, made)
    return made


async def not_anchored(tx: ReadTx, *, origin: str, anchor: str | None, limit: int) -> list[Signed]:
    """The checkpoints of more entries than the newest anchor has, in order; without an anchor, the newest one.

    What a note says under its signature counts, never the row it lies in. Raises LedgerDamaged for one that does not
    hold, so that nobody can move the anchor by moving rows.
    """
    newest = await checkpoints.newest(tx) if anchor is None else None
    rows = [newest] if newest else await checkpoints.after(tx, checkpoint.size_of(anchor) if anchor else 0, limit=limit)
    trusted = await _checkpoint_keys(tx)
    for row in rows:
        try:
            if checkpoint.opened(row.note, origin, trusted).size != row.size:
                raise LedgerDamaged(_MISPLACED)
        except NoteFault:
            raise LedgerDamaged(_MISPLACED) from None
    return rows


async def departure(tx: ReadTx, *, origin: str, anchor: str | None) -> str | None:
    """Why the ledger is not the anchored one with entries behind it, or none; None if it is, or nothing is anchored."""
    if anchor is None:
        return None
    try:
        anchored = checkpoint.opened(anchor, origin, await _checkpoint_keys(tx))
    except NoteFault as fault:
        return f"The newest anchor is not of this ledger. {fault}"
    if await _extends(tx, anchored):
        return None
    return f"The ledger does not extend its newest anchor, which has {anchored.size} entries."


async def _checkpoint_keys(tx: ReadTx) -> set[bytes]:
    """Of whatever state: an anchor only ever holds the ledger to what it was."""
    published = [one.key.public_key for one in (await keys.known(tx)).values() if one.key.use is KeyUse.CHECKPOINT]
    return {tx.keyring.checkpoint.public_key, *(decoded(key) for key in published if key)}


async def _extends(tx: ReadTx, anchored: Checkpoint) -> bool:
    head = await ledger_store.head(tx)
    try:
        root = await tree.root_at(tx, anchored.size) if anchored.size <= head.size else None
    except LedgerDamaged:
        return False
    return root == anchored.root and not _departs(head, anchored.size, anchored.root)


def _size(head: Head, wanted: int | None, pointer: str) -> int:
    if wanted is not None and wanted > head.size:
        raise InvalidInput.at(pointer, f"the ledger has {head.size} entries, not yet as many as that")
    return head.size if wanted is None else wanted


def _departs(head: Head, size: int, root: bytes) -> bool:
    return size == head.size and root != head.root


_MISPLACED = "A stored checkpoint is not what was signed; consent-service verify names it."
_DAMAGED = "The ledger's stored hashes do not give its root; consent-service verify names the place."
