"""What the office has to do."""

import pytest

from consent_service.core.clients import Scope
from tests.family import LEAVES, VERSION, Family, prepare
from tests.publishing import edited, node, published, reworded
from tests.school import EMAIL, Json, School

pytestmark = pytest.mark.anyio
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
