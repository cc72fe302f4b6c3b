"""The decision table: who said what, who was whose guardian, and the answer. docs/decision-table.md is made of it.

Run as a program, it writes the page.
"""

from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[1] / "docs" / "decision-table.md"


class Case(NamedTuple):
    """A row: the child's age, what happened in order, how several guardians are heard, and the answer's reasons."""

    age: str
    happened: tuple[str, ...]
    rule: str
    reasons: tuple[str, ...]

    @property
    def name(self) -> str:
        """The row in a word, for the name of its test."""
        return f"{self.age}: {', '.join(self.happened)} ({self.rule})"


def case(age: str, happened: str, reasons: str, rule: str = "any_refusal_wins") -> Case:
    return Case(age, tuple(happened.split(", ")), rule, tuple(reasons.split(", ")))


ANY, ALL, LATEST = "any_refusal_wins", "all", "latest"
BOTH = "mother verified, father verified"

CASES = (
    case("minor", "mother verified", "no_consent_recorded"),
    case("minor", "mother verified, mother yes", "consent_granted"),
    case("minor", "mother verified, mother no", "refused"),
    case("minor", "mother verified, mother yes, mother no", "refused"),
    case("minor", "mother verified, mother no, mother yes", "consent_granted"),
    case("minor", "mother yes → guardian_required", "no_consent_recorded"),
    case("minor", "mother listed, mother yes → guardian_required", "no_consent_recorded"),
    case("minor", "mother listed, mother no", "refused"),
    case("minor", "mother listed, mother verified later, mother yes", "consent_granted"),
    case("minor", "mother verified, mother yes, mother found unverified", "guardian_unverified"),
    case("minor", "mother verified, mother yes, mother ended", "guardian_required"),
    case("minor", "mother verified, mother yes, mother blocked", "guardian_required"),
    case("minor", "mother verified, mother yes, mother blocked, mother unblocked", "consent_granted"),
    case("minor", "mother verified, mother blocked, mother yes → guardian_required", "no_consent_recorded"),
    case("minor", "mother verified, mother ended, mother yes → guardian_required", "no_consent_recorded"),
    case("minor", "mother verified until December, mother yes, child + 9 days", "guardian_required"),
    case("minor", "mother verified from December, mother yes → guardian_required", "no_consent_recorded"),
    case("minor", "mother verified from December, child + 9 days, mother yes", "consent_granted"),
    case("minor", "child yes → guardian_required", "no_consent_recorded"),
    case("minor", "child no", "refused"),
    case("minor", "mother verified, mother yes, child no", "refused"),
    case("minor", "mother verified, child no, mother yes", "refused"),
    case("minor", "mother verified, mother yes, child no, child yes", "consent_granted"),
    case("minor", "child no, child yes", "guardian_required"),
    case("minor", "child no, child yes, child yes → guardian_required", "guardian_required"),
    case("minor", "mother verified, mother no, child no, child yes", "refused"),
    case("minor", f"{BOTH}, mother yes", "consent_granted"),
    case("minor", f"{BOTH}, mother yes, father no", "guardian_conflict"),
    case("minor", f"{BOTH}, father no, mother yes", "guardian_conflict"),
    case("minor", f"{BOTH}, mother no, father no", "refused"),
    case("minor", f"{BOTH}, mother yes, father no, father yes", "consent_granted"),
    case("minor", f"{BOTH}, mother yes, father no, father ended", "refused"),
    case("minor", f"{BOTH}, mother yes, father no, father ended, mother yes", "consent_granted"),
    case("minor", f"{BOTH}, mother yes, father no, father blocked, mother yes", "consent_granted"),
    case("minor", f"{BOTH}, mother yes, father yes, mother ended", "consent_granted"),
    case("minor", "mother verified, father listed, mother yes, father no", "refused"),
    case("minor", "mother verified, father listed, father no, mother yes", "consent_granted"),
    case("minor", "mother verified, father verified until December, father no, mother yes, child + 9 days", "refused"),
    case("minor", f"{BOTH}, mother yes", "guardian_required", ALL),
    case("minor", f"{BOTH}, mother yes, father yes", "consent_granted", ALL),
    case("minor", f"{BOTH}, mother yes, father no", "guardian_conflict", ALL),
    case("minor", f"{BOTH}, mother yes, father ended", "consent_granted", ALL),
    case("minor", "mother verified, father listed, mother yes", "consent_granted", ALL),
    case("minor", f"{BOTH}, mother yes, father no", "refused", LATEST),
    case("minor", f"{BOTH}, father no, mother yes", "consent_granted", LATEST),
    case("minor", f"{BOTH}, father no, mother yes, mother ended", "refused", LATEST),
    case("minor", f"{BOTH}, father no, mother yes, child no", "refused", LATEST),
    case("minor", "mother verified, mother yes, child leaves", "membership_ended"),
    case("minor", f"{BOTH}, mother yes, father yes, child leaves", "consent_granted", ALL),
    case("minor", "mother verified, mother yes, child is 16", "own_consent_required"),
    case("minor", "mother verified, mother no, child is 16", "refused"),
    case("minor", "child no, child is 16", "refused"),
    case("minor", "child no, child yes, child is 16", "own_consent_required"),
    case("minor", f"{BOTH}, mother yes, father no, child is 16", "guardian_conflict"),
    case("minor", "mother verified, mother no, child is 16, child yes", "consent_granted"),
    case("minor", "mother verified, mother yes, child is 16, child yes", "consent_granted"),
    case("minor", "mother verified, child is 16, mother yes → own_consent_required", "no_consent_recorded"),
    case("minor", "mother verified, mother yes, child is 20 after all", "own_consent_required"),
    case("of age", "child yes", "consent_granted"),
    case("of age", "child no", "refused"),
    case("of age", "mother verified, mother yes → own_consent_required", "no_consent_recorded"),
    case("of age", "child yes, mother verified, mother no", "refused"),
    case("of age", "child yes, mother verified, mother no, child yes", "consent_granted"),
    case("of age", "child yes, child is 15 after all", "guardian_required"),
    case("of age", "child yes, child leaves", "membership_ended"),
    case("no birth date", "child yes → guardian_required", "no_consent_recorded"),
    case("no birth date", "mother verified, mother yes", "consent_granted"),
    case("no birth date", "child no", "refused"),
    case("no birth date", "mother verified, mother yes, child is 20 after all", "own_consent_required"),
)


def page() -> str:
    """The page, in Markdown."""
    rows = [
        f"| {one.age} | {' · '.join(_shown(step) for step in one.happened)} | `{one.rule}` "
        f"| {'yes' if one.reasons == ('consent_granted',) else 'no'} | {', '.join(f'`{why}`' for why in one.reasons)} |"
        for one in CASES
    ]
    return _HEAD + "\n".join(rows) + "\n"


def _shown(step: str) -> str:
    told, _, refused = step.partition(" → ")
    return f"{told}, refused: `{refused}`" if refused else told


_HEAD = """# Decision table

Who said what about one purpose, who was whose guardian, and what a check answers then. Each row is a test, over HTTP,
on SQLite and on PostgreSQL; this page is made of them by `python -m tests.decision_table`. The age is that at the
beginning, under a policy in which who is under 16 is a minor. "Verified" and "listed" say that a guardianship was
recorded, with or without a proof seen. The rules behind it are on the page on [guardians](guardians.md).

| the child | what happened, in order | several guardians | answer | reasons |
|---|---|---|---|---|
"""

if __name__ == "__main__":
    PAGE.write_text(page())
