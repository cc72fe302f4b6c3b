"""Guardianships: who may speak for a ward, verified by whom, from when until when, and blocked by a court or not."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from consent_service.core.people import PSEUDONYM_PREFIX

_ID_PREFIX = "gua_"
_ID = re.compile(r"gua_[0-9A-Z]{26}_[0-9]{1,9}")


def guardianship_id(ward: str, number: int) -> str:
    """The id of a ward's guardianship of this number, which counts from 1: it finds the ward without a table."""
    return f"{_ID_PREFIX}{ward.removeprefix(PSEUDONYM_PREFIX)}_{number}"


def is_guardianship_id(name: str) -> bool:
    """Whether a text can be the id of a guardianship at all."""
    return _ID.fullmatch(name) is not None


def ward_of(name: str) -> str:
    """The ward's pseudonym, if this is the id of a guardianship; else a text that is none."""
    return PSEUDONYM_PREFIX + name.removeprefix(_ID_PREFIX).rpartition("_")[0] if name.startswith(_ID_PREFIX) else ""


def number_of(name: str) -> int:
    """The number in the id of a guardianship."""
    return int(name.rpartition("_")[2])


class GuardianshipChange(StrEnum):
    """A step in the life of a guardianship."""

    CREATED = "created"
    VERIFIED = "verified"
    UNVERIFIED = "unverified"
    ENDED = "ended"
    BLOCKED = "blocked"
    UNBLOCKED = "unblocked"
    MERGED = "merged"
    """The ward or the guardian was merged into another subject, with whom it goes on under its own id."""


class GuardianshipStatus(StrEnum):
    """Whether the guardian may speak for the ward now, and why not."""

    CURRENT = "current"
    UNVERIFIED = "unverified"
    BLOCKED = "blocked"
    ENDED = "ended"
    NOT_BEGUN = "not_begun"


class Authority(StrEnum):
    """What a person may say for a ward: grants count from a verified one only."""

    NONE = "none"
    UNVERIFIED = "unverified"
    VERIFIED = "verified"


@dataclass(frozen=True, slots=True)
class Guardianship:
    """What a decision needs of a guardianship.

    It begins at `from_`, None for always, and is over from `until` on. `blocked_at` is when a court order was recorded
    that keeps the guardian from speaking; None while there is none.
    """

    guardian: str
    from_: datetime | None
    until: datetime | None
    is_verified: bool
    blocked_at: datetime | None

    def is_current(self, now: datetime) -> bool:
        """Whether it has begun and is not over."""
        return (self.from_ is None or self.from_ <= now) and (self.until is None or now < self.until)

    def is_over(self, now: datetime) -> bool:
        """Whether it has ended."""
        return self.until is not None and self.until <= now

    def overlaps(self, other: "Guardianship") -> bool:
        """Whether there is an instant at which both are current."""
        return _before(self.from_, other.until) and _before(other.from_, self.until)

    def authority(self, now: datetime) -> Authority:
        """What the guardian may say now."""
        if self.blocked_at is not None or not self.is_current(now):
            return Authority.NONE
        return Authority.VERIFIED if self.is_verified else Authority.UNVERIFIED

    def status(self, now: datetime) -> GuardianshipStatus:
        """Whether the guardian may speak now, and why not."""
        if self.is_over(now):
            return GuardianshipStatus.ENDED
        if self.blocked_at is not None:
            return GuardianshipStatus.BLOCKED
        if not self.is_current(now):
            return GuardianshipStatus.NOT_BEGUN
        return GuardianshipStatus.CURRENT if self.is_verified else GuardianshipStatus.UNVERIFIED


Guardianships = Mapping[str, Guardianship]
"""A ward's guardianships, by their ids."""


def authority_of(guardian: str, guardianships: Iterable[Guardianship], now: datetime) -> Authority:
    """What a person may say for a ward now, by the best of their guardianships; nothing while a block stands."""
    mine = [one for one in guardianships if one.guardian == guardian]
    if is_blocked(guardian, mine):
        return Authority.NONE
    found = {one.authority(now) for one in mine}
    return next((one for one in (Authority.VERIFIED, Authority.UNVERIFIED) if one in found), Authority.NONE)


def is_blocked(guardian: str, guardianships: Iterable[Guardianship]) -> bool:
    """Whether a court order keeps a person from speaking for a ward: in whichever guardianship of the two it stands.

    It is about the two of them, so another guardianship that they have, or that begins, does not end it.
    """
    return any(one.blocked_at is not None for one in guardianships if one.guardian == guardian)


def _before(begin: datetime | None, end: datetime | None) -> bool:
    return begin is None or end is None or begin < end
