"""The service's secrets and what is done with them: looking up, hashing keys, sealing, signing.

NOTE: what a secret's mark, a lookup, a key's hash and a row's seal are made of may never change while rows hold them.
tests/core/test_keyring.py holds golden bytes.
"""

import base64
import functools
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from consent_service.core.people import Identifier
from consent_service.core.signing import SigningKey

KEY_BYTES = 32
NONCE_BYTES = 12
KEY_ID_BYTES = 4  # of a seal
_MAC_BYTES = 16  # of a seal

Digest = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True, repr=False)
class Keyring:
    """The secrets, of 32 bytes each, that never lie in the database.

    `masters` wrap each subject's own key (AES-256-GCM), `seals` seal rows (HMAC): the active one first, then the others
    that are held and not revoked, under which older rows still stand. `receipt` and `checkpoint` are the active signing
    keys. `identifier_pepper` keys the look-up of identifiers, `client_pepper` the hashes of client keys.
    """

    masters: tuple[bytes, ...]
    seals: tuple[bytes, ...]
    receipt: SigningKey
    checkpoint: SigningKey
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

    def search_mark(self, text: bytes) -> str:
        """A keyed hash by which a search is recognised on its next page, whatever was rotated in between."""
        return _hmac(self.client_pepper, b"search\x00" + text)

    def fingerprints(self, text: bytes) -> tuple[str, ...]:
        """Keyed hashes by which a request body is recognised without being kept: under each master, the active first.

        The first is kept; a body is recognised by any, so a retry after a rotation is still a retry.
        """
        return tuple(_hmac(master, b"fingerprint\x00" + text) for master in self.masters)

    def encrypt(self, clear: bytes, nonce: bytes, context: str) -> bytes:
        """Encrypt under the active master key, bound to its context."""
        return seal(self.masters[0], clear, nonce, context)

    def decrypt(self, sealed: bytes, context: str) -> bytes:
        """Read what `encrypt` wrote, under whichever master. Raises InvalidTag when it was tampered with."""
        return _opened_by_any(self.masters, sealed, context)

    def wrap(self, subject: str, key: bytes, nonce: bytes) -> bytes:
        """Encrypt a subject's key under the active master key, bound to the subject."""
        return self.encrypt(key, nonce, subject)

    def unwrap(self, subject: str, wrapped: bytes) -> bytes:
        """Read what `wrap` wrote, under whichever master. Raises InvalidTag when it was tampered with."""
        return self.decrypt(wrapped, subject)

    def is_wrapped_now(self, subject: str, wrapped: bytes) -> bool:
        """Whether a subject's key is wrapped under the active master key."""
        try:
            opened(self.masters[0], wrapped, subject)
        except InvalidTag:
            return False
        return True

    @property
    def seal_id(self) -> bytes:
        """With what every seal of the active key begins."""
        return _seal_id(self.seals[0])

    def seal_row(self, message: bytes) -> bytes:
        """The seal of a row: 4 bytes that name the active key, then the first 16 bytes of HMAC-SHA-256."""
        active = self.seals[0]
        return _seal_id(active) + _keyed(active)(message)[:_MAC_BYTES]

    def is_sealed(self, message: bytes, seal: bytes | None) -> bool:
        """Whether any seal key that is held and not revoked sealed exactly this."""
        if not isinstance(seal, bytes):  # SQLite keeps in a column whatever somebody puts there
            return False
        digest = _by_id(self.seals).get(seal[:KEY_ID_BYTES])
        return digest is not None and hmac.compare_digest(digest(message)[:_MAC_BYTES], seal[KEY_ID_BYTES:])


def mark(secret: bytes) -> str:
    """Names a secret without telling anything else about it."""
    return _hmac(secret, b"mark\x00")


def seal(key: bytes, clear: bytes, nonce: bytes, context: str) -> bytes:
    """AES-256-GCM: the 12-byte nonce, then ciphertext and tag; `context` is authenticated with it."""
    return nonce + AESGCM(key).encrypt(nonce, clear, context.encode())


def opened(key: bytes, sealed: bytes, context: str) -> bytes:
    """Read what `seal` wrote. Raises cryptography.exceptions.InvalidTag when it was tampered with."""
    return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context.encode())


def _opened_by_any(keys: tuple[bytes, ...], sealed: bytes, context: str) -> bytes:
    for key in keys[:-1]:
        try:
            return opened(key, sealed, context)
        except InvalidTag:
            continue
    return opened(keys[-1], sealed, context)


def _hmac(key: bytes, message: bytes) -> str:
    return base64.b64encode(_keyed(key)(message), b"-_")[:-1].decode()


@functools.lru_cache(maxsize=1024)
def _key_hash(pepper: bytes, key: str) -> str:
    return _hmac(pepper, key.encode())


@functools.lru_cache(maxsize=64)
def _seal_id(key: bytes) -> bytes:
    return _keyed(key)(b"mark\x00")[:KEY_ID_BYTES]


@functools.lru_cache(maxsize=16)
def _by_id(keys: tuple[bytes, ...]) -> dict[bytes, Digest]:
    return {_seal_id(key): _keyed(key) for key in keys}


@functools.lru_cache(maxsize=64)
def _keyed(key: bytes) -> Digest:
    """HMAC-SHA-256 that has taken in its key already, to be copied: a third of the time of beginning anew."""
    begun = HMAC(key, SHA256()).copy

    def digest(message: bytes) -> bytes:
        mine = begun()
        mine.update(message)
        return mine.finalize()

    return digest
