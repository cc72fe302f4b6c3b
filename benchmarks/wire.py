"""HTTP/1.1 over kept-alive sockets: loads the subjects, and is the load where there is no wrk."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.target import Target

_TIMEOUT = 10


@dataclass(slots=True)
class Tally:
    """What came back: the milliseconds of each good answer, and how many were not good."""

    milliseconds: list[float] = field(default_factory=list)
    failed: int = 0


async def send(target: Target, bodies: Iterator[str], connections: int, seconds: float = float("inf")) -> Tally:
    """Send the bodies over so many connections until they are used up or the time is over."""
    tally = Tally()
    deadline = time.perf_counter() + seconds
    await asyncio.gather(*(_converse(target, bodies, deadline, tally) for _ in range(connections)))
    return tally


async def _converse(target: Target, bodies: Iterator[str], deadline: float, tally: Tally) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    try:
        for body in bodies:
            started = time.perf_counter()
            if started >= deadline:
                return
            writer.write(_request(target, body.encode()))
            good = await asyncio.wait_for(_is_good(reader, target.expected), _TIMEOUT)
            tally.failed += not good
            tally.milliseconds.append((time.perf_counter() - started) * 1000)
    except (OSError, EOFError, TimeoutError):
        tally.failed += 1
    finally:
        writer.close()


def _request(target: Target, body: bytes) -> bytes:
    lines = [
        f"POST {target.path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Authorization: Bearer {target.key}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _is_good(reader: asyncio.StreamReader, expected: str) -> bool:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    _, _, after = head.partition("content-length:")
    body = await reader.readexactly(int(after.partition("\r\n")[0]))
    return head.split(" ", 2)[1].startswith("2") and expected.encode() in body
