"""The checkpoints that were signed; never changed, never deleted."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from consent_service.store.db import ReadTx, WriteTx
from consent_service.store.tables import checkpoint

_LOCK = 0x636865636B706F69  # "checkpoi"; any number that nobody else of this database locks


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint as it was signed: of how many entries, when, and the note itself."""

    size: int
    at: datetime
    note: str


async def newest(tx: ReadTx) -> Signed | None:
    """The checkpoint of the most entries."""
    row = await tx.first(select(checkpoint).order_by(checkpoint.c.size.desc()).limit(1))
    return Signed(**row._mapping) if row else None


async def after(tx: ReadTx, size: int, *, limit: int) -> list[Signed]:
    """The checkpoints of more than so many entries, in order."""
    query = select(checkpoint).where(checkpoint.c.size > size).order_by(checkpoint.c.size).limit(limit)
    return [Signed(**row._mapping) for row in await tx.rows(query)]


async def lock(tx: WriteTx) -> None:
    """Let nobody else make a checkpoint until this transaction ends; appending goes on."""
    if tx.dialect == "postgresql":
        await tx.fetch("SELECT pg_advisory_xact_lock($1)", _LOCK)


async def add(tx: WriteTx, signed: Signed) -> None:
    """Record a checkpoint."""
    await tx.insert(checkpoint, [(signed.size, signed.at, signed.note)])
