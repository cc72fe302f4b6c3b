"""The service's secrets, where an auditor was given them: what can be checked with them, and with them alone."""

import base64
import functools
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES, _KEY_ID_BYTES, _MAC_BYTES, _BLOCK_BYTES = 12, 4, 16, 64


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """32-byte secrets by their use, as many of each as are at hand; none of a use that is not.

    `masters` unwrap the subjects' keys, `seals` seal rows, `identifier_peppers` key the look-up of identifiers;
    `checkpoint_seeds` are Ed25519 seeds, of which the public halves vouch for checkpoints.
    """

    masters: Sequence[bytes] = ()
    seals: Sequence[bytes] = ()
    identifier_peppers: Sequence[bytes] = ()
    checkpoint_seeds: Sequence[bytes] = ()
    receipt_seeds: Sequence[bytes] = ()

    def kids(self) -> Mapping[str, frozenset[str]]:
        """The ids of what is at hand, as the ledger's `key` entries have them, by use; no use that is not at hand."""
        secret = {"master": self.masters, "seal": self.seals, "identifier_pepper": self.identifier_peppers}
        signing = {"checkpoint": self.checkpoint_seeds, "receipt": self.receipt_seeds}
        found = {use: frozenset(mark(one) for one in held) for use, held in secret.items()}
        found |= {use: frozenset(thumbprint(public(seed)) for seed in held) for use, held in signing.items()}
        return {use: held for use, held in found.items() if held}

    def is_sealed(self, message: str, seal: object) -> bool:
        """Whether a seal key at hand sealed exactly this."""
        if not isinstance(seal, bytes) or len(seal) != _KEY_ID_BYTES + _MAC_BYTES:
            return False
        keyed = _by_id(tuple(self.seals)).get(seal[:_KEY_ID_BYTES])
        return keyed is not None and keyed(message.encode())[:_MAC_BYTES] == seal[_KEY_ID_BYTES:]

    def unwrapped(self, subject: str, wrapped: bytes) -> bytes | None:
        """A subject's key; None when no master key at hand opens it."""
        return next((key for master in self.masters if (key := _opened(master, wrapped, subject)) is not None), None)

    def lookup(self, name: str) -> str:
        """Under what an identifier `namespace:id` is found."""
        return _text(_keyed(self.identifier_peppers[-1])(name.encode()))


def mark(secret: bytes) -> str:
    """How the ledger names a secret."""
    return _text(_keyed(secret)(b"mark\x00"))


def public(seed: bytes) -> bytes:
    """The public half of an Ed25519 seed."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def thumbprint(key: bytes) -> str:
    """How the ledger names an Ed25519 public key: its thumbprint (RFC 7638)."""
    members = {"crv": "Ed25519", "kty": "OKP", "x": _text(key)}
    return _text(hashlib.sha256(json.dumps(members, sort_keys=True, separators=(",", ":")).encode()).digest())


def detail(key: bytes, ciphertext: bytes, subject: str, index: int) -> bytes | None:
    """The personal detail of an entry, in its canonical bytes; None when it was changed."""
    return _opened(key, ciphertext, f"{subject}/{index}")


def commitment(salt: bytes, clear: bytes) -> str:
    """What an entry commits to: HMAC-SHA-256 of the detail under its salt, in hex."""
    return hmac.digest(salt, clear, "sha256").hex()


def _opened(key: bytes, sealed: bytes, context: str) -> bytes | None:
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context.encode())
    except (InvalidTag, ValueError, TypeError):
        return None


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


@functools.lru_cache(maxsize=16)
def _by_id(keys: tuple[bytes, ...]) -> Mapping[bytes, Callable[[bytes], bytes]]:
    return {_keyed(key)(b"mark\x00")[:_KEY_ID_BYTES]: _keyed(key) for key in keys}


@functools.lru_cache(maxsize=64)
def _keyed(key: bytes) -> Callable[[bytes], bytes]:
    """HMAC-SHA-256 (RFC 2104) that has taken in its key already."""
    padded = key.ljust(_BLOCK_BYTES, b"\x00")
    inner, outer = (hashlib.sha256(bytes(octet ^ pad for octet in padded)).copy for pad in (0x36, 0x5C))

    def digest(message: bytes) -> bytes:
        within, around = inner(), outer()
        within.update(message)
        around.update(within.digest())
        return around.digest()

    return digest
