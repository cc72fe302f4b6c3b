"""A school's service, open for a test, and short words for what the tests do with it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx
from fastapi import FastAPI

from consent_service.app import create_app
from consent_service.core.clients import Scope
from consent_service.lanes import write_alone
from consent_service.operations import clients
from consent_service.operations.clients import NewClient
from consent_service.service import Service, running
from consent_service.settings import Settings
from tests.clock import Clock

VERSION = "2026-11-01"
EMAIL = "marketing.own_company.email"

Json = Any


class School:
    """The service over HTTP, as a client with every scope unless another key is named."""

    def __init__(self, service: Service, app: FastAPI, http: httpx.AsyncClient, clock: Clock, key: str) -> None:
        self.service = service
        self.app = app
        self.http = http
        self.clock = clock
        self.key = key

    async def send(
        self, method: str, path: str, body: Json = None, *, key: str | None = None, **headers: str
    ) -> httpx.Response:
        """Send one request; header names are written with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        given = {"Authorization": f"Bearer {key or self.key}", **named}
        return await self.http.request(method, path, json=body, headers=given)

    async def post(self, path: str, body: Json, *, key: str | None = None, **headers: str) -> httpx.Response:
        """POST."""
        return await self.send("POST", path, body, key=key, **headers)

    async def get(self, path: str, *, key: str | None = None) -> httpx.Response:
        """GET."""
        return await self.send("GET", path, key=key)

    async def say(self, subject: str, *said: tuple[str, str], key: str | None = None, **more: Json) -> httpx.Response:
        """Record statements, as in say("person:1", ("billing", "grant"))."""
        return await self.post("/v1/consents", statements(subject, *said, **more), key=key)

    async def said(self, subject: str, *said: tuple[str, str], **more: Json) -> Json:
        """Record statements and answer the body of a 201."""
        response = await self.say(subject, *said, **more)
        assert response.status_code == 201, response.text
        return response.json()

    async def check(self, subject: str, purpose: str, within: str | None = None, *, key: str | None = None) -> Json:
        """Check, and answer the body of a 200."""
        body = {"subject": subject, "purpose": purpose} | ({"within": within} if within else {})
        response = await self.post("/v1/check", body, key=key)
        assert response.status_code == 200, response.text
        return response.json()

    async def why(self, subject: str, purpose: str, within: str | None = None, *, key: str | None = None) -> list[str]:
        """The codes of a check's reasons."""
        return [reason["code"] for reason in (await self.check(subject, purpose, within, key=key))["reasons"]]

    async def enrol(self, *identifiers: str, **more: Json) -> str:
        """Record a person; answers the pseudonym."""
        response = await self.post("/v1/subjects", {"identifiers": list(identifiers), **more})
        assert response.status_code == 201, response.text
        return str(response.json()["subject"])

    async def key_for(
        self, name: str, *scopes: Scope, purposes: Sequence[str] = (), namespaces: Sequence[str] = ()
    ) -> str:
        """Make a client; answers its key."""
        new = NewClient(name, scopes, tuple(purposes), tuple(namespaces))
        return await _made_key(self.service, new)


def statements(subject: str, *said: tuple[str, str], **more: Json) -> Json:
    """The body of POST /v1/consents."""
    return {
        "subject": subject,
        "statements": [{"purpose": purpose, "action": action} for purpose, action in said],
        "by": {"role": "subject"},
        "method": "web_form",
        "policy_version": VERSION,
        **more,
    }


@asynccontextmanager
async def open_school(settings: Settings, clock: Clock, name: str = "tests") -> AsyncIterator[School]:
    """Open the service, with a client of this name that has every scope."""
    async with running(settings, clock=clock, pause=clock.pause) as service:
        app = create_app(settings, service)
        key = await _made_key(service, NewClient(name, tuple(Scope)))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://school") as http,
        ):
            yield School(service, app, http, clock, key)


async def first_key(settings: Settings) -> str:
    """Open the service for a moment, and make a client that has every scope; answers its key."""
    async with running(settings) as service:
        return await _made_key(service, NewClient("tests", tuple(Scope)))


async def _made_key(service: Service, new: NewClient) -> str:
    return (await write_alone(service.database, partial(clients.create, caller=None, new=new))).key
