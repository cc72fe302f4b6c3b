"""The lives of keys: what the files say and what the ledger says, brought together, only ever forward."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_service.core import keys
from consent_service.core.keys import STATE_AFTER, Held, Key, Known, KnownKey, key_of
from consent_service.core.ledger import KeyChange, KeyState, KeyUse

A, B, C, D = (bytes([n]) * 32 for n in range(1, 5))
PEPPERS: Mapping[KeyUse, Sequence[bytes]] = {KeyUse.IDENTIFIER_PEPPER: [b"p" * 32], KeyUse.CLIENT_PEPPER: [b"c" * 32]}


def held(*secrets: bytes) -> Held:
    """The same lines for every use that rotates, since nothing here looks from one use to another."""
    return {use: [own(use, secret) for secret in secrets] for use in keys.ROTATED} | {**PEPPERS}


def own(use: KeyUse, secret: bytes) -> bytes:
    return secret if use is KeyUse.SEAL else secret[:-1] + bytes([100 + keys.ROTATED.index(use)])


def after(known: Known, moves: Sequence[tuple[Key, KeyChange]]) -> Known:
    found = dict(known)
    for key, change in moves:
        found[key.kid] = KnownKey(key, STATE_AFTER[change], len(found))
    return found


def settled(*secrets: bytes, known: Known | None = None) -> Known:
    there = known or {}
    return after(there, keys.moves(held(*secrets), there))


def states(known: Known) -> dict[bytes, str]:
    names = {key_of(KeyUse.SEAL, secret).kid: secret for secret in (A, B, C, D)}
    return {names[one.key.kid]: one.state.value for one in known.values() if one.key.use is KeyUse.SEAL}


def test_the_last_line_is_next_the_one_before_it_active_the_others_retired() -> None:
    assert states(settled(A)) == {A: "active"}
    assert states(settled(A, B)) == {A: "active", B: "next"}
    assert states(settled(A, B, C, D)) == {A: "retired", B: "retired", C: "active", D: "next"}


def test_a_rotation_is_three_steps_and_the_new_one_is_published_first() -> None:
    told = keys.moves(held(A, B, C), settled(A, B))
    of_seals = [(key.kid, change) for key, change in told if key.use is KeyUse.SEAL]
    a, b, c = (key_of(KeyUse.SEAL, secret).kid for secret in (A, B, C))
    assert of_seals == [(a, KeyChange.RETIRED), (b, KeyChange.ACTIVATED), (c, KeyChange.PUBLISHED)]
    first = [change for key, change in keys.moves(held(A, B), {}) if key.kid == a]
    assert first == [KeyChange.PUBLISHED, KeyChange.ACTIVATED]


def test_where_nothing_changed_there_is_nothing_to_enter() -> None:
    assert keys.moves(held(A, B, C), settled(A, B, C)) == []


def test_older_lines_than_the_ledger_knows_change_nothing_back() -> None:
    known = settled(A, B, C)
    assert states(settled(A, B, known=known)) == states(known)
    ring = keys.keyring(held(A, B), known)
    assert ring.seals == (B, A)
    assert ring.receipt.seed == own(KeyUse.RECEIPT, B)


def test_lines_in_another_order_change_nothing_back() -> None:
    known = settled(A, B, C)
    assert states(settled(B, A, C, known=known)) == {A: "retired", B: "active", C: "next"}
    assert states(settled(C, B, A, known=known))[B] == "active"


def test_an_active_key_that_is_not_held_is_missing() -> None:
    known = settled(A, B, C)
    assert keys.missing(held(A, C), known) == list(keys.ROTATED)
    assert keys.missing(held(B), known) == []
    peppers = {KeyUse.IDENTIFIER_PEPPER: [A]}
    assert keys.missing({**held(A, B, C), **peppers}, known) == [KeyUse.IDENTIFIER_PEPPER]


def test_a_revoked_key_is_neither_used_nor_counted_as_a_line() -> None:
    known = settled(A, B, C)
    of_all = [(key_of(use, own(use, secret)), KeyChange.REVOKED) for use in keys.ROTATED for secret in (A, C)]
    known = after(known, of_all)
    assert states(settled(A, B, C, known=known)) == {A: "revoked", B: "active", C: "revoked"}
    assert keys.keyring(held(A, B, C), known).seals == (B,)
    assert states(settled(A, B, C, D, known=known)) == {A: "revoked", B: "active", C: "revoked", D: "next"}


def test_a_pepper_never_changes_by_a_line() -> None:
    known = settled(A, B)
    more = {KeyUse.IDENTIFIER_PEPPER: [b"p" * 32, C, D], KeyUse.CLIENT_PEPPER: [b"c" * 32, C, D]}
    assert keys.moves({**held(A, B), **more}, known) == []
    ring = keys.keyring({**held(A, B), **more}, known)
    assert (ring.identifier_pepper, ring.client_pepper) == (b"p" * 32, b"c" * 32)


def test_the_active_key_leads_and_the_others_follow_from_the_newest() -> None:
    assert keys.keyring(held(A, B, C, D), {}).seals == (C, D, B, A)
    assert keys.keyring(held(A), {}).seals == (A,)


@pytest.mark.parametrize("use", keys.SIGNING)
def test_of_a_signing_key_the_public_half_is_published_and_of_a_secret_nothing(use: KeyUse) -> None:
    assert key_of(use, A).public_key == "iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w"
    assert key_of(use, A).kid != key_of(KeyUse.SEAL, A).kid
    assert key_of(KeyUse.SEAL, A).public_key is None


@given(st.lists(st.lists(st.sampled_from([A, B, C, D]), min_size=1, max_size=4, unique=True), max_size=6))
def test_whatever_the_files_held_states_only_move_forward_and_one_key_is_active(files: list[list[bytes]]) -> None:
    known: Known = {}
    for lines in files:
        if keys.missing(held(*lines), known):
            continue  # refused at the start
        before, known = known, settled(*lines, known=known)
        order = list(KeyState)
        assert all(order.index(known[kid].state) >= order.index(one.state) for kid, one in before.items())
        assert [one.state for one in known.values() if one.key.use is KeyUse.SEAL].count(KeyState.ACTIVE) == 1
        active = next(secret for secret, state in states(known).items() if state == "active")
        assert keys.keyring(held(*lines), known).seals[0] == active
