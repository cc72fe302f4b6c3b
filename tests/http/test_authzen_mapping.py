"""AuthZEN on consent: what its words mean here, who may ask for whom, and what is on record."""

import httpx
import pytest

from consent_service.core.clients import Scope
from consent_service.settings import DecisionLog, Settings
from consent_service.store.tables import decision
from tests.authzen import (
    ALICE,
    EVALUATION,
    EVALUATIONS,
    MAY_READ,
    READ,
    RECORD_1,
    SEARCHES,
    SPACESHIP,
    WRITE,
    Json,
    answer,
    decide,
    find,
    open_pdp,
)
from tests.clock import Clock
from tests.http.test_conventions import assert_problem
from tests.school import School, open_school
from tests.tables import all_of

pytestmark = pytest.mark.anyio


async def test_an_answer_says_why_and_on_what_it_rests(pdp: School) -> None:
    told = await answer(pdp, EVALUATION, MAY_READ)
    assert set(told["context"]) == {"reasons", "decision_id", "as_of"}
    (reason,) = told["context"]["reasons"]
    assert set(reason) == {"code", "purpose", "message", "index"}
    assert (reason["code"], reason["purpose"]) == ("consent_granted", "read")
    japanese = await answer(pdp, EVALUATION, MAY_READ, Accept_Language="ja")
    assert "同意" in japanese["context"]["reasons"][0]["message"]
    recorded = {(row.id, row.as_of, row.permitted) for row in await all_of(pdp, decision)}
    assert (told["context"]["decision_id"], told["context"]["as_of"], True) in recorded


async def test_a_decision_names_whom_it_was_for_and_who_asked(pdp: School) -> None:
    own = {"subject": {"type": "user", "id": "tests"}, "action": READ, "resource": RECORD_1}
    await answer(pdp, EVALUATIONS, {"evaluations": [MAY_READ, own]})
    named = {one["name"]: one["id"] for one in (await pdp.get("/v1/clients")).json()["items"]}
    recorded = {(row.client, row.asked_by) for row in await all_of(pdp, decision)}
    assert recorded == {(named["alice"], named["tests"]), (named["tests"], None)}


UNKNOWN: list[tuple[Json, str]] = [
    ({"subject": SPACESHIP}, "client_not_permitted"),
    ({"subject": ALICE | {"id": "nonexistent-user"}}, "client_not_permitted"),
    ({"subject": ALICE | {"id": ""}}, "client_not_permitted"),
    ({"action": {"name": "fly"}}, "purpose_not_specified"),
    ({"action": {"name": "x" * 300}}, "purpose_not_specified"),
    ({"resource": SPACESHIP}, "no_consent_recorded"),
    ({"resource": RECORD_1 | {"id": "nobody"}}, "no_consent_recorded"),
    ({"resource": RECORD_1 | {"id": "Not An Id:1"}}, "no_consent_recorded"),
]


async def test_what_is_unknown_is_a_no_and_no_error(pdp: School) -> None:
    for unknown, code in UNKNOWN:
        told = await answer(pdp, EVALUATION, MAY_READ | unknown)
        assert told["decision"] is False
        assert [one["code"] for one in told["context"]["reasons"]] == [code]


async def test_a_client_that_may_not_look_into_the_past_asks_for_itself_only(pdp: School) -> None:
    carol = await pdp.key_for("carol", Scope.CHECK)
    own = {"subject": {"type": "user", "id": "carol"}, "action": READ, "resource": RECORD_1}
    assert (await pdp.post(EVALUATION, own, key=carol)).json()["decision"] is True
    for other in ("alice", "nonexistent-user"):
        response = await pdp.post(EVALUATION, own | {"subject": ALICE | {"id": other}}, key=carol)
        assert_problem(response, 403, "scope_missing")
    batch = (await pdp.post(EVALUATIONS, {"evaluations": [MAY_READ, own]}, key=carol)).json()["evaluations"]
    assert [one["decision"] for one in batch] == [False, True]
    assert batch[0]["context"]["error"]["code"] == "scope_missing"
    assert (await find(pdp, "subject", SEARCHES["subject"], key=carol))["results"] == [{"type": "user", "id": "carol"}]
    for what in ("resource", "action"):
        assert_problem(await pdp.post(f"/access/v1/search/{what}", SEARCHES[what], key=carol), 403, "scope_missing")
    assert (await find(pdp, "action", SEARCHES["action"] | {"subject": own["subject"]}, key=carol))["results"]


async def test_whoever_asks_for_another_client_stays_within_its_own_registration(pdp: School) -> None:
    auditor = await pdp.key_for("auditor", Scope.CHECK, Scope.AUDIT_READ, purposes=["write"], namespaces=["person"])
    elsewhere = MAY_READ | {"action": WRITE, "resource": RECORD_1 | {"id": "crm:record-1"}}
    for body, expected in ((MAY_READ, False), (MAY_READ | {"action": WRITE}, True), (elsewhere, False)):
        assert (await pdp.post(EVALUATION, body, key=auditor)).json()["decision"] is expected
    assert (await find(pdp, "resource", SEARCHES["resource"], key=auditor))["results"] == []


async def test_a_client_whose_key_counts_no_more_may_nothing(pdp: School) -> None:
    (alice,) = [one["id"] for one in (await pdp.get("/v1/clients")).json()["items"] if one["name"] == "alice"]
    await pdp.send("DELETE", f"/v1/clients/{alice}")
    await pdp.key_for("writer", Scope.CONSENTS_WRITE)
    assert await decide(pdp, MAY_READ) is False
    assert await decide(pdp, MAY_READ | {"subject": ALICE | {"id": "writer"}}) is False
    found = {one["id"] for one in (await find(pdp, "subject", SEARCHES["subject"]))["results"]}
    assert "bob" in found
    assert found.isdisjoint({"alice", "writer"})


async def test_a_client_may_nothing_from_the_instant_at_which_its_key_expires(pdp: School) -> None:
    new = {"name": "guest", "scopes": ["check"], "expires_at": "2026-11-23T02:11:00Z"}
    assert (await pdp.post("/v1/clients", new)).status_code == 201
    guest = MAY_READ | {"subject": {"type": "user", "id": "guest"}}
    assert await decide(pdp, guest) is True
    pdp.clock.advance(minutes=1)
    assert await decide(pdp, guest) is False
    assert guest["subject"] not in (await find(pdp, "subject", SEARCHES["subject"]))["results"]


async def test_a_name_that_was_given_again_is_found_once(pdp: School) -> None:
    (alice,) = [one["id"] for one in (await pdp.get("/v1/clients")).json()["items"] if one["name"] == "alice"]
    await pdp.send("DELETE", f"/v1/clients/{alice}")
    await pdp.key_for("alice", Scope.CHECK)
    assert (await find(pdp, "subject", SEARCHES["subject"]))["results"].count(ALICE) == 1


async def test_a_client_is_found_no_one_outside_its_namespaces(pdp: School) -> None:
    await pdp.enrol("person:both", "crm:both")
    await pdp.said("person:both", ("read", "grant"), policy_version="1")
    await pdp.key_for("local", Scope.CHECK, namespaces=["person"])
    search = SEARCHES["resource"] | {"subject": {"type": "user", "id": "local"}}
    in_crm = search | {"resource": {"type": "record", "properties": {"namespace": "crm"}}}
    assert {"type": "record", "id": "both"} in (await find(pdp, "resource", search))["results"]
    assert (await find(pdp, "resource", in_crm))["results"] == []


async def test_a_withdrawal_takes_effect_here_as_well(pdp: School) -> None:
    await pdp.said("record-1", ("read", "withdraw"), policy_version="1")
    assert await decide(pdp, MAY_READ) is False
    assert RECORD_1 not in (await find(pdp, "resource", SEARCHES["resource"]))["results"]
    assert (await find(pdp, "subject", SEARCHES["subject"]))["results"] == []


async def test_a_search_in_another_namespace_gives_whole_identifiers(pdp: School) -> None:
    await pdp.said("crm:a@example.jp", ("read", "grant"), policy_version="1")
    search = SEARCHES["resource"] | {"resource": {"type": "record", "properties": {"namespace": "crm"}}}
    assert (await find(pdp, "resource", search))["results"] == [{"type": "record", "id": "crm:a@example.jp"}]
    assert await decide(pdp, MAY_READ | {"resource": RECORD_1 | {"id": "crm:a@example.jp"}}) is True


async def test_without_a_key_there_is_no_answer(pdp: School) -> None:
    for path in (EVALUATION, EVALUATIONS):
        response: httpx.Response = await pdp.http.post(path, json=MAY_READ)
        assert_problem(response, 401, "unauthenticated")
        assert response.headers["www-authenticate"].startswith("Bearer")


async def test_a_concomitant_use_names_its_purpose_in_a_property(settings: Settings, clock: Clock) -> None:
    named = {"authzen_subject_types": ("user", "app"), "authzen_resource_types": ("person", "record")}
    async with open_school(settings.model_copy(update=named), clock) as school:
        await school.said("person:1", ("billing", "grant"))
        asked = {"subject": {"type": "user", "id": "tests"}, "resource": {"type": "record", "id": "1"}}
        within = {"name": "concomitant_use", "properties": {"within": "billing"}}
        assert await decide(school, asked | {"action": within}) is True
        assert await decide(school, asked | {"action": {"name": "concomitant_use"}}) is False
        found = await find(school, "resource", asked | {"action": within, "resource": {"type": "record"}})
        assert [one["id"] for one in found["results"]] == ["1"]


async def test_only_the_answers_that_leave_a_search_are_on_record(pdp: School) -> None:
    await find(pdp, "action", {"subject": ALICE, "resource": RECORD_1})
    assert sorted((row.purpose, row.permitted) for row in await all_of(pdp, decision)) == [
        ("read", True),
        ("write", True),
    ]
    await find(pdp, "resource", SEARCHES["resource"] | {"action": WRITE})
    assert [row.permitted for row in await all_of(pdp, decision)] == [True] * 3


async def test_without_the_decision_log_nothing_is_on_record(settings: Settings, clock: Clock) -> None:
    async with open_pdp(settings.model_copy(update={"decision_log": DecisionLog.OFF}), clock) as pdp:
        assert await decide(pdp, MAY_READ) is True
        assert (await find(pdp, "action", SEARCHES["action"]))["results"]
        assert (await find(pdp, "resource", SEARCHES["resource"]))["results"]
        assert await all_of(pdp, decision) == []


def test_the_types_are_settings_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSENT_AUTHZEN_SUBJECT_TYPES", "client, app,")
    assert Settings().authzen_subject_types == ("client", "app")
    assert Settings().authzen_resource_types == ("person",)


async def test_who_asks_for_another_client_learns_nothing_of_people_outside_its_own_namespaces(pdp: School) -> None:
    hidden = (await pdp.post("/v1/subjects/lookup", {"subject": "record-1"})).json()["subject"]
    body = MAY_READ | {"resource": RECORD_1 | {"id": hidden}}
    assert await decide(pdp, body) is True
    crm = await pdp.key_for("crm", Scope.CHECK, Scope.AUDIT_READ, namespaces=["crm"])
    told = (await pdp.post(EVALUATION, body, key=crm)).json()
    assert (told["decision"], [one["code"] for one in told["context"]["reasons"]]) == (False, ["no_consent_recorded"])
