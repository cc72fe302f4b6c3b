"""Subjects: the people the data is about, and how they are named."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import NamedTuple

PSEUDONYM_PREFIX = "sub_"
_PSEUDONYM = re.compile(r"sub_[0-7][0-9A-HJKMNP-TV-Z]{25}")
_NAMESPACE = re.compile(r"[a-z][a-z0-9_-]{0,31}")
LONGEST_IDENTIFIER = 256


class Identifier(NamedTuple):
    """A subject's name in one of the school's systems, such as sis:S-1001."""

    namespace: str
    id: str

    def __str__(self) -> str:
        return f"{self.namespace}:{self.id}"


class Pseudonym(NamedTuple):
    """The opaque `sub_…` under which the ledger, URLs and logs know a subject."""

    value: str

    def __str__(self) -> str:
        return self.value


Reference = Identifier | Pseudonym


def reference(text: str, *, default_namespace: str) -> Reference:
    """Read `namespace:id`, an id in the default namespace, or `sub_…`.

    Identifiers are brought to Unicode NFC, so that two spellings of one name cannot be two subjects. Raises
    ValueError with a sentence that says what would be right.
    """
    if text.startswith(PSEUDONYM_PREFIX) and ":" not in text:
        return pseudonym(text)
    return identifier(text, default_namespace=default_namespace)


def pseudonym(text: str) -> Pseudonym:
    """Read `sub_…`. Raises ValueError."""
    if not _PSEUDONYM.fullmatch(text):
        raise ValueError("a pseudonym is sub_ and 26 characters, as the service gave it")
    return Pseudonym(text)


def identifier(text: str, *, default_namespace: str) -> Identifier:
    """Read `namespace:id`, or an id in the default namespace. Raises ValueError."""
    namespace, colon, rest = text.partition(":")
    if not colon:
        namespace, rest = default_namespace, text
    if not _NAMESPACE.fullmatch(namespace):
        raise ValueError("a namespace is a small letter and up to 31 small letters, digits, - or _, as in sis:S-1001")
    return Identifier(namespace, _id(rest))


def _id(text: str) -> str:
    normal = unicodedata.normalize("NFC", text)
    if not 0 < len(normal) <= LONGEST_IDENTIFIER:
        raise ValueError(f"an identifier has 1 to {LONGEST_IDENTIFIER} characters after its namespace")
    if normal.isascii() and normal.isprintable() and " " not in normal:
        return normal
    if normal != normal.strip() or any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in normal):
        raise ValueError("an identifier has no space at its ends and no invisible characters")
    return normal


class MembershipStatus(StrEnum):
    """Whether a person still belongs to the school."""

    ACTIVE = "active"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Membership:
    """A person's tie to the school; `ended_on` is the first day on which it is over, at the school."""

    status: MembershipStatus = MembershipStatus.ACTIVE
    ended_on: date | None = None

    def is_over(self, today: date) -> bool:
        """Whether the membership has ended by this day."""
        return self.status is MembershipStatus.ENDED and (self.ended_on is None or self.ended_on <= today)
