import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import asyncpg
import hypothesis
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from consent_service import lanes
from consent_service.keys import load
from consent_service.service import utc_now
from consent_service.settings import Settings
from consent_service.store import db, engines, schema
from tests.clock import Clock
from tests.postgres import Postgres
from tests.school import School, open_school

_numbers = count()


hypothesis.settings.register_profile("suite", deadline=None)  # no test is pinned to a wall clock
hypothesis.settings.load_profile("suite")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("CONSENT_") and not name.startswith("CONSENT_TEST_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _a_machine_that_stalls_is_not_a_database_that_does(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "own_postgres" not in request.fixturenames:  # it is there to be frozen, and callers are not to wait for it
        monkeypatch.setattr(lanes, "PATIENCE", 60.0)
        monkeypatch.setattr(engines, "_CONNECT_TIMEOUT", 60.0)
        monkeypatch.setattr(engines, "_COMMAND_TIMEOUT", 60.0)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL: the one that CONSENT_TEST_POSTGRES_URL names, or one of our own."""
    if given := os.environ.get("CONSENT_TEST_POSTGRES_URL"):
        yield given
        return
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to the server's user
        server = Postgres(Path(folder))
        server.start()
        yield server.url()
        server.stop()


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str) -> str:
    """A database at the newest migration, to be copied for each test."""
    name = f"consent_template_{os.getpid()}"
    created = create_database(postgres_url, name)

    asyncio.run(migrated(created))
    return name


@pytest.fixture
def postgres_database(postgres_url: str, postgres_template: str) -> str:
    """An empty database at the newest migration."""
    return create_database(postgres_url, f"consent_{os.getpid()}_{next(_numbers)}", template=postgres_template)


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A PostgreSQL server of this test's own, to be stopped, frozen and killed."""
    with tempfile.TemporaryDirectory() as folder:
        server = Postgres(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'consent.db'}"
    return str(request.getfixturevalue("postgres_database"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, database_url=database_url)


@pytest.fixture
async def school(settings: Settings, clock: Clock) -> AsyncIterator[School]:
    async with open_school(settings, clock) as opened:
        yield opened


@pytest.fixture
def portal() -> Iterator[BlockingPortal]:
    """A loop in a thread of its own, for tests that are generated and so are not coroutines."""
    with start_blocking_portal("asyncio") as opened:
        yield opened


@pytest.fixture
def open_for_many(portal: BlockingPortal, settings: Settings, clock: Clock) -> Iterator[School]:
    """One service for all the examples of a generated test."""
    with portal.wrap_async_context_manager(open_school(settings, clock)) as opened:
        yield opened


async def migrated(url: str) -> None:
    """Bring a database to the newest migration."""
    database = db.opened(url, load(Settings(), os.urandom).keyring, utc_now)
    await schema.migrate(database)
    await database.dispose()


def create_database(server: str, name: str, *, template: str = "template1") -> str:
    """Make a database on a server; answers where it is."""

    async def create() -> None:
        connection = await asyncpg.connect(server)
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        await connection.close()

    with ThreadPoolExecutor(1) as thread:  # for there may be a loop running in this one
        thread.submit(asyncio.run, create()).result()
    place, _, options = server.partition("?")
    return f"{place.rpartition('/')[0]}/{name}" + (f"?{options}" if options else "")
