"""The bundled load: HTTP/1.1 over kept-alive sockets, as fast as answers come, or at a rate whatever the answers do.

At a rate, each request has an instant at which it is due, and its latency counts from there: while the server stalls,
the requests that nobody could send grow old as well. (A load that waits for an answer before it asks again leaves them
out, which is called coordinated omission.)
"""

import asyncio
import itertools
import math
import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

from benchmarks.target import Target

_PATIENCE = 3.0  # seconds after the last request is due; who has no answer then has waited at least so long
_HEAD_END = b"\r\n\r\n"


@dataclass(slots=True)
class Tally:
    """What came back: the milliseconds of each answer, how many were not good, and how long it all took in seconds."""

    milliseconds: list[float] = field(default_factory=list)
    failed: int = 0
    seconds: float = 0


def arrivals(rate: float, seconds: float, *, seed: int = 1) -> Iterator[float]:
    """When requests are due, in seconds from the start: at random, so many a second on average (a Poisson process)."""
    gaps = random.Random(seed)
    at = gaps.expovariate(rate)
    while at < seconds:
        yield at
        at += gaps.expovariate(rate)


async def saturate(
    target: Target, connections: int, seconds: float, *, clock: Callable[[], float] = time.perf_counter
) -> Tally:
    """Ask again on every connection as soon as it has its answer, so many seconds from when all are connected."""
    load = _Load(target, seconds, clock)
    await load.connect(connections)
    return await load.finished(seconds + _PATIENCE)


async def offer(target: Target, connections: int, rate: float, seconds: float) -> Tally:
    """Ask at a rate, over at most so many connections; a request that is due while all are busy waits for one."""
    load = _Load(target, None, time.perf_counter)
    await load.connect(connections)
    started = time.perf_counter()
    for at in arrivals(rate, seconds):
        while time.perf_counter() < started + at:  # noqa: ASYNC110 (timers are too coarse; the load has its own core)
            await asyncio.sleep(0)
        load.due(started + at)
    load.close_the_gate()
    return await load.finished(_PATIENCE)


class _Load:
    """Connections and the requests that wait for them."""

    def __init__(self, target: Target, saturating: float | None, clock: Callable[[], float]) -> None:
        self.tally = Tally()
        self._requests = itertools.cycle([_request(target, body.encode()) for body in target.bodies])
        self._target = target
        self._clock = clock
        self._saturating = saturating
        self._until = math.inf
        self._waiting: deque[float] = deque()
        self._idle: deque[_Connection] = deque()
        self._busy: set[_Connection] = set()
        self._all: list[_Connection] = []
        self._closing = saturating is not None
        self._done = asyncio.Event()
        self._started = clock()

    async def connect(self, connections: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            _, connection = await loop.create_connection(
                lambda: _Connection(self), "127.0.0.1", self._target.server.port
            )
            self._all.append(connection)
        self._started = self._clock()
        if self._saturating is not None:
            self._until = self._started + self._saturating
        for connection in self._all:
            self._free(connection)

    def due(self, at: float) -> None:
        self._waiting.append(at)
        if self._idle:
            self._send(self._idle.popleft())

    def close_the_gate(self) -> None:
        self._closing = True
        self._look_whether_done()

    def answered(self, connection: "_Connection", *, good: bool, lost: bool = False) -> None:
        self._busy.discard(connection)
        self.tally.failed += not good
        self.tally.milliseconds.append((self._clock() - connection.due) * 1000)
        if not lost:
            self._free(connection)
        self._look_whether_done()

    async def finished(self, patience: float) -> Tally:
        with suppress(TimeoutError):  # those who still wait then count with as long as they have waited
            await asyncio.wait_for(self._done.wait(), patience)
        now = self._clock()
        late = [connection.due for connection in self._busy] + list(self._waiting)
        self.tally.milliseconds += [(now - due) * 1000 for due in late]
        self.tally.seconds = now - self._started
        for connection in self._all:
            connection.close()
        return self.tally

    def _free(self, connection: "_Connection") -> None:
        if self._saturating is not None and self._clock() < self._until:
            self._waiting.append(self._clock())
        if self._waiting:
            self._send(connection)
        else:
            self._idle.append(connection)

    def _send(self, connection: "_Connection") -> None:
        self._busy.add(connection)
        connection.send(next(self._requests), self._target.expected.encode(), self._waiting.popleft())

    def _look_whether_done(self) -> None:
        over = self._saturating is None or self._clock() >= self._until
        if self._closing and over and not self._busy and not (self._waiting and self._idle):
            self._done.set()


class _Connection(asyncio.Protocol):
    """One kept-alive connection with at most one request on its way."""

    def __init__(self, load: _Load) -> None:
        self.due = 0.0
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._expected = b""
        self._received = bytearray()
        self._length: int | None = None
        self._asking = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its class

    def send(self, request: bytes, expected: bytes, due: float) -> None:
        assert self._transport is not None
        self.due, self._expected, self._asking = due, expected, True
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._length is None:
            self._length = _whole_length(self._received)
        if self._length is not None and len(self._received) >= self._length:
            good = self._received[9:10] == b"2" and self._expected in self._received
            self._received, self._length, self._asking = bytearray(), None, False
            self._load.answered(self, good=good)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        if self._asking:
            self._asking = False
            self._load.answered(self, good=False, lost=True)

    def close(self) -> None:
        self._asking = False
        if self._transport is not None:
            self._transport.close()


def _whole_length(received: bytearray) -> int | None:
    """How long the answer is, head and body; None while its head is not all here."""
    end = received.find(_HEAD_END)
    if end < 0:
        return None
    _, _, after = bytes(received[:end]).lower().partition(b"content-length:")
    return end + len(_HEAD_END) + int(after.partition(b"\r\n")[0])


def _request(target: Target, body: bytes) -> bytes:
    lines = [
        f"POST {target.path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Authorization: Bearer {target.server.key}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body
