"""The work list: what the office has to do about a person, before their data can be used as they want it to be."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from consent_service.core import hearing
from consent_service.core.consent import Standing, StateName
from consent_service.core.guardianship import Authority, GuardianshipStatus, authority_of
from consent_service.core.instants import MILLISECOND, local_date
from consent_service.core.majority import FROM_BIRTH
from consent_service.core.policy import Basis, Handover, Policy, Purpose, SubjectKind, Text
from consent_service.core.projection import SubjectState
from consent_service.core.reasons import ReasonCode
from consent_service.core.voices import Outcome


class Work(StrEnum):
    """The kinds of work, in the order in which they are best done."""

    BIRTH_DATE_MISSING = "birth_date_missing"
    GUARDIAN_UNVERIFIED = "guardian_unverified"
    GUARDIAN_CONFLICT = "guardian_conflict"
    HANDOVER_DUE = "handover_due"
    POLICY_CHANGED = "policy_changed"
    NEVER_ASKED = "never_asked"


TO_DO: Mapping[Work, Text] = {
    Work.BIRTH_DATE_MISSING: Text(
        "Record the birth date with PATCH /v1/subjects/{sub}; until then the student counts as under age.",
        "PATCH /v1/subjects/{sub} で生年月日を登録してください。登録までは未成年として扱われます。",
    ),
    Work.GUARDIAN_UNVERIFIED: Text(
        "See the guardian's proof and record it with POST /v1/guardianships/{id}/verify; or end the guardianship.",
        "保護者であることの証明を確認し、POST /v1/guardianships/{id}/verify で登録するか、登録を終了してください。",
    ),
    Work.GUARDIAN_CONFLICT: Text(
        "Ask the guardians to agree, or the person if they have come of age, and record it with POST /v1/consents.",
        "保護者の間で(成年に達している場合は本人に)意思を確認し、POST /v1/consents で記録してください。",
    ),
    Work.HANDOVER_DUE: Text(
        "Ask the person, once they are of age, and record their own answer with POST /v1/consents.",
        "本人が成年に達したら本人に確認し、その回答を POST /v1/consents で記録してください。",
    ),
    Work.POLICY_CHANGED: Text(
        "Ask again with the words now in force: GET /v1/subjects/{sub}/asks.",
        "現行の文面であらためて確認してください: GET /v1/subjects/{sub}/asks",
    ),
    Work.NEVER_ASKED: Text(
        "Ask for the first time: GET /v1/subjects/{sub}/asks has the words.",
        "はじめての確認をしてください。文面: GET /v1/subjects/{sub}/asks",
    ),
}
"""What is to be done about each kind, as a sentence."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What work is found by: the policy, the leaves that are looked at, the instant, and the last day of hand-overs."""

    policy: Policy
    leaves: tuple[Purpose, ...]
    now: datetime
    until: date
    zone: ZoneInfo

    @property
    def today(self) -> date:
        """The day at the school."""
        return local_date(self.now, self.zone)

    @property
    def asked_for(self) -> tuple[Purpose, ...]:
        """The leaves for which a person has to be asked: those that rest on consent."""
        return tuple(leaf for leaf in self.leaves if leaf.basis is Basis.CONSENT)

    @property
    def changed(self) -> tuple[Purpose, ...]:
        """The leaves of which an earlier wording no longer counts."""
        return tuple(leaf for leaf in self.leaves if leaf.counts_from > 1)


@dataclass(frozen=True, slots=True)
class Item:
    """Work about one person: for which leaves or guardianships, and since when where that is known."""

    subject: str
    purposes: tuple[str, ...] = ()
    guardianships: tuple[str, ...] = ()
    since: datetime | None = None


Finding = Callable[[SubjectState, Terms], Item | None]


def birth_date_is_missing(state: SubjectState, _: Terms) -> Item | None:
    """A student without a birth date, who counts as under age for good."""
    return Item(state.subject) if state.kind is SubjectKind.STUDENT and state.born is None else None


def guardians_are_unverified(state: SubjectState, terms: Terms) -> Item | None:
    """A minor's guardians of today whose proof nobody has seen, as far as no court order keeps them from speaking."""
    found = {
        name: one
        for name, one in state.guardianships.items()
        if one.status(terms.now) is GuardianshipStatus.UNVERIFIED
        and authority_of(one.guardian, state.guardianships.values(), terms.now) is Authority.UNVERIFIED
    }
    if not found or not hearing.majority(state, terms.policy, terms.now, terms.zone).is_minor(terms.now):
        return None
    since = min((one.from_ for one in found.values() if one.from_), default=None)
    return Item(state.subject, guardianships=tuple(found), since=since)


def guardians_disagree(state: SubjectState, terms: Terms) -> Item | None:
    """Leaves for which one guardian says yes and another no; since the later of the two words."""
    found = {
        leaf.code: one
        for leaf in _going_on(state, terms, terms.leaves)
        if _disagree(state.voices.of(leaf.code))
        and (one := _outcome(state, leaf, terms)).objection is ReasonCode.GUARDIAN_CONFLICT
    }
    return _item(state, found, min((_later_word(one) for one in found.values()), default=None))


def handover_is_due(state: SubjectState, terms: Terms) -> Item | None:
    """Leaves for which a guardian's yes has ended with the coming of age, or ends with one that comes by `until`."""
    majority = hearing.majority(state, terms.policy, terms.now, terms.zone)
    since = majority.of_age_from
    if state.kind is not SubjectKind.STUDENT or since is None or majority.handover is Handover.KEEP:
        return None
    if local_date(since, terms.zone) > terms.until:
        return None
    then = replace(terms, now=max(terms.now, since - MILLISECOND))
    found = {
        leaf.code: one
        for leaf in _going_on(state, then, then.asked_for)
        if leaf.code in state.voices and _is_handed_over(one := _outcome(state, leaf, then), leaf, then.now)
    }
    return _item(state, found, None if since == FROM_BIRTH else since)


def policy_has_changed(state: SubjectState, terms: Terms) -> Item | None:
    """Leaves whose yes was given to a wording that counts no more."""
    found = {
        leaf.code: one
        for leaf in _going_on(state, terms, terms.changed)
        if leaf.code in state.leaves
        and hearing.state_name(one := _outcome(state, leaf, terms), leaf, terms.now) is StateName.POLICY_CHANGED
    }
    return _item(state, found, None)


def nobody_has_asked(state: SubjectState, terms: Terms) -> Item | None:
    """Leaves about which nothing was ever said."""
    found = [leaf.code for leaf in _going_on(state, terms, terms.asked_for) if leaf.code not in state.leaves]
    return Item(state.subject, tuple(found)) if found else None


FINDINGS: Mapping[Work, Finding] = {
    Work.BIRTH_DATE_MISSING: birth_date_is_missing,
    Work.GUARDIAN_UNVERIFIED: guardians_are_unverified,
    Work.GUARDIAN_CONFLICT: guardians_disagree,
    Work.HANDOVER_DUE: handover_is_due,
    Work.POLICY_CHANGED: policy_has_changed,
    Work.NEVER_ASKED: nobody_has_asked,
}
"""How each kind is found in what stands for a person."""


def _going_on(state: SubjectState, terms: Terms, leaves: tuple[Purpose, ...]) -> list[Purpose]:
    """The leaves for which a yes would count: after a person has left, only those that the policy lets go on."""
    return [leaf for leaf in leaves if hearing.goes_on(state, leaf, terms.today)]


def _outcome(state: SubjectState, leaf: Purpose, terms: Terms) -> Outcome:
    return hearing.outcome(state, leaf, terms.policy, terms.now, terms.zone)


def _disagree(voices: Mapping[str, Standing]) -> bool:
    """Whether it is worth hearing them: a conflict needs two guardians and two different words."""
    return len({said.action for said in voices.values()}) > 1


def _later_word(found: Outcome) -> datetime:
    return max(one.made_at for one in (found.standing, found.no) if one)


def _is_handed_over(found: Outcome, leaf: Purpose, now: datetime) -> bool:
    """A yes that counts and ends by itself rests on a guardian: a person's own has no such end."""
    if found.objection is ReasonCode.OWN_CONSENT_REQUIRED:
        return True
    return found.ends_at is not None and hearing.state_name(found, leaf, now) is StateName.GRANTED


def _item(state: SubjectState, found: Mapping[str, Outcome], since: datetime | None) -> Item | None:
    return Item(state.subject, tuple(found), since=since) if found else None
