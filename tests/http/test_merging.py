"""Merging two records of one person: the stricter state counts, and both references go on naming the person."""

import pytest

from consent_service.settings import Settings
from tests.auditor import verified
from tests.school import EMAIL, Json, School

pytestmark = pytest.mark.anyio


async def merge(school: School, kept: str, other: str, **headers: str) -> Json:
    response = await school.post(f"/v1/subjects/{kept}/merge", {"other": other}, **headers)
    assert response.status_code == 200, response.text
    return response.json()


async def test_both_references_name_one_person_afterwards(school: School, settings: Settings) -> None:
    one, other = await school.enrol("person:1"), await school.enrol("person:2", "crm:b")
    await school.said("person:1", ("billing", "grant"), (EMAIL, "grant"), ("surveys.analysis", "grant"))
    await school.said("person:2", ("billing", "grant"), (EMAIL, "refuse"))
    made = await merge(school, one, "crm:b")
    assert (made["subject"], made["identifiers"]) == (one, ["person:1", "person:2", "crm:b"])
    for name in (one, other, "person:1", "person:2", "crm:b"):
        assert await school.why(name, "billing") == ["consent_granted"]
        assert await school.why(name, EMAIL) == ["refused"]
        assert await school.why(name, "surveys.analysis") == ["no_consent_recorded"]
    assert (await verified(settings)).findings == []
