"""Laws of publishing: what a diff tells, and for which versions a yes counts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent_service.core import publication
from consent_service.core.clients import Client, Scope
from consent_service.core.consent import Action, Standing, Tally
from consent_service.core.decision import Question, decide
from consent_service.core.people import Pseudonym
from consent_service.core.policy import Basis, Policy, Purpose, SubjectKind, Text
from consent_service.core.policy_file import from_document, to_document
from consent_service.core.projection import SubjectState
from consent_service.core.publication import Declared
from consent_service.core.reasons import ReasonCode
from consent_service.core.standings import Leaves
from consent_service.policies import shipped

SHIPPED = shipped()
LEAVES = [leaf.code for leaf in SHIPPED.leaves]
AT = datetime(2026, 11, 23, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Tokyo")
CLIENT = Client("cli_1", "tests", frozenset(Scope), (), (), None, None, AT)


def mapped(policy: Policy, change: dict[str, Purpose | None]) -> Policy:
    """The policy with these leaves exchanged, or taken out where there is None; branches that end up empty go, too."""
    return replace(policy, purposes=tuple(one for top in policy.purposes if (one := _mapped(top, change))))


def _mapped(purpose: Purpose, change: dict[str, Purpose | None]) -> Purpose | None:
    if purpose.is_leaf or not purpose.purposes:
        return change.get(purpose.code, purpose)
    below = tuple(one for child in purpose.purposes if (one := _mapped(child, change)))
    return replace(purpose, purposes=below) if below else None


def reworded(leaf: Purpose, text: str) -> Purpose:
    return replace(leaf, wording=replace(leaf.wording, text=Text(text, text)))


def found(policy: Policy, code: str) -> Purpose:
    purpose = policy.find(code)
    assert purpose
    return purpose


def published(versions: Sequence[Policy], after: Policy, declared: Declared) -> Policy:
    return publication.numbered(after, versions, publication.diff(versions[-1], after), declared)


SOME = st.sets(st.sampled_from(LEAVES), max_size=6)


@given(SOME, SOME, SOME, SOME)
def test_a_diff_names_each_leaf_that_differs_and_no_other(
    gone: set[str], words: set[str], bases: set[str], others: set[str]
) -> None:
    change: dict[str, Purpose | None] = {}
    for code in words | bases | others:
        leaf = found(SHIPPED, code)
        leaf = reworded(leaf, "otherwise") if code in words else leaf
        leaf = replace(leaf, basis=Basis.NOTICE) if code in bases else leaf
        change[code] = replace(leaf, survives_membership=not leaf.survives_membership) if code in others else leaf
    after = mapped(SHIPPED, {**change, **dict.fromkeys(gone, None)})
    told = publication.diff(SHIPPED, after)
    assert (set(told.removed), set(told.added)) == (gone, set())
    assert set(told.reworded) == words - gone
    assert set(told.basis_changed) == bases - gone
    assert {code for code in told.otherwise if code in LEAVES} == others - gone
    assert publication.diff(after, SHIPPED).added == tuple(code for code in LEAVES if code in gone)
    assert set(publication.undeclared(told, Declared())) == (words | bases) - gone
    assert set(publication.undeclared(told, Declared(editorial=tuple(words)))) == bases - words - gone


def test_the_same_policy_has_no_difference() -> None:
    told = publication.diff(SHIPPED, replace(SHIPPED, version="again"))
    assert list(publication.in_words(told)) == []
    assert publication.diff(None, SHIPPED).added == tuple(LEAVES)


def test_the_differences_in_words() -> None:
    after = mapped(replace(SHIPPED, quiet_period_days=1), {"billing": None})
    after = replace(after, purposes=tuple(one for one in after.purposes if one.code != "concomitant_use"))
    told = publication.diff(SHIPPED, after)
    assert list(publication.in_words(told)) == [
        "removed: billing",
        "removed: concomitant_use",
        "changed: quiet_period_days",
    ]


def test_only_changed_leaves_may_be_named_and_each_once() -> None:
    after = mapped(SHIPPED, {"billing": reworded(found(SHIPPED, "billing"), "x")})
    declared = Declared(("billing", "surveys.analysis", "biling", "marketing"), ("billing",))
    wrong = list(publication.wrong_names(after, publication.diff(SHIPPED, after), declared))
    assert [fault.pointer for fault in wrong] == ["/material/1", "/material/2", "/material/3", "/editorial/0"]
    assert "did not change" in wrong[0].detail
    assert "the nearest are billing" in wrong[1].detail
    assert "no leaf" in wrong[2].detail


@pytest.mark.parametrize(("declared", "counts_from"), [(Declared(("billing",)), 2), (Declared((), ("billing",)), 1)])
def test_a_changed_wording_takes_the_next_number(declared: Declared, counts_from: int) -> None:
    after = published([SHIPPED], mapped(SHIPPED, {"billing": reworded(found(SHIPPED, "billing"), "x")}), declared)
    assert (found(after, "billing").wording.number, found(after, "billing").counts_from) == (2, counts_from)
    assert from_document(to_document(after), name="again") == after
    assert {leaf.wording.number for leaf in after.leaves if leaf.code != "billing"} == {1}


@dataclass(frozen=True)
class Step:
    """What happens to the one leaf that a life is about: the leaf's next form, and what the publisher says."""

    kind: str  # same, editorial, material, removed
    delay: int  # hours until the version takes effect


STEPS = st.lists(
    st.builds(Step, st.sampled_from(["same", "editorial", "material", "removed"]), st.integers(0, 3)), max_size=8
)
LEAF = "surveys.analysis"


class Life:
    """Versions one after another, beside a plain oracle: each says which yeses count for it, by its `era`."""

    def __init__(self) -> None:
        self.versions = [SHIPPED]
        self.effective = [AT]
        self.eras: list[int | None] = [1]

    def publish(self, step: Step, now: datetime) -> None:
        last, eras = self.versions[-1], [era for era in self.eras if era is not None]
        here, number = self.eras[-1], len(self.versions)
        base = last.find(LEAF) or found(SHIPPED, LEAF)
        declared = Declared()
        if step.kind == "removed":
            leaf, era = None, None
        elif here is None:
            leaf, era = base, max(eras) + 1
        elif step.kind == "same":
            leaf, era = base, here
        else:
            leaf = reworded(base, f"wording {number}")
            declared = Declared((LEAF,)) if step.kind == "material" else Declared((), (LEAF,))
            era = here + (step.kind == "material")
        proposed = replace(mapped(SHIPPED, {LEAF: leaf}), version=str(number))
        self.versions.append(published(self.versions, proposed, declared))
        self.effective.append(now + timedelta(hours=step.delay))
        self.eras.append(era)

    def in_force(self, now: datetime) -> int:
        return max(number for number, at in enumerate(self.effective) if at <= now)


@settings(max_examples=300)
@given(STEPS, st.integers(0, 8), st.sampled_from(Action))
def test_a_yes_counts_until_its_wording_changes_materially_or_goes(steps: list[Step], shown: int, said: Action) -> None:
    life, now = Life(), AT
    for step in steps:
        life.publish(step, now)
        now += timedelta(hours=1)
    shown = min(shown, len(life.versions) - 1)
    leaf = life.versions[shown].find(LEAF)
    if leaf is None:
        return
    standing = Standing(said, 7, AT, None, leaf.wording.number, None)
    state = SubjectState("sub_1", SubjectKind.CUSTOMER, leaves=Leaves().changed({LEAF: standing}))
    for hours in range(12):
        then = AT + timedelta(hours=hours)
        number = life.in_force(then)
        verdict = decide(Question(Pseudonym("sub_1"), LEAF), CLIENT, life.versions[number], state, now=then, zone=ZONE)
        era, given_in = life.eras[number], life.eras[shown]
        assert given_in is not None
        if era is None:
            expected = {ReasonCode.PURPOSE_NOT_SPECIFIED}
        elif said is not Action.GRANT:
            expected = {ReasonCode.REFUSED if said is Action.REFUSE else ReasonCode.WITHDRAWN}
        else:
            expected = {ReasonCode.CONSENT_GRANTED if given_in >= era else ReasonCode.POLICY_CHANGED}
        assert {reason.code for reason in verdict.reasons} == expected
        assert verdict.permitted is (expected == {ReasonCode.CONSENT_GRANTED})


@given(STEPS.filter(bool))
def test_numbers_only_rise_and_a_yes_never_counts_from_a_wording_to_come(steps: list[Step]) -> None:
    life = Life()
    for step in steps:
        life.publish(step, AT)
    leaves = [leaf for policy in life.versions if (leaf := policy.find(LEAF))]
    numbers = [leaf.wording.number for leaf in leaves]
    assert numbers == sorted(numbers)
    assert [leaf.counts_from for leaf in leaves] == sorted(leaf.counts_from for leaf in leaves)
    assert all(leaf.counts_from <= leaf.wording.number for leaf in leaves)


def test_a_lapse_is_a_yes_that_counts_today_and_will_not() -> None:
    billing, email = found(SHIPPED, "billing"), found(SHIPPED, "marketing.own_company.email")
    after = published(
        [SHIPPED], mapped(SHIPPED, {"billing": reworded(billing, "x"), email.code: None}), Declared(("billing",))
    )
    leaves = publication.endangered(SHIPPED, after)
    assert [leaf.code for leaf in leaves] == ["billing", email.code]
    tallies = [
        Tally("billing", Action.GRANT, 1, False, 10),
        Tally("billing", Action.GRANT, 2, False, 100),  # was shown the new wording already
        Tally("billing", Action.GRANT, 1, True, 1000),
        Tally("billing", Action.REFUSE, 1, False, 10_000),
        Tally(email.code, Action.GRANT, 1, False, 5),
    ]
    assert publication.lapses(leaves, after, tallies) == {"billing": 10, email.code: 5}
    assert publication.endangered(None, after) == ()
    assert publication.endangered(SHIPPED, replace(SHIPPED, version="2")) == ()
