"""What the office has to do."""

import pytest

from consent_service.core.clients import Scope
from tests.family import LEAVES, Family, prepare
from tests.publishing import edited, leaf, node, previewed, published, reworded
from tests.school import EMAIL, Json, School

pytestmark = pytest.mark.anyio
LEAF = LEAVES["any_refusal_wins"]
KINDS = [
    "birth_date_missing",
    "guardian_unverified",
    "guardian_conflict",
    "handover_due",
    "policy_changed",
    "never_asked",
]


async def listed(school: School, kind: str = "", more: str = "", key: str | None = None) -> Json:
    """The answer to GET /v1/worklist."""
    response = await school.get(f"/v1/worklist?{f'kind={kind}' if kind else ''}{more}", key=key)
    assert response.status_code == 200, response.text
    return response.json()


async def people(school: School, kind: str, more: str = "", key: str | None = None) -> list[str]:
    """Whom there is work of a kind about; the number says the same."""
    told = await listed(school, kind, more, key)
    assert told["counts"][kind]["people"] == len(told["items"])
    assert told["counts"][kind]["complete"] is True
    return [one["subject"] for one in told["items"]]


async def test_a_student_without_a_birth_date_is_on_it_until_it_is_recorded(school: School) -> None:
    sub = await school.enrol("sis:1")
    await school.enrol("person:1")
    await school.enrol("sis:2", birth_date="2015-01-01")
    assert await people(school, "birth_date_missing") == [sub]
    response = await school.send("PATCH", f"/v1/subjects/{sub}", {"birth_date": "2015-01-01"})
    assert response.status_code == 200
    assert await people(school, "birth_date_missing") == []


async def test_the_numbers_of_all_kinds_come_without_a_kind(school: School) -> None:
    await school.enrol("sis:1")
    told = await listed(school)
    assert list(told["counts"]) == KINDS
    assert {kind: one["people"] for kind, one in told["counts"].items() if one["people"]} == {
        "birth_date_missing": 1,
        "never_asked": 1,
    }
    assert (told["items"], told["next"]) == ([], None)


async def family(school: School, *steps: str, age: str = "minor", **policy: Json) -> Family:
    """A child, after these steps."""
    await prepare(school, **policy)
    made = Family(school, LEAF)
    await made.born(age)
    for step in steps:
        await made.happens(step)
    return made


async def test_an_item_says_who_since_when_and_what_to_do(school: School) -> None:
    made = await family(school, "mother listed")
    (item,) = (await listed(school, "guardian_unverified"))["items"]
    assert item == {
        "subject": made.sub,
        "purposes": [],
        "guardianships": [made.guardianships["mother"]],
        "since": None,
        "to_do": "See the guardian's proof and record it with POST /v1/guardianships/{id}/verify; "
        "or end the guardianship.",
    }
    japanese = await school.send("GET", "/v1/worklist?kind=guardian_unverified", Accept_Language="ja")
    assert japanese.json()["items"][0]["to_do"].startswith("保護者")


@pytest.mark.parametrize("step", ["mother verified later", "mother ended", "mother blocked", "child is 16"])
async def test_a_guardian_is_on_it_until_verified_ended_blocked_or_no_longer_needed(school: School, step: str) -> None:
    made = await family(school, "mother listed")
    assert await people(school, "guardian_unverified") == [made.sub]
    await made.happens(step)
    assert await people(school, "guardian_unverified") == []


async def test_guardians_who_disagree_are_on_it_until_they_agree(school: School) -> None:
    made = await family(school, "mother verified", "father verified", "mother yes")
    assert await people(school, "guardian_conflict") == []
    await made.happens("father no")
    (item,) = (await listed(school, "guardian_conflict"))["items"]
    assert (item["subject"], item["purposes"], item["since"]) == (made.sub, [LEAF], "2026-11-23T02:10:04.000Z")
    assert await school.why(made.sub, LEAF) == ["guardian_conflict"]
    await made.happens("father yes")
    assert await people(school, "guardian_conflict") == []


async def test_a_hand_over_is_on_it_ahead_of_the_day_and_until_the_persons_own_word(school: School) -> None:
    made = await family(school, "mother verified", "mother yes")
    assert await people(school, "handover_due") == []
    assert await people(school, "handover_due", "&until=2028-06-14") == []
    (item,) = (await listed(school, "handover_due", "&until=2028-06-15"))["items"]
    assert (item["purposes"], item["since"]) == ([LEAF], "2028-06-14T15:00:00.000Z")
    school.clock.now = school.clock.now.replace(year=2028, month=3, day=17)  # 90 days before
    assert await people(school, "handover_due") == [made.sub]
    await made.happens("child is 16")
    assert await people(school, "handover_due") == [made.sub]
    await made.happens("child yes")
    assert await people(school, "handover_due") == []


async def test_a_hand_over_in_its_grace_period_is_on_it_and_one_that_is_kept_is_not(school: School) -> None:
    made = await family(school, "mother verified", "mother yes", "child is 16", handover_grace_days=30)
    assert await school.why(made.sub, LEAF) == ["consent_granted"]
    assert await people(school, "handover_due") == [made.sub]


async def test_nobody_is_handed_over_where_the_policy_keeps_a_guardians_yes(school: School) -> None:
    await family(school, "mother verified", "mother yes", "child is 16", handover="keep")
    assert await people(school, "handover_due") == []


async def test_a_yes_that_lapsed_by_a_material_change_is_on_it_until_it_is_renewed(school: School) -> None:
    sub = (await school.said("person:1", ("billing", "grant"), ("surveys", "grant")))["subject"]
    await school.said("person:2", ("billing", "refuse"))
    await published(
        school,
        reworded(edited("v2"), "billing", "surveys.analysis"),
        material=["billing"],
        editorial=["surveys.analysis"],
        confirm_lapses=1,
    )
    told = await listed(school, "policy_changed")
    assert [(one["subject"], one["purposes"]) for one in told["items"]] == [(sub, ["billing"])]
    school.clock.advance(seconds=1)
    await school.said("person:1", ("billing", "grant"), policy_version="v2")
    assert await people(school, "policy_changed") == []


async def test_who_was_never_asked_is_found_by_purpose(school: School) -> None:
    asked = (await school.said("person:1", ("billing", "grant")))["subject"]
    never = await school.enrol("person:2")
    assert await people(school, "never_asked", "&purpose=billing") == [never]
    told = await listed(school, "never_asked", "&purpose=marketing")
    assert {one["subject"] for one in told["items"]} == {asked, never}
    assert told["counts"]["never_asked"]["purposes"][EMAIL] == 2
    assert len(told["items"][0]["purposes"]) == len(told["counts"]["never_asked"]["purposes"]) == 6


async def test_who_has_left_is_asked_only_for_what_goes_on(school: School) -> None:
    gone = {"membership": {"status": "ended", "ended_on": "2026-11-24"}}
    sub = await school.enrol("person:1", **gone)
    assert await people(school, "never_asked", "&purpose=service_provision") == [sub]
    school.clock.advance(days=1)
    assert await people(school, "never_asked", "&purpose=service_provision") == []
    assert await people(school, "never_asked", "&purpose=billing") == [sub]


async def test_pages_lead_on_and_the_number_stands_on_the_first(school: School) -> None:
    subs = sorted([await school.enrol(f"sis:{number}") for number in range(5)])
    first = await listed(school, "birth_date_missing", "&limit=2")
    second = await listed(school, "birth_date_missing", f"&limit=2&after={first['next']}")
    last = await listed(school, "birth_date_missing", f"&limit=2&after={second['next']}")
    assert [one["subject"] for page in (first, second, last) for one in page["items"]] == subs
    assert (first["counts"]["birth_date_missing"]["people"], second["counts"], last["next"]) == (5, {}, None)


async def test_a_client_sees_its_own_people_and_purposes_only(school: School) -> None:
    await school.enrol("sis:1")
    mine = await school.enrol("crm:1")
    key = await school.key_for("crm", Scope.PEOPLE_READ, purposes=["surveys"], namespaces=["crm"])
    (item,) = (await listed(school, "never_asked", key=key))["items"]
    assert item["subject"] == mine
    assert item["purposes"] == ["surveys.questionnaire", "surveys.analysis", "surveys.marketing_survey"]
    told = await listed(school, key=key)
    assert {kind: one["people"] for kind, one in told["counts"].items() if one["people"]} == {"never_asked": 1}
    refused = await school.get("/v1/worklist?purpose=billing", key=key)
    assert (refused.status_code, refused.json()["code"]) == (403, "client_not_permitted")


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("kind=nothing", "query/kind"),
        ("kind=never_asked&purpose=markting", "query/purpose"),
        ("until=tomorrow", "query/until"),
        ("limit=0", "query/limit"),
        ("limit=1001", "query/limit"),
        ("after=sub_1", "query/after"),
        ("after=sub_00000000000000000000001001", "query/kind"),
        ("kind=birth_date_missing&purpose=billing", "query/purpose"),
        ("kind=never_asked&until=2030-01-01", "query/until"),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_means_nothing_is_refused_with_a_sentence(school: School, query: str, pointer: str) -> None:
    response = await school.get(f"/v1/worklist?{query}")
    assert (response.status_code, response.json()["code"]) == (422, "validation_failed")
    assert [one["pointer"] for one in response.json()["errors"]] == [pointer]


async def test_a_concomitant_purpose_and_an_open_branch_have_no_work(school: School) -> None:
    await school.enrol("person:1")
    for purpose in ("concomitant_use", "terms_of_use"):
        assert await people(school, "never_asked", f"&purpose={purpose}") == []


async def test_who_was_merged_is_on_it_once(school: School) -> None:
    kept, merged = await school.enrol("sis:1"), await school.enrol("sis:2")
    response = await school.post(f"/v1/subjects/{kept}/merge", {"other": merged})
    assert response.status_code in (200, 201), response.text
    assert await people(school, "birth_date_missing") == [kept]
    assert await people(school, "never_asked") == [kept]
    assert (await listed(school))["counts"]["never_asked"]["people"] == 1


async def test_whoever_was_asked_about_everything_is_not_counted_whatever_the_codes_are(school: School) -> None:
    document = edited("v2")
    document["purposes"] = [leaf("news_a"), {**node(document, "surveys"), "code": "news", "purposes": [leaf("b")]}]
    lapses = (await previewed(school, document))["confirm_lapses"]
    await published(school, document, confirm_lapses=lapses)
    await school.said("person:1", ("news_a", "refuse"), ("news", "refuse"), policy_version="v2")
    assert await people(school, "never_asked") == []
