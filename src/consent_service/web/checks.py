"""The check."""

from collections.abc import Iterable
from typing import Annotated, Self

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from consent_service.core.clients import Scope
from consent_service.core.decision import Decision, Question
from consent_service.core.reasons import Reason, ReasonCode, sentence
from consent_service.operations.checks import Asked
from consent_service.web.auth import with_scope
from consent_service.web.bodies import Body, StrictRoute
from consent_service.web.deps import InRoom, Language
from consent_service.web.openapi import READING, Tag
from consent_service.web.outputs import Instant, Output
from consent_service.web.problems import documented

router = APIRouter(route_class=StrictRoute, tags=[Tag.CHECKS])

PurposeCode = Annotated[str, Field(min_length=1, max_length=200)]


class CheckIn(Body):
    """May I use this person's data for this purpose?"""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"subject": "person:1001", "purpose": "marketing.own_company.email"}]}
    )

    subject: str = Field(
        min_length=1,
        max_length=300,
        description="`namespace:id`, an id in the default namespace, or `sub_…`.",
    )
    purpose: PurposeCode = Field(description="A code of the policy. A branch asks for all of its leaves.")
    within: PurposeCode | None = Field(
        default=None, description="For `concomitant_use` only: the purpose that the use goes along with."
    )


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
        return cls(
            permitted=decision.verdict.permitted,
            reasons=reasons_out(decision.verdict.reasons, language),
            purpose=decision.question.purpose,
            policy_version=decision.policy_version,
            expires_at=decision.verdict.expires_at,
            as_of=decision.as_of,
            decision_id=decision.id,
            decided_at=decision.at,
        )


@router.post(
    "/v1/check",
    operation_id="check",
    summary="See whether data may be used, and why",
    responses=documented(*READING, "malformed_json", "validation_failed", "body_too_large", "unsupported_media_type"),
)
async def check(
    body: CheckIn, room: InRoom, language: Language, key_hash: Annotated[str, with_scope(Scope.CHECK)]
) -> DecisionOut:
    """Ask before every use of a person's data.

    **Anything but HTTP 200 with `permitted: true` is a no.** A no is an answer, not an error, and says why. Someone
    unknown and someone who was never asked get the same answer.
    """
    question = Question(room.reference(body.subject, "/subject"), body.purpose, body.within)
    decision = await room.checks.ask(Asked(key_hash, question))
    room.measures.count(decision.verdict.permitted)
    return DecisionOut.of(decision, language)


def reasons_out(reasons: Iterable[Reason], language: str) -> list[ReasonOut]:
    """Reasons with their sentences."""
    return [
        ReasonOut(code=one.code, purpose=one.purpose, message=sentence(one, language), index=one.index)
        for one in reasons
    ]
