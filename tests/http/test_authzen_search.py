"""AuthZEN's searches and discovery: the certification scenario's levels Search and Discovery."""

from itertools import product

import pytest

from tests.authzen import ALICE, BOB, CONTEXT, READ, RECORD_1, SEARCHES, SPACESHIP, WRITE, Json, find
from tests.http.test_conventions import assert_problem
from tests.school import School

pytestmark = pytest.mark.anyio


async def test_a_subject_search_finds_who_may(pdp: School) -> None:
    may_read = {"subject": {"type": "user"}, "action": READ, "resource": RECORD_1}
    found = await find(pdp, "subject", may_read | {"context": CONTEXT})
    assert {"type": "user", "id": "alice"} in found["results"]
    assert {"type": "user", "id": "bob"} in found["results"]
    assert found["page"] == {"next_token": "", "count": len(found["results"])}
    may_write = await find(pdp, "subject", may_read | {"action": WRITE, "subject": {"type": "user", "id": 5}})
    assert {"type": "user", "id": "alice"} in may_write["results"]
    assert {"type": "user", "id": "bob"} not in may_write["results"]


async def test_a_resource_search_finds_whose_data_may_be_used(pdp: School) -> None:
    may_read = {"subject": ALICE, "action": READ, "resource": {"type": "record"}}
    found = (await find(pdp, "resource", may_read))["results"]
    assert sorted(one["id"] for one in found) == ["record-1", "record-2"]
    assert {one["type"] for one in found} == {"record"}
    may_write = await find(pdp, "resource", may_read | {"action": WRITE, "resource": {"type": "record", "id": None}})
    assert may_write["results"] == [RECORD_1]


async def test_an_action_search_finds_for_what_data_may_be_used(pdp: School) -> None:
    found = await find(pdp, "action", {"subject": ALICE, "resource": RECORD_1, "context": CONTEXT})
    assert found["results"] == [{"name": "read"}, {"name": "write"}]
    assert (await find(pdp, "action", {"subject": BOB, "resource": RECORD_1}))["results"] == [{"name": "read"}]


@pytest.mark.parametrize("what", SEARCHES)
async def test_a_search_comes_page_by_page_and_ends_with_an_empty_token(pdp: School, what: str) -> None:
    whole = (await find(pdp, what, SEARCHES[what]))["results"]
    found, token = [], ""
    for _ in range(9):
        page = await find(pdp, what, SEARCHES[what] | {"page": {"limit": 1, "token": token}})
        assert page["page"]["count"] == len(page["results"]) <= 1
        found += page["results"]
        token = page["page"]["next_token"]
        if not token:
            break
    assert token == ""
    assert found == whole


async def test_a_wrong_page_is_a_400(pdp: School) -> None:
    wrong = [
        {"limit": -1},
        {"limit": "5"},
        {"limit": True},
        {"token": 5},
        {"token": "nonsense"},
        {"token": "é"},
        [],
        "x",
    ]
    for what, page in product(SEARCHES, wrong):
        response = await pdp.post(f"/access/v1/search/{what}", SEARCHES[what] | {"page": page})
        assert_problem(response, 400, "malformed_request")


async def test_a_page_of_no_results_leads_to_the_same_place(pdp: School) -> None:
    for what, body in SEARCHES.items():
        whole = (await find(pdp, what, body))["results"]
        nothing = await find(pdp, what, body | {"page": {"limit": 0}})
        assert nothing["results"] == []
        page = {"page": {"token": nothing["page"]["next_token"]}}
        assert (await find(pdp, what, body | page))["results"] == whole


async def test_a_token_is_good_for_its_own_search_only(pdp: School) -> None:
    first = await find(pdp, "subject", SEARCHES["subject"] | {"page": {"limit": 1}})
    page = {"page": {"token": first["page"]["next_token"]}}
    again = await pdp.post("/access/v1/search/subject", SEARCHES["subject"] | {"action": WRITE} | page)
    elsewhere = await pdp.post("/access/v1/search/action", SEARCHES["action"] | page)
    for response in (again, elsewhere):
        assert_problem(response, 400, "malformed_request")
        assert response.json()["errors"][0]["pointer"] == "/page/token"


async def test_a_greater_limit_than_ours_is_ours(pdp: School) -> None:
    assert (await find(pdp, "subject", SEARCHES["subject"] | {"page": {"limit": 10**9}}))["page"]["next_token"] == ""


UNKNOWN: list[tuple[str, Json]] = [
    ("subject", {"subject": SPACESHIP}),
    ("subject", {"resource": SPACESHIP}),
    ("subject", {"resource": RECORD_1 | {"id": "nobody"}}),
    ("subject", {"action": {"name": "fly"}}),
    ("resource", {"subject": SPACESHIP}),
    ("resource", {"subject": ALICE | {"id": "nonexistent-user"}}),
    ("resource", {"resource": SPACESHIP}),
    ("resource", {"resource": {"type": "record", "properties": {"namespace": "sis"}}}),
    ("resource", {"resource": {"type": "record", "properties": {"namespace": "No Such"}}}),
    ("resource", {"action": {"name": "fly"}}),
    ("action", {"subject": SPACESHIP}),
    ("action", {"subject": ALICE | {"id": "nonexistent-user"}}),
    ("action", {"resource": SPACESHIP}),
]


async def test_what_is_unknown_is_not_found_and_no_error(pdp: School) -> None:
    for what, unknown in UNKNOWN:
        assert (await find(pdp, what, SEARCHES[what] | unknown))["results"] == [], unknown


WITHOUT: list[tuple[str, Json]] = [
    ("subject", {"subject": {"type": "user"}, "resource": RECORD_1}),
    ("subject", {"subject": {"type": "user"}, "action": READ, "resource": {"type": "record"}}),
    ("subject", {"subject": {}, "action": READ, "resource": RECORD_1}),
    ("resource", {"action": READ, "resource": {"type": "record"}}),
    ("resource", {"subject": {"type": "user"}, "action": READ, "resource": {"type": "record"}}),
    ("resource", {"subject": ALICE, "action": READ}),
    ("action", {"subject": ALICE}),
    ("action", {"subject": {"type": "user"}, "resource": RECORD_1}),
]


async def test_a_search_that_lacks_a_member_is_a_400(pdp: School) -> None:
    for what, body in WITHOUT:
        assert_problem(await pdp.post(f"/access/v1/search/{what}", body), 400, "malformed_request")


async def test_the_metadata_say_where_everything_is(pdp: School) -> None:
    told = await pdp.http.get("https://pdp.example.com/.well-known/authzen-configuration")
    assert told.headers["content-type"] == "application/json"
    assert "max-age" in told.headers["cache-control"]
    metadata = told.json()
    assert metadata.pop("policy_decision_point") == "https://pdp.example.com"
    assert metadata == {
        "access_evaluation_endpoint": "https://pdp.example.com/access/v1/evaluation",
        "access_evaluations_endpoint": "https://pdp.example.com/access/v1/evaluations",
        "search_subject_endpoint": "https://pdp.example.com/access/v1/search/subject",
        "search_resource_endpoint": "https://pdp.example.com/access/v1/search/resource",
        "search_action_endpoint": "https://pdp.example.com/access/v1/search/action",
    }
    paths = pdp.app.openapi()["paths"]
    assert all(url.removeprefix("https://pdp.example.com") in paths for url in metadata.values())
