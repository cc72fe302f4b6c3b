"""A kill harness: load a real service with many clients, kill -9 in the middle, start again, and see what is left.

A test says what the clients send (a `Mix`), on what `Stage`, and how often there is a kill; `endure` answers what the
clients heard. Then the test serves the stage once more, asks it, looks into its tables, and compares.
"""

import asyncio
import itertools
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field

from consent_service.settings import Settings
from tests.postgres import Postgres
from tests.service_process import Serving, serving
from tests.wire import Json, Request, Wire

CLIENTS = 64

Mix = Callable[[int], Iterator[Request]]
"""The requests of one client, in order and without end; told by its number, which no other client ever has."""

_PATIENCE = 120.0  # seconds; a round that takes longer hangs


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A request that was answered with a 2xx."""

    request: Request
    body: Json


@dataclass(slots=True)
class Heard:
    """What the clients heard, over all rounds.

    `uncertain` are the requests whose outcome nobody was told: under way at a kill, or answered with 503.
    """

    acknowledged: list[Acknowledged] = field(default_factory=list)
    uncertain: list[Request] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def bodies(self, path: str) -> list[Json]:
        """What was acknowledged at a path."""
        return [one.body for one in self.acknowledged if one.request.path == path]


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the service plays: its settings, a client's key; and the database's server, if that is to be killed too."""

    settings: Settings
    key: str
    server: Postgres | None = None

    def serving(self) -> AbstractContextManager[Serving]:
        """Serve, without a limit to how fast a client may ask."""
        where = self.settings
        return serving(where.data_dir, database_url=where.database, CONSENT_RATE_LIMIT="1000000/second")


def endure(stage: Stage, mix: Mix, *, rounds: int) -> Heard:
    """Serve, load and kill, so many times, each time in another moment; answers what was heard."""
    heard, numbers = Heard(), itertools.count()
    for round_ in range(rounds):
        with stage.serving() as service:
            streams = [mix(next(numbers)) for _ in range(CLIENTS)]
            asyncio.run(_Round(stage, service, heard, round_).play(streams))
    return heard


class _Round:
    def __init__(self, stage: Stage, service: Serving, heard: Heard, number: int) -> None:
        self._stage = stage
        self._service = service
        self._heard = heard
        self._number = number
        self._good = asyncio.Semaphore(0)  # released with each acknowledgement

    async def play(self, streams: list[Iterator[Request]]) -> None:
        async with asyncio.timeout(_PATIENCE), asyncio.TaskGroup() as group:
            for requests in streams:
                group.create_task(self._client(requests))
            group.create_task(self._kill())

    async def _client(self, requests: Iterator[Request]) -> None:
        with suppress(ConnectionError):
            wire = await Wire.to(self._service.port)
            for request in requests:
                self._heard.uncertain.append(request)
                answer = await wire.send(request.encoded(self._stage.key))
                self._heard.statuses[answer.status] += 1
                if answer.status in (200, 201):
                    self._heard.uncertain.remove(request)
                    self._heard.acknowledged.append(Acknowledged(request, answer.json))
                    self._good.release()

    async def _kill(self) -> None:
        await self._the_moment()
        if self._stage.server:
            self._stage.server.cut_power()
            await asyncio.to_thread(self._stage.server.start)
            await self._the_moment()
        self._service.stop(signal.SIGKILL)

    async def _the_moment(self) -> None:
        """After so many acknowledgements, and then somewhere in the batch that is under way: never twice the same."""
        for _ in range(3 * CLIENTS + 7 * (self._number % 5)):
            await self._good.acquire()
        await asyncio.sleep(self._number * 0.618 % 1 * 0.03)  # waits for nothing: it is what varies
