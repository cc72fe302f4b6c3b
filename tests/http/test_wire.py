"""The wire: an answer leaves in one write, and the slim path keeps all of HTTP's manners (RFC 9112)."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from consent_service.app import create_app
from consent_service.web import wire
from consent_service.web.wire import OneWrite, Protocol
from tests.listening import listening, until
from tests.school import School, statements
from tests.wire import Request

pytestmark = pytest.mark.anyio


class Socket:
    """The other side of a transport: remembers each write, and the close."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def write(self, data: bytes) -> None:
        if self.is_closing():
            raise RuntimeError("closed, as uvloop says")
        self.seen.append(data)

    def close(self) -> None:
        self.seen.append(b"closed")

    def is_closing(self) -> bool:
        return self.seen[-1:] == [b"closed"]


def wired() -> tuple[Socket, OneWrite]:
    socket = Socket()
    return socket, OneWrite(cast("asyncio.Transport", socket), asyncio.get_running_loop())


async def test_what_is_written_in_one_turn_leaves_in_one_write() -> None:
    socket, transport = wired()
    transport.write(b"head ")
    transport.write(b"body")
    assert socket.seen == []
    await asyncio.sleep(0)
    transport.write(b"next")
    await asyncio.sleep(0)
    assert socket.seen == [b"head body", b"next"]


async def test_an_answer_in_one_piece_leaves_at_once_but_behind_what_is_kept() -> None:
    socket, transport = wired()
    transport.write_whole(b"first")
    assert socket.seen == [b"first"]
    transport.write(b"head ")
    transport.write_whole(b"and whole")
    await asyncio.sleep(0)
    transport.close()
    transport.write_whole(b"too late")
    assert socket.seen == [b"first", b"head and whole", b"closed"]


async def test_what_is_kept_is_written_before_the_connection_closes() -> None:
    socket, transport = wired()
    transport.write(b"goodbye")
    transport.close()
    await asyncio.sleep(0)
    assert socket.seen == [b"goodbye", b"closed"]
    assert transport.is_closing()


async def test_what_is_kept_for_a_connection_that_is_lost_meanwhile_is_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    socket, transport = wired()
    transport.write(b"too late")
    socket.close()
    await asyncio.sleep(0)
    transport.close()
    assert (b"too late" in socket.seen, caplog.records) == (False, [])


CHECK = Request("/v1/check", {"subject": "person:1", "purpose": "billing"})


@asynccontextmanager
async def talking(school: School) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """The school behind a real server, and one connection to it."""
    async with connected(school) as (_, reader, writer):
        yield reader, writer


@asynccontextmanager
async def connected(school: School) -> AsyncIterator[tuple[Protocol, asyncio.StreamReader, asyncio.StreamWriter]]:
    """The same, with the server's side of the connection to look at."""
    async with listening(create_app(school.service.settings, school.service)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            await until(lambda: server.connections == 1)
            yield server.protocols[0], reader, writer
        finally:
            writer.transport.abort()


async def heard(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """The next answer: its status, headers and body."""
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).decode()
    status, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(status.split()[1]), headers, await reader.readexactly(int(headers.get("content-length", 0)))


async def test_requests_behind_each_other_on_one_connection_are_answered_in_order(school: School) -> None:
    check = CHECK.encoded(school.key)
    other = b"GET /v1/purposes/billing HTTP/1.1\r\nHost: localhost\r\n\r\n"
    unknown = Request("/v1/check", {"subject": "person:1", "purpose": "nothing"}).encoded(school.key)
    async with talking(school) as (reader, writer):
        writer.write(check + other + unknown + check)
        bodies = [body for status, _, body in [await heard(reader) for _ in range(4)] if status == 200]
    told = [next(word for word in (b"no_consent", b"wording", b"not_specified") if word in body) for body in bodies]
    assert told == [b"no_consent", b"wording", b"not_specified", b"no_consent"]


async def test_a_request_may_come_byte_by_byte_and_the_connection_stays_open(school: School) -> None:
    async with talking(school) as (reader, writer):
        for _ in range(2):
            for byte in CHECK.encoded(school.key):
                writer.write(bytes([byte]))
                await writer.drain()
            status, headers, _ = await heard(reader)
            assert (status, "connection" in headers) == (200, False)


@pytest.mark.parametrize("last", ["HTTP/1.1\r\nConnection: close", "HTTP/1.0", "HTTP/1.0\r\nConnection: keep-alive"])
async def test_the_last_request_of_a_connection_closes_it(school: School, last: str) -> None:
    request = CHECK.encoded(school.key).replace(b"HTTP/1.1", last.encode(), 1)
    async with talking(school) as (reader, writer):
        writer.write(request)
        status, headers, _ = await heard(reader)
        assert (status, headers["connection"], await reader.read()) == (200, "close", b"")


async def test_another_method_on_the_same_path_is_told_that_there_is_none(school: School) -> None:
    async with talking(school) as (reader, writer):
        writer.write(CHECK.encoded(school.key).replace(b"POST", b"PUT", 1))
        assert (await heard(reader))[0] == 405


async def test_who_asks_whether_to_go_on_is_told_so(school: School) -> None:
    head, _, body = CHECK.encoded(school.key).partition(b"\r\n\r\n")
    async with talking(school) as (reader, writer):
        writer.write(head + b"\r\nExpect: 100-continue\r\n\r\n")
        assert (await heard(reader))[0] == 100
        writer.write(body)
        assert (await heard(reader))[0] == 200


async def test_behind_a_proxy_that_speaks_https_an_answer_says_so(school: School) -> None:
    request = CHECK.encoded(school.key).replace(b"\r\nHost", b"\r\nX-Forwarded-Proto: https\r\nHost", 1)
    async with talking(school) as (reader, writer):
        writer.write(CHECK.encoded(school.key))
        assert "strict-transport-security" not in (await heard(reader))[1]
        writer.write(request)
        assert "strict-transport-security" in (await heard(reader))[1]


async def test_what_is_no_http_is_told_so_and_the_connection_closes(school: School) -> None:
    async with talking(school) as (reader, writer):
        writer.write(b"HELO consent\r\n\r\n")
        status, headers, body = await heard(reader)
        problem = json.loads(body)
        assert (status, problem["code"], headers["content-type"]) == (400, "malformed_http", "application/problem+json")
        assert headers["x-request-id"] == problem["request_id"]
        assert await reader.read() == b""


@pytest.mark.parametrize("hosts", [b"", b"Host: localhost\r\nHost: elsewhere\r\n"])
@pytest.mark.parametrize("path", ["/v1/check", "/v1/check/batch"])
async def test_a_request_names_one_host(school: School, path: str, hosts: bytes) -> None:
    request = Request(path, {}).encoded(school.key).replace(b"Host: localhost\r\n", hosts)
    async with talking(school) as (reader, writer):
        writer.write(request)
        status, _, body = await heard(reader)
        assert (status, json.loads(body)["code"]) == (400, "malformed_http")
        assert await reader.read() == b""


async def test_an_old_client_names_no_host(school: School) -> None:
    request = Request("/v1/check", {}).encoded(school.key).replace(b"Host: localhost\r\n", b"")
    async with talking(school) as (reader, writer):
        writer.write(request.replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert (await heard(reader))[0] == 422


@pytest.mark.parametrize("path", ["/v1/check", "/v1/policy/versions"])
async def test_a_length_may_have_more_digits_than_python_reads(school: School, path: str) -> None:
    request = Request(path, {}).encoded(school.key).replace(b"Content-Length: ", b"Content-Length: " + b"0" * 5000)
    async with talking(school) as (reader, writer):
        writer.write(request)
        assert (await heard(reader))[0] == 422


async def test_of_many_requests_behind_each_other_no_more_are_read_while_some_wait(school: School) -> None:
    request, number = (
        CHECK.encoded(school.key).replace(b"\r\nHost", b"\r\nX-Long: " + b"x" * 4096 + b"\r\nHost", 1),
        300,
    )
    async with connected(school) as (protocol, reader, writer):
        writer.write(request * number)
        waiting = 0
        for _ in range(number):
            assert (await heard(reader))[0] == 200
            waiting = max(waiting, len(protocol.pipeline))
        assert 0 < waiting < number / 2


async def test_from_a_caller_who_does_not_read_no_more_is_read(school: School) -> None:
    refused = CHECK.encoded("no key")
    async with connected(school) as (protocol, _, writer):
        writer.write(refused * 40_000)
        await until(lambda: protocol.flow.write_paused and protocol.flow.read_paused)
        assert len(protocol.pipeline) < 4_000


async def test_who_waits_for_an_answer_is_not_taken_for_idle_after_one_that_came_at_once(school: School) -> None:
    async with connected(school) as (protocol, reader, writer):
        writer.write(CHECK.encoded("no key") + CHECK.encoded(school.key))
        await until(lambda: protocol.cycle is not None and not protocol.cycle.response_complete)
        assert protocol.timeout_keep_alive_task is None
        assert [(await heard(reader))[0] for _ in range(2)] == [401, 200]
        assert protocol.timeout_keep_alive_task is not None


@pytest.mark.parametrize("apart", [False, True])
async def test_an_upgrade_that_some_clients_wish_for_is_ignored(school: School, apart: bool) -> None:
    """As curl --http2 and Java's client do; the body is the request's, whatever it looks like."""
    wish = b"\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\nHost"
    head, _, body = CHECK.encoded(school.key).replace(b"\r\nHost", wish, 1).partition(b"\r\n\r\n")
    hidden = b"GET /v1/policy HTTP/1.1\r\nHost: localhost\r\n\r\n"
    hiding = Request("/v1/check", {}).encoded(school.key).replace(b"\r\nHost", wish, 1).partition(b"\r\n\r\n")[0]
    hiding = hiding.replace(b"Content-Length: 2", b"Content-Length: %d" % len(hidden))
    behind = body + CHECK.encoded("no key")
    async with talking(school) as (reader, writer):
        for first, second, status in ((head, body, 200), (hiding, hidden, 422), (head, behind, 200)):
            writer.write(first + b"\r\n\r\n")
            if apart:
                await a_while(writer)
            writer.write(second)
            assert (await heard(reader))[0] == status
        assert (await heard(reader))[0] == 401


async def a_while(writer: asyncio.StreamWriter) -> None:
    """Let the server read what was sent."""
    await writer.drain()
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("line", [b"x" * 10_000, b"X-Short: x\r\n" * 1_000], ids=["one header", "many headers"])
async def test_a_head_without_an_end_is_refused(school: School, line: bytes) -> None:
    async with connected(school) as (protocol, reader, writer):
        writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
        sent = 0
        while not protocol.transport.is_closing() and sent <= 2 * wire.HEAD_LIMIT:
            writer.write(line)
            await a_while(writer)
            sent += len(line)
        status, _, body = await heard(reader)
        assert (status, json.loads(body)["code"]) == (431, "head_too_large")
        assert wire.HEAD_LIMIT <= sent <= 2 * wire.HEAD_LIMIT


async def test_what_stands_behind_a_body_is_no_header(school: School) -> None:
    head, _, body = CHECK.encoded("no key").replace(b"Authorization", b"X-Key").partition(b"\r\n\r\n")
    head = head.replace(b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked")
    trailer = b"Authorization: Bearer %b\r\n\r\n" % school.key.encode()
    async with talking(school) as (reader, writer):
        writer.write(head + b"\r\n\r\n%x\r\n%b\r\n0\r\n" % (len(body), body) + trailer)
        assert (await heard(reader))[0] == 401


async def test_garbage_behind_a_request_does_not_take_its_answer(school: School) -> None:
    said = Request("/v1/consents", statements("person:1", ("billing", "grant"))).encoded(school.key)
    async with talking(school) as (reader, writer):
        writer.write(said + CHECK.encoded(school.key) + b"\x00 garbage\r\n\r\n" + said)
        assert [(await heard(reader))[0] for _ in range(2)] == [201, 200]
        assert await reader.read() == b""


async def test_a_broken_body_behind_a_request_does_not_take_its_answer_either(school: School) -> None:
    said = Request("/v1/consents", statements("person:1", ("billing", "grant"))).encoded(school.key)
    broken = b"POST /v1/check HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nno length\r\n"
    async with talking(school) as (reader, writer):
        writer.write(said + broken)
        assert b"HTTP/1.1 400" not in await reader.read()
    async with talking(school) as (reader, writer):
        writer.write(broken)
        assert (await heard(reader))[0] == 400


async def test_a_tunnel_is_refused(school: School) -> None:
    async with talking(school) as (reader, writer):
        writer.write(b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await heard(reader))[0] == 400
        assert await reader.read() == b""


@pytest.mark.parametrize(
    "parts",
    [[], [b"\r\n"], [b"POST /v1/check HT"], [CHECK.encoded("no key")[:-1]], [CHECK.encoded("no key"), b"\r\n"]],
    ids=["nothing", "an empty line", "half a head", "half a body", "an empty line after a request"],
)
async def test_nobody_holds_a_connection_without_asking(
    school: School, monkeypatch: pytest.MonkeyPatch, parts: list[bytes]
) -> None:
    monkeypatch.setattr(wire, "COMPLETE_WITHIN", 0.05)
    async with talking(school) as (reader, writer):
        for part in parts:
            writer.write(part)
            await a_while(writer)
        async with asyncio.timeout(30):
            answered = await reader.read()  # to its end, long before the 60 seconds in which it may be idle
        assert answered[:12] in (b"", b"HTTP/1.1 401")


async def test_a_server_that_ends_does_not_wait_for_the_rest_of_a_request(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "COMPLETE_WITHIN", 600.0)
    async with listening(create_app(school.service.settings, school.service)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(CHECK.encoded(school.key)[:-1])
        await until(lambda: server.requests == 1)
        await server.stop()
        assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()


@pytest.mark.parametrize(("path", "wanted"), [("/v1/policy/", 404), ("/docs/assets/swagger-ui.css", 200)])
async def test_no_answer_leads_away_or_is_no_problem(school: School, path: str, wanted: int) -> None:
    asked = b"GET %b HTTP/1.1\r\nHost: elsewhere.example\r\nRange: bytes=nonsense\r\n\r\n" % path.encode()
    async with talking(school) as (reader, writer):
        writer.write(asked)
        status, headers, _ = await heard(reader)
        assert (status, "location" in headers) == (wanted, False)
