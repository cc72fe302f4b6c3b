"""An answer leaves in one write, and nothing that was written is lost when the connection closes."""

import asyncio
from typing import cast

import pytest

from consent_service.web.wire import OneWrite

pytestmark = pytest.mark.anyio


class Socket:
    """The other side of a transport: remembers each write, and the close."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def write(self, data: bytes) -> None:
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
