"""The keys that the ledger itself published, and which of them may vouch for a checkpoint."""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from consent_service.verify.secrets import thumbprint

_STATES = {"published": "next", "activated": "active", "retired": "retired", "revoked": "revoked"}
_ORDER = list(_STATES.values())
_KEY_BYTES = 32


@dataclass(slots=True)
class Key:
    """A key as the ledger's `key` entries tell of it: when it was published, and revoked if it was."""

    kid: str
    use: str
    state: str
    public_key: str | None
    index: int
    published: int
    revoked: int | None = None

    def row(self) -> tuple[object, ...]:
        """The row of `signing_key` that these entries make."""
        return self.kid, self.use, self.state, self.public_key, self.index


class Keys:
    """What the `key` entries say, folded; `given` are public keys that the auditor has from elsewhere."""

    def __init__(self, given: Iterable[bytes] = ()) -> None:
        self.by_kid: dict[str, Key] = {}
        self.given = tuple(given)

    def add(self, index: int, body: Mapping[str, object]) -> str | None:
        """Fold one entry in; answers what is wrong with it, if something is."""
        kid, use, state, public = str(body["kid"]), str(body["use"]), _STATES[str(body["change"])], body["public_key"]
        known = self.by_kid.get(kid)
        if known is None:
            self.by_kid[kid] = known = Key(kid, use, state, None if public is None else str(public), index, index)
            return None if public is None or thumbprint(raw(known.public_key)) == kid else "its kid is not its key's"
        forward = _ORDER.index(state) > _ORDER.index(known.state) and (use, public) == (known.use, known.public_key)
        known.state, known.index = state, index
        known.revoked = index if state == "revoked" else known.revoked
        return None if forward else f"the key {kid} goes back from {known.state} to {state}, or is another"

    def for_checkpoint(self, size: int) -> list[bytes]:
        """The public keys that may have signed a checkpoint of this size: the given ones, or else the ledger's own."""
        return list(self.given) or self._published("checkpoint", size)

    def for_receipt(self, size: int) -> list[bytes]:
        """The public keys that may have signed a receipt of a ledger of this size."""
        return self._published("receipt", size)

    def active(self, use: str) -> str | None:
        """The id of the key that is active in a use."""
        return next((key.kid for key in self.by_kid.values() if (key.use, key.state) == (use, "active")), None)

    def _published(self, use: str, size: int) -> list[bytes]:
        keys = [key for key in self.by_kid.values() if key.use == use and key.public_key is not None]
        return [raw(k.public_key) for k in keys if k.published < size and (k.revoked is None or k.revoked >= size)]


def raw(text: str | None) -> bytes:
    """The bytes of a public key in base64url; nothing when it is none."""
    try:
        key = base64.urlsafe_b64decode((text or "") + "=" * (-len(text or "") % 4))
    except (binascii.Error, ValueError):
        return b""
    return key if len(key) == _KEY_BYTES else b""
