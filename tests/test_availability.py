"""The database goes away and comes back: no answer means no, within two seconds, and nobody has to restart anything."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from consent_service.faults import StartFault
from consent_service.settings import Settings
from tests.clock import Clock
from tests.conftest import create_database, migrated
from tests.postgres import Postgres
from tests.school import School, open_school, statements

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("availability")]


@pytest.fixture
async def school(own_postgres: Postgres, tmp_path: Path, clock: Clock) -> AsyncIterator[School]:
    url = create_database(own_postgres.url(), "consent")
    await migrated(url)
    async with open_school(Settings(data_dir=tmp_path, database_url=url), clock) as opened:
        await opened.said("person:1", ("billing", "grant"))
        yield opened


async def ask_all(school: School) -> tuple[list[httpx.Response], float]:
    """One request of each kind but the bulk ones, and how long the slowest took in seconds."""
    answers, slowest = [], 0.0
    for method, path, body in (
        ("POST", "/v1/check", {"subject": "person:1", "purpose": "billing"}),
        ("POST", "/v1/consents", statements("person:2", ("billing", "grant"))),
        ("POST", "/v1/subjects/lookup", {"subject": "person:1"}),
        ("POST", "/v1/subjects", {"identifiers": ["person:3"]}),
        ("GET", "/v1/stats", None),
        ("GET", "/readyz", None),
    ):
        began = time.monotonic()
        answers.append(await school.send(method, path, body))
        slowest = max(slowest, time.monotonic() - began)
    return answers, slowest


async def until_it_answers(school: School) -> None:
    deadline = time.monotonic() + 30
    while (await school.send("GET", "/readyz")).status_code != 200:
        assert time.monotonic() < deadline
    while (await school.post("/v1/check", {"subject": "person:1", "purpose": "billing"})).status_code != 200:
        assert time.monotonic() < deadline


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
async def test_a_stopped_database_is_503_at_once_and_recovers(
    school: School, own_postgres: Postgres, how: signal.Signals
) -> None:
    own_postgres.stop(how)
    for _ in range(2):
        answers, slowest = await ask_all(school)
        assert [answer.status_code for answer in answers] == [503] * 6
        assert answers[0].json()["code"] == "unavailable"
        assert answers[0].headers["retry-after"]
        assert slowest < 2
    own_postgres.start()
    await until_it_answers(school)
    assert (await school.check("person:1", "billing"))["permitted"]
    assert (await school.said("person:2", ("billing", "grant")))["entries"]


async def test_after_a_restart_one_request_finds_it_out_and_not_one_for_each_connection(
    school: School, own_postgres: Postgres
) -> None:
    await asyncio.gather(*(school.get("/v1/policy") for _ in range(8)))  # one idle connection for each
    own_postgres.stop()
    own_postgres.start()
    checks = [{"subject": "person:1", "purpose": "billing"}] * 12
    for path in ("/v1/check", "/v1/subjects/lookup"):
        answers = [await school.post(path, body if path == "/v1/check" else {"subject": "person:1"}) for body in checks]
        assert [answer.status_code for answer in answers].count(503) <= 1
        assert answers[-1].status_code == 200


async def test_a_frozen_database_is_503_within_two_seconds_and_recovers(school: School, own_postgres: Postgres) -> None:
    await asyncio.gather(*(school.get("/v1/policy") for _ in range(8)))  # one idle connection for each
    own_postgres.signal_all(signal.SIGSTOP)
    answers, slowest = await ask_all(school)
    own_postgres.signal_all(signal.SIGCONT)
    assert [answer.status_code for answer in answers] == [503] * 6
    assert slowest < 2.5  # 2 seconds, and what a busy test machine adds
    await until_it_answers(school)
    assert (await school.check("person:1", "billing"))["permitted"]


async def test_a_server_that_may_lose_what_it_acknowledged_is_not_ready(school: School, own_postgres: Postgres) -> None:
    for option, told in (("fsync=off", "fsync"), ("synchronous_commit=off", "synchronous_commit")):
        own_postgres.stop()
        own_postgres.start(option)
        answer = await school.send("GET", "/readyz")
        while answer.json()["detail"].startswith("The database cannot be asked"):
            answer = await school.send("GET", "/readyz")
        assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
        assert told in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/consents", statements("person:1", ("billing", "withdraw"))),
        ("/v1/check", {"subject": "person:1", "purpose": "billing"}),
    ],
)
async def test_a_commit_that_no_standby_confirmed_is_not_acknowledged(
    school: School, own_postgres: Postgres, path: str, body: dict[str, object]
) -> None:
    """PostgreSQL reports such a commit as done, with a mere warning, when its wait is cancelled."""
    own_postgres.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    own_postgres.sql("SELECT pg_reload_conf()")
    asked = asyncio.create_task(school.post(path, body))
    superuser = await asyncpg.connect(own_postgres.url())
    while not asked.done():
        await superuser.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
    await superuser.close()
    answer = await asked
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "standby" in answer.json()["detail"]


async def test_a_schema_that_is_not_at_head_keeps_the_service_from_starting(
    own_postgres: Postgres, tmp_path: Path, clock: Clock
) -> None:
    url = create_database(own_postgres.url(), "empty")
    with pytest.raises(StartFault, match="consent-service migrate"):
        async with open_school(Settings(data_dir=tmp_path, database_url=url), clock):
            pass
