"""The application behind a real server and real sockets, in the test's own loop, so that the test can look inside."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from consent_service.web.wire import Protocol


class Listening:
    """A server that listens."""

    def __init__(self, server: uvicorn.Server) -> None:
        self._server = server
        self.port = int(server.servers[0].sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._server.server_state.connections)

    @property
    def requests(self) -> int:
        """How many requests are under way, on open connections."""
        cycles = [one.cycle for one in self.protocols if one.cycle is not None]
        return sum(1 for cycle in cycles if not cycle.response_complete)

    @property
    def protocols(self) -> list[Protocol]:
        """The server's side of the open connections."""
        return [one for one in self._server.server_state.connections if isinstance(one, Protocol)]

    @property
    def tasks(self) -> int:
        """How many of them uvicorn's own way has a task for; the slim path has none."""
        return len(self._server.server_state.tasks)

    async def stop(self) -> None:
        """Begin to shut down, and come back once nobody new is let in."""
        self._server.should_exit = True
        await until(lambda: not self._server.servers[0].is_serving())


@asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[Listening]:
    """Listen for as long as the block lasts."""
    config = uvicorn.Config(
        app, port=0, http=Protocol, log_config=None, access_log=False, server_header=False, timeout_keep_alive=60
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started or serving.done())
    try:
        yield Listening(server)
    finally:
        server.should_exit = True
        await serving


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something is so."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0)
