"""What runs beside the requests: retention."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from consent_service.core.errors import Unavailable
from consent_service.lanes import write_alone
from consent_service.store import idempotency
from consent_service.store.db import Database

_EVERY = 3600.0  # seconds

logger = logging.getLogger(__name__)


@asynccontextmanager
async def at_work(database: Database) -> AsyncIterator[None]:
    """Keep the worker running while the service does; what it has begun is finished before the service closes."""
    stop = asyncio.Event()
    task = asyncio.create_task(_work(database, stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def _work(database: Database, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await write_alone(database, idempotency.forget)
        except Unavailable:
            logger.warning("retention waits for the database")
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _EVERY)
