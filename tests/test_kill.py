"""kill -9 in mid-load, of the service and of PostgreSQL: whatever anybody was told is there."""

import asyncio
import base64
import json
import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Row

from consent_service.core import merkle
from consent_service.core.instants import to_text
from consent_service.lanes import write_alone
from consent_service.service import running
from consent_service.settings import Settings
from consent_service.store import projection
from consent_service.store.rebuild import rebuild
from consent_service.store.tables import checkpoint, decision, ledger_entry, ledger_head, ledger_node
from tests.auditor import verified
from tests.conftest import create_database, migrated
from tests.kill_harness import CLIENTS, Heard, Stage, endure
from tests.postgres import Postgres
from tests.school import first_key, statements
from tests.tables import all_at
from tests.wire import Json, Request, wires

ROUNDS = 50 if os.environ.get("CONSENT_TEST_FULL") else 3
POWER_CUTS = 50 if os.environ.get("CONSENT_TEST_FULL") else 1
STATEMENTS, CHECK = "/v1/consents", "/v1/check"


def says(person: str, action: str) -> Request:
    return Request(STATEMENTS, statements(person, ("billing", action)))


def asks(person: str) -> Request:
    return Request(CHECK, {"subject": person, "purpose": "billing"})


def a_life(client: int) -> Iterator[Request]:
    """People one after the other: each says yes and is asked about; every third takes it back, or is refused again."""
    for number in count():
        person = f"person:{client}-{number}"
        yield asks(person)
        yield says(person, "grant")
        yield asks(person)
        for action in (["withdraw"], ["withdraw", "grant"], [])[number % 3]:
            yield says(person, action)
            yield asks(person)


@pytest.mark.full
def test_whatever_was_acknowledged_and_every_answer_is_there_after_kill_9(settings: Settings) -> None:
    stage = Stage(settings, asyncio.run(first_key(settings)))
    everything_is_there(stage, endure(stage, a_life, rounds=ROUNDS), rounds=ROUNDS)


@pytest.mark.full
def test_whatever_was_acknowledged_and_every_answer_is_there_after_the_database_lost_its_power(
    own_postgres: Postgres, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, database_url=SecretStr(create_database(own_postgres.url(), "consent")))
    asyncio.run(migrated(settings.database))
    stage = Stage(settings, asyncio.run(first_key(settings)), own_postgres)
    everything_is_there(stage, endure(stage, a_life, rounds=POWER_CUTS), rounds=POWER_CUTS)


def everything_is_there(stage: Stage, heard: Heard, *, rounds: int) -> None:
    assert len(heard.acknowledged) >= rounds * 3 * CLIENTS
    assert set(heard.statuses) <= {200, 201, 503}
    assert {answer["permitted"] for answer in heard.bodies(CHECK)} == {True, False}
    with stage.serving() as service:
        assert asyncio.run(answers_not_on_record(stage, heard)) == []
        assert asyncio.run(statements_not_in_the_ledger(stage, heard)) == []
        assert asyncio.run(people_answered_wrongly(stage, service.port, heard)) == []
        assert asyncio.run(what_the_tree_and_the_anchors_deny(stage.settings)) == []
    assert asyncio.run(verified(stage.settings)).first_bad is None
    assert asyncio.run(tables_that_a_rebuild_changes(stage.settings)) == []


async def answers_not_on_record(stage: Stage, heard: Heard) -> list[Json]:
    """The answers without a decision on record that says the same."""
    recorded = {row.id: as_answered(row) for row in await all_at(stage.settings.database, decision)}
    return [answer for answer in heard.bodies(CHECK) if recorded.get(answer["decision_id"]) != as_recorded(answer)]


def as_answered(row: Row[Any]) -> Json:
    return (
        row.permitted,
        row.as_of,
        row.purpose,
        row.policy_version,
        to_text(row.at),
        [told[:3] for told in json.loads(row.reasons)],
    )


def as_recorded(answer: Json) -> Json:
    reasons = [[reason["code"], reason["purpose"], reason["index"]] for reason in answer["reasons"]]
    members = [answer[name] for name in ("permitted", "as_of", "purpose", "policy_version", "decided_at")]
    return (*members, reasons)


async def statements_not_in_the_ledger(stage: Stage, heard: Heard) -> list[Json]:
    """The acknowledged entries that the ledger does not have at their index, or has under another's index."""
    rows = await all_at(stage.settings.database, ledger_entry)
    bodies = [json.loads(row.body) for row in rows]
    assert [row._mapping["index"] for row in rows] == list(range(len(rows)))
    told = {body["entries"][0]["index"]: body for body in heard.bodies(STATEMENTS)}
    assert len(told) == len(heard.bodies(STATEMENTS))
    return [body for index, body in told.items() if index >= len(bodies) or not is_told_of(bodies[index], body)]


def is_told_of(entry: Json, body: Json) -> bool:
    told = body["entries"][0]
    wanted = ("statement", body["subject"], told["purpose"], told["action"], told["applied_to"])
    return bool(wanted == tuple(entry.get(name) for name in ("kind", "subject", "purpose", "action", "applied")))


async def people_answered_wrongly(stage: Stage, port: int, heard: Heard) -> list[str]:
    """Who is not answered from the last statement that was acknowledged, or from a later one that was under way."""
    standing = {
        one.request.body["subject"]: one.body["entries"][0]
        for one in heard.acknowledged
        if one.request.path == STATEMENTS and one.body["entries"][0]["applied"]
    }
    uncertain = {request.body["subject"] for request in heard.uncertain if request.path == STATEMENTS}
    wrong = []
    async with wires(port, 1) as [wire]:
        for person, entry in standing.items():
            answer = (await wire.send(asks(person).encoded(stage.key))).json
            rests_on = answer["reasons"][0]["index"]
            exact = rests_on == entry["index"] and answer["permitted"] == (entry["action"] == "grant")
            if not exact and not (person in uncertain and rests_on > entry["index"]):
                wrong.append(person)
    return wrong


async def what_the_tree_and_the_anchors_deny(settings: Settings) -> list[str]:
    """The nodes, the head, the checkpoints and the anchors that do not say the same of the same entries.

    A checkpoint that the running service has just signed may be anchored a moment later.
    """
    anchored = [json.loads(line)["checkpoint"] for line in settings.anchors.read_text().splitlines()]
    signed = [row.note for row in await all_at(settings.database, checkpoint)]
    leaves = [row.leaf_hash for row in await all_at(settings.database, ledger_entry)]
    (head,) = await all_at(settings.database, ledger_head)
    nodes = [(row.level, row.position, row.hash) for row in await all_at(settings.database, ledger_node)]
    frontier, grown = merkle.grown((), 0, leaves)
    wrong = [] if nodes == sorted(grown) else ["the nodes"]
    wrong += [] if (head.size, head.frontier) == (len(leaves), b"".join(frontier)) else ["the head"]
    wrong += [] if anchored == signed[: len(anchored)] and len(signed) - len(anchored) <= 1 else ["the anchors"]
    return wrong + [note for note in anchored if not is_true_of(note, leaves)]


def is_true_of(note: str, leaves: list[bytes]) -> bool:
    size, root = note.split("\n")[1:3]
    return base64.b64decode(root) == merkle.root(merkle.grown((), 0, leaves[: int(size)])[0])


async def tables_that_a_rebuild_changes(settings: Settings) -> list[str]:
    """The projection's tables that are not, byte for byte, what the ledger says."""
    async with running(settings) as service:
        before = {table: await all_at(settings.database, table) for table in projection.TABLES}
        await write_alone(service.database, rebuild)
        return [table.name for table in before if await all_at(settings.database, table) != before[table]]
