"""On PostgreSQL the service's role owns nothing: it lives a school's life, and cannot touch what was recorded."""

from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from consent_service.app import create_app
from consent_service.service import running
from consent_service.settings import Settings
from tests.clock import Clock
from tests.http.test_examples import run_every_example
from tests.school import first_key
from tests.service_process import run

pytestmark = pytest.mark.anyio

ROLE = "consent_service"


@pytest.fixture
async def as_role(postgres_database: str) -> str:
    """The database, as the service's role has it: before `migrate` gives it its rights."""
    owner = await asyncpg.connect(postgres_database)
    if not await owner.fetch("SELECT 1 FROM pg_roles WHERE rolname = $1", ROLE):
        await owner.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD 'x'")
    await owner.execute(f"GRANT ALL ON ledger_entry TO {ROLE}")  # what somebody gave it once
    await owner.close()
    scheme, _, rest = postgres_database.partition("://")
    return f"{scheme}://{ROLE}:x@{rest.partition('@')[2]}"


async def test_the_services_role_can_do_all_that_the_service_does_and_not_touch_the_ledger(
    postgres_database: str, as_role: str, tmp_path: Path, clock: Clock
) -> None:
    granted = run(tmp_path, "migrate", "--grant-to", ROLE, database_url=postgres_database)
    assert granted.returncode == 0, granted.stderr
    settings = Settings(data_dir=tmp_path, database_url=SecretStr(as_role))
    key = await first_key(settings)
    async with running(settings, clock=clock, pause=clock.pause, with_examples=True) as service:
        await run_every_example(create_app(settings, service), key)
    for words in (
        ["decisions", "prune", "--older-than", "1d"],
        ["keys", "rotate", "seal"],
        ["keys", "repepper"],
        ["rebuild"],
        ["verify"],
    ):
        done = run(tmp_path, *words, database_url=as_role)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
    await assert_fenced(as_role)


async def assert_fenced(as_role: str) -> None:
    """Nothing gets past what the role may."""
    role = await asyncpg.connect(as_role)
    for table, column in (("ledger_entry", "body"), ("ledger_node", "hash"), ("checkpoint", "note")):
        for statement in (
            "DELETE FROM {table}",
            "TRUNCATE {table}",
            "UPDATE {table} SET {column} = NULL",
            "ALTER TABLE {table} DISABLE TRIGGER ALL",
            "DROP TABLE {table}",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await role.execute(statement.format(table=table, column=column))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await role.execute("SET session_replication_role = replica")
    await role.close()


@pytest.mark.parametrize(("role", "told"), [("nobody_here", "there is no role"), ("postgres", "superuser")])
async def test_a_role_that_is_not_there_or_may_anything_is_refused(
    postgres_database: str, tmp_path: Path, role: str, told: str
) -> None:
    refused = run(tmp_path, "migrate", "--grant-to", role, database_url=postgres_database)
    assert (refused.returncode, told in refused.stderr) == (2, True)


async def test_an_embedded_database_has_no_roles(tmp_path: Path) -> None:
    refused = run(tmp_path, "migrate", "--grant-to", ROLE)
    assert (refused.returncode, "has no roles" in refused.stderr) == (2, True)
