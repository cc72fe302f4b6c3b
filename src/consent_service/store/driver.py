"""The two drivers beneath SQLAlchemy: what runs at every check and statement asks them in their own words."""

import functools
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

import aiosqlite
from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from consent_service.core.instants import to_text

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
        """COPY: it takes Python less than half of what an INSERT takes, and PostgreSQL no more."""
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
