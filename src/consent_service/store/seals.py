"""Seals of rows and wrappings of subjects' keys: brought under the active key, page by page, after a rotation.

NOTE: what a seal is over may never change while rows hold seals. tests/store/test_seals.py holds golden bytes.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Row, Table, bindparam, select, update

from consent_service.core.instants import to_text
from consent_service.core.keyring import KEY_ID_BYTES, NONCE_BYTES
from consent_service.store.db import ReadTx, WriteTx
from consent_service.store.tables import client, policy_version, subject_identifier, subject_key, subject_state

Cells = Mapping[Any, Any]
"""A row's cells by the names of their columns."""

_LISTS = ("scopes", "purposes", "namespaces")

PAGE = 200
"""Rows that are looked at in one transaction: few enough that nobody waits."""


def state_message(subject: str, last_index: int, document: str) -> bytes:
    """What the seal of a subject's state is over."""
    return f"state\x00{subject}\x00{last_index}\x00{document}".encode()


def identifier_message(lookup: str, namespace: str, subject: str, index: int) -> bytes:
    """What the seal of an identifier's row is over."""
    return f"identifier\x00{lookup}\x00{namespace}\x00{subject}\x00{index}".encode()


def _state_message(row: Row[Any]) -> bytes:
    return state_message(row.subject, row.last_index, row.document)


def _identifier_message(row: Row[Any]) -> bytes:
    return identifier_message(row.lookup, row.namespace, row.subject, _index(row))


def client_message(row: Cells) -> bytes:
    """What the seal of a client's row is over."""
    return _joined(
        "client", row, ("id", "name", "key_hash", *_LISTS, "created_at", "expires_at", "revoked_at", "index")
    )


def policy_message(row: Cells) -> bytes:
    """What the seal of a policy version is over."""
    return _joined("policy", row, ("version", "effective_at", "published_at", "index", "document"))


def _joined(kind: str, row: Cells, names: Sequence[str]) -> bytes:
    return "\x00".join([kind, *(_as_text(row[name]) for name in names)]).encode()


def _as_text(cell: object) -> str:
    if cell is None:
        return ""
    return to_text(cell) if isinstance(cell, datetime) else str(cell)


def _index(row: Row[Any]) -> int:
    return int(row._mapping["index"])  # a tuple has a method of this name


@dataclass(frozen=True, slots=True)
class Sealed:
    """A table of sealed rows: what names a row, and what its seal is over."""

    table: Table
    name: "Column[str]"
    message: Callable[[Row[Any]], bytes]


SEALED = (
    Sealed(policy_version, policy_version.c.version, lambda row: policy_message(row._mapping)),
    Sealed(client, client.c.id, lambda row: client_message(row._mapping)),
    Sealed(subject_identifier, subject_identifier.c.lookup, _identifier_message),
    Sealed(subject_state, subject_state.c.subject, _state_message),
)
"""Every table of sealed rows."""


async def are_missing(tx: ReadTx) -> bool:
    """Whether rows were written before there were seals: a rebuild seals them, for it derives them from the ledger."""
    return await tx.first(select(policy_version.c.version).where(policy_version.c.seal.is_(None)).limit(1)) is not None


async def page(tx: ReadTx, sealed: Sealed, after: str) -> Sequence[tuple[str, bytes | None]]:
    """The rows behind `after` by their names, with their seals."""
    query = select(sealed.name.label("name"), sealed.table.c.seal).where(sealed.name > after)
    return [(row.name, row.seal) for row in await tx.rows(query.order_by(sealed.name).limit(PAGE))]


def sealed_by(rows: Sequence[tuple[str, bytes | None]], key_ids: Collection[bytes]) -> list[str]:
    """The rows whose seals these keys made, if what the seals begin with is true."""
    return [name for name, seal in rows if seal and bytes(seal[:KEY_ID_BYTES]) in key_ids]


async def reseal(tx: WriteTx, sealed: Sealed, names: Sequence[str]) -> int:
    """Seal these rows again under the active key; answers how many. A row whose seal is not true stays as it is."""
    rows = await tx.rows(select(sealed.table).where(sealed.name.in_(names)))
    true = [row for row in rows if tx.keyring.is_sealed(sealed.message(row), row.seal)]
    as_it_was = (sealed.name == bindparam("row_named"), sealed.table.c.seal == bindparam("was"))
    statement = update(sealed.table).where(*as_it_was).values(seal=bindparam("new"))
    return await tx.execute(
        statement,
        [
            {
                "row_named": row._mapping[sealed.name.name],
                "was": row.seal,
                "new": tx.keyring.seal_row(sealed.message(row)),
            }
            for row in true
        ],
    )


async def wrapped_page(tx: ReadTx, after: str) -> Sequence[tuple[str, bytes]]:
    """The subjects behind `after`, with their wrapped keys."""
    query = select(subject_key).where(subject_key.c.subject > after).order_by(subject_key.c.subject).limit(PAGE)
    return [(row.subject, row.wrapped_key) for row in await tx.rows(query)]


async def rewrap(tx: WriteTx, wrapped: Sequence[tuple[str, bytes]]) -> int:
    """Wrap these subjects' keys again under the active master key; answers how many."""
    ring = tx.keyring
    statement = (
        update(subject_key)
        .where(subject_key.c.subject == bindparam("row_named"), subject_key.c.wrapped_key == bindparam("was"))
        .values(wrapped_key=bindparam("new"))
    )
    return await tx.execute(
        statement,
        [
            {"row_named": name, "was": was, "new": ring.wrap(name, ring.unwrap(name, was), tx.entropy(NONCE_BYTES))}
            for name, was in wrapped
        ],
    )
