import pytest

from consent_service.core.clients import Scope
from tests.school import EMAIL, VERSION, School, statements

pytestmark = pytest.mark.anyio


async def test_a_call_records_every_statement_and_says_what_stands(school: School) -> None:
    answer = await school.said("person:1001", ("billing", "grant"), ("marketing", "refuse"))
    first, second = answer["entries"]
    assert (first["purpose"], first["applied"], second["purpose"]) == ("billing", True, "marketing")
    assert second["index"] == first["index"] + 1
    assert answer["as_of"] == second["index"] + 1
    assert {leaf: state["state"] for leaf, state in answer["states"].items()} == {
        "billing": "granted",
        **{
            f"marketing.{whose}.{how}": "refused"
            for whose in ("own_company", "other_companies")
            for how in ("telephone", "email", "post")
        },
    }
    assert answer["subject"].startswith("sub_")
    assert answer["receipts"] == [f"/v1/receipts/{first['index']}", f"/v1/receipts/{second['index']}"]


async def test_a_paper_grant_found_late_changes_nothing(school: School) -> None:
    await school.said("person:1", ("billing", "grant"))
    school.clock.advance(days=1)
    await school.said("person:1", ("billing", "withdraw"))
    school.clock.advance(days=1)
    late = await school.said("person:1", ("billing", "grant"), made_at="2026-11-24T01:00:00Z")
    assert late["entries"][0]["applied"] is False
    assert late["entries"][0]["not_applied_because"] == "standing_no_is_newer"
    assert await school.why("person:1", "billing") == ["withdrawn"]
    later = await school.said("person:1", ("billing", "grant"), made_at="2026-11-24T02:10:00.001Z")
    assert later["entries"][0]["applied"] is True
    assert (await school.check("person:1", "billing"))["permitted"]


async def test_a_no_found_late_still_counts(school: School) -> None:
    await school.said("person:1", ("billing", "grant"))
    await school.said("person:1", ("billing", "refuse"), made_at="2025-01-01T00:00:00Z")
    assert await school.why("person:1", "billing") == ["refused"]


async def test_a_grant_made_now_lifts_a_no_of_the_same_millisecond(school: School) -> None:
    await school.said("person:1", ("billing", "withdraw"))
    await school.said("person:1", ("billing", "grant"))
    assert (await school.check("person:1", "billing"))["permitted"]


async def test_within_one_call_a_no_outweighs_a_yes_whatever_their_order(school: School) -> None:
    await school.said("person:1", ("marketing", "grant"), (EMAIL, "refuse"))
    await school.said("person:2", (EMAIL, "refuse"), ("marketing", "grant"))
    body = statements("person:3", (EMAIL, "refuse"), ("marketing", "grant"))
    body["statements"][1]["made_at"] = "2026-11-23T02:10:30Z"
    assert (await school.post("/v1/consents", body)).status_code == 201
    for person in ("person:1", "person:2", "person:3"):
        assert await school.why(person, EMAIL) == ["refused"]
        assert (await school.check(person, "marketing.own_company.post"))["permitted"]


async def test_a_grant_on_a_branch_counts_for_the_leaves_that_no_newer_no_holds(school: School) -> None:
    await school.said("person:1", (EMAIL, "withdraw"))
    school.clock.advance(days=1)
    answer = await school.said("person:1", ("marketing.own_company", "grant"), made_at="2026-11-01T00:00:00Z")
    entry = answer["entries"][0]
    assert entry["applied"] is True
    assert entry["applied_to"] == ["marketing.own_company.telephone", "marketing.own_company.post"]
    assert entry["not_applied_because"] == "standing_no_is_newer"


async def test_an_unverified_guardians_grant_is_recorded_and_changes_nothing(school: School) -> None:
    mother = await school.enrol("crm:mother@example.jp")
    by = {"role": "guardian", "subject": "crm:mother@example.jp", "staff": "front office"}
    answer = await school.said("person:1", ("billing", "grant"), by=by, method="paper")
    assert answer["entries"][0]["not_applied_because"] == "guardian_unverified"
    assert await school.why("person:1", "billing") == ["no_consent_recorded"]
    await school.said("person:1", ("billing", "refuse"), by=by, method="paper")
    assert await school.why("person:1", "billing") == ["refused"]
    history = (await school.get(f"/v1/subjects/{answer['subject']}/history")).json()
    assert {item["speaker"] for item in history["items"]} == {mother}


async def test_all_or_nothing(school: School) -> None:
    response = await school.say("person:1", ("billing", "grant"), ("terms_of_use", "grant"))
    assert response.status_code == 422
    assert await school.why("person:1", "billing") == ["no_consent_recorded"]
    lookup = await school.post("/v1/subjects/lookup", {"subject": "person:1"})
    assert lookup.status_code == 404


@pytest.mark.parametrize(
    ("change", "pointer", "told"),
    [
        ({"statements": [{"purpose": "biling", "action": "grant"}]}, "/statements/0/purpose", "billing"),
        ({"statements": [{"purpose": "concomitant_use", "action": "grant"}]}, "/statements/0/purpose", "by itself"),
        ({"statements": [{"purpose": "terms_of_use", "action": "grant"}]}, "/statements/0/purpose", "no purposes yet"),
        ({"policy_version": "2020-01-01"}, "/policy_version", VERSION),
        ({"made_at": "2026-11-23T02:11:00.001Z"}, "/statements/0/made_at", "future"),
        ({"made_at": "2026-11-23T02:10:00"}, "/made_at", "offset"),
        ({"expires_at": "2026-11-23T02:10:00Z"}, "/statements/0/expires_at", "future"),
        (
            {"statements": [{"purpose": "billing", "action": "refuse", "expires_at": "2027-01-01T00:00:00Z"}]},
            "/statements/0/expires_at",
            "only a grant expires",
        ),
        ({"by": {"role": "staff"}}, "/by", "staff"),
        ({"by": {"role": "guardian"}}, "/by", "subject"),
        ({"by": {"role": "guardian", "subject": "crm:nobody"}}, "/by/subject", "POST /v1/subjects"),
        ({"by": {"role": "owner"}}, "/by/role", "subject"),
        ({"method": "silence"}, "/method", "paper"),
        ({"statements": []}, "/statements", "at least 1"),
        ({"surprise": 1}, "/surprise", "leave it out"),
        ({"subject": "Person:1"}, "/subject", "namespace"),
        ({"subject": "person: 1"}, "/subject", "space"),
        ({"subject": "sub_x"}, "/subject", "26 characters"),
        ({"evidence": {"page": 14}}, "/evidence", "string"),
    ],
)
async def test_a_wrong_member_is_pointed_at_and_changes_nothing(
    school: School, change: dict[str, object], pointer: str, told: str
) -> None:
    response = await school.post("/v1/consents", statements("person:1", ("billing", "grant")) | change)
    problem = response.json()
    assert response.status_code == 422, problem
    assert problem["code"] == "validation_failed"
    assert any(e["pointer"].startswith(pointer) and told in e["detail"] for e in problem["errors"]), problem
    assert await school.why("person:1", "billing") == ["no_consent_recorded"]


async def test_a_clock_that_runs_a_minute_ahead_is_forgiven(school: School) -> None:
    response = await school.say("person:1", ("billing", "grant"), made_at="2026-11-23T02:11:00Z")
    assert response.status_code == 201


async def test_a_guardian_cannot_be_the_person_themself(school: School) -> None:
    await school.enrol("person:1")
    response = await school.say("person:1", ("billing", "grant"), by={"role": "guardian", "subject": "person:1"})
    assert response.json()["errors"][0]["pointer"] == "/by/subject"


@pytest.mark.parametrize("role", ["subject", "staff"])
async def test_nobody_elses_word_is_taken_for_the_persons_own(school: School, role: str) -> None:
    by = {"role": role, "staff": "front office"}
    other = await school.say("person:1", ("billing", "grant"), by=by | {"subject": "person:2"})
    assert (other.status_code, other.json()["errors"][0]["pointer"]) == (422, "/by/subject")
    sub = await school.enrol("person:1", "crm:1")
    for one in ("1", "crm:1", sub):
        assert (await school.say("person:1", ("billing", "grant"), by=by | {"subject": one})).status_code == 201
    assert (await school.say("person:3", ("billing", "grant"), by=by | {"subject": "person:3"})).status_code == 201


async def test_an_unknown_pseudonym_is_not_created(school: School) -> None:
    response = await school.say("sub_00000000000000000000000000", ("billing", "grant"))
    assert (response.status_code, response.json()["code"]) == (404, "subject_not_found")


async def test_a_client_writes_only_in_its_own_namespaces_and_purposes(school: School) -> None:
    key = await school.key_for("mailer", Scope.CONSENTS_WRITE, purposes=["marketing"], namespaces=["crm"])
    foreign_namespace = await school.say("person:1", (EMAIL, "grant"), key=key)
    foreign_purpose = await school.say("crm:1", ("billing", "grant"), key=key)
    own = await school.say("crm:1", (EMAIL, "grant"), key=key)
    assert [r.status_code for r in (foreign_namespace, foreign_purpose, own)] == [403, 403, 201]
    assert foreign_namespace.json()["code"] == foreign_purpose.json()["code"] == "client_not_permitted"


async def test_a_retry_with_the_same_key_gets_the_first_answer_and_writes_nothing(school: School) -> None:
    body = statements("person:1", ("billing", "grant"))
    first = await school.post("/v1/consents", body, Idempotency_Key="k1")
    await school.said("person:1", ("billing", "withdraw"))
    again = await school.post("/v1/consents", body, Idempotency_Key="k1")
    assert (again.status_code, again.json()) == (201, first.json())
    assert await school.why("person:1", "billing") == ["withdrawn"]


async def test_the_same_key_with_another_body_is_refused(school: School) -> None:
    await school.post("/v1/consents", statements("person:1", ("billing", "grant")), Idempotency_Key="k1")
    other = await school.post("/v1/consents", statements("person:1", ("billing", "refuse")), Idempotency_Key="k1")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert (await school.check("person:1", "billing"))["permitted"]


async def test_a_refused_call_does_not_use_its_key_up(school: School) -> None:
    refused = await school.post("/v1/consents", statements("person:1", ("nope", "grant")), Idempotency_Key="k1")
    accepted = await school.post("/v1/consents", statements("person:1", ("billing", "grant")), Idempotency_Key="k1")
    assert (refused.status_code, accepted.status_code) == (422, 201)


async def test_two_clients_may_use_the_same_idempotency_key(school: School) -> None:
    other = await school.key_for("other", Scope.CONSENTS_WRITE)
    body = statements("person:1", ("billing", "grant"))
    first = await school.post("/v1/consents", body, Idempotency_Key="k1")
    second = await school.post("/v1/consents", body, key=other, Idempotency_Key="k1")
    assert second.json()["entries"][0]["index"] > first.json()["entries"][0]["index"]


async def test_an_idempotency_key_is_kept_for_seven_days(school: School) -> None:
    body = statements("person:1", ("billing", "grant"))
    first = await school.post("/v1/consents", body, Idempotency_Key="k1")
    school.clock.advance(days=6, hours=23)
    within = await school.post("/v1/consents", body, Idempotency_Key="k1")
    school.clock.advance(hours=1)
    after = await school.post("/v1/consents", body, Idempotency_Key="k1")
    assert within.json() == first.json()
    assert after.json()["as_of"] > first.json()["as_of"]


async def test_what_stands_lists_every_leaf_and_the_never_asked_too(school: School) -> None:
    recorded = await school.said("person:1", ("billing", "grant"), expires_at="2026-12-01T00:00:00Z")
    answer = (await school.get(f"/v1/subjects/{recorded['subject']}/consents")).json()
    assert len(answer["states"]) == 22
    assert answer["states"]["billing"]["state"] == "granted"
    assert answer["states"]["surveys.analysis"] == {
        "state": "never_asked",
        "index": None,
        "made_at": None,
        "expires_at": None,
        "wording": None,
    }
    assert answer["as_of"] == recorded["as_of"]
    school.clock.advance(days=8)
    later = (await school.get(f"/v1/subjects/{recorded['subject']}/consents")).json()
    assert later["states"]["billing"]["state"] == "expired"


async def test_history_tells_everything_in_order_page_by_page(school: School) -> None:
    evidence = {"form": "binder 3, page 14"}
    by = {"role": "staff", "staff": "T. Sato"}
    first = await school.said("person:1", ("billing", "grant"), by=by, method="paper", evidence=evidence)
    await school.said("person:1", ("surveys", "refuse"))
    await school.said("person:2", ("billing", "grant"))
    await school.said("person:1", ("billing", "withdraw"))
    path = f"/v1/subjects/{first['subject']}/history"
    page = (await school.get(f"{path}?limit=2")).json()
    rest = (await school.get(f"{path}?limit=2&after={page['next']}")).json()
    said = [(item["action"], item["purpose"]) for item in page["items"] + rest["items"]]
    assert said == [("grant", "billing"), ("refuse", "surveys"), ("withdraw", "billing")]
    assert rest["next"] is None
    item = page["items"][0]
    assert (item["staff"], item["evidence"], item["role"], item["method"]) == ("T. Sato", evidence, "staff", "paper")
    assert item["leaves"] == {"billing": 1}


async def test_reading_needs_to_see_the_subject(school: School) -> None:
    sub = await school.enrol("sis:S-1")
    crm = await school.key_for("crm", Scope.CONSENTS_READ, namespaces=["crm"])
    for what in ("consents", "history"):
        response = await school.get(f"/v1/subjects/{sub}/{what}", key=crm)
        assert (response.status_code, response.json()["code"]) == (404, "subject_not_found")


async def test_a_client_reads_only_about_its_own_purposes(school: School) -> None:
    sub = (await school.said("person:1", ("billing", "grant"), (EMAIL, "refuse")))["subject"]
    mailer = await school.key_for("mailer", Scope.CONSENTS_READ, purposes=["marketing"])
    states = (await school.get(f"/v1/subjects/{sub}/consents", key=mailer)).json()["states"]
    history = (await school.get(f"/v1/subjects/{sub}/history", key=mailer)).json()["items"]
    assert set(states) == {leaf for leaf in states if leaf.startswith("marketing.")}
    assert [item["purpose"] for item in history] == [EMAIL]
