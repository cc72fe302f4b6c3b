"""Every operation of the docs page has an example that runs as it stands."""

from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from fastapi import FastAPI

from consent_service.app import create_app
from consent_service.service import first_client_key_file, running
from consent_service.settings import Settings
from tests.clock import Clock

pytestmark = pytest.mark.anyio
Json = Any


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_every_example_runs_as_it_stands(settings: Settings, clock: Clock) -> None:
    async with running(settings, clock=clock, pause=clock.pause, with_examples=True) as service:
        await run_every_example(create_app(settings, service), first_client_key_file(settings).read_text().strip())


async def run_every_example(app: FastAPI, key: str) -> None:
    """Ask for every operation as its example has it, as the client whose key this is."""
    transport = httpx.ASGITransport(app)
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://school", headers=headers) as http,
    ):
        document = (await http.get("/openapi.json")).json()
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                asked = with_examples(path, operation)
                response = await http.request(method, asked, json=body_of(document, operation))
                assert response.is_success, (method, path, response.text)


def with_examples(path: str, operation: Json) -> str:
    query: dict[str, Json] = {}
    for parameter in operation.get("parameters", []):
        if "examples" in parameter:
            (example,) = parameter["examples"].values()
            path = path.replace("{" + parameter["name"] + "}", str(example["value"]))
            query |= {parameter["name"]: example["value"]} if parameter["in"] == "query" else {}
    return f"{path}?{urlencode(query)}" if query else path


def body_of(document: Json, operation: Json) -> Json:
    if "requestBody" not in operation:
        return None
    name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    return document["components"]["schemas"][name]["examples"][0]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_every_operation_says_what_it_does_and_which_problems_it_has(settings: Settings) -> None:
    document = create_app(settings).openapi()
    ids = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            ids.append(operation["operationId"])
            assert operation["summary"]
            assert operation["description"]
            assert len(operation["tags"]) == 1
            for status, response in operation["responses"].items():
                shape = set(response.get("content", {}))
                assert status[0] == "2" or shape == {"application/problem+json"}, (method, path, status)
    assert len(set(ids)) == len(ids)
