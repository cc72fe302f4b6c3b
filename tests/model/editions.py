"""The policies of the model: a version as the oracle knows it, and as the document that is published."""

import copy
from datetime import date, datetime
from typing import Any

from consent_service.core.policy import Policy
from consent_service.core.policy_file import from_document, to_document
from consent_service.policies import shipped
from tests.model.oracle import TOKYO, Event

RULES = {"any": "any_refusal_wins", "both": "all", "last": "latest", "more.any": "any_refusal_wins", "more.both": "all"}
"""The leaves, and how several guardians are heard for each."""

PURPOSES = (*RULES, "more")
"""All that is asked: the leaves, and the branch over two of them."""

FIRST_DAY = date(2026, 11, 1)
_SHIPPED = to_document(shipped())


def leaf(code: str) -> Event:
    """A leaf as it is at first."""
    return {"rule": RULES[code], "basis": "consent", "survives": code.endswith("any"), "text": 1}


def first() -> Event:
    """The version that every example begins with."""
    return {
        "name": "first",
        "effective_at": datetime(2026, 11, 1, tzinfo=TOKYO),
        "leaves": {code: leaf(code) for code in RULES},
        "minor_rules": [(FIRST_DAY, 16)],
        "handover": "reconfirm",
        "grace": 0,
        "material": frozenset(),
        "editorial": frozenset(),
    }


def changed(before: Event, after_name: str) -> Event:
    """A copy to be edited, under a new name."""
    return copy.deepcopy(before) | {"name": after_name, "material": frozenset(), "editorial": frozenset()}


def policy(version: Event, *, effective_at: datetime | None = None) -> Policy:
    """The version as it is published: at once, or to take effect at an instant."""
    day = effective_at.astimezone(TOKYO).date() if effective_at else FIRST_DAY
    document: dict[str, Any] = {
        **_SHIPPED,
        "version": version["name"],
        "effective_from": day.isoformat(),
        "minor_rules": [{"from": begin.isoformat(), "under_age": age} for begin, age in version["minor_rules"]],
        "handover": version["handover"],
        "handover_grace_days": version["grace"],
        "purposes": _tree(version["leaves"]),
    }
    document.pop("source", None)
    if effective_at:
        document["effective_at"] = effective_at.isoformat()
    return from_document(document, name=version["name"])


def _tree(leaves: dict[str, Event]) -> list[Event]:
    above = [_node(code, one) for code, one in leaves.items() if "." not in code]
    below = [_node(code.partition(".")[2], one) for code, one in leaves.items() if "." in code]
    return [*above, {"code": "more", "wording": _text("More"), "purposes": below}] if below else above


def _node(code: str, one: Event) -> Event:
    return {
        "code": code,
        "wording": _text(f"For {code}, in words {one['text']}"),
        "basis": one["basis"],
        "survives_membership": one["survives"],
        "guardians": one["rule"],
    }


def _text(text: str) -> Event:
    return {"en": text, "ja": text}
