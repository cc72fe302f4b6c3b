"""Looking back: decisions on record, who asked about a person, and what would have been answered in the past."""

from typing import Annotated, Self

from fastapi import APIRouter, Path, Query
from pydantic import ConfigDict, Field

from consent_service.core.decision import Question
from consent_service.examples import DECISION
from consent_service.operations import checks, decisions
from consent_service.operations.checks import PastAnswer
from consent_service.operations.decisions import Explained, Replayed
from consent_service.store.decisions import Record
from consent_service.web import forms
from consent_service.web.answers import ReasonOut, reasons_out
from consent_service.web.bodies import InstantIn, StrictRoute
from consent_service.web.checks import CheckIn
from consent_service.web.consents import Limit, SubPath
from consent_service.web.deps import Language, pseudonym
from consent_service.web.ledger import Auditor, EntryOut
from consent_service.web.openapi import ASKING, READING, Tag
from consent_service.web.outputs import Instant, Output
from consent_service.web.problems import documented

router = APIRouter(route_class=StrictRoute, tags=[Tag.CHECKS])

DecisionPath = Annotated[
    str, Path(alias="id", description="The decision's `dec_…`.", openapi_examples={"example": {"value": DECISION}})
]
After = Annotated[str, Query(pattern=forms.AFTER_DECISION, description="Go on behind this `dec_…`.")]


class RecordOut(Output):
    """A decision as it was recorded. `subject` is null for somebody unknown, and for a filter as a whole."""

    decision_id: str
    decided_at: Instant
    client: str
    asked_by: str | None = Field(description="The client that asked, where it is not the one it was decided for.")
    subject: str | None
    purpose: str
    within: str | None
    permitted: bool = Field(description="Of a filter as a whole: whether every part is.")
    reasons: list[ReasonOut]
    policy_version: str
    expires_at: Instant | None
    as_of: int
    part_of: str | None = Field(description="The decision of the filter that this was a part of.")

    @classmethod
    def of(cls, record: Record, language: str, **more: object) -> Self:
        """From the product's own value."""
        return cls.model_validate(
            {
                "decision_id": record.id,
                "decided_at": record.at,
                "client": record.client,
                "asked_by": record.asked_by,
                "subject": record.subject,
                "purpose": record.purpose,
                "within": record.within,
                "permitted": record.permitted,
                "reasons": reasons_out(record.reasons, language),
                "policy_version": record.policy_version,
                "expires_at": record.expires_at,
                "as_of": record.as_of,
                "part_of": record.part_of,
                **more,
            }
        )


class ExplainedOut(RecordOut):
    """A decision, and the ledger entries that its reasons rest on."""

    entries: list[EntryOut]

    @classmethod
    def explained(cls, explained: Explained, language: str) -> Self:
        """From the product's own value."""
        return cls.of(explained.record, language, entries=[EntryOut.of(entry.stored) for entry in explained.entries])


class RecordsOut(Output):
    """A page of decisions. `next` goes into `after` for the next page; null at the end."""

    items: list[RecordOut]
    next: str | None


class VerdictOut(Output):
    """What the same question gives against the ledger as of then."""

    would_have_permitted: bool
    reasons: list[ReasonOut]
    expires_at: Instant | None
    policy_version: str


class ReplayOut(Output):
    """The recorded answer beside the one that the ledger gives. `same` is false only if something was tampered with."""

    decision_id: str
    same: bool
    permitted: bool
    replayed: VerdictOut
    as_of: int

    @classmethod
    def of(cls, replayed: Replayed, language: str) -> Self:
        """From the product's own value."""
        record, verdict = replayed.record, replayed.verdict
        return cls(
            decision_id=record.id,
            same=replayed.same,
            permitted=record.permitted,
            replayed=VerdictOut(
                would_have_permitted=verdict.permitted,
                reasons=reasons_out(verdict.reasons, language),
                expires_at=verdict.expires_at,
                policy_version=replayed.policy_version,
            ),
            as_of=record.as_of,
        )


class AsOfIn(CheckIn):
    """A question about the past: at a size of the ledger, or at an instant."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"subject": "person:1001", "purpose": "billing", "as_of": 20}]}
    )

    as_of: int | None = Field(default=None, ge=1, description="The ledger's size: it covers the entries before it.")
    at: InstantIn | None = Field(default=None, description="Or an instant in the past.")


class AsOfOut(Output):
    """What would have been answered. It permits nothing."""

    would_have_permitted: bool
    reasons: list[ReasonOut]
    purpose: str
    policy_version: str
    expires_at: Instant | None
    as_of: int
    at: Instant

    @classmethod
    def of(cls, answer: PastAnswer, language: str) -> Self:
        """From the product's own value."""
        return cls(
            would_have_permitted=answer.verdict.permitted,
            reasons=reasons_out(answer.verdict.reasons, language),
            purpose=answer.question.purpose,
            policy_version=answer.policy_version,
            expires_at=answer.verdict.expires_at,
            as_of=answer.then.as_of,
            at=answer.then.at,
        )


@router.get(
    "/v1/decisions/{id}",
    operation_id="readDecision",
    summary="See what was asked, answered and why",
    responses=documented(*READING, "decision_not_found"),
)
async def read(decision_id: DecisionPath, auditor: Auditor, language: Language) -> ExplainedOut:
    """One decision, with the ledger entries that it rested on."""
    return ExplainedOut.explained(await auditor.run(decisions.read, decision_id), language)


@router.get(
    "/v1/decisions/{id}/parts",
    operation_id="listDecisionParts",
    summary="See the decisions of which a filter's is made",
    responses=documented(*READING, "decision_not_found"),
)
async def parts(
    decision_id: DecisionPath, auditor: Auditor, language: Language, after: After = "", limit: Limit = 100
) -> RecordsOut:
    """A page of a filter's parts, one for each subject. Other decisions have none."""
    found, following = await auditor.run(decisions.parts, decision_id, after=after, limit=limit)
    return RecordsOut(items=[RecordOut.of(one, language) for one in found], next=following)


@router.get(
    "/v1/subjects/{sub}/decisions",
    operation_id="listSubjectDecisions",
    summary="See who asked about a person",
    responses=documented(*READING, "subject_not_found"),
)
async def about(
    sub: SubPath, auditor: Auditor, language: Language, after: After = "", limit: Limit = 100
) -> RecordsOut:
    """Every check about the person and its answer, the newest first, as long as decisions are kept."""
    found, following = await auditor.run(decisions.about, pseudonym(sub), after=after or None, limit=limit)
    return RecordsOut(items=[RecordOut.of(one, language) for one in found], next=following)


@router.post(
    "/v1/decisions/{id}/replay",
    operation_id="replayDecision",
    summary="Ask the same question again, as of then",
    responses=documented(*READING, "decision_not_found", "subject_erased"),
)
async def replay(decision_id: DecisionPath, auditor: Auditor, language: Language) -> ReplayOut:
    """The same question against the ledger as it was then; the answer has to be the same. Nothing is recorded."""
    return ReplayOut.of(await auditor.run(decisions.replay, decision_id, zone=auditor.room.zone), language)


@router.post(
    "/v1/check/as-of",
    operation_id="checkAsOf",
    summary="See what a check in the past would have answered",
    responses=documented(*ASKING),
)
async def as_of(body: AsOfIn, auditor: Auditor, language: Language) -> AsOfOut:
    """Derived from the ledger as it was. It says what would have been permitted, and permits nothing now.

    With `at` the clock stands at that instant, with `as_of` at the time of the last entry that the size covers. Before
    any policy version was in force there is no answer (422). An identifier counts only if it named the person then; one
    that was taken off since is found no more, and its answer is that for somebody unknown: ask with the `sub_…`.
    """
    question = Question(auditor.room.reference(body.subject, "/subject"), body.purpose, body.within)
    zone = auditor.room.zone
    return AsOfOut.of(
        await auditor.run(checks.answer_as_of, question, as_of=body.as_of, at=body.at, zone=zone), language
    )
