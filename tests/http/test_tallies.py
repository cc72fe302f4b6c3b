"""How many people said yes and no."""

import pytest

from consent_service.core.clients import Scope
from tests.publishing import edited, leaf, published, reworded
from tests.school import EMAIL, Json, School

pytestmark = pytest.mark.anyio


async def stats(school: School, key: str | None = None) -> Json:
    """The answer to GET /v1/stats."""
    answer = await school.get("/v1/stats", key=key)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_each_leaf_is_counted_by_what_stands(school: School) -> None:
    await school.said("person:1", ("billing", "grant"))
    await school.said("person:2", ("billing", "grant"), expires_at="2026-12-01T00:00:00Z")
    await school.said("person:3", ("billing", "refuse"))
    await school.said("person:4", ("billing", "grant"))
    await school.said("person:4", ("billing", "withdraw"))
    await school.enrol("person:5")
    school.clock.advance(days=30)
    told = await stats(school)
    assert (told["subjects"], told["policy_version"]) == (5, "2026-11-01")
    assert told["leaves"]["billing"] == {
        "yes": 1,
        "refused": 1,
        "withdrawn": 1,
        "expired": 1,
        "policy_changed": 0,
        "never_asked": 1,
    }
    assert told["leaves"][EMAIL]["never_asked"] == 5
    assert len(told["leaves"]) == 22
    await published(school, reworded(edited("v2"), "billing"), material=["billing"], confirm_lapses=1)
    counts = (await stats(school))["leaves"]["billing"]
    assert (counts["yes"], counts["policy_changed"], counts["expired"]) == (0, 1, 1)


async def test_a_leaf_may_be_called_as_a_member_of_the_document_is(school: School) -> None:
    """Whose guardians spoke has a member for them before the leaves."""
    codes = ("heard", "guardians", "kind", "leaves", "namespaces")
    document = edited("v2")
    document["purposes"] += [leaf(code) for code in codes]
    await published(school, document)
    await school.enrol("sis:child")
    by = {"role": "guardian", "subject": "person:mother"}
    await school.enrol("person:mother")
    answer = await school.say("sis:child", *((code, "refuse") for code in codes), by=by, policy_version="v2")
    assert answer.status_code == 201, answer.text
    told = (await stats(school))["leaves"]
    assert {code: told[code]["refused"] for code in codes} == dict.fromkeys(codes, 1)


async def test_a_client_counts_its_own_purposes_and_people_only(school: School) -> None:
    await school.said("person:1", ("billing", "grant"), (EMAIL, "grant"))
    await school.said("crm:a@example.jp", ("billing", "grant"))
    key = await school.key_for("chart", Scope.AUDIT_READ, purposes=["billing"], namespaces=["crm", "sis"])
    told = await stats(school, key)
    assert (told["subjects"], list(told["leaves"])) == (1, ["billing"])
    assert told["leaves"]["billing"]["yes"] == 1


async def test_stats_need_their_scope(school: School) -> None:
    key = await school.key_for("reader", Scope.CONSENTS_READ)
    assert (await school.get("/v1/stats", key=key)).json()["code"] == "scope_missing"


async def test_an_empty_school_has_nobody(school: School) -> None:
    told = await stats(school)
    assert told["subjects"] == 0
    assert not any(n for leaf in told["leaves"].values() for n in leaf.values())
