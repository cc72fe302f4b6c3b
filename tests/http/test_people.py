from datetime import UTC, datetime

import pytest

from consent_service.core.clients import Scope
from tests.school import School

pytestmark = pytest.mark.anyio


async def test_a_person_is_recorded_with_several_identifiers(school: School) -> None:
    body = {"identifiers": ["sis:S-1", "crm:taro@example.jp"], "birth_date": "2014-05-02", "language": "ja"}
    made = (await school.post("/v1/subjects", body)).json()
    read = (await school.get(f"/v1/subjects/{made['subject']}")).json()
    assert made | {"as_of": 0} == read | {"as_of": 0}
    assert (read["kind"], read["birth_date"], read["language"]) == ("student", "2014-05-02", "ja")
    assert read["identifiers"] == ["sis:S-1", "crm:taro@example.jp"]
    assert read["membership"] == {"status": "active", "ended_on": None}
    for identifier in body["identifiers"]:
        found = await school.post("/v1/subjects/lookup", {"subject": identifier})
        assert found.json() == {"subject": made["subject"]}


@pytest.mark.parametrize(
    ("namespace", "kind"), [("person", "customer"), ("sis", "student"), ("staff", "staff"), ("unlisted", "student")]
)
async def test_the_kind_comes_from_the_namespace_if_nobody_says(school: School, namespace: str, kind: str) -> None:
    sub = await school.enrol(f"{namespace}:1")
    assert (await school.get(f"/v1/subjects/{sub}")).json()["kind"] == kind


async def test_the_kind_may_be_said(school: School) -> None:
    sub = await school.enrol("person:mother", kind="guardian")
    assert (await school.get(f"/v1/subjects/{sub}")).json()["kind"] == "guardian"


async def test_an_identifier_names_one_subject_only(school: School) -> None:
    await school.enrol("sis:S-1")
    response = await school.post("/v1/subjects", {"identifiers": ["sis:S-2", "sis:S-1"]})
    assert (response.status_code, response.json()["code"]) == (409, "identifier_taken")
    assert (await school.post("/v1/subjects/lookup", {"subject": "sis:S-2"})).status_code == 404


async def test_a_patch_changes_what_it_names_and_nothing_else(school: School) -> None:
    sub = await school.enrol("sis:S-1", birth_date="2014-05-02", language="ja")
    changed = (await school.send("PATCH", f"/v1/subjects/{sub}", {"language": None, "kind": "customer"})).json()
    assert (changed["birth_date"], changed["language"], changed["kind"]) == ("2014-05-02", None, "customer")


async def test_linking_lets_both_names_find_the_same_consents(school: School) -> None:
    sub = await school.enrol("sis:S-1", birth_date="2000-01-01")
    await school.said("sis:S-1", ("billing", "grant"))
    await school.send("PATCH", f"/v1/subjects/{sub}", {"add_identifiers": ["billing:77", "sis:S-1"]})
    assert (await school.check("billing:77", "billing"))["permitted"]
    assert (await school.get(f"/v1/subjects/{sub}")).json()["identifiers"] == ["sis:S-1", "billing:77"]


async def test_a_removed_identifier_finds_nobody_and_may_be_given_anew(school: School) -> None:
    sub = await school.enrol("sis:S-1", "crm:old@example.jp")
    response = await school.send("PATCH", f"/v1/subjects/{sub}", {"remove_identifiers": ["crm:old@example.jp"]})
    assert response.json()["identifiers"] == ["sis:S-1"]
    assert await school.enrol("crm:old@example.jp") != sub


async def test_the_last_identifier_stays(school: School) -> None:
    sub = await school.enrol("sis:S-1")
    for added in ([], ["sis:S-1"]):
        change = {"add_identifiers": added, "remove_identifiers": ["sis:S-1"]}
        response = await school.send("PATCH", f"/v1/subjects/{sub}", change)
        assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "/remove_identifiers")
    moved = {"add_identifiers": ["sis:S-1", "sis:S-2"], "remove_identifiers": ["sis:S-1"]}
    assert (await school.send("PATCH", f"/v1/subjects/{sub}", moved)).json()["identifiers"] == ["sis:S-2"]


async def test_linking_needs_every_namespace_of_both(school: School) -> None:
    sub = await school.enrol("sis:S-1", "crm:a")
    crm = await school.key_for("crm", Scope.PEOPLE_WRITE, Scope.PEOPLE_READ, namespaces=["crm", "billing"])
    response = await school.send("PATCH", f"/v1/subjects/{sub}", {"add_identifiers": ["billing:1"]}, key=crm)
    assert (response.status_code, response.json()["code"]) == (403, "client_not_permitted")


async def test_an_identifier_of_somebody_else_cannot_be_linked(school: School) -> None:
    sub = await school.enrol("sis:S-1")
    await school.enrol("sis:S-2")
    response = await school.send("PATCH", f"/v1/subjects/{sub}", {"add_identifiers": ["sis:S-2"]})
    assert (response.status_code, response.json()["code"]) == (409, "identifier_taken")


async def test_a_client_sees_only_subjects_and_identifiers_in_its_namespaces(school: School) -> None:
    shared = await school.enrol("sis:S-1", "crm:a")
    foreign = await school.enrol("sis:S-2")
    crm = await school.key_for("crm", Scope.PEOPLE_READ, namespaces=["crm"])
    assert (await school.get(f"/v1/subjects/{shared}", key=crm)).json()["identifiers"] == ["crm:a"]
    assert (await school.get(f"/v1/subjects/{foreign}", key=crm)).status_code == 404
    assert (await school.post("/v1/subjects/lookup", {"subject": "sis:S-1"}, key=crm)).status_code == 404
    assert (await school.post("/v1/subjects/lookup", {"subject": shared}, key=crm)).status_code == 200


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"identifiers": []}, "/identifiers"),
        ({"identifiers": ["sub_00000000000000000000000000"]}, "/identifiers/0"),
        ({"identifiers": ["sis:"]}, "/identifiers/0"),
        ({"identifiers": ["sis:1", "sis: 2"]}, "/identifiers/1"),
        ({"identifiers": ["sis:1"], "birth_date": "2026-11-24"}, "/birth_date"),
        ({"identifiers": ["sis:1"], "birth_date": "1899-12-31"}, "/birth_date"),
        ({"identifiers": ["sis:1"], "birth_date": "2026-02-30"}, "/birth_date"),
        ({"identifiers": ["sis:1"], "membership": {"status": "active", "ended_on": "2026-01-01"}}, "/membership"),
        ({"identifiers": ["sis:1"], "language": "Japanese!"}, "/language"),
    ],
)
async def test_a_wrong_person_is_refused_with_the_member(school: School, body: dict[str, object], pointer: str) -> None:
    response = await school.post("/v1/subjects", body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"].startswith(pointer)
    assert (await school.post("/v1/subjects/lookup", {"subject": "sis:1"})).status_code == 404


async def test_a_membership_that_ends_without_a_day_ends_today_at_the_school(school: School) -> None:
    school.clock.advance(hours=13)  # 00:10 on the 24th in Tokyo
    sub = await school.enrol("sis:S-1", membership={"status": "ended"})
    membership = (await school.get(f"/v1/subjects/{sub}")).json()["membership"]
    assert membership == {"status": "ended", "ended_on": "2026-11-24"}


async def test_creating_twice_with_one_idempotency_key_creates_once(school: School) -> None:
    body = {"identifiers": ["sis:S-1"]}
    first = await school.post("/v1/subjects", body, Idempotency_Key="enrol-1")
    again = await school.post("/v1/subjects", body, Idempotency_Key="enrol-1")
    other = await school.post("/v1/subjects", {"identifiers": ["sis:S-2"]}, Idempotency_Key="enrol-1")
    assert (again.status_code, again.json()) == (201, first.json())
    assert other.json()["code"] == "idempotency_key_reused"


@pytest.mark.parametrize("sub", ["sub_nonsense", "person:1", "sub_00000000000000000000000000"])
async def test_a_path_that_names_nobody_is_a_404(school: School, sub: str) -> None:
    response = await school.get(f"/v1/subjects/{sub}")
    assert (response.status_code, response.json()["code"]) == (404, "subject_not_found")


async def test_a_yes_ends_with_the_membership_where_the_policy_does_not_let_it_go_on(school: School) -> None:
    await school.enrol("person:1", membership={"status": "ended", "ended_on": "2026-12-01"})
    await school.said("person:1", ("billing", "grant"), ("service_provision", "grant"))
    assert (await school.check("person:1", "service_provision"))["expires_at"] == "2026-11-30T15:00:00.000Z"
    assert (await school.check("person:1", "billing"))["expires_at"] is None
    school.clock.now = datetime(2026, 11, 30, 15, tzinfo=UTC)
    assert await school.why("person:1", "service_provision") == ["membership_ended"]
    assert await school.why("person:1", "billing") == ["consent_granted"]
