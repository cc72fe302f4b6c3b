"""The drivers beneath SQLAlchemy, which every check and statement asks in their own words, and their connections."""

import asyncio
import functools
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Any, Protocol

import aiosqlite
from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from consent_service.core.instants import to_text

_FEW = 8
"""Up to how many rows an INSERT is quicker than COPY."""

_SCAN_TIMEOUT = 300.0  # seconds; for a statement over whole tables


class Driver(Protocol):
    """The driver's own connection, for what runs at every check."""

    async def fetch(self, statement: str, *arguments: object) -> Sequence[Sequence[Any]]:
        """All rows of a statement."""

    async def scan(self, statement: str, *arguments: object) -> Sequence[Sequence[Any]]:
        """The same for a statement over whole tables, which takes its time."""

    async def execute(self, statement: str) -> object:
        """Run a statement that has no rows."""

    async def insert(self, table: Table, rows: Sequence[Sequence[object]]) -> None:
        """Insert rows, the cells in the order of the table's columns."""

    async def upsert(self, table: Table, rows: Sequence[Sequence[object]]) -> None:
        """The same, in place of the rows that have their primary keys."""


@functools.cache
def _inserting(table: Table) -> str:
    names = [_quoted(column.name) for column in table.columns]
    places = ", ".join(f"${number}" for number in range(1, len(names) + 1))
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({places})"


def _upserting(table: Table, place: str) -> str:
    names = [column.name for column in table.columns]
    key = [column.name for column in table.primary_key]
    told = ", ".join(f'"{name}" = excluded."{name}"' for name in names if name not in key)
    into = f"{table.name} ({', '.join(map(_quoted, names))})"
    places = ", ".join(f"{place}{number}" for number in range(1, len(names) + 1))
    return f"INSERT INTO {into} VALUES ({places}) ON CONFLICT ({', '.join(map(_quoted, key))}) DO UPDATE SET {told}"


def _quoted(name: str) -> str:
    return f'"{name}"'


class _PostgresDriver:
    def __init__(self, connection: Any) -> None:  # noqa: ANN401 (asyncpg has no types)
        self.fetch = connection.fetch
        self.scan = functools.partial(connection.fetch, timeout=_SCAN_TIMEOUT)
        self.execute = connection.execute
        self._copy = connection.copy_records_to_table
        self._many = connection.executemany

    async def insert(self, table: Table, rows: Sequence[Sequence[object]]) -> None:
        """COPY: it takes Python less than half of what an INSERT takes, but one more question and answer."""
        if len(rows) <= _FEW:
            await self._many(_inserting(table), rows)
            return
        await self._copy(table.name, records=rows, columns=[column.name for column in table.columns])

    async def upsert(self, table: Table, rows: Sequence[Sequence[object]]) -> None:
        await self._many(_upserting(table, "$"), rows)


class _SqliteDriver:
    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def fetch(self, statement: str, *arguments: object) -> Sequence[Sequence[Any]]:
        return list(await self._connection.execute_fetchall(statement, [_cell(one) for one in arguments]))

    scan = fetch

    async def execute(self, statement: str) -> None:
        await self._connection.execute_fetchall(statement)

    async def insert(self, table: Table, rows: Sequence[Sequence[object]]) -> None:
        names = ", ".join(f'"{column.name}"' for column in table.columns)
        places = ", ".join("?" * len(table.columns))
        await self._many(f"INSERT INTO {table.name} ({names}) VALUES ({places})", rows)

    async def upsert(self, table: Table, rows: Sequence[Sequence[object]]) -> None:
        await self._many(_upserting(table, "?"), rows)

    async def _many(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        await self._connection.executemany(statement, [[_cell(cell) for cell in row] for row in rows])


def _cell(value: object) -> object:
    return to_text(value) if isinstance(value, datetime) else value


async def driver_of(connection: AsyncConnection) -> Driver:
    """The driver's own connection beneath one of SQLAlchemy's."""
    raw: Any = (await connection.get_raw_connection()).driver_connection
    return _SqliteDriver(raw) if connection.dialect.name == "sqlite" else _PostgresDriver(raw)


Connected = AbstractAsyncContextManager[tuple[AsyncConnection, Driver]]
"""A connection for one transaction, and the driver's own beneath it."""


@asynccontextmanager
async def connected(engine: AsyncEngine) -> AsyncIterator[tuple[AsyncConnection, Driver]]:
    """A connection from the pool, given back at the end."""
    async with engine.connect() as connection:
        yield connection, await driver_of(connection)


class Kept:
    """A connection that is kept from one transaction to the next, unless one fails.

    Taking one from the pool and giving it back takes as long as a check's own statements (docs/adr/0002).
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._idle: tuple[AsyncConnection, Driver] | None = None
        self._closed = False

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[AsyncConnection, Driver]]:
        """The connection; a new one if there is none yet, or while another transaction has it."""
        taken, self._idle = self._idle, None
        if taken is None:
            connection = await self._engine.connect()
            taken = connection, await driver_of(connection)
        try:
            yield taken
        except BaseException:
            await asyncio.shield(taken[0].close())
            raise
        await self._give_back()
        self._idle = taken
        if self._closed:
            await taken[0].invalidate()  # its pool is gone, and would not close it
            await self._give_back()

    async def close(self) -> None:
        """Give the connection back to the pool, and from now on each after its transaction."""
        self._closed = True
        await self._give_back()

    async def _give_back(self) -> None:
        if self._idle:
            connection, self._idle = self._idle[0], None
            await connection.close()
