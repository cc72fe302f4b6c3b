"""What runs beside the requests: retention."""

import asyncio
import functools
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from consent_service.core.errors import Unavailable
from consent_service.lanes import write_alone
from consent_service.operations import decisions
from consent_service.store import idempotency
from consent_service.store.db import Database

_EVERY = 3600  # seconds

logger = logging.getLogger(__name__)


@asynccontextmanager
async def at_work(database: Database, keep_decisions_for: timedelta) -> AsyncIterator[None]:
    """Keep the worker running while the service does; what it has begun is finished before the service closes."""
    stop = asyncio.Event()
    task = asyncio.create_task(_work(database, keep_decisions_for, stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def _work(database: Database, keep_decisions_for: timedelta, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await write_alone(database, idempotency.forget)
            await _prune(database, keep_decisions_for, stop)
        except Unavailable:
            logger.warning("retention waits for the database")
        except Exception:
            logger.exception("retention failed; it is tried again")
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _EVERY)


async def _prune(database: Database, keep_for: timedelta, stop: asyncio.Event) -> None:
    """A batch at a time, each a transaction of its own, so that the lanes get their turns in between."""
    prune = functools.partial(decisions.prune, before=database.clock() - keep_for)
    gone = decisions.PRUNED_AT_ONCE
    while gone and not stop.is_set():
        gone = await write_alone(database, prune)
