"""What stands for a subject's leaf, and whether it counts: the last word, or what the voices come to."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from consent_service.core import consent
from consent_service.core.consent import Action, StateName
from consent_service.core.majority import FROM_BIRTH, of_age_from
from consent_service.core.policy import Handover, Policy, Purpose, SubjectKind
from consent_service.core.projection import SubjectState
from consent_service.core.voices import OWN, Hearing, Majority, Outcome

_OF_AGE = Majority(FROM_BIRTH, Handover.RECONFIRM, timedelta())


def majority(state: SubjectState, policy: Policy, now: datetime, zone: ZoneInfo) -> Majority:
    """When a subject comes of age. Only students can be minors; one without a birth date is under age for good."""
    if state.kind is not SubjectKind.STUDENT:
        return _OF_AGE
    since = of_age_from(state.born, policy.minor_rules, now, zone)
    return Majority(since, policy.handover, timedelta(days=policy.handover_grace_days))


def is_needed(state: SubjectState) -> bool:
    """Whether more than the person's own last word counts: of a student, or where a guardian spoke."""
    return state.kind is SubjectKind.STUDENT or bool(state.voices.text)


def outcome(state: SubjectState, leaf: Purpose, policy: Policy, now: datetime, zone: ZoneInfo) -> Outcome:
    """What stands for a leaf, and why it does not count, if it does not."""
    standing = state.leaves.get(leaf.code)
    if standing is None or not is_needed(state):
        return Outcome(standing)
    voices = state.voices.of(leaf.code) or {OWN: standing}
    hearing = Hearing(voices, tuple(state.guardianships.values()), leaf.guardians, leaf.counts_from, now)
    return hearing.outcome(majority(state, policy, now, zone))


def state_name(found: Outcome, leaf: Purpose, now: datetime) -> StateName:
    """What stands for a leaf, in a word."""
    name = consent.state_name(found.standing, leaf.counts_from, now)
    is_yes = found.standing is not None and found.standing.action is Action.GRANT
    return StateName(found.objection.value) if found.objection and is_yes else name
