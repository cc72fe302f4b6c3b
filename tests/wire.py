"""A lean HTTP/1.1 client on bare sockets: fast enough to ask a million times, rude enough to hang up in the middle."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self, cast

Json = Any

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length:"


@dataclass(frozen=True, slots=True)
class Request:
    """A POST of a JSON body."""

    path: str
    body: Json

    def encoded(self, key: str) -> bytes:
        """The bytes on the wire, for the client whose key this is."""
        body = json.dumps(self.body).encode()
        lines = [
            f"POST {self.path} HTTP/1.1",
            "Host: localhost",
            "Content-Type: application/json",
            f"Authorization: Bearer {key}",
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    head: bytes
    body: bytes

    @property
    def json(self) -> Json:
        """The body, read as JSON."""
        return json.loads(self.body)

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, by their names in small letters."""
        lines = [line.partition(":") for line in self.head.decode("latin-1").split("\r\n")[1:]]
        return {name.lower(): value.strip() for name, _, value in lines}


class Wire(asyncio.Protocol):
    """One connection that is kept alive. One request is under way at a time; each has its own future."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[Answer] | None = None
        self._closed = asyncio.Event()

    @classmethod
    async def to(cls, port: int) -> Self:
        """Connect to a service on this machine."""
        _, wire = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return wire

    def send(self, raw: bytes) -> "asyncio.Future[Answer]":
        """Send now; the answer comes in the future, or ConnectionResetError when the other side goes away."""
        if self._closed.is_set():
            raise ConnectionResetError("the service went away")
        self._answer = asyncio.get_running_loop().create_future()
        self._open.write(raw)
        return self._answer

    def write(self, part: bytes) -> None:
        """Send a part of a request, and expect nothing."""
        self._open.write(part)

    def hang_up(self) -> None:
        """Close at once, whatever is under way, as a client does that crashes."""
        if self._answer:
            self._answer.cancel()
        self._open.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._open.abort()

    async def close(self) -> None:
        """Close in order."""
        self._open.close()
        await self._closed.wait()

    @property
    def _open(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own does not inherit it

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(_END_OF_HEAD)
        if not end or len(rest) < (length := _length(head)):
            return
        self._received = rest[length:]
        if self._answer and not self._answer.done():
            self._answer.set_result(Answer(int(head[9:12]), head, rest[:length]))

    def connection_lost(self, _: Exception | None) -> None:
        self._closed.set()
        if self._answer and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the service went away"))


@asynccontextmanager
async def wires(port: int, number: int) -> AsyncIterator[list[Wire]]:
    """So many connections, for as long as the block lasts."""
    async with AsyncExitStack() as stack:
        opened = [await Wire.to(port) for _ in range(number)]
        for wire in opened:
            stack.push_async_callback(wire.close)
        yield opened


def _length(head: bytes) -> int:
    _, _, after = head.lower().partition(_LENGTH)
    return int(after.partition(b"\r\n")[0])
