"""Bad luck: too many at once, a full disk, clients that hang up. No answer is wrong, and everything recovers."""

import asyncio
import resource
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import httpx
import pytest

from consent_service.app import create_app
from consent_service.core.errors import ConsentError
from consent_service.lanes import Lane, Operation
from consent_service.operations import checks
from consent_service.service import running
from consent_service.settings import Settings
from consent_service.store.db import Database, WriteTx
from consent_service.store.tables import decision
from consent_service.web.edge import GONE
from tests.listening import listening, until
from tests.school import School, first_key
from tests.service_process import Serving, serving
from tests.tables import all_at, all_of, tamper
from tests.wire import Answer, Request, wires
from tests.withdrawal_race import race

pytestmark = pytest.mark.anyio

Item = TypeVar("Item")
Found = TypeVar("Found")

QUESTION = Request("/v1/check", {"subject": "person:1", "purpose": "billing"})


@dataclass(slots=True)
class Gate(Generic[Item, Found]):
    """An operation behind a gate: a batch that has begun waits until the gate opens."""

    operation: Operation[WriteTx, Item, Found]
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, tx: WriteTx, items: Sequence[Item]) -> Sequence[Found | ConsentError]:
        self.entered.set()
        await self.opened.wait()
        return await self.operation(tx, items)


async def test_more_than_the_waiting_room_holds_are_refused_and_nobody_is_answered_wrongly(settings: Settings) -> None:
    key = await first_key(settings)
    unlimited = settings.model_copy(update={"rate_limit": "1000000/second"})
    async with running(unlimited) as service:
        lane = Lane(service.database.write, partial(checks.answer, zone=settings.time_zone), most=4, waiting=8)
        async with listening(create_app(unlimited, replace(service, checks=lane))) as server:
            outcome = await race(key, stating=server.port, checking=server.port, checks=200, connections=24, people=4)
            assert outcome.wrong == []
            assert min(outcome.judged(True), outcome.judged(False)) >= 10
            assert set(outcome.statuses) == {200, 503}
            assert {refusal(answer) for answer in outcome.refused} == {("overloaded", "1")}
            await until(lambda: lane.inside == 0)
            async with wires(server.port, 8) as again:
                answers = await asyncio.gather(*(wire.send(QUESTION.encoded(key)) for wire in again))
            assert [answer.status for answer in answers] == [200] * 8


def refusal(answer: Answer) -> tuple[str, str]:
    return answer.json["code"], answer.headers["retry-after"]


async def test_clients_that_hang_up_cost_the_others_nothing(settings: Settings) -> None:
    question = QUESTION.encoded(await first_key(settings))
    gate = Gate(partial(checks.answer, zone=settings.time_zone))
    async with running(settings) as service:
        lane = Lane(service.database.write, gate, patience=30)
        app = create_app(settings, replace(service, checks=lane))
        async with listening(app) as server, wires(server.port, 8) as staying, wires(server.port, 3) as leaving:
            in_mid_body, in_the_batch, in_the_next_batch = leaving
            in_mid_body.write(question[:-10])
            in_the_batch.send(question)
            await gate.entered.wait()
            in_the_next_batch.send(question)
            answers = [wire.send(question) for wire in staying]
            await until(lambda: lane.inside == 10)
            for wire in leaving:
                wire.hang_up()
            await until(lambda: server.connections == len(staying))
            gate.opened.set()
            assert [(await answer).status for answer in answers] == [200] * 8
            await until(lambda: server.requests == 0)
            assert lane.inside == 0
        assert len(await all_at(settings.database, decision)) == 10


async def test_a_client_that_hangs_up_in_mid_body_is_no_fault_of_ours(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    question = QUESTION.encoded(await first_key(settings))
    async with running(settings) as service, listening(create_app(settings, service)) as server:
        async with wires(server.port, 1) as [leaving]:
            leaving.write(question[:-10])
            await until(lambda: server.requests == 1)
            leaving.hang_up()
        await until(lambda: server.requests == 0)
        async with httpx.AsyncClient() as asking:
            measured = (await asking.get(f"http://127.0.0.1:{server.port}/metrics")).text
    assert 'status="500"' not in measured
    assert f'route="/v1/check",status="{GONE}"' in measured
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_service_that_stops_answers_first_who_waits(settings: Settings) -> None:
    question = QUESTION.encoded(await first_key(settings))
    gate = Gate(partial(checks.answer, zone=settings.time_zone))
    async with running(settings) as service:
        lane = Lane(service.database.write, gate, patience=30)
        app = create_app(settings, replace(service, checks=lane))
        async with listening(app) as server, wires(server.port, 1) as [wire]:
            answer = wire.send(question)
            await gate.entered.wait()
            assert (server.requests, server.tasks) == (1, 0)
            await server.stop()
            gate.opened.set()
            assert ((await answer).status, (await answer).headers["connection"]) == (200, "close")


NO_ROOM = {
    "sqlite": ["PRAGMA max_page_count = 1"],  # SQLite makes that the size it has
    "postgresql": [
        "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$",
        "CREATE TRIGGER no_room BEFORE INSERT ON decision EXECUTE FUNCTION no_room()",
    ],
}
ROOM_AGAIN = {
    "sqlite": ["PRAGMA max_page_count = 1073741823"],
    "postgresql": ["DROP TRIGGER no_room ON decision"],
}


async def change(database: Database, statements: dict[str, list[str]]) -> None:
    for statement in statements[database.writing.dialect.name]:
        await tamper(database, statement)


async def test_on_a_full_disk_there_is_no_answer_without_its_record(school: School) -> None:
    await school.said("person:1", ("billing", "grant"))
    await change(school.service.database, NO_ROOM)
    answers = [await school.post(QUESTION.path, QUESTION.body)]
    while answers[-1].status_code == 200 and len(answers) < 500:  # what room there is in the last pages
        answers.append(await school.post(QUESTION.path, QUESTION.body))
    assert (answers[-1].status_code, answers[-1].json()["code"]) == (503, "unavailable")
    assert answers[-1].headers["retry-after"] == "1"
    recorded = [row.id for row in await all_of(school, decision)]
    assert sorted(recorded) == sorted(answer.json()["decision_id"] for answer in answers[:-1])
    await change(school.service.database, ROOM_AGAIN)
    assert (await school.check("person:1", "billing"))["permitted"]


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux changes a limit of a running process")
async def test_a_process_that_may_write_no_more_answers_nothing_and_goes_on_when_it_may(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    question = QUESTION.encoded(await first_key(settings))
    with serving(tmp_path) as service:
        async with wires(service.port, 8) as asking:
            before = await asyncio.gather(*(wire.send(question) for wire in asking))
            allow_files_of(service, 1)
            meanwhile = await asyncio.gather(*(wire.send(question) for wire in asking))
            allow_files_of(service, resource.RLIM_INFINITY)
            afterwards = await asyncio.gather(*(wire.send(question) for wire in asking))
        assert {answer.status for answer in before + afterwards} == {200}
        assert {(answer.status, *refusal(answer)) for answer in meanwhile} == {(503, "unavailable", "1")}
        recorded = [row.id for row in await all_at(settings.database, decision)]
        assert sorted(recorded) == sorted(answer.json["decision_id"] for answer in before + afterwards)


def allow_files_of(service: Serving, size: int) -> None:
    """Let the process write files of so many bytes and no more, as on a disk that is full."""
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
