"""What stands for a subject's leaf, and whether it counts: the last word, or what the voices come to."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from consent_service.core import consent
from consent_service.core.consent import Action, Role, Standing, Statement, StateName
from consent_service.core.errors import GuardianRequired, OwnConsentRequired
from consent_service.core.guardianship import Guardianship, GuardianshipStatus, is_blocked
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
    standing = state.leaves.of(leaf.code)
    if standing is None or not is_needed(state):
        return Outcome(standing)
    voices = state.voices.of(leaf.code) or {OWN: standing}
    hearing = Hearing(voices, tuple(state.guardianships.values()), leaf.guardians, leaf.counts_from, now)
    return hearing.outcome(majority(state, policy, now, zone))


def goes_on(state: SubjectState, leaf: Purpose, day: date) -> bool:
    """Whether a yes to a leaf would count on a day: once a person has left, only for what the policy lets go on."""
    return leaf.survives_membership or not state.membership.is_over(day)


def state_name(found: Outcome, leaf: Purpose, now: datetime) -> StateName:
    """What stands for a leaf, in a word."""
    name = consent.state_name(found.standing, leaf.counts_from, now)
    is_yes = found.standing is not None and found.standing.action is Action.GRANT
    return StateName(found.objection.value) if found.objection and is_yes else name


def said_before(state: SubjectState, leaf: str, speaker: str | None) -> Standing | None:
    """What this very speaker, None for the person themself, said about a leaf before."""
    voices = state.voices.of(leaf)
    own = {OWN: state.leaves[leaf]} if leaf in state.leaves else {}
    return (voices or own).get(speaker or OWN)


def lifts_nothing(statement: Statement, said: Standing | None) -> bool:
    """Whether this is a minor's own yes that has no own no to lift: that is all that it could do."""
    own_yes = statement.action is Action.GRANT and statement.role is not Role.GUARDIAN
    return own_yes and (said is None or said.action is Action.GRANT)


def refuse_idle_grant(
    state: SubjectState, statement: Statement, speaker: str | None, majority: Majority, now: datetime
) -> None:
    """Refuse a grant that cannot count. Raises GuardianRequired or OwnConsentRequired, saying what is missing."""
    if state.kind is not SubjectKind.STUDENT:
        return
    if speaker is None:
        if not majority.is_minor(now):
            return
        if not majority.is_minor(statement.made_at):
            raise GuardianRequired(f"{_UNDER_AGE[False]} It is dated when they will be of age; send it then.")
        if all(lifts_nothing(statement, said_before(state, leaf, None)) for leaf in statement.wordings):
            raise GuardianRequired(f"{_UNDER_AGE[state.born is None]} Record a verified guardian's consent.")
    elif not majority.is_minor(now):
        raise OwnConsentRequired("The person has come of age and speaks for themself; use the role subject.")
    elif missing := _missing(speaker, state.guardianships.values(), now):
        raise GuardianRequired(f"{_UNDER_AGE[state.born is None]} {missing}")


_UNDER_AGE = {
    False: "The person is under age.",
    True: "The person's birth date is not recorded, so they count as under age.",
}
_MISSING = {
    GuardianshipStatus.UNVERIFIED: "The guardian is not verified; see POST /v1/guardianships/{id}/verify.",
    GuardianshipStatus.BLOCKED: "The guardian is blocked by a court order.",
    GuardianshipStatus.NOT_BEGUN: "The guardianship has not begun yet.",
    GuardianshipStatus.ENDED: "The guardianship has ended.",
    None: "The speaker is not recorded as a guardian; see POST /v1/guardianships.",
}


def _missing(speaker: str, guardianships: Iterable[Guardianship], now: datetime) -> str | None:
    """What a person lacks to say yes for a ward; None if nothing."""
    mine = [one for one in guardianships if one.guardian == speaker]
    found = {GuardianshipStatus.BLOCKED} if is_blocked(speaker, mine) else {one.status(now) for one in mine}
    if GuardianshipStatus.CURRENT in found:
        return None
    return _MISSING[next((one for one in _MISSING if one in found), None)]
