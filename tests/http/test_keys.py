"""The published keys, read by nothing of ours."""

import base64
import hashlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from consent_service.core.signing import encoded
from tests.school import School

pytestmark = pytest.mark.anyio


def thumbprint(x: str) -> str:
    members = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": x}, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(members.encode()).digest()).decode().rstrip("=")


async def test_the_keys_are_published_to_everybody_as_a_jwk_set(school: School) -> None:
    response = await school.http.get("/.well-known/jwks.json")
    assert response.status_code == 200
    assert response.headers["cache-control"] == "public, max-age=300"
    found = response.json()["keys"]
    assert [thumbprint(key["x"]) for key in found] == [key["kid"] for key in found]
    assert len({key["kid"] for key in found}) == 4  # of receipts and of checkpoints, each the active and the next one
    for key in found:
        assert {name: value for name, value in key.items() if name not in ("x", "kid")} == {
            "kty": "OKP",
            "crv": "Ed25519",
            "use": "sig",
            "alg": "Ed25519",
        }


async def test_what_the_active_keys_sign_verifies_by_the_published_ones(school: School) -> None:
    published = {key["kid"]: key["x"] for key in (await school.http.get("/.well-known/jwks.json")).json()["keys"]}
    ring = school.service.database.keyring
    for key in (ring.receipt, ring.checkpoint):
        assert published[key.kid] == encoded(key.public_key)
        public = base64.urlsafe_b64decode(published[key.kid] + "=")
        Ed25519PublicKey.from_public_bytes(public).verify(key.sign(b"receipt"), b"receipt")


async def test_no_secret_leaves_by_the_published_keys(school: School) -> None:
    text = (await school.http.get("/.well-known/jwks.json")).text
    ring = school.service.database.keyring
    secrets = (*ring.masters, *ring.seals, ring.receipt.seed, ring.checkpoint.seed, ring.identifier_pepper)
    assert not any(base64.urlsafe_b64encode(secret).decode().rstrip("=") in text for secret in secrets)
    assert not any(secret.hex() in text for secret in secrets)
