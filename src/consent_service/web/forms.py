"""The forms that texts in a request have, and how each is said to whoever sends another."""

from collections.abc import Mapping

NAMESPACE = r"^[a-z][a-z0-9_-]{0,31}$"
NAME = r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$"
LANGUAGE = r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$"
VISIBLE = r"^[\x21-\x7e]+$"
AFTER_SUBJECT = r"^(sub_[0-9A-Z]{26})?$"
AFTER_DECISION = r"^(dec_[0-9A-Z]{26})?$"

SENTENCES: Mapping[str, str] = {
    NAMESPACE: "a namespace is a small letter and up to 31 small letters, digits, - or _",
    NAME: "a name is a letter or a digit, and more of them with spaces, dots, _ and -",
    LANGUAGE: "a language is a tag such as en or ja (RFC 5646)",
    VISIBLE: "this is visible ASCII characters, without spaces",
    AFTER_SUBJECT: "send what the page before had under `next`, a sub_…",
    AFTER_DECISION: "send what the page before had under `next`, a dec_…",
}
