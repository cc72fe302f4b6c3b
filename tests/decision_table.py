"""The decision table: who said what, who was whose guardian, and the answer. docs/decision-table.md is made of it.

Run as a program, it writes the page.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[1] / "docs" / "decision-table.md"


class Case(NamedTuple):
    """A row: the child's age, what happened in order, how several guardians are heard, and the answer's reasons.

    `membership` says whether the child has left in the end, and whether the policy lets this use go on then.
    """

    age: str
    happened: tuple[str, ...]
    rule: str
    membership: str
    reasons: tuple[str, ...]

    @property
    def name(self) -> str:
        """The row in a word, for the name of its test."""
        return f"{self.age}: {', '.join(self.happened)} ({self.rule}, {self.membership})"

    @property
    def permitted(self) -> bool:
        """Whether the answer is a yes."""
        return self.reasons in (("consent_granted",), ("notice_given",))


def case(age: str, happened: str, reasons: str, rule: str = "any_refusal_wins", membership: str = "active") -> Case:
    return Case(age, tuple(happened.split(", ")), rule, membership, tuple(reasons.split(", ")))


ANY, ALL, LATEST = "any_refusal_wins", "all", "latest"
ENDED, GOES_ON = "ended", "ended, use goes on"
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
    case("minor", "mother verified, mother yes", "membership_ended", ANY, ENDED),
    case("minor", "mother verified, mother yes", "consent_granted", ANY, GOES_ON),
    case("minor", "mother verified, mother no", "refused", ANY, GOES_ON),
    case("minor", "mother verified, mother no", "refused, membership_ended", ANY, ENDED),
    case("minor", "mother verified", "no_consent_recorded", ANY, ENDED),
    case("minor", "mother verified, mother yes, mother ended", "guardian_required, membership_ended", ANY, ENDED),
    case("minor", f"{BOTH}, mother yes, father no", "guardian_conflict, membership_ended", ANY, ENDED),
    case("minor", f"{BOTH}, mother yes, father yes", "consent_granted", ALL, GOES_ON),
    case("minor", f"{BOTH}, father no, mother yes", "membership_ended", LATEST, ENDED),
    case("minor", "mother verified, mother yes, child is 16", "own_consent_required, membership_ended", ANY, ENDED),
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
    case("of age", "child yes", "membership_ended", ANY, ENDED),
    case("of age", "child yes", "consent_granted", ANY, GOES_ON),
    case("no birth date", "child yes → guardian_required", "no_consent_recorded"),
    case("no birth date", "mother verified, mother yes", "consent_granted"),
    case("no birth date", "child no", "refused"),
    case("no birth date", "mother verified, mother yes, child is 20 after all", "own_consent_required"),
    case("minor", "mother verified, mother yes, policy changes materially", "policy_changed"),
    case("minor", "mother verified, mother yes, policy is put better", "consent_granted"),
    case("minor", "mother verified, mother yes, policy changes materially, mother yes", "consent_granted"),
    case(
        "minor", "mother verified, mother yes, policy changes materially, mother yes on the old form", "policy_changed"
    ),
    case("minor", "mother verified, mother yes, policy changes materially in December", "consent_granted"),
    case(
        "minor", "mother verified, mother yes, policy changes materially in December, child + 9 days", "policy_changed"
    ),
    case(
        "minor",
        "mother verified, policy changes materially in December, mother yes, child + 9 days",
        "consent_granted",
    ),
    case("minor", "mother verified, mother no, policy changes materially", "refused"),
    case("minor", "mother verified, mother yes, child no, policy changes materially", "refused"),
    case(
        "minor",
        "mother verified, mother yes, mother ended, policy changes materially",
        "policy_changed, guardian_required",
    ),
    case(
        "minor",
        "mother verified, mother yes, mother found unverified, policy changes materially",
        "policy_changed, guardian_unverified",
    ),
    case("minor", "mother verified, mother yes, policy changes materially", "policy_changed", ANY, GOES_ON),
    case(
        "minor",
        "mother verified, mother yes, policy changes materially",
        "policy_changed, membership_ended",
        ANY,
        ENDED,
    ),
    case("minor", f"{BOTH}, mother yes, father no, policy changes materially", "refused"),
    case("minor", f"{BOTH}, mother yes, father no, policy changes materially, mother yes", "guardian_conflict"),
    case("minor", f"{BOTH}, mother yes, father yes, policy changes materially, mother yes", "consent_granted"),
    case("minor", f"{BOTH}, mother yes, father yes, policy changes materially, mother yes", "policy_changed", ALL),
    case(
        "minor",
        f"{BOTH}, mother yes, father yes, policy changes materially, mother yes, father yes",
        "consent_granted",
        ALL,
    ),
    case("minor", f"{BOTH}, mother yes, father yes, policy changes materially, mother yes", "consent_granted", LATEST),
    case(
        "minor",
        f"{BOTH}, policy changes materially, mother yes, father yes on the old form",
        "policy_changed",
        LATEST,
    ),
    case("minor", "mother verified, mother yes, policy drops the purpose", "purpose_not_specified"),
    case(
        "minor",
        "mother verified, mother yes, policy drops the purpose, policy has the purpose again",
        "policy_changed",
    ),
    case("minor", "policy asks nobody", "notice_given"),
    case("minor", "mother verified, mother yes, policy asks nobody", "consent_granted"),
    case("minor", "mother verified, mother yes, mother ended, policy asks nobody", "notice_given"),
    case("minor", "mother verified, mother no, policy asks nobody", "refused"),
    case("minor", f"{BOTH}, mother yes, father no, policy asks nobody", "guardian_conflict"),
    case("minor", "policy asks nobody", "membership_ended", ANY, ENDED),
    case("minor", "mother verified, mother yes, child is 16, policy asks nobody", "notice_given"),
    case(
        "minor",
        "mother verified, mother yes, child is 16, policy changes materially",
        "policy_changed, own_consent_required",
    ),
    case("minor", "mother verified, mother yes, policy keeps, child is 16", "consent_granted"),
    case("minor", "mother verified, mother yes, policy keeps, child is 16, child no", "refused"),
    case("minor", "mother verified, mother yes, policy keeps, child is 20 after all", "own_consent_required"),
    case("minor", "mother verified, mother yes, policy gives 5 days, child is 16", "consent_granted"),
    case(
        "minor", "mother verified, mother yes, policy gives 5 days, child is 16, child + 5 days", "own_consent_required"
    ),
    case("minor", "mother verified, mother yes, policy says 14", "own_consent_required"),
    case("minor", "mother verified, mother yes, child is 16, policy says 18", "consent_granted"),
    case("minor", "mother verified, child is 16, child yes, policy says 18", "guardian_required"),
    case("of age", "child yes, policy changes materially", "policy_changed"),
    case("of age", "child yes, policy is put better", "consent_granted"),
    case("of age", "child no, policy changes materially", "refused"),
    case("of age", "child yes, policy changes materially, child yes", "consent_granted"),
    case("of age", "child yes, policy changes materially", "policy_changed, membership_ended", ANY, ENDED),
    case("no birth date", "mother verified, mother yes, policy changes materially", "policy_changed"),
    case("no birth date", "child no, policy changes materially", "refused"),
)


def page() -> str:
    """The page, in Markdown: first the rows without a change of the policy, then those with one."""
    changed = [one for one in CASES if _policy(one)]
    same = [one for one in CASES if not _policy(one)]
    return f"{_HEAD}{_table(same)}\n{_CHANGES}{_table(changed)}"


def _table(cases: Sequence[Case]) -> str:
    return _COLUMNS + "".join(
        f"| {one.age} | {' · '.join(_shown(step) for step in one.happened)} | `{one.rule}` | {_policy(one) or 'same'} "
        f"| {one.membership} | {'yes' if one.permitted else 'no'} | {', '.join(f'`{why}`' for why in one.reasons)} |\n"
        for one in cases
    )


def _policy(one: Case) -> str:
    """What became of the policy in the end, in a word."""
    changes = [step.removeprefix("policy ") for step in one.happened if step.startswith("policy ")]
    return _IN_A_WORD[changes[-1]] if changes else ""


def _shown(step: str) -> str:
    told, _, refused = step.partition(" → ")
    told = f"**{told}**" if told.startswith("policy ") else told
    return f"{told}, refused: `{refused}`" if refused else told


_IN_A_WORD = {
    "changes materially": "material",
    "changes materially in December": "material, later",
    "is put better": "editorial",
    "asks nobody": "notice suffices",
    "drops the purpose": "removed",
    "has the purpose again": "back again",
    "keeps": "yes is kept",
    "gives 5 days": "5 days' grace",
    "says 18": "under 18",
    "says 14": "under 14",
}

_COLUMNS = """| the child | what happened, in order | several guardians | policy | membership | answer | reasons |
|---|---|---|---|---|---|---|
"""

_HEAD = """# Decision table

Who said what about one purpose, who was whose guardian, what became of the policy and whether the child left, and what
a check answers then. Each row is a test, over HTTP, on SQLite and on PostgreSQL; this page is made of them by
`python -m tests.decision_table`. The age is that at the beginning, under a policy in which who is under 16 is a minor.
"Verified" and "listed" say that a guardianship was recorded, with or without a proof seen. The membership is that in
the end; where it ended, the policy lets the use go on or not. The rules behind it are on the page on
[guardians](guardians.md).

"""

_CHANGES = """## When the policy changes

A version is published on the way, in **bold**, and in force at once unless it says December. A word is about the newest
wording, but one on the old form. The column "policy" says what the last version did. More on the page on
[policy versions](policy-versions.md).

"""

if __name__ == "__main__":
    PAGE.write_text(page())
