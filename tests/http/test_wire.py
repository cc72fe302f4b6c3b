"""The wire: an answer leaves in one write, and the slim path keeps all of HTTP's manners (RFC 9112)."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from consent_service.app import create_app
from consent_service.web.wire import OneWrite, Protocol
from tests.listening import listening, until
from tests.school import School
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
