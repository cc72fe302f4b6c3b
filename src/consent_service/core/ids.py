"""Ids: an opaque prefix that says what it names, and 26 characters of Crockford's base 32."""

import base64
import re
from collections.abc import Callable
from datetime import datetime

from ulid import ULID

from consent_service.core.instants import to_milliseconds
from consent_service.core.people import PSEUDONYM_PREFIX

Entropy = Callable[[int], bytes]
"""Gives that many random bytes; `os.urandom` outside tests."""


_TIME_LENGTH = 10
_CROCKFORD = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789ABCDEFGHJKMNPQRSTVWXYZ")
"""From RFC 4648's base 32 to Crockford's."""

_DECISION = re.compile(r"dec_[0-7][0-9A-HJKMNP-TV-Z]{25}")


def subject_id(entropy: Entropy) -> str:
    """A pseudonym: 128 random bits that tell nothing, not even when the subject was recorded."""
    return PSEUDONYM_PREFIX + str(ULID(entropy(16)))


def decision_ids(at: datetime, entropy: Entropy, count: int) -> list[str]:
    """So many decisions' ids: ULIDs, so that ids sort by time."""
    begin = "dec_" + str(ULID(to_milliseconds(at).to_bytes(6, "big") + bytes(10)))[:_TIME_LENGTH]
    random = base64.b32encode(entropy(10 * count)).translate(_CROCKFORD).decode()
    return [begin + random[i : i + 16] for i in range(0, 16 * count, 16)]


def first_decision_id(at: datetime) -> str:
    """The smallest id that a decision made at this instant can have; none was made before 1970."""
    return f"dec_{ULID(max(0, to_milliseconds(at)).to_bytes(6, 'big') + bytes(10))}"


def is_decision_id(text: str) -> bool:
    """Whether a text can be a decision's id at all."""
    return _DECISION.fullmatch(text) is not None


def client_id(at: datetime, entropy: Entropy) -> str:
    """A client's id: a ULID."""
    return "cli_" + _ulid(at, entropy)


def _ulid(at: datetime, entropy: Entropy) -> str:
    return str(ULID(to_milliseconds(at).to_bytes(6, "big") + entropy(10)))
