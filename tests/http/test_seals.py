"""What somebody changes behind our back permits nothing, is said aloud, and hurts nobody else."""

from collections.abc import Sequence

import pytest
from sqlalchemy import update

from consent_service.core.clients import Scope
from consent_service.core.people import Identifier
from consent_service.lanes import write_alone
from consent_service.settings import Settings
from consent_service.store.rebuild import rebuild
from consent_service.store.tables import client, ledger_entry, policy_version, subject_identifier, subject_state
from consent_service.verify import report
from tests.auditor import verified
from tests.http.test_conventions import assert_problem
from tests.school import Json, School
from tests.tables import all_of, tamper

pytestmark = pytest.mark.anyio

MINE, OTHER = "person:1", "person:2"


async def two_people(school: School) -> tuple[str, str]:
    """One who refused billing, and one who agreed to it."""
    mine = await school.said(MINE, ("billing", "refuse"))
    other = await school.said(OTHER, ("billing", "grant"))
    return mine["subject"], other["subject"]


def of(table: str, change: str) -> str:
    return f"UPDATE {table} SET {change} WHERE subject = '{{mine}}'"  # noqa: S608 (a test's own words)


OTHERS = "(SELECT {} FROM subject_state WHERE subject = '{{other}}')"
UNSEALED = of("subject_state", "seal = NULL")

TAMPERED = {
    "a no made a yes": of("subject_state", "document = replace(document, '\"billing\":[1,', '\"billing\":[0,')"),
    "an older last entry": of("subject_state", "last_index = last_index - 1"),
    "a later last entry": of("subject_state", "last_index = last_index + 1"),
    "no JSON at all": of("subject_state", "document = 'x'"),
    "no seal": of("subject_state", "seal = NULL"),
    "an empty seal": of("subject_state", "seal = ''"),
    "another's document": of(
        "subject_state", "document = (SELECT document FROM subject_state WHERE subject = '{other}')"
    ),
    "another's document and seal": of(
        "subject_state", f"document = {OTHERS.format('document')}, seal = {OTHERS.format('seal')}"
    ),
    "a name that leads to another": of("subject_identifier", "subject = '{other}'"),
    "a name of another namespace": of("subject_identifier", "namespace = 'crm'"),
    "a name of another entry": of("subject_identifier", '"index" = "index" + 1'),
    "a name without a seal": of("subject_identifier", "seal = NULL"),
}


@pytest.mark.parametrize("statement", TAMPERED.values(), ids=TAMPERED.keys())
async def test_a_changed_row_is_a_no_that_says_so_and_hurts_nobody_else(school: School, statement: str) -> None:
    mine, other = await two_people(school)
    before = school.service.database.trust.untrusted
    await tamper(school.service.database, statement.format(mine=mine, other=other))
    answer = await school.check(MINE, "billing")
    assert not answer["permitted"]
    assert [(reason["code"], reason["purpose"]) for reason in answer["reasons"]] == [("record_untrusted", "billing")]
    assert await school.why(OTHER, "billing") == ["consent_granted"]
    assert school.service.database.trust.untrusted > before
    assert f"consent_untrusted_records {before + 1}.0" in (await school.get("/metrics")).text


NO_TEXT = {
    "a document that is no text": of("subject_state", "document = CAST(x'7bff' AS TEXT)"),
    "a seal that is a number": of("subject_state", "seal = 5"),
    "a name's seal that is a number": of("subject_identifier", "seal = 5"),
    "a name that leads to no text": of("subject_identifier", "subject = x'00'"),
}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # it keeps in a column whatever it is given
@pytest.mark.parametrize("statement", NO_TEXT.values(), ids=NO_TEXT.keys())
async def test_a_cell_of_another_type_is_a_no_and_hurts_nobody_else(
    school: School, settings: Settings, statement: str
) -> None:
    mine, other = await two_people(school)
    await tamper(school.service.database, statement.format(mine=mine, other=other))
    questions: list[Json] = [{"subject": name, "purpose": "billing"} for name in (MINE, OTHER)]
    decisions = (await school.post("/v1/check/batch", {"questions": questions})).json()["decisions"]
    assert [one["permitted"] for one in decisions] == [False, True]
    assert await school.why(OTHER, "billing") == ["consent_granted"]
    assert other in (await school.get("/v1/purposes/billing/permitted")).text
    for path in ("/v1/stats", "/v1/worklist", "/v1/worklist?kind=never_asked", "/v1/worklist?kind=policy_changed"):
        assert (await school.get(path)).status_code == 200, path
    assert (await verified(settings)).exit_code == report.TAMPERED


async def test_a_batch_and_a_filter_answer_the_others(school: School) -> None:
    mine, _ = await two_people(school)
    await tamper(school.service.database, UNSEALED.format(mine=mine))
    questions = [{"subject": one, "purpose": "billing"} for one in (MINE, OTHER)]
    batch = (await school.post("/v1/check/batch", {"questions": questions})).json()
    assert [one["permitted"] for one in batch["decisions"]] == [False, True]
    filtered = (await school.post("/v1/check/filter", {"purpose": "billing", "subjects": [MINE, OTHER]})).json()
    assert filtered["permitted"] == [OTHER]


async def test_who_is_asked_about_many_times_at_once_is_read_once(school: School) -> None:
    mine, other = await two_people(school)
    before = school.service.database.trust.untrusted
    await tamper(school.service.database, UNSEALED.format(mine=mine, other=other))
    questions: list[Json] = [{"subject": MINE, "purpose": purpose} for purpose in ("billing", "surveys", "marketing")]
    decisions = (await school.post("/v1/check/batch", {"questions": questions})).json()["decisions"]
    assert [one["reasons"][0]["code"] for one in decisions] == ["record_untrusted"] * 3
    assert school.service.database.trust.untrusted == before + 1


async def test_an_old_row_put_back_with_its_old_seal_is_found(school: School) -> None:
    await school.said(MINE, ("billing", "grant"))
    old = (await all_of(school, subject_state))[-1]
    await school.said(MINE, ("billing", "withdraw"))
    assert await school.why(MINE, "billing") == ["withdrawn"]
    back = update(subject_state).where(subject_state.c.subject == old.subject).values(**old._mapping)
    await tamper(school.service.database, back)
    assert await school.why(MINE, "billing") == ["record_untrusted"]


async def test_a_name_that_was_taken_off_and_is_put_back_leads_to_no_yes(school: School) -> None:
    told = await school.said("crm:a", ("billing", "grant"))
    await school.send("PATCH", f"/v1/subjects/{told['subject']}", {"add_identifiers": ["person:a"]})
    old = next(row for row in await all_of(school, subject_identifier) if row.namespace == "person")
    await school.send("PATCH", f"/v1/subjects/{told['subject']}", {"remove_identifiers": ["person:a"]})
    assert await school.why("person:a", "billing") == ["no_consent_recorded"]
    await tamper(school.service.database, subject_identifier.insert().values(**old._mapping))
    assert await school.why("person:a", "billing") == ["record_untrusted"]
    assert await school.why("crm:a", "billing") == ["consent_granted"]


async def test_an_alias_that_somebody_made_up_leads_to_no_yes(school: School) -> None:
    _, other = await two_people(school)
    lookup = school.service.database.keyring.lookup
    real = (await all_of(school, subject_identifier))[-1]
    made_up = {**real._mapping, "lookup": lookup(Identifier("person", "mallory")), "subject": other}
    await tamper(school.service.database, subject_identifier.insert().values(**made_up))
    assert await school.why("person:mallory", "billing") == ["record_untrusted"]


async def test_nothing_is_built_on_a_record_that_is_not_trusted(school: School) -> None:
    mine, _ = await two_people(school)
    await tamper(school.service.database, UNSEALED.format(mine=mine))
    before = len(await all_of(school, ledger_entry))
    assert_problem(await school.say(MINE, ("billing", "withdraw")), 503, "record_untrusted")
    assert_problem(await school.get(f"/v1/subjects/{mine}/consents"), 503, "record_untrusted")
    assert len(await all_of(school, ledger_entry)) == before
    await school.said(OTHER, ("billing", "withdraw"))
    assert await school.why(OTHER, "billing") == ["withdrawn"]


async def test_a_record_that_nobody_can_read_shows_nothing_and_is_nobodys_guardian(school: School) -> None:
    ward, sister, mother = [
        await school.enrol(f"person:{name}", kind="student") for name in ("ward", "sister", "mother")
    ]
    guarded = await school.post("/v1/guardianships", {"guardian": mother, "ward": sister, "relation": "mother"})
    assert guarded.status_code == 201, guarded.text
    key = await school.key_for("reader", Scope.AUDIT_READ, namespaces=["person"])
    path = f"/v1/decisions/{(await school.check('person:mother', 'billing'))['decision_id']}"
    assert (await school.get(path, key=key)).status_code == 200
    await tamper(school.service.database, of("subject_state", "document = 'x'").format(mine=mother))
    assert_problem(await school.get(path, key=key), 404, "decision_not_found")
    circle = await school.post("/v1/guardianships", {"guardian": sister, "ward": ward, "relation": "sister"})
    assert_problem(circle, 503, "record_untrusted")


async def test_a_rebuild_makes_the_record_what_the_ledger_says(school: School) -> None:
    mine, _ = await two_people(school)
    await tamper(school.service.database, UNSEALED.format(mine=mine))
    await write_alone(school.service.database, rebuild)
    assert await school.why(MINE, "billing") == ["refused"]


@pytest.mark.parametrize(
    "change",
    [
        'scopes = \'["check", "audit:read"]\'',
        "purposes = '[]'",
        "namespaces = '[\"crm\"]'",
        "expires_at = created_at",
        "name = 'other'",
        "scopes = 'no JSON'",
        "seal = NULL",
    ],
)
async def test_a_client_whose_row_was_changed_is_refused(school: School, change: str) -> None:
    await two_people(school)
    key = await school.key_for("mailer", Scope.CHECK, purposes=["surveys"], namespaces=["person"])
    question = {"subject": OTHER, "purpose": "billing"}
    await tamper(school.service.database, f"UPDATE client SET {change} WHERE name = 'mailer'")  # noqa: S608
    assert_problem(await school.post("/v1/check", question, key=key), 503, "record_untrusted")
    assert_problem(await school.post("/v1/check/batch", {"questions": [question]}, key=key), 503, "record_untrusted")
    assert await school.why(OTHER, "billing") == ["consent_granted"]


async def test_a_revoked_client_stays_revoked_and_true(school: School) -> None:
    key = await school.key_for("mailer", Scope.CHECK)
    name = next(row.id for row in await all_of(school, client) if row.name == "mailer")
    assert (await school.send("DELETE", f"/v1/clients/{name}")).status_code == 204
    question = {"subject": OTHER, "purpose": "billing"}
    assert_problem(await school.post("/v1/check", question, key=key), 401, "unauthenticated")
    await tamper(school.service.database, update(client).where(client.c.id == name).values(revoked_at=None))
    assert_problem(await school.post("/v1/check", question, key=key), 503, "record_untrusted")


async def test_a_policy_that_was_changed_answers_nothing(school: School) -> None:
    await two_people(school)
    rewritten = "UPDATE policy_version SET document = replace(document, '\"consent\"', '\"notice\"')"
    await tamper(school.service.database, rewritten)
    assert (await all_of(school, policy_version))[0].document.count('"notice"')
    school.service.database.compiled.clear()  # as in a process that starts now
    question = {"subject": OTHER, "purpose": "billing"}
    assert_problem(await school.post("/v1/check", question), 503, "record_untrusted")


async def test_a_head_smaller_than_one_that_was_seen_is_refused_at_once(school: School) -> None:
    await two_people(school)
    assert await school.why(OTHER, "billing") == ["consent_granted"]
    await tamper(school.service.database, "UPDATE ledger_head SET size = size - 1")
    question = {"subject": OTHER, "purpose": "billing"}
    for path, body in asked(question):
        assert_problem(await school.post(path, body), 503, "ledger_rolled_back")
    assert_problem(await school.say(OTHER, ("billing", "withdraw")), 503, "ledger_rolled_back")
    await tamper(school.service.database, "UPDATE ledger_head SET size = size + 1")
    assert await school.why(OTHER, "billing") == ["consent_granted"]


def asked(question: dict[str, str]) -> Sequence[tuple[str, object]]:
    many = {"purpose": question["purpose"], "subjects": [question["subject"]]}
    return [("/v1/check", question), ("/v1/check/batch", {"questions": [question]}), ("/v1/check/filter", many)]
