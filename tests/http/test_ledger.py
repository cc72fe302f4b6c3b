"""The ledger over HTTP: whoever takes entries, checkpoints and proofs from it can see for themselves."""

import asyncio
import hashlib
import random
from itertools import pairwise
from typing import Any

import pytest

from consent_service.core import checkpoint
from consent_service.core.clients import Scope
from consent_service.store.tables import checkpoint as checkpoint_table
from consent_service.store.tables import ledger_entry, ledger_node
from tests.core.test_merkle import as_the_rfc_says
from tests.http.test_conventions import assert_problem
from tests.school import School
from tests.tables import all_of, lift_triggers, tamper

pytestmark = pytest.mark.anyio
Json = Any

ORIGIN = "consent-service/ledger"
MARKETING = [
    f"marketing.{who}_compan{end}.{how}"
    for who, end in (("own", "y"), ("other", "ies"))
    for how in ("telephone", "email", "post")
]


async def a_long_ledger(school: School) -> list[bytes]:
    """More than 256 entries, so that nodes of two levels are stored; answers their bodies, by way of HTTP."""
    said = [(purpose, "grant") for purpose in [*MARKETING, "billing"]]
    await asyncio.gather(*(school.said(f"person:{number}", *said) for number in range(30)))
    bodies = [item["body"].encode() for item in await entries(school)]
    assert len(bodies) > 256
    assert {row.level for row in await all_of(school, ledger_node)} == {4, 8}
    return bodies


async def entries(school: School, limit: int = 100) -> list[Json]:
    found: list[Json] = []
    page = (await school.get(f"/v1/ledger/entries?limit={limit}")).json()
    while page["next"] is not None:
        found += page["items"]
        assert page["next"] == found[-1]["index"]
        page = (await school.get(f"/v1/ledger/entries?after={page['next']}&limit={limit}")).json()
    found += page["items"]
    return found


async def proof(school: School, what: str, **query: int) -> Json:
    named = "&".join(f"{name.strip('_')}={value}" for name, value in query.items())
    response = await school.get(f"/v1/ledger/proof/{what}?{named}")
    assert response.status_code == 200, response.text
    return response.json()


def path_of(index: int, bodies: list[bytes]) -> list[bytes]:
    """PATH(m, D[n]), RFC 6962 section 2.1.1."""
    if len(bodies) == 1:
        return []
    k = 1 << (len(bodies) - 1).bit_length() - 1
    if index < k:
        return [*path_of(index, bodies[:k]), as_the_rfc_says(bodies[k:])]
    return [*path_of(index - k, bodies[k:]), as_the_rfc_says(bodies[:k])]


def subproof_of(first: int, bodies: list[bytes], *, known: bool = True) -> list[bytes]:
    """SUBPROOF(m, D[n], b), RFC 6962 section 2.1.2."""
    if first == len(bodies):
        return [] if known else [as_the_rfc_says(bodies)]
    k = 1 << (len(bodies) - 1).bit_length() - 1
    if first <= k:
        return [*subproof_of(first, bodies[:k], known=known), as_the_rfc_says(bodies[k:])]
    return [*subproof_of(first - k, bodies[k:], known=False), as_the_rfc_says(bodies[:k])]


async def test_the_checkpoint_is_a_signed_note_of_the_root_of_all_entries(school: School) -> None:
    await school.said("person:1", ("billing", "grant"), ("surveys", "refuse"))
    response = await school.get("/v1/ledger/checkpoint")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    key = school.service.database.keyring.checkpoint.public_key
    opened = checkpoint.opened(response.text, ORIGIN, [key])
    bodies = [item["body"].encode() for item in await entries(school)]
    assert (opened.size, opened.root) == (len(bodies), as_the_rfc_says(bodies))


async def test_a_checkpoint_covers_what_was_acknowledged_and_they_are_a_second_apart(school: School) -> None:
    for number in range(5):
        told = await school.said(f"person:{number}", ("billing", "grant"))
        notes = await asyncio.gather(*(school.get("/v1/ledger/checkpoint") for _ in range(3)))
        assert {checkpoint.size_of(note.text) for note in notes} == {told["as_of"]}
        school.clock.advance(milliseconds=300)
    made = await all_of(school, checkpoint_table)
    assert all((later.at - sooner.at).total_seconds() >= 1 for sooner, later in pairwise(made))


async def test_without_new_entries_the_checkpoint_stays_the_same(school: School) -> None:
    first = (await school.get("/v1/ledger/checkpoint")).text
    school.clock.advance(days=1)
    assert (await school.get("/v1/ledger/checkpoint")).text == first


async def test_inclusion_proofs_are_the_rfcs(school: School) -> None:
    bodies, dice = await a_long_ledger(school), random.Random(1)
    sizes = [1, 2, 16, 17, 255, 256, 257, len(bodies), *(dice.randint(1, len(bodies)) for _ in range(12))]
    for size in sizes:
        for index in {0, size - 1, dice.randrange(size), dice.randrange(size)}:
            told = await proof(school, "inclusion", index=index, size=size)
            assert told == {
                "index": index,
                "size": size,
                "leaf_hash": hashlib.sha256(b"\x00" + bodies[index]).hexdigest(),
                "hashes": [one.hex() for one in path_of(index, bodies[:size])],
                "root": as_the_rfc_says(bodies[:size]).hex(),
            }


async def test_consistency_proofs_are_the_rfcs(school: School) -> None:
    bodies, dice = await a_long_ledger(school), random.Random(2)
    sizes = [1, 2, 16, 17, 255, 256, 257, len(bodies), *(dice.randint(1, len(bodies)) for _ in range(12))]
    for second in sizes:
        for first in {1, second, dice.randint(1, second), dice.randint(1, second)}:
            told = await proof(school, "consistency", from_=first, to=second)
            assert told == {
                "from": first,
                "to": second,
                "hashes": [one.hex() for one in subproof_of(first, bodies[:second])],
                "from_root": as_the_rfc_says(bodies[:first]).hex(),
                "to_root": as_the_rfc_says(bodies[:second]).hex(),
            }


async def test_a_size_that_is_left_out_is_that_of_all_entries(school: School) -> None:
    size = (await school.said("person:1", ("billing", "grant")))["as_of"]
    assert (await proof(school, "inclusion", index=size - 1))["size"] == size
    assert (await proof(school, "consistency", from_=1))["to"] == size


async def test_entries_come_in_pages_and_hash_to_what_they_say(school: School) -> None:
    await school.said("person:1", ("billing", "grant"), ("surveys", "refuse"))
    found = await entries(school, limit=3)
    assert [item["index"] for item in found] == list(range(len(found)))
    assert found == await entries(school, limit=1000)
    for item in found:
        assert item["leaf_hash"] == hashlib.sha256(b"\x00" + item["body"].encode()).hexdigest()
    assert found[-1]["kind"] == "statement"
    nothing = (await school.get(f"/v1/ledger/entries?after={2**53 - 1}")).json()
    assert nothing == {"items": [], "next": None}


async def test_what_was_tampered_with_is_shown_as_it_is(school: School) -> None:
    await lift_triggers(school.service.database)
    changed = ledger_entry.update().where(ledger_entry.c.index == 0).values(kind="\u2028", body=b"\xff\x00not JSON")
    await tamper(school.service.database, changed)
    (item,) = (await school.get("/v1/ledger/entries?limit=1")).json()["items"]
    assert item["body"] == "\ufffd\x00not JSON"
    assert item["leaf_hash"] != hashlib.sha256(b"\x00\xff\x00not JSON").hexdigest()


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("inclusion", "query/index"),
        ("inclusion?index=-1", "query/index"),
        ("inclusion?index=x", "query/index"),
        ("inclusion?index=1.5", "query/index"),
        ("inclusion?index=0x1", "query/index"),
        ("inclusion?index=100000", "query/index"),
        (f"inclusion?index={2**63}", "query/index"),
        ("inclusion?index=3&size=3", "query/index"),
        ("inclusion?index=0&size=0", "query/size"),
        ("inclusion?index=0&size=-1", "query/size"),
        ("inclusion?index=0&size=100000", "query/size"),
        (f"inclusion?index=0&size={2**64}", "query/size"),
        ("inclusion?index=0&size=", "query/size"),
        ("consistency", "query/from"),
        ("consistency?from=0", "query/from"),
        ("consistency?from=-1", "query/from"),
        ("consistency?from=100000", "query/from"),
        ("consistency?from=3&to=2", "query/from"),
        ("consistency?from=x&to=2", "query/from"),
        ("consistency?from=1&to=0", "query/to"),
        ("consistency?from=1&to=100000", "query/to"),
        (f"consistency?from=1&to={2**64}", "query/to"),
    ],
)
async def test_a_proof_of_what_there_is_not_is_refused_with_a_sentence(
    school: School, query: str, pointer: str
) -> None:
    response = await school.get(f"/v1/ledger/proof/{query}")
    assert_problem(response, 422, "validation_failed")
    (fault,) = response.json()["errors"]
    assert fault["pointer"] == pointer
    assert fault["detail"]


@pytest.mark.parametrize("query", ["after=-2", "after=x", f"after={2**64}", "limit=0", "limit=1001", "limit=x"])
async def test_a_page_that_there_cannot_be_is_refused(school: School, query: str) -> None:
    response = await school.get(f"/v1/ledger/entries?{query}")
    assert_problem(response, 422, "validation_failed")
    assert [fault["pointer"] for fault in response.json()["errors"]] == [f"query/{query.partition('=')[0]}"]


PATHS = ("checkpoint", "entries", "proof/inclusion?index=0", "proof/consistency?from=1")


async def test_the_ledger_takes_the_auditors_scope(school: School) -> None:
    key = await school.key_for("checks", *(scope for scope in Scope if scope is not Scope.AUDIT_READ))
    for path in PATHS:
        assert_problem(await school.get(f"/v1/ledger/{path}", key=key), 403, "scope_missing")
        assert_problem(await school.http.get(f"/v1/ledger/{path}"), 401, "unauthenticated")


@pytest.mark.parametrize("limits", [{"purposes": ["billing"]}, {"namespaces": ["person"]}])
async def test_whoever_does_not_see_everybody_sees_hashes_only(school: School, limits: Json) -> None:
    key = await school.key_for("part", Scope.AUDIT_READ, **limits)
    statuses = [(await school.get(f"/v1/ledger/{path}", key=key)).status_code for path in PATHS]
    assert statuses == [200, 403, 200, 200]


async def test_a_tree_that_does_not_fit_together_proves_nothing_and_signs_nothing_and_checks_go_on(
    school: School,
) -> None:
    size = len(await a_long_ledger(school))
    school.clock.advance(seconds=2)
    await lift_triggers(school.service.database)
    await tamper(school.service.database, ledger_node.update().where(ledger_node.c.level == 8).values(hash=bytes(32)))
    for path in ("checkpoint", f"proof/inclusion?index={size - 1}", "proof/consistency?from=257"):
        assert_problem(await school.get(f"/v1/ledger/{path}"), 503, "ledger_damaged")
    await tamper(school.service.database, ledger_node.delete().where(ledger_node.c.level == 8))
    for path in ("checkpoint", f"proof/inclusion?index={size - 1}", "proof/consistency?from=257"):
        assert_problem(await school.get(f"/v1/ledger/{path}"), 503, "ledger_damaged")
    assert (await school.check("person:1", "billing"))["permitted"]
    assert (await school.said("person:1", ("billing", "withdraw")))["as_of"] == size + 1
