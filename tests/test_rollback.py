"""A database that does not extend its anchors answers nothing, and says what to do; one that does is not held up."""

import asyncio
import json
import shutil
import sqlite3
from contextlib import AbstractAsyncContextManager, closing
from datetime import timedelta
from functools import partial
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest

from consent_service import worker
from consent_service.core import checkpoint
from consent_service.core.clients import Scope
from consent_service.core.errors import LedgerDamaged, LedgerRolledBack, Unavailable
from consent_service.faults import StartFault
from consent_service.lanes import read_alone, write_alone
from consent_service.operations import clients, ledger
from consent_service.operations.clients import NewClient
from consent_service.service import Service, running
from consent_service.settings import Settings
from consent_service.store import checkpoints
from consent_service.store.checkpoints import Signed
from consent_service.store.rebuild import rebuild
from consent_service.store.tables import checkpoint as checkpoint_table
from consent_service.store.tables import ledger_entry, ledger_head, ledger_node
from tests.clock import Clock
from tests.http.test_conventions import assert_problem
from tests.school import School, open_school, statements
from tests.service_process import run
from tests.tables import all_at, all_of, copied, lift_triggers, put_back, tamper

pytestmark = pytest.mark.anyio
Json = Any

NUMBERS = count()


def anchored(settings: Settings) -> list[int]:
    lines = settings.anchors.read_text().splitlines()
    return [checkpoint.size_of(json.loads(line)["checkpoint"]) for line in lines]


def without_worker(settings: Settings, clock: Clock) -> AbstractAsyncContextManager[Service]:
    return running(settings, clock=clock, pause=clock.pause)


async def grown(service: Service) -> int:
    """The ledger's size with one entry more."""
    new = NewClient(f"client {next(NUMBERS)}", (Scope.CHECK,))
    await write_alone(service.database, partial(clients.create, caller=None, new=new))
    return (await read_alone(service.database, ledger.standing))[0]


async def made(service: Service) -> list[Signed]:
    return await read_alone(service.database, partial(checkpoints.after, size=0, limit=1000))


def again(settings: Settings, clock: Clock) -> AbstractAsyncContextManager[School]:
    return open_school(settings, clock, "tests again")


async def signed(school: School) -> int:
    """The size of the ledger, once it is signed and anchored."""
    return checkpoint.size_of((await school.get("/v1/ledger/checkpoint")).text)


async def assert_answers_nothing(school: School) -> None:
    question = {"subject": "person:1", "purpose": "billing"}
    for answer in (
        await school.post("/v1/check", question),
        await school.post("/v1/check", question, Idempotency_Key="past the slim path"),
        await school.post("/v1/check/batch", {"questions": [question]}),
        await school.post("/v1/check/filter", {"subjects": ["person:1"], "purpose": "billing"}),
        await school.post("/v1/check/as-of", question | {"as_of": 20}),
        await school.say("person:1", ("billing", "grant")),
        await school.post("/v1/consents", statements("person:1", ("billing", "grant")), Idempotency_Key="x"),
        await school.post("/v1/subjects/lookup", {"subject": "person:1"}),
        await school.get("/v1/purposes/billing/permitted"),
        await school.get("/v1/ledger/checkpoint"),
        await school.get("/v1/ledger/entries"),
    ):
        assert_problem(answer, 503, "ledger_rolled_back")
        assert "anchors.ndjson" in answer.json()["detail"]
    ready = await school.get("/readyz")
    assert_problem(ready, 503, "not_ready")
    assert "anchors.ndjson" in ready.json()["detail"]
    assert (await school.get("/livez")).status_code == 200


async def assert_answers(school: School) -> None:
    await school.check("person:1", "billing")
    await school.said("person:1", ("billing", "refuse"))
    assert (await school.get("/readyz")).status_code == 200


async def test_an_old_copy_of_the_rows_put_back_under_a_running_service_is_noticed(school: School) -> None:
    await school.said("person:1", ("billing", "grant"))
    await signed(school)
    old = await copied(school.service.database)
    await school.said("person:1", ("billing", "withdraw"))
    withdrawn = await copied(school.service.database)
    await signed(school)
    await put_back(school.service.database, old)
    await school.service.notary.look_back()
    await assert_answers_nothing(school)
    await put_back(school.service.database, withdrawn)
    await school.service.notary.look_back()
    assert await school.why("person:1", "billing") == ["withdrawn"]


async def test_it_is_noticed_at_the_start_and_nothing_is_written(settings: Settings, clock: Clock) -> None:
    async with open_school(settings, clock) as school:
        await school.said("person:1", ("billing", "grant"))
        old = await copied(school.service.database)
        await school.said("person:1", ("billing", "withdraw"))
        await signed(school)
        await put_back(school.service.database, old)
    before = settings.anchors.read_bytes()
    async with running(settings, clock=clock) as service:
        assert "does not extend" in (service.database.trust.fault or "")
        async with service.database.inspect() as tx:
            assert (await ledger.standing(tx))[0] == len(old[ledger_entry])
    assert settings.anchors.read_bytes() == before


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_last_nights_copy_of_the_file_answers_nothing_until_the_right_one_is_back(
    settings: Settings, clock: Clock, tmp_path: Path
) -> None:
    file, night, right = (tmp_path / name for name in ("consent.db", "night.db", "right.db"))
    async with open_school(settings, clock) as school:
        await school.said("person:1", ("billing", "grant"))
    back_up(file, night)
    async with again(settings, clock) as school:
        await school.said("person:1", ("billing", "withdraw"))
        await signed(school)
    back_up(file, right)
    restore(night, file)
    refused = run(tmp_path, "check", "person:1", "billing")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "ledger_rolled_back" in refused.stderr
    assert "move the anchor file away" in refused.stderr
    assert "ledger_rolled_back" in run(tmp_path, "rebuild").stderr
    held = (tmp_path / "keys" / "seal_key.key").read_text()
    rotated = run(tmp_path, "keys", "rotate", "seal")
    assert (rotated.returncode, "ledger_rolled_back" in rotated.stderr) == (1, True)
    assert (tmp_path / "keys" / "seal_key.key").read_text() == held
    restore(right, file)
    async with without_worker(settings, clock) as service:
        assert service.database.trust.fault is None


def back_up(file: Path, copy: Path) -> None:
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def restore(copy: Path, file: Path) -> None:
    for left in file.parent.glob(f"{file.name}*"):
        if left.suffix != ".lock":
            left.unlink()
    shutil.copy(copy, file)


async def test_whoever_moves_the_anchors_away_goes_on_from_what_is_there(settings: Settings, clock: Clock) -> None:
    async with open_school(settings, clock) as school:
        old = await copied(school.service.database)
        await school.said("person:1", ("billing", "grant"))
        await signed(school)
        await put_back(school.service.database, old)
    settings.anchors.rename(settings.anchors.with_suffix(".rolled-back"))
    async with again(settings, clock) as school:
        await assert_answers(school)
        assert await signed(school) == anchored(settings)[-1]


ANOTHER_HISTORY = {
    "a tail that is cut off": (
        ledger_entry.delete().where(ledger_entry.c.index >= 20),
        ledger_head.update().values(size=20),
    ),
    "an entry that is another": (ledger_entry.update().where(ledger_entry.c.index == 20).values(leaf_hash=bytes(32)),),
    "a node that is another": (ledger_node.update().where(ledger_node.c.position == 0).values(hash=bytes(32)),),
    "nodes that are gone": (ledger_node.delete(),),
    "a head that says less": (ledger_head.update().values(size=20),),
    "a head of another frontier": (ledger_head.update().values(frontier=bytes(32)),),
    "a head that is gone": (ledger_head.delete(),),
}


@pytest.mark.parametrize("what", ANOTHER_HISTORY)
async def test_another_history_is_noticed(school: School, what: str) -> None:
    await school.said("person:1", *(("billing", action) for action in ("grant", "withdraw") * 4))
    assert await signed(school) > 25
    await school.service.notary.look_back()
    await lift_triggers(school.service.database)
    for statement in ANOTHER_HISTORY[what]:
        await tamper(school.service.database, statement)
    await school.service.notary.look_back()
    await assert_answers_nothing(school)


async def test_a_history_that_forked_is_neither_signed_nor_anchored_however_long_it_grew(
    settings: Settings, clock: Clock
) -> None:
    async with without_worker(settings, clock) as service:
        old = await copied(service.database)
        signed = await service.notary.covering(await grown(service))
        await put_back(service.database, old)
        clock.advance(minutes=5)
        for _ in range(5):
            size = await grown(service)
        with pytest.raises(LedgerRolledBack):
            await service.notary.keep_up()
        with pytest.raises(LedgerRolledBack):
            await service.notary.covering(size)
        assert "does not extend" in (service.database.trust.fault or "")
        assert anchored(settings)[-1] == signed.size < size


async def test_anchors_of_another_ledger_or_key_answer_nothing(settings: Settings, clock: Clock) -> None:
    async with open_school(settings, clock) as school:
        await signed(school)
    other = settings.model_copy(update={"ledger_origin": "another/ledger"})
    async with again(settings, clock) as school:
        await assert_answers(school)
    async with running(other, clock=clock) as service:
        assert "not of this ledger" in (service.database.trust.fault or "")
    note = json.loads(settings.anchors.read_text().splitlines()[-1])["checkpoint"]
    forged = json.dumps(
        {"at": "", "checkpoint": note.replace("— consent-service/ledger ", "— consent-service/ledger AAAA")}
    )
    settings.anchors.write_text(forged + "\n")
    async with running(settings, clock=clock) as service:
        assert "not of this ledger" in (service.database.trust.fault or "")


async def test_anchors_that_cannot_be_read_or_written_keep_the_service_from_starting(
    settings: Settings, clock: Clock
) -> None:
    settings.anchors.write_text("nonsense\n")
    with pytest.raises(StartFault, match="no checkpoint"):
        async with running(settings, clock=clock):
            pass
    nowhere = settings.model_copy(update={"anchor_file": Path("/nowhere/anchors.ndjson")})
    with pytest.raises(StartFault, match="CONSENT_ANCHOR_FILE"):
        async with running(nowhere, clock=clock):
            pass


async def test_while_nothing_can_be_anchored_no_checkpoint_is_given_and_the_rest_goes_on(
    school: School, settings: Settings
) -> None:
    await signed(school)
    kept = settings.anchors.read_bytes()
    school.clock.advance(seconds=2)
    await school.said("person:1", ("billing", "grant"))
    settings.anchors.write_text("nonsense\n")
    assert_problem(await school.get("/v1/ledger/checkpoint"), 503, "unavailable")
    await assert_answers(school)
    settings.anchors.write_bytes(kept)
    assert await signed(school) == anchored(settings)[-1]


async def test_what_a_crash_left_between_commit_and_anchor_is_anchored_at_the_next_start(
    settings: Settings, clock: Clock
) -> None:
    async with without_worker(settings, clock) as service:
        before = anchored(settings)
        for _ in range(3):
            await grown(service)
            clock.advance(seconds=2)
            make = partial(ledger.make_checkpoint, origin=settings.ledger_origin, anchor=None)
            await write_alone(service.database, make)
        with settings.anchors.open("a") as torn:
            torn.write('{"at": "20')
        sizes = [one.size for one in await made(service)]
    async with without_worker(settings, clock):
        assert anchored(settings) == [*before, *sizes[-3:]] == sizes


async def test_an_empty_anchor_file_begins_with_the_newest_checkpoint(settings: Settings, clock: Clock) -> None:
    async with without_worker(settings, clock) as service:
        await service.notary.covering(await grown(service))
    settings.anchors.unlink()
    async with without_worker(settings, clock) as service:
        sizes = [one.size for one in await made(service)]
        assert len(sizes) > 1
        assert anchored(settings) == sizes[-1:]


async def test_checkpoints_are_signed_and_anchored_at_most_once_a_second(settings: Settings, clock: Clock) -> None:
    async with without_worker(settings, clock) as service:
        for _ in range(6):
            await grown(service)
            clock.advance(milliseconds=400)
            await service.notary.keep_up()
            await service.notary.keep_up()
        signed = await made(service)
        assert [one.size - signed[0].size for one in signed] == [0, 3, 6]
        assert anchored(settings) == [one.size for one in signed]
        assert all((later.at - sooner.at).total_seconds() >= 1 for sooner, later in pairwise(signed))


async def test_a_clock_that_was_set_back_holds_no_checkpoint_up(settings: Settings, clock: Clock) -> None:
    async with without_worker(settings, clock) as service:
        clock.advance(days=-3)
        size = await grown(service)
        await service.notary.keep_up()
        assert (await made(service))[-1].size == size


async def test_a_size_that_there_is_not_is_never_covered(settings: Settings, clock: Clock) -> None:
    async with without_worker(settings, clock) as service:
        with pytest.raises(Unavailable):
            await service.notary.covering(1_000_000)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_several_processes_sign_and_anchor_beside_each_other(settings: Settings, clock: Clock) -> None:
    async with without_worker(settings, clock) as one, without_worker(settings, clock) as other:
        for _ in range(6):
            size = await grown(one)
            both = await asyncio.gather(one.notary.covering(size), other.notary.covering(size))
            assert both[0] == both[1]
            await asyncio.gather(one.notary.keep_up(), other.notary.keep_up())
        signed = await made(one)
        assert all((later.at - sooner.at).total_seconds() >= 1 for sooner, later in pairwise(signed))
        assert anchored(settings) == [one.size for one in signed]


async def test_the_worker_signs_what_is_recorded_and_looks_back(
    settings: Settings, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async with without_worker(settings, clock) as service:
        size = await grown(service)
        clock.advance(seconds=2)
        async with at_work(service):
            while anchored(settings)[-1] < size:
                await made(service)
        await lift_triggers(service.database)
        await tamper(service.database, ledger_node.delete())
        async with at_work(service):
            while service.database.trust.fault is None:
                await all_at(settings.database, ledger_head)
    assert "does not extend" in caplog.text


def at_work(service: Service) -> AbstractAsyncContextManager[None]:
    return worker.at_work(service.database, timedelta(days=400), service.notary, service.rotated)


async def test_a_tree_that_does_not_fit_together_keeps_nothing_from_starting(settings: Settings, clock: Clock) -> None:
    async with without_worker(settings, clock) as service:
        while await grown(service) < 40:
            pass
        await lift_triggers(service.database)
        await tamper(service.database, ledger_node.delete().where(ledger_node.c.position == 1))
    clock.advance(seconds=2)
    async with without_worker(settings, clock) as service:
        assert service.database.trust.fault is None
        with pytest.raises(LedgerDamaged):
            await service.notary.covering(await grown(service))


async def test_rebuild_leaves_the_tree_alone(school: School) -> None:
    await school.said("person:1", *(("billing", action) for action in ("grant", "withdraw") * 8))
    before = [await all_of(school, table) for table in (ledger_node, checkpoint_table, ledger_head)]
    await write_alone(school.service.database, rebuild)
    assert [await all_of(school, table) for table in (ledger_node, checkpoint_table, ledger_head)] == before


async def test_an_old_checkpoint_in_a_row_of_a_larger_size_moves_no_anchor(settings: Settings, clock: Clock) -> None:
    async with without_worker(settings, clock) as service:
        old = (await made(service))[0]
        await grown(service)
        clock.advance(seconds=2)
        await service.notary.keep_up()
        before = anchored(settings)
        assert before[-1] > old.size
        await lift_triggers(service.database)
        await tamper(service.database, f"UPDATE checkpoint SET size = 1000000 WHERE size = {old.size}")  # noqa: S608
        with pytest.raises(LedgerDamaged):
            await service.notary.keep_up()
        assert anchored(settings) == before


async def test_what_the_ledger_says_was_done_at_the_first_start_is_not_done_again(
    settings: Settings, clock: Clock
) -> None:
    async with without_worker(settings, clock) as service:
        for table in ("policy_version", "client"):
            await tamper(service.database, f"DELETE FROM {table}")  # noqa: S608
        size = (await read_alone(service.database, ledger.standing))[0]
    async with without_worker(settings, clock) as service:
        assert (await read_alone(service.database, ledger.standing))[0] == size
