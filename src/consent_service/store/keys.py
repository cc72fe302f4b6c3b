"""The table of keys: which there were, and where each is in its life. No secret lies here."""

from collections.abc import Sequence

from sqlalchemy import Row, delete, select, text

from consent_service.core import ledger
from consent_service.core.keys import STATE_AFTER, Key, Known, KnownKey
from consent_service.core.ledger import KeyState, KeyUse
from consent_service.core.signing import decoded
from consent_service.store.db import ReadTx, WriteTx
from consent_service.store.tables import secret_mark, signing_key

UPSERT = text(
    'INSERT INTO signing_key (kid, "use", state, public_key, "index") '
    "VALUES (:kid, :use, :state, :public_key, :index) "
    'ON CONFLICT (kid) DO UPDATE SET state = excluded.state, "index" = excluded."index"'
)


def to_row(index: int, body: ledger.KeyChanged) -> dict[str, object]:
    """The row of a key as the entry `index` leaves it."""
    return {
        "kid": body.kid,
        "use": body.use.value,
        "state": STATE_AFTER[body.change].value,
        "public_key": body.public_key,
        "index": index,
    }


async def known(tx: ReadTx) -> Known:
    """Every key that there ever was, by its id, in the order of their last changes."""
    rows = await tx.rows(select(signing_key).order_by(signing_key.c.index))
    return {row.kid: _from_row(row) for row in rows}


async def public_keys(tx: ReadTx, use: KeyUse) -> list[bytes]:
    """The public keys by which signatures of this use count, the retired ones too."""
    return [decoded(one.key.public_key) for one in await published(tx, [use]) if one.key.public_key]


async def published(tx: ReadTx, uses: Sequence[KeyUse]) -> list[KnownKey]:
    """The keys of these uses that are not revoked."""
    found = (await known(tx)).values()
    return [one for one in found if one.key.use in uses and one.state is not KeyState.REVOKED]


async def marks(tx: ReadTx) -> dict[str, str]:
    """The marks of the secrets by their settings' names, as the service kept them before keys had entries."""
    return {row.name: row.mark for row in await tx.rows(select(secret_mark))}


async def forget_marks(tx: WriteTx) -> None:
    """Delete those marks; from now on the entries say it."""
    await tx.execute(delete(secret_mark))


def _from_row(row: "Row[tuple[str, str, str, str | None, int]]") -> KnownKey:
    key = Key(KeyUse(row.use), row.kid, row.public_key)
    return KnownKey(key, KeyState(row.state), row._mapping["index"])
