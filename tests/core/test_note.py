"""Signed notes: the published examples, and everything that is none."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_service.core import note
from consent_service.core.note import NoteFault
from consent_service.core.signing import SigningKey

# The example of the Go project's package note, by which the C2SP specification was written.
NEUMANN = SigningKey(base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:])
NEUMANN_PUBLIC = base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")[1:]
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
SIGNATURE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
NOTE = f"{TEXT}\n— PeterNeumann {SIGNATURE}\n"

# The example of the C2SP specification itself.
SPECIFIED = (
    "This is an example message.\n\n— example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
SPECIFIED_PUBLIC = base64.b64decode("AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")[1:]

STRANGER = SigningKey(bytes(32))
BY_A_STRANGER = note.signed(TEXT, "PeterNeumann", STRANGER).splitlines()[-1]


def test_the_published_notes_are_made_and_opened() -> None:
    assert NEUMANN.public_key == NEUMANN_PUBLIC
    assert note.key_id("PeterNeumann", NEUMANN_PUBLIC).hex() == "c74f20a3"
    assert note.key_id("example.com/foo", SPECIFIED_PUBLIC).hex() == "530d903a"
    assert note.signed(TEXT, "PeterNeumann", NEUMANN) == NOTE
    assert note.opened(NOTE, "PeterNeumann", [NEUMANN_PUBLIC]) == TEXT
    assert note.opened(SPECIFIED, "example.com/foo", [SPECIFIED_PUBLIC]) == "This is an example message.\n"


def test_signatures_of_others_are_passed_over() -> None:
    signed_by_two = f"{NOTE}{BY_A_STRANGER}\n— Someone {SIGNATURE}\n"
    assert note.opened(signed_by_two, "PeterNeumann", [NEUMANN_PUBLIC]) == TEXT
    assert note.opened(signed_by_two, "PeterNeumann", [STRANGER.public_key, NEUMANN_PUBLIC]) == TEXT


def test_a_text_may_have_empty_lines() -> None:
    assert note.opened(note.signed("a\n\nb\n", "x", NEUMANN), "x", [NEUMANN_PUBLIC]) == "a\n\nb\n"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (NOTE.replace("answer", "question"), "not one over its text"),
        (NOTE.replace("PeterNeumann", "PeterMeumann"), "no signature"),
        (f"{TEXT}\n{BY_A_STRANGER}\n", "no signature"),
        (NOTE.replace("x08g", "y08g"), "no signature"),
        (NOTE.replace("o/ZJ", "o/ZK"), "not one over its text"),
        (f"{NOTE}{NOTE.splitlines()[-1].replace('o/ZJ', 'o/ZK')}\n", "not one over its text"),
        ("", "empty line"),
        ("\n\n", "empty line"),
        (TEXT, "empty line"),
        (TEXT + "\n", "empty line"),
        (NOTE[:-1], "empty line"),
        (NOTE + "\n", "empty line"),
        (NOTE.replace("\n\n", "\n"), "empty line"),
        (NOTE + (NOTE.splitlines()[-1] + "\n") * 100, "empty line"),
        (NOTE.replace("— ", "- "), "signature line"),
        (NOTE.replace("— ", "—"), "signature line"),
        (NOTE.replace(" x08g", "  x08g"), "signature line"),
        (NOTE.replace("PeterNeumann ", " "), "signature line"),
        (NOTE.replace("PeterNeumann", "Peter+Neumann"), "signature line"),
        (NOTE.replace("PeterNeumann", "Peter\u2003Neumann"), "signature line"),
        (NOTE.replace("AM=", "AM"), "signature line"),
        (NOTE.replace("AM=", "AN="), "signature line"),
        (NOTE.replace("AM=", "ü="), "signature line"),
        (f"{TEXT}\n— PeterNeumann x08gow==\n", "signature line"),
        (NOTE.replace("\n", "\r\n"), "control character"),
        (NOTE.replace("you", "you\x00"), "control character"),
    ],
)
def test_what_is_no_note_of_the_key_is_refused_with_a_sentence(wrong: str, told: str) -> None:
    with pytest.raises(NoteFault, match=told):
        note.opened(wrong, "PeterNeumann", [NEUMANN_PUBLIC])


@given(st.integers(0, len(NOTE) - 1), st.characters(codec="utf-8"))
def test_no_other_character_anywhere_leaves_the_note_standing(at: int, other: str) -> None:
    changed = NOTE[:at] + other + NOTE[at + 1 :]
    if changed != NOTE:
        with pytest.raises(NoteFault):
            note.opened(changed, "PeterNeumann", [NEUMANN_PUBLIC])
