"""The slim path: the two operations that are asked all day, answered ahead of the framework and of our own layers.

The routes stand in the OpenAPI as ever; their handlers, models and errors are the ones used here, and limits, request
ids, headers and metrics come from the modules that the layers use. Only the machinery between them is left out, which
takes longer than the answer (docs/adr/0002). tests/http/test_slim.py holds the two ways equal.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from consent_service.web import answers, auth, checks, consents, edge, problems
from consent_service.web.bodies import Body, parsed, refuse_other_media_types
from consent_service.web.deps import Room, language_in
from consent_service.web.edge import Measures
from consent_service.web.limits import BODY_LIMIT, Rate

BodyIn = TypeVar("BodyIn", bound=Body)
RequestHeaders = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Hot(Generic[BodyIn]):
    """An operation of the slim path: its route, its body's model, and its handler given what the headers say."""

    route: APIRoute
    model: type[BodyIn]
    handle: Callable[[BodyIn, Room, RequestHeaders, str], Awaitable[bytes]]


async def _check(body: checks.CheckIn, room: Room, headers: RequestHeaders, key_hash: str) -> bytes:
    language = language_in(_text(headers, b"accept-language"))
    return answers.encoded(answers.plain(await checks.decided(body, room, key_hash), language))


async def _record(body: consents.ConsentsIn, room: Room, _: RequestHeaders, key_hash: str) -> bytes:
    answer = await consents.record(body, room, key_hash)
    return answer.__pydantic_serializer__.to_json(answer)


def _route(routes: list[object], path: str) -> APIRoute:
    return next(route for route in routes if isinstance(route, APIRoute) and route.path == path)


HOT: Mapping[str, Hot[Any]] = {
    "/v1/check": Hot(_route([*checks.router.routes], "/v1/check"), checks.CheckIn, _check),
    "/v1/consents": Hot(_route([*consents.router.routes], "/v1/consents"), consents.ConsentsIn, _record),
}


class Slim:
    """Answers the hot operations; everything else, and whatever is unusual about them, goes on to the layers."""

    def __init__(self, app: ASGIApp, measures: Measures, rate: Rate) -> None:
        self._app = app
        self._measures = measures
        self._rate = rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        hot = HOT.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        headers: RequestHeaders = dict(reversed(scope["headers"])) if hot else {}
        if hot is None or _is_unusual(headers):
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), edge.GONE
        request_id = edge.request_id(_text(headers, b"x-request-id"))
        try:
            status, answered_with, body = await self._answer(hot, scope, headers, receive, request_id)
            dressed = [*answered_with, *edge.api_headers(request_id, scope)]
            await send({"type": "http.response.start", "status": status, "headers": dressed})
            await send({"type": "http.response.body", "body": body})
        except ClientDisconnect:
            pass
        finally:
            self._measures.observe("POST", hot.route.path, status, time.perf_counter() - began)

    async def _answer(
        self, hot: Hot[Any], scope: Scope, headers: RequestHeaders, receive: Receive, request_id: str
    ) -> tuple[int, edge.RawHeaders, bytes]:
        if not self._rate.admits(_text(headers, b"authorization"), scope):
            return _as_raw(self._rate.refusal(request_id))
        try:
            body = await _handled(hot, scope["app"].state.room, headers, receive)
        except ClientDisconnect:
            raise
        except ValidationError as error:
            return _as_raw(problems.of_body(error, request_id))
        except Exception as error:  # noqa: BLE001 (a root: whatever it is, the caller gets a problem)
            return _as_raw(problems.of_error(error, request_id))
        return hot.route.status_code or 200, [(b"content-length", b"%d" % len(body)), _JSON], body


_JSON = (b"content-type", b"application/json")


async def _handled(hot: Hot[Any], room: Room, headers: RequestHeaders, receive: Receive) -> bytes:
    """What the ordinary route does, in the same order: media type, JSON, key, members, operation."""
    refuse_other_media_types(_text(headers, b"content-type"))
    value = parsed(await _whole(receive))
    key_hash = auth.key_hash_in(_text(headers, b"authorization"), room.database.keyring)
    return await hot.handle(hot.model.model_validate(value), room, headers, key_hash)


def _is_unusual(headers: RequestHeaders) -> bool:
    """A body whose length is not declared or too large, and an Idempotency-Key, are for the ordinary route."""
    length = headers.get(b"content-length", b"")
    return not length.isdigit() or int(length) > BODY_LIMIT or b"idempotency-key" in headers


def _text(headers: RequestHeaders, name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")


async def _whole(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _as_raw(response: Response) -> tuple[int, edge.RawHeaders, bytes]:
    return response.status_code, response.raw_headers, bytes(response.body)
