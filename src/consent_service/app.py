"""The composition root: puts HTTP in front of the service."""

import functools
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import timedelta

from fastapi import FastAPI

from consent_service import rotation, worker
from consent_service.core.authzen import Vocabulary
from consent_service.faults import StartFault
from consent_service.lanes import Gate
from consent_service.operations.authzen import Terms
from consent_service.service import Service, running, take_keys
from consent_service.settings import DecisionLog, Settings, read_settings
from consent_service.store import engines
from consent_service.web.application import application
from consent_service.web.deps import Room
from consent_service.web.edge import Measures

_BULK_AT_ONCE = 4
_ALLOCATIONS = 20_000  # between two looks at the youngest objects


def create_app(settings: Settings, service: Service | None = None, *, with_examples: bool = False) -> FastAPI:
    """The HTTP application. Opens the service at its start, unless an open one is handed over.

    Raises StartFault for a rate limit that is none.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with nullcontext(service) if service else running(settings, with_examples=with_examples) as opened:
            app.state.room = _room(opened, app.state.measures)
            app.state.measures.untrusted.set_function(lambda: opened.database.trust.untrusted)
            keep_for = timedelta(days=settings.decision_retention_days)
            take = functools.partial(take_keys, opened)
            async with (
                worker.at_work(opened.database, keep_for, opened.notary, opened.rotated),
                rotation.on_hangup(take),
            ):
                yield

    try:
        return application(settings.rate_limit, lifespan)
    except ValueError as error:
        raise StartFault(f"CONSENT_RATE_LIMIT: {error}; write it as 2000/second") from error


def from_environment() -> FastAPI:
    """The application with the settings of the environment; for servers that want a factory."""
    settle()
    return create_app(read_settings())


def settle() -> None:
    """Tell the garbage collector to leave alone what was loaded: it would look at all of it again and again.

    What an answer leaves behind is freed by counting references; cycles are rare, so they may wait longer.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS, 20, 100)


def _room(service: Service, measures: Measures) -> Room:
    return Room(
        service.database,
        service.checks,
        service.statements,
        service.notary,
        measures,
        service.settings.default_namespace,
        service.settings.time_zone,
        _terms(service.settings),
        bulk=Gate(at_once=1 if engines.sqlite_path(service.settings.database) else _BULK_AT_ONCE),
        counting=Gate(at_once=1),
    )


def _terms(settings: Settings) -> Terms:
    types = (settings.authzen_subject_types, settings.authzen_resource_types)
    recorded = settings.decision_log is DecisionLog.DURABLE
    return Terms(Vocabulary(*types, settings.default_namespace), settings.time_zone, recorded)
