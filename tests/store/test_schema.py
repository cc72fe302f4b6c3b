"""The migrations make what the models say, on both databases."""

import os
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from consent_service.app import utc_now
from consent_service.keys import load
from consent_service.settings import Settings
from consent_service.store import db, schema
from consent_service.store.db import Database
from consent_service.store.tables import metadata

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


def test_migrations_have_sequential_names() -> None:
    script = ScriptDirectory.from_config(schema.config())
    revisions = [revision.revision for revision in reversed(list(script.walk_revisions()))]
    assert revisions == [f"{number:04d}" for number in range(1, len(revisions) + 1)]
    files = sorted(path.name for path in Path(schema.migrations() / "versions").glob("*.py"))
    assert [name[:4] for name in files] == revisions
