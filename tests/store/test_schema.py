"""The migrations make what the models say, on both databases."""

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydantic import SecretStr
from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from consent_service.core import merkle
from consent_service.keys import load
from consent_service.service import utc_now
from consent_service.settings import Settings
from consent_service.store import db, schema
from consent_service.store.db import Database
from consent_service.store.tables import checkpoint, ledger_entry, ledger_node, metadata
from tests.tables import tamper

pytestmark = pytest.mark.anyio


def opened(settings: Settings) -> Database:
    return db.opened(settings.database, load(settings, os.urandom).keyring, utc_now)


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, metadata))


async def test_migrations_and_models_are_the_same(settings: Settings) -> None:
    database = opened(settings)
    await schema.migrate(database)
    async with database.reading.connect() as connection:
        assert await connection.run_sync(differences) == []
    assert await schema.current(database) == schema.head()
    await database.dispose()


async def test_a_column_more_or_less_would_be_noticed(settings: Settings) -> None:
    database = opened(settings)
    await schema.migrate(database)
    async with database.writing.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE client ADD COLUMN surprise TEXT")
    async with database.reading.connect() as connection:
        assert len(await connection.run_sync(differences)) == 1
    await database.dispose()


async def test_migrating_twice_changes_nothing(settings: Settings) -> None:
    database = opened(settings)
    await schema.migrate(database)
    await schema.migrate(database)
    assert await schema.current(database) == schema.head()
    await database.dispose()


@pytest.mark.parametrize("size", [0, 15, 16, 4113])
async def test_a_ledger_of_an_older_schema_gets_the_nodes_that_appending_would_have_left(
    database_url: str, tmp_path: Path, size: int
) -> None:
    settings = Settings(data_dir=tmp_path, database_url=await empty(database_url))
    leaves = [hashlib.sha256(b"%d" % index).digest() for index in range(size)]
    at = datetime(2026, 11, 23, tzinfo=UTC)
    database = opened(settings)
    async with database.write() as tx:
        await tx.run_sync(lambda sync: command.upgrade(schema.config(sync), "0002"))
        await tx.insert(ledger_entry, [(index, at, "policy", None, b"{}", leaf) for index, leaf in enumerate(leaves)])
    await schema.migrate(database)
    async with database.read() as tx:
        rows = [(row.level, row.position, row.hash) for row in await tx.rows(select(ledger_node))]
    assert sorted(rows) == sorted(merkle.grown((), 0, leaves)[1])
    await database.dispose()


async def empty(database_url: str) -> SecretStr:
    """The database without a table, where the fixture has migrated it already."""
    if database_url.startswith("postgresql"):
        connection = await asyncpg.connect(database_url)
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        await connection.close()
    return SecretStr(database_url)


@pytest.mark.parametrize("table", ["ledger_entry", "ledger_node", "checkpoint"])
@pytest.mark.parametrize("statement", ["UPDATE {table} SET {column} = {column}", "DELETE FROM {table}"])
async def test_what_is_append_only_refuses_to_be_changed(settings: Settings, table: str, statement: str) -> None:
    database = opened(settings)
    await schema.migrate(database)
    async with database.write() as tx:
        await tx.insert(ledger_entry, [(0, tx.now, "policy", None, b"{}", bytes(32))])
        await tx.insert(ledger_node, [(4, 0, bytes(32))])
        await tx.insert(checkpoint, [(1, tx.now, "note")])
    column = "note" if table == "checkpoint" else "leaf_hash" if table == "ledger_entry" else "hash"
    with pytest.raises(DBAPIError, match="append-only"):
        await tamper(database, statement.format(table=table, column=column))
    await database.dispose()


def test_migrations_have_sequential_names() -> None:
    script = ScriptDirectory.from_config(schema.config())
    revisions = [revision.revision for revision in reversed(list(script.walk_revisions()))]
    assert revisions == [f"{number:04d}" for number in range(1, len(revisions) + 1)]
    files = sorted(path.name for path in Path(schema.migrations() / "versions").glob("*.py"))
    assert [name[:4] for name in files] == revisions
