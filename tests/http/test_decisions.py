"""Decisions on record: read, listed, replayed, asked as of a past moment, and let go after their time."""

import asyncio
import json
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import update

from consent_service import worker
from consent_service.core.clients import Scope
from consent_service.core.reasons import ReasonCode
from consent_service.lanes import write_alone
from consent_service.operations import decisions
from consent_service.store import idempotency
from consent_service.store.tables import decision, subject_key, subject_state
from tests.school import EMAIL, Json, School, statements
from tests.service_process import run
from tests.tables import all_of, tamper

pytestmark = pytest.mark.anyio


async def read(school: School, decision_id: str, key: str | None = None) -> Json:
    response = await school.get(f"/v1/decisions/{decision_id}", key=key)
    assert response.status_code == 200, response.text
    return response.json()


async def replayed(school: School, decision_id: str) -> Json:
    response = await school.post(f"/v1/decisions/{decision_id}/replay", None)
    assert response.status_code == 200, response.text
    return response.json()


async def as_of(school: School, subject: str, purpose: str, **moment: Json) -> Json:
    response = await school.post("/v1/check/as-of", {"subject": subject, "purpose": purpose, **moment})
    assert response.status_code == 200, response.text
    return response.json()


async def test_a_decision_tells_what_was_asked_answered_and_why(school: School) -> None:
    said = await school.said("person:1", (EMAIL, "refuse"))
    asked = await school.check("person:1", EMAIL)
    told = await read(school, asked["decision_id"])
    assert {name: told[name] for name in asked} == asked
    assert (told["subject"], told["within"], told["asked_by"], told["part_of"]) == (said["subject"], None, None, None)
    (entry,) = told["entries"]
    assert entry["index"] == said["entries"][0]["index"]
    assert json.loads(entry["body"])["action"] == "refuse"


async def test_an_unknown_persons_decision_names_nobody(school: School) -> None:
    told = await read(school, (await school.check("person:nobody", "billing"))["decision_id"])
    assert (told["subject"], told["entries"]) == (None, [])


async def test_a_decision_is_seen_only_by_those_who_may_see_its_person_and_its_purpose(school: School) -> None:
    await school.enrol("sis:1", birth_date="2000-01-01")
    await school.said("sis:1", ("billing", "grant"))
    asked = (await school.check("sis:1", "billing"))["decision_id"]
    crm = await school.key_for("crm", Scope.AUDIT_READ, namespaces=["crm"])
    sis = await school.key_for("sis", Scope.AUDIT_READ, namespaces=["sis"])
    mailer = await school.key_for("mailer", Scope.AUDIT_READ, purposes=["marketing"])
    for key, status in ((crm, 404), (mailer, 404), (sis, 200)):
        for method, path in (("GET", ""), ("GET", "/parts"), ("POST", "/replay")):
            answer = await school.send(method, f"/v1/decisions/{asked}{path}", key=key)
            assert answer.status_code == status, (path, answer.text)
    unknown = (await school.check("person:nobody", "billing"))["decision_id"]
    assert (await school.get(f"/v1/decisions/{unknown}", key=sis)).json()["code"] == "decision_not_found"


async def test_a_use_within_a_purpose_is_seen_only_by_those_who_may_ask_for_both(school: School) -> None:
    sub = (await school.said("person:1", ("billing", "grant")))["subject"]
    asked = (await school.check("person:1", "concomitant_use", "billing"))["decision_id"]
    for purposes, status in ((["concomitant_use", "marketing"], 404), (["concomitant_use", "billing"], 200)):
        key = await school.key_for("-".join(purposes), Scope.AUDIT_READ, purposes=purposes)
        assert (await school.get(f"/v1/decisions/{asked}", key=key)).status_code == status
        listed = (await school.get(f"/v1/subjects/{sub}/decisions", key=key)).json()["items"]
        assert len(listed) == (1 if status == 200 else 0)


async def test_a_decision_of_ones_own_is_seen_as_long_as_its_person_is(school: School) -> None:
    sub = await school.enrol("person:1", "crm:1")
    crm = await school.key_for("crm", Scope.CHECK, Scope.AUDIT_READ, namespaces=["crm"])
    asked = (await school.check("crm:1", "billing", key=crm))["decision_id"]
    unknown = (await school.check("crm:nobody", "billing", key=crm))["decision_id"]
    assert (await school.get(f"/v1/decisions/{asked}", key=crm)).status_code == 200
    await school.send("PATCH", f"/v1/subjects/{sub}", {"remove_identifiers": ["crm:1"]})
    assert (await school.get(f"/v1/decisions/{asked}", key=crm)).status_code == 404
    assert (await school.get(f"/v1/decisions/{unknown}", key=crm)).status_code == 200


async def test_of_a_filter_a_client_sees_the_parts_about_people_whom_it_sees_and_about_nobody(school: School) -> None:
    await school.enrol("person:1")
    linked = await school.enrol("sis:1", "crm:1")
    seen = await school.enrol("crm:2")
    crm = await school.key_for("crm", Scope.CHECK, Scope.AUDIT_READ, namespaces=["crm"])
    body = {"purpose": "billing", "subjects": ["person:1", "crm:1", "crm:2"]}
    others = (await school.post("/v1/check/filter", body)).json()["decision_id"]
    own = (await school.post("/v1/check/filter", body, key=crm)).json()["decision_id"]

    async def subjects() -> set[str | None]:
        parts = (await school.get(f"/v1/decisions/{own}/parts", key=crm)).json()["items"]
        return {one["subject"] for one in parts}

    assert (await school.get(f"/v1/decisions/{others}/parts", key=crm)).status_code == 404
    assert await subjects() == {None, linked, seen}
    await school.send("PATCH", f"/v1/subjects/{linked}", {"remove_identifiers": ["crm:1"]})
    assert await subjects() == {None, seen}


async def test_an_id_that_cannot_be_one_names_no_decision(school: School) -> None:
    sub = await school.enrol("person:1")
    asked = (await school.check("person:1", "billing"))["decision_id"]
    for wrong in ("%00", "x", asked.lower(), asked + "%00"):
        assert (await school.get(f"/v1/decisions/{wrong}")).json()["code"] == "decision_not_found"
        for listed in (f"/v1/decisions/{asked}/parts", f"/v1/subjects/{sub}/decisions"):
            assert (await school.get(f"{listed}?after={wrong}")).json()["errors"][0]["pointer"] == "query/after"
    assert len((await school.get(f"/v1/subjects/{sub}/decisions?after=")).json()["items"]) == 1


async def test_who_asked_about_a_person_is_listed_newest_first_page_by_page(school: School) -> None:
    sub = await school.enrol("person:1")
    asked = []
    for purpose in ("billing", EMAIL, "surveys"):
        asked.append((await school.check("person:1", purpose))["decision_id"])
        school.clock.advance(seconds=1)
    await school.check("person:2", "billing")
    whole = (await school.get(f"/v1/subjects/{sub}/decisions")).json()
    assert [one["decision_id"] for one in whole["items"]] == asked[::-1]
    first = (await school.get(f"/v1/subjects/{sub}/decisions?limit=2")).json()
    rest = (await school.get(f"/v1/subjects/{sub}/decisions?limit=2&after={first['next']}")).json()
    assert first["items"] + rest["items"] == whole["items"]
    assert rest["next"] is None
    mailer = await school.key_for("mailer", Scope.AUDIT_READ, purposes=["marketing"])
    seen = (await school.get(f"/v1/subjects/{sub}/decisions", key=mailer)).json()["items"]
    assert [one["purpose"] for one in seen] == [EMAIL]
    crm = await school.key_for("crm", Scope.AUDIT_READ, namespaces=["crm"])
    assert (await school.get(f"/v1/subjects/{sub}/decisions", key=crm)).status_code == 404


async def test_a_filters_parts_are_listed_and_are_what_is_replayed(school: School) -> None:
    await school.said("person:1", ("billing", "grant"))
    body = {"purpose": "billing", "subjects": [f"person:{n}" for n in range(5)]}
    whole = (await school.post("/v1/check/filter", body)).json()["decision_id"]
    assert (await read(school, whole))["permitted"] is False
    items: list[Json] = []
    after = ""
    while after is not None:
        page = (await school.get(f"/v1/decisions/{whole}/parts?limit=2&after={after}")).json()
        items, after = items + page["items"], page["next"]
    assert [one["part_of"] for one in items] == [whole] * 5
    assert sum(one["permitted"] for one in items) == 1
    refused = await school.post(f"/v1/decisions/{whole}/replay", None)
    assert (refused.status_code, refused.json()["code"]) == (422, "validation_failed")
    assert all([(await replayed(school, one["decision_id"]))["same"] for one in items])


async def test_a_replay_gives_the_same_answer_whatever_was_said_later(school: School) -> None:
    await school.enrol("person:1", "crm:a")
    crm = await school.key_for("crm", Scope.CHECK, namespaces=["crm"])
    asked = []
    for action in ("grant", "withdraw", "grant", "refuse"):
        await school.said("person:1", (EMAIL, action), ("surveys", "grant"))
        asked += [await school.check("person:1", purpose) for purpose in (EMAIL, "marketing", "surveys", "biling")]
        asked.append(await school.check("person:1", "concomitant_use", "surveys"))
        asked += [await school.check("person:1", EMAIL, key=crm), await school.check("crm:a", EMAIL, key=crm)]
        school.clock.advance(minutes=1)
    sub = await school.enrol("person:late")
    await school.send("PATCH", f"/v1/subjects/{sub}", {"membership": {"status": "ended"}})
    for one in asked:
        again = await replayed(school, one["decision_id"])
        assert again["same"] is True
        assert again["replayed"]["would_have_permitted"] is one["permitted"]
        assert again["replayed"]["reasons"] == one["reasons"]
    codes = {reason["code"] for one in asked for reason in one["reasons"]}
    assert codes >= {ReasonCode.CLIENT_NOT_PERMITTED, ReasonCode.CONCOMITANT, ReasonCode.PURPOSE_NOT_SPECIFIED}


async def test_a_replay_tells_when_the_record_was_tampered_with(school: School) -> None:
    await school.said("person:1", ("billing", "refuse"))
    asked = (await school.check("person:1", "billing"))["decision_id"]
    await tamper(school.service.database, update(decision).where(decision.c.id == asked).values(permitted=True))
    again = await replayed(school, asked)
    assert (again["same"], again["permitted"], again["replayed"]["would_have_permitted"]) == (False, True, False)


async def test_a_decision_recorded_by_the_first_schema_is_read_and_replayed(school: School) -> None:
    index = (await school.said("person:1", ("billing", "refuse")))["entries"][0]["index"]
    asked = (await school.check("person:1", "billing"))["decision_id"]
    old = json.dumps([["refused", "billing", index]])
    await tamper(school.service.database, update(decision).where(decision.c.id == asked).values(reasons=old))
    assert (await read(school, asked))["reasons"][0]["message"] == "Consent was refused on —."
    assert (await replayed(school, asked))["same"] is True


async def test_a_replay_about_an_erased_person_is_gone(school: School) -> None:
    said = await school.said("person:1", ("billing", "grant"))
    asked = (await school.check("person:1", "billing"))["decision_id"]
    await tamper(school.service.database, subject_key.delete().where(subject_key.c.subject == said["subject"]))
    gone = await school.post(f"/v1/decisions/{asked}/replay", None)
    assert (gone.status_code, gone.json()["code"]) == (410, "subject_erased")


async def test_a_check_as_of_the_past_says_what_would_have_been_permitted(school: School) -> None:
    granted = await school.said("person:1", (EMAIL, "grant"), expires_at="2026-11-24T00:00:00Z")
    at = school.clock.now.isoformat()
    school.clock.advance(minutes=5)
    await school.said("person:1", (EMAIL, "withdraw"))
    before = len(await all_of(school, decision))
    then = await as_of(school, "person:1", EMAIL, as_of=granted["as_of"])
    assert "permitted" not in then
    assert (then["would_have_permitted"], then["as_of"]) == (True, granted["as_of"])
    assert then["expires_at"] == "2026-11-24T00:00:00.000Z"
    assert (await as_of(school, "person:1", EMAIL, at=at))["would_have_permitted"] is True
    now = await as_of(school, "person:1", EMAIL, at=school.clock.now.isoformat())
    assert [reason["code"] for reason in now["reasons"]] == ["withdrawn"]
    never = await as_of(school, "person:1", EMAIL, as_of=granted["entries"][0]["index"])
    assert [reason["code"] for reason in never["reasons"]] == ["no_consent_recorded"]
    assert len(await all_of(school, decision)) == before


async def test_an_identifier_counts_in_the_past_only_if_it_named_the_person_then(school: School) -> None:
    sub = await school.enrol("sis:1", birth_date="2000-01-01")
    said = await school.said("sis:1", ("billing", "grant"))
    await school.send("PATCH", f"/v1/subjects/{sub}", {"add_identifiers": ["crm:a"]})
    assert (await as_of(school, "crm:a", "billing", as_of=said["as_of"]))["would_have_permitted"] is False
    assert (await as_of(school, "crm:a", "billing", as_of=said["as_of"] + 1))["would_have_permitted"] is True
    assert (await as_of(school, sub, "billing", as_of=said["as_of"]))["would_have_permitted"] is True


async def test_a_moment_that_never_was_is_refused(school: School) -> None:
    size = (await school.said("person:1", ("billing", "grant")))["as_of"]
    tomorrow = (school.clock.now + timedelta(days=1)).isoformat()
    for moment, pointer in (
        ({}, ""),
        ({"as_of": 1, "at": school.clock.now.isoformat()}, ""),
        ({"at": tomorrow}, "/at"),
        ({"as_of": size + 1}, "/as_of"),
        ({"as_of": 2**70}, "/as_of"),
        ({"at": "0001-01-01T00:00:00+14:00"}, "/at"),
        ({"at": "9999-12-31T23:59:59-12:00"}, "/at"),
        ({"as_of": 0}, "/as_of"),
        ({"at": "2026-01-01T00:00:00"}, "/at"),
        ({"at": "2020-01-01T00:00:00Z"}, ""),
    ):
        refused = await school.post("/v1/check/as-of", {"subject": "person:1", "purpose": "billing", **moment})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer), moment


async def test_what_stood_at_a_past_moment_is_told_to_auditors_only(school: School) -> None:
    said = await school.said("person:1", ("billing", "grant"))
    school.clock.advance(minutes=1)
    await school.said("person:1", ("billing", "withdraw"))
    path = f"/v1/subjects/{said['subject']}/consents"
    then = (await school.get(f"{path}?at={said['as_of']}")).json()
    assert (then["states"]["billing"]["state"], then["as_of"]) == ("granted", said["as_of"])
    assert (await school.get(path)).json()["states"]["billing"]["state"] == "withdrawn"
    assert (await school.get(f"{path}?at=2026-11-23T02:10:00Z")).json()["states"]["billing"]["state"] == "granted"
    reader = await school.key_for("reader", Scope.CONSENTS_READ)
    assert (await school.get(path, key=reader)).status_code == 200
    assert (await school.get(f"{path}?at=1", key=reader)).json()["code"] == "scope_missing"
    for wrong in ("9999", str(2**70), "0", "soon", "2026-11-23T02:10:00", "0001-01-01T00:00:00%2B14:00"):
        refused = await school.get(f"{path}?at={wrong}")
        assert (refused.status_code, [one["pointer"] for one in refused.json()["errors"]]) == (422, ["query/at"]), wrong


async def test_old_decisions_go_in_batches_and_no_younger_one_does(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consent_service.operations.decisions.PRUNED_AT_ONCE", 4)
    for _ in range(10):
        await school.check("person:1", "billing")
    boundary = school.clock.now + timedelta(milliseconds=1)
    school.clock.now = boundary
    kept = {(await school.check("person:1", "billing"))["decision_id"] for _ in range(3)}
    prune = partial(decisions.prune, before=boundary)

    async def pruned() -> list[int]:
        counts = []
        while count := await write_alone(school.service.database, prune):
            counts.append(count)
        return counts

    counts, *answers = await asyncio.gather(pruned(), *(school.check("person:1", "billing") for _ in range(20)))
    assert counts == [4, 4, 2]
    assert {row.id for row in await all_of(school, decision)} == kept | {one["decision_id"] for one in answers}


def test_the_command_deletes_what_is_older_and_says_how_many(tmp_path: Path) -> None:
    run(tmp_path, "check", "person:1", "billing")
    assert "0 decisions older than 400d" in run(tmp_path, "decisions", "prune", "--older-than", "400d").stdout
    assert "1 decisions older than 0d" in run(tmp_path, "decisions", "prune", "--older-than", "0d").stdout
    assert "0 decisions older than 99999d" in run(tmp_path, "decisions", "prune", "--older-than", "99999d").stdout
    for age in ("soon", "100000d", "-1d", "4００d"):
        wrong = run(tmp_path, "decisions", "prune", "--older-than", age)
        assert (wrong.returncode, "400d" in wrong.stderr) == (2, True)


async def test_the_worker_lets_old_decisions_go(school: School) -> None:
    for _ in range(3):
        await school.check("person:1", "billing")
    school.clock.advance(days=400)
    young = (await school.check("person:1", "billing"))["decision_id"]
    service = school.service
    async with worker.at_work(service.database, timedelta(days=399), service.notary, service.rotated):
        while len(await all_of(school, decision)) > 1:  # noqa: ASYNC110 (the worker tells nobody)
            await asyncio.sleep(0)
    assert [row.id for row in await all_of(school, decision)] == [young]


async def test_the_worker_outlives_what_nobody_foresaw(school: School, caplog: pytest.LogCaptureFixture) -> None:
    await tamper(school.service.database, "ALTER TABLE decision RENAME TO elsewhere")
    service = school.service
    at_work = worker.at_work(service.database, timedelta(days=1), service.notary, service.rotated)
    async with asyncio.timeout(20), at_work:
        while "retention" not in caplog.text:  # noqa: ASYNC110 (the worker tells only the log)
            await asyncio.sleep(0)


async def test_the_worker_ends_even_if_another_one_has_cleared_what_was_to_wake_it(school: School) -> None:
    service = school.service
    async with (
        asyncio.timeout(20),
        worker.at_work(service.database, timedelta(days=1), service.notary, service.rotated),
    ):
        await asyncio.sleep(0)  # it begins to look for rows under old keys
        asyncio.get_running_loop().call_soon(service.rotated.clear)


async def test_a_decision_shows_a_client_no_entry_that_tells_of_other_purposes(school: School) -> None:
    (said,) = (await school.said("person:1", ("marketing", "grant")))["entries"]
    decided = await school.check("person:1", EMAIL)
    own = await school.key_for("own", Scope.AUDIT_READ, purposes=["marketing.own_company"])
    all_of_it = await school.key_for("all", Scope.AUDIT_READ, purposes=["marketing"])
    told = await read(school, decided["decision_id"], own)
    assert ([one["index"] for one in told["reasons"]], told["entries"]) == ([said["index"]], [])
    assert [one["index"] for one in (await read(school, decided["decision_id"], all_of_it))["entries"]] == [
        said["index"]
    ]


async def test_nobody_is_told_of_the_past_of_whom_they_may_not_see_today(school: School) -> None:
    sub = await school.enrol("crm:1", "sis:1")
    moment = (await school.said("crm:1", ("billing", "grant")))["as_of"]
    key = await school.key_for("crm", Scope.AUDIT_READ, Scope.CHECK, namespaces=["crm"])
    body = {"subject": sub, "purpose": "billing", "as_of": moment}
    assert (await school.post("/v1/check/as-of", body, key=key)).json()["would_have_permitted"]
    await school.send("PATCH", f"/v1/subjects/{sub}", {"remove_identifiers": ["crm:1"]})
    told = (await school.post("/v1/check/as-of", body, key=key)).json()
    assert [one["code"] for one in told["reasons"]] == ["no_consent_recorded"]
    assert (await school.post("/v1/check/as-of", body)).json()["would_have_permitted"]


async def test_when_the_clock_goes_back_nothing_that_expired_comes_back(school: School) -> None:
    """Every route goes by the time of the newest entry then, as the check does."""
    sub = (await school.said("person:1", ("billing", "grant"), expires_at="2026-11-23T03:10:00Z"))["subject"]
    new = {"name": "short", "scopes": ["check", "people:read"], "expires_at": "2026-11-23T03:10:00Z"}
    key = (await school.post("/v1/clients", new)).json()["key"]
    school.clock.advance(hours=2)
    await school.said("person:2", ("billing", "grant"))
    school.clock.advance(hours=-1.5)
    assert await school.why("person:1", "billing") == ["expired"]
    assert (await school.get(f"/v1/subjects/{sub}/consents")).json()["states"]["billing"]["state"] == "expired"
    assert "billing" in [one["purpose"] for one in (await school.get(f"/v1/subjects/{sub}/asks")).json()["asks"]]
    question = {"subject": "person:1", "purpose": "billing"}
    for path, body in (("/v1/check", question), ("/v1/check/batch", {"questions": [question]})):
        assert (await school.post(path, body, key=key)).status_code == 401
    assert (await school.post("/v1/subjects/lookup", {"subject": "person:1"}, key=key)).status_code == 401


async def test_a_process_goes_by_the_time_of_what_it_wrote_itself(school: School) -> None:
    sub = (await school.said("person:1", ("billing", "grant"), expires_at="2026-11-23T03:10:00Z"))["subject"]
    school.clock.advance(hours=2)
    await school.said("person:2", ("billing", "grant"))
    school.clock.advance(hours=-1.5)
    assert (await school.get(f"/v1/subjects/{sub}/consents")).json()["states"]["billing"]["state"] == "expired"


async def test_a_clock_that_was_fast_for_a_moment_forgets_no_first_answer(school: School) -> None:
    body = statements("person:1", ("billing", "grant"))
    first = await school.post("/v1/consents", body, Idempotency_Key="once")
    await school.said("person:1", ("billing", "withdraw"))
    school.clock.advance(days=10)
    await school.said("person:2", ("billing", "grant"))
    school.clock.advance(days=-10)
    assert await write_alone(school.service.database, idempotency.forget) == 0
    assert (await school.post("/v1/consents", body, Idempotency_Key="once")).json() == first.json()
    assert await school.why("person:1", "billing") == ["withdrawn"]


async def test_the_past_is_told_of_whose_row_is_damaged_today(school: School) -> None:
    moment = (await school.said("crm:1", ("billing", "grant")))["as_of"]
    await tamper(school.service.database, update(subject_state).values(seal=b"0" * 32))
    key = await school.key_for("crm", Scope.AUDIT_READ, Scope.CHECK, namespaces=["crm"])
    told = await school.post("/v1/check/as-of", {"subject": "crm:1", "purpose": "billing", "as_of": moment}, key=key)
    assert told.json()["would_have_permitted"], told.text
