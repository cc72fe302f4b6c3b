"""What runs beside the requests: checkpoints and anchors, looking back at them, new keys, retention."""

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from consent_service.anchors import AnchorFault
from consent_service.core.errors import ConsentError, LedgerRolledBack, Unavailable
from consent_service.core.ledger import KeyUse
from consent_service.lanes import read_alone, write_alone
from consent_service.notary import Notary
from consent_service.operations import decisions, keys
from consent_service.store import idempotency, seals
from consent_service.store.db import Database

_SECOND, _MINUTE, _HOUR = 1, 60, 3600
_BREATH = 0.02  # seconds between two pages

logger = logging.getLogger(__name__)


@asynccontextmanager
async def at_work(
    database: Database, keep_decisions_for: timedelta, notary: Notary, rotated: asyncio.Event
) -> AsyncIterator[None]:
    """Keep the worker running while the service does; what it has begun is finished before the service closes."""
    stop = asyncio.Event()
    retention = functools.partial(_retain, database, keep_decisions_for, stop)
    work = (
        _every(_SECOND, "checkpoints", notary.keep_up, stop),
        _every(_MINUTE, "looking back", functools.partial(_look_back, database, notary), stop),
        _every(_HOUR, "retention", retention, stop),
        _every(_BREATH, "rows under new keys", functools.partial(_renew, database, rotated, stop), stop),
    )
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        stop.set()
        rotated.set()
        await asyncio.gather(*tasks)


async def _every(seconds: float, name: str, work: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    while not stop.is_set():
        done = await _done(name, work)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds if done else max(seconds, _SECOND))


async def _done(name: str, work: Callable[[], Awaitable[None]]) -> bool:
    """Whether the work was done; whatever kept it from that is logged, and it is tried again."""
    try:
        await work()
    except LedgerRolledBack:
        return False  # looking back says so, once a minute
    except Unavailable:
        logger.warning("%s: waiting for the database", name)
        return False
    except (ConsentError, AnchorFault) as fault:
        logger.error("%s: %s", name, fault)  # noqa: TRY400 (the sentence says it all)
        return False
    except Exception:
        logger.exception("%s failed; it is tried again", name)
        return False
    return True


async def _look_back(database: Database, notary: Notary) -> None:
    await notary.look_back()
    if database.trust.fault:
        logger.error("%s", database.trust.fault)


async def _retain(database: Database, keep_decisions_for: timedelta, stop: asyncio.Event) -> None:
    await write_alone(database, idempotency.forget)
    await _prune(database, keep_decisions_for, stop)


async def _prune(database: Database, keep_for: timedelta, stop: asyncio.Event) -> None:
    """A batch at a time, each a transaction of its own, so that the lanes get their turns in between."""
    prune = functools.partial(decisions.prune, before=database.clock() - keep_for)
    gone = decisions.PRUNED_AT_ONCE
    while gone and not stop.is_set():
        gone = await write_alone(database, prune)


async def _renew(database: Database, rotated: asyncio.Event, stop: asyncio.Event) -> None:
    """Once at the start, and once after each rotation.

    Whoever stops has set both events; but another worker of the same service may have cleared the one since.
    """
    rotated.clear()
    await renewed(database, stop)
    if not stop.is_set():
        await rotated.wait()


async def renewed(database: Database, stop: asyncio.Event) -> None:
    """Bring what stands under retired keys under the active ones: seals of rows, subjects' wrapped keys.

    A page at a time, each a transaction of its own, so that the lanes get their turns in between.
    """
    if await read_alone(database, functools.partial(keys.retired_in_use, use=KeyUse.SEAL)):
        for table in seals.SEALED:
            await _pages(database, functools.partial(keys.reseal, table=table), stop)
    if await read_alone(database, functools.partial(keys.retired_in_use, use=KeyUse.MASTER)):
        await _pages(database, keys.rewrap, stop)


async def _pages(database: Database, renew: Callable[..., Awaitable[keys.Page]], stop: asyncio.Event) -> None:
    page = keys.Page("")
    while page.after is not None and not stop.is_set():
        page = await write_alone(database, functools.partial(renew, after=page.after))
        await asyncio.sleep(_BREATH if page.changed else 0)
