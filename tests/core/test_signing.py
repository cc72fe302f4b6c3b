"""Signatures and key ids, against the vectors that the standards print."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from consent_service.core.signing import SigningKey, thumbprint, verify


def octets(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


RFC_8037_SEED = octets("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
RFC_8037_PUBLIC = octets("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")


def test_the_thumbprint_is_that_of_rfc_8037_appendix_a_3() -> None:
    key = SigningKey(RFC_8037_SEED)
    assert key.public_key == RFC_8037_PUBLIC
    assert key.kid == thumbprint(RFC_8037_PUBLIC) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_the_signature_is_that_of_rfc_8037_appendix_a_4() -> None:
    signed = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
    signature = octets("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")
    assert SigningKey(RFC_8037_SEED).sign(signed) == signature
    assert verify(RFC_8037_PUBLIC, signed, signature)


def test_the_signature_is_that_of_rfc_8032_test_2() -> None:
    key = SigningKey(bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
    assert key.public_key.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert key.sign(b"\x72").hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200), st.integers(0), st.integers(1, 255))
def test_a_changed_message_signature_or_key_does_not_verify(
    seed: bytes, message: bytes, place: int, change: int
) -> None:
    key = SigningKey(seed)
    signature = key.sign(message)
    assert verify(key.public_key, message, signature)
    changed = bytearray(signature)
    changed[place % len(changed)] ^= change
    assert not verify(key.public_key, message, bytes(changed))
    assert not verify(key.public_key, message + b"\x00", signature)
    assert not verify(SigningKey(RFC_8037_SEED).public_key, message, signature)


def test_what_is_no_key_or_no_signature_is_not_verified() -> None:
    key = SigningKey(RFC_8037_SEED)
    for public, signature in ((b"", key.sign(b"")), (b"\xff" * 32, key.sign(b"")), (key.public_key, b""), (b"x", b"x")):
        assert not verify(public, b"", signature)
