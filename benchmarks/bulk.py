"""Many rows at once, past the product's own door: COPY on PostgreSQL, executemany on SQLite. For benchmarks only."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Table, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from benchmarks.population import Row, Rows
from consent_service.core import merkle
from consent_service.core.instants import to_text
from consent_service.store.db import Database
from consent_service.store.tables import (
    entry_detail,
    ledger_entry,
    ledger_head,
    ledger_node,
    subject_identifier,
    subject_key,
    subject_state,
)
from consent_service.store.tree import split

COLUMNS: Mapping[Table, Sequence[str]] = {
    ledger_entry: ("index", "at", "kind", "subject", "body", "leaf_hash"),
    ledger_node: ("level", "position", "hash"),
    entry_detail: ("index", "salt", "ciphertext"),
    subject_key: ("subject", "wrapped_key"),
    subject_identifier: ("lookup", "namespace", "subject", "index", "seal"),
    subject_state: ("subject", "last_index", "document", "seal"),
}
_TABLE_SIZE = text("SELECT pg_total_relation_size(CAST(:name AS text)::regclass)")
_FILE_SIZE = text("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
_PATIENCE = 1800.0  # seconds; the service's own time limit on its connections is short


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes on disk, indexes included, of the tables that a statement leaves rows in."""

    by_table: Mapping[str, int]

    @property
    def total(self) -> int:
        """All of them together."""
        return sum(self.by_table.values())


async def append(database: Database, rows_at: Callable[[int], Rows]) -> int:
    """Append what `rows_at` makes for the ledger's size, under the head's lock; answers the new size."""
    async with database.writing.begin() as connection:
        if connection.dialect.name == "sqlite":
            await connection.exec_driver_sql("BEGIN IMMEDIATE")  # or each row would be a transaction of its own
        head = (await connection.execute(select(ledger_head).with_for_update())).one()
        size: int = head.size
        rows = rows_at(size)
        for table, its in _by_table(rows).items():
            await _write(connection, table, its)
        hashes = [row[5] for row in rows.entries if isinstance(row[5], bytes)]
        frontier, nodes = merkle.grown(split(head.frontier), size, hashes)
        await _write(connection, ledger_node, nodes)
        await connection.execute(
            update(ledger_head).values(size=size + len(hashes), at=rows.at, frontier=b"".join(frontier))
        )
    return size + len(hashes)


async def settle(database: Database) -> None:
    """Leave nothing for the database to tidy up while it is measured."""
    async with database.writing.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        if connection.dialect.name == "postgresql":
            await driver.execute("VACUUM (FREEZE, ANALYZE)", timeout=_PATIENCE)
            await driver.execute("CHECKPOINT", timeout=_PATIENCE)
        else:
            await driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def space(database: Database) -> Space:
    """How much the ledger, its details and keys, and the projection take; on SQLite the whole file."""
    async with database.reading.connect() as connection:
        if connection.dialect.name != "postgresql":
            return Space({"the file": await connection.scalar(_FILE_SIZE) or 0})
        return Space({table.name: await connection.scalar(_TABLE_SIZE, {"name": table.name}) or 0 for table in COLUMNS})


def _by_table(rows: Rows) -> dict[Table, list[Row]]:
    return {
        ledger_entry: rows.entries,
        entry_detail: rows.details,
        subject_key: rows.keys,
        subject_identifier: rows.identifiers,
        subject_state: rows.states,
    }


async def _write(connection: AsyncConnection, table: Table, rows: Sequence[Row]) -> None:
    driver = (await connection.get_raw_connection()).driver_connection
    assert driver is not None
    columns = COLUMNS[table]
    if connection.dialect.name == "postgresql":
        await driver.copy_records_to_table(table.name, records=rows, columns=columns, timeout=_PATIENCE)
        return
    names, marks = ", ".join(f'"{column}"' for column in columns), ", ".join("?" for _ in columns)
    statement = f"INSERT INTO {table.name} ({names}) VALUES ({marks})"  # noqa: S608 (names of our own tables)
    at = columns.index("at") if "at" in columns else None
    await driver.executemany(statement, rows if at is None else [_with_text(row, at) for row in rows])


def _with_text(row: Row, at: int) -> Row:
    return (*row[:at], to_text(row[at]), *row[at + 1 :])  # type: ignore[arg-type]
