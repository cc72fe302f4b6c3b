"""The wire: uvicorn's own protocol, but the slim path is taken at once, and an answer leaves in one write."""

import asyncio
import time
from collections.abc import Sized
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from consent_service.web import edge, problems, slim
from consent_service.web.application import Application
from consent_service.web.edge import RawHeaders
from consent_service.web.slim import Arrived, RequestHeaders

HEAD_LIMIT = 64 * 1024
"""How many bytes may come that bring a request no further: of its head, between the chunks of its body, behind it."""

COMPLETE_WITHIN = 30.0
"""In how many seconds a request has to be there, from when its connection, or its first byte, was."""

_FORWARDED = frozenset({b"x-forwarded-for", b"x-forwarded-proto"})


class OneWrite:
    """A transport that keeps what is written in one turn of the loop, and writes all of it at the turn's end.

    Each write is a packet and wakes who reads: two for each answer took a third of the time of a check (docs/adr/0002).
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._soon = loop.call_soon
        self._kept: list[bytes] = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (whatever else a transport has)
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Keep it until the end of the turn."""
        if not self._kept:
            self._soon(self._write)
        self._kept.append(data)

    def write_whole(self, answer: bytes) -> None:
        """Write an answer that is in one piece: at once, unless something before it is kept."""
        if self._kept:
            self._kept.append(answer)
        elif not self._transport.is_closing():
            self._transport.write(answer)

    def close(self) -> None:
        """Write what is kept, then close."""
        self._write()
        self._transport.close()

    def _write(self) -> None:
        kept, self._kept = self._kept, []
        if kept and not self._transport.is_closing():
            self._transport.write(b"".join(kept))


class _Flow(FlowControl):
    """Nothing more is read from a connection on which requests wait behind another, so they never are many."""

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        """Go on reading, unless some wait."""
        if not self._waiting:
            super().resume_reading()


class Protocol(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it, over such a transport, with a way of its own for the slim path.

    There a request needs no task, no ASGI messages and no future (docs/adr/0002). What uvicorn's own way is needed for
    takes it: a request behind another on the same connection, the last one of a connection, a proxy's headers, and a
    caller who does not read the answers.

    Nobody holds a connection with half a request, nor fills the memory with a head without an end; an `Upgrade`, which
    some clients send with each first request, is ignored (RFC 9110 section 7.8); whatever is refused is a problem.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """A caller is there."""
        self.out = OneWrite(transport, self.loop)
        super().connection_made(self.out)  # type: ignore[arg-type]  # it has all of a transport
        self.flow = _Flow(self.transport, self.pipeline)
        self._futile = 0  # bytes since the last that brought a request further
        self._is_over = False
        self._upgrading = b""  # the method of a request whose Upgrade is being ignored
        self._late: asyncio.TimerHandle | None = None
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller is gone."""
        super().connection_lost(exc)
        if self._late is not None:
            self._late.cancel()
        if isinstance(self.cycle, _SlimCycle) and self.cycle.more_body:
            self.cycle.app.slim.missed(self.cycle.arrived)

    def shutdown(self) -> None:
        """The server ends: what is here is answered, what is not here yet is not waited for."""
        if self.cycle is not None and self.cycle.more_body:
            self.transport.close()
        else:
            super().shutdown()

    def data_received(self, data: bytes) -> None:
        """Bytes are here."""
        if self._is_over:
            return
        self._unset_keepalive_if_required()
        self._futile += len(data)
        try:
            self._feed(data)
        except HttpParserError:
            self._refuse("malformed_http", "Send a request as RFC 9112 has it; the connection is closed.")
        if self._futile > HEAD_LIMIT:
            self._refuse("head_too_large", f"A request's head may have {HEAD_LIMIT} bytes; the connection is closed.")
        self._expect()

    def on_headers_complete(self) -> None:
        """A request is here, but for its body. Raises HttpParserError for one that does not name one host."""
        self._futile = 0
        hosts = [name for name, _ in self.headers if name == b"host"]
        if len(hosts) != 1 and self.parser.get_http_version() == "1.1":  # RFC 9112 section 3.2
            raise HttpParserError("no host, or several")
        if self.parser.should_upgrade():
            self._upgrading = self.parser.get_method()
            return
        self._begin()
        self.headers = []  # what comes behind the body is no header (RFC 9110 section 6.5.1)

    def on_body(self, body: bytes) -> None:
        """A part of a request's body is here."""
        self._futile = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is here."""
        self._futile = 0
        if self._upgrading:
            return
        cycle = self.cycle
        super().on_message_complete()
        if isinstance(cycle, _SlimCycle):
            cycle.begin()

    def _feed(self, data: bytes) -> None:
        """Parse. What wants an Upgrade is parsed again as if it did not. Raises HttpParserError."""
        while data:
            try:
                self.parser.feed_data(data)
            except HttpParserUpgrade as upgrade:
                if self._upgrading == b"CONNECT":
                    raise HttpParserError("a tunnel") from None
                data = self._head_without_upgrade() + data[upgrade.args[0] :]
                self.parser, self._upgrading = HttpRequestParser(self), b""
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        first = b"%b %b HTTP/%b\r\n" % (self._upgrading, self.url, self.parser.get_http_version().encode())
        kept = [header for header in self.headers if header[0] not in _OF_AN_UPGRADE]
        closing = any(b"close" in value.lower() for name, value in self.headers if name == b"connection")
        return first + _lines([*kept, _CLOSE] if closing else kept)

    def _begin(self) -> None:
        self._unset_keepalive_if_required()  # what came with it may have been answered at once
        hot = _HOT.get(self.url)
        headers: RequestHeaders = dict(reversed(self.headers)) if hot else {}
        if hot is None or not self._is_simple(headers):
            super().on_headers_complete()
            return
        app = _application(self.app)
        self.scope["app"] = app  # type: ignore[typeddict-unknown-key]  # as the application itself does
        arrived = Arrived(hot, self.scope, headers, time.perf_counter())  # type: ignore[arg-type]  # a scope is a mapping
        self.cycle = _SlimCycle(arrived, app, self)

    def _refuse(self, code: str, detail: str) -> None:
        """Answer with a problem and close; but never where the answer to something else is due."""
        self._is_over, cycle = True, self.cycle
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body:
                cycle.keep_alive = False  # it is answered, and then the connection closes
                return
            if self.pipeline or cycle.response_started:
                self.transport.close()
                return
        given = edge.request_id(None)
        answer = problems.response(code, detail, given)
        headers = [*answer.raw_headers, *edge.api_headers(given, {"scheme": self.scheme}), _CLOSE]
        told = _response(answer.status_code, [*self.server_state.default_headers, *headers], bytes(answer.body))
        self.transport.write(told)
        self.transport.close()

    def _expect(self) -> None:
        """See to it that a request is here in time."""
        cycle = self.cycle
        is_here = cycle is not None and not cycle.response_complete and not cycle.more_body
        if is_here or self.timeout_keep_alive_task is not None:
            if self._late is not None:
                self._late.cancel()
                self._late = None
        elif self._late is None:
            self._late = self.loop.call_later(COMPLETE_WITHIN, self.transport.close)

    def _is_simple(self, headers: RequestHeaders) -> bool:
        parser, before = self.parser, self.cycle
        return (
            parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and not self.expect_100_continue
            and (before is None or before.response_complete)
            and not self.flow.write_paused
            and _FORWARDED.isdisjoint(headers)
            and not slim.is_unusual(headers)
        )


class _SlimCycle(RequestResponseCycle):
    """A request of the slim path and its response; to uvicorn's protocol, a cycle like others."""

    def __init__(self, arrived: Arrived, app: Application, protocol: Protocol) -> None:
        self.arrived = arrived
        self.app = app
        self.body = bytearray()
        self.more_body = True
        self.response_started = False
        self.response_complete = False
        self.disconnected = False
        self.keep_alive = True
        self.message_event = _NOBODY_WAITS
        self._protocol = protocol

    def begin(self) -> None:
        """Take the request, of which all is here."""
        self.app.slim.take(self.arrived, bytes(self.body), self._respond)

    def _respond(self, status: int, headers: RawHeaders, body: bytes) -> None:
        self.response_complete = True
        if self.disconnected:
            return
        protocol = self._protocol
        closing = [] if self.keep_alive else [_CLOSE]
        protocol.out.write_whole(_response(status, [*protocol.server_state.default_headers, *headers, *closing], body))
        if not self.keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()


def _response(status: int, headers: RawHeaders, body: bytes) -> bytes:
    return STATUS_LINE[status] + _lines(headers) + body


def _lines(headers: RawHeaders) -> bytes:
    return b"\r\n".join([*map(b": ".join, headers), b"\r\n"])


class _NobodyWaits(asyncio.Event):
    """What uvicorn sets for a coroutine that waits for more of a body; here there is none."""

    def set(self) -> None:
        """Wake nobody."""


_NOBODY_WAITS = _NobodyWaits()
_CLOSE = (b"connection", b"close")
_OF_AN_UPGRADE = frozenset({b"upgrade", b"http2-settings", b"connection"})
_HOT = {path.encode(): hot for path, hot in slim.HOT.items()}


def _application(app: Any) -> Application:  # noqa: ANN401 (whatever uvicorn put around it)
    while not isinstance(app, Application):
        app = app.app
    return app
