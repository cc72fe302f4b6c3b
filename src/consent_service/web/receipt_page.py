"""A receipt as a page to print: what was agreed, in the policy's own words, when, by whom, and how to take it back."""

from collections.abc import Mapping
from datetime import datetime
from importlib import resources
from zoneinfo import ZoneInfo

from jinja2 import Environment, FunctionLoader, StrictUndefined

from consent_service.core.consent import Action, Method, NotApplied, Role
from consent_service.core.instants import to_text
from consent_service.core.policy import Text
from consent_service.core.receipt import Receipt
from consent_service.web.edge import page_policy

_FOLDER = resources.files("consent_service.web") / "pages"
_STYLE = (_FOLDER / "receipt.css").read_text(encoding="utf-8")
_PAGES = Environment(
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    loader=FunctionLoader(lambda name: (_FOLDER / name).read_text(encoding="utf-8")),
)

POLICY = page_policy(_STYLE)
"""The page's own Content-Security-Policy: its one style, and nothing else."""

_WORDS: Mapping[str, Text] = {
    "title": Text("Consent receipt", "同意に関する受領書"),
    "number": Text("Receipt number", "受領書番号"),
    "it_names": Text("This covers:", "対象："),
    "not_applied": Text("(not in force)", "（効力なし）"),
    "who": Text("Said by", "意思表示をした方"),
    "about": Text("About", "対象者"),
    "made_at": Text("Said on", "意思表示の日時"),
    "recorded_at": Text("Recorded on", "記録日時"),
    "how": Text("How", "方法"),
    "expires_at": Text("Holds until", "有効期限"),
    "policy": Text("Policy", "プライバシーポリシー"),
    "controller": Text("Controller", "個人情報取扱事業者"),
    "withdraw": Text("If you change your mind", "お考えが変わった場合"),
    "proof": Text(
        "This statement is an entry of an append-only ledger; nobody can change it unseen. "
        "The signed receipt proves it.",
        "この意思表示は追記専用の台帳に記録されており、気付かれずに変更することはできません。"
        "署名付きの受領書がそれを証明します。",
    ),
    "receipt_id": Text("Receipt", "受領書ID"),
    "ledger": Text("Ledger", "台帳"),
    "leaf_hash": Text("Leaf hash", "リーフハッシュ"),
    "checkpoint": Text("Entries in the checkpoint", "チェックポイントの記録数"),
}
_ACTIONS: Mapping[Action, Text] = {
    Action.GRANT: Text("Yes, I agree to this use:", "次の利用に同意します："),
    Action.REFUSE: Text("No, I do not agree to this use:", "次の利用に同意しません："),
    Action.WITHDRAW: Text("I take back my consent to this use:", "次の利用への同意を撤回します："),
}
_METHODS: Mapping[Method, Text] = {
    Method.WEB_FORM: Text("on a web form", "ウェブフォーム"),
    Method.PAPER: Text("on paper", "書面"),
    Method.PHONE: Text("by telephone", "電話"),
    Method.IN_PERSON: Text("in person", "対面"),
    Method.IMPORT: Text("taken over from another system", "他のシステムからの移行"),
}
_SPEAKERS: Mapping[Role, Text] = {
    Role.SUBJECT: Text("the person", "本人"),
    Role.GUARDIAN: Text("a guardian, {speaker}", "保護者（{speaker}）"),
    Role.STAFF: Text("the person, taken down by a member of staff", "本人（職員が代理で記録）"),
}
_WHY_NOT: Mapping[NotApplied, Text] = {
    NotApplied.STANDING_NO_IS_NEWER: Text(
        "This was recorded, but a newer no stands: {where}it changes nothing.",
        "この意思表示は記録されましたが、より新しい「同意しない」旨の意思表示があるため、{where}効力はありません。",
    ),
    NotApplied.GUARDIAN_REQUIRED: Text(
        "This was recorded, but for a person under age only a guardian's yes counts: {where}it changes nothing.",
        "この意思表示は記録されましたが、未成年者については保護者の同意が必要なため、{where}効力はありません。",
    ),
    NotApplied.GUARDIAN_UNVERIFIED: Text(
        "This was recorded, but a guardian's yes counts only once the guardian is verified: {where}it changes nothing.",
        "この意思表示は記録されましたが、保護者の確認が済んでいないため、{where}効力はありません。",
    ),
}
_WHERE_MARKED = Text("where it is marked, ", "印のある項目について")


def page(receipt: Receipt, language: str, zone: ZoneInfo) -> str:
    """The page, as HTML in Japanese for `ja`, else in English; times are those on the school's wall."""
    said = receipt.said
    return _PAGES.get_template("receipt.html").render(
        receipt=receipt,
        language=language,
        style=_STYLE,
        words={name: text.in_language(language) for name, text in _words(receipt).items()},
        made_at=_on_the_wall(said.made_at, zone),
        recorded_at=_on_the_wall(said.at, zone),
        expires_at=_on_the_wall(said.expires_at, zone) if said.expires_at else "",
    )


def _words(receipt: Receipt) -> dict[str, Text]:
    said = receipt.said
    return {
        **_WORDS,
        "action": _ACTIONS[said.action],
        "method": _METHODS[said.method],
        "speaker": _filled(_SPEAKERS[said.role], speaker=Text(said.speaker or "", said.speaker or "")),
        "why_not": _why_not(receipt),
    }


def _why_not(receipt: Receipt) -> Text:
    """What a reader has to know first: that a yes on record is none that counts."""
    if receipt.said.not_applied_because is None:
        return Text("", "")
    where = _WHERE_MARKED if receipt.said.applied else Text("", "")
    return _filled(_WHY_NOT[receipt.said.not_applied_because], where=where)


def _filled(text: Text, **members: Text) -> Text:
    return Text(
        text.en.format(**{name: member.en for name, member in members.items()}),
        text.ja.format(**{name: member.ja for name, member in members.items()}),
    )


def _on_the_wall(moment: datetime, zone: ZoneInfo) -> str:
    """The time at the school; UTC's where the calendar ends before the wall."""
    try:
        return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S} ({zone.key})"
    except OverflowError:
        return to_text(moment)
