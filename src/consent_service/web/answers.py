"""Answers to checks: their shape in the OpenAPI, and the same members as plain values, for the way out.

A model for each reason and each decision takes three times as long as all the rest of an answer's way to its bytes, so
the hot paths write plain values; tests/http/test_slim.py and test_many_checks.py hold them to the models.
"""

import functools
from collections.abc import Iterable
from datetime import datetime
from typing import Self

from fastapi import Response
from pydantic import Field, JsonValue
from pydantic_core import to_json

from consent_service.core.decision import Decision
from consent_service.core.instants import to_text
from consent_service.core.reasons import Reason, ReasonCode, sentence
from consent_service.web.outputs import Instant, Output

Plain = dict[str, JsonValue]

_text = functools.lru_cache(maxsize=256)(to_text)  # a batch's decisions have one instant


class ReasonOut(Output):
    """One reason for the answer. Branch on `code`; the message is for people."""

    code: ReasonCode
    purpose: str
    message: str
    index: int | None = Field(description="The ledger entry that this reason rests on.")


class DecisionOut(Output):
    """The answer. Anything but HTTP 200 with `permitted` being `true` is a no."""

    permitted: bool
    reasons: list[ReasonOut]
    purpose: str
    policy_version: str
    expires_at: Instant | None = Field(description="When a yes ends by itself; the earliest of its leaves.")
    as_of: int = Field(description="The ledger's size that the answer rests on.")
    decision_id: str
    decided_at: Instant

    @classmethod
    def of(cls, decision: Decision, language: str) -> Self:
        """From the product's own value."""
        return cls.model_validate(plain(decision, language))


def optional_text(moment: datetime | None) -> str | None:
    """An instant as answers have it, or nothing."""
    return _text(moment) if moment else None


def plain(decision: Decision, language: str) -> Plain:
    """The members of a DecisionOut, in its order."""
    verdict = decision.verdict
    return {
        "permitted": verdict.permitted,
        "reasons": plain_reasons(verdict.reasons, language),
        "purpose": decision.question.purpose,
        "policy_version": decision.policy_version,
        "expires_at": optional_text(verdict.expires_at),
        "as_of": decision.as_of,
        "decision_id": decision.id,
        "decided_at": _text(decision.at),
    }


def plain_reasons(reasons: Iterable[Reason], language: str) -> list[JsonValue]:
    """The members of each ReasonOut, in its order."""
    return [
        {"code": one.code, "purpose": one.purpose, "message": sentence(one, language), "index": one.index}
        for one in reasons
    ]


def reasons_out(reasons: Iterable[Reason], language: str) -> list[ReasonOut]:
    """Reasons with their sentences."""
    return [ReasonOut.model_validate(one) for one in plain_reasons(reasons, language)]


def encoded(answer: Plain) -> bytes:
    """An answer's bytes, as the model that it has the members of would give them."""
    return to_json(answer)


def sent(answer: Plain) -> Response:
    """A large answer as it goes out: FastAPI would validate every member a second time."""
    return Response(encoded(answer), media_type="application/json")
