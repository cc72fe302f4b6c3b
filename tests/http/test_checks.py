import pytest

from consent_service.core.clients import Scope
from tests.school import EMAIL, School

pytestmark = pytest.mark.anyio


async def test_a_grant_makes_a_yes_and_a_withdrawal_a_no(school: School) -> None:
    await school.said("person:1", (EMAIL, "grant"))
    yes = await school.check("person:1", EMAIL)
    withdrawn = await school.said("person:1", (EMAIL, "withdraw"))
    index = withdrawn["entries"][0]["index"]
    no = await school.check("person:1", EMAIL)
    assert (yes["permitted"], no["permitted"]) == (True, False)
    assert [r["code"] for r in yes["reasons"]] == ["consent_granted"]
    assert no["reasons"] == [
        {"code": "withdrawn", "purpose": EMAIL, "message": "Consent was withdrawn on 2026-11-23.", "index": index}
    ]


async def test_an_answer_has_the_members_of_the_contract_in_their_order(school: School) -> None:
    said = await school.said("person:1", ("billing", "grant"))
    answer = await school.check("person:1", "billing")
    assert list(answer) == [
        "permitted",
        "reasons",
        "purpose",
        "policy_version",
        "expires_at",
        "as_of",
        "decision_id",
        "decided_at",
    ]
    assert answer["as_of"] == said["as_of"]
    assert answer["decided_at"] == "2026-11-23T02:10:00.000Z"
    assert answer["decision_id"].startswith("dec_")


async def test_the_unknown_and_the_never_asked_get_the_same_bytes(school: School) -> None:
    await school.enrol("person:known", birth_date="2015-01-01", membership={"status": "ended"})
    answers = []
    for subject in ("person:known", "person:unknown", "sub_00000000000000000000000000"):
        answer = await school.check(subject, EMAIL)
        answers.append({k: v for k, v in answer.items() if k not in ("decision_id", "decided_at", "as_of")})
    assert answers[0] == answers[1] == answers[2]
    assert answers[0]["reasons"][0]["code"] == "no_consent_recorded"


async def test_a_branch_is_yes_only_if_every_leaf_is(school: School) -> None:
    await school.said("person:1", ("surveys", "grant"))
    assert (await school.check("person:1", "surveys"))["permitted"]
    await school.said("person:1", ("surveys.analysis", "refuse"))
    answer = await school.check("person:1", "surveys")
    assert not answer["permitted"]
    assert [(r["code"], r["purpose"]) for r in answer["reasons"]] == [("refused", "surveys.analysis")]


async def test_a_branch_expires_with_its_earliest_leaf(school: School) -> None:
    await school.said("person:1", ("credit_checks.judgment", "grant"), expires_at="2027-01-01T00:00:00Z")
    await school.said("person:1", ("credit_checks.collection", "grant"), expires_at="2026-12-01T00:00:00Z")
    assert (await school.check("person:1", "credit_checks"))["expires_at"] == "2026-12-01T00:00:00.000Z"


async def test_expiry_is_exact_at_the_instant(school: School) -> None:
    await school.said("person:1", ("billing", "grant"), expires_at="2026-11-23T02:11:00Z")
    school.clock.advance(seconds=59.999)
    assert (await school.check("person:1", "billing"))["permitted"]
    school.clock.advance(seconds=0.001)
    answer = await school.check("person:1", "billing")
    assert [r["code"] for r in answer["reasons"]] == ["expired"]
    assert answer["expires_at"] is None


async def test_after_a_membership_ends_only_what_may_go_on_goes_on(school: School) -> None:
    sub = await school.enrol("sis:S-1", birth_date="2000-01-01")
    await school.said("sis:S-1", ("billing", "grant"), (EMAIL, "grant"))
    await school.send("PATCH", f"/v1/subjects/{sub}", {"membership": {"status": "ended", "ended_on": "2026-11-24"}})
    assert await school.why("sis:S-1", EMAIL) == ["consent_granted"]
    school.clock.advance(hours=12, minutes=50)  # midnight in Tokyo
    assert await school.why("sis:S-1", EMAIL) == ["membership_ended"]
    assert await school.why("sis:S-1", "billing") == ["consent_granted"]


async def test_every_objection_is_collected(school: School) -> None:
    sub = await school.enrol("sis:S-1")
    await school.said("sis:S-1", (EMAIL, "withdraw"))
    await school.send("PATCH", f"/v1/subjects/{sub}", {"membership": {"status": "ended"}})
    assert await school.why("sis:S-1", EMAIL) == ["withdrawn", "membership_ended"]


async def test_a_purpose_that_the_policy_lacks_is_a_no_with_the_nearest_codes(school: School) -> None:
    answer = await school.check("person:1", "biling")
    assert answer["reasons"][0]["code"] == "purpose_not_specified"
    assert "billing" in answer["reasons"][0]["message"]


async def test_terms_of_use_never_says_yes_by_itself(school: School) -> None:
    assert await school.why("person:1", "terms_of_use") == ["purpose_not_specified"]


async def test_a_concomitant_use_gets_the_decision_of_the_purpose_it_goes_along_with(school: School) -> None:
    assert await school.why("person:1", "concomitant_use") == ["within_required"]
    assert await school.why("person:1", "concomitant_use", "concomitant_use") == ["within_required"]
    assert await school.why("person:1", "concomitant_use", "nothing_like_it") == ["purpose_not_specified"]
    assert await school.why("person:1", "concomitant_use", "billing") == ["no_consent_recorded"]
    await school.said("person:1", ("billing", "grant"))
    yes = await school.check("person:1", "concomitant_use", "billing")
    assert yes["permitted"]
    assert [(r["code"], r["purpose"]) for r in yes["reasons"]] == [("concomitant", "billing")]


async def test_naming_another_purpose_within_an_ordinary_one_is_an_error(school: School) -> None:
    body = {"subject": "person:1", "purpose": "billing", "within": "surveys"}
    response = await school.post("/v1/check", body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/within"


async def test_a_client_asks_only_for_its_own_purposes_and_namespaces(school: School) -> None:
    await school.said("person:1", ("billing", "grant"), ("marketing", "grant"))
    mailer = await school.key_for("mailer", Scope.CHECK, purposes=["marketing"], namespaces=["person"])
    assert await school.why("person:1", EMAIL, key=mailer) == ["consent_granted"]
    assert await school.why("person:1", "billing", key=mailer) == ["client_not_permitted"]
    assert await school.why("person:1", "marketing_extra", key=mailer) == ["client_not_permitted"]
    assert await school.why("sis:1", EMAIL, key=mailer) == ["client_not_permitted"]
    assert await school.why("person:1", "concomitant_use", "billing", key=mailer) == ["client_not_permitted"]


async def test_a_subject_outside_the_clients_namespaces_is_unknown(school: School) -> None:
    sub = await school.enrol("sis:S-1", birth_date="2000-01-01")
    await school.said("sis:S-1", ("billing", "grant"))
    crm = await school.key_for("crm", Scope.CHECK, namespaces=["crm"])
    assert await school.why(sub, "billing", key=crm) == ["no_consent_recorded"]
    assert await school.why(sub, "billing") == ["consent_granted"]


async def test_messages_come_in_japanese_for_those_who_prefer_it(school: School) -> None:
    body = {"subject": "person:1", "purpose": "billing"}
    japanese = await school.post("/v1/check", body, Accept_Language="ja-JP,en;q=0.8")
    english = await school.post("/v1/check", body, Accept_Language="en,ja;q=0.5")
    assert japanese.json()["reasons"][0]["message"] == "この目的についての同意は記録されていません。"
    assert english.json()["reasons"][0]["message"] == "No consent is recorded for this purpose."


async def test_an_identifier_without_a_namespace_is_in_the_default_one(school: School) -> None:
    await school.said("1001", ("billing", "grant"))
    assert (await school.check("person:1001", "billing"))["permitted"]


async def test_two_spellings_of_one_name_are_one_subject(school: School) -> None:
    await school.said("person:é", ("billing", "grant"))
    await school.said("person:e\u0301", ("billing", "withdraw"))
    assert await school.why("person:é", "billing") == ["withdrawn"]
