"""The table of clients."""

import functools
import json
import logging
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select, update

from consent_service.core import ledger
from consent_service.core.clients import Client, Scope
from consent_service.core.instants import from_text, instant
from consent_service.store import seals
from consent_service.store.db import ReadTx, WriteTx
from consent_service.store.seals import Cells
from consent_service.store.tables import client

logger = logging.getLogger(__name__)


def from_row(tx: ReadTx, row: Row[Any]) -> Client:
    """A row of the table, or of a query that has its columns."""
    cells = row._mapping
    return _client(cells) if is_true(tx, cells, row.seal) else _untrusted(tx, cells)


def from_json(tx: ReadTx, text: str, seal: bytes | None) -> Client:
    """A row of the table as one JSON object."""
    row, message = _read(text)
    return _client_in(text) if _is_sealed(tx, row, message, seal) else _untrusted(tx, row)


@functools.lru_cache(maxsize=1024)
def _read(text: str) -> tuple[Cells, bytes | None]:
    """The row, and what its seal is over; None for a row that we cannot have written."""
    row = json.loads(text)
    try:
        row |= {name: _instant(row[name]) for name in ("expires_at", "revoked_at", "created_at")}
    except ValueError:
        return row, None
    return row, seals.client_message(row)


@functools.lru_cache(maxsize=1024)
def _client_in(text: str) -> Client:
    """The client whose row was found to be true."""
    return _client(_read(text)[0])


def _untrusted(tx: ReadTx, row: Cells) -> Client:
    """A client who may nothing, whatever the row says."""
    return Client(row["id"], row["name"], frozenset(), (), (), None, None, tx.now, trusted=False)


def _client(row: Cells) -> Client:
    return Client(
        row["id"],
        row["name"],
        frozenset(Scope(scope) for scope in json.loads(row["scopes"])),
        tuple(json.loads(row["purposes"])),
        tuple(json.loads(row["namespaces"])),
        row["expires_at"],
        row["revoked_at"],
        row["created_at"],
    )


def is_true(tx: ReadTx, row: Cells, seal: bytes | None) -> bool:
    """Whether a client's row is what we wrote."""
    return _is_sealed(tx, row, seals.client_message(row), seal)


def _is_sealed(tx: ReadTx, row: Cells, message: bytes | None, seal: bytes | None) -> bool:
    true = seal is not None and message is not None and tx.keyring.is_sealed(message, seal)
    if not true:
        tx.trust.untrusted += 1
        logger.error("record_untrusted: the row of client %s fails its seal", row["id"])
    return true


async def revoke(tx: WriteTx, revoked: Mapping[str, datetime]) -> None:
    """Write down since when these clients' keys do not count. A row that fails its seal fails it from then on, too."""
    for row in await tx.rows(select(client).where(client.c.id.in_(list(revoked)))) if revoked else ():
        cells = {**row._mapping, "revoked_at": revoked[row.id]}
        seal = tx.keyring.seal_row(seals.client_message(cells)) if is_true(tx, row._mapping, row.seal) else None
        await tx.execute(update(client).where(client.c.id == row.id).values(revoked_at=revoked[row.id], seal=seal))


def _instant(text: str | None) -> datetime | None:
    return None if text is None else instant(from_text(text))


def to_row(index: int, body: ledger.ClientChanged) -> dict[str, object]:
    """The row of a client that was created by the entry `index`."""
    return {
        "id": body.client,
        "name": body.name,
        "key_hash": body.key_hash,
        "scopes": json.dumps(body.scopes),
        "purposes": json.dumps(body.purposes),
        "namespaces": json.dumps(body.namespaces),
        "created_at": body.at,
        "expires_at": body.expires_at,
        "revoked_at": None,
        "index": index,
    }


async def by_key_hash(tx: ReadTx, key_hash: str) -> Client | None:
    """The client that holds the key, live or not."""
    row = await tx.first(select(client).where(client.c.key_hash == key_hash))
    return from_row(tx, row) if row else None


async def by_id(tx: ReadTx, client_id: str) -> tuple[Client, str] | None:
    """The client of this id, and its key's hash."""
    row = await tx.first(select(client).where(client.c.id == client_id))
    return (from_row(tx, row), row.key_hash) if row else None


async def live_by_name(tx: ReadTx, name: str) -> Client | None:
    """The client of this name that is not revoked."""
    row = await tx.first(select(client).where(client.c.name == name, client.c.revoked_at.is_(None)))
    return from_row(tx, row) if row else None


async def live_named(tx: ReadTx, names: Collection[str]) -> dict[str, Client]:
    """The clients of these names whose keys still count, by name."""
    if not names:
        return {}
    rows = await tx.rows(select(client).where(client.c.name.in_(list(names)), client.c.revoked_at.is_(None)))
    found = [from_row(tx, row) for row in rows]
    return {one.name: one for one in found if one.is_live(tx.now)}


async def page(tx: ReadTx, *, after: str | None, limit: int) -> list[Client]:
    """Clients in the order in which they were created, from the one behind the id `after`."""
    query = select(client).order_by(client.c.index).limit(limit)
    if after is not None:
        last = select(client.c.index).where(client.c.id == after).scalar_subquery()
        query = query.where(client.c.index > last)
    return [from_row(tx, row) for row in await tx.rows(query)]
