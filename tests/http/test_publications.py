"""Publishing policy versions over HTTP, on both databases."""

import asyncio
from zoneinfo import ZoneInfo

import pytest

from consent_service.core.clients import Scope
from consent_service.core.policy_file import from_document
from consent_service.core.publication import Declared, PolicySuperseded
from consent_service.lanes import read_alone, write_alone
from consent_service.operations import publications
from consent_service.store.rebuild import rebuild
from consent_service.store.tables import ledger_entry, policy_version
from tests.publishing import edited, leaf, node, previewed, publish, published, reworded, without
from tests.school import EMAIL, VERSION, School, statements
from tests.tables import all_of

pytestmark = pytest.mark.anyio
TOKYO = ZoneInfo("Asia/Tokyo")


async def test_a_material_change_lapses_earlier_yeses_and_no_others(school: School) -> None:
    await school.said("person:1", ("billing", "grant"), (EMAIL, "grant"))
    await school.said("person:2", ("billing", "refuse"))
    told = await published(school, reworded(edited("v2"), "billing"), material=["billing"], confirm_lapses=1)
    assert (told["lapses"], told["compared_with"], told["diff"]["reworded"]) == ({"billing": 1}, VERSION, ["billing"])
    answer = await school.check("person:1", "billing")
    assert (answer["permitted"], answer["policy_version"]) == (False, "v2")
    assert [one["code"] for one in answer["reasons"]] == ["policy_changed"]
    assert (await school.check("person:1", EMAIL))["permitted"] is True
    assert await school.why("person:2", "billing") == ["refused"]
    assert await school.why("person:3", "billing") == ["no_consent_recorded"]
    purpose = (await school.get("/v1/purposes/billing")).json()
    assert (purpose["wording"]["number"], purpose["wording"]["counts_from"]) == (2, 2)
    await school.said("person:1", ("billing", "grant"), policy_version="v2")
    assert (await school.check("person:1", "billing"))["permitted"] is True


async def test_a_yes_to_an_older_wording_after_a_material_change_is_recorded_and_does_not_count(
    school: School,
) -> None:
    await published(school, reworded(edited("v2"), "billing"), material=["billing"])
    told = await school.said("person:1", ("billing", "grant"), policy_version=VERSION)
    assert told["entries"][0]["applied"] is True
    assert told["states"]["billing"]["state"] == "policy_changed"
    assert await school.why("person:1", "billing") == ["policy_changed"]
    await school.said("person:2", ("billing", "grant"), policy_version="v2")
    await school.said("person:2", ("billing", "withdraw"), policy_version=VERSION)
    assert await school.why("person:2", "billing") == ["withdrawn"]


async def test_an_editorial_change_changes_no_answer(school: School) -> None:
    await school.said("person:1", ("billing", "grant"))
    await published(school, reworded(edited("v2"), "billing"), editorial=["billing"])
    assert (await school.check("person:1", "billing"))["permitted"] is True
    purpose = (await school.get("/v1/purposes/billing")).json()
    assert (purpose["wording"]["number"], purpose["wording"]["counts_from"]) == (2, 1)


async def test_a_change_is_refused_until_it_is_said_whether_it_is_material(school: School) -> None:
    document = reworded(edited("v2"), "billing", "surveys.analysis")
    node(document, "important_notices")["basis"] = "notice"
    refused = await publish(school, document, material=["billing"])
    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (422, "change_undeclared")
    assert problem["undeclared"] == ["surveys.analysis", "important_notices"]
    assert [one["detail"].split()[0] for one in problem["errors"]] == problem["undeclared"]
    assert problem["diff"]["basis_changed"] == ["important_notices"]
    for material, editorial in ((["billing", "advertising"], []), (["billing"], ["billing"])):
        wrong = await publish(school, document, material=material, editorial=editorial)
        assert (wrong.status_code, wrong.json()["code"]) == (422, "validation_failed")
    assert len(await all_of(school, policy_version)) == 1


async def test_a_removed_leaf_is_no_longer_specified_and_comes_back_as_a_new_one(school: School) -> None:
    await school.said("person:1", (EMAIL, "grant"))
    document = without(edited("v2"), EMAIL)
    refused = await publish(school, document)
    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (409, "lapses_unconfirmed")
    assert (problem["lapses"], problem["confirm_lapses"], problem["diff"]["removed"]) == ({EMAIL: 1}, 1, [EMAIL])
    assert (await publish(school, document, confirm_lapses=2)).status_code == 409
    await published(school, document, confirm_lapses=1)
    assert await school.why("person:1", EMAIL) == ["purpose_not_specified"]
    told = await published(school, edited("v3"))
    assert told["diff"]["added"] == [EMAIL]
    assert await school.why("person:1", EMAIL) == ["policy_changed"]


async def test_the_open_branch_gets_leaves_and_so_can_say_yes(school: School) -> None:
    assert await school.why("person:1", "terms_of_use") == ["purpose_not_specified"]
    document = edited("v2")
    node(document, "terms_of_use").pop("open")
    node(document, "terms_of_use")["purposes"] = [leaf("lost_property")]
    told = await published(school, document)
    assert told["diff"]["added"] == ["terms_of_use.lost_property"]
    assert await school.why("person:1", "terms_of_use") == ["no_consent_recorded"]
    await school.said("person:1", ("terms_of_use", "grant"), policy_version="v2")
    assert (await school.check("person:1", "terms_of_use"))["permitted"] is True


async def test_a_dry_run_tells_everything_and_writes_nothing(school: School) -> None:
    for number in range(3):
        await school.said(f"person:{number}", ("billing", "grant"), ("surveys", "grant"))
    await school.said("person:0", ("billing", "withdraw"))
    document = without(reworded(edited("v2"), "billing"), "surveys.analysis")
    document["quiet_period_days"] = 30
    node(document, "advertising")["survives_membership"] = True
    document["purposes"].append(leaf("alumni"))
    before = await all_of(school, ledger_entry)
    told = await previewed(school, document)
    assert told == {
        "version": "v2",
        "effective_at": "2026-11-23T02:10:00.000Z",
        "compared_with": VERSION,
        "replaces": [],
        "diff": {
            "added": ["alumni"],
            "removed": ["surveys.analysis"],
            "reworded": ["billing"],
            "basis_changed": [],
            "otherwise": {"advertising": ["survives_membership"]},
            "members": ["source", "quiet_period_days"],
        },
        "undeclared": ["billing"],
        "lapses": {"billing": 2, "surveys.analysis": 3},
        "confirm_lapses": 5,
        "index": None,
    }
    told = await previewed(school, document, editorial=["billing"])
    assert (told["lapses"], told["undeclared"]) == ({"surveys.analysis": 3}, [])
    assert await all_of(school, ledger_entry) == before
    assert len(await all_of(school, policy_version)) == 1


async def test_only_a_yes_that_counts_today_can_lapse(school: School) -> None:
    later = "2026-12-01T00:00:00Z"
    await school.said("person:1", ("billing", "grant"), expires_at=later)
    await school.said("person:2", ("billing", "grant"))
    await school.said("person:3", ("billing", "refuse"))
    assert (await previewed(school, without(edited("v2"), "billing")))["lapses"] == {"billing": 2}
    school.clock.advance(days=30)
    assert (await previewed(school, without(edited("v2"), "billing")))["lapses"] == {"billing": 1}
    await published(school, reworded(edited("v2"), "billing"), material=["billing"], confirm_lapses=1)
    assert (await previewed(school, without(edited("v3"), "billing")))["lapses"] == {"billing": 0}


async def test_a_version_takes_effect_at_the_instant_that_it_names(school: School) -> None:
    await school.said("person:1", ("billing", "grant"))
    document = reworded(edited("v2"), "billing")
    document |= {"effective_from": "2026-11-23", "effective_at": "2026-11-23T12:00:00+09:00"}
    told = await published(school, document, material=["billing"], confirm_lapses=1)
    assert told["effective_at"] == "2026-11-23T03:00:00.000Z"
    assert (await school.check("person:1", "billing"))["permitted"] is True
    school.clock.advance(minutes=49, seconds=59.999)
    assert (await school.check("person:1", "billing"))["permitted"] is True
    school.clock.advance(seconds=0.001)
    assert await school.why("person:1", "billing") == ["policy_changed"]


async def test_a_version_that_is_shown_before_it_takes_effect_may_be_consented_to(school: School) -> None:
    document = reworded(edited("v2"), "billing") | {"effective_from": "2026-11-24"}
    told = await published(school, document, material=["billing"])
    assert told["effective_at"] == "2026-11-23T15:00:00.000Z"
    await school.said("person:1", ("billing", "grant"), policy_version="v2")
    assert (await school.check("person:1", "billing"))["permitted"] is True
    school.clock.advance(days=1)
    assert (await school.check("person:1", "billing"))["permitted"] is True


async def test_a_version_published_later_takes_the_place_of_one_that_is_yet_to_come(school: School) -> None:
    await school.said("person:1", ("billing", "grant"))
    scheduled = reworded(edited("v2"), "billing") | {"effective_from": "2026-12-24"}
    await published(school, scheduled, material=["billing"], confirm_lapses=1)
    told = await published(school, edited("v3"), material=["billing"], confirm_lapses=1)
    assert (told["replaces"], told["compared_with"]) == (["v2"], "v2")
    assert await school.why("person:1", "billing") == ["policy_changed"]
    school.clock.advance(days=60)
    assert (await school.check("person:1", "billing"))["policy_version"] == "v3"
    assert (await school.get("/v1/policy")).json()["version"] == "v3"


async def test_a_yes_under_notice_does_not_lapse_and_counts_again_only_for_its_wording(school: School) -> None:
    await school.said("person:1", ("billing", "grant"))
    document = edited("v2")
    node(document, "billing")["basis"] = "notice"
    told = await published(school, document, material=["billing"])
    assert told["diff"]["basis_changed"] == ["billing"]
    assert await school.why("person:1", "billing") == ["notice_given"]
    assert await school.why("person:2", "billing") == ["notice_given"]
    node(document, "billing")["basis"] = "consent"
    refused = await publish(school, document | {"version": "v3"}, material=["billing"])
    assert refused.json()["lapses"] == {"billing": 1}
    await published(school, document | {"version": "v3"}, material=["billing"], confirm_lapses=1)
    assert await school.why("person:1", "billing") == ["policy_changed"]


async def test_a_reworded_branch_rewords_its_leaves(school: School) -> None:
    document = reworded(edited("v2"), "surveys")
    told = await previewed(school, document)
    assert told["diff"]["reworded"] == ["surveys.questionnaire", "surveys.analysis", "surveys.marketing_survey"]
    assert told["diff"]["otherwise"] == {"surveys": ["wording"]}
    told = await published(school, document, editorial=told["undeclared"])
    assert told["undeclared"] == []
    assert (await school.get("/v1/purposes/surveys")).json()["wording"]["number"] == 2


async def test_publishing_numbers_the_wordings_whatever_the_file_says(school: School) -> None:
    document = reworded(edited("v2"), "billing")
    node(document, "billing")["wording"]["number"] = 3
    refused = await publish(school, document, material=["billing"])
    assert (refused.status_code, "gets 2" in refused.text) == (422, True)
    node(document, "billing")["wording"].pop("number")
    await published(school, document, material=["billing"])
    taken = (await school.get("/v1/policy")).json()["policy"]
    assert node(taken, "billing")["wording"]["number"] == 2
    again = reworded(taken, "billing", text={"en": "And again"}) | {"version": "v3"}
    await published(school, again, editorial=["billing"])
    wording = (await school.get("/v1/purposes/billing")).json()["wording"]
    assert (wording["number"], wording["counts_from"]) == (3, 2)


async def test_a_policy_that_is_wrong_is_refused_with_a_pointer(school: School) -> None:
    document = edited("v2")
    document["purposes"][1]["basis"] = "hope"
    refused = await publish(school, document)
    assert (refused.status_code, refused.json()["code"]) == (422, "validation_failed")
    assert refused.json()["errors"][0]["pointer"] == "/policy/purposes/1/basis"
    twice = edited("v2")
    twice["purposes"].append(twice["purposes"][0])
    assert (await publish(school, twice)).json()["errors"][0]["pointer"].startswith("/policy/purposes/16")
    other_day = edited("v2") | {"effective_at": "2027-01-01T00:00:00Z"}
    assert (await publish(school, other_day)).json()["errors"][0]["pointer"] == "/policy/effective_at"
    assert (await publish(school, {})).status_code == 422
    huge = reworded(edited("v2"), "billing", text={"number": 10**30})
    for document, lapses in ((huge, 0), (edited("v2"), 10**30)):
        assert (await publish(school, document, key="huge", confirm_lapses=lapses)).status_code == 422


async def test_a_published_version_never_changes(school: School) -> None:
    before = (await school.get(f"/v1/policy/versions/{VERSION}")).json()
    refused = await publish(school, reworded(edited(VERSION), "billing"), material=["billing"])
    assert (refused.status_code, refused.json()["code"]) == (409, "policy_version_taken")
    await published(school, reworded(edited("v2"), "billing"), material=["billing"])
    assert (await school.get(f"/v1/policy/versions/{VERSION}")).json() == before


async def test_of_two_publishers_at_once_one_wins_and_the_other_sees_the_difference(school: School) -> None:
    mine, theirs = reworded(edited("mine"), "billing"), reworded(edited("theirs"), EMAIL)
    answers = await asyncio.gather(
        publish(school, mine, material=["billing"], compared_with=VERSION),
        publish(school, theirs, material=[EMAIL], compared_with=VERSION),
    )
    assert sorted(one.status_code for one in answers) == [201, 409]
    lost = next(one.json() for one in answers if one.status_code == 409)
    won = next(one.json() for one in answers if one.status_code == 201)
    assert (lost["code"], lost["compared_with"]) == ("policy_superseded", won["version"])
    assert set(lost["diff"]["reworded"]) == {"billing", EMAIL}
    assert len(await all_of(school, policy_version)) == 2


async def test_an_impact_that_was_counted_before_another_version_came_publishes_nothing(school: School) -> None:
    """The race itself: the two looked at the same version, and one was there first."""
    mine, database = from_document(reworded(edited("mine"), "billing"), name="mine"), school.service.database
    proposal = publications.Proposal(mine, Declared(("billing",)), 0)
    found = await read_alone(database, lambda tx: publications.impact(tx, None, proposal))
    await published(school, edited("theirs"))
    with pytest.raises(PolicySuperseded):
        await write_alone(database, lambda tx: publications.publish(tx, None, proposal, found, zone=TOKYO))
    assert len(await all_of(school, policy_version)) == 2


async def test_a_publisher_who_compared_with_an_older_version_is_told(school: School) -> None:
    await published(school, edited("v2"))
    late = await publish(school, reworded(edited("v3"), "billing"), material=["billing"], compared_with=VERSION)
    assert (late.status_code, late.json()["code"]) == (409, "policy_superseded")
    await published(school, reworded(edited("v3"), "billing"), material=["billing"], compared_with="v2")


async def test_a_repetition_with_the_same_key_publishes_once(school: School) -> None:
    document = reworded(edited("v2"), "billing")
    first = await publish(school, document, material=["billing"], key="pub-1")
    again = await publish(school, document, material=["billing"], key="pub-1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    other = await publish(school, document, editorial=["billing"], key="pub-1")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_publishing_needs_its_scope_and_a_key_for_everything(school: School) -> None:
    body = {"policy": edited("v2")}
    key = await school.key_for("reader", Scope.AUDIT_READ)
    assert (await school.post("/v1/policy/versions", body, key=key)).json()["code"] == "scope_missing"
    some = await school.key_for("some", Scope.POLICY_WRITE, purposes=["billing"])
    for path in ("/v1/policy/versions", "/v1/policy/versions?dry_run=true"):
        assert (await school.post(path, body, key=some)).json()["code"] == "client_not_permitted"


async def test_the_ledger_says_what_the_publisher_decided_and_a_rebuild_gives_the_same(school: School) -> None:
    await school.said("person:1", ("billing", "grant"))
    told = await published(school, reworded(edited("v2"), "billing"), material=["billing"], confirm_lapses=1)
    entry = (await all_of(school, ledger_entry))[told["index"]]
    assert b'"lapses":1,"material":["billing"]' in entry.body
    rows = await all_of(school, policy_version)
    await write_alone(school.service.database, rebuild)
    assert await all_of(school, policy_version) == rows
    assert await school.why("person:1", "billing") == ["policy_changed"]


async def test_answers_about_the_past_stay_what_they_were(school: School) -> None:
    await school.said("person:1", ("billing", "grant"))
    before = await school.check("person:1", "billing")
    school.clock.advance(hours=1)
    await published(school, reworded(edited("v2"), "billing"), material=["billing"], confirm_lapses=1)
    after = await school.check("person:1", "billing")
    for answer in (before, after):
        replayed = (await school.post(f"/v1/decisions/{answer['decision_id']}/replay", {})).json()
        assert replayed["same"] is True, replayed
        asked = {"subject": "person:1", "purpose": "billing", "as_of": answer["as_of"]}
        past = (await school.post("/v1/check/as-of", asked)).json()
        assert (past["would_have_permitted"], past["policy_version"]) == (answer["permitted"], answer["policy_version"])


async def test_statements_of_a_batch_with_a_removed_leaf_still_say_what_stands(school: School) -> None:
    await published(school, without(edited("v2"), "billing"))
    told = await school.post("/v1/consents", statements("person:1", ("billing", "grant")))
    assert told.json()["states"]["billing"]["state"] == "granted"
    assert await school.why("person:1", "billing") == ["purpose_not_specified"]
