"""What every command starts from."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, nullcontext
from typing import Annotated, TypeVar

import typer
import uvloop
from rich.console import Console

from consent_service import keys
from consent_service.app import StartFault, look_back, running, utc_now
from consent_service.core.errors import Fault
from consent_service.lanes import read_alone, write_alone
from consent_service.operations import keys as operations
from consent_service.settings import Settings
from consent_service.store import lock
from consent_service.store.db import Database, ReadTx, WriteTx, opened, sqlite_path

Result = TypeVar("Result")

app = typer.Typer(
    name="consent-service",
    help="Records who has consented to which purposes, and answers: may I use this person's data, now, and why?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
console = Console(soft_wrap=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


_OPTIONS = {
    "confirm_lapses": "--confirm-lapses",
    "editorial": "--editorial",
    "material": "--material",
    "namespaces": "--namespace",
    "purposes": "--purpose",
    "scopes": "--scope",
    "within": "--within",
}


def in_words(faults: Iterable[Fault]) -> str:
    """What is wrong, on one line: a member that the command line has an option for by the option's name."""
    return "; ".join(f"{_place(fault.pointer)}: {fault.detail}" for fault in faults)


def _place(pointer: str) -> str:
    first, _, rest = pointer.lstrip("/").partition("/")
    return _OPTIONS.get(first, f"{first}/{rest}" if rest else first)


def run(work: Coroutine[object, object, Result]) -> Result:
    """Run one command's work to its end."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def writing(operation: Callable[[WriteTx], Awaitable[Result]]) -> Result:
    """Run a writing operation on the database of the settings; takes the lock of an embedded one."""

    async def work() -> Result:
        async with running(Settings()) as service:
            return await write_alone(service.database, operation)

    return run(work())


def reading(operation: Callable[[ReadTx], Awaitable[Result]]) -> Result:
    """Run a reading operation; beside a running service too, since it opens the embedded database read-only."""

    async def work() -> Result:
        async with _open_for_reading(Settings()) as database:
            return await read_alone(database, operation)

    return run(work())


@asynccontextmanager
async def _open_for_reading(settings: Settings) -> AsyncIterator[Database]:
    file = sqlite_path(settings.database)
    if file is not None and not file.exists():
        raise StartFault(f"there is no database at {file} yet; consent-service serve makes one")
    database = opened(settings.database, keys.load(settings, os.urandom).keyring, utc_now)
    try:
        await look_back(Settings(), database)
        yield database
    finally:
        await database.dispose()


@asynccontextmanager
async def opened_as_it_is(settings: Settings, loaded: keys.Keys) -> AsyncIterator[Database]:
    """Open the database for writing without filling it or refusing its keys, to put right what is wrong in it."""
    file = sqlite_path(settings.database)
    if file is not None and not file.exists():
        raise StartFault(f"there is no database at {file} yet; consent-service serve makes one")
    with lock.held(file) if file else nullcontext():
        database = opened(settings.database, loaded.keyring, utc_now)
        try:
            database.keyring = loaded.put_to_use(await read_alone(database, operations.known))
            yield database
        finally:
            await database.dispose()
