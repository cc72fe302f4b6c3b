"""Looking at the tables themselves, past the product's own doors."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Executable, Row, Table, select, text

from consent_service.store.db import Database
from tests.school import School


async def all_of(school: School, table: Table) -> Sequence[Row[Any]]:
    """Every row of a table, by its primary key."""
    async with school.service.database.reading.connect() as connection:
        return (await connection.execute(select(table).order_by(*table.primary_key))).all()


async def tamper(database: Database, statement: str | Executable) -> None:
    """Run a statement as somebody with the database in their hands would."""
    async with database.writing.begin() as connection:
        await connection.execute(text(statement) if isinstance(statement, str) else statement)
