"""Verify a receipt: python verify_receipt.py RECEIPT JWKS, each a file or a URL. Exit 0 if it holds, 1 if not."""
import base64, hashlib, json, pathlib, sys, urllib.request  # noqa: E401, I001 (forty lines)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def must(holds, fault):
    if not holds:
        raise ValueError(fault)


def decoded(text, alphabet=b"-_", padding=""):
    value = base64.b64decode(text + padding, alphabet, validate=True)
    must(base64.b64encode(value, alphabet).decode() == text + padding, "base64 that is spelled in a second way")
    return value


def verified(jws, jwks):
    keys = {key["kid"]: decoded(key["x"] + "=") for key in jwks["keys"] if key.get("crv") == "Ed25519"}
