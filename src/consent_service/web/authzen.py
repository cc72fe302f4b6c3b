"""OpenID AuthZEN Authorization API 1.0: evaluations, searches, and where they are (sections 6 to 10).

The standard has its own manners, and only here: unknown members are ignored, and what is malformed is a 400.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from consent_service.core import authzen as words
from consent_service.core.authzen import ActionSearch, Evaluation, ResourceSearch, SubjectSearch
from consent_service.core.clients import Scope
from consent_service.core.errors import (
    ConsentError,
    Fault,
    InvalidInput,
    MalformedJson,
    MalformedRequest,
    WrongMediaType,
)
from consent_service.operations import authzen
from consent_service.operations.authzen import Answer, is_yes
from consent_service.web import problems
from consent_service.web.authzen_shapes import (
    ActionSearchIn,
    ActionsOut,
    ConfigurationOut,
    EntitiesOut,
    EvaluationIn,
    EvaluationOut,
    EvaluationsIn,
    EvaluationsOut,
    ResourceSearchIn,
    SubjectSearchIn,
)
from consent_service.web.bodies import WRONG_MEMBERS, StrictRoute
from consent_service.web.deps import Asker, Language, Room, asks
from consent_service.web.openapi import KEYED, Tag
from consent_service.web.problems import documented


class AuthzenRoute(StrictRoute):
    """A route on which every fault of the request itself is a 400 (sections 10.1.1, 10.1.2)."""

    ignores_others = True

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's hook."""
        handle = super().get_route_handler()

        async def handle_in_authzens_manner(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                raise _malformed(problems.faults_of(error.errors())) from None
            except (MalformedJson, InvalidInput, WrongMediaType) as error:
                raise MalformedRequest(error.detail, errors=error.errors) from None

        return handle_in_authzens_manner


router = APIRouter(route_class=AuthzenRoute, tags=[Tag.AUTHZEN])


CheckAsker = Annotated[Asker, asks(Scope.CHECK)]
PROBLEMS = documented(*KEYED, "malformed_request", "body_too_large")


@router.post(
    "/access/v1/evaluation",
    operation_id="evaluateAccess",
    summary="AuthZEN: one evaluation",
    responses=PROBLEMS,
)
async def evaluation(body: EvaluationIn, asker: CheckAsker, language: Language) -> EvaluationOut:
    """The check in AuthZEN's words: the subject is a client, the action a purpose, the resource a person.

    A client other than your own needs the scope `audit:read` as well. What is unknown is `false`, never an error.
    """
    return await _evaluated(asker, body, language)


@router.post(
    "/access/v1/evaluations",
    operation_id="evaluateAccesses",
    summary="AuthZEN: many evaluations at once",
    responses=PROBLEMS,
)
async def evaluations(body: EvaluationsIn, asker: CheckAsker, language: Language) -> EvaluationsOut | EvaluationOut:
    """Up to 1,000 evaluations, answered in order.

    The fault of one is its own `false`, with the error in its context.
    """
    if not body.evaluations:
        return await _evaluated(asker, _alone(body), language)
    defaults = body.defaults()
    asked = [_one(defaults, item, f"/evaluations/{i}") for i, item in enumerate(body.evaluations)]
    semantic = body.options.evaluations_semantic
    answers = await asker.run(authzen.evaluate, asked, semantic, terms=asker.room.terms)
    _count(asker.room, answers)
    return EvaluationsOut(evaluations=[EvaluationOut.of(answer, language) for answer in answers])


@router.post(
    "/access/v1/search/subject",
    operation_id="searchSubjects",
    summary="AuthZEN: which clients may?",
    responses=PROBLEMS,
)
async def search_subjects(body: SubjectSearchIn, asker: CheckAsker) -> EntitiesOut:
    """The clients that may use this person's data for this purpose. Without `audit:read` you see your own only."""
    search = SubjectSearch(body.subject.type, body.action.action(), body.resource.entity())
    found = await asker.run(authzen.search, search, body.page.page(), terms=asker.room.terms)
    return EntitiesOut.of(search.type, found)


@router.post(
    "/access/v1/search/resource",
    operation_id="searchResources",
    summary="AuthZEN: whose data may be used?",
    responses=PROBLEMS,
)
async def search_resources(body: ResourceSearchIn, asker: CheckAsker) -> EntitiesOut:
    """The people of one namespace whose data this client may use for this purpose, each decided afresh."""
    action, namespace = body.action.action(), body.resource.text("namespace")
    search = ResourceSearch(body.subject.entity(), action, body.resource.type, namespace)
    found = await asker.run(authzen.search, search, body.page.page(), terms=asker.room.terms)
    return EntitiesOut.of(search.type, found)


@router.post(
    "/access/v1/search/action",
    operation_id="searchActions",
    summary="AuthZEN: for which purposes may data be used?",
    responses=PROBLEMS,
)
async def search_actions(body: ActionSearchIn, asker: CheckAsker) -> ActionsOut:
    """The purposes, branches and leaves, for which this client may use this person's data."""
    search = ActionSearch(body.subject.entity(), body.resource.entity())
    found = await asker.run(authzen.search, search, body.page.page(), terms=asker.room.terms)
    return ActionsOut.of(found)


@router.get(
    "/.well-known/authzen-configuration",
    operation_id="authzenConfiguration",
    summary="AuthZEN: where the operations are",
    responses=documented("too_many_requests"),
)
async def configuration(request: Request, response: Response) -> ConfigurationOut:
    """Public. The addresses begin with the one under which the service was asked."""
    response.headers["Cache-Control"] = "private, max-age=3600"
    return ConfigurationOut.at(str(request.base_url).rstrip("/"))


async def _evaluated(asker: Asker, body: EvaluationIn, language: str) -> EvaluationOut:
    (answer,) = await asker.run(authzen.evaluate, [body.evaluation()], terms=asker.room.terms)
    if isinstance(answer, ConsentError):
        raise answer
    _count(asker.room, [answer])
    return EvaluationOut.of(answer, language)


def _alone(body: EvaluationsIn) -> EvaluationIn:
    """A batch without evaluations is an evaluation itself (section 7.1). Raises MalformedRequest."""
    try:
        return EvaluationIn.model_validate(body.defaults())
    except ValidationError as error:
        raise _malformed(problems.faults_in(error)) from None


def _one(defaults: dict[str, object], item: object, pointer: str) -> Evaluation | MalformedRequest:
    """One evaluation of a batch, or what is wrong with it (section 7.2.1)."""
    try:
        whole = words.merged(defaults, item) if isinstance(item, dict) else item
        return EvaluationIn.model_validate(whole).evaluation()
    except ValidationError as error:
        return _malformed(problems.faults_in(error), pointer)


def _malformed(found: Sequence[Fault], pointer: str = "") -> MalformedRequest:
    return MalformedRequest(WRONG_MEMBERS, errors=[Fault(pointer + one.pointer, one.detail) for one in found])


def _count(room: Room, answers: Sequence[Answer]) -> None:
    for answer in answers:
        room.measures.count(is_yes(answer))
