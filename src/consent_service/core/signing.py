"""Ed25519 signatures (RFC 8032), and the names of the keys that make them (RFC 7638).

NOTE: a key's id is written into receipts, which outlive every key. tests/core/test_signing.py holds the vectors of
RFC 8032 and of RFC 8037, appendix A.
"""

import base64
import functools
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


@dataclass(frozen=True, slots=True, repr=False)
class SigningKey:
    """A private Ed25519 key, from its seed of 32 bytes."""

    seed: bytes

    @property
    def public_key(self) -> bytes:
        """The public half: 32 bytes."""
        return _pair(self.seed)[1]

    @property
    def kid(self) -> str:
        """The key's id: the thumbprint of its public half."""
        return _pair(self.seed)[2]

    def sign(self, message: bytes) -> bytes:
        """The signature: 64 bytes."""
        return _pair(self.seed)[0].sign(message)


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the holder of the private half signed exactly this. What is no key or no signature is not verified."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def thumbprint(public_key: bytes) -> str:
    """The JWK thumbprint (RFC 7638) of an Ed25519 public key: SHA-256 of its required members, in base64url."""
    members = f'{{"crv":"Ed25519","kty":"OKP","x":"{encoded(public_key)}"}}'
    return encoded(hashlib.sha256(members.encode()).digest())


def encoded(octets: bytes) -> str:
    """Bytes in base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """Read what `encoded` wrote. Raises ValueError when it is no base64url."""
    return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)


@functools.lru_cache(maxsize=64)
def _pair(seed: bytes) -> tuple[Ed25519PrivateKey, bytes, str]:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public = private.public_key().public_bytes_raw()
    return private, public, thumbprint(public)
