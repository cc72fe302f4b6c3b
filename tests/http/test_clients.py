import pytest

from consent_service.core.clients import Scope
from consent_service.store.tables import client as client_table
from consent_service.store.tables import idempotency, ledger_entry
from tests.school import School
from tests.tables import all_of

pytestmark = pytest.mark.anyio


async def test_a_new_key_works_and_a_revoked_one_stops_at_the_next_request(school: School) -> None:
    made = (await school.post("/v1/clients", {"name": "mailer", "scopes": ["check"]})).json()
    assert (await school.check("person:1", "billing", key=made["key"]))["permitted"] is False
    revoked = await school.send("DELETE", f"/v1/clients/{made['id']}")
    refused = await school.post("/v1/check", {"subject": "person:1", "purpose": "billing"}, key=made["key"])
    assert (revoked.status_code, revoked.content) == (204, b"")
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    assert (await school.send("DELETE", f"/v1/clients/{made['id']}")).status_code == 204


async def test_a_key_opens_nothing_from_the_instant_at_which_it_expires(school: School) -> None:
    body = {"name": "short", "scopes": ["check", "people:read"], "expires_at": "2026-11-23T02:11:00Z"}
    key = (await school.post("/v1/clients", body)).json()["key"]
    school.clock.advance(seconds=59.999)
    assert await school.check("person:1", "billing", key=key)
    school.clock.advance(seconds=0.001)
    for path, question in (
        ("/v1/check", {"subject": "person:1", "purpose": "billing"}),
        ("/v1/subjects/lookup", {"subject": "person:1"}),
    ):
        assert (await school.post(path, question, key=key)).status_code == 401


async def test_a_key_is_stored_only_as_a_keyed_hash(school: School) -> None:
    response = await school.post("/v1/clients", {"name": "mailer", "scopes": ["check"]}, Idempotency_Key="make-it")
    key = response.json()["key"].encode()
    for table in (client_table, ledger_entry, idempotency):
        for row in await all_of(school, table):
            assert key not in repr(tuple(row)).encode()
            assert not any(isinstance(value, bytes) and key in value for value in row)


async def test_a_retry_of_a_creation_gets_the_same_key(school: School) -> None:
    body = {"name": "mailer", "scopes": ["check"]}
    first = await school.post("/v1/clients", body, Idempotency_Key="make-it")
    again = await school.post("/v1/clients", body, Idempotency_Key="make-it")
    assert again.json() == first.json()
    assert (await school.post("/v1/clients", body)).json()["code"] == "client_name_taken"


async def test_a_name_is_free_again_once_its_client_is_revoked(school: School) -> None:
    body = {"name": "mailer", "scopes": ["check"]}
    made = (await school.post("/v1/clients", body)).json()
    await school.send("DELETE", f"/v1/clients/{made['id']}")
    assert (await school.post("/v1/clients", body)).status_code == 201


@pytest.mark.parametrize(
    ("wider", "told"),
    [
        ({"scopes": ["check", "audit:read"]}, "audit:read"),
        ({"purposes": ["billing"]}, "purposes"),
        ({"purposes": []}, "purposes"),
        ({"namespaces": ["sis"]}, "namespaces"),
        ({"namespaces": []}, "namespaces"),
    ],
)
async def test_nobody_gives_more_than_they_have(school: School, wider: dict[str, object], told: str) -> None:
    key = await school.key_for("office", Scope.CLIENTS_WRITE, Scope.CHECK, purposes=["marketing"], namespaces=["crm"])
    own = {"name": "x", "scopes": ["check"], "purposes": ["marketing.own_company"], "namespaces": ["crm"]}
    refused = await school.post("/v1/clients", own | wider, key=key)
    assert (refused.status_code, refused.json()["code"]) == (403, "client_not_permitted")
    assert told in refused.json()["detail"]
    assert (await school.post("/v1/clients", own, key=key)).status_code == 201


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"purposes": ["biling"]}, "/purposes/0"),
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["everything"]}, "/scopes/0"),
        ({"name": ""}, "/name"),
        ({"namespaces": ["UPPER"]}, "/namespaces/0"),
        ({"expires_at": "2026-11-23T02:10:00Z"}, "/expires_at"),
    ],
)
async def test_a_wrong_client_is_refused_with_the_member(
    school: School, change: dict[str, object], pointer: str
) -> None:
    response = await school.post("/v1/clients", {"name": "x", "scopes": ["check"]} | change)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == pointer


async def test_clients_are_listed_page_by_page_without_their_keys(school: School) -> None:
    for name in ("a", "b", "c"):
        school.clock.advance(seconds=1)
        await school.post("/v1/clients", {"name": name, "scopes": ["check"]})
    names, after = [], ""
    while after is not None:
        page = (await school.get(f"/v1/clients?limit=2{after and f'&after={after}'}")).json()
        names += [item["name"] for item in page["items"]]
        assert all("key" not in item and "key_hash" not in item for item in page["items"])
        after = page["next"]
    assert names[-4:] == ["tests", "a", "b", "c"]


async def test_an_unknown_client_cannot_be_revoked(school: School) -> None:
    response = await school.send("DELETE", "/v1/clients/cli_nobody")
    assert (response.status_code, response.json()["code"]) == (404, "client_not_found")
