"""Errors on the wire: RFC 9457 problem details for every answer that is not 2xx. This is the only map."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from consent_service.core import errors
from consent_service.core.errors import ConsentError, Fault, first_faults
from consent_service.core.publication import NotPublished, Publication
from consent_service.web.bodies import WRONG_MEMBERS
from consent_service.web.edge import request_id_of
from consent_service.web.forms import SENTENCES

_PUBLICATION: TypeAdapter[Publication] = TypeAdapter(Publication)

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem: its HTTP status and its title, which never change for a code."""

    status: int
    title: str


KINDS: Mapping[str, Kind] = {
    "malformed_http": Kind(400, "The request is not proper HTTP"),
    "malformed_request": Kind(400, "The request is not a proper AuthZEN request"),
    "malformed_json": Kind(422, "The body is not proper JSON"),
    "validation_failed": Kind(422, "The request has a wrong member"),
    "idempotency_key_reused": Kind(422, "This Idempotency-Key was used for another body"),
    "change_undeclared": Kind(422, "It is not said of each changed leaf whether the change is material"),
    "guardian_required": Kind(422, "A verified guardian's consent is needed"),
    "own_consent_required": Kind(422, "The person's own consent is needed"),
    "unauthenticated": Kind(401, "A valid key is needed"),
    "scope_missing": Kind(403, "The key lacks a scope"),
    "client_not_permitted": Kind(403, "The client may not touch this"),
    "not_found": Kind(404, "There is nothing at this path"),
    "subject_not_found": Kind(404, "No such subject"),
    "guardianship_not_found": Kind(404, "No such guardianship"),
    "decision_not_found": Kind(404, "No such decision"),
    "receipt_not_found": Kind(404, "No such receipt"),
    "purpose_not_found": Kind(404, "No such purpose"),
    "policy_version_not_found": Kind(404, "No such policy version"),
    "client_not_found": Kind(404, "No such client"),
    "method_not_allowed": Kind(405, "This path does not take this method"),
    "identifier_taken": Kind(409, "The identifier names another subject"),
    "client_name_taken": Kind(409, "A client has this name"),
    "policy_version_taken": Kind(409, "This policy version was published already"),
    "policy_superseded": Kind(409, "Another policy version was published meanwhile"),
    "lapses_unconfirmed": Kind(409, "Yeses would lapse, and just as many have to be confirmed"),
    "subject_erased": Kind(410, "The person was erased"),
    "body_too_large": Kind(413, "The body is too large"),
    "unsupported_media_type": Kind(415, "The body must be JSON"),
    "head_too_large": Kind(431, "The request's head is too large"),
    "too_many_requests": Kind(429, "Too many requests from this client"),
    "internal": Kind(500, "Something went wrong in the service"),
    "overloaded": Kind(503, "The service has more to do than it can"),
    "unavailable": Kind(503, "The database cannot be asked"),
    "record_untrusted": Kind(503, "A record fails its integrity check"),
    "ledger_rolled_back": Kind(503, "The database lacks entries that were there"),
    "ledger_damaged": Kind(503, "The ledger's tree does not fit together"),
    "not_ready": Kind(503, "The service is not ready"),
}

_HEADERS: Mapping[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": 'Bearer realm="consent-service"'},
    429: {"Retry-After": "1"},
    503: {"Retry-After": "1"},
}


class WrongMember(BaseModel):
    """One wrong member: where it is (a JSON Pointer) and what would be right."""

    pointer: str
    detail: str


class Problem(BaseModel):
    """What went wrong, as RFC 9457 problem details. Branch on `code`; it never changes its meaning."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    errors: list[WrongMember]


def documented(*codes: str) -> dict[int | str, dict[str, object]]:
    """The OpenAPI responses for these problems, one for each status."""
    by_status: dict[int | str, list[str]] = {}
    for code in codes:
        by_status.setdefault(KINDS[code].status, []).append(code)
    return {status: _documented(names) for status, names in sorted(by_status.items(), key=str)}


def _documented(codes: Sequence[str]) -> dict[str, object]:
    titles = "; ".join(f"`{code}`: {KINDS[code].title}" for code in codes)
    example = problem(codes[0], "What went wrong, in a sentence.", "req-1", ())
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example.model_dump()}}
    return {"description": titles, "content": content}


def problem(code: str, detail: str, request_id: str, faults: Sequence[Fault]) -> Problem:
    """Problem details for a code; `type` is the path of its explanation in this service."""
    kind = KINDS[code]
    members = [WrongMember(pointer=fault.pointer, detail=fault.detail) for fault in first_faults(faults)]
    return Problem(
        type=f"/problems/{code}",
        title=kind.title,
        status=kind.status,
        code=code,
        detail=detail,
        request_id=request_id,
        errors=members,
    )


def response(
    code: str,
    detail: str,
    request_id: str,
    faults: Sequence[Fault] = (),
    headers: Mapping[str, str] | None = None,
    extensions: Mapping[str, JsonValue] | None = None,
) -> JSONResponse:
    """The HTTP response for a problem; `extensions` are members besides the usual ones (RFC 9457 section 3.2)."""
    made = problem(code, detail, request_id, faults)
    extra = {**_HEADERS.get(made.status, {}), **(headers or {})}
    body = {**made.model_dump(), **(extensions or {})}
    return JSONResponse(body, made.status, headers=extra, media_type=MEDIA_TYPE)


def faults_of(errors: Iterable[Any]) -> list[Fault]:
    """Pydantic's errors as faults, the first of them."""
    return first_faults(
        _fault(one["loc"], one["type"], one["msg"], one.get("ctx", {}).get("pattern", "")) for one in errors
    )


def faults_in(error: ValidationError) -> list[Fault]:
    """The faults of a body that a model refused, the first of them."""
    errors = error.errors(include_input=False, include_url=False)
    return faults_of({**one, "loc": ("body", *one["loc"])} for one in errors)


def install(app: FastAPI) -> None:
    """Turn every error that we know into a problem; `Failures` takes the rest."""
    app.add_exception_handler(ConsentError, _on_consent_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


def of_body(error: ValidationError, request_id: str) -> JSONResponse:
    """The response for a body that a model refused."""
    return response("validation_failed", WRONG_MEMBERS, request_id, faults_in(error))


def of_error(error: Exception, request_id: str) -> JSONResponse:
    """The response for any error: ours as it says, one that nobody foresaw as a 500 that tells nothing, and logged."""
    if isinstance(error, NotPublished):
        told = _PUBLICATION.dump_python(error.publication, mode="json")
        return response(error.code, error.detail, request_id, error.errors, extensions=told)
    if isinstance(error, ConsentError):
        return response(error.code, error.detail, request_id, error.errors)
    logger.error("request %s failed", request_id, exc_info=error)
    return response("internal", "Something went wrong in the service; quote the request id.", request_id)


async def _on_consent_error(request: Request, error: Exception) -> JSONResponse:
    return of_error(error, request_id_of(request.scope))


async def _on_validation_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    return response("validation_failed", WRONG_MEMBERS, request_id_of(request.scope), faults_of(error.errors()))


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "internal")
    detail = {
        "not_found": "There is nothing at this path; /docs shows what there is.",
        "method_not_allowed": "This path exists, but not for this method; /docs shows which it takes.",
    }.get(code, "Something went wrong in the service.")
    return response(code, detail, request_id_of(request.scope), headers=error.headers)


class Failures:
    """Turns whatever nobody foresaw into a 500 that tells nothing, and logs it. Pure ASGI."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except ClientDisconnect:
            return  # nobody is left to be answered
        except Exception as error:
            if scope["type"] != "http" or started:
                raise
            await of_error(error, request_id_of(scope))(scope, receive, send)


_SENTENCES = {
    "missing": "this member is required",
    "extra_forbidden": "no such member here; leave it out",
    **dict.fromkeys(("date_parsing", "date_from_datetime_parsing"), "a day such as 2026-04-01 is needed here"),
    **dict.fromkeys(
        ("datetime_parsing", "datetime_from_date_parsing", "timezone_aware"),
        "an instant with an offset is needed here, such as 2026-04-01T09:00:00+09:00",
    ),
}


def _fault(where: Sequence[str | int], kind: str, message: str, pattern: str) -> Fault:
    """A JSON Pointer (RFC 6901) and pydantic's sentence, which does not repeat the value."""
    place, *path = where
    at = pointer(*path)
    told = _SENTENCES.get(kind) or SENTENCES.get(pattern) or message.removeprefix("Value error, ")
    return Fault(at if place == "body" else f"{place}{at}", told)


def pointer(*path: str | int) -> str:
    """A path of members as a JSON Pointer (RFC 6901)."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def all_errors() -> list[type[ConsentError]]:
    """Every error that the product has."""
    return [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, ConsentError)]
