"""Lanes: many take one; nobody's error is another's; nothing is acknowledged before it is committed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import pytest
from sqlalchemy import text

from consent_service.core.errors import ConsentError, Overloaded, ScopeMissing, Unavailable
from consent_service.lanes import Gate, Lane, read_in_time, snapshot_alone, view_alone, write_alone
from consent_service.store import ledger
from consent_service.store.db import Database, WriteTx
from consent_service.store.tables import ledger_entry, ledger_head
from tests.school import School, statements
from tests.tables import all_of

pytestmark = pytest.mark.anyio


Alone = Callable[[Database, Callable[[WriteTx], Awaitable[None]]], Awaitable[None]]


class Turnstile:
    """An operation that notes its batches, and waits at a gate if it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()

    async def __call__(self, tx: WriteTx, items: Sequence[int]) -> Sequence[int | ConsentError]:
        self.batches.append(list(items))
        self.entered.set()
        await self.gate.wait()
        await tx.execute(text("UPDATE ledger_head SET size = size"))
        return [ScopeMissing("no") if item < 0 else item * 10 for item in items]


async def lane_of(school: School, turnstile: Turnstile, **limits: float) -> "Lane[int, int]":
    return Lane(school.service.database.write, turnstile, **limits)  # type: ignore[arg-type]


async def test_what_comes_while_a_batch_is_under_way_becomes_the_next_one(school: School) -> None:
    turnstile = Turnstile()
    turnstile.gate.clear()
    lane = await lane_of(school, turnstile)
    first = asyncio.create_task(lane.ask(1))
    await turnstile.entered.wait()
    rest = [asyncio.create_task(lane.ask(n)) for n in (2, 3, 4)]
    await asyncio.sleep(0)
    turnstile.gate.set()
    assert [await first, *[await one for one in rest]] == [10, 20, 30, 40]
    assert turnstile.batches == [[1], [2, 3, 4]]


async def test_a_batch_waits_for_those_who_are_at_the_door(school: School) -> None:
    turnstile = Turnstile()
    lane = await lane_of(school, turnstile)

    async def arriving(item: int, turns: int) -> int:
        for _ in range(turns):
            await asyncio.sleep(0)
        return await lane.ask(item)

    await asyncio.gather(*(arriving(n, turns=n) for n in range(4)))
    assert turnstile.batches == [[0, 1, 2, 3]]


async def test_a_batch_has_no_more_than_its_most(school: School) -> None:
    turnstile = Turnstile()
    lane = await lane_of(school, turnstile, most=2)
    await asyncio.gather(*(lane.ask(n) for n in range(5)))
    assert max(map(len, turnstile.batches)) == 2


async def test_what_takes_as_long_as_many_counts_for_as_many(school: School) -> None:
    turnstile = Turnstile()
    lane: Lane[int, int] = Lane(school.service.database.write, turnstile, most=4, weigh=lambda item: item)
    await asyncio.gather(*(lane.ask(n) for n in (3, 2, 1, 9, 1, 1)))
    assert turnstile.batches == [[3, 2], [1, 9], [1, 1]]


async def test_a_call_of_many_statements_fills_a_batch_as_many_calls_do(school: School) -> None:
    def ticking() -> datetime:
        school.clock.advance(milliseconds=1)
        return school.clock.now

    school.service.database.clock = ticking  # each transaction has an instant of its own
    said = [("billing", "grant")] * 100
    answers = await asyncio.gather(*(school.say(f"person:{n}", *said) for n in range(6)))
    assert {answer.status_code for answer in answers} == {201}
    made = [entry for entry in await all_of(school, ledger_entry) if entry.kind == "statement"]
    assert (len(made), len({entry.at for entry in made}) > 1) == (600, True)


async def test_an_items_error_is_its_own(school: School) -> None:
    lane = await lane_of(school, Turnstile())
    answers = await asyncio.gather(*(lane.ask(n) for n in (1, -1, 2)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [int, ScopeMissing, int]


async def test_a_caller_who_cannot_be_told_keeps_nobody_else_from_the_answer(
    school: School, caplog: pytest.LogCaptureFixture
) -> None:
    lane = await lane_of(school, Turnstile())

    def gone(_: int | Exception) -> None:
        raise ConnectionResetError("gone")

    lane.put(1, gone)
    assert await lane.ask(2) == 20
    assert await lane.ask(3) == 30
    assert (lane.inside, "could not be told" in caplog.text) == (0, True)


async def test_what_a_driver_gives_up_is_that_batchs_error_and_the_next_one_goes_on(school: School) -> None:
    turnstile = Turnstile()

    async def given_up_at_first(tx: WriteTx, items: Sequence[int]) -> Sequence[int | ConsentError]:
        answers = await turnstile(tx, items)
        if items == [1]:
            raise asyncio.CancelledError
        return answers

    lane: Lane[int, int] = Lane(school.service.database.write, given_up_at_first, patience=60)
    turnstile.gate.clear()
    first = asyncio.create_task(lane.ask(1))
    await turnstile.entered.wait()
    second = asyncio.create_task(lane.ask(2))
    turnstile.gate.set()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(first, 10)
    assert await asyncio.wait_for(second, 10) == 20


@pytest.mark.parametrize("alone", [read_in_time, view_alone, write_alone, snapshot_alone])
async def test_what_a_driver_gives_up_is_an_error_outside_the_lanes_too(school: School, alone: Alone) -> None:
    async def given_up(_: WriteTx) -> None:
        raise asyncio.CancelledError

    with pytest.raises(Unavailable):
        await alone(school.service.database, given_up)


async def test_answers_that_are_not_as_many_as_the_questions_are_nobodys(school: School) -> None:
    turnstile = Turnstile()

    async def short(tx: WriteTx, items: Sequence[int]) -> Sequence[int | ConsentError]:
        if len(items) > 1:
            await tx.execute(text("UPDATE ledger_head SET size = size + 7"))
        return (await turnstile(tx, items))[: 1 if len(items) > 1 else None]

    before = await all_of(school, ledger_head)
    lane: Lane[int, int] = Lane(school.service.database.write, short)
    answers = await asyncio.gather(*(lane.ask(n) for n in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [RuntimeError] * 3
    assert await all_of(school, ledger_head) == before  # nothing of it was committed
    assert await lane.ask(4) == 40


async def test_a_full_lane_refuses_at_once_and_then_goes_on(school: School) -> None:
    turnstile = Turnstile()
    turnstile.gate.clear()
    lane = await lane_of(school, turnstile, waiting=3)
    inside = [asyncio.create_task(lane.ask(n)) for n in range(3)]
    await turnstile.entered.wait()
    with pytest.raises(Overloaded):
        await lane.ask(4)
    turnstile.gate.set()
    assert await asyncio.gather(*inside) == [0, 10, 20]
    assert await lane.ask(5) == 50


async def test_a_caller_that_goes_away_cancels_nothing(school: School) -> None:
    turnstile = Turnstile()
    turnstile.gate.clear()
    lane = await lane_of(school, turnstile)
    leaving, staying = asyncio.create_task(lane.ask(1)), asyncio.create_task(lane.ask(2))
    await turnstile.entered.wait()
    leaving.cancel()
    await asyncio.sleep(0)
    turnstile.gate.set()
    assert await staying == 20
    assert turnstile.batches == [[1, 2]]
    assert lane.inside == 0


async def test_who_waits_too_long_is_told_so_and_the_batch_goes_on(school: School) -> None:
    turnstile = Turnstile()
    turnstile.gate.clear()
    lane = await lane_of(school, turnstile, patience=0.05)
    with pytest.raises(Unavailable):
        await lane.ask(1)
    turnstile.gate.set()
    await lane.drain()
    assert await lane.ask(2) == 20


async def test_who_comes_after_a_batch_was_given_up_has_the_answer_to_the_own_question(school: School) -> None:
    turnstile = Turnstile()
    turnstile.gate.clear()
    lane = await lane_of(school, turnstile, patience=2)
    asked = [asyncio.create_task(lane.ask(1))]
    await turnstile.entered.wait()
    asked += [asyncio.create_task(lane.ask(n)) for n in (2, 3)]
    late = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(one) for one in late] == [Unavailable] * 3
    assert ["nothing was done" in str(one) for one in late] == [False, True, True]
    following = asyncio.create_task(lane.ask(4))
    await asyncio.sleep(0)
    turnstile.gate.set()
    assert await following == 40
    await lane.drain()
    assert turnstile.batches == [[1], [4]]


async def test_after_a_row_that_only_the_database_refuses_the_others_run_again_alone(school: School) -> None:
    async def insert(tx: WriteTx, items: Sequence[int]) -> Sequence[int]:
        for item in items:
            values = {"name": f"n{item}", "mark": None if item == 13 else "x"}
            await tx.execute(text("INSERT INTO secret_mark (name, mark) VALUES (:name, :mark)"), values)
        return items

    lane = Lane(school.service.database.write, insert)
    answers = await asyncio.gather(*(lane.ask(n) for n in (1, 13, 2)), return_exceptions=True)
    assert answers[0] == 1
    assert isinstance(answers[1], Exception)
    assert answers[2] == 2


async def test_a_failed_commit_is_everybodys_error_and_nothing_is_acknowledged(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("consent_service.store.db._commit", failing)
    answers = await asyncio.gather(*(school.say(f"person:{n}", ("billing", "grant")) for n in range(3)))
    assert {answer.status_code for answer in answers} == {503}
    monkeypatch.undo()
    assert await school.why("person:1", "billing") == ["no_consent_recorded"]


async def test_concurrent_statements_about_one_newcomer_make_one_subject(school: School) -> None:
    answers = await asyncio.gather(*(school.said("person:new", ("billing", "grant")) for _ in range(8)))
    assert len({answer["subject"] for answer in answers}) == 1
    assert len({answer["entries"][0]["index"] for answer in answers}) == 8


async def test_duplicates_within_a_batch_share_one_answer(school: School) -> None:
    body = statements("person:1", ("billing", "grant"))
    answers = await asyncio.gather(*(school.post("/v1/consents", body, Idempotency_Key="k") for _ in range(8)))
    assert len({answer.text for answer in answers}) == 1
    assert {answer.status_code for answer in answers} == {201}


async def test_a_check_that_starts_after_a_withdrawal_never_says_yes(school: School) -> None:
    withdrawn: set[str] = set()
    wrong: list[str] = []
    people = [f"person:{n}" for n in range(20)]
    for person in people:
        await school.said(person, ("billing", "grant"))

    async def withdraw() -> None:
        for person in people:
            await school.said(person, ("billing", "withdraw"))
            withdrawn.add(person)

    async def ask() -> None:
        while len(withdrawn) < len(people):
            for person in people:
                known = person in withdrawn
                if (await school.check(person, "billing"))["permitted"] and known:
                    wrong.append(person)

    await asyncio.gather(withdraw(), *(ask() for _ in range(4)))
    assert wrong == []


async def test_a_transaction_alone_is_finished_even_if_its_caller_leaves(school: School) -> None:
    entered, gate = asyncio.Event(), asyncio.Event()

    async def slowly(tx: WriteTx) -> None:
        await ledger.begin(tx)
        entered.set()
        await gate.wait()
        await tx.execute(text("INSERT INTO secret_mark (name, mark) VALUES ('left', 'x')"))

    async def found(tx: WriteTx) -> bool:
        await ledger.begin(tx)  # waits here until the one before is committed
        return await tx.first(text("SELECT 1 FROM secret_mark WHERE name = 'left'")) is not None

    caller = asyncio.create_task(write_alone(school.service.database, slowly))
    await entered.wait()
    caller.cancel()
    gate.set()
    assert await write_alone(school.service.database, found)


async def test_a_gate_lets_in_few_at_a_time_and_turns_away_whom_it_cannot_seat() -> None:
    gate, leave = Gate(at_once=1, waiting=1), asyncio.Event()
    inside: list[int] = []

    async def pass_through(n: int) -> None:
        async with gate.passed():
            inside.append(n)
            await leave.wait()

    first, second = asyncio.create_task(pass_through(1)), asyncio.create_task(pass_through(2))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await pass_through(3)
    assert inside == [1]
    leave.set()
    await asyncio.gather(first, second)
    assert inside == [1, 2]
    await pass_through(4)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_single_checks_are_answered_while_a_large_filter_is_under_way(school: School) -> None:
    await school.said("person:1", ("billing", "grant"))
    body = {"purpose": "billing", "subjects": [f"person:{n}" for n in range(10_000)]}
    large = asyncio.create_task(school.post("/v1/check/filter", body))
    answered = 0
    while not large.done():
        assert (await school.check("person:1", "billing"))["permitted"]
        answered += not large.done()
    assert (await large).json()["permitted"] == ["person:1"]
    assert answered
