"""The schema: bringing a database to the newest migration, and telling whether it is there."""

from importlib import resources
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from consent_service.store.db import Database


def migrations() -> Path:
    """Where the migrations lie: inside the installed package, or at the top of the checkout."""
    packaged = Path(str(resources.files("consent_service"))) / "migrations"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "migrations"


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, without a file of its own."""
    made = Config()
    made.set_main_option("script_location", str(migrations()))
    made.attributes["connection"] = connection
    return made


def head() -> str | None:
    """The newest migration that this version of the service brings."""
    return ScriptDirectory.from_config(config()).get_current_head()


async def current(database: Database) -> str | None:
    """The migration that the database is at; None when it is empty."""
    return await database.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())


async def migrate(database: Database) -> None:
    """Bring the database to the newest migration, in one transaction."""
    async with database.write() as tx:
        await tx.run_sync(lambda sync: command.upgrade(config(sync), "head"))
