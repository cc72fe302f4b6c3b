"""The decision: may this client use this person's data for this purpose, now, and why?

`decide` runs RULES in reading order and collects every objection. It is the only place that says yes.

The values here are named tuples: several are made for every check, in a third of the time of a frozen dataclass.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from consent_service.core import hearing
from consent_service.core.clients import Client
from consent_service.core.consent import Action, Standing
from consent_service.core.instants import local_date, start_of_day
from consent_service.core.people import Identifier, Membership, MembershipStatus, Reference
from consent_service.core.policy import Basis, Policy, Purpose
from consent_service.core.projection import SubjectState
from consent_service.core.reasons import Reason, ReasonCode
from consent_service.core.voices import Outcome


class Question(NamedTuple):
    """What a client asks: may I use the data of `subject` for `purpose`?

    `within` names the purpose that a concomitant use goes along with.
    """

    subject: Reference
    purpose: str
    within: str | None = None


class Facts(NamedTuple):
    """What is known about one question, for one leaf of its purpose, at one instant.

    `asked` is the purpose as asked for and `node` the one it comes down to (that of `within` for a concomitant use);
    None where the policy has none. `standing` is what stands for `leaf`, None where the person was never asked;
    `objection`, `no` and `ends_at` are what the voices come to beside it.
    """

    client: Client
    policy: Policy
    asked: Purpose | None
    node: Purpose | None
    leaf: Purpose | None
    membership: Membership
    trusted: bool
    now: datetime
    zone: ZoneInfo
    standing: Standing | None
    objection: ReasonCode | None = None
    no: Standing | None = None
    ends_at: datetime | None = None


class Verdict(NamedTuple):
    """Yes or no, with every reason. `expires_at` is when a yes ends by itself: the earliest leaf's."""

    permitted: bool
    reasons: tuple[Reason, ...]
    expires_at: datetime | None


class Decision(NamedTuple):
    """The answer to one question. `as_of` is the ledger's size that it rests on.

    `client` is the one that it was decided for, `asked_by` the one that asked, where that is another; `subject` is None
    for an unknown person; `part_of` is the filter that it was a part of.
    """

    id: str
    at: datetime
    client: str
    subject: str | None
    question: Question
    verdict: Verdict
    policy_version: str
    as_of: int
    asked_by: str | None = None
    part_of: str | None = None


Rule = Callable[[Question, Facts], Reason | None]


def client_is_not_permitted(question: Question, facts: Facts) -> Reason | None:
    """A client asks only for the purposes and namespaces that it is registered for."""
    client, subject = facts.client, question.subject
    permitted = (
        client.may_ask_for(question.purpose)
        and (question.within is None or client.may_ask_for(question.within))
        and (not isinstance(subject, Identifier) or client.may_touch(subject.namespace))
    )
    return None if permitted else Reason(ReasonCode.CLIENT_NOT_PERMITTED, question.purpose)


def within_is_missing(question: Question, facts: Facts) -> Reason | None:
    """A concomitant use is only that of another purpose, which has to be named."""
    if facts.asked and facts.asked.concomitant and (question.within is None or (facts.node and facts.node.concomitant)):
        return Reason(ReasonCode.WITHIN_REQUIRED, question.purpose)
    return None


def purpose_is_not_specified(question: Question, facts: Facts) -> Reason | None:
    """A use that the policy does not specify is not permitted (APPI article 17); nor is a branch without leaves."""
    if facts.leaf or within_is_missing(question, facts):
        return None
    code = question.within if facts.asked and question.within else question.purpose
    return Reason(ReasonCode.PURPOSE_NOT_SPECIFIED, code, nearest=() if facts.node else facts.policy.nearest(code))


def record_is_untrusted(question: Question, facts: Facts) -> Reason | None:
    """What somebody may have changed behind our back permits nothing, and tells nothing."""
    return None if facts.trusted else Reason(ReasonCode.RECORD_UNTRUSTED, question.purpose)


def no_consent_is_recorded(_: Question, facts: Facts) -> Reason | None:
    """Silence is not consent. Said alike of the unknown, the erased and the never-asked."""
    if facts.leaf and facts.leaf.basis is Basis.CONSENT and facts.standing is None:
        return Reason(ReasonCode.NO_CONSENT_RECORDED, facts.leaf.code)
    return None


def consent_was_refused(_: Question, facts: Facts) -> Reason | None:
    """The person said no when asked."""
    return _standing_no(facts, Action.REFUSE, ReasonCode.REFUSED)


def consent_was_withdrawn(_: Question, facts: Facts) -> Reason | None:
    """The person took the yes back."""
    return _standing_no(facts, Action.WITHDRAW, ReasonCode.WITHDRAWN)


def consent_has_expired(_: Question, facts: Facts) -> Reason | None:
    """A yes ends at the very instant of its expiry, computed now and never by a job."""
    standing = facts.standing
    if facts.leaf and standing and standing.expires_at is not None and facts.now >= standing.expires_at:
        on = local_date(standing.expires_at, facts.zone)
        return Reason(ReasonCode.EXPIRED, facts.leaf.code, standing.index, on)
    return None


def policy_has_changed(_: Question, facts: Facts) -> Reason | None:
    """A yes was given to a wording; it does not count for one that is materially another. A no counts for each."""
    leaf, standing = facts.leaf, facts.standing
    if leaf and standing and standing.wording < leaf.counts_from and standing.action is Action.GRANT:
        return Reason(ReasonCode.POLICY_CHANGED, leaf.code, standing.index)
    return None


def voices_do_not_suffice(_: Question, facts: Facts) -> Reason | None:
    """For a minor a verified guardian says yes, and none of equal standing no; who has come of age says so alone."""
    objection, no = facts.objection, facts.no
    if objection is None or facts.leaf is None or facts.standing is None:
        return None
    if no is None and facts.leaf.basis is not Basis.CONSENT:
        return None
    return Reason(objection, facts.leaf.code, (no or facts.standing).index)


def membership_has_ended(_: Question, facts: Facts) -> Reason | None:
    """After a person has left, only the uses go on that the policy lets go on."""
    if facts.leaf is None or facts.leaf.survives_membership or facts.membership.status is MembershipStatus.ACTIVE:
        return None
    if facts.membership.is_over(local_date(facts.now, facts.zone)):
        return Reason(ReasonCode.MEMBERSHIP_ENDED, facts.leaf.code)
    return None


RULES: tuple[Rule, ...] = (
    client_is_not_permitted,
    within_is_missing,
    purpose_is_not_specified,
    record_is_untrusted,
    no_consent_is_recorded,
    consent_was_refused,
    consent_was_withdrawn,
    consent_has_expired,
    policy_has_changed,
    voices_do_not_suffice,
    membership_has_ended,
)

STANDS_ALONE = frozenset({ReasonCode.CLIENT_NOT_PERMITTED, ReasonCode.RECORD_UNTRUSTED, ReasonCode.NO_CONSENT_RECORDED})
"""Beside these no other reason is given: it would tell something of the person."""


def decide(
    question: Question,
    client: Client,
    policy: Policy,
    state: SubjectState | None,
    *,
    now: datetime,
    zone: ZoneInfo,
) -> Verdict:
    """Answer a question. `state` is None for a subject that is unknown to this client."""
    asked = policy.find(question.purpose)
    node = _within(question, policy) if asked and asked.concomitant else asked
    membership, trusted = (state.membership, state.trusted) if state else (Membership(), True)
    leaves: Sequence[Purpose | None] = (node.leaves if node else ()) or (None,)
    cases = [
        Facts(client, policy, asked, node, leaf, membership, trusted, now, zone, *_said(state, leaf, policy, now, zone))
        for leaf in leaves
    ]
    objections = [reason for case in cases for reason in _objections(question, case)]
    if objections:
        return Verdict(False, tuple(dict.fromkeys(objections)), None)
    ends = [end for case in cases for end in _ends(case)]
    return Verdict(True, tuple([_ground(case) for case in cases]), min(ends) if ends else None)


def _said(
    state: SubjectState | None, leaf: Purpose | None, policy: Policy, now: datetime, zone: ZoneInfo
) -> Outcome | tuple[Standing | None]:
    """What stands for a leaf; with what it lacks, where more than the person's own last word counts."""
    if state is None or leaf is None:
        return (None,)
    if hearing.is_needed(state):
        return hearing.outcome(state, leaf, policy, now, zone)
    return (state.leaves.of(leaf.code),)


def _objections(question: Question, facts: Facts) -> list[Reason]:
    found = [reason for rule in RULES if (reason := rule(question, facts))]
    return (found and [reason for reason in found if reason.code in STANDS_ALONE][:1]) or found


def _ends(facts: Facts) -> list[datetime]:
    """When a yes ends by itself: by its expiry, with the authority that it rests on, and with the membership."""
    expires_at = facts.standing.expires_at if facts.standing else None
    return [end for end in (expires_at, facts.ends_at, _leaves_at(facts)) if end is not None]


def _leaves_at(facts: Facts) -> datetime | None:
    """When the person will have left, of a use that does not go on then."""
    day = facts.membership.ended_on
    if day is None or facts.leaf is None or facts.leaf.survives_membership:
        return None
    return start_of_day(day, facts.zone)


def _ground(facts: Facts) -> Reason:
    """What a yes rests on."""
    if facts.leaf is None:
        raise AssertionError("a yes needs a leaf")  # purpose_is_not_specified objects first
    standing = facts.standing
    if standing is None or facts.objection or standing.wording < facts.leaf.wording.counts_from:
        return Reason(ReasonCode.NOTICE_GIVEN, facts.leaf.code)
    code = ReasonCode.CONCOMITANT if facts.asked and facts.asked.concomitant else ReasonCode.CONSENT_GRANTED
    return Reason(code, facts.leaf.code, standing.index, local_date(standing.made_at, facts.zone))


def _standing_no(facts: Facts, action: Action, code: ReasonCode) -> Reason | None:
    standing = facts.standing
    if facts.leaf and standing and standing.action is action:
        return Reason(code, facts.leaf.code, standing.index, local_date(standing.made_at, facts.zone))
    return None


def _within(question: Question, policy: Policy) -> Purpose | None:
    return None if question.within is None else policy.find(question.within)
