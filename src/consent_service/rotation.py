"""Keys in a running service: checked and entered at the start, and taken anew on SIGHUP."""

import asyncio
import functools
import logging
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from consent_service import keys
from consent_service.core.errors import ConsentError
from consent_service.core.keys import KeyFault
from consent_service.keys import Keys
from consent_service.lanes import read_alone, write_alone
from consent_service.operations import keys as operations
from consent_service.settings import Settings
from consent_service.store.db import Database

logger = logging.getLogger(__name__)


async def check(database: Database, loaded: Keys) -> None:
    """Use these keys as the ledger says; nothing is written. Raises KeyFault for those it was not written with."""
    try:
        known = await read_alone(database, functools.partial(operations.in_use, held=loaded.held))
    except KeyFault as fault:
        if not loaded.unsaved:
            raise
        gone = ", ".join(map(str, loaded.unsaved))
        raise KeyFault(f"{fault} ({gone} is not there); see docs/keys.md for one that is lost for good") from None
    database.keyring = loaded.put_to_use(known)


async def enter(database: Database, loaded: Keys) -> None:
    """Save what is new, enter into the ledger what changed, and use the keys so from the next transaction on."""
    loaded.save()
    known = await write_alone(database, functools.partial(operations.reconcile, held=loaded.held))
    database.keyring = loaded.put_to_use(known)


async def take_keys(database: Database, settings: Settings) -> None:
    """Read the keys again and put them to use. Raises KeyFault; all stays as it was then."""
    loaded = keys.load(settings, database.entropy)
    if loaded.unsaved:
        raise KeyFault(f"{', '.join(map(str, loaded.unsaved))}: the file was there and is not any more")
    await check(database, loaded)
    await enter(database, loaded)


@asynccontextmanager
async def on_hangup(take: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Take the keys anew at each SIGHUP while the block lasts; in the main thread, which alone hears signals."""
    hangup = asyncio.Event()
    try:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hangup.set)
    except (ValueError, RuntimeError):
        yield
        return
    task = asyncio.create_task(_heed(hangup, take))
    try:
        yield
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _heed(hangup: asyncio.Event, take: Callable[[], Awaitable[None]]) -> None:
    on_terminal = sys.stdin.isatty()
    while await hangup.wait():
        hangup.clear()
        if on_terminal and not sys.stdin.isatty():  # the terminal is gone: that is what SIGHUP is for there
            signal.raise_signal(signal.SIGTERM)
            return
        try:
            await take()
            logger.warning("the keys were read again and are in use")
        except (KeyFault, ConsentError) as fault:
            logger.error("the keys stay as they are: %s", fault)  # noqa: TRY400 (its sentence is all there is to say)
        except Exception:
            logger.exception("the keys stay as they are")
