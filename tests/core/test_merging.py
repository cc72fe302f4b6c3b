"""The law of merging, on whatever two records: no no becomes a yes, for the person and for the wards."""

import os
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from consent_service.core import ledger
from consent_service.core.clients import Client
from consent_service.core.consent import Action, Method, Role
from consent_service.core.decision import Question, Verdict, decide
from consent_service.core.guardianship import Guardianship
from consent_service.core.merging import (
    Law,
    Pair,
    Word,
    facts_of_two,
    facts_of_ward,
    words_meanwhile,
    words_of_two,
    words_of_ward,
)
from consent_service.core.people import Membership, MembershipStatus, Pseudonym
from consent_service.core.policy import Basis, GuardianRule, Policy, Purpose, SubjectKind
from consent_service.core.projection import SubjectState, applied
from consent_service.policies import shipped

EXAMPLES = 50_000 if os.environ.get("CONSENT_TEST_FULL") else 600

NOW = datetime(2026, 11, 23, 2, 10, tzinfo=UTC)
TOKYO = ZoneInfo("Asia/Tokyo")
DAY = timedelta(days=1)
ONE, OTHER, CHILD = "sub_one", "sub_other", "sub_child"
LEAVES = {
    "billing": {"guardians": GuardianRule.ANY_REFUSAL_WINS, "survives_membership": False},
    "important_notices": {"guardians": GuardianRule.ALL, "survives_membership": True},
    "inquiry_response": {"guardians": GuardianRule.LATEST, "survives_membership": False},
    "identity_confirmation": {"basis": Basis.NOTICE},
}
GONE = "of_an_earlier_policy"


def policy() -> Policy:
    """The shipped one, with a leaf for each rule, one for which notice suffices, and all of them reworded once."""
    return replace(shipped(), purposes=tuple(_changed(one) for one in shipped().purposes))


def _changed(purpose: Purpose) -> Purpose:
    if purpose.code not in LEAVES:
        return purpose
    wording = replace(purpose.wording, number=2, counts_from=2)
    return replace(purpose, wording=wording, **LEAVES[purpose.code])  # type: ignore[arg-type]  # a mapping as keywords


LAW = Law(policy(), NOW, TOKYO)
ANYBODY = Client("cli", "cli", frozenset(), (), (), None, None, NOW)


def permits(state: SubjectState, leaf: str) -> bool:
    """What a check answers."""
    return asked(state, leaf).permitted


def asked(state: SubjectState, leaf: str) -> Verdict:
    return decide(Question(Pseudonym(ONE), leaf), ANYBODY, LAW.policy, state, now=NOW, zone=TOKYO)


def until(state: SubjectState, leaf: str) -> datetime:
    """Until when a check that says yes goes on saying so by itself."""
    return asked(state, leaf).expires_at or datetime.max.replace(tzinfo=UTC)


def is_by_notice(leaf: str) -> bool:
    """Whether notice suffices: there a yes that lapses is no yes that ends later."""
    found = LAW.leaf(leaf)
    return found is not None and found.basis is Basis.NOTICE


leaves = st.sampled_from([*LEAVES, *LEAVES, GONE])
guardian = st.sampled_from(["sub_mother", "sub_father"])
word = (
    st.sampled_from([*[Action.GRANT] * 3, Action.REFUSE, Action.WITHDRAW]),
    st.sampled_from([-900, -30, -2, -1, 0]),  # days ago
    st.sampled_from([None, None, None, -1, 0, 1]),  # expires in days
    st.sampled_from([2, 2, 2, 1]),  # wording
)
said = st.tuples(leaves, st.none() | guardian, *word)
guarded = st.tuples(
    st.sampled_from([None, -800, 5]),
    st.sampled_from([None, None, -5, 5]),
    st.sampled_from([True, True, False]),
    st.sampled_from([None, None, None, -3]),
)
memberships = st.sampled_from(
    [Membership()] * 3 + [Membership(MembershipStatus.ENDED, (NOW + days * DAY).date()) for days in (-9, 9)]
)
births = st.sampled_from([None, date(2014, 5, 2), date(2010, 11, 24), date(2009, 5, 2), date(1985, 1, 1)])
kinds = st.sampled_from([SubjectKind.STUDENT, SubjectKind.STUDENT, SubjectKind.CUSTOMER])
records = st.tuples(
    kinds, births, memberships, st.lists(st.tuples(guardian, guarded), max_size=3), st.lists(said, max_size=8)
)


def state(subject: str, told: tuple[Any, ...], first: int) -> SubjectState:
    """A record with a history; its entries have every other index from the first."""
    kind, born, membership, guardians, words = told
    made = SubjectState(subject, kind, membership, born=born)
    made = made._replace(guardianships={f"gua_{subject}_{n}": _guardianship(*one) for n, one in enumerate(guardians)})
    for number, word in enumerate(words):
        made = applied(made, first + 2 * number, statement(subject, *word))
    return made


def _guardianship(guardian: str, told: tuple[int | None, int | None, bool, int | None]) -> Guardianship:
    begin, end, verified, blocked = told
    at = [None if days is None else NOW + days * DAY for days in (begin, end, blocked)]
    return Guardianship(guardian, at[0], at[1], verified, at[2])


def statement(
    subject: str, leaf: str, speaker: str | None, action: Action, ago: int, expires: int | None, wording: int
) -> ledger.StatementMade:
    return ledger.StatementMade(
        at=NOW,
        recorded_by="cli",
        subject=subject,
        action=action,
        purpose=leaf,
        leaves={leaf: wording},
        applied=[leaf],
        not_applied_because=None,
        role=Role.GUARDIAN if speaker else Role.SUBJECT,
        speaker=speaker,
        method=Method.PAPER,
        policy_version="1",
        made_at=NOW + ago * DAY,
        expires_at=None if expires is None or action is not Action.GRANT else NOW + expires * DAY,
    )


def after(facts: SubjectState, words: dict[str, Word], pair: Pair) -> SubjectState:
    """The state once the entry about the merger is folded in."""
    body = ledger.SubjectsMerged(
        at=NOW,
        recorded_by="cli",
        subject=facts.subject,
        merged=pair.merged,
        into=pair.into,
        leaves={leaf: ledger.Stands.of(word.last) if word.last else None for leaf, word in words.items()},
        voices={leaf: {one: ledger.Stands.of(row) for one, row in word.voices.items()} for leaf, word in words.items()},
    )
    return applied(facts, 1000, body)


@pytest.mark.full
@hypothesis_settings(max_examples=EXAMPLES)
@given(one=records, other=records)
def test_merging_turns_no_no_into_a_yes(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    kept, merged = state(ONE, one, 10), state(OTHER, other, 11)
    facts = facts_of_two(kept, merged, NOW)
    now = after(facts, words_of_two(kept, merged, facts, LAW), Pair(OTHER, ONE))
    for leaf in (*LEAVES, GONE, "after_sales_service"):
        for of_all in (lambda one: one, rejoined):
            yeses = [permits(of_all(one), leaf) for one in (now, kept, merged)]
            assert not yeses[0] or all(yeses), leaf
            ends = [until(of_all(one), leaf) for one in (now, kept, merged)]
            assert not yeses[0] or is_by_notice(leaf) or ends[0] <= min(ends), leaf


def rejoined(state: SubjectState) -> SubjectState:
    """The same once the office has corrected that the person left."""
    return state._replace(membership=Membership())


wards = st.tuples(
    st.just(SubjectKind.STUDENT),
    st.sampled_from([None, date(2014, 5, 2), date(2010, 11, 22)]),
    memberships,
    st.lists(st.tuples(st.sampled_from([ONE, OTHER, OTHER, "sub_mother"]), guarded), max_size=4),
    st.lists(st.tuples(leaves, st.sampled_from([None, ONE, OTHER, OTHER, "sub_mother"]), *word)),
)


@pytest.mark.full
@hypothesis_settings(max_examples=EXAMPLES)
@given(told=wards)
def test_merging_two_guardians_turns_no_no_of_a_ward_into_a_yes(told: tuple[Any, ...]) -> None:
    before, pair = state(CHILD, told, 10), Pair(OTHER, ONE)
    facts = facts_of_ward(before, pair, NOW)
    now = after(facts, words_of_ward(before, facts, pair, LAW), pair)
    assert not any(OTHER in text for text in (now.voices.text, str(now.guardianships)))
    for leaf in (*LEAVES, GONE, "after_sales_service"):
        assert permits(before, leaf) or not permits(now, leaf), leaf
        assert not permits(now, leaf) or is_by_notice(leaf) or until(now, leaf) <= until(before, leaf), leaf


@pytest.mark.full
@hypothesis_settings(max_examples=EXAMPLES)
@given(told=wards)
def test_nor_is_a_wards_no_a_yes_while_the_guardians_names_change_one_after_another(told: tuple[Any, ...]) -> None:
    before, pair = state(CHILD, told, 10), Pair(OTHER, ONE)
    facts = facts_of_ward(before, pair, NOW)
    meanwhile, names = after(before, words_meanwhile(before, LAW), pair), list(before.guardianships)
    for done in range(len(names) + 1):
        renamed = {name: (facts if name in names[:done] else before).guardianships[name] for name in names}
        for leaf in (*LEAVES, GONE, "after_sales_service"):
            assert permits(before, leaf) or not permits(meanwhile._replace(guardianships=renamed), leaf), (leaf, done)


def record(subject: str = ONE, *words: tuple[Any, ...], **facts: Any) -> SubjectState:  # noqa: ANN401 (any member)
    """A grown-up's record with these words, each a leaf, an action, and how many days ago."""
    made = SubjectState(subject, SubjectKind.CUSTOMER)._replace(**facts)
    for leaf, action, ago, *more in words:
        speaker, expires, wording = [*more, None, None, 2][:3] if len(more) < 3 else more
        index = made.last_index + 2 if made.last_index >= 0 else (10 if subject == ONE else 11)
        made = applied(made, index, statement(subject, leaf, speaker, action, -ago, expires, wording))
    return made


def merged_of(kept: SubjectState, merged: SubjectState) -> SubjectState:
    facts = facts_of_two(kept, merged, NOW)
    return after(facts, words_of_two(kept, merged, facts, LAW), Pair(OTHER, ONE))


def ward_of_one(ward: SubjectState) -> SubjectState:
    """A ward of the two, once they are one."""
    pair = Pair(OTHER, ONE)
    facts = facts_of_ward(ward, pair, NOW)
    return after(facts, words_of_ward(ward, facts, pair, LAW), pair)


def test_of_two_yeses_stays_what_both_have_in_common() -> None:
    one = record(ONE, ("billing", Action.GRANT, 5, None, 9, 3))
    other = record(OTHER, ("billing", Action.GRANT, 3, None, 4, 2))
    yes = merged_of(one, other).leaves["billing"]
    assert (yes.index, yes.made_at, yes.expires_at, yes.wording) == (10, NOW - 5 * DAY, NOW + 4 * DAY, 2)
    assert merged_of(other._replace(subject=ONE), one._replace(subject=OTHER)).leaves["billing"] == yes


def test_what_different_guardians_permit_ends_with_what_ends_first() -> None:
    father = replace(MOTHER, guardian="sub_father")
    family = {"kind": SubjectKind.STUDENT, "guardianships": {"gua_1": MOTHER, "gua_2": father}}
    one = record(ONE, ("billing", Action.GRANT, 5, "sub_mother", 9, 2), **family)
    other = record(OTHER, ("billing", Action.GRANT, 3, "sub_father", None, 2), **family)
    assert asked(merged_of(one, other), "billing").expires_at == NOW + 9 * DAY


def test_a_guardians_latest_word_that_ends_brings_nobodys_earlier_one_back_when_it_takes_the_date_of_the_first() -> (
    None
):
    guardianships = {name: replace(MOTHER, guardian=name) for name in (ONE, "sub_father", OTHER)}
    leaf = "inquiry_response"  # the latest counts
    words = [(leaf, Action.GRANT, 3, ONE, None, 2), (leaf, Action.GRANT, 2, "sub_father", None, 2)]
    ward = record(
        CHILD, *words, (leaf, Action.GRANT, 1, OTHER, 9, 2), kind=SubjectKind.STUDENT, guardianships=guardianships
    )
    assert asked(ward_of_one(ward), leaf).expires_at == asked(ward, leaf).expires_at == NOW + 9 * DAY


@pytest.mark.parametrize(("ago", "remains"), [(None, False), (6, True)])
def test_a_yes_of_one_of_two_guardians_who_may_not_speak_lapses_beside_anothers(ago: int | None, remains: bool) -> None:
    guardianships = {
        name: replace(MOTHER, guardian=name, is_verified=name != OTHER) for name in ("sub_mother", OTHER, ONE)
    }
    noes = [("billing", Action.REFUSE, ago, OTHER, None, 2)] if ago else []
    yeses = [("billing", Action.GRANT, 5, who, None, 2) for who in (OTHER, "sub_mother")]
    ward = record(CHILD, *noes, *yeses, kind=SubjectKind.STUDENT, guardianships=guardianships)
    now = ward_of_one(ward)
    assert permits(now, "billing")
    assert (ONE in now.voices.of("billing")) is remains
    alone = {
        name: replace(one, until=NOW) if one.guardian == "sub_mother" else one
        for name, one in now.guardianships.items()
    }
    assert not permits(now._replace(guardianships=alone), "billing")


def test_of_two_noes_the_later_stays_and_a_no_stays_beside_a_yes() -> None:
    one = record(ONE, ("billing", Action.REFUSE, 5), ("surveys.analysis", Action.GRANT, 1))
    other = record(OTHER, ("billing", Action.WITHDRAW, 3), ("surveys.analysis", Action.WITHDRAW, 2))
    now = merged_of(one, other)
    assert (now.leaves["billing"].action, now.leaves["billing"].index) == (Action.WITHDRAW, 11)
    assert now.leaves["surveys.analysis"].action is Action.WITHDRAW


def test_the_latest_no_of_either_is_remembered_so_that_no_older_yes_gets_past_it() -> None:
    one = record(ONE, ("billing", Action.REFUSE, 5), ("billing", Action.GRANT, 4))
    other = record(OTHER, ("billing", Action.REFUSE, 3), ("billing", Action.GRANT, 2))
    now = merged_of(one, other)
    assert (now.leaves["billing"].action, now.leaves["billing"].last_no_at) == (Action.GRANT, NOW - 3 * DAY)


def test_a_yes_that_had_lifted_a_no_expires_when_it_lapses_so_that_no_older_yes_gets_past_that_no() -> None:
    one = record(ONE, ("billing", Action.REFUSE, 5), ("billing", Action.GRANT, 4))
    yes = merged_of(one, record(OTHER)).leaves["billing"]
    assert (yes.action, yes.expires_at, yes.last_no_at) == (Action.GRANT, NOW, NOW - 5 * DAY)
    said = [("billing", Action.REFUSE, 5, OTHER, None, 2), ("billing", Action.GRANT, 4, OTHER, None, 2)]
    older = replace(MOTHER, guardian=ONE, from_=NOW - 9 * DAY)
    both = {"gua_1": older, "gua_2": replace(MOTHER, guardian=OTHER, is_verified=False)}
    child = record(CHILD, *said, guardianships=both, kind=SubjectKind.STUDENT)
    pair = Pair(OTHER, ONE)
    facts = facts_of_ward(child, pair, NOW)
    now = after(facts, words_of_ward(child, facts, pair, LAW), pair)
    assert now.voices.of("billing")[ONE].last_no_at == NOW - 5 * DAY
    assert not permits(now, "billing")


def test_a_yes_of_one_who_the_other_never_was_asked_lapses_whatever_hides_it_now() -> None:
    ended = Membership(MembershipStatus.ENDED, date(2026, 1, 1))
    one, other = record(ONE, ("billing", Action.GRANT, 5), membership=ended), record(OTHER)
    now = merged_of(one, other)
    assert now.membership == ended
    assert "billing" not in now.leaves
    unverified = {"gua_one_1": replace(MOTHER, is_verified=False)}
    pupil = {"kind": SubjectKind.STUDENT, "guardianships": unverified}
    child = record(ONE, ("billing", Action.GRANT, 5, "sub_mother", None, 2), **pupil)
    assert "billing" not in merged_of(child, other).leaves


def test_a_yes_to_what_the_policy_in_force_does_not_have_lapses_and_a_no_stays() -> None:
    one, other = record(ONE, (GONE, Action.GRANT, 5)), record(OTHER, (GONE, Action.GRANT, 4))
    assert GONE not in merged_of(one, other).leaves
    assert merged_of(one, record(OTHER, (GONE, Action.REFUSE, 4))).leaves[GONE].action is Action.REFUSE


def test_a_yes_that_is_over_stays_so_that_notice_alone_does_not_suffice_again() -> None:
    one = record(ONE, ("identity_confirmation", Action.GRANT, 5, None, -1, 2))
    assert not permits(one, "identity_confirmation")
    assert permits(record(OTHER), "identity_confirmation")
    assert not permits(merged_of(one, record(OTHER)), "identity_confirmation")


def test_of_what_is_known_the_more_careful_counts() -> None:
    ended = [Membership(MembershipStatus.ENDED, date(2026, 1, day)) for day in (1, 2)]
    one = record(ONE, born=date(2010, 1, 1), membership=ended[1])
    other = record(OTHER, born=date(2012, 1, 1), membership=ended[0], kind=SubjectKind.STUDENT)
    for pair in ((one, other), (other, one)):
        facts = facts_of_two(*pair, NOW)
        assert (facts.kind, facts.born, facts.membership) == (SubjectKind.STUDENT, date(2012, 1, 1), ended[0])
    assert facts_of_two(record(ONE), other, NOW).born == date(2012, 1, 1)
    assert facts_of_two(record(ONE), record(OTHER, kind=SubjectKind.STAFF), NOW).kind is SubjectKind.CUSTOMER


MOTHER = Guardianship("sub_mother", None, None, is_verified=True, blocked_at=None)
BLOCKED = replace(MOTHER, blocked_at=NOW - DAY)


def test_a_guardian_who_is_blocked_in_one_record_is_blocked_in_all_of_the_merged_one() -> None:
    over = replace(MOTHER, until=NOW - 2 * DAY)
    one = record(ONE, guardianships={"gua_one_1": MOTHER, "gua_one_2": over})
    other = record(OTHER, guardianships={"gua_other_1": BLOCKED, "gua_other_2": replace(MOTHER, guardian="sub_father")})
    blocked = {name: one.blocked_at for name, one in facts_of_two(one, other, NOW).guardianships.items()}
    assert blocked == {"gua_one_1": NOW, "gua_one_2": None, "gua_other_1": NOW, "gua_other_2": None}


def test_of_a_wards_leaf_that_the_policy_does_not_have_each_yes_lapses_for_nobody_can_say_what_it_would_permit() -> (
    None
):
    """A court order that comes with the merger may leave a yes alone that waited for another, once the leaf is back."""
    guardianships = {"gua_child_1": MOTHER, "gua_child_2": replace(MOTHER, guardian=OTHER)}
    words = [(leaf, Action.GRANT, 5, "sub_mother", None, 2) for leaf in (GONE, "billing")]
    before = record(CHILD, *words, kind=SubjectKind.STUDENT, guardianships=guardianships)
    facts, pair = facts_of_ward(before, Pair(OTHER, ONE), NOW), Pair(OTHER, ONE)
    now = after(facts, words_of_ward(before, facts, pair, LAW), pair)
    assert "billing" in now.leaves
    assert GONE not in now.leaves


def test_a_leaf_of_a_ward_about_which_no_guardian_spoke_stays_as_it_is() -> None:
    guardianships = {"gua_child_1": replace(MOTHER, guardian=OTHER)}
    before = record(CHILD, (GONE, Action.GRANT, 5, None, None, 2), guardianships=guardianships)
    assert words_of_ward(before, facts_of_ward(before, Pair(OTHER, ONE), NOW), Pair(OTHER, ONE), LAW) == {}


def test_a_court_order_about_one_record_of_a_guardian_holds_for_the_other() -> None:
    both = {"gua_child_1": replace(MOTHER, guardian=ONE), "gua_child_2": replace(BLOCKED, guardian=OTHER)}
    facts = facts_of_ward(record(CHILD, guardianships=both), Pair(OTHER, ONE), NOW)
    assert [one.guardian for one in facts.guardianships.values()] == [ONE, ONE]
    assert all(one.blocked_at for one in facts.guardianships.values())
