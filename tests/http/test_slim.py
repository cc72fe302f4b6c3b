"""The slim path answers as the ordinary route does, for every input that the tests know, over ASGI and on the wire."""

import json
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from consent_service.app import create_app
from consent_service.core.clients import Scope, key_from
from consent_service.web.slim import HOT
from tests.listening import listening
from tests.school import EMAIL, Json, School, statements

pytestmark = pytest.mark.anyio

CHECK = b'{"subject": "person:1", "purpose": "billing"}'

CHECKS = [
    CHECK,
    b'{"subject": "person:1", "purpose": "marketing"}',
    b'{"subject": "person:1", "purpose": "%s"}' % EMAIL.encode(),
    b'{"subject": "1", "purpose": "billing", "within": null}',
    b'{"subject": "person:1", "purpose": "concomitant_use"}',
    b'{"subject": "person:1", "purpose": "concomitant_use", "within": "billing"}',
    b'{"subject": "person:1", "purpose": "billing", "within": "surveys"}',
    b'{"subject": "person:1", "purpose": "terms_of_use"}',
    b'{"subject": "person:1", "purpose": "biling"}',
    b'{"subject": "person:nobody", "purpose": "billing"}',
    b'{"subject": "sub_00000000000000000000000000", "purpose": "billing"}',
    b'{"subject": "sub_nonsense", "purpose": "billing"}',
    b'{"subject": "BAD:1", "purpose": "billing"}',
    b'{"subject": "", "purpose": ""}',
    b'{"subject": 1, "purpose": ["x"], "extra": {}}',
    b'{"subject": "person:1", "subject": "person:2", "purpose": "billing"}',
    b'{"subject": "person:\\u0000", "purpose": "billing"}',
    b'{"subject": "person:\\ud800", "purpose": "billing"}',
    b'{"subject": "person:1", "purpose": "billing", "\\u0000": 1}',
    b'{"subject": "person:\xc3\xa9", "purpose": "billing"}',
    *(b"", b"{", b"nonsense", b"\xff", b'{"a": NaN}', b"[]", b'"x"', b"1", b"null", b"{}", b"[" * 50_000),
    CHECK.ljust(64 * 1024),
    CHECK.ljust(64 * 1024 + 1),
]

STATEMENTS: list[Json] = [
    statements("person:1", ("billing", "grant"), ("marketing", "refuse")),
    statements("person:1", ("concomitant_use", "grant")),
    statements("person:1", ("billing", "grant"), policy_version="1999"),
    statements("person:1", ("billing", "grant"), by={"role": "staff"}),
    statements("person:1", ("billing", "refuse"), expires_at="2031-01-01T00:00:00Z"),
    statements("person:1", ("billing", "grant"), made_at="2031-01-01T00:00:00Z"),
    statements("sub_00000000000000000000000000", ("billing", "grant")),
    statements("BAD:1", ("billing", "grant")),
    {},
]
CONSENTS = [json.dumps(said).encode() for said in STATEMENTS]

HEADERS: list[dict[str, str]] = [
    {},
    {"Accept-Language": "ja"},
    {"Accept-Language": "en;q=0.1,ja;q=x"},
    {"X-Request-ID": "req-1"},
    {"Content-Type": "text/plain"},
    {"Content-Type": "Application/JSON; charset=utf-8"},
    {"Authorization": ""},
    {"Authorization": "Bearer"},
    {"Authorization": "bearer KEY"},
    {"Authorization": "Basic x"},
    {"Authorization": "Bearer " + key_from("B" * 43)},
    {"Authorization": "Bearer WITHOUT-SCOPE"},
    {"Idempotency-Key": ""},
]

OWN = re.compile(r"dec_[0-9A-Z]{26}|[0-9a-f]{32}|sub_(?!0{26})[0-9A-Z]{26}")
"""What every answer has of its own: the decision's id, a request's new id, a newcomer's pseudonym."""


@pytest.fixture(params=["sqlite"])
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database is enough: the two ways part before it and meet again in the lane."""
    return f"{request.param}:///{tmp_path_factory.mktemp('slim') / 'consent.db'}"


def told(response: httpx.Response) -> tuple[int, dict[str, str], str]:
    own = ("content-length", "date")
    headers = {name: OWN.sub("…", value) for name, value in response.headers.items() if name not in own}
    return (
        response.status_code,
        headers,
        OWN.sub("…", re.sub(r'("index":|"as_of":|/v1/receipts/)\d+', r"\1…", response.text)),
    )


@pytest.fixture
async def wired(school: School) -> AsyncIterator[httpx.AsyncClient]:
    """The same school behind a real server, whose wire takes the slim path at once."""
    app = create_app(school.service.settings, school.service)
    async with listening(app) as server, httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as http:
        yield http


async def all_ways(
    school: School, wired: httpx.AsyncClient, path: str, body: bytes, headers: dict[str, str]
) -> list[object]:
    """The answer of the slim path, on the wire and over ASGI, and that of the ordinary route, to which a body of
    undeclared length goes."""

    async def undeclared() -> AsyncIterator[bytes]:
        yield body

    answers: list[object] = []
    for http, content in ((wired, body), (school.http, body), (school.http, undeclared())):
        answers.append(told(await http.post(path, content=content, headers=headers)))
    return answers


def named(school: School, other: str, headers: dict[str, str]) -> dict[str, str]:
    usual = {"Authorization": f"Bearer {school.key}", "Content-Type": "application/json"} | headers
    given = usual["Authorization"].replace("KEY", school.key).replace("WITHOUT-SCOPE", other)
    return usual | {"Authorization": given}


async def test_every_body_is_answered_alike(school: School, wired: httpx.AsyncClient) -> None:
    await school.said("person:1", ("billing", "grant"), ("surveys", "refuse"))
    for path, bodies in (("/v1/check", CHECKS), ("/v1/consents", CONSENTS + CHECKS)):
        for body in bodies:
            wire, slim, ordinary = await all_ways(school, wired, path, body, named(school, "", {}))
            assert wire == slim == ordinary, (path, body[:80])


async def test_every_header_is_heeded_alike(school: School, wired: httpx.AsyncClient) -> None:
    other = await school.key_for("other", Scope.PEOPLE_READ)
    for path, body in (("/v1/check", CHECK), ("/v1/consents", CONSENTS[0])):
        for headers in HEADERS:
            wire, slim, ordinary = await all_ways(school, wired, path, body, named(school, other, headers))
            assert wire == slim == ordinary, (path, headers)


async def test_all_ways_are_measured_under_the_same_route(school: School, wired: httpx.AsyncClient) -> None:
    for path in HOT:
        await all_ways(school, wired, path, CHECK, named(school, "", {}))
    for http, number in ((school.http, "2.0"), (wired, "1.0")):
        metrics = (await http.get("/metrics")).text
        assert f'consent_requests_total{{method="POST",route="/v1/check",status="200"}} {number}' in metrics
        assert f'consent_requests_total{{method="POST",route="/v1/consents",status="422"}} {number}' in metrics
        assert f'consent_decisions_total{{permitted="false"}} {number}' in metrics


async def test_a_failure_that_nobody_foresaw_is_told_alike(
    school: School, wired: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    for lane, path, body in (
        (school.service.checks, "/v1/check", CHECK),
        (school.service.statements, "/v1/consents", CONSENTS[0]),
    ):
        monkeypatch.setattr(lane, "_operation", broken)
        wire, slim, ordinary = await all_ways(school, wired, path, body, named(school, "", {}))
        assert wire == slim == ordinary
        assert "secret detail" not in str(slim)


async def test_of_a_header_that_comes_twice_the_first_counts_each_way(school: School, wired: httpx.AsyncClient) -> None:
    key, wrong = f"Bearer {school.key}", "Bearer nonsense"
    for first, second, status in ((key, wrong, 200), (wrong, key, 401)):
        headers = [("Authorization", first), ("Authorization", second), ("Content-Type", "application/json")]

        async def undeclared() -> AsyncIterator[bytes]:
            yield CHECK

        wire = await wired.post("/v1/check", content=CHECK, headers=headers)
        slim = await school.http.post("/v1/check", content=CHECK, headers=headers)
        ordinary = await school.http.post("/v1/check", content=undeclared(), headers=headers)
        assert (wire.status_code, slim.status_code, ordinary.status_code) == (status, status, status)
        assert told(wire) == told(slim) == told(ordinary)
