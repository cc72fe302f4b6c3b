"""The laws of granting, refusing and withdrawing."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from consent_service.core.clients import Client, Scope
from consent_service.core.consent import Action, Role, Standing, Statement, objection_to, standing_after
from consent_service.core.decision import RULES, Question, decide
from consent_service.core.people import Identifier, Membership, MembershipStatus
from consent_service.core.policy import SubjectKind
from consent_service.core.projection import SubjectState
from consent_service.core.reasons import SENTENCES, Reason, ReasonCode, sentence
from consent_service.core.standings import Leaves
from consent_service.policies import shipped

POLICY = shipped()
TOKYO = ZoneInfo("Asia/Tokyo")
START = datetime(2026, 11, 23, tzinfo=UTC)
CLIENT = Client("cli_1", "all", frozenset(Scope), (), (), None, None, START)
LEAVES = [leaf.code for leaf in POLICY.leaves]

minutes = st.integers(-100, 100).map(lambda n: START + timedelta(minutes=n))


anything = st.sampled_from(list(Action))


@st.composite
def statements(draw: st.DrawFn, action: st.SearchStrategy[Action] = anything) -> Statement:
    said = draw(action)
    expires_at = draw(st.none() | minutes) if said is Action.GRANT else None
    return Statement(said, draw(minutes), expires_at, {"billing": 1}, draw(st.sampled_from(list(Role))))


def after(told: list[Statement]) -> Standing | None:
    """What stands for a leaf after these statements were recorded at START, one after another."""
    standing: Standing | None = None
    for index, statement in enumerate(told):
        if objection_to(statement, standing, START) is None:
            standing = standing_after(statement, "billing", index, standing)
    return standing


def permitted(standing: Standing | None, now: datetime, membership: Membership | None = None) -> bool:
    leaves = {"billing": standing} if standing else {}
    state = SubjectState(
        "sub_1", SubjectKind.CUSTOMER, membership or Membership(), {"person": 1}, Leaves().changed(leaves)
    )
    question = Question(Identifier("person", "1"), "billing")
    return decide(question, CLIENT, POLICY, state, now=now, zone=TOKYO).permitted


@given(st.lists(statements()), statements(st.sampled_from([Action.REFUSE, Action.WITHDRAW])), minutes)
def test_after_a_refusal_or_withdrawal_the_answer_is_no_whenever_it_was_made(
    before: list[Statement], no: Statement, now: datetime
) -> None:
    assert not permitted(after([*before, no]), now)


@given(st.lists(statements()), minutes, st.timedeltas(timedelta(), timedelta(hours=5)))
def test_time_alone_never_turns_a_no_into_a_yes(told: list[Statement], now: datetime, span: timedelta) -> None:
    standing = after(told)
    assert permitted(standing, now) or not permitted(standing, now + span)


@given(st.lists(statements()))
def test_expiry_is_exact_at_the_instant(told: list[Statement]) -> None:
    standing = after(told)
    if standing and standing.expires_at and standing.action is Action.GRANT:
        assert permitted(standing, standing.expires_at - timedelta(milliseconds=1))
        assert not permitted(standing, standing.expires_at)


@given(st.lists(statements()), statements(st.just(Action.GRANT)))
def test_a_grant_older_than_any_no_changes_nothing(told: list[Statement], grant: Statement) -> None:
    noes = [statement.made_at for statement in told if statement.action is not Action.GRANT]
    if noes and grant.made_at < max(noes):
        assert after([*told, grant]) == after(told)


@given(st.lists(statements()), statements(st.just(Action.GRANT)))
def test_a_grant_beside_a_no_of_the_same_call_changes_nothing(told: list[Statement], grant: Statement) -> None:
    assert objection_to(grant, after(told), START, has_no_beside=True) is not None


@given(st.lists(statements()), statements(st.just(Action.GRANT)))
def test_an_unverified_guardians_grant_changes_nothing(told: list[Statement], grant: Statement) -> None:
    by_guardian = Statement(grant.action, grant.made_at, grant.expires_at, grant.wordings, Role.GUARDIAN)
    assert after([*told, by_guardian]) == after(told)


@given(st.lists(statements(), max_size=4), minutes, st.sampled_from([code.code for code in POLICY.walk()]))
def test_a_yes_always_has_a_ground_and_a_no_always_an_objection(
    told: list[Statement], now: datetime, purpose: str
) -> None:
    standing = after(told)
    leaves = dict.fromkeys(LEAVES, standing) if standing else {}
    state = SubjectState("sub_1", SubjectKind.CUSTOMER, Membership(), {"person": 1}, Leaves().changed(leaves))
    verdict = decide(Question(Identifier("person", "1"), purpose), CLIENT, POLICY, state, now=now, zone=TOKYO)
    grounds = {ReasonCode.CONSENT_GRANTED, ReasonCode.CONCOMITANT, ReasonCode.NOTICE_GIVEN}
    assert verdict.reasons
    assert all((reason.code in grounds) == verdict.permitted for reason in verdict.reasons)
    assert verdict.permitted or verdict.expires_at is None


def test_a_membership_is_over_on_the_day_it_ends() -> None:
    over = Membership(MembershipStatus.ENDED, START.date())
    assert not over.is_over(START.date() - timedelta(days=1))
    assert over.is_over(START.date())


def test_every_rule_says_why_in_its_docstring() -> None:
    assert all(rule.__doc__ for rule in RULES)


def test_every_reason_has_a_sentence_in_both_languages() -> None:
    for code in ReasonCode:
        reason = Reason(code, "billing", 1, START.date(), ("billing",))
        assert sentence(reason, "en") != sentence(reason, "ja")
        assert "{" not in sentence(reason, "en") + sentence(reason, "ja")
    assert set(SENTENCES) == set(ReasonCode)
