"""Marks of the secrets that the database was written with, so that a wrong one is noticed before it does harm."""

from sqlalchemy import insert, select

from consent_service.store.db import ReadTx, WriteTx
from consent_service.store.tables import secret_mark


async def wrong(tx: ReadTx) -> list[str]:
    """The names of the settings whose secret is not the one that this database was written with."""
    marks = tx.keyring.marks()
    return [row.name for row in await tx.rows(select(secret_mark)) if marks.get(row.name) != row.mark]


async def remember(tx: WriteTx) -> None:
    """Write the marks, unless they are there."""
    known = {row.name for row in await tx.rows(select(secret_mark.c.name))}
    marks = tx.keyring.marks()
    await tx.execute(insert(secret_mark), [{"name": n, "mark": m} for n, m in marks.items() if n not in known])
