"""The wire: uvicorn's own protocol, but head and body of an answer leave in one write instead of two."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


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

    def close(self) -> None:
        """Write what is kept, then close."""
        self._write()
        self._transport.close()

    def _write(self) -> None:
        if self._kept:
            self._transport.write(b"".join(self._kept))
            self._kept = []


class Protocol(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it, over such a transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """A caller is there."""
        super().connection_made(OneWrite(transport, self.loop))  # type: ignore[arg-type]  # it has all of a transport
