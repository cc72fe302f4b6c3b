"""What holds for every operation: one shape of errors, strict bodies, limits, headers."""

import json
import re
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from consent_service.core.clients import Scope, key_from
from consent_service.core.errors import MOST_FAULTS
from consent_service.web import forms, problems
from consent_service.web.limits import BODY_LIMIT
from tests.http.test_examples import with_examples
from tests.school import School, statements

pytestmark = pytest.mark.anyio

CHECK = {"subject": "person:1", "purpose": "billing"}


async def raw(school: School, body: bytes, content_type: str | None = "application/json") -> httpx.Response:
    headers = {"Authorization": f"Bearer {school.key}"} | ({"Content-Type": content_type} if content_type else {})
    return await school.http.post("/v1/check", content=body, headers=headers)


def assert_problem(response: httpx.Response, status: int, code: str) -> None:
    problem = response.json()
    assert (response.status_code, problem["code"]) == (status, code), problem
    assert response.headers["content-type"] == "application/problem+json"
    assert set(problem) == {"type", "title", "status", "code", "detail", "request_id", "errors"}
    assert problem["status"] == status
    assert problem["type"] == f"/problems/{code}"
    assert problem["request_id"] == response.headers["x-request-id"]


async def test_what_is_not_there_is_a_problem_too(school: School) -> None:
    assert_problem(await school.get("/nowhere"), 404, "not_found")
    wrong_method = await school.send("PUT", "/v1/check", CHECK)
    assert_problem(wrong_method, 405, "method_not_allowed")
    assert wrong_method.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "authorization", [None, "Basic dXNlcjpwdw==", "Bearer", "Bearer nonsense", "Bearer csk_" + "A" * 43 + "00000000"]
)
async def test_without_a_good_key_there_is_no_answer(school: School, authorization: str | None) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    response = await school.http.post("/v1/check", json=CHECK, headers=headers)
    assert_problem(response, 401, "unauthenticated")
    assert response.headers["www-authenticate"].startswith("Bearer")


async def test_a_well_formed_key_that_nobody_has_is_refused_everywhere(school: School) -> None:
    from consent_service.core.clients import key_from

    key = key_from("B" * 43)
    assert_problem(await school.post("/v1/check", CHECK, key=key), 401, "unauthenticated")
    assert_problem(await school.say("person:1", ("billing", "grant"), key=key), 401, "unauthenticated")
    assert_problem(await school.get("/v1/clients", key=key), 401, "unauthenticated")


async def test_each_route_asks_for_the_scope_that_it_shows(school: School) -> None:
    keys = {scope: await school.key_for(scope.name, *(set(Scope) - {scope})) for scope in Scope}
    seen = set()
    for context in iter_route_contexts(school.app.routes):
        route = context.route
        if not isinstance(route, APIRoute) or not route.include_in_schema:
            continue
        method = next(iter(route.methods or ()))
        shown = school.app.openapi()["paths"][route.path][method.lower()].get("security")
        if not shown:
            continue
        scope = Scope(shown[0]["ClientKey"][0])
        seen.add(scope)
        path = with_examples(route.path, school.app.openapi()["paths"][route.path][method.lower()])
        body = example_body(school, route.path, method)
        assert_problem(await school.send(method, path, body, key=keys[scope]), 403, "scope_missing")
    assert seen >= {Scope.CHECK, Scope.CONSENTS_READ, Scope.CONSENTS_WRITE, Scope.PEOPLE_READ, Scope.PEOPLE_WRITE}


def example_body(school: School, path: str, method: str) -> object:
    content = school.app.openapi()["paths"][path][method.lower()].get("requestBody", {}).get("content")
    if not content:
        return None
    name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
    return school.app.openapi()["components"]["schemas"][name]["examples"][0]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"subject": "a", "subject": "b", "purpose": "c"}',
        b"\xff",
        b'{"a": NaN}',
        b"[" * 50_000,
    ],
)
async def test_what_is_not_proper_json_is_refused(school: School, body: bytes) -> None:
    assert_problem(await raw(school, body), 422, "malformed_json")


@pytest.mark.parametrize("text", [r"\u0000", r"\ud800", r"a\udc00b"])
async def test_text_that_cannot_be_stored_is_refused_wherever_it_is(school: School, text: str) -> None:
    as_value = await raw(school, f'{{"subject": "person:{text}", "purpose": "billing"}}'.encode())
    as_name = await raw(school, f'{{"subject": "person:1", "purpose": "billing", "{text}": 1}}'.encode())
    assert_problem(as_value, 422, "validation_failed")
    assert as_value.json()["errors"][0]["pointer"] == "/subject"
    assert_problem(as_name, 422, "validation_failed")


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
async def test_only_json_is_taken(school: School, content_type: str | None) -> None:
    assert_problem(await raw(school, json.dumps(CHECK).encode(), content_type), 415, "unsupported_media_type")


async def test_json_with_a_charset_is_json(school: School) -> None:
    assert (await raw(school, json.dumps(CHECK).encode(), "Application/JSON; charset=utf-8")).status_code == 200


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"1", b"null", b"{}"])
async def test_json_of_another_shape_is_refused(school: School, body: bytes) -> None:
    response = await raw(school, body)
    assert_problem(response, 422, "validation_failed")
    assert response.json()["errors"]


@pytest.mark.parametrize(
    ("method", "path", "told"),
    [
        ("POST", "/v1/policy/versions?dryrun=true", "there are: dry_run"),
        ("POST", "/v1/check?purpose=billing", "there is none"),
        ("GET", "/v1/clients?limti=3&after=", "there are: after, limit"),
        ("GET", "/v1/policy?version=2", "there is none"),
    ],
)
async def test_a_query_parameter_that_is_not_there_is_refused(
    school: School, method: str, path: str, told: str
) -> None:
    response = await school.send(method, path, CHECK if method == "POST" else None)
    assert_problem(response, 422, "validation_failed")
    name = path.partition("?")[2].partition("=")[0]
    [fault] = response.json()["errors"]
    assert (fault["pointer"], fault["detail"]) == (f"query/{name}", f"no such query parameter here; {told}")


async def test_a_query_parameter_that_is_given_twice_is_refused(school: School) -> None:
    response = await school.get("/v1/worklist?limit=1&kind=never_asked&limit=2")
    assert_problem(response, 422, "validation_failed")
    assert response.json()["errors"] == [{"pointer": "query/limit", "detail": "give this query parameter once"}]


@pytest.mark.parametrize(
    ("path", "body", "member"),
    [
        ("/v1/consents", statements("person:1", ("billing", "grant")), "expires_at"),
        ("/v1/consents", statements("person:1", ("billing", "grant")), "made_at"),
        ("/v1/clients", {"name": "crm", "scopes": ["check"]}, "expires_at"),
        ("/v1/subjects", {"identifiers": ["person:1"]}, "birth_date"),
        ("/v1/guardianships", {"guardian": "person:1", "ward": "person:2", "relation": "x"}, "from"),
        ("/v1/guardianships", {"guardian": "person:1", "ward": "person:2", "relation": "x"}, "verified_at"),
        ("/v1/check/as-of", CHECK, "at"),
    ],
)
@pytest.mark.parametrize("when", [5, 0, 1_900_000_000, "1900000000", "0", True, 86400.0])
async def test_a_number_says_no_day_and_no_instant(
    school: School, path: str, body: dict[str, object], member: str, when: object
) -> None:
    response = await school.post(path, body | {member: when})
    assert_problem(response, 422, "validation_failed")
    (fault,) = response.json()["errors"]
    assert fault["pointer"] == f"/{member}"
    assert "2026-04-01" in fault["detail"]


async def test_authzen_takes_no_notice_of_a_query_parameter(school: School) -> None:
    response = await school.get("/.well-known/authzen-configuration?fresh=1")
    assert response.status_code == 200


async def test_of_each_form_that_a_text_has_there_is_a_sentence(school: School) -> None:
    assert set(re.findall(r'"pattern": "(.*?)"[,}]', json.dumps(school.app.openapi()))) == {
        json.dumps(pattern)[1:-1] for pattern in forms.SENTENCES
    }
    response = await school.get("/v1/worklist?kind=birth_date_missing&after=xyz")
    assert response.json()["errors"] == [{"pointer": "query/after", "detail": forms.SENTENCES[forms.AFTER_SUBJECT]}]


async def test_an_error_never_repeats_the_offending_value(school: School) -> None:
    secret = "very-private-value"
    for body in (
        {"subject": f"Bad {secret}:1", "purpose": "billing"},
        {"subject": "person:1", "purpose": {secret: secret}},
        CHECK | {"within": [secret]},
    ):
        response = await school.post("/v1/check", body)
        assert response.status_code == 422
        assert secret not in response.text


async def test_a_body_over_the_limit_is_refused_declared_or_not(school: School) -> None:
    body = json.dumps(CHECK).encode().ljust(BODY_LIMIT + 1)
    assert_problem(await raw(school, body), 413, "body_too_large")

    async def chunks() -> object:
        for _ in range(BODY_LIMIT // 1000 + 1):
            yield b" " * 1000

    headers = {"Authorization": f"Bearer {school.key}", "Content-Type": "application/json"}
    streamed = await school.http.post("/v1/check", content=chunks(), headers=headers)  # type: ignore[arg-type]
    assert_problem(streamed, 413, "body_too_large")


@pytest.mark.parametrize("declared", [True, False])
async def test_a_large_body_is_read_only_of_a_client_that_is_known(school: School, *, declared: bool) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(BODY_LIMIT // 1000 + 1):
            yield b"{" * 1000

    for key, status, code in ((school.key, 422, "malformed_json"), (key_from("A" * 43), 401, "unauthenticated")):
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        content = b"{" * (BODY_LIMIT + 1) if declared else chunks()
        answered = await school.http.post("/v1/check/batch", content=content, headers=headers)
        assert_problem(answered, status, code)


async def test_of_very_many_wrong_members_the_first_are_told(school: School) -> None:
    many = {f"wrong{i}": i for i in range(MOST_FAULTS + 5)}
    for path, body, place in (
        ("/v1/check", CHECK | many, ""),
        ("/v1/check/batch", {"questions": [CHECK | many]}, "/questions/0"),
        ("/v1/check/filter", {"purpose": "billing", "subjects": ["BAD:1"] * (MOST_FAULTS + 5)}, None),
        ("/v1/policy/versions", {"policy": many}, "/policy"),
    ):
        answer = (await school.post(path, body)).json()
        errors = (answer["decisions"][0]["error"] if "decisions" in answer else answer)["errors"]
        assert len(errors) == MOST_FAULTS + 1
        assert errors[-1]["detail"] == "more is wrong than these 100"
        if place is not None:
            assert f"{place}/wrong0" in [one["pointer"] for one in errors]


async def test_a_body_at_the_limit_is_taken(school: School) -> None:
    assert (await raw(school, json.dumps(CHECK).encode().ljust(BODY_LIMIT))).status_code == 200


async def test_a_request_id_is_echoed_if_it_is_one(school: School) -> None:
    good = await school.post("/v1/check", CHECK, X_Request_ID="req-42")
    bad = await school.post("/v1/check", CHECK, X_Request_ID="x" * 200)
    assert good.headers["x-request-id"] == "req-42"
    assert len(bad.headers["x-request-id"]) == 32


async def test_every_answer_has_the_security_headers(school: School) -> None:
    for response in (await school.post("/v1/check", CHECK), await school.get("/nowhere"), await school.get("/docs")):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-frame-options"] == "DENY"
        assert "default-src" in response.headers["content-security-policy"]
        assert "unsafe-inline" not in response.headers["content-security-policy"].partition("script-src")[2]


async def test_a_bug_of_ours_is_a_problem_without_details(school: School, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(school.service.checks, "_operation", broken)
    response = await school.post("/v1/check", CHECK)
    assert_problem(response, 500, "internal")
    assert "secret detail" not in response.text


async def test_every_error_of_the_product_has_a_place_in_the_one_map() -> None:
    assert [error.__name__ for error in problems.all_errors() if error.code not in problems.KINDS] == []


async def test_a_problems_type_leads_to_its_explanation(school: School) -> None:
    for code in problems.KINDS:
        assert code in (await school.http.get(f"/problems/{code}")).text
    assert_problem(await school.http.get("/problems/nothing"), 404, "not_found")


async def test_metrics_tell_routes_and_never_persons(school: School) -> None:
    sub = await school.enrol("person:private-name")
    await school.get(f"/v1/subjects/{sub}")
    await school.check("person:private-name", "billing")
    text = (await school.http.get("/metrics")).text
    assert 'consent_requests_total{method="GET",route="/v1/subjects/{sub}",status="200"} 1.0' in text
    assert 'consent_decisions_total{permitted="false"} 1.0' in text
    assert "private-name" not in text
    assert sub not in text


async def test_it_says_that_it_is_alive_and_ready(school: School) -> None:
    assert (await school.http.get("/livez")).json() == {"status": "alive"}
    assert (await school.http.get("/readyz")).json() == {"status": "ready"}


async def test_the_policy_is_public(school: School) -> None:
    policy = (await school.http.get("/v1/policy")).json()
    purposes = (await school.http.get("/v1/purposes")).json()
    versions = (await school.http.get("/v1/policy/versions")).json()
    assert policy["version"] == versions["items"][0]["version"] == purposes["policy_version"] == "2026-11-01"
    assert (await school.http.get("/v1/policy/versions/2026-11-01")).json() == policy
    assert policy["effective_at"] == "2026-10-31T15:00:00.000Z"  # midnight in Tokyo
    assert len(policy["policy"]["purposes"]) == 16
    marketing = (await school.http.get("/v1/purposes/marketing")).json()
    assert len(marketing["leaves"]) == 6
    assert_problem(await school.http.get("/v1/purposes/markting"), 404, "purpose_not_found")
    assert_problem(await school.http.get("/v1/policy/versions/1999"), 404, "policy_version_not_found")


async def test_a_statement_with_an_impossible_idempotency_key_is_refused(school: School) -> None:
    body = statements("person:1", ("billing", "grant"))
    for key in ("", "x" * 256, "with space"):
        assert_problem(await school.post("/v1/consents", body, Idempotency_Key=key), 422, "validation_failed")
