"""Looking at the tables themselves, past the product's own doors."""

import os
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Executable, Row, Table, select, text

from consent_service.keys import load
from consent_service.service import utc_now
from consent_service.settings import Settings
from consent_service.store import db
from consent_service.store.db import Database
from consent_service.store.tables import metadata
from tests.school import School


async def all_of(school: School, table: Table) -> Sequence[Row[Any]]:
    """Every row of a table, by its primary key."""
    return await _rows(school.service.database, table)


async def all_at(url: str, table: Table) -> Sequence[Row[Any]]:
    """Every row of a table of a database that another process may have open, by its primary key."""
    database = db.opened(url, load(Settings(), os.urandom).keyring, utc_now)
    try:
        return await _rows(database, table)
    finally:
        await database.dispose()


async def _rows(database: Database, table: Table) -> Sequence[Row[Any]]:
    async with database.reading.connect() as connection:
        return (await connection.execute(select(table).order_by(*table.primary_key))).all()


async def tamper(database: Database, statement: str | Executable) -> None:
    """Run a statement as somebody with the database in their hands would."""
    async with database.writing.begin() as connection:
        await connection.execute(text(statement) if isinstance(statement, str) else statement)


APPEND_ONLY = ("ledger_entry", "ledger_node", "checkpoint")
_LIFT = {
    "sqlite": "DROP TRIGGER IF EXISTS {table}_no_update; DROP TRIGGER IF EXISTS {table}_no_delete",
    "postgresql": "ALTER TABLE {table} DISABLE TRIGGER USER",
}


async def lift_triggers(database: Database) -> None:
    """Take the first fence away, as whoever owns the database can."""
    for table in APPEND_ONLY:
        for statement in _LIFT[database.writing.dialect.name].format(table=table).split(";"):
            await tamper(database, statement)


Copy = dict[Table, Sequence[Row[Any]]]


async def copied(database: Database) -> Copy:
    """A copy of every row of every table."""
    return {table: await _rows(database, table) for table in metadata.sorted_tables}


async def put_back(database: Database, copy: Copy) -> None:
    """Make the database what it was when it was copied, in one transaction."""
    await lift_triggers(database)
    async with database.writing.begin() as connection:
        for table, rows in copy.items():
            await connection.execute(table.delete())
            if rows:
                await connection.execute(table.insert(), [dict(row._mapping) for row in rows])
