"""Verify a receipt: python verify_receipt.py RECEIPT JWKS, files or URLs. Exit 0 if it holds, 1 if not."""

import base64
import hashlib
import json
import sys
import urllib.request
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def decoded(text: str, alphabet: bytes = b"-_") -> bytes:
    value = base64.b64decode(text + "=" * (-len(text) % 4), alphabet, validate=True)
    assert base64.b64encode(value, alphabet).decode().rstrip("=") == text.rstrip("="), "base64 has one spelling"
    return value


def verified(jws: str, jwks: dict) -> str:
    keys = {key["kid"]: decoded(key["x"]) for key in jwks["keys"] if key.get("crv") == "Ed25519"}
    header, payload, signature = jws.split(".")
    head, claims = json.loads(decoded(header)), json.loads(decoded(payload))
    assert (head["alg"], head["typ"]) == ("Ed25519", "consent-receipt+jwt"), "this is not a receipt"
    Ed25519PublicKey.from_public_bytes(keys[head["kid"]]).verify(decoded(signature), f"{header}.{payload}".encode())
    text, signed = claims["checkpoint"].split("\n\n")
    (origin, size, root), (dash, name, note) = text.split("\n"), signed.split()
    ids = {hashlib.sha256(f"{origin}\n\1".encode() + key).digest()[:4]: key for key in keys.values()}
    sealed = decoded(note, b"+/")
    Ed25519PublicKey.from_public_bytes(ids[sealed[:4]]).verify(sealed[4:], f"{text}\n".encode())
    proof, node = claims["inclusion_proof"], hashlib.sha256(b"\0" + claims["entry"].encode()).digest()
    assert node.hex() == claims["leaf_hash"] == proof["leaf_hash"], "the entry is not the one that was hashed"
    assert (origin, claims["index"], int(size)) == (name, proof["index"], proof["size"]), "the parts do not fit"
    at, last = proof["index"], proof["size"] - 1
    for step in map(bytes.fromhex, proof["hashes"]):  # RFC 9162 section 2.1.3.2
        ...
