"""The check: one question, a batch of questions, a filter of subjects, and the stream of all who are permitted."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import ConfigDict, Field, JsonValue, ValidationError, WrapValidator

from consent_service.core.clients import Scope
from consent_service.core.decision import Decision, Question
from consent_service.core.errors import ConsentError, Fault, InvalidInput
from consent_service.core.instants import to_text
from consent_service.core.people import Reference
from consent_service.operations import checks
from consent_service.operations.checks import Asked, Filtered, PermittedPage
from consent_service.web import answers, forms, problems
from consent_service.web.answers import DecisionOut, ReasonOut
from consent_service.web.auth import with_scope
from consent_service.web.bodies import WRONG_MEMBERS, Body, StrictRoute
from consent_service.web.deps import Asker, InRoom, Language, Room, asks
from consent_service.web.edge import Measures, request_id_of
from consent_service.web.openapi import ASKING, READING, Tag
from consent_service.web.outputs import Instant, Output
from consent_service.web.problems import Problem, documented

router = APIRouter(route_class=StrictRoute, tags=[Tag.CHECKS])

NDJSON = "application/x-ndjson"
LARGEST_BATCH = 1_000
LARGEST_FILTER = 10_000

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


@dataclass(frozen=True, slots=True)
class Malformed:
    """What is wrong with one question of a batch."""

    faults: tuple[Fault, ...]

    def within(self, place: str) -> InvalidInput:
        """The error, each pointer led from the whole body."""
        faults = [Fault(place + fault.pointer, fault.detail) for fault in self.faults]
        return InvalidInput(WRONG_MEMBERS, errors=faults)


def _or_malformed(value: Any, read: Callable[[Any], CheckIn]) -> CheckIn | Malformed:  # noqa: ANN401 (JSON, as pydantic hands it over)
    """A question; or what is wrong with it, which is its own answer and no fault of the others."""
    try:
        return read(value)
    except ValidationError as error:
        return Malformed(tuple(problems.faults_in(error)))


class BatchIn(Body):
    """Up to 1,000 questions, each as it would be asked alone."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "questions": [
                        {"subject": "person:1001", "purpose": "billing"},
                        {"subject": "person:1001", "purpose": "marketing.own_company.email"},
                    ]
                }
            ]
        }
    )

    questions: list[Annotated[CheckIn, WrapValidator(_or_malformed)]] = Field(min_length=1, max_length=LARGEST_BATCH)


class ErrorOut(Output):
    """The error of one question, in place of its decision."""

    error: Problem


class BatchOut(Output):
    """The decisions, in the order of the questions."""

    decisions: list[DecisionOut | ErrorOut]


class FilterIn(Body):
    """One purpose, and up to 10,000 subjects: whom on this list may I write to?"""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"purpose": "marketing.own_company.email", "subjects": ["person:1001", "person:1002"]}]
        }
    )

    purpose: PurposeCode
    within: PurposeCode | None = Field(default=None, description="For `concomitant_use` only.")
    subjects: list[Annotated[str, Field(min_length=1, max_length=300)]] = Field(
        min_length=1, max_length=LARGEST_FILTER, description="As in a check; who is named twice is answered once."
    )


class DeniedOut(Output):
    """A subject whose data may not be used, and why."""

    subject: str
    reasons: list[ReasonOut]


class FilterOut(Output):
    """Who is permitted and who is not, as they were named and in that order."""

    permitted: list[str]
    denied: list[DeniedOut]
    purpose: str
    policy_version: str
    as_of: int
    decision_id: str = Field(description="Names the filter as a whole; each subject's decision is a part of it.")
    decided_at: Instant


class PermittedOut(Output):
    """One line of the stream: a subject whose data may be used as of the ledger's size `as_of`."""

    subject: str = Field(description="The `sub_…`; as `after` it leads to what comes behind it.")
    identifiers: list[str] = Field(description="The person's identifiers in the namespace.")
    as_of: int
    decision_id: str
    decided_at: Instant
    expires_at: Instant | None

    @classmethod
    def of(cls, decision: Decision, identifiers: Sequence[str]) -> Self:
        """From the product's own value."""
        return cls(
            subject=decision.subject or "",
            identifiers=list(identifiers),
            as_of=decision.as_of,
            decision_id=decision.id,
            decided_at=decision.at,
            expires_at=decision.verdict.expires_at,
        )


@router.post(
    "/v1/check",
    operation_id="check",
    summary="See whether data may be used, and why",
    responses=documented(*ASKING),
)
async def check(
    body: CheckIn, room: InRoom, language: Language, key_hash: Annotated[str, with_scope(Scope.CHECK)]
) -> DecisionOut:
    """Ask before every use of a person's data.

    **Anything but HTTP 200 with `permitted: true` is a no.** A no is an answer, not an error, and says why. Someone
    unknown and someone who was never asked get the same answer.
    """
    decision = await room.checks.ask(asked(body, room, key_hash))
    room.measures.count(decision.verdict.permitted)
    return DecisionOut.of(decision, language)


def asked(body: CheckIn, room: Room, key_hash: str) -> Asked:
    """One question of the client whose key it is, as it goes into the lane."""
    return Asked(key_hash, Question(room.reference(body.subject, "/subject"), body.purpose, body.within))


@router.post(
    "/v1/check/batch",
    operation_id="checkBatch",
    summary="Ask many questions at once",
    response_model=BatchOut,
    responses=documented(*ASKING),
)
async def batch(
    body: BatchIn, asker: Annotated[Asker, asks(Scope.CHECK)], language: Language, request: Request
) -> Response:
    """Up to 1,000 questions of any kind, decided on one snapshot and answered in order.

    A question that is malformed is answered with its own `error`; the others are not touched by it.
    """
    asked = [_question(asker.room, one, f"/questions/{place}") for place, one in enumerate(body.questions)]
    made = await asker.run(checks.answer_all, asked, zone=asker.room.zone, recorded=asker.room.recorded)
    asker.room.measures.count_all(one.verdict.permitted for one in made if isinstance(one, Decision))
    answered = [_answer_out(one, language, request_id_of(request.scope)) for one in made]
    return answers.sent({"decisions": answered})


@router.post(
    "/v1/check/filter",
    operation_id="checkFilter",
    summary="See whose data on a list may be used",
    response_model=FilterOut,
    responses=documented(*ASKING),
)
async def filter_(body: FilterIn, asker: Annotated[Asker, asks(Scope.CHECK)], language: Language) -> Response:
    """One purpose for up to 10,000 subjects, decided on one snapshot.

    **Whoever does not stand in `permitted` is a no.** Order is kept, and who is named twice is answered once.
    """
    named = _named(asker.room, body.subjects)
    room, subjects = asker.room, list(named)
    answer = await asker.run(
        checks.filtered, body.purpose, body.within, subjects, zone=room.zone, recorded=room.recorded
    )
    room.measures.count_all(one.verdict.permitted for one in answer.answers)
    return answers.sent(_filter_out(answer, list(named.values()), language))


@router.get(
    "/v1/purposes/{code}/permitted",
    operation_id="streamPermitted",
    summary="Get everybody whose data may be used",
    response_class=StreamingResponse,
    responses={
        200: {"description": "One subject a line.", "content": {NDJSON: {"schema": PermittedOut.model_json_schema()}}},
        **documented(*READING, "client_not_permitted", "purpose_not_found"),
    },
)
async def permitted(
    code: Annotated[str, Path(openapi_examples={"example": {"value": "billing"}})],
    asker: Annotated[Asker, asks(Scope.CHECK)],
    namespace: Annotated[
        str | None, Query(pattern=forms.NAMESPACE, description="The default one, if left out.")
    ] = None,
    within: Annotated[PurposeCode | None, Query(description="For `concomitant_use` only.")] = None,
    after: Annotated[str, Query(pattern=forms.AFTER_SUBJECT, description="Go on behind this `sub_…`.")] = "",
) -> StreamingResponse:
    """All permitted subjects of a namespace, as NDJSON: a line each, in the order of their `sub_…`.

    Each 1,000 are decided and recorded afresh just before they are sent, with an `as_of` of their own. Use a line as it
    comes; do not keep it. A stream that breaks off goes on with `after`, the last `subject` that came.
    """
    names = namespace or asker.room.default_namespace

    async def page(behind: str) -> PermittedPage:
        how = asker.room
        return await asker.run(
            checks.permitted, code, within, namespace=names, after=behind, zone=how.zone, recorded=how.recorded
        )

    return StreamingResponse(_lines(page, await page(after), asker.room.measures), media_type=NDJSON)


async def _lines(
    page: Callable[[str], Awaitable[PermittedPage]], first: PermittedPage, measures: Measures
) -> AsyncIterator[bytes]:
    """The first page comes before the answer begins, so that what is wrong with the request can still be said."""
    current = first
    while True:
        measures.count_all(True for _ in current.items)
        yield b"".join(PermittedOut.of(*item).model_dump_json().encode() + b"\n" for item in current.items)
        if current.next is None:
            return
        current = await page(current.next)


def _question(room: Room, one: CheckIn | Malformed, place: str) -> Question | ConsentError:
    if isinstance(one, Malformed):
        return one.within(place)
    try:
        return Question(room.reference(one.subject, f"{place}/subject"), one.purpose, one.within)
    except InvalidInput as error:
        return error


def _answer_out(answer: Decision | ConsentError, language: str, request_id: str) -> JsonValue:
    if isinstance(answer, Decision):
        return answers.plain(answer, language)
    problem = problems.problem(answer.code, answer.detail, request_id, answer.errors)
    return ErrorOut(error=problem).model_dump(mode="json")


def _filter_out(filtered: Filtered, names: Sequence[str], language: str) -> answers.Plain:
    """The members of a FilterOut, in its order; `names` are those under which the subjects were asked about."""
    first = filtered.answers[0]
    named = [(name, one.verdict) for name, one in zip(names, filtered.answers, strict=True)]
    return {
        "permitted": [name for name, verdict in named if verdict.permitted],
        "denied": [
            {"subject": name, "reasons": answers.plain_reasons(verdict.reasons, language)}
            for name, verdict in named
            if not verdict.permitted
        ],
        "purpose": first.question.purpose,
        "policy_version": first.policy_version,
        "as_of": first.as_of,
        "decision_id": filtered.id,
        "decided_at": to_text(first.at),
    }


def _named(room: Room, subjects: Sequence[str]) -> dict[Reference, str]:
    """Who the subjects are, each once, with the first name of each. Raises InvalidInput with all wrong ones."""
    named: dict[Reference, str] = {}
    faults: list[Fault] = []
    for place, text in enumerate(subjects):
        try:
            named.setdefault(room.reference(text, f"/subjects/{place}"), text)
        except InvalidInput as error:
            faults += error.errors
    if faults:
        raise InvalidInput(WRONG_MEMBERS, errors=faults)
    return named
