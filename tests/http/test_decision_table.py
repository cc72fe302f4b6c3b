"""Each row of the decision table, over HTTP, on both databases; and the page that is made of it."""

import pytest

from consent_service.lanes import write_alone
from consent_service.settings import Settings
from consent_service.store.rebuild import rebuild
from consent_service.store.tables import subject_state
from tests import decision_table
from tests.auditor import verified
from tests.decision_table import CASES, GOES_ON, Case
from tests.family import CHILD, LEAVES, Family, prepare
from tests.school import School
from tests.tables import all_of

anyio_test = pytest.mark.anyio


@anyio_test
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_each_row_is_answered_as_the_table_says(school: School, case: Case) -> None:
    leaf = LEAVES[case.rule]
    await prepare(school, going_on=[leaf] if case.membership == GOES_ON else [])
    family = Family(school, leaf)
    await family.born(case.age)
    for step in [*case.happened, *([] if case.membership == "active" else ["child leaves"])]:
        await family.happens(step)
    answer = await school.check(CHILD, family.leaf)
    assert tuple(reason["code"] for reason in answer["reasons"]) == case.reasons
    assert answer["permitted"] == case.permitted
    said = [reason for reason in case.reasons if reason != "membership_ended"] or ["consent_granted"]
    names = {"consent_granted": "granted", "no_consent_recorded": "never_asked"}
    shown = (await school.get(f"/v1/subjects/{family.sub}/consents")).json()["states"]
    if not {"notice_given", "purpose_not_specified"} & set(said) and "policy asks nobody" not in case.happened:
        assert shown[leaf]["state"] == names.get(said[-1], said[-1])


@anyio_test
async def test_rebuild_and_auditor_read_the_voices_as_the_service_does(school: School, settings: Settings) -> None:
    await prepare(school)
    family = Family(school, "marketing")
    await family.born("minor")
    await family.happens("child no")
    both = ["mother verified", "father verified", "mother yes", "father no", "child yes", "father ended", "child no"]
    for step in both:
        await family.happens(step)
    before = [tuple(row) for row in await all_of(school, subject_state)]
    await write_alone(school.service.database, rebuild)
    assert [tuple(row) for row in await all_of(school, subject_state)] == before
    report = await verified(settings)
    assert report.findings == []


def test_the_page_shows_the_table_as_it_is_tested() -> None:
    assert decision_table.PAGE.read_text() == decision_table.page(), "run: python -m tests.decision_table"
