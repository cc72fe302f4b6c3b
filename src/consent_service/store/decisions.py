"""The record of decisions: every answer given, written in the transaction that answers."""

from collections.abc import Sequence

from sqlalchemy import insert

from consent_service.store.db import WriteTx
from consent_service.store.tables import decision


async def record(tx: WriteTx, rows: Sequence[dict[str, object]]) -> None:
    """Write decisions, one row each."""
    await tx.execute(insert(decision), rows)
