"""Who calls: the key in `Authorization: Bearer`, and the scope that a route asks for."""

from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from consent_service.core.clients import Scope, is_well_formed
from consent_service.core.errors import Unauthenticated
from consent_service.core.keyring import Keyring

bearer = HTTPBearer(
    scheme_name="ClientKey",
    auto_error=False,
    description="The key that was shown when the client was made. It begins with `csk_`.",
)


async def key_hash(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> str:
    """The hash under which the caller's key would be stored. Raises Unauthenticated for what cannot be a key."""
    return _hashed(request.app.state.room.database.keyring, credentials.credentials if credentials else None)


def key_hash_in(authorization: str, keyring: Keyring) -> str:
    """The same, from the header itself (RFC 6750 section 2.1)."""
    scheme, _, key = authorization.partition(" ")
    return _hashed(keyring, key.strip() or None if scheme.lower() == "bearer" else None)


def _hashed(keyring: Keyring, key: str | None) -> str:
    if key is None:
        raise Unauthenticated("Send your key: Authorization: Bearer csk_…")
    if not is_well_formed(key):
        raise Unauthenticated("This is not a key, or it was copied with a mistake; it begins with csk_.")
    return keyring.key_hash(key)


def with_scope(scope: Scope) -> Any:  # noqa: ANN401 (FastAPI's own type for a dependency)
    """A dependency on the caller's key that shows the route's scope in the OpenAPI."""
    return Security(key_hash, scopes=[scope.value])
