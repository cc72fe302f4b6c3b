"""A receipt: a JWS (RFC 7515) over a statement's bytes, its inclusion proof, and the checkpoint that this leads to."""

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consent_service.verify import note
from consent_service.verify.keys import Keys
from consent_service.verify.note import BadNote, Checkpoint
from consent_service.verify.report import Report, Unreadable
from consent_service.verify.secrets import thumbprint
from consent_service.verify.tree import leaf_hash, root_from_inclusion

_LONGEST = 1 << 22


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a receipt says, none of it believed yet. `message` and `signature` are those of the JWS."""

    index: int
    leaf: bytes
    size: int
    hashes: tuple[bytes, ...]
    checkpoint: Checkpoint
    kid: str
    message: bytes
    signature: bytes

    def check(self, report: Report, receipt_keys: Iterable[bytes], checkpoint_keys: Iterable[bytes]) -> None:
        """Check it in itself: proof, checkpoint and signatures, by the keys that may have made them."""
        if root_from_inclusion(self.index, self.size, self.leaf, self.hashes) != self.checkpoint.root:
            report.found("receipt", "the receipt's proof does not lead to its checkpoint's root")
        if self.checkpoint.size != self.size:
            report.found("receipt", "the receipt's proof and its checkpoint are of two sizes")
        if self.checkpoint.signer(checkpoint_keys) is None:
            report.found("receipt", "the receipt's checkpoint is not signed by a key that may sign checkpoints")
        keys = [key for key in receipt_keys if thumbprint(key) == self.kid]
        if not any(note.is_signed(key, self.message, self.signature) for key in keys):
            report.found("receipt", "the receipt is not signed by a key that may sign receipts")

    def check_in(self, report: Report, keys: Keys, leaf: bytes | None) -> None:
        """Check it by the ledger's keys, and against the leaf that the ledger has at its index."""
        self.check(report, keys.for_receipt(self.size), keys.for_checkpoint(self.size))
        self.check_leaf(report, leaf)
        report.checked.append(f"the receipt of entry {self.index}")

    def check_leaf(self, report: Report, leaf: bytes | None) -> None:
        """Check that it is about the entry that the ledger has at its index."""
        if leaf != self.leaf:
            what = "is not what the receipt says" if leaf else "is missing, and a receipt says that it was there"
            report.found("receipt", f"entry {self.index} {what}", self.index)


def read(file: Path) -> Receipt:
    """Read a receipt. Raises Unreadable when it is none."""
    try:
        with file.open("rb") as opened:
            text = opened.read(_LONGEST)
        return _read(text.strip())
    except OSError as error:
        raise Unreadable(f"the receipt cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, BadNote) as error:
        raise Unreadable(f"{file} is no receipt of this service: {error}") from error


def _read(text: bytes) -> Receipt:
    if text.count(b".") != 2:
        raise ValueError("a receipt is three parts with dots between them, as GET /v1/receipts/{index} gives it")
    head, payload, signature = text.split(b".")
    header, claims = _object(head), _object(payload)
    if header["alg"] not in ("Ed25519", "EdDSA"):
        raise ValueError("its algorithm is not Ed25519")
    proof, checkpoint = claims["inclusion_proof"], note.read(claims["checkpoint"])
    leaf = bytes.fromhex(claims["leaf_hash"])
    if leaf_hash(claims["entry"].encode()) != leaf or claims["leaf_hash"] != proof["leaf_hash"]:
        raise ValueError("its leaf hash is not that of the entry in it")
    if proof["index"] != claims["index"]:
        raise ValueError("its proof is about another entry")
    hashes = tuple(bytes.fromhex(one) for one in proof["hashes"])
    index, size = int(claims["index"]), int(proof["size"])
    return Receipt(index, leaf, size, hashes, checkpoint, str(header["kid"]), head + b"." + payload, _base64(signature))


def _object(part: bytes) -> Mapping[str, Any]:
    found = json.loads(_base64(part))
    if not isinstance(found, dict):
        raise TypeError("a part of it is no JSON object")
    return found


def _base64(part: bytes) -> bytes:
    value = base64.b64decode(part.replace(b"-", b"+").replace(b"_", b"/") + b"=" * (-len(part) % 4), validate=True)
    if base64.urlsafe_b64encode(value).rstrip(b"=") != part:
        raise binascii.Error("a part of it is not base64url in its one spelling")
    return value
