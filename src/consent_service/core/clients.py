"""Clients: the calling systems, their keys and what they may touch."""

import functools
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from consent_service.core import errors

KEY_PREFIX = "csk_"
_SECRET_LENGTH = 43  # 32 random bytes in base64url without padding
_CHECKSUM_LENGTH = 8


class Scope(StrEnum):
    """What a key may do; each route names the one it asks for."""

    CHECK = "check"
    CONSENTS_READ = "consents:read"
    CONSENTS_WRITE = "consents:write"
    PEOPLE_READ = "people:read"
    PEOPLE_WRITE = "people:write"
    REQUESTS_WRITE = "requests:write"
    DISCLOSURES_WRITE = "disclosures:write"
    POLICY_WRITE = "policy:write"
    AUDIT_READ = "audit:read"
    WEBHOOKS_WRITE = "webhooks:write"
    CLIENTS_WRITE = "clients:write"


@dataclass(frozen=True, slots=True)
class Client:
    """A calling system. Empty `purposes` or `namespaces` mean all of them; `trusted`: its row's seal is true."""

    id: str
    name: str
    scopes: frozenset[Scope]
    purposes: tuple[str, ...]
    namespaces: tuple[str, ...]
    expires_at: datetime | None
    revoked_at: datetime | None
    created_at: datetime
    trusted: bool = True

    def may_ask_for(self, purpose: str) -> bool:
        """Whether the purpose, or a branch above it, is in the client's registration."""
        return not self.purposes or any(purpose == own or purpose.startswith(own + ".") for own in self.purposes)

    def may_touch(self, namespace: str) -> bool:
        """Whether identifiers of this namespace are in the client's registration."""
        return not self.namespaces or namespace in self.namespaces

    def sees(self, namespaces: Collection[str]) -> bool:
        """Whether a subject with identifiers in these namespaces exists for the client at all."""
        return not self.namespaces or any(namespace in namespaces for namespace in self.namespaces)

    def is_live(self, now: datetime) -> bool:
        """A key counts until it is revoked, or until the instant at which it expires."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def recognised(client: Client | None, now: datetime) -> Client:
    """Let a live client through.

    Raises Unauthenticated (which does not say whether the key ever existed) or RecordUntrusted.
    """
    if client is not None and not client.trusted:
        raise errors.RecordUntrusted("This client's row fails its seal; see: consent-service verify.")
    if client is None or not client.is_live(now):
        raise errors.Unauthenticated("The key is unknown, revoked or expired; ask the office for a new one.")
    return client


def authenticated(client: Client | None, scope: Scope, now: datetime) -> Client:
    """Let a live client with the scope through. Raises ScopeMissing as well."""
    client = recognised(client, now)
    if scope not in client.scopes:
        raise errors.ScopeMissing(f"This operation needs the scope {scope.value}, which this key does not have.")
    return client


def key_from(secret: str) -> str:
    """Write a key: prefix, secret, checksum. `secret` is 32 random bytes in base64url.

    NOTE: secret scanners look for the prefix and can verify the checksum offline; the format may not change.
    """
    return f"{KEY_PREFIX}{secret}{_checksum(secret)}"


@functools.lru_cache(maxsize=1024)
def is_well_formed(key: str) -> bool:
    """Whether a string can be a key at all: catches typing errors without asking the database."""
    secret, checksum = key[len(KEY_PREFIX) : -_CHECKSUM_LENGTH], key[-_CHECKSUM_LENGTH:]
    return (
        key.isascii() and key.startswith(KEY_PREFIX) and len(secret) == _SECRET_LENGTH and checksum == _checksum(secret)
    )


def _checksum(secret: str) -> str:
    return f"{zlib.crc32(secret.encode()):08x}"
