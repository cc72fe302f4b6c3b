"""For those who run the service: is it alive, is it ready, what does it do; and what a problem's type means."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

from consent_service.core.errors import Unavailable
from consent_service.lanes import in_time
from consent_service.store import readiness
from consent_service.web import problems
from consent_service.web.deps import InRoom
from consent_service.web.edge import Measures, request_id_of
from consent_service.web.openapi import Tag
from consent_service.web.outputs import Output

router = APIRouter(tags=[Tag.SERVICE])


class AliveOut(Output):
    """The process answers."""

    status: Literal["alive"]


class ReadyOut(Output):
    """The service can answer checks."""

    status: Literal["ready"]


@router.get("/livez", operation_id="livez", summary="Is the process alive?")
async def livez() -> AliveOut:
    """Restart the process when this does not answer."""
    return AliveOut(status="alive")


@router.get(
    "/readyz",
    operation_id="readyz",
    summary="Can the service answer?",
    response_model=ReadyOut,
    responses=problems.documented("not_ready"),
)
async def readyz(room: InRoom, request: Request) -> ReadyOut | Response:
    """Send requests only while this answers 200. A problem says what is missing."""
    try:
        faults = await in_time(readiness.faults(room.database))
    except Unavailable as error:
        faults = [error.detail]
    if faults:
        return problems.response("not_ready", "; ".join(faults), request_id_of(request.scope))
    return ReadyOut(status="ready")


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Measurements for Prometheus",
    response_class=PlainTextResponse,
)
async def metrics(request: Request) -> Response:
    """Requests, times and decisions by route, and how full the lanes are; nothing about persons."""
    measures: Measures = request.app.state.measures
    return Response(generate_latest(measures.registry), media_type=CONTENT_TYPE_LATEST)


@router.get("/problems/{code}", include_in_schema=False)
async def explained(code: Annotated[str, Path()]) -> PlainTextResponse:
    """What a problem's `type` leads to."""
    kind = problems.KINDS.get(code)
    if kind is None:
        raise HTTPException(404)
    return PlainTextResponse(f"{code} ({kind.status}): {kind.title}.\n")
