"""The forecast of who comes of age, and what happens then."""

from datetime import UTC, datetime

import pytest

from consent_service.core.clients import Scope
from tests.family import CHILD, LEAVES, Family, prepare
from tests.school import Json, School

pytestmark = pytest.mark.anyio
LEAF = LEAVES["any_refusal_wins"]
BIRTHDAY = "2028-06-15"


async def family(school: School, *steps: str, **policy: Json) -> Family:
    await prepare(school, **policy)
    made = Family(school, LEAF)
    await made.born("minor")
    for step in ("mother verified", "mother yes", *steps):
        await made.happens(step)
    return made


async def forecast(school: School, until: str, more: str = "", key: str | None = None) -> Json:
    response = await school.get(f"/v1/handovers?until={until}{more}", key=key)
    assert response.status_code == 200, response.text
    return response.json()


async def test_a_ward_is_forecast_until_the_day_itself(school: School) -> None:
    made = await family(school)
    assert await forecast(school, "2028-06-14") == {"items": [], "next": None}
    (found,) = (await forecast(school, BIRTHDAY))["items"]
    assert found == {
        "subject": made.sub,
        "of_age_on": BIRTHDAY,
        "ends_at": "2028-06-14T15:00:00.000Z",
        "purposes": [LEAF],
    }
    assert (await forecast(school, "9999-12-31"))["items"] == [found]
    assert (await school.get("/v1/worklist?kind=handover_due&until=9999-12-31")).json()["counts"]["handover_due"][
        "people"
    ] == 1
    assert (await school.check(made.sub, LEAF))["expires_at"] == found["ends_at"]
    await made.happens("child is 16")
    assert (await forecast(school, BIRTHDAY))["items"] == []


async def test_nobody_is_forecast_without_a_guardians_yes_or_without_being_seen(school: School) -> None:
    made = await family(school)
    crm = await school.key_for("crm", Scope.PEOPLE_READ, namespaces=["crm"])
    other = await school.key_for("other", Scope.PEOPLE_READ, purposes=["surveys"])
    for key in (crm, other):
        assert (await forecast(school, BIRTHDAY, key=key))["items"] == []
    await made.happens("mother no")
    assert (await forecast(school, BIRTHDAY))["items"] == []


async def test_a_childs_yes_that_is_dated_after_the_coming_of_age_is_refused_before_it(school: School) -> None:
    made = await family(school, "child no")
    school.clock.now = datetime(2028, 6, 14, 14, 59, 30, tzinfo=UTC)
    dated = {"made_at": "2028-06-14T15:00:10Z", "policy_version": made.shown}
    response = await school.say(CHILD, (LEAF, "grant"), **dated)
    assert (response.status_code, response.json()["code"]) == (422, "guardian_required")
    assert "send it then" in response.json()["detail"]
    school.clock.advance(seconds=40)
    assert await school.why(CHILD, LEAF) == ["refused"]
    await made.happens("child yes")
    assert (await school.check(CHILD, LEAF))["permitted"]


@pytest.mark.parametrize("what", ["child leaves", "mother ended", "mother blocked", "mother no"])
async def test_neither_list_has_a_yes_that_does_not_last_until_then(school: School, what: str) -> None:
    made = await family(school)
    due = f"/v1/worklist?kind=handover_due&until={BIRTHDAY}"
    assert len((await forecast(school, BIRTHDAY))["items"]) == len((await school.get(due)).json()["items"]) == 1
    await made.happens(what)
    assert (await forecast(school, BIRTHDAY))["items"] == (await school.get(due)).json()["items"] == []


@pytest.mark.parametrize(
    ("guardian", "expiry"), [("mother verified until December", None), ("mother verified", "2027-01-01T00:00:00Z")]
)
async def test_nor_one_that_ends_before(school: School, guardian: str, expiry: str | None) -> None:
    await prepare(school)
    made = Family(school, LEAF)
    await made.born("minor")
    await made.happens(guardian)
    by = {"role": "guardian", "subject": "person:mother"}
    said = await school.say(CHILD, (LEAF, "grant"), by=by, policy_version=made.shown, expires_at=expiry)
    assert said.status_code == 201, said.text
    assert (await forecast(school, BIRTHDAY))["items"] == []
    assert (await school.get(f"/v1/worklist?kind=handover_due&until={BIRTHDAY}")).json()["items"] == []


async def test_the_forecast_comes_by_page(school: School) -> None:
    made = await family(school)
    page = await forecast(school, BIRTHDAY, "&limit=1")
    assert page["next"] == made.sub
    assert await forecast(school, BIRTHDAY, f"&limit=1&after={made.sub}") == {"items": [], "next": None}


async def test_a_grace_period_lets_the_guardians_yes_go_on_for_so_many_days(school: School) -> None:
    made = await family(school, "child is 16", handover_grace_days=30)
    assert await school.why(made.sub, LEAF) == ["consent_granted"]
    await made.happens("child + 29 days")
    assert await school.why(made.sub, LEAF) == ["consent_granted"]
    await made.happens("child + 1 days")
    assert await school.why(made.sub, LEAF) == ["own_consent_required"]


async def test_in_the_grace_period_the_person_may_be_asked(school: School) -> None:
    made = await family(school, "child is 16", handover_grace_days=30)
    told = (await school.get(f"/v1/subjects/{made.sub}/asks")).json()["asks"]
    assert [one["because"] for one in told if one["purpose"] == LEAF] == ["own_consent_required"]
    await made.happens("child yes")
    told = (await school.get(f"/v1/subjects/{made.sub}/asks")).json()["asks"]
    assert LEAF not in [one["purpose"] for one in told]


async def test_what_needs_no_yes_or_ends_before_is_not_forecast(school: School) -> None:
    made = await family(school)
    by = {"role": "guardian", "subject": "person:mother"}
    for leaf, day in (
        ("billing", "2028-06-14"),
        ("important_notices", "2028-06-15"),
        ("inquiry_response", "2028-06-16"),
    ):
        await school.said(CHILD, (leaf, "grant"), by=by, expires_at=f"{day}T00:00:00Z", policy_version=made.shown)
    (found,) = (await forecast(school, BIRTHDAY))["items"]
    assert found["purposes"] == ["inquiry_response", "important_notices"]
    await made.happens("mother yes")
    await made.happens("policy asks nobody")
    (found,) = (await forecast(school, BIRTHDAY))["items"]
    assert found["purposes"] == ["inquiry_response", "important_notices"]


async def test_a_policy_may_keep_the_guardians_yes(school: School) -> None:
    made = await family(school, handover="keep")
    (found,) = (await forecast(school, BIRTHDAY))["items"]
    assert found["ends_at"] is None
    await made.happens("child is 16")
    assert await school.why(made.sub, LEAF) == ["consent_granted"]
    await made.happens("child no")
    assert await school.why(made.sub, LEAF) == ["refused"]
