"""The schema: bringing a database to the newest migration, and telling whether it is there."""

from importlib import resources
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from consent_service.store.db import Database, WriteTx
from consent_service.store.tables import checkpoint, ledger_entry, ledger_node, metadata

_APPENDED = {ledger_entry.name, ledger_node.name, checkpoint.name}
"""Where rows are only added: triggers refuse anything else, and the service's role has no right to it."""


class RoleFault(ValueError):
    """A role that cannot be the service's; the message says why."""


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


async def grant(database: Database, role: str) -> None:
    """Give a role of PostgreSQL what the service needs, and take from it what it had besides.

    It may read and add rows, and change those that are derived or that go in their time; never the ledger's.
    Raises RoleFault.
    """
    async with database.write() as tx:
        await _refuse_role(tx, role)
        quoted = '"' + role.replace('"', '""') + '"'
        for table, rights in _rights().items():
            await tx.execute(text(f"REVOKE ALL ON {table} FROM {quoted}"))
            await tx.execute(text(f"GRANT {rights} ON {table} TO {quoted}"))


def _rights() -> dict[str, str]:
    ours = {name: "SELECT, INSERT" + ("" if name in _APPENDED else ", UPDATE, DELETE") for name in metadata.tables}
    return {**ours, "alembic_version": "SELECT"}


async def _refuse_role(tx: WriteTx, role: str) -> None:
    """A role that is not there, and one whom no right binds."""
    query = text("SELECT rolsuper OR pg_has_role(oid, current_user, 'MEMBER') FROM pg_roles WHERE rolname = :role")
    found = await tx.first(query, {"role": role})
    if found is None:
        raise RoleFault(f"there is no role {role}; make it first: CREATE ROLE {role} LOGIN PASSWORD '…'")
    if found[0]:
        raise RoleFault(f"{role} is a superuser or owns the tables, so that it may do anything; take another role")
