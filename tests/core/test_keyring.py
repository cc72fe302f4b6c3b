"""Golden bytes: what a secret's mark, a look-up and a row's seal are made of may never change while rows hold them."""

import dataclasses
import hashlib
import hmac

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from consent_service.core.keyring import Keyring, mark, seal
from consent_service.core.people import Identifier
from consent_service.core.signing import SigningKey

OLD, NOW, NEXT = (bytes([n]) * 32 for n in (1, 2, 3))
RING = Keyring((NOW, NEXT, OLD), (NOW, NEXT, OLD), SigningKey(NOW), SigningKey(OLD), b"p" * 32, b"c" * 32)
BEFORE = dataclasses.replace(RING, masters=(OLD, NOW), seals=(OLD, NOW))
NONCE = bytes(12)


def hmac_of(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, hashlib.sha256)


def test_a_seal_has_its_bytes() -> None:
    sealed = RING.seal_row(b"state\x00sub_1\x007\x00{}")
    assert sealed == hmac_of(NOW, b"mark\x00")[:4] + hmac_of(NOW, b"state\x00sub_1\x007\x00{}")[:16]
    assert sealed.hex() == "65aa480d1a43c6471a1e26b1e65cf7c52c42258b"
    assert sealed.startswith(RING.seal_id)


def test_a_mark_and_a_look_up_have_their_bytes() -> None:
    assert mark(NOW) == "ZapIDWx7GXTLWyHXU_sXnNtOWuzaYP3OGN_x1aTItEA"
    assert RING.lookup(Identifier("sis", "S-1")) == "8vjV99r0RZ86mGKexrKuMVj8CZ0Pk9Qs9TPX1R5KtiQ"


@given(st.binary(max_size=300), st.integers(0), st.integers(1, 255))
def test_a_changed_seal_or_row_is_not_sealed(message: bytes, place: int, change: int) -> None:
    sealed = bytearray(RING.seal_row(message))
    assert RING.is_sealed(message, bytes(sealed))
    assert not RING.is_sealed(message + b"\x00", bytes(sealed))
    sealed[place % len(sealed)] ^= change
    assert not RING.is_sealed(message, bytes(sealed))


def test_every_held_seal_key_counts_and_no_other() -> None:
    without = dataclasses.replace(RING, seals=(NOW, NEXT))
    for ring in (BEFORE, dataclasses.replace(RING, seals=(NEXT,))):
        assert RING.is_sealed(b"row", ring.seal_row(b"row"))
    assert not without.is_sealed(b"row", BEFORE.seal_row(b"row"))
    for nothing in (None, b"", RING.seal_id, b"\x00" * 20, RING.seal_row(b"row") + b"\x00"):
        assert not RING.is_sealed(b"row", nothing)


def test_what_was_wrapped_under_a_retired_master_opens_and_nothing_else_does() -> None:
    wrapped = BEFORE.wrap("sub_1", b"k" * 32, NONCE)
    assert RING.unwrap("sub_1", wrapped) == b"k" * 32
    assert (BEFORE.is_wrapped_now("sub_1", wrapped), RING.is_wrapped_now("sub_1", wrapped)) == (True, False)
    for ring, subject in ((RING, "sub_2"), (dataclasses.replace(RING, masters=(NOW,)), "sub_1")):
        with pytest.raises(InvalidTag):
            ring.unwrap(subject, wrapped)
    assert RING.wrap("sub_1", b"k" * 32, NONCE) == seal(NOW, b"k" * 32, NONCE, "sub_1")


def test_a_body_is_recognised_under_every_held_master() -> None:
    assert BEFORE.fingerprints(b"body")[0] in RING.fingerprints(b"body")
    assert RING.fingerprints(b"body")[0] in BEFORE.fingerprints(b"body")
    assert not set(RING.fingerprints(b"body")) & set(RING.fingerprints(b"other"))
