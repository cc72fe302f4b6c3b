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


def guardian(name: str, *, until: datetime | None = None) -> Guardianship:
    return Guardianship(name, None, until, is_verified=True, blocked_at=None)


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


def test_a_guardians_yes_for_somebody_who_was_of_age_already_is_not_kept() -> None:
    found = heard({"mother": yes(12)}, guardian("mother"), rule=ANY, majority=KEPT, at=on(15))
    assert (found.standing, found.objection) == (yes(12), ReasonCode.OWN_CONSENT_REQUIRED)


def test_such_a_yes_lifts_no_refusal_either() -> None:
    no = Standing(Action.REFUSE, 1, on(1), None, 1, on(1))
    said = {"father": no, "mother": yes(12)}
    found = heard(said, guardian("mother"), guardian("father", until=on(5)), rule=ANY, majority=KEPT, at=on(15))
    assert found.no == no
