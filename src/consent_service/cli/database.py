"""A command's database: the settings' own, opened by the command itself."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import TypeVar

from rich.console import Console

from consent_service import keys
from consent_service.cli.commands import run
from consent_service.faults import StartFault
from consent_service.lanes import read_alone, write_alone
from consent_service.operations import keys as operations
from consent_service.service import Service, look_back, running, utc_now
from consent_service.settings import Settings, read_settings
from consent_service.store import lock
from consent_service.store.db import Database, ReadTx, WriteTx, opened
from consent_service.store.engines import sqlite_path

Result = TypeVar("Result")

_NOT_THERE = (
    "there is no database at {file}; go to the service's directory or set CONSENT_DATA_DIR "
    "(consent-service serve makes a new one)"
)


@asynccontextmanager
async def opened_service(settings: Settings) -> AsyncIterator[Service]:
    """The service, open for one command; says aloud where that made a database."""
    file = sqlite_path(settings.database)
    is_new = file is not None and not file.exists()
    async with running(settings) as service:
        if is_new:
            told = f"There was no database at {file}, so a new one was made; is CONSENT_DATA_DIR right?"
            Console(stderr=True, soft_wrap=True).print(told, highlight=False)
        yield service


def writing(operation: Callable[[WriteTx], Awaitable[Result]]) -> Result:
    """Run a writing operation on the database of the settings; takes the lock of an embedded one."""

    async def work() -> Result:
        async with opened_service(read_settings()) as service:
            return await write_alone(service.database, operation)

    return run(work())


def reading(operation: Callable[[ReadTx], Awaitable[Result]]) -> Result:
    """Run a reading operation; beside a running service too, since it opens the embedded database read-only."""

    async def work() -> Result:
        async with _open_for_reading(read_settings()) as database:
            return await read_alone(database, operation)

    return run(work())


@asynccontextmanager
async def _open_for_reading(settings: Settings) -> AsyncIterator[Database]:
    file = sqlite_path(settings.database)
    if file is not None and not file.exists():
        raise StartFault(_NOT_THERE.format(file=file))
    database = opened(settings.database, keys.load(settings, os.urandom).keyring, utc_now)
    try:
        await look_back(settings, database)
        yield database
    finally:
        await database.dispose()


@asynccontextmanager
async def opened_as_it_is(settings: Settings, loaded: keys.Keys) -> AsyncIterator[Database]:
    """Open the database for writing without filling it or refusing its keys, to put right what is wrong in it."""
    file = sqlite_path(settings.database)
    if file is not None and not file.exists():
        raise StartFault(_NOT_THERE.format(file=file))
    with lock.held(file) if file else nullcontext():
        database = opened(settings.database, loaded.keyring, utc_now)
        try:
            database.keyring = loaded.put_to_use(await read_alone(database, operations.known))
            yield database
        finally:
            await database.dispose()
