"""The fixture of AuthZEN's certification scenario, in consent's words: clients, persons and purposes.

Its subjects are alice and bob, its resources record-1 and record-2, its actions read, write and delete;
docs/conformance.md says which of its rules consent can express.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from consent_service import keys
from consent_service.core.clients import Scope
from consent_service.core.policy import Policy
from consent_service.core.policy_file import parse
from consent_service.lanes import write_alone
from consent_service.operations import policies
from consent_service.settings import Settings
from consent_service.store import db, schema
from tests.clock import Clock
from tests.school import School, open_school

Json = Any

EVALUATION = "/access/v1/evaluation"
EVALUATIONS = "/access/v1/evaluations"
ALICE = {"type": "user", "id": "alice"}
BOB = {"type": "user", "id": "bob"}
READ = {"name": "read"}
WRITE = {"name": "write"}
RECORD_1 = {"type": "record", "id": "record-1"}
RECORD_2 = {"type": "record", "id": "record-2"}
CONTEXT = {"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"}
MAY_READ = {"subject": ALICE, "action": READ, "resource": RECORD_1}
MAY_WRITE = {"subject": BOB, "action": WRITE, "resource": RECORD_1}
SPACESHIP = {"type": "spaceship", "id": "1"}
SEARCHES = {
    "subject": {"subject": {"type": "user"}, "action": READ, "resource": RECORD_1},
    "resource": {"subject": ALICE, "action": READ, "resource": {"type": "record"}},
    "action": {"subject": ALICE, "resource": RECORD_1},
}


def fixture_policy() -> Policy:
    """A policy of three purposes."""
    purposes = "".join(
        f"  - {{code: {code}, wording: {{number: 1, en: To {code}, ja: To {code}}}, basis: consent, "
        "survives_membership: true}\n"
        for code in ("read", "write", "delete")
    )
    return parse(
        "policy: fixture\nversion: '1'\ntitle: {en: Fixture, ja: Fixture}\n"
        "controller: {name: A, school: B, division: C}\ncontact: a@example.jp\nlaw: {en: Law, ja: Law}\n"
        "effective_from: 2026-01-01\nnamespaces: {person: customer}\nminor_rules: []\n"
        f"purposes:\n{purposes}disclosure_grounds: []\n",
        name="fixture",
    )


async def publish(settings: Settings, clock: Clock, policy: Policy) -> None:
    """Publish a policy before the service's first start, which would publish the school's."""
    loaded = keys.load(settings, os.urandom)
    loaded.save()
    database = db.opened(settings.database, loaded.keyring, clock)
    await schema.migrate(database)
    await write_alone(database, partial(policies.publish_first, policy=policy, zone=settings.time_zone))
    await database.dispose()


@asynccontextmanager
async def open_pdp(settings: Settings, clock: Clock) -> AsyncIterator[School]:
    """The service with the fixture (the scenario's Required Fixture); the tests' own client plays the harness."""
    types = {"authzen_subject_types": ("user",), "authzen_resource_types": ("record",)}
    await publish(settings, clock, fixture_policy())
    async with open_school(settings.model_copy(update=types), clock) as school:
        await school.key_for("alice", Scope.CHECK)
        await school.key_for("bob", Scope.CHECK, purposes=["read"])
        await school.said("record-1", ("read", "grant"), ("write", "grant"), policy_version="1")
        await school.said("record-2", ("read", "grant"), ("write", "refuse"), policy_version="1")
        yield school


async def answer(school: School, path: str, body: Json, **headers: str) -> Json:
    response = await school.post(path, body, **headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return response.json()


async def decide(school: School, body: Json) -> bool:
    decision = (await answer(school, EVALUATION, body))["decision"]
    assert isinstance(decision, bool)
    return decision


async def decide_all(school: School, body: Json) -> list[bool]:
    return [one["decision"] for one in (await answer(school, EVALUATIONS, body))["evaluations"]]


async def find(school: School, what: str, body: Json, *, key: str | None = None) -> Json:
    response = await school.post(f"/access/v1/search/{what}", body, key=key)
    assert response.status_code == 200, response.text
    return response.json()
