"""What a person may be asked for now."""

import pytest

from consent_service.core.clients import Scope
from tests.family import LEAVES, Family, prepare
from tests.publishing import edited, node, published, reworded, without
from tests.school import EMAIL, School

pytestmark = pytest.mark.anyio


async def asked(school: School, sub: str, key: str | None = None) -> dict[str, str]:
    """Each leaf that may be asked for, with why."""
    told = (await school.get(f"/v1/subjects/{sub}/asks", key=key)).json()
    return {one["purpose"]: one["because"] for one in told["asks"]}


async def test_who_was_never_asked_may_be_asked_for_everything_in_the_policys_order(school: School) -> None:
    sub = await school.enrol("person:1")
    told = (await school.get(f"/v1/subjects/{sub}/asks")).json()
    leaves = [
        one["code"] for one in (await school.get("/v1/purposes")).json()["items"] if one["leaves"] == [one["code"]]
    ]
    assert [one["purpose"] for one in told["asks"]] == leaves
    assert {one["because"] for one in told["asks"]} == {"never_asked"}
    assert told["asks"][1]["text"]["en"] == "For settlement/billing of product fee or service fee"
    assert (told["quiet"], told["policy_version"]) == ([], "2026-11-01")


async def test_a_yes_is_not_asked_again_until_it_expires_or_its_wording_changed(school: School) -> None:
    sub = (await school.said("person:1", ("billing", "grant"), ("surveys", "grant")))["subject"]
    await school.said("person:1", (EMAIL, "grant"), expires_at="2026-12-01T00:00:00Z")
    assert not {"billing", "surveys.analysis", EMAIL} & set(await asked(school, sub))
    school.clock.advance(days=30)
    assert (await asked(school, sub))[EMAIL] == "expired"
    document = reworded(edited("v2"), "billing", "surveys.analysis")
    await published(school, document, material=["billing"], editorial=["surveys.analysis"], confirm_lapses=1)
    found = await asked(school, sub)
    assert (found["billing"], "surveys.analysis" in found) == ("policy_changed", False)
    assert (await school.get(f"/v1/subjects/{sub}/consents")).json()["states"]["billing"]["state"] == "policy_changed"


async def test_where_notice_suffices_only_a_yes_that_has_run_out_is_asked_for(school: School) -> None:
    sub = (await school.said("person:1", ("billing", "grant"), expires_at="2026-12-01T00:00:00Z"))["subject"]
    document = edited("v2")
    node(document, "billing")["basis"] = node(document, EMAIL)["basis"] = "notice"
    await published(school, document, editorial=["billing", EMAIL])
    assert not {"billing", EMAIL} & set(await asked(school, sub))
    school.clock.advance(days=30)
    assert await school.why("person:1", "billing") == ["expired"]
    assert (await asked(school, sub))["billing"] == "expired"
    assert EMAIL not in await asked(school, sub)
    await school.said("person:1", ("billing", "grant"), policy_version="v2")
    assert (await school.check("person:1", "billing"))["permitted"]
    assert "billing" not in await asked(school, sub)


@pytest.mark.parametrize("no", ["refuse", "withdraw"])
async def test_after_a_no_nobody_is_asked_again_within_the_quiet_period(school: School, no: str) -> None:
    sub = (await school.said("person:1", ("billing", no)))["subject"]
    await published(school, reworded(edited("v2"), "billing"), material=["billing"])
    told = (await school.get(f"/v1/subjects/{sub}/asks")).json()
    state = {"refuse": "refused", "withdraw": "withdrawn"}[no]
    assert told["quiet"] == [{"purpose": "billing", "because": state, "until": "2027-11-23T02:10:00.000Z"}]
    school.clock.advance(days=364, hours=23.99)
    assert "billing" not in await asked(school, sub)
    school.clock.advance(hours=0.01)
    assert (await asked(school, sub))["billing"] == state


async def test_the_quiet_period_is_the_policys(school: School) -> None:
    sub = (await school.said("person:1", ("billing", "refuse")))["subject"]
    await published(school, edited("v2") | {"quiet_period_days": 0})
    assert (await asked(school, sub))["billing"] == "refused"
    await published(school, edited("v3") | {"quiet_period_days": 36_500})
    assert "billing" not in await asked(school, sub)


async def test_a_yes_lifts_the_no_so_that_it_may_be_renewed(school: School) -> None:
    sub = (await school.said("person:1", ("billing", "refuse")))["subject"]
    school.clock.advance(hours=1)
    await school.said("person:1", ("billing", "grant"), expires_at="2026-12-01T00:00:00Z")
    school.clock.advance(days=30)
    assert (await asked(school, sub))["billing"] == "expired"


async def test_nobody_is_asked_where_a_yes_would_not_count_or_is_not_needed(school: School) -> None:
    sub = await school.enrol("person:1", membership={"status": "ended", "ended_on": "2026-11-01"})
    found = await asked(school, sub)
    assert ("billing" in found, "service_provision" in found) == (True, False)
    document = without(edited("v2"), "surveys")
    node(document, "billing")["basis"] = "notice"
    await published(school, document, editorial=["billing"])
    assert not {"billing", "surveys.analysis"} & set(await asked(school, sub))


async def test_a_client_sees_its_own_purposes_and_people_only(school: School) -> None:
    sub = await school.enrol("person:1")
    some = await school.key_for("some", Scope.CONSENTS_READ, purposes=["surveys"], namespaces=["person"])
    assert list(await asked(school, sub, some)) == [
        "surveys.questionnaire",
        "surveys.analysis",
        "surveys.marketing_survey",
    ]
    other = await school.key_for("other", Scope.CONSENTS_READ, namespaces=["crm"])
    hidden = await school.get(f"/v1/subjects/{sub}/asks", key=other)
    assert (hidden.status_code, hidden.json()["code"]) == (404, "subject_not_found")
    unknown = await school.get("/v1/subjects/sub_00000000000000000000000000/asks")
    assert unknown.status_code == 404


async def family(school: School, *steps: str) -> Family:
    """A child, after these steps."""
    await prepare(school, quiet_period_days=0)
    made = Family(school, LEAVES["any_refusal_wins"])
    await made.born("minor")
    for step in steps:
        await made.happens(step)
    return made


async def test_after_a_hand_over_the_person_is_asked_for_what_a_guardian_said_yes_to(school: School) -> None:
    made = await family(school, "mother verified", "mother yes")
    assert made.leaf not in await asked(school, made.sub)
    await made.happens("child is 16")
    assert (await asked(school, made.sub))[made.leaf] == "own_consent_required"
    await made.happens("child yes")
    assert made.leaf not in await asked(school, made.sub)


@pytest.mark.parametrize(
    ("steps", "state"),
    [
        (["mother verified", "father verified", "mother yes", "father no"], "guardian_conflict"),
        (["mother verified", "mother yes", "mother ended"], "guardian_required"),
        (["mother verified", "mother yes", "mother found unverified"], "guardian_unverified"),
    ],
)
async def test_a_child_is_not_asked_for_what_only_the_guardians_can_settle(
    school: School, steps: list[str], state: str
) -> None:
    made = await family(school, *steps)
    states = (await school.get(f"/v1/subjects/{made.sub}/consents")).json()["states"]
    assert states[made.leaf]["state"] == state
    assert made.leaf not in await asked(school, made.sub)
    await made.happens("child is 16")
    assert made.leaf in await asked(school, made.sub)


async def test_the_quiet_period_is_that_of_the_latest_no_whoever_said_it(school: School) -> None:
    await prepare(school)
    made = Family(school, LEAVES["any_refusal_wins"])
    await made.born("minor")
    for step in ("mother verified", "child no", "child + 300 days", "mother no", "child + 66 days"):
        await made.happens(step)
    assert made.leaf not in await asked(school, made.sub)
    await made.happens("child + 300 days")
    assert (await asked(school, made.sub))[made.leaf] == "refused"


async def test_what_a_guardian_is_wanted_for_is_asked_once_one_may_speak(school: School) -> None:
    await prepare(school)
    made = Family(school, LEAVES["any_refusal_wins"])
    await made.born("minor")
    for step in ("mother verified", "mother yes", "mother ended"):
        await made.happens(step)
    assert made.leaf not in await asked(school, made.sub)
    await made.happens("father listed")
    assert made.leaf not in await asked(school, made.sub)
    await made.happens("father verified later")
    assert (await asked(school, made.sub))[made.leaf] == "guardian_required"
    await made.happens("father yes")
    assert made.leaf not in await asked(school, made.sub)
