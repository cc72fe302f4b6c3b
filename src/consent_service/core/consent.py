"""What a statement does to what stands: the rules of granting, refusing and withdrawing."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class Action(StrEnum):
    """What a statement says about a purpose."""

    GRANT = "grant"
    REFUSE = "refuse"
    WITHDRAW = "withdraw"


class Role(StrEnum):
    """In which role somebody makes a statement."""

    SUBJECT = "subject"
    GUARDIAN = "guardian"
    STAFF = "staff"


class Method(StrEnum):
    """How a statement was made. Silence is not consent: there is no method for it."""

    WEB_FORM = "web_form"
    PAPER = "paper"
    PHONE = "phone"
    IN_PERSON = "in_person"
    IMPORT = "import"


class NotApplied(StrEnum):
    """Why a recorded statement changed nothing, or not all that it names."""

    STANDING_NO_IS_NEWER = "standing_no_is_newer"
    GUARDIAN_UNVERIFIED = "guardian_unverified"
    GUARDIAN_REQUIRED = "guardian_required"


class Standing(NamedTuple):
    """What stands for one leaf.

    `index` is the entry it rests on; `made_at` is when the person said it; `wording` is the number of the wording that
    was shown; `last_no_at` is when the latest refusal or withdrawal was made, kept after a grant has lifted it.
    """

    action: Action
    index: int  # type: ignore[assignment]  # it hides tuple.index, which nobody needs
    made_at: datetime
    expires_at: datetime | None
    wording: int
    last_no_at: datetime | None


class StateName(StrEnum):
    """What stands for a leaf, in a word."""

    NEVER_ASKED = "never_asked"
    GRANTED = "granted"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    POLICY_CHANGED = "policy_changed"
    GUARDIAN_REQUIRED = "guardian_required"
    GUARDIAN_UNVERIFIED = "guardian_unverified"
    GUARDIAN_CONFLICT = "guardian_conflict"
    OWN_CONSENT_REQUIRED = "own_consent_required"


_STATES = {
    Action.GRANT: StateName.GRANTED,
    Action.REFUSE: StateName.REFUSED,
    Action.WITHDRAW: StateName.WITHDRAWN,
}


def state_name(standing: Standing | None, counts_from: int, now: datetime) -> StateName:
    """What stands for a leaf at an instant, if a yes counts from the wording of a number on."""
    if standing is None:
        return StateName.NEVER_ASKED
    over = standing.expires_at is not None and now >= standing.expires_at
    return state_of(standing.action, standing.wording, counts_from, expired=over)


def state_of(action: Action, wording: int, counts_from: int, *, expired: bool) -> StateName:
    """The same, of what is left of a standing when many are counted."""
    if expired:
        return StateName.EXPIRED
    if action is Action.GRANT and wording < counts_from:
        return StateName.POLICY_CHANGED
    return _STATES[action]


class Tally(NamedTuple):
    """How many subjects stand alike for one leaf."""

    leaf: str
    action: Action
    wording: int
    expired: bool
    subjects: int


class Statement(NamedTuple):
    """What somebody says about the leaves of a purpose; `wordings` are their wordings in the version that was shown."""

    action: Action
    made_at: datetime
    expires_at: datetime | None
    wordings: dict[str, int]
    role: Role


def objection_to(
    statement: Statement,
    standing: Standing | None,
    now: datetime,
    *,
    has_no_beside: bool = False,
    is_authorised: bool = False,
) -> NotApplied | None:
    """Why the statement does not change this leaf; None when it does.

    `has_no_beside` tells that the same call says no to this leaf, `now` is when the statement is recorded.

    A refusal or withdrawal always applies. A grant applies only if it was made later than the latest refusal or
    withdrawal: a paper form found late must not undo a newer no. Of two that were made in the same millisecond the
    grant is the later one only if it is being made now. A guardian's grant counts only where it is authorised. For a
    ward under age, `standing` is what the very speaker said before.
    """
    if statement.action is not Action.GRANT:
        return None
    if statement.role is Role.GUARDIAN and not is_authorised:
        return NotApplied.GUARDIAN_UNVERIFIED
    if has_no_beside:
        return NotApplied.STANDING_NO_IS_NEWER
    no_at = standing.last_no_at if standing else None
    if no_at is None or statement.made_at > no_at or statement.made_at == no_at == now:
        return None
    return NotApplied.STANDING_NO_IS_NEWER


def standing_after(statement: Statement, leaf: str, index: int, standing: Standing | None) -> Standing:
    """What stands for a leaf once a statement that applies to it has become the entry `index`."""
    before = standing.last_no_at if standing else None
    if statement.action is not Action.GRANT:
        before = max(before, statement.made_at) if before else statement.made_at
    return Standing(
        statement.action,
        index,
        statement.made_at,
        statement.expires_at,
        statement.wordings[leaf],
        last_no_at=before,
    )
