"""Signed notes (C2SP signed-note): a text, and under it the signatures of those who vouch for it.

NOTE: notes are kept outside, by whoever wants to hold us to them; the format may never change. tests/core/test_note.py
holds the published examples.
"""

import base64
import binascii
import hashlib
from collections.abc import Collection

from consent_service.core.signing import SigningKey, verify

_ED25519 = b"\x01"
_KEY_ID_BYTES = 4
_MARK = "\u2014 "
_MOST_SIGNATURES = 100


class NoteFault(ValueError):
    """A note that is malformed, or that none of the given keys signed; the message says which, in a sentence."""


def key_id(name: str, public_key: bytes) -> bytes:
    """The four bytes by which a signature says whose it is: SHA-256(name || 0x0A || 0x01 || key), cut off."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public_key).digest()[:_KEY_ID_BYTES]


def signed(text: str, name: str, key: SigningKey) -> str:
    """A note of one signature over a text, which ends with a newline."""
    signature = base64.b64encode(key_id(name, key.public_key) + key.sign(text.encode())).decode()
    return f"{text}\n{_MARK}{name} {signature}\n"


def opened(note: str, name: str, public_keys: Collection[bytes]) -> str:
    """The text of a note that one of these Ed25519 keys signed under this name; others' signatures are passed over.

    Raises NoteFault, also when a signature that claims to be of one of the keys is not.
    """
    text, signatures = _parts(note)
    ours = {key_id(name, key): key for key in public_keys}
    found = [(ours[claimed], made) for by, claimed, made in signatures if by == name and claimed in ours]
    if not found:
        raise NoteFault(f"The note has no signature of {name} by a key that is known here.")
    if not all(verify(key, text.encode(), signature) for key, signature in found):
        raise NoteFault(f"The signature of {name} under the note is not one over its text.")
    return text


def text_of(note: str) -> str:
    """The text of a note, whoever signed it. Raises NoteFault."""
    return _parts(note)[0]


def _parts(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """The text, and of each signature its name, its key's id and the signature itself."""
    if any(character < " " and character != "\n" for character in note):
        raise NoteFault("The note has a control character, which no note may have.")
    text, between, below = note.rpartition("\n\n")
    lines = below.split("\n")
    if not between or lines.pop() or not 1 <= len(lines) <= _MOST_SIGNATURES:
        raise NoteFault("The note is not a text, an empty line, and a line for each signature.")
    return text + "\n", [_signature(line) for line in lines]


def _signature(line: str) -> tuple[str, bytes, bytes]:
    name, _, encoded = line.removeprefix(_MARK).partition(" ")
    value = from_base64(encoded)
    well_named = line.startswith(_MARK) and name and "+" not in name and not any(map(str.isspace, name))
    if not well_named or value is None or len(value) <= _KEY_ID_BYTES:
        raise NoteFault("The note has a signature line that is not a dash, a name, and base64 with spaces between.")
    return name, value[:_KEY_ID_BYTES], value[_KEY_ID_BYTES:]


def from_base64(text: str) -> bytes | None:
    """The bytes of standard base64 in its one canonical spelling; None for anything else."""
    try:
        value = base64.b64decode(text.encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    return value if base64.b64encode(value).decode() == text else None
