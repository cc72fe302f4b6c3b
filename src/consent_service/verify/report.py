"""What a verification found, and the exit code that it comes to."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

WHOLE, TAMPERED, INCOMPLETE, UNREADABLE = 0, 1, 2, 3
"""The exit codes."""

_KEPT = 5  # findings of one check that are told one by one


class Unreadable(Exception):
    """What was to be verified cannot be read at all; the message says why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be.

    `check` says what was looked at; `first` to `last` are the entries among which it lies, None where it lies in none.
    """

    check: str
    sentence: str
    first: int | None = None
    last: int | None = None


_LEDGER = frozenset({"entry", "tree", "checkpoint", "anchor", "head"})


@dataclass(slots=True)
class Report:
    """Everything that one verification has to say; `partial` is what the bundle says of itself."""

    entries: int = 0
    root: bytes = b""
    partial: bool = False
    checked: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def found(self, check: str, sentence: str, first: int | None = None, last: int | None = None) -> None:
        """Take in a finding; of each check only those with the smallest indexes are kept, the others counted."""
        self.counts[check] += 1
        kept = sorted(
            [one for one in self.findings if one.check == check]
            + [Finding(check, sentence, first, first if last is None else last)],
            key=_place,
        )
        others = [one for one in self.findings if one.check != check]
        self.findings = [*others, *kept[:_KEPT]]

    @property
    def exit_code(self) -> int:
        """0 whole, 1 tampered, 2 incomplete."""
        if self.findings:
            return TAMPERED
        return INCOMPLETE if self.partial else WHOLE

    @property
    def first_bad(self) -> Finding | None:
        """The finding that lies closest to the ledger's beginning; one in the ledger itself before any other."""
        return _closest(one for one in self.findings if one.check in _LEDGER) or _closest(self.findings)


def _closest(findings: Iterable[Finding]) -> Finding | None:
    return min((one for one in findings if one.first is not None), key=_place, default=None)


def _place(finding: Finding) -> tuple[bool, int, int]:
    """By where it ends, so that the one entry that is wrong comes before the stretches that hold it."""
    return finding.last is None, finding.last or 0, -(finding.first or 0)
