"""Limits, as pure ASGI: how large a body may be, and how fast a client may ask."""

import functools
import time
from collections.abc import Awaitable, Callable

from limits import parse
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from consent_service.core.clients import is_well_formed
from consent_service.core.errors import BodyTooLarge
from consent_service.lanes import read_in_time
from consent_service.operations import clients
from consent_service.web import auth, problems
from consent_service.web.deps import Room
from consent_service.web.edge import header_of, request_id_of

BODY_LIMIT = 64 * 1024
LARGE_BODY_LIMIT = 2 * 1024 * 1024
_LARGE = ("/access/v1/evaluations", "/v1/check/batch", "/v1/check/filter", "/v1/policy/versions")
_FREE = ("/livez", "/readyz", "/metrics")


class BodyLimit:
    """Refuses a body over 64 KiB, or over 2 MiB where many questions come together, or a policy.

    At once by its Content-Length, else when the byte too many comes in. A large one is read only of a client that is
    known: to read it takes longer than a check may, and anybody can make up a key.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = LARGE_BODY_LIMIT if scope["path"] in _LARGE else BODY_LIMIT
        declared = (header_of(scope, b"content-length") or "").encode("latin-1")
        if declared.isdigit() and exceeds(declared, limit):
            answer = problems.response("body_too_large", _too_large(limit), request_id_of(scope))
            await answer(scope, receive, send)
            return
        await self._app(scope, _counting(receive, limit, functools.partial(_recognise, scope)), send)


def exceeds(length: bytes, limit: int) -> bool:
    """Whether so many bytes, in decimal digits, are too many; there may be more digits than `int` takes."""
    digits = length.lstrip(b"0")
    return len(digits) > len(str(limit)) or int(digits or b"0") > limit


def _counting(receive: Receive, limit: int, recognise: Callable[[], Awaitable[None]]) -> Receive:
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        before, seen = seen, seen + len(message.get("body", b""))
        if seen > limit:
            raise BodyTooLarge(_too_large(limit))
        if before <= BODY_LIMIT < seen:
            await recognise()
        return message

    return counted


async def _recognise(scope: Scope) -> None:
    """Raises Unauthenticated, unless it is a client that asks."""
    room: Room = scope["app"].state.room
    key_hash = auth.key_hash_in(header_of(scope, b"authorization") or "", room.database.keyring)
    await read_in_time(room.database, functools.partial(clients.recognise, key_hash=key_hash))


def _too_large(limit: int) -> str:
    return f"The body of this operation may have {limit} bytes; split it."


class Rate:
    """How often a client may ask: so many requests a window, counted in this process.

    A client is told by its key; a caller without a well-formed one by its address, so that guessing is slow. Counted
    here, since the library's own memory starts a thread every hundredth of a second to forget what is past.
    """

    def __init__(self, rate: str) -> None:
        self._rate = parse(rate)
        self._seconds = self._rate.get_expiry()
        self._window = 0.0
        self._asked: dict[str, int] = {}

    def admits(self, authorization: str, scope: Scope) -> bool:
        """Count one request; False if it is one too many."""
        window = time.monotonic() // self._seconds
        if window != self._window:
            self._window, self._asked = window, {}
        key = authorization[len("Bearer ") :]
        who = key if is_well_formed(key) else _address(scope)
        self._asked[who] = asked = self._asked.get(who, 0) + 1
        return asked <= self._rate.amount

    def refusal(self, request_id: str) -> Response:
        """What one too many is answered."""
        return problems.response("too_many_requests", f"This client may ask {self._rate}; wait a moment.", request_id)


class RateLimit:
    """Holds each client to its rate."""

    def __init__(self, app: ASGIApp, rate: Rate) -> None:
        self._app = app
        self._rate = rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        free = scope["type"] != "http" or scope["path"] in _FREE
        if free or self._rate.admits(header_of(scope, b"authorization") or "", scope):
            await self._app(scope, receive, send)
        else:
            await self._rate.refusal(request_id_of(scope))(scope, receive, send)


def _address(scope: Scope) -> str:
    address = scope.get("client")
    return address[0] if address else "unknown"
