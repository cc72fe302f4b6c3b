"""AuthZEN's evaluations: the certification scenario's levels Basic and Batch."""

from itertools import product

import pytest

from consent_service.store.tables import decision
from tests.authzen import (
    ALICE,
    BOB,
    CONTEXT,
    EVALUATION,
    EVALUATIONS,
    MAY_READ,
    MAY_WRITE,
    READ,
    RECORD_1,
    RECORD_2,
    SEARCHES,
    WRITE,
    Json,
    answer,
    decide,
    decide_all,
    find,
)
from tests.http.test_conventions import assert_problem
from tests.school import School
from tests.tables import all_of

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("subject", "action", "expected"),
    [(ALICE, READ, True), (ALICE, WRITE, True), (BOB, READ, True), (BOB, WRITE, False)],
)
async def test_the_fixtures_core_rules_hold(pdp: School, subject: Json, action: Json, expected: bool) -> None:
    evaluation = {"subject": subject, "action": action, "resource": RECORD_1}
    assert await decide(pdp, evaluation) is expected
    assert await decide(pdp, evaluation | {"context": CONTEXT}) is expected


async def test_properties_and_members_that_it_does_not_know_are_ignored(pdp: School) -> None:
    with_properties = {
        "subject": ALICE | {"properties": {"department": "Sales", "role": "manager"}},
        "action": READ | {"properties": {"method": "GET", "within": "nothing"}},
        "resource": RECORD_1 | {"properties": {"status": "active", "owner": "bob"}},
    }
    assert await decide(pdp, with_properties) is True
    assert await decide(pdp, MAY_READ | {"foo": "bar", "futureField": {"nested": True}}) is True
    assert await decide(pdp, MAY_READ | {"subject": ALICE | {"foo": 1}}) is True


async def test_what_a_request_says_of_itself_makes_no_yes(pdp: School) -> None:
    archived = RECORD_2 | {"properties": {"status": "archived"}}
    admin = BOB | {"properties": {"role": "admin"}}
    rule_5 = {"subject": ALICE, "action": WRITE, "resource": archived}
    rule_6 = {"subject": admin, "action": WRITE, "resource": archived}
    rules_7_and_8 = [
        {"subject": ALICE, "action": {"name": "delete", "properties": {"soft": soft}}, "resource": RECORD_1}
        for soft in (True, False)
    ]
    assert await decide_all(pdp, {"evaluations": [rule_5, rule_6, *rules_7_and_8]}) == [False] * 4


async def test_the_same_question_gets_the_same_decision(pdp: School) -> None:
    assert [await decide(pdp, MAY_READ) for _ in range(3)] == [True] * 3


WITHOUT = {
    "subject": {"action": READ, "resource": RECORD_1},
    "action": {"subject": ALICE, "resource": RECORD_1},
    "resource": {"subject": ALICE, "action": READ},
    "subject/type": MAY_READ | {"subject": {"id": "alice"}},
    "subject/id": MAY_READ | {"subject": {"type": "user"}},
    "action/name": MAY_READ | {"action": {}},
    "resource/type": MAY_READ | {"resource": {"id": "record-1"}},
    "resource/id": MAY_READ | {"resource": {"type": "record"}},
}


async def test_what_is_required_and_missing_is_a_400_that_names_it(pdp: School) -> None:
    for path, member in product((EVALUATION, EVALUATIONS), WITHOUT):
        response = await pdp.post(path, WITHOUT[member])
        assert_problem(response, 400, "malformed_request")
        assert [one["pointer"] for one in response.json()["errors"]] == [f"/{member}"]


WRONG: list[Json] = [
    {"subject": "alice"},
    {"action": {"name": 123}},
    {"resource": [RECORD_1]},
    {"subject": ALICE | {"properties": "x"}},
    {"context": "x"},
    {"context": None},
]


async def test_a_member_of_another_type_is_a_400(pdp: School) -> None:
    for path, wrong in product((EVALUATION, EVALUATIONS), WRONG):
        assert_problem(await pdp.post(path, MAY_READ | wrong), 400, "malformed_request")


NOT_JSON_OBJECTS = [
    (b"", "application/json"),
    (b"{", "application/json"),
    (b"[]", "application/json"),
    (b'"x"', "application/json"),
    (b'{"a": NaN}', "application/json"),
    (b'{"subject": {}, "subject": {}}', "application/json"),
    (b'{"context": "\\u0000"}', "application/json"),
    (b"[" * 50_000, "application/json"),
    (b"{}", "text/plain"),
]


async def test_what_is_not_a_json_object_is_a_400(pdp: School) -> None:
    paths = (EVALUATION, EVALUATIONS, *(f"/access/v1/search/{what}" for what in SEARCHES))
    for path, (body, content_type) in product(paths, NOT_JSON_OBJECTS):
        headers = {"Authorization": f"Bearer {pdp.key}", "Content-Type": content_type}
        assert_problem(await pdp.http.post(path, content=body, headers=headers), 400, "malformed_request")


async def test_deep_nesting_and_great_numbers_do_no_harm(pdp: School) -> None:
    deep: Json = {}
    for _ in range(300):
        deep = {"a": deep}
    assert await decide(pdp, MAY_READ | {"context": deep}) is True
    assert await decide_all(pdp, MAY_READ | {"context": deep, "evaluations": [{}, {"context": deep}]}) == [True, True]
    great = {"limit": 1, "properties": {"n": 10**400}}
    search = {"subject": {"type": "user"}, "action": READ, "resource": RECORD_1 | {"properties": {"n": 10**400}}}
    assert (await find(pdp, "subject", search | {"page": great}))["page"]["next_token"]


async def test_the_request_id_comes_back(pdp: School) -> None:
    for request_id, body in product(("bfe9eb29-ab87-4ca3-be83-a1d5d8305716", "a/b+c==", "<{[req]}>"), (MAY_READ, {})):
        response = await pdp.post(EVALUATION, body, X_Request_ID=request_id)
        assert response.headers["x-request-id"] == request_id
    assert (await pdp.post(EVALUATION, MAY_READ)).status_code == 200


async def test_a_batch_answers_in_order(pdp: School) -> None:
    by_action = {"subject": BOB, "resource": RECORD_1, "evaluations": [{"action": READ}, {"action": WRITE}]}
    assert await decide_all(pdp, by_action) == [True, False]
    assert await decide_all(pdp, {"evaluations": [MAY_READ, MAY_WRITE, MAY_READ]}) == [True, False, True]
    assert "decision" not in await answer(pdp, EVALUATIONS, by_action)


async def test_a_context_is_inherited_or_given(pdp: School) -> None:
    items = [{"resource": RECORD_1}, {"resource": RECORD_2, "context": {"source": "batch-override"}}]
    batch = {"subject": ALICE, "action": READ, "context": CONTEXT, "evaluations": items}
    assert await decide_all(pdp, batch) == [True, True]


async def test_an_item_takes_from_the_defaults_what_it_must_have(pdp: School) -> None:
    items = [
        {"resource": {"id": "record-1", "properties": {"status": "active"}}},
        {"resource": {"type": "record", "id": "record-2", "properties": {"status": "archived"}}},
    ]
    batch = {"subject": ALICE, "action": WRITE, "resource": {"type": "record"}, "evaluations": items}
    assert await decide_all(pdp, batch) == [True, False]
    whole = [{"resource": RECORD_1 | {"properties": {"status": "active"}}}, items[1]]
    assert await decide_all(pdp, {"subject": ALICE, "action": WRITE, "evaluations": whole}) == [True, False]


async def test_the_fault_of_one_item_is_its_own_no(pdp: School) -> None:
    for wrong in ({}, {"resource": "x"}, {"resource": RECORD_1, "action": {"name": 1}}, "x", None):
        items = [{"resource": RECORD_1}, wrong, {"resource": RECORD_1}]
        batch = {"subject": ALICE, "action": READ, "evaluations": items}
        told = (await answer(pdp, EVALUATIONS, batch))["evaluations"]
        assert [one["decision"] for one in told] == [True, False, True]
        error = told[1]["context"]["error"]
        assert (error["status"], error["code"]) == (400, "malformed_request")
        assert error["errors"][0]["pointer"].startswith("/evaluations/1")


async def test_without_evaluations_a_batch_is_an_evaluation(pdp: School) -> None:
    bodies: list[Json] = [MAY_READ, MAY_READ | {"evaluations": []}]
    for body in bodies:
        told = await answer(pdp, EVALUATIONS, body)
        assert told["decision"] is True
        assert "evaluations" not in told


@pytest.mark.parametrize(
    ("semantic", "items", "expected"),
    [
        ("execute_all", [WRITE, READ, WRITE], [False, True, False]),
        ("deny_on_first_deny", [READ, WRITE, READ], [True, False]),
        ("deny_on_first_deny", [READ, {}, READ], [True, False]),
        ("permit_on_first_permit", [WRITE, READ, WRITE], [False, True]),
        ("permit_on_first_permit", [WRITE, WRITE], [False, False]),
    ],
)
async def test_a_semantic_ends_a_batch_and_what_is_not_answered_is_not_recorded(
    pdp: School, semantic: str, items: Json, expected: list[bool]
) -> None:
    batch = {
        "subject": BOB,
        "resource": RECORD_1,
        "evaluations": [{"action": item} for item in items],
        "options": {"evaluations_semantic": semantic, "another_option": "value"},
    }
    told = (await answer(pdp, EVALUATIONS, batch))["evaluations"]
    assert [one["decision"] for one in told] == expected
    ids = {one["context"]["decision_id"] for one in told if "error" not in one["context"]}
    assert {row.id for row in await all_of(pdp, decision)} == ids


async def test_a_batch_of_another_shape_is_a_400(pdp: School) -> None:
    shapes: list[Json] = [{"options": {"evaluations_semantic": "some"}}, {"options": []}, {"evaluations": {}}]
    for wrong in shapes:
        response = await pdp.post(EVALUATIONS, MAY_READ | {"evaluations": [{}]} | wrong)
        assert_problem(response, 400, "malformed_request")


async def test_a_batch_has_at_most_a_thousand_evaluations(pdp: School) -> None:
    assert await decide_all(pdp, {"evaluations": [MAY_READ] * 1000}) == [True] * 1000
    over = await pdp.post(EVALUATIONS, MAY_READ | {"evaluations": [{}] * 1001})
    assert over.json()["errors"][0]["pointer"] == "/evaluations"
    assert "1000" in over.json()["errors"][0]["detail"]
