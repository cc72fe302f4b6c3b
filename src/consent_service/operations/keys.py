"""Keys: the ledger is brought to where the held ones stand, and rows are brought under the active ones."""

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from consent_service.core import keys, ledger, people
from consent_service.core.instants import to_text
from consent_service.core.keyring import KEY_ID_BYTES, mark
from consent_service.core.keys import Held, Key, KeyFault, Known, KnownKey
from consent_service.core.ledger import KeyChange, KeyState, KeyUse
from consent_service.core.signing import decoded
from consent_service.store import idempotency, seals
from consent_service.store import keys as key_store
from consent_service.store import ledger as ledger_store
from consent_service.store import people as people_store
from consent_service.store.db import ReadTx, WriteTx
from consent_service.store.ledger import Append
from consent_service.store.people import Named

_AT_ONCE = 500  # subjects whose identifiers are looked at together


async def known(tx: ReadTx) -> Known:
    """Every key that there ever was, by its id."""
    return await key_store.known(tx)


async def published(tx: ReadTx) -> list[KnownKey]:
    """The signing keys by which receipts and checkpoints are verified: next, active and retired."""
    return await key_store.published(tx, keys.SIGNING)


async def public_keys(tx: ReadTx, use: KeyUse) -> list[bytes]:
    """The raw public keys by which signatures of this use count, the retired ones too."""
    return await key_store.public_keys(tx, use)


async def wrong(tx: ReadTx, held: Held) -> list[KeyUse]:
    """The uses of which this database was written with a key that is not held."""
    there, marks = await key_store.known(tx), await key_store.marks(tx)
    in_entries = {one.key.use for one in there.values()}
    missing = set(keys.missing(held, there))
    for use in set(KeyUse) - in_entries:
        name = keys.name_of(use)
        if name in marks and marks[name] not in map(mark, held[use]):
            missing.add(use)
    return [use for use in KeyUse if use in missing]


async def reconcile(tx: WriteTx, held: Held) -> Known:
    """Enter into the ledger what changed with the held keys; answers every key as it stands then.

    Raises KeyFault when an active key is not held, or a use would be left without one.
    """
    append = await ledger_store.begin(tx)
    _refuse_wrong(await wrong(tx, held))
    _enter(append, keys.moves(held, await key_store.known(tx)))
    await append.write()
    await key_store.forget_marks(tx)
    now = await key_store.known(tx)
    active = {one.key.use for one in now.values() if one.state is KeyState.ACTIVE}
    if lacking := [keys.name_of(use) for use in KeyUse if use not in active]:
        raise KeyFault(f"{', '.join(lacking)}: every key that it holds is retired or revoked; add a new line to it")
    return now


async def in_use(tx: ReadTx, held: Held) -> Known:
    """Every key as it stands. Raises KeyFault when the held ones are not those that the database was written with."""
    _refuse_wrong(await wrong(tx, held))
    return await key_store.known(tx)


def _refuse_wrong(uses: Sequence[KeyUse]) -> None:
    if uses:
        names = ", ".join(map(keys.name_of, uses))
        raise KeyFault(f"{names}: not what this database was written with; bring back the right one")


async def revoke(tx: WriteTx, kid: str, held: Held) -> Key:
    """Let a key count no more: what it signed or sealed is not believed from now on.

    Raises KeyFault for an unknown key, the active one unless it is lost, and a master still needed.
    """
    append = await ledger_store.begin(tx)
    one = (await key_store.known(tx)).get(kid)
    if one is None:
        raise KeyFault("no key has this id; consent-service keys list shows them")
    _refuse_active(one, held)
    if one.key.use is KeyUse.MASTER:
        await _refuse_needed_master(tx, one)
    if one.state is not KeyState.REVOKED:
        _enter(append, [(one.key, KeyChange.REVOKED)])
        await append.write()
    return one.key


def _refuse_active(one: KnownKey, held: Held) -> None:
    """A lost key of these uses takes nothing along with it that the ledger does not hold."""
    use = one.key.use
    is_lost = use in keys.ROTATED[:3] and one.key.kid not in keys.ids(held)
    if one.state is KeyState.ACTIVE and not is_lost:
        first = f"consent-service keys rotate {use}" if use in keys.ROTATED else "consent-service keys repepper"
        raise KeyFault(
            "the client pepper cannot change, for only hashes are kept of client keys"
            if use is KeyUse.CLIENT_PEPPER
            else f"this is the active {use} key; first: {first}"
        )


async def _refuse_needed_master(tx: WriteTx, one: KnownKey) -> None:
    after: str | None = ""
    while after is not None:
        after = (await rewrap(tx, after)).after
    retired_at = await ledger_store.time_of(tx, one.index)
    if one.state is KeyState.RETIRED and retired_at and await idempotency.any_before(tx, retired_at):
        until = to_text(retired_at + idempotency.KEPT_FOR)
        raise KeyFault(f"answers to requests that may be repeated lie under it; it can be revoked after {until}")


@dataclass(frozen=True, slots=True)
class Page:
    """What became of a page of rows: behind which one to go on, None at the end; and how many were changed."""

    after: str | None
    changed: int = 0


async def reseal(tx: WriteTx, table: seals.Sealed, after: str) -> Page:
    """Bring a page of rows from retired seal keys under the active one."""
    there, changed = await key_store.known(tx), 0
    if not _leads(there, tx.keyring.seals[0]):
        return Page(None)
    rows = await seals.page(tx, table, after)
    retired = {decoded(one.key.kid)[:KEY_ID_BYTES] for one in _retired(there, KeyUse.SEAL)}
    if stale := seals.sealed_by(rows, retired):
        await ledger_store.begin(tx)  # whoever appends writes the same rows
        changed = await seals.reseal(tx, table, stale)
    return Page(rows[-1][0] if len(rows) == seals.PAGE else None, changed)


async def rewrap(tx: WriteTx, after: str) -> Page:
    """Bring a page of subjects' keys under the active master key."""
    changed = 0
    if not _leads(await key_store.known(tx), tx.keyring.masters[0]):
        return Page(None)
    rows = await seals.wrapped_page(tx, after)
    if stale := [(name, key) for name, key in rows if not tx.keyring.is_wrapped_now(name, key)]:
        await ledger_store.begin(tx)
        changed = await seals.rewrap(tx, stale)
    return Page(rows[-1][0] if len(rows) == seals.PAGE else None, changed)


async def retired_in_use(tx: ReadTx, use: KeyUse) -> bool:
    """Whether a retired key of this use is still held, so that rows may stand under it."""
    mine = tx.keyring.seals if use is KeyUse.SEAL else tx.keyring.masters
    return bool({one.key.kid for one in _retired(await key_store.known(tx), use)} & set(map(mark, mine)))


async def repepper(tx: WriteTx, pepper: bytes) -> int:
    """Let every identifier be found under another pepper, in this one transaction; answers how many there are.

    No other process may serve meanwhile. Raises KeyFault when a row is not what the ledger says.
    """
    append, count, after = await ledger_store.begin(tx), 0, ""
    ring = dataclasses.replace(tx.keyring, identifier_pepper=pepper)
    while found := await people_store.names_after(tx, after, limit=_AT_ONCE):
        names = await _in_clear(tx, found)
        await people_store.move(tx, [(named, ring.lookup(name)) for named, name in zip(found, names, strict=True)])
        count, after = count + len(found), max(named.subject for named in found)
    old = next(one for one in (await key_store.known(tx)).values() if _is_active(one, KeyUse.IDENTIFIER_PEPPER))
    new = keys.key_of(KeyUse.IDENTIFIER_PEPPER, pepper)
    _enter(append, [(new, KeyChange.PUBLISHED), (old.key, KeyChange.RETIRED), (new, KeyChange.ACTIVATED)])
    await append.write()
    return count


async def _in_clear(tx: ReadTx, found: list[Named]) -> list[people.Identifier]:
    details = await ledger_store.details_at(tx, [named.index for named in found])
    names = [
        people.identifier(str(detail["identifier"]), default_namespace=named.namespace)
        for named, (subject, detail) in zip(found, details, strict=False)
        if subject == named.subject
    ]
    if [tx.keyring.lookup(name) for name in names] != [named.lookup for named in found]:
        raise KeyFault("an identifier's row is not what the ledger says; run consent-service rebuild, then try again")
    return names


@dataclass(frozen=True, slots=True)
class Listed:
    """A key and since when it has been in its state."""

    known: KnownKey
    since: datetime | None


async def listed(tx: ReadTx) -> list[Listed]:
    """Every key that there ever was, by use, in the order of their last changes."""
    there = (await key_store.known(tx)).values()
    ordered = sorted(there, key=lambda one: list(KeyUse).index(one.key.use))
    return [Listed(one, await ledger_store.time_of(tx, one.index)) for one in ordered]


def _enter(append: Append, moves: Iterable[tuple[Key, KeyChange]]) -> None:
    for key, change in moves:
        body = ledger.KeyChanged(
            at=append.at,
            recorded_by=ledger.OPERATOR,
            change=change,
            use=key.use,
            kid=key.kid,
            public_key=key.public_key,
        )
        append.add(body)


def _retired(there: Known, use: KeyUse) -> Collection[KnownKey]:
    return [one for one in there.values() if one.key.use is use and one.state is KeyState.RETIRED]


def _is_active(one: KnownKey, use: KeyUse) -> bool:
    return one.key.use is use and one.state is KeyState.ACTIVE


def _leads(there: Known, secret: bytes) -> bool:
    """Whether the secret is the active one by the ledger too; a process that lags behind changes nothing."""
    one = there.get(mark(secret))
    return one is not None and one.state is KeyState.ACTIVE
