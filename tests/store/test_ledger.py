"""The ledger's base: dense, append-only, personal data out of it, and a projection that it alone determines."""

import asyncio
import hashlib
import random
from functools import partial
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError

from consent_service.core import ledger as entries
from consent_service.core import merkle
from consent_service.lanes import write_alone
from consent_service.store.projection import TABLES
from consent_service.store.rebuild import rebuild
from consent_service.store.tables import (
    entry_detail,
    ledger_entry,
    ledger_head,
    ledger_node,
    metadata,
    subject_identifier,
    subject_key,
    subject_state,
)
from consent_service.store.tree import split
from tests.core.test_merkle import as_the_rfc_says
from tests.school import EMAIL, School
from tests.tables import all_of, tamper

anyio_test = pytest.mark.anyio


async def whole_ledger(school: School) -> list[Any]:
    return list(await all_of(school, ledger_entry))


@anyio_test
async def test_indexes_are_dense_and_hashes_are_those_of_the_stored_bytes(school: School) -> None:
    await asyncio.gather(*(school.said(f"person:{n}", ("billing", "grant"), ("surveys", "refuse")) for n in range(30)))
    rows = await whole_ledger(school)
    assert [row._mapping["index"] for row in rows] == list(range(len(rows)))
    assert all(row.leaf_hash == hashlib.sha256(b"\x00" + row.body).digest() for row in rows)
    assert [row.at for row in rows] == sorted(row.at for row in rows)
    (head,) = await all_of(school, ledger_head)
    assert (head.size, head.at) == (len(rows), rows[-1].at)
    frontier = merkle.grown((), 0, [row.leaf_hash for row in rows])[0]
    assert head.frontier == b"".join(frontier)


@anyio_test
async def test_every_change_of_state_is_an_entry(school: School) -> None:
    sub = await school.enrol("sis:S-1", birth_date="2000-01-01")
    await school.send(
        "PATCH",
        f"/v1/subjects/{sub}",
        {"language": "ja", "membership": {"status": "ended"}, "add_identifiers": ["crm:a"]},
    )
    await school.said("sis:S-1", ("billing", "grant"))
    made = (await school.post("/v1/clients", {"name": "x", "scopes": ["check"]})).json()
    await school.send("DELETE", f"/v1/clients/{made['id']}")
    kinds = [row.kind for row in await whole_ledger(school)]
    assert (kinds[0], kinds[kinds.index("policy") - 1]) == ("key", "key")
    assert kinds[kinds.index("subject") :] == [
        "subject",
        "identifier",
        "subject",
        "identifier",
        "membership",
        "statement",
        "client",
        "client",
    ]


@anyio_test
async def test_an_entry_says_which_client_recorded_it(school: School) -> None:
    made = (await school.post("/v1/clients", {"name": "office", "scopes": ["consents:write"]})).json()
    await school.say("person:1", ("billing", "grant"), key=made["key"])
    bodies = [entries.from_bytes(row.body) for row in await whole_ledger(school)]
    assert bodies[0].recorded_by == "operator"
    assert {body.recorded_by for body in bodies[-3:]} == {made["id"]}


@anyio_test
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_entry SET body = 'x' WHERE \"index\" = 0",
        'DELETE FROM ledger_entry WHERE "index" = 0',
    ],
)
async def test_the_ledger_refuses_to_be_changed(school: School, statement: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"):
        await tamper(school.service.database, statement)


@anyio_test
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_insert_or_replace_does_not_get_past_the_triggers(school: School) -> None:
    with pytest.raises(DBAPIError, match="append-only"):
        await tamper(
            school.service.database,
            'INSERT OR REPLACE INTO ledger_entry ("index", at, kind, body, leaf_hash) '
            "VALUES (0, '2026-01-01T00:00:00.000Z', 'policy', 'x', 'x')",
        )


@anyio_test
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("before", ["", "SET session_replication_role = replica"])
async def test_truncating_and_replica_mode_do_not_get_past_the_triggers(school: School, before: str) -> None:
    async with school.service.database.writing.connect() as connection:
        if before:
            await connection.exec_driver_sql(before)
        with pytest.raises(DBAPIError, match="append-only"):
            await connection.exec_driver_sql("TRUNCATE ledger_entry")


@anyio_test
async def test_nothing_personal_lies_in_the_clear_anywhere(school: School) -> None:
    personal = ["private-number", "1999-12-31", "front-desk-person", "binder-nine"]
    sub = await school.enrol("sis:private-number", birth_date="1999-12-31")
    by = {"role": "staff", "staff": "front-desk-person"}
    body = {"by": by, "method": "paper", "evidence": {"form": "binder-nine"}}
    await school.said("sis:private-number", ("billing", "grant"), **body)
    await school.check("sis:private-number", "billing")
    for table in metadata.sorted_tables:
        for row in await all_of(school, table):
            cells = [cell if isinstance(cell, bytes) else str(cell).encode() for cell in row]
            assert not any(word.encode() in cell for word in personal for cell in cells), table.name
    assert (await school.get(f"/v1/subjects/{sub}")).json()["birth_date"] == "1999-12-31"


@anyio_test
async def test_a_commitment_opens_with_its_salt_and_detail_only(school: School) -> None:
    await school.enrol("sis:S-1")
    row = next(row for row in reversed(await whole_ledger(school)) if row.kind == "identifier")
    body = entries.from_bytes(row.body)
    (detail,) = [d for d in await all_of(school, entry_detail) if d._mapping["index"] == row._mapping["index"]]
    assert body.commitment == entries.commitment(detail.salt, b'{"identifier":"sis:S-1"}')
    assert body.commitment != entries.commitment(bytes(32), b'{"identifier":"sis:S-1"}')


@anyio_test
async def test_time_never_runs_backwards(school: School) -> None:
    await school.said("person:1", ("billing", "grant"), expires_at="2026-11-23T02:11:00Z")
    school.clock.advance(minutes=1)
    await school.said("person:2", ("billing", "grant"))
    school.clock.advance(minutes=-30)
    answer = await school.check("person:1", "billing")
    assert answer["decided_at"] == "2026-11-23T02:11:00.000Z"
    assert [reason["code"] for reason in answer["reasons"]] == ["expired"]
    await school.said("person:3", ("billing", "grant"))
    times = [row.at for row in await whole_ledger(school)]
    assert times == sorted(times)


@anyio_test
async def test_rebuild_leaves_the_erased_out_and_every_hash_stands(school: School) -> None:
    erased = await school.enrol("sis:erased")
    await school.enrol("sis:kept")
    before = await whole_ledger(school)
    for table in (subject_key, subject_state, subject_identifier):
        await tamper(school.service.database, table.delete().where(table.c.subject == erased))
    await write_alone(school.service.database, rebuild)
    assert await whole_ledger(school) == before
    assert (await school.post("/v1/subjects/lookup", {"subject": "sis:erased"})).status_code == 404
    assert (await school.post("/v1/subjects/lookup", {"subject": "sis:kept"})).status_code == 200


async def projection(school: School) -> dict[str, list[tuple[Any, ...]]]:
    return {table.name: [tuple(row) for row in await all_of(school, table)] for table in TABLES}


people = st.sampled_from([f"{namespace}:{n}" for namespace in ("person", "sis", "crm") for n in range(3)])
purposes = st.sampled_from(["billing", "marketing", EMAIL, "surveys.analysis", "credit_checks"])
said = st.tuples(purposes, st.sampled_from(["grant", "refuse", "withdraw"]))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("say"), people, said, st.integers(0, 3), st.none() | people),
        st.tuples(st.just("link"), people, people),
        st.tuples(st.just("unlink"), people, people),
        st.tuples(st.just("merge"), people, people),
        st.tuples(st.just("end"), people, st.sampled_from(["active", "ended"])),
        st.tuples(st.just("client"), st.integers(0, 3)),
        st.tuples(st.just("born"), people, st.sampled_from([None, "2014-05-02", "2001-02-28"])),
        st.tuples(st.just("guard"), people, people, st.sampled_from([{}, {"verified_by": "office"}])),
        st.tuples(st.just("guarded"), people, st.sampled_from(["verify", "end", "block", "unblock"])),
    ),
    max_size=12,
)


async def play(school: School, told: list[tuple[Any, ...]]) -> None:
    for step in told:
        school.clock.advance(seconds=random.Random(str(step)).randint(0, 2))
        match step:
            case ("say", person, one, days_ago, guardian):
                made_at = school.clock.now.replace(day=school.clock.now.day - days_ago)
                by = {"role": "guardian", "subject": guardian} if guardian else {"role": "subject"}
                await school.say(person, one, made_at=made_at.isoformat(), by=by)
            case ("client", number):
                made = await school.post("/v1/clients", {"name": f"c{number}", "scopes": ["check"]})
                if made.status_code == 409:
                    listed = (await school.get("/v1/clients")).json()["items"]
                    await school.send("DELETE", f"/v1/clients/{listed[-1]['id']}")
            case ("guard", guardian, ward, more):
                family = {"guardian": guardian, "ward": ward, "relation": "aunt", **more}
                await school.post("/v1/guardianships", family)
            case (what, person, other):
                await change_person(school, what, person, other)
            case _:
                raise AssertionError(step)


async def change_person(school: School, what: str, person: str, other: str) -> None:
    found = await school.post("/v1/subjects/lookup", {"subject": person})
    if found.status_code != 200:
        return
    path = f"/v1/subjects/{found.json()['subject']}"
    if what == "guarded":
        for one in (await school.get(f"{path}/guardians")).json()["items"]:
            body = {"verify": {"verified_by": "office"}, "block": {"reference": "court"}}.get(other, {})
            await school.post(f"/v1/guardianships/{one['id']}/{other}", body)
        return
    if what == "merge":
        await school.post(f"{path}/merge", {"other": other})
        return
    change = {
        "link": {"add_identifiers": [other]},
        "unlink": {"remove_identifiers": [other]},
        "end": {"membership": {"status": other}},
        "born": {"birth_date": other},
    }[what]
    await school.send("PATCH", path, change)


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(told=steps)
def test_the_ledger_alone_gives_the_projection_again_byte_for_byte(
    portal: BlockingPortal, open_for_many: School, told: list[tuple[Any, ...]]
) -> None:
    portal.call(partial(play, open_for_many, told))
    before = portal.call(projection, open_for_many)
    portal.call(write_alone, open_for_many.service.database, rebuild)
    assert portal.call(projection, open_for_many) == before


@hypothesis_settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(told=steps)
def test_the_stored_tree_is_that_of_the_entries(
    portal: BlockingPortal, open_for_many: School, told: list[tuple[Any, ...]]
) -> None:
    portal.call(partial(play, open_for_many, told))
    rows = portal.call(whole_ledger, open_for_many)
    (head,) = portal.call(all_of, open_for_many, ledger_head)
    nodes = portal.call(all_of, open_for_many, ledger_node)
    assert head.size == len(rows)
    assert merkle.root(split(head.frontier)) == as_the_rfc_says([row.body for row in rows])
    assert [(row.level, row.position) for row in nodes] == [(4, at) for at in range(len(rows) >> 4)] + [
        (8, at) for at in range(len(rows) >> 8)
    ]
    for row in nodes:
        bodies = [entry.body for entry in rows[row.position << row.level : row.position + 1 << row.level]]
        assert row.hash == as_the_rfc_says(bodies)
