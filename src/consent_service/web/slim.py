"""The slim path: the two operations that are asked all day, answered ahead of the framework's router.

The routes stand in the OpenAPI as ever, and their handlers, models and errors are the ones used here; rate limits, body
limits, request ids and metrics lie around both. Only the machinery between them is left out: it takes longer than the
answer itself (docs/adr/0002). tests/http/test_slim.py holds the two ways equal.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from consent_service.core.errors import ConsentError
from consent_service.web import auth, checks, consents, problems
from consent_service.web.bodies import Body, parsed, refuse_other_media_types
from consent_service.web.deps import Room, language_in
from consent_service.web.edge import header_of, request_id_of
from consent_service.web.outputs import Output

BodyIn = TypeVar("BodyIn", bound=Body)


@dataclass(frozen=True, slots=True)
class Hot(Generic[BodyIn]):
    """An operation of the slim path: its route, its body's model, and its handler given what the headers say."""

    route: APIRoute
    model: type[BodyIn]
    handle: Callable[[BodyIn, Room, Scope, str], Awaitable[Output]]


async def _check(body: checks.CheckIn, room: Room, scope: Scope, key_hash: str) -> Output:
    return await checks.check(body, room, language_in(header_of(scope, b"accept-language") or ""), key_hash)


async def _record(body: consents.ConsentsIn, room: Room, _: Scope, key_hash: str) -> Output:
    return await consents.record(body, room, key_hash)


def _route(routes: list[object], path: str) -> APIRoute:
    return next(route for route in routes if isinstance(route, APIRoute) and route.path == path)


HOT: Mapping[str, Hot[Any]] = {
    "/v1/check": Hot(_route([*checks.router.routes], "/v1/check"), checks.CheckIn, _check),
    "/v1/consents": Hot(_route([*consents.router.routes], "/v1/consents"), consents.ConsentsIn, _record),
}


class Slim:
    """Answers the hot operations; everything else, and what carries an Idempotency-Key, goes on to the router."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        hot = HOT.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if hot is None or header_of(scope, b"idempotency-key") is not None:
            await self._app(scope, receive, send)
            return
        scope["route"] = hot.route
        try:
            await _send(send, hot.route.status_code or 200, await _answer(hot, scope, receive))
        except ConsentError as error:
            answer = problems.response(error.code, error.detail, request_id_of(scope), error.errors)
            await answer(scope, receive, send)
        except ValidationError as error:
            faults = problems.faults_in(error)
            answer = problems.response("validation_failed", problems.WRONG_MEMBERS, request_id_of(scope), faults)
            await answer(scope, receive, send)


async def _answer(hot: Hot[BodyIn], scope: Scope, receive: Receive) -> bytes:
    """What the ordinary route does, in the same order: media type, JSON, key, members, operation."""
    refuse_other_media_types(header_of(scope, b"content-type") or "")
    value = parsed(await _whole(receive))
    room: Room = scope["app"].state.room
    key_hash = auth.key_hash_in(header_of(scope, b"authorization") or "", room.database.keyring)
    answer = await hot.handle(hot.model.model_validate(value), room, scope, key_hash)
    return answer.__pydantic_serializer__.to_json(answer)


async def _whole(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _send(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-length", str(len(body)).encode()), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
