"""The laws that hold whatever was said and whoever was whose guardian: time turns no no into a yes, and so on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent_service.core import hearing
from consent_service.core.clients import Client, Scope
from consent_service.core.consent import Action, Role, Standing, Statement
from consent_service.core.decision import Question, Verdict, decide
from consent_service.core.errors import GuardianRequired
from consent_service.core.guardianship import Guardianship
from consent_service.core.instants import MILLISECOND
from consent_service.core.people import Identifier, Membership, MembershipStatus
from consent_service.core.policy import (
    Basis,
    GuardianRule,
    Handover,
    MinorRule,
    Policy,
    Purpose,
    SubjectKind,
    Text,
    Wording,
)
from consent_service.core.projection import SubjectState
from consent_service.core.standings import Leaves, Voices
from consent_service.core.voices import OWN
from consent_service.policies import shipped

TOKYO = ZoneInfo("Asia/Tokyo")
TODAY = datetime(2026, 11, 22, 15, tzinfo=UTC)  # midnight at the school
LEAF = "leaf"
SHIPPED = shipped()
CLIENT = Client("cli_1", "tests", frozenset(Scope), (), (), None, None, TODAY)
QUESTION = Question(Identifier("sis", "child"), LEAF)
MANY = 600  # examples of each law


def on(days: int) -> datetime:
    return TODAY + timedelta(days=days)


INSTANTS = sorted({max(TODAY, on(day) + timedelta(milliseconds=off)) for day in range(7) for off in (-1, 0)})
"""Every instant at which anything here begins or ends, and the one before it."""

UNTIL = [None, *(on(day) for day in (-1, 1, 2, 3, 4, 5))]
SINCE = [None, on(-4), on(-2), on(0)]


def one_of(*choices: Sequence[object]) -> st.SearchStrategy[Any]:
    """One of each, drawn as one number, for that is quick."""
    return st.integers(0, math.prod(map(len, choices)) - 1).map(lambda number: _unfolded(number, choices))


def _unfolded(number: int, choices: Sequence[Sequence[object]]) -> list[object]:
    found = []
    for some in choices:
        number, place = divmod(number, len(some))
        found.append(some[place])
    return found


def _standing(action: Action, made_at: datetime, expires_at: datetime | None, wording: int) -> Standing:
    return Standing(action, 0, made_at, expires_at, wording, None)


moments = st.sampled_from(INSTANTS)
words = one_of(
    ["mother", "father", "mother", "father", "aunt", OWN],
    [*[Action.GRANT] * 4, Action.REFUSE],
    [on(-3), on(-1), on(0)],
    UNTIL,
    [2, 2, 2, 1],
).map(lambda told: (told[0], _standing(*told[1:])))


def guardianships_since(since: Sequence[datetime | None]) -> st.SearchStrategy[Guardianship]:
    """Anybody's, which began at one of these instants."""
    chosen = one_of(["mother", "father", "aunt"], since, UNTIL, [True, True, False], [None, None, None, on(-1), on(-3)])
    return chosen.map(lambda told: Guardianship(*told))


guardianships = guardianships_since(SINCE)
parents = (Guardianship("mother", None, None, True, None), Guardianship("father", None, on(4), True, None))
families = st.lists(guardianships, max_size=3).map(lambda more: (*parents, *more))
growing_families = st.lists(guardianships_since([*SINCE, on(1), on(2)]), min_size=1, max_size=4)


def policies(*rules: GuardianRule) -> st.SearchStrategy[Policy]:
    """One leaf, whose second wording may be a materially changed one."""
    chosen = one_of(rules, [1, 1, 2], [*[Basis.CONSENT] * 3, Basis.NOTICE], [True, False], list(Handover), [0, 0, 2])
    return chosen.map(lambda told: _policy(*told))


def _policy(
    rule: GuardianRule, counts_from: int, basis: Basis, survives: bool, handover: Handover, grace: int
) -> Policy:
    wording = Wording(2, Text("x", "x"), counts_from)
    leaf = Purpose(LEAF, wording, basis=basis, survives_membership=survives, guardians=rule)
    minors = (MinorRule(date(2026, 11, 1), 16),)
    return replace(SHIPPED, purposes=(leaf,), minor_rules=minors, handover=handover, handover_grace_days=grace)


BORN = [None, None, date(2010, 11, 21), date(2010, 11, 23), date(2010, 11, 25), date(2010, 11, 26)]
MEMBERSHIPS = [Membership(), Membership(), Membership(MembershipStatus.ENDED, date(2026, 11, 25))]


@st.composite
def children(draw: st.DrawFn, of: st.SearchStrategy[Sequence[Guardianship]] = families) -> SubjectState:
    """A student of whom anything may have been said, and with any guardians; nothing begins at an instant to come."""
    born, membership = draw(one_of(BORN, MEMBERSHIPS))
    guarded = {f"gua_{n}": one for n, one in enumerate(draw(st.permutations(draw(of))))}
    state = SubjectState("sub_1", SubjectKind.STUDENT, membership, born=born, guardianships=guarded)
    said = {who: one._replace(index=index) for index, (who, one) in enumerate(draw(st.lists(words, max_size=4)))}
    return saying(state, said)


def saying(state: SubjectState, said: Mapping[str, Standing]) -> SubjectState:
    """The child, about whom this was said."""
    if not said:
        return state
    last = max(said.values(), key=lambda one: one.index)
    voices = Voices().changed({(LEAF, who): one for who, one in said.items()}) if set(said) - {OWN} else Voices()
    return state._replace(leaves=Leaves().changed({LEAF: last}), voices=voices)


def asked(state: SubjectState, policy: Policy, now: datetime) -> Verdict:
    return decide(QUESTION, CLIENT, policy, state, now=now, zone=TOKYO)


def answers(child: SubjectState, policy: Policy) -> list[tuple[datetime, bool]]:
    return [(at, asked(child, policy, at).permitted) for at in INSTANTS]


@settings(max_examples=MANY)
@given(children(), policies(GuardianRule.ANY_REFUSAL_WINS, GuardianRule.LATEST))
def test_time_alone_turns_no_no_into_a_yes(child: SubjectState, policy: Policy) -> None:
    for (_, before), (at, after) in pairwise(answers(child, policy)):
        assert before or not after, at


@settings(max_examples=MANY)
@given(children(), policies(GuardianRule.ALL))
def test_under_all_only_the_end_of_a_guardianship_does(child: SubjectState, policy: Policy) -> None:
    ends = {one.until for one in child.guardianships.values()}
    for (_, before), (at, after) in pairwise(answers(child, policy)):
        assert before or not after or at in ends, at


@settings(max_examples=MANY)
@given(children(growing_families), policies(*GuardianRule))
def test_a_yes_holds_until_it_expires(child: SubjectState, policy: Policy) -> None:
    """Whatever begins, ends or is handed over meanwhile: while nobody says anything it ends no earlier."""
    told = [(at, asked(child, policy, at)) for at in INSTANTS]
    for place, (now, yes) in enumerate(told):
        ends = [at for at, later in told[place:] if not later.permitted]
        if yes.permitted and ends:
            assert yes.expires_at is not None, now
            assert yes.expires_at <= ends[0], now
        assert yes.expires_at is None or asked(child, policy, yes.expires_at - MILLISECOND).permitted, now


@settings(max_examples=MANY)
@given(children(), policies(*GuardianRule), guardianships, st.sampled_from([None, on(1), on(3)]))
def test_an_unverified_guardianship_changes_no_answer(
    child: SubjectState, policy: Policy, one: Guardianship, begin: datetime | None
) -> None:
    doubted = {"gua_9": replace(one, is_verified=False, from_=begin, blocked_at=None)}  # a court order is another thing
    known = child._replace(guardianships={**child.guardianships, **doubted})
    for now in INSTANTS:
        before, after = asked(child, policy, now), asked(known, policy, now)
        assert (after.permitted, after.expires_at) == (before.permitted, before.expires_at)
        if one.guardian not in child.voices.of(LEAF):  # who said yes without authority is called unverified from now on
            assert after == before


@settings(max_examples=MANY)
@given(children(), policies(*GuardianRule), moments, st.sampled_from(["mother", "father", "aunt"]))
def test_an_unverified_guardians_grant_is_refused(child: SubjectState, policy: Policy, now: datetime, who: str) -> None:
    doubted = {name: replace(one, is_verified=False) for name, one in child.guardianships.items()}
    minor = child._replace(born=None, guardianships=doubted)
    statement = Statement(Action.GRANT, now, None, {LEAF: 2}, Role.GUARDIAN)
    with pytest.raises(GuardianRequired):
        hearing.refuse_idle_grant(minor, statement, who, hearing.majority(minor, policy, now, TOKYO), now)


@settings(max_examples=MANY)
@given(children(), policies(*GuardianRule), st.sampled_from([OWN, "mother", "father", "aunt"]))
def test_a_refusal_turns_no_no_into_a_yes(child: SubjectState, policy: Policy, who: str) -> None:
    """Whoever says it, verified or not: authority bounds grants, not refusals."""
    said = child.voices.of(LEAF) or ({OWN: child.leaves[LEAF]} if LEAF in child.leaves else {})
    refused = saying(child, {**said, who: Standing(Action.REFUSE, 99, TODAY, None, 2, TODAY)})
    for (at, before), (_, after) in zip(answers(child, policy), answers(refused, policy), strict=True):
        assert before or not after, at
