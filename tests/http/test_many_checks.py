"""Many checks at once: batch, filter, and the stream of the permitted."""

import asyncio
import json
from dataclasses import replace

import pytest
from starlette.types import Message, Scope

from consent_service.core import clients
from consent_service.core.decision import Decision, Question
from consent_service.core.people import Identifier
from consent_service.lanes import Gate
from consent_service.operations.checks import Case, answer_for
from consent_service.operations.clients import authenticate
from consent_service.settings import DecisionLog, Settings
from consent_service.store.tables import decision
from consent_service.web.checks import LARGEST_BATCH, LARGEST_FILTER, BatchOut, FilterOut
from consent_service.web.limits import LARGE_BODY_LIMIT
from tests.clock import Clock
from tests.school import EMAIL, Json, School, open_school
from tests.tables import all_of

pytestmark = pytest.mark.anyio


async def batch(school: School, *questions: Json, key: str | None = None) -> list[Json]:
    response = await school.post("/v1/check/batch", {"questions": list(questions)}, key=key)
    assert response.status_code == 200, response.text
    assert BatchOut.model_validate_json(response.content).model_dump_json().encode() == response.content
    return list(response.json()["decisions"])


async def filtered(school: School, purpose: str, *subjects: str, key: str | None = None, **more: Json) -> Json:
    body = {"purpose": purpose, "subjects": list(subjects), **more}
    response = await school.post("/v1/check/filter", body, key=key)
    assert response.status_code == 200, response.text
    assert FilterOut.model_validate_json(response.content).model_dump_json().encode() == response.content
    return response.json()


async def stream(school: School, path: str, key: str | None = None) -> list[Json]:
    response = await school.get(path, key=key)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


def asked_for(path: str, key: str) -> Scope:
    headers = [(b"authorization", f"Bearer {key}".encode())]
    place = {"path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http"}
    caller = {"client": ("127.0.0.1", 1), "server": ("school", 80), "http_version": "1.1"}
    return {"type": "http", "asgi": {"version": "3.0"}, "method": "GET", "headers": headers, **place, **caller}


def without_its_own(answer: Json) -> Json:
    return {name: value for name, value in answer.items() if name not in ("decision_id", "decided_at")}


async def test_a_batch_answers_each_question_as_it_would_be_answered_alone(school: School) -> None:
    await school.said("person:1", ("billing", "grant"), ("surveys", "refuse"))
    questions = [
        {"subject": "person:1", "purpose": "billing"},
        {"subject": "person:1", "purpose": "surveys"},
        {"subject": "person:2", "purpose": "billing"},
        {"subject": "person:1", "purpose": "concomitant_use", "within": "billing"},
        {"subject": "person:1", "purpose": "billling"},
    ]
    together = await batch(school, *questions)
    alone = [(await school.post("/v1/check", question)).json() for question in questions]
    assert [without_its_own(one) for one in together] == [without_its_own(one) for one in alone]
    assert [one["permitted"] for one in together] == [True, False, False, True, False]


async def test_a_question_that_is_wrong_is_that_items_error_and_the_others_stand(school: School) -> None:
    await school.said("person:1", ("billing", "grant"))
    good = {"subject": "person:1", "purpose": "billing"}
    wrong: list[tuple[Json, str]] = [
        ({"purpose": "billing"}, "/subject"),
        ({"subject": "BAD:1", "purpose": "billing"}, "/subject"),
        (good | {"extra": 1}, "/extra"),
        (good | {"within": "surveys"}, "/within"),
        ("nonsense", ""),
    ]
    answers = await batch(school, *(question for question, _ in wrong), good)
    for place, (answer, (_, pointer)) in enumerate(zip(answers[:-1], wrong, strict=True)):
        assert set(answer) == {"error"}
        assert (answer["error"]["status"], answer["error"]["code"]) == (422, "validation_failed")
        assert answer["error"]["errors"][0]["pointer"].removeprefix(f"/questions/{place}") == pointer
    assert answers[-1]["permitted"] is True


async def test_a_batch_or_filter_over_its_limit_is_refused_with_the_limit_in_the_problem(school: School) -> None:
    question = {"subject": "person:1", "purpose": "billing"}
    for path, body, limit in (
        ("/v1/check/batch", {"questions": [question] * (LARGEST_BATCH + 1)}, LARGEST_BATCH),
        ("/v1/check/filter", {"purpose": "billing", "subjects": ["1"] * (LARGEST_FILTER + 1)}, LARGEST_FILTER),
    ):
        refused = await school.post(path, body)
        assert (refused.status_code, refused.json()["code"]) == (422, "validation_failed")
        assert str(limit) in refused.json()["errors"][0]["detail"]
        huge = await school.post(path, {"filler": "x" * LARGE_BODY_LIMIT})
        assert (huge.status_code, huge.json()["code"]) == (413, "body_too_large")
        assert str(LARGE_BODY_LIMIT) in huge.json()["detail"]
    assert await all_of(school, decision) == []


async def test_every_decision_of_a_batch_is_on_record(school: School) -> None:
    await school.said("person:1", ("billing", "grant"))
    answers = await batch(school, *({"subject": f"person:{n % 3}", "purpose": "billing"} for n in range(1000)))
    rows = {row.id: row.permitted for row in await all_of(school, decision)}
    assert rows == {answer["decision_id"]: answer["permitted"] for answer in answers}
    assert len({answer["as_of"] for answer in answers}) == 1


async def test_a_filter_keeps_the_order_and_answers_a_duplicate_once(school: School) -> None:
    await school.enrol("sis:3", birth_date="2000-01-01")
    for person in ("person:1", "person:2", "sis:3"):
        await school.said(person, (EMAIL, "grant"))
    await school.said("person:2", (EMAIL, "withdraw"))
    answer = await filtered(school, EMAIL, "sis:3", "person:9", "person:2", "1", "person:1", "person:9")
    assert answer["permitted"] == ["sis:3", "1"]
    assert [(one["subject"], [reason["code"] for reason in one["reasons"]]) for one in answer["denied"]] == [
        ("person:9", ["no_consent_recorded"]),
        ("person:2", ["withdrawn"]),
    ]
    assert answer["as_of"] == (await school.check("person:1", EMAIL))["as_of"]


async def test_a_filters_decisions_are_on_record_as_parts_of_the_whole(school: School) -> None:
    await school.said("person:1", ("billing", "grant"))
    answer = await filtered(school, "billing", *(f"person:{n}" for n in range(1200)))
    rows = await all_of(school, decision)
    (whole,) = [row for row in rows if row.id == answer["decision_id"]]
    parts = [row for row in rows if row.part_of == answer["decision_id"]]
    assert (whole.subject, whole.namespace, whole.permitted, whole.part_of) == (None, None, False, None)
    assert (len(parts), sum(row.permitted for row in parts)) == (1200, 1)
    assert len(rows) == 1201


async def test_a_filter_with_a_wrong_reference_changes_nothing_and_names_each(school: School) -> None:
    body = {"purpose": "billing", "subjects": ["person:1", "BAD:1", "person:2", "sub_nonsense"]}
    refused = await school.post("/v1/check/filter", body)
    assert refused.status_code == 422
    assert [fault["pointer"] for fault in refused.json()["errors"]] == ["/subjects/1", "/subjects/3"]
    idle = await school.post("/v1/check/filter", {"purpose": "billing", "subjects": ["1"], "within": "surveys"})
    assert (idle.status_code, idle.json()["errors"][0]["pointer"]) == (422, "/within")
    assert await all_of(school, decision) == []


async def test_what_a_client_may_not_ask_is_a_no_in_a_batch_and_a_filter_as_well(school: School) -> None:
    await school.enrol("sis:1", birth_date="2000-01-01")
    await school.said("sis:1", ("billing", "grant"))
    crm = await school.key_for("crm", clients.Scope.CHECK, purposes=["marketing"], namespaces=["crm"])
    (answer,) = await batch(school, {"subject": "sis:1", "purpose": "billing"}, key=crm)
    assert [reason["code"] for reason in answer["reasons"]] == ["client_not_permitted"]
    denied = (await filtered(school, "billing", "crm:1", key=crm))["denied"]
    assert [reason["code"] for reason in denied[0]["reasons"]] == ["client_not_permitted"]


async def test_the_stream_gives_everybody_who_is_permitted_and_nobody_else(school: School) -> None:
    said = {"person:1": "grant", "person:2": "refuse", "person:3": "grant", "sis:4": "grant"}
    await school.enrol("sis:4", birth_date="2000-01-01")
    for person, action in said.items():
        await school.said(person, ("billing", action))
    both = await school.enrol("person:5", "person:five")
    await school.said("person:5", ("billing", "grant"))
    await school.enrol("person:6")
    lines = await stream(school, "/v1/purposes/billing/permitted")
    assert sorted(name for line in lines for name in line["identifiers"]) == [
        "person:1",
        "person:3",
        "person:5",
        "person:five",
    ]
    assert [line["subject"] for line in lines] == sorted(line["subject"] for line in lines)
    assert both in [line["subject"] for line in lines]
    assert [line["identifiers"] for line in await stream(school, "/v1/purposes/billing/permitted?namespace=sis")] == [
        ["sis:4"]
    ]
    rows = await all_of(school, decision)
    assert {row.id for row in rows} >= {line["decision_id"] for line in lines}
    assert all(row.permitted for row in rows)


async def test_a_resumed_stream_never_gives_a_yes_that_was_withdrawn_meanwhile(school: School) -> None:
    people = [f"person:{n}" for n in range(6)]
    for person in people:
        await school.said(person, ("billing", "grant"))
    lines = await stream(school, "/v1/purposes/billing/permitted")
    read, unread = lines[:3], lines[3:]
    await school.said(unread[0]["subject"], ("billing", "withdraw"))
    rest = await stream(school, f"/v1/purposes/billing/permitted?after={read[-1]['subject']}")
    assert [line["subject"] for line in rest] == [line["subject"] for line in unread[1:]]
    assert rest[0]["as_of"] > lines[0]["as_of"]


async def test_each_page_of_a_stream_is_decided_when_its_turn_comes(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consent_service.operations.checks.STREAM_PAGE", 2)
    people = [f"person:{n}" for n in range(6)]
    for person in people:
        await school.said(person, ("billing", "grant"))
    received: list[Json] = []

    async def receive() -> Message:
        return await asyncio.Future()  # nobody hangs up

    async def send(message: Message) -> None:
        received.extend(json.loads(line) for line in message.get("body", b"").splitlines())
        if len(received) == 2:
            for person in people:
                await school.said(person, ("billing", "withdraw"))

    await school.app(asked_for("/v1/purposes/billing/permitted", school.key), receive, send)
    assert len(received) == 2


async def test_a_stream_that_cannot_be_is_refused_before_it_begins(school: School) -> None:
    crm = await school.key_for("crm", clients.Scope.CHECK, purposes=["marketing"], namespaces=["crm"])
    for path, key, status, code in (
        ("/v1/purposes/billling/permitted", None, 404, "purpose_not_found"),
        ("/v1/purposes/billing/permitted", crm, 403, "client_not_permitted"),
        ("/v1/purposes/marketing/permitted", crm, 403, "client_not_permitted"),
        ("/v1/purposes/billing/permitted?within=surveys", None, 422, "validation_failed"),
        ("/v1/purposes/concomitant_use/permitted", None, 422, "validation_failed"),
        ("/v1/purposes/billing/permitted?after=person:1", None, 422, "validation_failed"),
        ("/v1/purposes/billing/permitted?namespace=Bad", None, 422, "validation_failed"),
    ):
        refused = await school.get(path, key=key)
        assert (refused.status_code, refused.json()["code"]) == (status, code), path
    assert await stream(school, "/v1/purposes/marketing/permitted?namespace=crm", key=crm) == []


async def test_with_the_log_off_the_answers_are_the_same_and_nothing_is_written(
    settings: Settings, clock: Clock
) -> None:
    off = settings.model_copy(update={"decision_log": DecisionLog.OFF})
    async with open_school(off, clock) as school:
        await school.said("person:1", ("billing", "grant"))
        assert (await school.check("person:1", "billing"))["permitted"]
        assert [one["permitted"] for one in await batch(school, {"subject": "person:1", "purpose": "billing"})] == [
            True
        ]
        assert (await filtered(school, "billing", "person:1", "person:2"))["permitted"] == ["person:1"]
        lines = await stream(school, "/v1/purposes/billing/permitted")
        assert [line["identifiers"] for line in lines] == [["person:1"]]
        assert await all_of(school, decision) == []


async def test_bulk_calls_past_the_gate_are_turned_away_and_may_come_again(school: School) -> None:
    room = school.app.state.room
    school.app.state.room = replace(room, bulk=Gate(at_once=1, waiting=0))
    body = {"purpose": "billing", "subjects": [f"person:{n}" for n in range(600)]}
    question = {"questions": [{"subject": "person:1", "purpose": "billing"}]}
    paths = [("/v1/check/filter", body), ("/v1/check/batch", question), ("/v1/check/batch", question)]
    answers = await asyncio.gather(*(school.post(path, asked) for path, asked in paths))
    assert sorted(answer.status_code for answer in answers) == [200, 503, 503]
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert (refused.json()["code"], refused.headers["retry-after"]) == ("overloaded", "1")
    assert (await school.post("/v1/check/filter", body)).status_code == 200


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_the_pages_of_a_bulk_call_rest_on_one_snapshot(school: School) -> None:
    await school.said("person:1", ("billing", "grant"))
    question = Question(Identifier("person", "1"), "billing")
    room = school.app.state.room
    async with school.service.database.snapshot() as tx:
        client = await authenticate(tx, room.database.keyring.key_hash(school.key), clients.Scope.CHECK)
        pages = [await answer_for(tx, client, [Case(client, question)], zone=room.zone)]
        await school.said("person:1", ("billing", "withdraw"))
        pages.append(await answer_for(tx, client, [Case(client, question)], zone=room.zone))
    answers = [one for page in pages for one in page if isinstance(one, Decision)]
    assert [(one.verdict.permitted, one.as_of) for one in answers] == [(True, answers[0].as_of)] * 2
    assert await school.why("person:1", "billing") == ["withdrawn"]


async def test_a_bulk_call_is_decided_in_pages_that_let_others_in_between(school: School) -> None:
    drawn: list[int] = []

    def entropy(count: int) -> bytes:
        drawn.append(count // 10)  # a decision's id takes ten random bytes
        return bytes(count)

    room = school.app.state.room
    watched = replace(school.service.database, entropy=entropy)
    unrecorded = replace(room.terms, recorded=False)  # for here each id is the same
    school.app.state.room = replace(room, database=watched, terms=unrecorded)
    assert len(await batch(school, *({"subject": f"person:{n}", "purpose": "billing"} for n in range(1000)))) == 1000
    assert drawn == [500, 500]
