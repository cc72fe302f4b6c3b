"""Clients and their keys: made, shown once, revoked at the next request."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from consent_service.core import ids, ledger
from consent_service.core.clients import Client, Scope, authenticated, key_from, recognised
from consent_service.core.errors import ClientNameTaken, ClientNotFound, ClientNotPermitted, InvalidInput
from consent_service.core.keyring import KEY_BYTES
from consent_service.core.policy import Policy
from consent_service.operations import policies
from consent_service.store import clients
from consent_service.store import ledger as ledger_store
from consent_service.store.db import ReadTx, WriteTx


@dataclass(frozen=True, slots=True)
class NewClient:
    """A client to be registered. Empty purposes or namespaces mean all of them."""

    name: str
    scopes: tuple[Scope, ...]
    purposes: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CreatedClient:
    """A client just made, with its key, which is never shown again."""

    client: Client
    key: str


async def recognise(tx: ReadTx, key_hash: str) -> Client:
    """The live client that holds the key, whatever its scopes. Raises Unauthenticated."""
    return recognised(await clients.by_key_hash(tx, key_hash), tx.now)


async def authenticate(tx: ReadTx, key_hash: str, scope: Scope) -> Client:
    """The live client that holds the key. Raises Unauthenticated or ScopeMissing."""
    return authenticated(await clients.by_key_hash(tx, key_hash), scope, tx.now)


async def create(tx: WriteTx, caller: Client | None, new: NewClient, *, client_id: str | None = None) -> CreatedClient:
    """Register a client and make its key. `caller` is None for the operator at the command line.

    `client_id` fixes the id, for the example client only.

    A caller confers only scopes, purposes and namespaces that it has itself. Raises ClientNotPermitted,
    ClientNameTaken, or InvalidInput for a purpose that the policy does not have.
    """
    append = await ledger_store.begin(tx)
    _refuse_more_than_own(caller, new)
    _refuse_unknown_purposes((await policies.in_force(tx)).policy, new.purposes)
    _refuse_past_expiry(new.expires_at, append.at)
    if await clients.live_by_name(tx, new.name):
        raise ClientNameTaken("A client of this name exists; choose another name, or revoke that client first.")
    key = key_from(base64.urlsafe_b64encode(tx.entropy(KEY_BYTES)).rstrip(b"=").decode())
    client = _client(client_id or ids.client_id(append.at, tx.entropy), append.at, new)
    append.add(_body(client, "created", append.at, tx.keyring.key_hash(key), caller))
    await append.write()
    return CreatedClient(client, key)


async def revoke(tx: WriteTx, caller: Client | None, client_id: str) -> None:
    """Revoke a client's key; from the next request on it opens nothing. Revoking twice changes nothing.

    Raises ClientNotFound.
    """
    append = await ledger_store.begin(tx)
    found = await clients.by_id(tx, client_id)
    if found is None:
        raise ClientNotFound("No client has this id; list them with GET /v1/clients.")
    client, key_hash = found
    if client.revoked_at is None:
        append.add(_body(client, "revoked", append.at, key_hash, caller))
        await append.write()


async def listed(tx: ReadTx, _: Client | None, *, after: str | None, limit: int) -> list[Client]:
    """Clients in the order in which they were created."""
    return await clients.page(tx, after=after, limit=limit)


async def any_exists(tx: ReadTx) -> bool:
    """Whether a client was ever made."""
    return await ledger_store.holds(tx, "client")


def _client(client_id: str, at: datetime, new: NewClient) -> Client:
    return Client(client_id, new.name, frozenset(new.scopes), new.purposes, new.namespaces, new.expires_at, None, at)


def _body(client: Client, change: str, at: datetime, key_hash: str, caller: Client | None) -> ledger.ClientChanged:
    return ledger.ClientChanged(
        at=at,
        recorded_by=recorder(caller),
        change="created" if change == "created" else "revoked",
        client=client.id,
        name=client.name,
        key_hash=key_hash,
        scopes=sorted(client.scopes),
        purposes=list(client.purposes),
        namespaces=list(client.namespaces),
        expires_at=client.expires_at,
    )


def recorder(caller: Client | None) -> str:
    """Who an entry says recorded it."""
    return caller.id if caller else ledger.OPERATOR


def _refuse_more_than_own(caller: Client | None, new: NewClient) -> None:
    if caller is None:
        return
    lacking = sorted(set(new.scopes) - caller.scopes)
    if lacking:
        raise ClientNotPermitted(f"You can only give scopes that your own key has; it lacks {', '.join(lacking)}.")
    _refuse_wider("purposes", caller.purposes, new.purposes, all(map(caller.may_ask_for, new.purposes)))
    _refuse_wider("namespaces", caller.namespaces, new.namespaces, all(map(caller.may_touch, new.namespaces)))


def _refuse_wider(what: str, own: Sequence[str], given: Sequence[str], within_own: bool) -> None:
    if own and not (given and within_own):
        raise ClientNotPermitted(f"You can only give {what} that your own key is registered for: {', '.join(own)}.")


def _refuse_unknown_purposes(policy: Policy, purposes: Sequence[str]) -> None:
    for position, code in enumerate(purposes):
        if policy.find(code) is None:
            raise InvalidInput.at(f"/purposes/{position}", policy.unknown_sentence(code))


def _refuse_past_expiry(expires_at: datetime | None, now: datetime) -> None:
    if expires_at is not None and expires_at <= now:
        raise InvalidInput.at("/expires_at", "the expiry must lie in the future")
