"""Checkpoints: golden bytes, and everything that is none."""

import base64

import pytest

from consent_service.core import checkpoint, note
from consent_service.core.checkpoint import Checkpoint
from consent_service.core.note import NoteFault
from consent_service.core.signing import SigningKey

KEY = SigningKey(bytes(range(32)))
ORIGIN = "consent-service/ledger"
TEN = Checkpoint(ORIGIN, 10, bytes(range(100, 132)))

GOLDEN = (
    "consent-service/ledger\n"
    "10\n"
    "ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+f4CBgoM=\n"
    "\n"
    "— consent-service/ledger "
    "lI9Kd5mU7eAhrZqatZzJjh9Rpv/5Nrm2zw/A5I33JkzKbDIqyYo1zmoY7ZQQhuqyjwWaBdlf1E+J2LfJp1XI6C9t+AU=\n"
)


def test_golden_bytes() -> None:
    assert checkpoint.signed(TEN, KEY) == GOLDEN


def test_a_signed_checkpoint_opens_and_tells_its_size_to_anybody() -> None:
    made = checkpoint.signed(TEN, KEY)
    assert checkpoint.opened(made, ORIGIN, [KEY.public_key]) == TEN
    assert checkpoint.size_of(made) == 10


def test_lines_that_extend_the_format_are_passed_over() -> None:
    text = f"{ORIGIN}\n10\n{base64.b64encode(TEN.root).decode()}\nmore\n— of it\n"
    assert checkpoint.opened(note.signed(text, ORIGIN, KEY), ORIGIN, [KEY.public_key]) == TEN


ROOT = base64.b64encode(TEN.root).decode()


@pytest.mark.parametrize(
    "text",
    [
        "\n",
        f"{ORIGIN}\n",
        f"{ORIGIN}\n10\n",
        f"\n10\n{ROOT}\n",
        f"{ORIGIN}\n\n{ROOT}\n",
        f"{ORIGIN}\n-1\n{ROOT}\n",
        f"{ORIGIN}\n+1\n{ROOT}\n",
        f"{ORIGIN}\n01\n{ROOT}\n",
        f"{ORIGIN}\n1 \n{ROOT}\n",
        f"{ORIGIN}\n1e3\n{ROOT}\n",
        f"{ORIGIN}\n１\n{ROOT}\n",
        f"{ORIGIN}\n{10**19}\n{ROOT}\n",
        f"{ORIGIN}\n10\n{ROOT[:-4]}\n",
        f"{ORIGIN}\n10\n{ROOT[:-1]}\n",
        f"{ORIGIN}\n10\n{ROOT.replace('=', '')}\n",
        f"{ORIGIN}\n10\n{TEN.root.hex()}\n",
        f"{ORIGIN}\n10\n{ROOT}\n\n",
        f"{ORIGIN}\n10\n{ROOT}\nmore\n\nmore\n",
    ],
)
def test_what_is_no_checkpoint_is_refused_with_a_sentence_though_it_is_signed(text: str) -> None:
    with pytest.raises(NoteFault, match=r"\.$"):
        checkpoint.opened(note.signed(text, ORIGIN, KEY), ORIGIN, [KEY.public_key])


def test_a_checkpoint_of_another_ledger_is_refused() -> None:
    other = Checkpoint("other/ledger", 10, TEN.root)
    with pytest.raises(NoteFault, match="no signature"):
        checkpoint.opened(checkpoint.signed(other, KEY), ORIGIN, [KEY.public_key])
    text = f"other/ledger\n10\n{ROOT}\n"
    with pytest.raises(NoteFault, match="another ledger"):
        checkpoint.opened(note.signed(text, ORIGIN, KEY), ORIGIN, [KEY.public_key])
