"""Why a check answered as it did: the closed list, and each reason in English and Japanese.

NOTE: callers branch on these codes. A published code never changes its meaning and is never removed; docs/reasons.md
explains each one.
"""

import functools
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import NamedTuple

from consent_service.core.policy import Text


class ReasonCode(StrEnum):
    """The codes that a decision's reasons may carry."""

    CONSENT_GRANTED = "consent_granted"
    NOTICE_GIVEN = "notice_given"
    CONCOMITANT = "concomitant"

    NO_CONSENT_RECORDED = "no_consent_recorded"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    POLICY_CHANGED = "policy_changed"
    USE_SUSPENDED = "use_suspended"
    MEMBERSHIP_ENDED = "membership_ended"
    GUARDIAN_REQUIRED = "guardian_required"
    GUARDIAN_UNVERIFIED = "guardian_unverified"
    GUARDIAN_CONFLICT = "guardian_conflict"
    OWN_CONSENT_REQUIRED = "own_consent_required"
    PURPOSE_NOT_SPECIFIED = "purpose_not_specified"
    WITHIN_REQUIRED = "within_required"
    CLIENT_NOT_PERMITTED = "client_not_permitted"
    RECORD_UNTRUSTED = "record_untrusted"


class Reason(NamedTuple):
    """One reason for an answer.

    `purpose` is the leaf (or the code asked for) that it is about, `index` the ledger entry that it rests on, `on` the
    day at the school that its sentence names, `nearest` the codes that may have been meant.
    """

    code: ReasonCode
    purpose: str
    index: int | None = None  # type: ignore[assignment]  # it hides tuple.index, which nobody needs
    on: date | None = None
    nearest: tuple[str, ...] = ()


SENTENCES: Mapping[ReasonCode, Text] = {
    ReasonCode.CONSENT_GRANTED: Text("Consent was granted on {on}.", "{on}に同意が得られています。"),
    ReasonCode.NOTICE_GIVEN: Text(
        "The policy gives notice of this use; consent is not what it rests on.",
        "この利用は通知に基づくもので、同意を要しません。",
    ),
    ReasonCode.CONCOMITANT: Text(
        "This use goes along with {purpose}, which was consented to on {on}.",
        "この利用は、{on}に同意された「{purpose}」に付随するものです。",
    ),
    ReasonCode.NO_CONSENT_RECORDED: Text(
        "No consent is recorded for this purpose.", "この目的についての同意は記録されていません。"
    ),
    ReasonCode.REFUSED: Text("Consent was refused on {on}.", "{on}に同意が拒否されています。"),
    ReasonCode.WITHDRAWN: Text("Consent was withdrawn on {on}.", "{on}に同意が撤回されています。"),
    ReasonCode.EXPIRED: Text("Consent expired on {on}.", "同意は{on}に失効しています。"),
    ReasonCode.POLICY_CHANGED: Text(
        "Consent was given to an older wording of this purpose.", "同意は変更前の文面に対するものです。"
    ),
    ReasonCode.USE_SUSPENDED: Text(
        "Use of this person's data is suspended at the person's request.",
        "本人の請求により利用が停止されています。",
    ),
    ReasonCode.MEMBERSHIP_ENDED: Text(
        "Membership has ended, and the policy does not let this use go on after it.",
        "在籍が終了しており、この目的での利用は継続できません。",
    ),
    ReasonCode.GUARDIAN_REQUIRED: Text(
        "The person is under age; a guardian's consent is required.", "未成年のため、保護者の同意が必要です。"
    ),
    ReasonCode.GUARDIAN_UNVERIFIED: Text(
        "The guardian who consented is not verified.", "同意した保護者の確認が済んでいません。"
    ),
    ReasonCode.GUARDIAN_CONFLICT: Text("The guardians do not agree.", "保護者の意思が一致していません。"),
    ReasonCode.OWN_CONSENT_REQUIRED: Text(
        "The person has come of age; their own consent is required.",
        "本人が成年に達したため、本人の同意が必要です。",
    ),
    ReasonCode.PURPOSE_NOT_SPECIFIED: Text(
        "The policy in force does not specify this purpose.{nearest}",
        "現行のポリシーにこの利用目的の定めがありません。{nearest}",
    ),
    ReasonCode.WITHIN_REQUIRED: Text(
        "Name in `within` the purpose that this use goes along with.",
        "付随元となる利用目的を within に指定してください。",
    ),
    ReasonCode.CLIENT_NOT_PERMITTED: Text(
        "This client is not registered for this purpose or for this kind of identifier.",
        "このクライアントには、この目的または識別子の利用が登録されていません。",
    ),
    ReasonCode.RECORD_UNTRUSTED: Text(
        "The record failed its integrity check and is not trusted.",
        "記録の完全性を確認できないため、信頼できません。",
    ),
}

_NEAREST = Text(" Nearest codes: {codes}.", "近いコード: {codes}。")


def sentence(reason: Reason, language: str) -> str:
    """The reason as a sentence, in `ja` or else in English."""
    return _sentence(reason.code, reason.on, reason.purpose, reason.nearest, language)


@functools.lru_cache(maxsize=4096)
def _sentence(code: ReasonCode, on: date | None, purpose: str, nearest: tuple[str, ...], language: str) -> str:
    codes = _NEAREST.in_language(language).format(codes=", ".join(nearest)) if nearest else ""
    return (
        SENTENCES[code].in_language(language).format(on=on.isoformat() if on else "—", purpose=purpose, nearest=codes)
    )
