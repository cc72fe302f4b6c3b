"""The slim path: the two operations that are asked all day, answered ahead of the framework and of our own layers.

The routes stand in the OpenAPI as ever; their models, lanes and errors are the ones used here, and limits, request
ids, headers and metrics come from the modules that the layers use. Only the machinery between them is left out, which
takes longer than the answer (docs/adr/0002). tests/http/test_slim.py holds all ways equal.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from consent_service.core.decision import Decision
from consent_service.lanes import Lane
from consent_service.operations.consents import Recorded
from consent_service.web import answers, auth, checks, consents, edge, problems
from consent_service.web.bodies import Body, parsed, refuse_other_media_types
from consent_service.web.deps import Room, language_in
from consent_service.web.edge import Measures
from consent_service.web.limits import BODY_LIMIT, Rate, exceeds

BodyIn = TypeVar("BodyIn", bound=Body)
Item = TypeVar("Item")
Answer = TypeVar("Answer")
RequestHeaders = Mapping[bytes, bytes]

Respond = Callable[[int, edge.RawHeaders, bytes], None]
"""Takes a status, headers and a body to the caller."""


@dataclass(frozen=True, slots=True)
class Hot(Generic[BodyIn, Item, Answer]):
    """An operation of the slim path: its route, its body's model, its lane, what goes into it, and what comes out."""

    route: APIRoute
    model: type[BodyIn]
    lane: Callable[[Room], Lane[Item, Answer]]
    item: Callable[[BodyIn, Room, str], Item]
    encoded: Callable[[Answer, Room, str], bytes]


class Arrived(NamedTuple):
    """A request that is here but for its body: for which operation, how it came, and when by `time.perf_counter`."""

    hot: Hot[Any, Any, Any]
    scope: Scope
    headers: RequestHeaders
    began: float


def _decision(decision: Decision, room: Room, language: str) -> bytes:
    room.measures.count(decision.verdict.permitted)
    return answers.encoded(answers.plain(decision, language))


def _recorded(recorded: Recorded, _: Room, __: str) -> bytes:
    return answers.encoded(consents.plain(recorded))


def _route(routes: list[object], path: str) -> APIRoute:
    return next(route for route in routes if isinstance(route, APIRoute) and route.path == path)


HOT: Mapping[str, Hot[Any, Any, Any]] = {
    "/v1/check": Hot(
        _route([*checks.router.routes], "/v1/check"),
        checks.CheckIn,
        lambda room: room.checks,
        checks.asked,
        _decision,
    ),
    "/v1/consents": Hot(
        _route([*consents.router.routes], "/v1/consents"),
        consents.ConsentsIn,
        lambda room: room.statements,
        consents.call,
        _recorded,
    ),
}


class Slim:
    """Answers the hot operations; everything else, and whatever is unusual about them, goes on to the layers.

    There are two ways in: ASGI for every server, and `take` for `web/wire.py`, which leaves ASGI out as well.
    """

    def __init__(self, app: ASGIApp, measures: Measures, rate: Rate) -> None:
        self._app = app
        self._measures = measures
        self._rate = rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        hot = HOT.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        headers: RequestHeaders = dict(reversed(scope["headers"])) if hot else {}
        if hot is None or scope["query_string"] or is_unusual(headers):
            await self._app(scope, receive, send)
            return
        arrived = Arrived(hot, scope, headers, time.perf_counter())
        try:
            body = await _whole(receive)
        except ClientDisconnect:
            self.missed(arrived)
            return
        answered: asyncio.Future[tuple[int, edge.RawHeaders, bytes]] = asyncio.get_running_loop().create_future()

        def respond(status: int, dressed: edge.RawHeaders, body: bytes) -> None:
            if not answered.done():
                answered.set_result((status, dressed, body))

        self.take(arrived, body, respond)
        status, dressed, body = await answered
        await send({"type": "http.response.start", "status": status, "headers": dressed})
        await send({"type": "http.response.body", "body": body})

    def take(self, arrived: Arrived, body: bytes, respond: Respond) -> None:
        """Answer a request: `respond` is called once, at once or after its batch's commit."""
        request = _Request(arrived, respond, self._measures)
        authorization = _text(arrived.headers, b"authorization")
        if self._rate.admits(authorization, arrived.scope):
            request.begin(body, authorization)
        else:
            request.refuse(self._rate.refusal(request.id))

    def missed(self, arrived: Arrived) -> None:
        """Count a caller that went away before all of the body was there."""
        self._measures.observe("POST", arrived.hot.route.path, edge.GONE, time.perf_counter() - arrived.began)


class _Request:
    """One request on its way; what the ordinary route does, in the same order."""

    __slots__ = ("_arrived", "_measures", "_respond", "_room", "id")

    def __init__(self, arrived: Arrived, respond: Respond, measures: Measures) -> None:
        self.id = edge.request_id(_text(arrived.headers, b"x-request-id"))
        self._arrived = arrived
        self._respond = respond
        self._measures = measures
        self._room: Room = arrived.scope["app"].state.room

    def begin(self, body: bytes, authorization: str) -> None:
        """Media type, JSON, key, members; then into the lane."""
        hot, headers, room = self._arrived.hot, self._arrived.headers, self._room
        try:
            refuse_other_media_types(_text(headers, b"content-type"))
            value = parsed(body)
            key_hash = auth.key_hash_in(authorization, room.database.keyring)
            hot.lane(room).put(hot.item(hot.model.model_validate(value), room, key_hash), self.tell)
        except ValidationError as error:
            self.refuse(problems.of_body(error, self.id))
        except Exception as error:  # noqa: BLE001 (a root: whatever it is, the caller gets a problem)
            self.refuse(problems.of_error(error, self.id))

    def tell(self, answer: object) -> None:
        """Tell the caller what came out of the lane."""
        if isinstance(answer, Exception):
            self.refuse(problems.of_error(answer, self.id))
            return
        hot, language = self._arrived.hot, language_in(_text(self._arrived.headers, b"accept-language"))
        try:
            body = hot.encoded(answer, self._room, language)
        except Exception as error:  # noqa: BLE001 (a root: whatever it is, the caller gets a problem)
            self.refuse(problems.of_error(error, self.id))
        else:
            told = [(b"content-length", b"%d" % len(body)), _JSON]
            self._send(hot.route.status_code or 200, told, body)

    def refuse(self, response: Response) -> None:
        """Tell the caller what is wrong."""
        self._send(response.status_code, response.raw_headers, bytes(response.body))

    def _send(self, status: int, headers: edge.RawHeaders, body: bytes) -> None:
        hot, scope, _, began = self._arrived
        self._measures.observe("POST", hot.route.path, status, time.perf_counter() - began)
        self._respond(status, [*headers, *edge.api_headers(self.id, scope)], body)


_JSON = (b"content-type", b"application/json")


def is_unusual(headers: RequestHeaders) -> bool:
    """A body whose length is not declared or too large, and an Idempotency-Key, are for the ordinary route."""
    length = headers.get(b"content-length", b"")
    return not length.isdigit() or exceeds(length, BODY_LIMIT) or b"idempotency-key" in headers


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
