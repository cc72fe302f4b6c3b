"""Merging two records of one person: the stricter state counts, and both references go on naming the person."""

import asyncio
from datetime import timedelta

import pytest

from consent_service.core.clients import Scope
from consent_service.core.people import Identifier, Pseudonym
from consent_service.lanes import read_alone, write_alone
from consent_service.operations import clients, merging
from consent_service.operations.merging import Mentions
from consent_service.operations.people import Person
from consent_service.settings import Settings
from consent_service.store.db import ReadTx, WriteTx
from consent_service.store.projection import TABLES
from consent_service.store.rebuild import rebuild
from consent_service.store.tables import ledger_entry, subject_state
from tests.auditor import verified
from tests.family import LEAVES, prepare
from tests.school import EMAIL, Json, School
from tests.tables import all_of, tamper

pytestmark = pytest.mark.anyio


async def merge(school: School, kept: str, other: str, **headers: str) -> Json:
    """Merge, and answer the body of a 200."""
    response = await school.post(f"/v1/subjects/{kept}/merge", {"other": other}, **headers)
    assert response.status_code == 200, response.text
    return response.json()


async def two(school: School) -> tuple[str, str]:
    """Two records of one person who said something in both."""
    one, other = await school.enrol("person:1"), await school.enrol("person:2", "crm:b")
    await school.said("person:1", ("billing", "grant"), (EMAIL, "grant"), ("surveys.analysis", "grant"))
    await school.said("person:2", ("billing", "grant"), (EMAIL, "refuse"))
    return one, other


async def guard(school: School, guardian: str, ward: str, **more: Json) -> Json:
    """Record a guardian whom the office has verified."""
    body = {"guardian": guardian, "ward": ward, "relation": "aunt", "verified_by": "office", **more}
    response = await school.post("/v1/guardianships", body)
    assert response.status_code == 201, response.text
    return response.json()


async def spoken(school: School, guardian: str, ward: str, *said: tuple[str, str]) -> None:
    """Let a guardian say something."""
    await school.said(ward, *said, by={"role": "guardian", "subject": guardian})


def person(answer: Json) -> Json:
    return {name: value for name, value in answer.items() if name != "as_of"}


async def rebuilds_and_verifies(school: School, settings: Settings) -> None:
    """That the ledger alone gives the projection again, byte for byte, and that an auditor finds nothing."""
    before = {table: [tuple(row) for row in await all_of(school, table)] for table in TABLES}
    await write_alone(school.service.database, rebuild)
    assert {table: [tuple(row) for row in await all_of(school, table)] for table in TABLES} == before
    assert (await verified(settings)).findings == []
    assert (await verified(settings, blind=True)).findings == []


async def test_both_references_name_one_person_afterwards(school: School, settings: Settings) -> None:
    one, other = await two(school)
    made = await merge(school, one, "crm:b")
    assert (made["subject"], made["identifiers"]) == (one, ["person:1", "person:2", "crm:b"])
    for name in (one, other, "person:1", "person:2", "crm:b"):
        assert await school.why(name, "billing") == ["consent_granted"]
        assert await school.why(name, EMAIL) == ["refused"]
        assert await school.why(name, "surveys.analysis") == ["no_consent_recorded"]
    await rebuilds_and_verifies(school, settings)


async def test_a_yes_that_lapsed_may_be_asked_for_again(school: School) -> None:
    one, other = await two(school)
    await merge(school, one, other)
    asks = {ask["purpose"]: ask["because"] for ask in (await school.get(f"/v1/subjects/{other}/asks")).json()["asks"]}
    assert (asks["surveys.analysis"], "billing" in asks, EMAIL in asks) == ("never_asked", False, False)
    await school.said(other, ("surveys.analysis", "grant"))
    assert await school.why("person:1", "surveys.analysis") == ["consent_granted"]


async def test_a_withdrawal_by_the_old_reference_takes_effect_for_both(school: School) -> None:
    one, other = await two(school)
    await merge(school, one, other)
    assert (await school.said(other, ("billing", "withdraw")))["subject"] == one
    for name in (one, other, "person:2"):
        assert await school.why(name, "billing") == ["withdrawn"]


async def test_what_is_known_of_the_two_comes_together(school: School) -> None:
    one = await school.enrol("person:1", kind="customer", birth_date="1985-01-01")
    other = await school.enrol("person:2", kind="student", birth_date="1986-01-01", language="ja")
    ended = {"status": "ended", "ended_on": "2026-04-01"}
    await school.send("PATCH", f"/v1/subjects/{other}", {"membership": ended})
    made = await merge(school, one, other)
    assert (made["kind"], made["birth_date"], made["language"]) == ("student", "1986-01-01", "ja")
    assert made["membership"] == ended
    assert person((await school.get(f"/v1/subjects/{other}")).json()) == person(made)
    changed = await school.send("PATCH", f"/v1/subjects/{other}", {"language": "en"})
    assert (changed.json()["subject"], changed.json()["language"]) == (one, "en")


async def test_every_route_takes_the_old_reference(school: School) -> None:
    one, other = await two(school)
    await school.enrol("sis:child", birth_date="2014-05-02")
    made = await guard(school, "person:2", "sis:child")
    await merge(school, one, other)
    await school.check(other, "billing")
    document = (await school.get("/openapi.json")).json()
    paths = [path for path, methods in document["paths"].items() if "{sub}" in path and "get" in methods]
    assert len(paths) >= 6
    for path in paths:
        answers = [(await school.get(path.replace("{sub}", name))) for name in (one, other)]
        assert [answer.status_code for answer in answers] == [200, 200], path
        assert answers[0].json() == answers[1].json(), path
    look_up = await school.post("/v1/subjects/lookup", {"subject": other})
    assert look_up.json() == {"subject": one}
    many = {"questions": [{"subject": name, "purpose": "billing"} for name in (one, other)]}
    assert all(each["permitted"] for each in (await school.post("/v1/check/batch", many)).json()["decisions"])
    listed = {"purpose": "billing", "subjects": [one, other, "person:2"]}
    assert (await school.post("/v1/check/filter", listed)).json()["permitted"] == listed["subjects"]
    body = {
        "subject": {"type": "client", "id": "tests"},
        "action": {"name": "billing"},
        "resource": {"type": "person", "id": other},
    }
    assert (await school.post("/access/v1/evaluation", body)).json()["decision"] is True
    for name in (other, "person:2"):
        await spoken(school, name, "sis:child", ("billing", "grant"))
    (listed_guardian,) = (await school.get(f"/v1/subjects/{made['ward']}/guardians")).json()["items"]
    assert (listed_guardian["guardian"], listed_guardian["id"]) == (one, made["id"])
    again = await school.post("/v1/guardianships", {"guardian": other, "ward": "sis:child", "relation": "x"})
    assert (again.status_code, "end that one first" in again.text) == (422, True)


async def test_history_and_decisions_show_what_belongs_to_both(school: School) -> None:
    one, other = await two(school)
    asked = []
    for name in ("person:1", "person:2", "person:2"):
        school.clock.advance(seconds=1)  # decisions are listed by their time
        asked.append((await school.check(name, "billing"))["decision_id"])
        if len(asked) == 2:
            await merge(school, one, other)
    for name in (one, other):
        history = (await school.get(f"/v1/subjects/{name}/history")).json()["items"]
        assert [(said["purpose"], said["action"]) for said in history] == [
            ("billing", "grant"),
            (EMAIL, "grant"),
            ("surveys.analysis", "grant"),
            ("billing", "grant"),
            (EMAIL, "refuse"),
        ]
        first = (await school.get(f"/v1/subjects/{name}/history?limit=4")).json()
        rest = (await school.get(f"/v1/subjects/{name}/history?limit=4&after={first['next']}")).json()
        assert first["items"] + rest["items"] == history
        decisions = (await school.get(f"/v1/subjects/{name}/decisions")).json()["items"]
        assert [each["decision_id"] for each in decisions] == asked[::-1]


async def test_chains_of_mergers_lead_to_the_end(school: School, settings: Settings) -> None:
    names = [await school.enrol(f"person:{number}") for number in range(4)]
    for number in range(4):
        await school.said(f"person:{number}", ("billing", "grant"))
    await merge(school, names[1], names[0])
    await merge(school, names[2], names[0])
    await merge(school, names[2], names[3])
    for name in (*names, "person:0", "person:3"):
        assert await school.why(name, "billing") == ["consent_granted"]
    for name in names:
        assert len((await school.get(f"/v1/subjects/{name}/history")).json()["items"]) == 4
    await school.said(names[0], ("billing", "withdraw"))
    assert {tuple(await school.why(name, "billing")) for name in names} == {("withdrawn",)}
    assert (await school.get("/v1/stats")).json()["subjects"] == 1
    await rebuilds_and_verifies(school, settings)


async def test_the_past_is_what_a_check_answered_then(school: School) -> None:
    one, other = await two(school)
    before = (await school.check(one, "billing"))["as_of"]
    await merge(school, one, other)
    after = (await school.check(one, "billing"))["as_of"]
    for name, yes in ((one, True), ("person:1", True), (other, False), ("crm:b", False)):
        for as_of, purpose, would in ((before, EMAIL, yes), (after, EMAIL, False), (before, "billing", True)):
            body = {"subject": name, "purpose": purpose, "as_of": as_of}
            assert (await school.post("/v1/check/as-of", body)).json()["would_have_permitted"] is would
    then = (await school.get(f"/v1/subjects/{other}/consents?at={before}")).json()
    assert (then["subject"], then["states"][EMAIL]["state"]) == (other, "refused")
    now = (await school.get(f"/v1/subjects/{other}/consents?at={after}")).json()
    assert (now["subject"], now["states"]["billing"]["state"]) == (one, "granted")


async def test_a_wards_guardianships_go_on_under_their_own_ids(school: School, settings: Settings) -> None:
    one, other = await school.enrol("sis:1", birth_date="2014-05-02"), await school.enrol("sis:2")
    for name in ("person:mother", "person:father"):
        await school.enrol(name)
    first, second = await guard(school, "person:mother", "sis:1"), await guard(school, "person:mother", "sis:2")
    father = await guard(school, "person:father", "sis:2")
    for ward in ("sis:1", "sis:2"):
        await spoken(school, "person:mother", ward, ("billing", "grant"))
    await school.post(f"/v1/guardianships/{second['id']}/block", {"reference": "Tokyo 7"})
    assert await school.why("sis:1", "billing") == ["consent_granted"]
    await merge(school, one, other)
    for name in ("sis:1", "sis:2", other):
        assert await school.why(name, "billing") == ["no_consent_recorded"]  # the one record's yes did not count
    items = (await school.get(f"/v1/subjects/{one}/guardians")).json()["items"]
    told = {item["id"]: (item["status"], item["reference"], item["relation"], item["verified_by"]) for item in items}
    assert told == {
        first["id"]: ("blocked", "Tokyo 7", "aunt", "office"),
        second["id"]: ("blocked", "Tokyo 7", "aunt", "office"),
        father["id"]: ("current", None, "aunt", "office"),
    }
    ended = await school.post(f"/v1/guardianships/{father['id']}/end", {})
    assert (ended.json()["ward"], ended.json()["status"]) == (one, "ended")
    for made, status in ((first, "blocked"), (second, "current")):  # until the last one is lifted
        lifted = await school.post(f"/v1/guardianships/{made['id']}/unblock", {})
        assert (lifted.json()["status"], lifted.json()["ward"]) == (status, one)
    assert await school.why("sis:1", "billing") == ["no_consent_recorded"]
    await rebuilds_and_verifies(school, settings)


async def test_two_guardians_become_one_and_their_wards_leaves_no_yes_by_it(school: School, settings: Settings) -> None:
    ward = await school.enrol("sis:child", birth_date="2014-05-02")
    one, other = await school.enrol("person:1"), await school.enrol("person:2")
    first, second = await guard(school, "person:1", "sis:child"), await guard(school, "person:2", "sis:child")
    await spoken(school, "person:1", "sis:child", ("billing", "grant"), (EMAIL, "grant"), ("surveys.analysis", "grant"))
    await spoken(school, "person:2", "sis:child", ("billing", "grant"), (EMAIL, "refuse"))
    await school.post(f"/v1/guardianships/{first['id']}/block", {"reference": "Tokyo 7"})
    await merge(school, one, other)
    items = (await school.get(f"/v1/subjects/{ward}/guardians")).json()["items"]
    assert {(item["id"], item["guardian"], item["status"], item["reference"]) for item in items} == {
        (first["id"], one, "blocked", "Tokyo 7"),
        (second["id"], one, "blocked", "Tokyo 7"),
    }
    assert await school.why("sis:child", "billing") == ["guardian_required"]
    assert await school.why("sis:child", EMAIL) == ["refused"]
    for made, reason in ((first, "guardian_required"), (second, "consent_granted")):
        await school.post(f"/v1/guardianships/{made['id']}/unblock", {})
        assert await school.why("sis:child", "billing") == [reason]
    states = (await school.get(f"/v1/subjects/{ward}/consents")).json()["states"]
    assert states["surveys.analysis"]["state"] == "never_asked"  # what was no yes before has lapsed
    await rebuilds_and_verifies(school, settings)


async def test_a_court_order_about_one_of_two_parallel_guardianships_is_about_both(school: School) -> None:
    await school.enrol("sis:child", birth_date="2014-05-02")
    one, other = await school.enrol("person:1"), await school.enrol("person:2")
    first, second = await guard(school, "person:1", "sis:child"), await guard(school, "person:2", "sis:child")
    for name in ("person:1", "person:2"):
        await spoken(school, name, "sis:child", ("billing", "grant"))
    await merge(school, one, other)
    assert await school.why("sis:child", "billing") == ["consent_granted"]
    await school.post(f"/v1/guardianships/{second['id']}/block", {"reference": "Tokyo 7"})
    assert await school.why("sis:child", "billing") == ["guardian_required"]
    by = {"role": "guardian", "subject": "person:1"}
    refused = await school.say("sis:child", (EMAIL, "grant"), by=by)
    assert (refused.status_code, "court order" in refused.text) == (422, True)
    items = (await school.get(f"/v1/subjects/{first['ward']}/guardians")).json()["items"]
    assert [(item["status"], item["blocked"]) for item in items] == [("blocked", False), ("blocked", True)]
    await school.post(f"/v1/guardianships/{second['id']}/unblock", {})
    assert await school.why("sis:child", "billing") == ["consent_granted"]


async def test_a_yes_that_did_not_count_before_a_merger_never_comes_to_count_by_it(school: School) -> None:
    """One record's own yes, the other's of a guardian who was found unverified; then a birth date of long ago."""
    adult, child = await school.enrol("person:1"), await school.enrol("sis:1")
    await school.enrol("person:mother")
    await school.said("person:1", ("billing", "grant"))
    made = await guard(school, "person:mother", "sis:1")
    await spoken(school, "person:mother", "sis:1", ("billing", "grant"))
    await school.post(f"/v1/guardianships/{made['id']}/verify", {"verified_by": "office", "verified": False})
    assert await school.why("sis:1", "billing") == ["guardian_unverified"]
    await merge(school, adult, child)
    changed = await school.send("PATCH", f"/v1/subjects/{adult}", {"birth_date": "1990-01-01"})
    assert changed.status_code == 200, changed.text
    assert (await school.check("person:1", "billing"))["permitted"] is False


async def test_a_guardianship_to_come_gets_no_yes_from_a_merger(school: School) -> None:
    await school.enrol("sis:child", birth_date="2014-05-02")
    one, other = await school.enrol("person:1"), await school.enrol("person:2")
    made = await guard(school, "person:2", "sis:child")
    await spoken(school, "person:2", "sis:child", ("billing", "grant"))
    await school.post(f"/v1/guardianships/{made['id']}/end", {})
    body = {"guardian": "person:1", "ward": "sis:child", "relation": "mother", "verified_by": "office"}
    begins = (school.clock.now + timedelta(days=5)).isoformat()
    assert (await school.post("/v1/guardianships", body | {"from": begins})).status_code == 201
    await merge(school, one, other)
    school.clock.advance(days=6)
    assert (await school.check("sis:child", "billing"))["permitted"] is False


async def test_under_all_a_court_order_that_a_merger_brings_leaves_no_other_yes_alone(school: School) -> None:
    """Who is blocked is not missed where all have to agree: so the father's yes would suffice."""
    await prepare(school)
    await school.enrol("sis:child", birth_date="2014-05-02")
    one, other = await school.enrol("person:1"), await school.enrol("person:2")
    await school.enrol("person:father")
    made = [await guard(school, f"person:{name}", "sis:child") for name in ("1", "2", "father")]
    leaf = LEAVES["all"]
    await spoken(school, "person:father", "sis:child", (leaf, "grant"))
    await school.post(f"/v1/guardianships/{made[0]['id']}/block", {"reference": "Tokyo 7"})
    assert await school.why("sis:child", leaf) == ["guardian_required"]  # the other one is missing
    await merge(school, one, other)
    assert (await school.check("sis:child", leaf))["permitted"] is False


async def test_a_guardian_who_was_verified_in_one_record_is_not_on_the_work_list_for_the_other(school: School) -> None:
    await school.enrol("sis:child", birth_date="2014-05-02")
    one, other = await school.enrol("person:1"), await school.enrol("person:2")
    await guard(school, "person:1", "sis:child")
    body = {"guardian": "person:2", "ward": "sis:child", "relation": "aunt"}
    assert (await school.post("/v1/guardianships", body)).status_code == 201
    unverified = "/v1/worklist?kind=guardian_unverified"
    assert len((await school.get(unverified)).json()["items"]) == 1
    await merge(school, one, other)
    assert (await school.get(unverified)).json()["items"] == []


REFUSED = [
    ("person:1", "one and the same record"),
    ("sub_1", "one and the same record"),
    ("person:nobody", "POST /v1/subjects"),
    ("sub_00000000000000000000000000", "POST /v1/subjects"),
    ("sis:child", "guardian"),
    ("sis:grandchild", "circle"),
]


@pytest.mark.parametrize(("other", "says"), REFUSED)
async def test_who_cannot_be_merged_is_refused_with_a_sentence(school: School, other: str, says: str) -> None:
    one = await school.enrol("person:1")
    await school.enrol("sis:child")
    await school.enrol("sis:grandchild")
    await guard(school, "person:1", "sis:child")
    await guard(school, "sis:child", "sis:grandchild")
    size = len(await all_of(school, ledger_entry))
    response = await school.post(f"/v1/subjects/{one}/merge", {"other": one if other == "sub_1" else other})
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert (error["pointer"], says in error["detail"]) == ("/other", True)
    assert len(await all_of(school, ledger_entry)) == size


async def test_who_only_spoke_for_the_other_is_somebody_else(school: School) -> None:
    one = await school.enrol("person:1")
    await school.enrol("sis:child")
    await spoken(school, "person:1", "sis:child", ("billing", "refuse"))
    response = await school.post(f"/v1/subjects/{one}/merge", {"other": "sis:child"})
    assert (response.status_code, "guardian" in response.text) == (422, True)


async def test_whoever_was_merged_cannot_be_merged_again(school: School) -> None:
    one, other = await two(school)
    await merge(school, one, other)
    for kept, again in ((one, other), (other, one), (other, "crm:b")):
        response = await school.post(f"/v1/subjects/{kept}/merge", {"other": again})
        assert (response.status_code, "one and the same record" in response.text) == (422, True)


async def test_an_unseen_person_is_404_and_a_wrong_body_is_422(school: School) -> None:
    await school.enrol("person:1")
    for path in ("sub_00000000000000000000000000", "person:1", "x"):
        response = await school.post(f"/v1/subjects/{path}/merge", {"other": "person:1"})
        assert (response.status_code, response.json()["code"]) == (404, "subject_not_found")
    one = await school.enrol("person:2")
    for body in ({}, {"other": ""}, {"other": 7}, {"other": "person:1", "more": 1}, {"other": "person:"}):
        assert (await school.post(f"/v1/subjects/{one}/merge", body)).status_code == 422


async def test_merging_needs_every_namespace_of_both_and_every_purpose(school: School) -> None:
    one, other = await two(school)
    scopes = (Scope.PEOPLE_WRITE, Scope.PEOPLE_READ)
    some = await school.key_for("some", *scopes, namespaces=["person"])
    response = await school.post(f"/v1/subjects/{one}/merge", {"other": other}, key=some)
    assert (response.status_code, response.json()["code"]) == (403, "client_not_permitted")
    billing = await school.key_for("billing", *scopes, purposes=["billing"])
    response = await school.post(f"/v1/subjects/{one}/merge", {"other": other}, key=billing)
    assert (response.status_code, response.json()["code"]) == (403, "client_not_permitted")
    none = await school.key_for("none", *scopes, namespaces=["sis"])
    assert (await school.post(f"/v1/subjects/{one}/merge", {"other": other}, key=none)).status_code == 404
    crm = await school.key_for("crm", *scopes, namespaces=["crm"])
    assert (await school.post(f"/v1/subjects/{other}/merge", {"other": one}, key=crm)).status_code == 422
    reader = await school.key_for("reader", Scope.PEOPLE_READ)
    assert (await school.post(f"/v1/subjects/{one}/merge", {"other": other}, key=reader)).status_code == 403
    both = await school.key_for("both", *scopes, namespaces=["person", "crm"])
    assert (await school.post(f"/v1/subjects/{one}/merge", {"other": other}, key=both)).status_code == 200


async def test_a_client_sees_the_one_person_by_any_namespace_of_both(school: School) -> None:
    one, other = await two(school)
    scopes = (Scope.CHECK, Scope.PEOPLE_READ, Scope.CONSENTS_READ, Scope.AUDIT_READ)
    crm = await school.key_for("crm", *scopes, namespaces=["crm"])
    sis = await school.key_for("sis", *scopes, namespaces=["sis"])
    assert (await school.get(f"/v1/subjects/{one}", key=crm)).status_code == 404
    decided = [(await school.check(name, "billing"))["decision_id"] for name in (one, other)]
    await merge(school, one, other)
    for name in decided:
        assert (await school.get(f"/v1/decisions/{name}", key=crm)).status_code == 200
        assert (await school.get(f"/v1/decisions/{name}", key=sis)).status_code == 404
    for name in (one, other):
        seen = (await school.get(f"/v1/subjects/{name}", key=crm)).json()
        assert (seen["subject"], seen["identifiers"]) == (one, ["crm:b"])
        assert (await school.get(f"/v1/subjects/{name}", key=sis)).status_code == 404
        assert await school.why(name, "billing", key=sis) == ["no_consent_recorded"]
    receipts = [row._mapping["index"] for row in await all_of(school, ledger_entry) if row.kind == "statement"]
    for index in receipts:
        assert (await school.get(f"/v1/receipts/{index}", key=crm)).status_code == 200
        assert (await school.get(f"/v1/receipts/{index}", key=sis)).status_code == 404


async def test_a_repetition_with_the_same_key_gets_the_first_answer(school: School) -> None:
    one, other = await two(school)
    first = await merge(school, one, other, Idempotency_Key="k")
    size = len(await all_of(school, ledger_entry))
    assert await merge(school, one, other, Idempotency_Key="k") == first
    assert len(await all_of(school, ledger_entry)) == size


async def test_neither_a_record_nor_the_guardian_of_one_is_merged_that_is_not_to_be_trusted(
    school: School,
) -> None:
    one, other = await two(school)
    ward = await school.enrol("sis:child")
    await guard(school, "person:2", "sis:child")
    for name in (ward, other):
        changed = subject_state.update().where(subject_state.c.subject == name)
        await tamper(school.service.database, changed.values(seal=b"x" * 40))
        response = await school.post(f"/v1/subjects/{one}/merge", {"other": other})
        assert (response.status_code, response.json()["code"]) == (503, "record_untrusted")


async def test_a_name_that_is_led_elsewhere_or_in_circles_permits_nothing(school: School, settings: Settings) -> None:
    one, other = await two(school)
    third = await school.enrol("person:3")
    await school.said("person:3", (EMAIL, "grant"))
    await merge(school, one, other)
    database = school.service.database
    (row,) = [row for row in await all_of(school, subject_state) if row.subject == other]
    led = subject_state.update().where(subject_state.c.subject == other)
    await tamper(database, led.values(document=row.document.replace(one, third)))
    assert await school.why(other, EMAIL) == ["record_untrusted"]
    assert (await verified(settings)).findings != []
    circle = row.document.replace(one, other)
    message = f"state\0{other}\0{row.last_index}\0{circle}".encode()
    await tamper(database, led.values(document=circle, seal=database.keyring.seal_row(message)))
    assert await school.why(other, EMAIL) == ["record_untrusted"]


async def test_a_row_from_before_the_merger_put_back_permits_nothing(school: School) -> None:
    one, other = await two(school)
    await school.said("person:2", ("inquiry_response", "grant"))
    before = {row.subject: row for row in await all_of(school, subject_state)}
    await merge(school, one, other)
    old = {"document": before[other].document, "seal": before[other].seal, "last_index": before[other].last_index}
    await tamper(school.service.database, subject_state.update().where(subject_state.c.subject == other).values(old))
    assert await school.why(other, "inquiry_response") == ["record_untrusted"]


async def test_a_withdrawal_and_a_merger_at_once_end_in_a_no(school: School) -> None:
    for number in range(12):
        names = [await school.enrol(f"person:{number}-{which}") for which in "ab"]
        for name in names:
            await school.said(name, ("billing", "grant"))
        steps = [
            school.said(names[number % 2], ("billing", "withdraw")),
            school.post(f"/v1/subjects/{names[0]}/merge", {"other": names[1]}),
        ]
        await asyncio.gather(*(steps if number % 3 else steps[::-1]))
        for name in (*names, f"person:{number}-a", f"person:{number}-b"):
            assert await school.why(name, "billing") == ["withdrawn"]


async def test_mergers_at_once_are_taken_one_after_another(school: School, settings: Settings) -> None:
    names = [await school.enrol(f"person:{number}") for number in range(5)]
    for name in names:
        await school.said(name, ("billing", "grant"))
    pairs = [(one, other) for one in names for other in names if one != other]
    answers = await asyncio.gather(
        *(school.post(f"/v1/subjects/{one}/merge", {"other": other}) for one, other in pairs)
    )
    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [422] * 16
    subjects = {(await school.get(f"/v1/subjects/{name}")).json()["subject"] for name in names}
    assert len(subjects) == 1
    await rebuilds_and_verifies(school, settings)


@pytest.mark.parametrize("rule", ["all", "any_refusal_wins"])
async def test_a_yes_that_only_one_of_two_guardians_said_does_not_become_both_of_theirs(
    school: School, rule: str
) -> None:
    await prepare(school)
    await school.enrol("sis:child", birth_date="2014-05-02")
    one, other = await school.enrol("person:1"), await school.enrol("person:2")
    first = await guard(school, "person:1", "sis:child")
    await guard(school, "person:2", "sis:child")
    await spoken(school, "person:1", "sis:child", (LEAVES[rule], "grant"))
    if rule == "any_refusal_wins":
        await school.post(f"/v1/guardianships/{first['id']}/verify", {"verified_by": "office", "verified": False})
    assert not (await school.check("sis:child", LEAVES[rule]))["permitted"]
    await merge(school, one, other)
    assert await school.why("sis:child", LEAVES[rule]) == ["no_consent_recorded"]


class Look:
    """A merger in two parts, between which something happens: the look for wards is taken without a lock."""

    def __init__(self, school: School, settings: Settings) -> None:
        self.database = school.service.database
        self.key_hash = self.database.keyring.key_hash(school.key)
        self.zone = settings.time_zone

    async def take(self, other: Identifier) -> Mentions | None:
        async def look(tx: ReadTx) -> Mentions | None:
            client = await clients.authenticate(tx, self.key_hash, Scope.PEOPLE_WRITE)
            return await merging.mentions(tx, client, other)

        return await read_alone(self.database, look)

    async def merge(self, kept: str, other: Identifier, known: Mentions | None) -> Person:
        async def merged(tx: WriteTx) -> Person:
            client = await clients.authenticate(tx, self.key_hash, Scope.PEOPLE_WRITE)
            return await merging.merge(tx, client, Pseudonym(kept), other, known, zone=self.zone)

        return await write_alone(self.database, merged)


async def test_a_ward_who_comes_after_the_look_is_not_forgotten(school: School, settings: Settings) -> None:
    one, other = await two(school)
    look, name = Look(school, settings), Identifier("crm", "b")
    known = await look.take(name)
    wards = [await school.enrol("sis:ward"), await school.enrol("sis:spoken")]
    await guard(school, "person:2", "sis:ward")
    await spoken(school, "person:2", "sis:spoken", ("billing", "refuse"))
    await look.merge(one, name, known)
    documents = {row.subject: row.document for row in await all_of(school, subject_state)}
    assert [(one in documents[ward], other in documents[ward]) for ward in wards] == [(True, False)] * 2


@pytest.mark.parametrize("looked_first", [True, False])
async def test_the_wards_of_whoever_the_other_was_merged_into_after_the_look_are_not_forgotten(
    school: School, settings: Settings, looked_first: bool
) -> None:
    one, _ = await two(school)
    third, ward = await school.enrol("person:3"), await school.enrol("sis:ward")
    await guard(school, "person:3", "sis:ward")
    look, name = Look(school, settings), Identifier("crm", "b")
    known = await look.take(name) if looked_first else None
    await merge(school, third, "crm:b")
    await look.merge(one, name, known)
    documents = {row.subject: row.document for row in await all_of(school, subject_state)}
    assert (one in documents[ward], third in documents[ward]) == (True, False)
