"""What the voices of a child's guardians come to, where time and corrected birth dates have a part in it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from consent_service.core.consent import Action, Standing
from consent_service.core.guardianship import Guardianship
from consent_service.core.policy import GuardianRule, Handover
from consent_service.core.reasons import ReasonCode
from consent_service.core.voices import Hearing, Majority, Outcome

TODAY = datetime(2026, 11, 23, tzinfo=UTC)


def on(day: int) -> datetime:
    return TODAY + timedelta(days=day)


def yes(index: int, *, until: datetime | None = None) -> Standing:
    return Standing(Action.GRANT, index, on(index), until, 1, None)


def guardian(
    name: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    blocked_at: datetime | None = None,
) -> Guardianship:
    return Guardianship(name, since, until, is_verified=True, blocked_at=blocked_at)


def heard(
    voices: Mapping[str, Standing], *guardians: Guardianship, rule: GuardianRule, majority: Majority, at: datetime
) -> Outcome:
    return Hearing(voices, guardians, rule, counts_from=1, now=at).outcome(majority)


MINOR = Majority(None, Handover.RECONFIRM, timedelta())
KEPT = Majority(on(10), Handover.KEEP, timedelta())
LATEST, ANY = GuardianRule.LATEST, GuardianRule.ANY_REFUSAL_WINS


def test_the_latest_yes_stays_the_latest_when_it_has_run_out_and_its_guardianship_ends() -> None:
    said = {"mother": yes(1), "father": yes(2, until=on(4))}
    both = [guardian("mother"), guardian("father", until=on(6))]
    for day in (5, 6, 7):
        standing = heard(said, *both, rule=LATEST, majority=MINOR, at=on(day)).standing
        assert standing == said["father"], day


def test_a_yes_that_had_not_run_out_is_no_word_any_more_when_its_guardianship_has_ended() -> None:
    said = {"mother": yes(1), "father": yes(2)}
    found = heard(said, guardian("mother"), guardian("father", until=on(6)), rule=LATEST, majority=MINOR, at=on(7))
    assert (found.standing, found.objection) == (said["mother"], None)


def test_a_kept_yes_holds_as_long_as_it_was_given_for_whatever_guardianship_ends_meanwhile() -> None:
    said = {"mother": yes(1), "father": yes(2, until=on(30))}
    found = heard(said, guardian("mother", until=on(20)), guardian("father"), rule=ANY, majority=KEPT, at=on(15))
    assert (found.standing, found.objection, found.ends_at) == (said["mother"], None, None)


def test_a_minors_yes_ends_with_the_one_that_is_kept() -> None:
    said = {"mother": yes(1), "father": yes(2, until=on(30))}
    coming = guardian("mother", until=on(10)), guardian("father", since=on(5))
    assert heard(said, *coming, rule=GuardianRule.ALL, majority=KEPT, at=on(3)).ends_at == on(30)
    ending = {"mother": yes(1), "father": yes(2, until=on(10))}
    assert heard(ending, *coming, rule=GuardianRule.ALL, majority=KEPT, at=on(3)).ends_at == on(10)


def test_where_notice_suffices_a_yes_ends_by_no_coming_of_age() -> None:
    for now, of_age in ((on(3), on(10)), (on(11), on(10))):
        hearing = Hearing({"mother": yes(1)}, (guardian("mother"),), ANY, counts_from=0, now=now)
        assert hearing.outcome(Majority(of_age, Handover.RECONFIRM, timedelta(days=5))).ends_at is None


def test_a_guardians_yes_for_somebody_who_was_of_age_already_is_not_kept() -> None:
    found = heard({"mother": yes(12)}, guardian("mother"), rule=ANY, majority=KEPT, at=on(15))
    assert (found.standing, found.objection) == (yes(12), ReasonCode.OWN_CONSENT_REQUIRED)


def test_such_a_yes_lifts_no_refusal_either() -> None:
    no = Standing(Action.REFUSE, 1, on(1), None, 1, on(1))
    said = {"father": no, "mother": yes(12)}
    found = heard(said, guardian("mother"), guardian("father", until=on(5)), rule=ANY, majority=KEPT, at=on(15))
    assert found.no == no


def test_a_court_order_is_about_the_two_of_them_in_whichever_guardianship_it_stands() -> None:
    no = Standing(Action.REFUSE, 2, on(2), None, 1, on(2))
    said = {"father": no, "mother": yes(3)}
    for first, second in ((on(4), None), (None, on(4)), (on(4), on(4))):
        fathers = guardian("father", until=on(1), blocked_at=first), guardian("father", since=on(1), blocked_at=second)
        assert heard(said, guardian("mother"), *fathers, rule=ANY, majority=MINOR, at=on(5)).no == no
        later = said | {"mother": yes(5)}
        assert heard(later, guardian("mother"), *fathers, rule=ANY, majority=MINOR, at=on(6)).standing == yes(5)


def test_an_order_ends_an_authority_that_would_have_gone_on() -> None:
    no = Standing(Action.REFUSE, 2, on(2), None, 1, on(2))
    fathers = guardian("father", until=on(30)), guardian("father", since=on(30), blocked_at=on(3))
    found = heard({"father": no, "mother": yes(4)}, guardian("mother"), *fathers, rule=ANY, majority=MINOR, at=on(5))
    assert found.standing == yes(4)


def test_a_yes_that_ran_out_stays_the_latest_when_another_guardianship_of_the_two_is_blocked() -> None:
    said = {"father": yes(1), "mother": yes(2, until=on(4))}
    mothers = guardian("mother", until=on(1), blocked_at=on(5)), guardian("mother", since=on(1))
    found = heard(said, guardian("father"), *mothers, rule=LATEST, majority=MINOR, at=on(6))
    assert found.standing == said["mother"]


def test_when_nobody_may_speak_any_more_what_stood_last_stays() -> None:
    said = {"mother": yes(1, until=on(6)), "father": yes(2)}
    both = guardian("mother", until=on(8)), guardian("father", until=on(4))
    for rule in GuardianRule:
        stood = [heard(said, *both, rule=rule, majority=MINOR, at=on(day)).standing for day in (5, 7, 8, 9, 400)]
        assert stood == [said["mother"]] * 5, rule


def test_a_yes_ends_when_a_guardian_begins_whose_word_is_against_it() -> None:
    no = Standing(Action.REFUSE, 1, on(1), None, 1, on(1))
    both = guardian("mother"), guardian("father", since=on(9))
    for rule in (ANY, GuardianRule.ALL):
        found = heard({"mother": yes(2)}, *both, rule=rule, majority=MINOR, at=on(3))
        assert found.ends_at == (on(9) if rule is GuardianRule.ALL else None)
    found = heard({"mother": yes(2), "father": no}, *both, rule=ANY, majority=MINOR, at=on(3))
    assert (found.standing, found.ends_at) == (yes(2), on(9))


def test_a_yes_ends_with_the_authority_that_holds_a_no_off() -> None:
    no = Standing(Action.REFUSE, 2, on(2), None, 1, on(2))
    said = {"aunt": yes(1), "father": no, "mother": yes(3)}
    found = heard(said, guardian("mother", until=on(9)), guardian("aunt"), rule=ANY, majority=MINOR, at=on(4))
    assert (found.no, found.ends_at) == (None, on(9))
    assert heard(said, guardian("mother", until=on(9)), guardian("aunt"), rule=ANY, majority=MINOR, at=on(9)).no == no


def test_a_guardianship_that_goes_on_with_another_does_not_end() -> None:
    renewed = guardian("mother", until=on(9)), guardian("mother", since=on(9), until=on(20))
    assert heard({"mother": yes(1)}, *renewed, rule=ANY, majority=MINOR, at=on(3)).ends_at == on(20)
    of_age = Majority(on(15), Handover.RECONFIRM, timedelta(days=10))
    assert heard({"mother": yes(1)}, *renewed, rule=ANY, majority=of_age, at=on(3)).ends_at == on(25)
    kept = Majority(on(15), Handover.KEEP, timedelta())
    assert heard({"mother": yes(1)}, *renewed, rule=ANY, majority=kept, at=on(3)).ends_at is None


def test_a_yes_of_somebody_who_is_away_expires_meanwhile_for_all() -> None:
    said = {"mother": yes(1), "father": yes(2, until=on(20))}
    fathers = guardian("father", until=on(4)), guardian("father", since=on(10))
    found = heard(said, guardian("mother"), *fathers, rule=GuardianRule.ALL, majority=MINOR, at=on(5))
    assert (found.objection, found.ends_at) == (None, on(20))
    latest = heard(said, guardian("mother"), *fathers, rule=LATEST, majority=MINOR, at=on(5))
    assert (latest.standing, latest.ends_at) == (said["mother"], on(20))


def test_where_notice_suffices_a_yes_ends_with_what_holds_a_no_off_and_with_nothing_else() -> None:
    no = Standing(Action.REFUSE, 1, on(1), None, 1, on(1))
    both = guardian("mother"), guardian("father", until=on(9))
    for said, ends_at in (({"aunt": no, "father": yes(2)}, on(9)), ({"father": yes(2)}, None)):
        hearing = Hearing(said, both, GuardianRule.ALL, counts_from=0, now=on(3))
        assert hearing.outcome(MINOR).ends_at == ends_at
