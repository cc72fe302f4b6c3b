"""The policy: a tree of purposes whose leaves hold state, and what the policy says of each."""

import difflib
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

QUIET_PERIOD_DAYS = 365
"""For how long nobody is asked again after a no, where a policy does not say."""


class SubjectKind(StrEnum):
    """What a person is to the school."""

    STUDENT = "student"
    GUARDIAN = "guardian"
    CUSTOMER = "customer"
    STAFF = "staff"


class Basis(StrEnum):
    """What a use rests on: the person's consent, or notice alone where a compliance officer decides so."""

    CONSENT = "consent"
    NOTICE = "notice"


class GuardianRule(StrEnum):
    """How the voices of several guardians become one."""

    ANY_REFUSAL_WINS = "any_refusal_wins"
    ALL = "all"
    LATEST = "latest"


class Handover(StrEnum):
    """What becomes of a guardian's yes when the ward comes of age."""

    RECONFIRM = "reconfirm"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Text:
    """A text in the policy's two languages."""

    en: str
    ja: str

    def in_language(self, language: str) -> str:
        """The Japanese text for `ja`, else the English one."""
        return self.ja if language == "ja" else self.en


@dataclass(frozen=True, slots=True)
class Wording:
    """What a person is shown.

    `number` rises by one with every change that is published; `counts_from` is the number at the last material one.
    """

    number: int
    text: Text
    counts_from: int = 1


@dataclass(frozen=True, slots=True)
class Purpose:
    """A named use. `code` is the full dotted code, such as marketing.own_company.email.

    A purpose without `purposes` below it is a leaf and holds state, but for two kinds: a `concomitant` use goes along
    with another purpose and cannot be granted; an `open` branch says yes only through leaves of a later version.
    `dpv` are IRIs of the Data Privacy Vocabulary 2.3; `survives_membership` lets use go on after a person has left.
    A yes given to a wording of a number below `counts_from` does not count; where notice suffices, each one does.
    """

    code: str
    wording: Wording
    dpv: tuple[str, ...] = ()
    purposes: tuple["Purpose", ...] = ()
    basis: Basis = Basis.CONSENT
    survives_membership: bool = False
    guardians: GuardianRule = GuardianRule.ANY_REFUSAL_WINS
    concomitant: bool = False
    open: bool = False
    leaves: tuple["Purpose", ...] = field(init=False, repr=False, compare=False)
    counts_from: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        below = tuple(leaf for purpose in self.purposes for leaf in purpose.leaves)
        object.__setattr__(self, "leaves", (self,) if self.is_leaf else below)
        object.__setattr__(self, "counts_from", self.wording.counts_from if self.basis is Basis.CONSENT else 0)

    @property
    def is_leaf(self) -> bool:
        """Whether consent is recorded for this very purpose."""
        return not (self.purposes or self.concomitant or self.open)

    def walk(self) -> Iterator["Purpose"]:
        """This purpose and all below it, branches before their leaves."""
        yield self
        for purpose in self.purposes:
            yield from purpose.walk()


@dataclass(frozen=True, slots=True)
class DisclosureGround:
    """A case in which the policy lets data go to a third party (APPI article 27)."""

    code: str
    wording: Text


@dataclass(frozen=True, slots=True)
class MinorRule:
    """From this day on, a person under this age is a minor to the policy; dated, because the law changes."""

    from_: date
    under_age: int


@dataclass(frozen=True, slots=True)
class Controller:
    """Who answers for the data, and for which school."""

    name: str
    school: str
    division: str


@dataclass(frozen=True, slots=True)
class Source:
    """The text that the policy was taken from, and its SHA-256 in hex."""

    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Policy:
    """One immutable edition of the policy.

    It takes effect at `effective_at`, or else with the day `effective_from`. After a no, nobody is asked again for
    `quiet_period_days`. When a ward comes of age, a guardian's yes goes on for `handover_grace_days`, or without end
    where the `handover` keeps it.
    """

    code: str
    version: str
    title: Text
    controller: Controller
    contact: str
    law: Text
    effective_from: date
    source: Source | None
    namespaces: Mapping[str, SubjectKind]
    minor_rules: tuple[MinorRule, ...]
    purposes: tuple[Purpose, ...]
    disclosure_grounds: tuple[DisclosureGround, ...]
    quiet_period_days: int = QUIET_PERIOD_DAYS
    effective_at: datetime | None = None
    handover: Handover = Handover.RECONFIRM
    handover_grace_days: int = 0
    leaves: tuple[Purpose, ...] = field(init=False, repr=False, compare=False)
    _by_code: Mapping[str, Purpose] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "leaves", tuple(leaf for purpose in self.purposes for leaf in purpose.leaves))
        object.__setattr__(self, "_by_code", {purpose.code: purpose for purpose in self.walk()})

    def walk(self) -> Iterator[Purpose]:
        """Every purpose in the policy's own order, branches before their leaves."""
        for purpose in self.purposes:
            yield from purpose.walk()

    def find(self, code: str) -> Purpose | None:
        """The purpose of this code, leaf or branch."""
        return self._by_code.get(code)

    def nearest(self, code: str) -> tuple[str, ...]:
        """Up to three codes that may have been meant: those that end like it first, then those spelled like it."""
        return _nearest(code, tuple(self._by_code))

    def unknown_sentence(self, code: str) -> str:
        """The sentence for a code that it does not have."""
        nearest = self.nearest(code)
        return "the policy has no purpose of this code; " + (
            f"the nearest are {', '.join(nearest)}" if nearest else "GET /v1/purposes lists them"
        )

    def kind_of(self, namespace: str) -> SubjectKind:
        """What a person in this namespace is, if nobody says; in an unlisted one a student, the careful choice."""
        return self.namespaces.get(namespace, SubjectKind.STUDENT)


@functools.lru_cache(maxsize=1024)
def _nearest(code: str, codes: tuple[str, ...]) -> tuple[str, ...]:
    """Remembered, for whoever misspells a purpose asks ten thousand times in one filter, and all others wait."""
    ending = [known for known in codes if known.endswith("." + code)]
    alike = difflib.get_close_matches(code, codes, n=3)
    return tuple(dict.fromkeys([*ending, *alike]))[:3]
