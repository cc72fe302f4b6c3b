"""Checkpoints as signed notes (C2SP tlog-checkpoint and signed-note), read and verified on their own."""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_KEY_BYTES, _KEY_ID_BYTES, _ROOT_BYTES = 32, 4, 32
_ED25519 = b"\n\x01"


class BadNote(Exception):
    """A note that cannot be read, or that nobody we trust signed; the message says which."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint says: the root of the tree of `size` leaves. `signatures` are (name, key id and signature)."""

    origin: str
    size: int
    root: bytes
    text: bytes
    signatures: tuple[tuple[str, bytes], ...]

    def signer(self, keys: Iterable[bytes]) -> bytes | None:
        """Which of these Ed25519 public keys signed it in the origin's name; None when none did."""
        return next((key for key in keys if any(self._is_by(key, *one) for one in self.signatures)), None)

    def _is_by(self, key: bytes, name: str, signature: bytes) -> bool:
        by_id = signature[:_KEY_ID_BYTES] == key_id(name, key)
        return name == self.origin and by_id and is_signed(key, self.text, signature[_KEY_ID_BYTES:])


def key_id(name: str, key: bytes) -> bytes:
    """Under what a signed note names an Ed25519 key: SHA-256(name || 0x0A || 0x01 || key), its first 4 bytes."""
    return hashlib.sha256(name.encode() + _ED25519 + key).digest()[:_KEY_ID_BYTES]


def is_signed(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature holds."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def public_key(text: str) -> bytes:
    """Read a public key: 32 bytes in base64url, or a note's verifier key `name+id+base64`. Raises BadNote."""
    encoded = text.strip().split("+", 2)[-1] if "+" in text else text.strip()
    key = _decoded(encoded.replace("-", "+").replace("_", "/") + "=" * (-len(encoded) % 4))
    if len(key) == _KEY_BYTES + 1 and key[0] == 1:
        key = key[1:]
    if len(key) != _KEY_BYTES:
        raise BadNote("a public key is 32 bytes in base64url, or a verifier key name+id+base64")
    return key


def read(note: object) -> Checkpoint:
    """Read a note's text and signatures, verifying none. Raises BadNote."""
    if not isinstance(note, str) or "\n\n" not in note or not note.endswith("\n"):
        raise BadNote("it is no signed note: text, an empty line, signatures")
    text, _, signed = note.rpartition("\n\n")
    lines = text.split("\n")
    if len(lines) < 3 or not lines[0] or not _SIZE.fullmatch(lines[1]):
        raise BadNote("its text is not a checkpoint: origin, size, root")
    root = _decoded(lines[2])
    if len(root) != _ROOT_BYTES:
        raise BadNote("its root is not 32 bytes")
    signatures = tuple(_signature(line) for line in signed.rstrip("\n").split("\n"))
    return Checkpoint(lines[0], int(lines[1]), root, (text + "\n").encode("utf-8", "surrogatepass"), signatures)


def _signature(line: str) -> tuple[str, bytes]:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.rpartition(" ")
    if dash != "\u2014" or not name:
        raise BadNote("a signature line is a dash, a name and a signature")
    signature = _decoded(encoded)
    if len(signature) <= _KEY_ID_BYTES:
        raise BadNote("a signature is too short")
    return name, signature


def _decoded(text: str) -> bytes:
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadNote("it holds what is not base64") from None
    if base64.b64encode(value).decode() != text:
        raise BadNote("it holds base64 in another than its one spelling")
    return value
