"""Checkpoints (C2SP tlog-checkpoint): what the ledger was at a size, signed, so that it can never be denied again.

NOTE: checkpoints are kept outside the database, in anchors and receipts; the format may never change.
tests/core/test_checkpoint.py holds golden bytes.
"""

import base64
import re
from collections.abc import Collection
from dataclasses import dataclass

from consent_service.core import note
from consent_service.core.merkle import HASH_BYTES
from consent_service.core.note import NoteFault
from consent_service.core.signing import SigningKey

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The root hash of the ledger's tree at a size. `origin` names the ledger, in no more than its own lines."""

    origin: str
    size: int
    root: bytes


def signed(checkpoint: Checkpoint, key: SigningKey) -> str:
    """The checkpoint as a note, signed under its origin's name."""
    root = base64.b64encode(checkpoint.root).decode()
    return note.signed(f"{checkpoint.origin}\n{checkpoint.size}\n{root}\n", checkpoint.origin, key)


def opened(signed_note: str, origin: str, public_keys: Collection[bytes]) -> Checkpoint:
    """Read a checkpoint of this origin that one of these Ed25519 keys signed. Raises NoteFault."""
    found = _parsed(note.opened(signed_note, origin, public_keys))
    if found.origin != origin:
        raise NoteFault(f"The checkpoint is of another ledger than {origin}.")
    return found


def size_of(signed_note: str) -> int:
    """The size that a checkpoint claims, whoever signed it. Raises NoteFault."""
    return _parsed(note.text_of(signed_note)).size


def _parsed(text: str) -> Checkpoint:
    """Lines after the third extend the format (tlog-checkpoint); they are signed, and mean nothing here."""
    origin, size, root, *extensions = [*text.removesuffix("\n").split("\n"), "", ""]
    value = note.from_base64(root)
    if not origin or not _SIZE.fullmatch(size) or value is None or len(value) != HASH_BYTES:
        raise NoteFault("The checkpoint is not its origin, its size and its root hash, each on a line.")
    if "" in extensions[:-2]:
        raise NoteFault("The checkpoint has an empty line, which none may have.")
    return Checkpoint(origin, int(size), value)
