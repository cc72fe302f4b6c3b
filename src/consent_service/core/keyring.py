"""The service's secrets and what is done with them: looking up, hashing keys, sealing personal details."""

import base64
import functools
import hmac
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from consent_service.core.people import Identifier

KEY_BYTES = 32
NONCE_BYTES = 12


@dataclass(frozen=True, slots=True, repr=False)
class Keyring:
    """Three secrets of 32 bytes that never lie in the database.

    `master` wraps each subject's own key (AES-256-GCM); `identifier_pepper` keys the look-up of identifiers;
    `client_pepper` keys the hashes of client keys.
    """

    master: bytes
    identifier_pepper: bytes
    client_pepper: bytes

    def lookup(self, identifier: Identifier) -> str:
        """Under what the identifier is found: HMAC-SHA-256(pepper, namespace || ":" || id) in base64url.

        A namespace has no colon, so no two identifiers give the same input.
        """
        return _hmac(self.identifier_pepper, str(identifier).encode())

    def key_hash(self, key: str) -> str:
        """Under what a client's key is stored: a keyed hash suffices, since a key is 256 random bits."""
        return _key_hash(self.client_pepper, key)

    def fingerprint(self, text: bytes) -> str:
        """A keyed hash by which a request body is recognised without being kept."""
        return _hmac(self.master, b"fingerprint\x00" + text)

    def wrap(self, subject: str, key: bytes, nonce: bytes) -> bytes:
        """Encrypt a subject's key under the master key, bound to the subject."""
        return seal(self.master, key, nonce, subject)

    def unwrap(self, subject: str, wrapped: bytes) -> bytes:
        """Read what `wrap` wrote. Raises cryptography.exceptions.InvalidTag when it was tampered with."""
        return opened(self.master, wrapped, subject)

    def marks(self) -> dict[str, str]:
        """A mark of each secret, by its setting's name: tells a wrong secret from the right one, and nothing else."""
        secrets = {
            "CONSENT_MASTER_KEY": self.master,
            "CONSENT_IDENTIFIER_PEPPER": self.identifier_pepper,
            "CONSENT_CLIENT_PEPPER": self.client_pepper,
        }
        return {name: _hmac(secret, b"mark\x00") for name, secret in secrets.items()}


def seal(key: bytes, clear: bytes, nonce: bytes, context: str) -> bytes:
    """AES-256-GCM: the 12-byte nonce, then ciphertext and tag; `context` is authenticated with it."""
    return nonce + AESGCM(key).encrypt(nonce, clear, context.encode())


def opened(key: bytes, sealed: bytes, context: str) -> bytes:
    """Read what `seal` wrote. Raises cryptography.exceptions.InvalidTag when it was tampered with."""
    return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context.encode())


def _hmac(key: bytes, message: bytes) -> str:
    keyed = _keyed(key).copy()
    keyed.update(message)
    return base64.b64encode(keyed.digest(), b"-_")[:-1].decode()


@functools.lru_cache(maxsize=1024)
def _key_hash(pepper: bytes, key: str) -> str:
    return _hmac(pepper, key.encode())


@functools.lru_cache(maxsize=16)
def _keyed(key: bytes) -> hmac.HMAC:
    """An HMAC that has taken in its key already, to be copied: half the time of beginning anew."""
    return hmac.new(key, digestmod="sha256")
