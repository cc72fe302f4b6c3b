"""Guardianships as data: recorded, verified, ended, blocked; each step an entry about the ward."""

import pytest

from consent_service.core.clients import Scope
from consent_service.lanes import write_alone
from consent_service.store.rebuild import rebuild
from consent_service.store.tables import ledger_entry, subject_state
from tests.school import Json, School
from tests.tables import all_of

pytestmark = pytest.mark.anyio

CHILD, MOTHER, FATHER = "sis:child", "person:mother", "person:father"


async def family(school: School, **more: Json) -> Json:
    """A child and two parents; the mother's guardianship."""
    await school.enrol(CHILD, birth_date="2014-05-02")
    await school.enrol(MOTHER, birth_date="1985-01-01")
    await school.enrol(FATHER)
    made = await school.post("/v1/guardianships", body(**more))
    assert made.status_code == 201, made.text
    return made.json()


def body(**more: Json) -> Json:
    return {"guardian": MOTHER, "ward": CHILD, "relation": "mother", **more}


async def step(school: School, made: Json, what: str, **told: Json) -> Json:
    response = await school.post(f"/v1/guardianships/{made['id']}/{what}", told)
    assert response.status_code == 200, response.text
    return response.json()


async def test_a_guardianship_is_recorded_and_can_be_read(school: School) -> None:
    made = await family(school, **{"from": "2026-04-01", "until": "2030-04-01"})
    listed = (await school.get(f"/v1/subjects/{made['ward']}/guardians")).json()
    assert listed["items"] == [made]
    assert (made["relation"], made["status"], made["verified"]) == ("mother", "unverified", False)
    assert (made["from"], made["until"]) == ("2026-03-31T15:00:00.000Z", "2030-03-31T15:00:00.000Z")


async def test_it_is_verified_and_found_unverified_again(school: School) -> None:
    made = await family(school)
    verified = await step(school, made, "verify", verified_by="T. Sato", verified_at="2026-11-20")
    assert (verified["status"], verified["verified_by"]) == ("current", "T. Sato")
    assert verified["verified_at"] == "2026-11-19T15:00:00.000Z"
    doubted = await step(school, made, "verify", verified_by="T. Sato", verified=False)
    assert (doubted["status"], doubted["verified_by"]) == ("unverified", None)


async def test_a_court_order_blocks_until_it_is_lifted(school: School) -> None:
    made = await family(school, verified_by="office")
    blocked = await step(school, made, "block", reference="Tokyo 1")
    assert (blocked["status"], blocked["reference"]) == ("blocked", "Tokyo 1")
    assert (await step(school, made, "verify", verified_by="office"))["status"] == "blocked"
    assert (await step(school, made, "unblock"))["status"] == "current"
    again = await school.post(f"/v1/guardianships/{made['id']}/unblock", {})
    assert (again.status_code, again.json()["errors"][0]["detail"]) == (422, "this guardianship is not blocked")


async def test_a_court_order_outlives_the_guardianship_that_it_was_recorded_of(school: School) -> None:
    made = await family(school, verified_by="office", until="2026-12-01")
    following = await school.post("/v1/guardianships", body(verified_by="office", **{"from": "2026-12-01"}))
    assert following.status_code == 201, following.text
    said = await school.say(CHILD, ("billing", "grant"), by={"role": "guardian", "subject": MOTHER})
    assert said.status_code == 201, said.text
    await step(school, made, "block", reference="Tokyo 1")
    assert await school.why(CHILD, "billing") == ["guardian_required"]
    school.clock.advance(days=10)
    assert await school.why(CHILD, "billing") == ["guardian_required"]
    listed = (await school.get(f"/v1/subjects/{made['ward']}/guardians")).json()["items"]
    assert [one["status"] for one in listed] == ["ended", "blocked"]
    await step(school, made, "unblock")
    assert await school.why(CHILD, "billing") == ["consent_granted"]


async def test_it_ends_at_its_instant_and_another_one_may_follow(school: School) -> None:
    made = await family(school, verified_by="office")
    assert (await step(school, made, "end", until="2026-12-01"))["status"] == "current"
    later = await school.post("/v1/guardianships", body(**{"from": "2026-12-01"}))
    assert (later.status_code, later.json()["status"]) == (201, "not_begun")
    school.clock.advance(days=9)
    listed = (await school.get(f"/v1/subjects/{made['ward']}/guardians")).json()["items"]
    assert [one["status"] for one in listed] == ["ended", "unverified"]


@pytest.mark.parametrize(
    ("more", "pointer", "says"),
    [
        ({"guardian": CHILD}, "/guardian", "their own"),
        ({"guardian": "person:nobody"}, "/guardian", "POST /v1/subjects"),
        ({"ward": "sis:nobody"}, "/ward", "POST /v1/subjects"),
        ({"ward": FATHER}, "/ward", "student"),
        ({"guardian": "sis:younger"}, "/guardian", "older"),
        ({"guardian": MOTHER}, "/guardian", "end that one first"),
        ({"guardian": FATHER, "from": "2026-04-01", "until": "2026-04-01"}, "/until", "after it begins"),
        ({"guardian": FATHER, "verified_at": "2026-04-01"}, "/verified_by", "who"),
        ({"guardian": FATHER, "verified_by": "x", "verified_at": "2027-04-01"}, "/verified_at", "future"),
        ({"guardian": FATHER, "from": "1066-10-14"}, "/from", "between"),
        ({"guardian": FATHER, "from": "soon"}, "/from", "a day such as"),
    ],
)
async def test_bad_input_is_refused_with_a_sentence(school: School, more: Json, pointer: str, says: str) -> None:
    await family(school)
    await school.enrol("sis:younger", birth_date="2015-01-01")
    response = await school.post("/v1/guardianships", body(**more))
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["pointer"] == pointer
    assert says in error["detail"]


async def test_a_circle_is_refused_however_long(school: School) -> None:
    for name in ("a", "b", "c"):
        await school.enrol(f"sis:{name}")
    for guardian, ward in (("sis:a", "sis:b"), ("sis:b", "sis:c")):
        assert (await school.post("/v1/guardianships", body(guardian=guardian, ward=ward))).status_code == 201
    response = await school.post("/v1/guardianships", body(guardian="sis:c", ward="sis:a"))
    assert (response.status_code, "circle" in response.text) == (422, True)


async def test_an_unknown_guardianship_is_404(school: School) -> None:
    made = await family(school)
    for name in ("gua_1", "x", f"{made['id']}0", made["ward"], "gua_" + "9" * 200, "gua_%00"):
        response = await school.post(f"/v1/guardianships/{name}/end", {}, Idempotency_Key="k")
        assert (response.status_code, response.json()["code"]) == (404, "guardianship_not_found")


async def test_a_client_that_does_not_see_the_ward_sees_no_guardianship(school: School) -> None:
    made = await family(school)
    key = await school.key_for("crm", Scope.PEOPLE_WRITE, Scope.PEOPLE_READ, namespaces=["crm"])
    assert (await school.get(f"/v1/subjects/{made['ward']}/guardians", key=key)).status_code == 404
    assert (await school.post(f"/v1/guardianships/{made['id']}/end", {}, key=key)).status_code == 404


async def test_a_repetition_with_the_same_key_writes_nothing(school: School) -> None:
    made = await family(school)
    answers = [
        await school.post(f"/v1/guardianships/{made['id']}/block", {"reference": "x"}, Idempotency_Key="k")
        for _ in range(2)
    ]
    assert answers[0].json() == answers[1].json()
    assert len([row for row in await all_of(school, ledger_entry) if row.kind == "guardianship"]) == 2


async def test_each_step_is_an_entry_about_the_ward_and_a_rebuild_gives_the_same(school: School) -> None:
    made = await family(school, verified_by="T. Sato")
    await step(school, made, "block", reference="court file 7")
    before = [tuple(row) for row in await all_of(school, subject_state)]
    entries = [row for row in await all_of(school, ledger_entry) if row.kind == "guardianship"]
    assert [row.subject for row in entries] == [made["ward"]] * 2
    assert not any(word in row.body for row in entries for word in (b"Sato", b"court file", b"mother"))
    await write_alone(school.service.database, rebuild)
    assert [tuple(row) for row in await all_of(school, subject_state)] == before


async def test_a_second_court_order_does_not_make_the_first_one_later(school: School) -> None:
    """The mother's no is lifted by what the father says after the first; what is derived anew says so, too."""
    made = await family(school, verified_by="office")
    father = await school.post("/v1/guardianships", body(guardian=FATHER, relation="father", verified_by="office"))
    assert father.status_code == 201, father.text
    mother = {"role": "guardian", "subject": MOTHER}
    await school.said(CHILD, ("billing", "refuse"), by=mother)
    school.clock.advance(hours=1)
    await step(school, made, "block", reference="Tokyo 1")
    school.clock.advance(hours=1)
    await school.said(CHILD, ("billing", "grant"), by=mother | {"subject": FATHER})
    assert await school.why(CHILD, "billing") == ["consent_granted"]
    school.clock.advance(hours=1)
    assert (await step(school, made, "block", reference="Tokyo 2"))["reference"] == "Tokyo 2"
    assert await school.why(CHILD, "billing") == ["consent_granted"]
    before = await all_of(school, subject_state)
    await write_alone(school.service.database, rebuild)
    assert await all_of(school, subject_state) == before
