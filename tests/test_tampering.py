"""Whatever is changed in the database behind the service's back: verify finds it, and no check says a wrong yes."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Column, Table

from consent_service.core.merkle import leaf_hash
from consent_service.settings import Settings
from consent_service.store.db import Database
from consent_service.store.tables import (
    checkpoint,
    client,
    entry_detail,
    ledger_entry,
    ledger_head,
    ledger_node,
    policy_version,
    signing_key,
    subject_identifier,
    subject_key,
    subject_state,
)
from consent_service.verify.report import TAMPERED, WHOLE
from tests.auditor import verified
from tests.clock import Clock
from tests.school import EMAIL, School
from tests.tables import all_of, lift_triggers, tamper

pytestmark = pytest.mark.anyio

LEDGER = (ledger_entry, ledger_head, ledger_node, checkpoint)
STATE = (subject_state, subject_identifier, client, policy_version, signing_key, subject_key, entry_detail)
LEAST = 250  # cases on each database

Json = Any
Cells = dict[str, Any]
Contents = dict[Table, list[Cells]]


class StillClock(Clock):
    """Leaves the worker where it is: it would sign and anchor what the cases put into its way."""

    async def pause(self, seconds: float) -> None:  # noqa: ARG002 (the clock's own signature)
        await asyncio.Event().wait()


@pytest.fixture
def clock() -> Clock:
    return StillClock()


@dataclass(frozen=True)
class Case:
    """One way of tampering: the tables it touches, with the rows that they hold then."""

    name: str
    rows: Contents


QUESTIONS = (
    ("person:0", "billing"),  # granted, then withdrawn
    ("person:1", "billing"),  # granted
    ("person:2", EMAIL),  # refused
    ("person:3", "surveys"),  # never asked
    ("crm:gone", "billing"),  # an identifier that was taken away
    ("person:5", "billing"),  # granted, membership over
    ("person:7", "billing"),  # granted, then merged with a record in which nobody was asked
)


async def live(school: School) -> Contents:
    """A school's first weeks; answers what lay in the database in the middle of them."""
    for number in range(6):
        await school.enrol(f"person:{number}", f"crm:{number}", birth_date="2000-01-01")
        await school.said(
            f"person:{number}", ("billing", "grant"), ("marketing", "grant"), ("surveys.analysis", "refuse")
        )
    twice = await school.enrol("person:6")
    await school.said("person:7", ("billing", "grant"))
    await school.post("/v1/clients", {"name": "mailer", "scopes": ["check"]})
    for _ in range(4):
        school.clock.advance(minutes=1)
        for number in range(6):
            said = [(leaf, "grant") for leaf in ("inquiry_response", "important_notices", "after_sales_service")] * 3
            await school.said(f"person:{number}", *said)
    await school.service.notary.keep_up()
    middle = await contents(school)
    school.clock.advance(minutes=1)
    await school.said("person:0", ("billing", "withdraw"))
    await school.said("person:2", (EMAIL, "refuse"))
    sub = (await school.post("/v1/subjects/lookup", {"subject": "person:4"})).json()["subject"]
    await school.send("PATCH", f"/v1/subjects/{sub}", {"add_identifiers": ["crm:gone"]})
    await school.send("PATCH", f"/v1/subjects/{sub}", {"remove_identifiers": ["crm:gone"]})
    ended = (await school.post("/v1/subjects/lookup", {"subject": "person:5"})).json()["subject"]
    await school.send("PATCH", f"/v1/subjects/{ended}", {"membership": {"status": "ended"}})
    mailer = next(one for one in (await school.get("/v1/clients")).json()["items"] if one["name"] == "mailer")
    await school.send("DELETE", f"/v1/clients/{mailer['id']}")
    assert (await school.post(f"/v1/subjects/{twice}/merge", {"other": "person:7"})).status_code == 200
    school.clock.advance(minutes=1)
    await school.service.notary.keep_up()
    return middle


async def contents(school: School) -> Contents:
    return {table: [dict(row._mapping) for row in await all_of(school, table)] for table in (*LEDGER, *STATE)}


async def hold(database: Database, rows: Contents) -> None:
    """Let the tables hold these rows."""
    for table, held in rows.items():
        await tamper(database, table.delete())
        if held:
            await tamper(database, table.insert().values(held))


def cases(now: Contents, middle: Contents) -> Iterator[Case]:
    for table in (*LEDGER, *STATE):
        yield from of_columns(table, now[table])
        yield from of_rows(table, now[table])
        yield from of_the_past(table, now[table], middle[table])
    yield from of_many_tables(now, middle)


def of_columns(table: Table, rows: list[Cells]) -> Iterator[Case]:
    """Each column: changed in the first, a middle and the last row, emptied, and swapped between two rows."""
    for column in table.columns:
        name = column.name
        for place in sorted({0, len(rows) // 2, len(rows) - 1}):
            yield edited(
                f"{table} {name} of row {place} changed", table, rows, {place: {name: other(column, rows[place])}}
            )
        full = [place for place, row in enumerate(rows) if row[name] is not None]
        if column.nullable and full:
            yield edited(f"{table} {name} emptied", table, rows, {full[-1]: {name: None}})
        swapped = next(
            ((a, b) for a, b in ((0, 1), (0, len(rows) - 1)) if b < len(rows) and rows[a][name] != rows[b][name]), None
        )
        if swapped and not (column.primary_key and len(table.primary_key) > 1):
            a, b = swapped
            yield edited(f"{table} {name} swapped", table, rows, {a: {name: rows[b][name]}, b: {name: rows[a][name]}})


def of_rows(table: Table, rows: list[Cells]) -> Iterator[Case]:
    """Rows taken away, put in, and the tail cut off."""
    for place in sorted({0, len(rows) // 2, len(rows) - 1}):
        yield Case(f"{table} row {place} deleted", {table: [row for at, row in enumerate(rows) if at != place]})
    for many in (2, 5):
        if len(rows) > many:
            yield Case(f"{table} last {many} cut off", {table: rows[:-many]})
    yield Case(f"{table} emptied", {table: []})
    key = list(table.primary_key)[-1]
    for place in {0, len(rows) - 1}:
        more = rows[place] | {key.name: other(key, rows[place])} | unique(table)
        yield Case(f"{table} row like row {place} inserted", {table: [*rows, more]})


def unique(table: Table) -> Cells:
    return {"key_hash": "k" * 43, "name": "somebody else"} if table is client else {}


def of_the_past(table: Table, rows: list[Cells], old: list[Cells]) -> Iterator[Case]:
    """Each row as it was, and the whole table as it was."""
    keys = [column.name for column in table.primary_key]
    before = {tuple(row[key] for key in keys): row for row in old}
    for place, row in enumerate(rows):
        was = before.get(tuple(row[key] for key in keys))
        if was is not None and was != row:
            yield edited(f"{table} row {place} put back as it was", table, rows, {place: was})
    if old != rows:
        yield Case(f"{table} put back as it was", {table: old})


def of_many_tables(now: Contents, middle: Contents) -> Iterator[Case]:
    """What hides its traces as well as can be without the keys."""
    yield Case("an old backup restored", middle)
    yield Case("the ledger of an old backup restored", {table: middle[table] for table in LEDGER})
    yield Case("the state of an old backup restored", {table: middle[table] for table in STATE})
    yield Case(
        "the tail cut off, head and tree with it", {t: middle[t] for t in (ledger_entry, ledger_head, ledger_node)}
    )
    state = (subject_state, subject_identifier)
    yield Case("people as they were", {table: middle[table] for table in state})
    for place in (20, 40, len(now[ledger_entry]) - 1):
        row = now[ledger_entry][place]
        forged = row["body"].replace(b"grant", b"refuse").replace(b'"applied"', b'"applied" ')
        change = {"body": forged + b" ", "leaf_hash": leaf_hash(forged + b" ")}
        yield edited(f"entry {place} forged with its hash", ledger_entry, now[ledger_entry], {place: change})
    person, other_ = now[subject_state][0], now[subject_state][1]
    exchanged: dict[int, Cells] = {
        0: {"document": other_["document"], "seal": other_["seal"]},
        1: {"document": person["document"], "seal": person["seal"]},
    }
    yield edited("two people's states exchanged, seals and all", subject_state, now[subject_state], exchanged)
    for place, row in enumerate(now[subject_state]):
        yes = row["document"].replace('":[1,', '":[0,').replace('":[2,', '":[0,')
        if yes != row["document"]:
            yield edited(
                f"every no of row {place} made a yes", subject_state, now[subject_state], {place: {"document": yes}}
            )
    for one, two in ((0, 1), (2, 3)):
        a, b = now[subject_identifier][one], now[subject_identifier][two]
        crossed: dict[int, Cells] = {one: {"subject": b["subject"]}, two: {"subject": a["subject"]}}
        yield edited(f"identifiers {one} and {two} cross", subject_identifier, now[subject_identifier], crossed)


def edited(name: str, table: Table, rows: list[Cells], edits: dict[int, Cells]) -> Case:
    return Case(name, {table: [row | edits.get(place, {}) for place, row in enumerate(rows)]})


def other(column: Column[Any], row: Cells) -> object:
    """Another value that the column takes."""
    value = row[column.name]
    if isinstance(value, datetime):
        return value + timedelta(seconds=1)
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:] if value else b"x" * 32
    if isinstance(value, int):
        return value + (1_000_000 if column.primary_key else 1)
    if isinstance(value, str):
        return value[:-1] + ("0" if value[-1:] != "0" else "1")
    return {"revoked_at": row.get("created_at"), "expires_at": row.get("created_at"), "seal": b"x" * 20}.get(
        column.name, "x"
    )


async def answers(school: School) -> list[bool]:
    """Which of the questions get a yes."""
    found = []
    for subject, purpose in QUESTIONS:
        answer = await school.post("/v1/check", {"subject": subject, "purpose": purpose})
        found.append(answer.status_code == 200 and answer.json()["permitted"] is True)
    return found


async def wrong(school: School, settings: Settings, right: Sequence[bool]) -> list[str]:
    """What a case gets past."""
    report = await verified(settings)
    past = [] if report.exit_code == TAMPERED else ["verify"]
    yes = await answers(school)
    return past + [f"check {QUESTIONS[at]}" for at, said in enumerate(yes) if said and not right[at]]


async def test_every_tampering_is_found_and_no_check_says_a_wrong_yes(school: School, settings: Settings) -> None:
    middle, database = await live(school), school.service.database
    now, right, largest = await contents(school), await answers(school), database.trust.largest
    assert right == [False, True, False, False, False, True, False]
    assert (await verified(settings)).findings == []
    await lift_triggers(database)
    past, count, anchors = {}, 0, settings.anchors.read_bytes()
    for case in cases(now, middle):
        if all(now[table] == rows for table, rows in case.rows.items()):
            continue
        await hold(database, case.rows)
        if found := await wrong(school, settings, right):
            past[case.name] = found
        await hold(database, {table: now[table] for table in case.rows})
        settings.anchors.write_bytes(anchors)
        database.trust.largest, database.trust.fault, count = largest, None, count + 1
    assert past == {}
    assert count >= LEAST
    assert (await verified(settings)).exit_code == WHOLE
