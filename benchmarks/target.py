"""What is measured: an operation of a running server."""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks import bare, families
from benchmarks.policy import LEAF, VERSION
from benchmarks.population import identifier_of, voice_of

BARE = "bare FastAPI route"
RECORDED = "PostgreSQL, recorded"
LOG_OFF = "PostgreSQL, log off"
MANY = "many subjects"
OF_CHILDREN = "of children"
CONNECTIONS = (1, 16, 64)
_IN_BULK = (4,)  # a bulk call is work enough; more of them at once only wait
_ASKED_ABOUT = 10_000
_BATCH = 1000
_YES = '"permitted":true'
_SOMEBODY = '"permitted":["'


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: its port, a key for it, its process, and how many subjects its database holds."""

    port: int = 0
    key: str = "none"
    pid: int | None = None
    subjects: int = 1000


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go, the bodies that are sent in turn, and a text that every answer must have.

    `decisions` is how many decisions one answer holds.
    """

    name: str
    server: Server
    path: str
    bodies: Sequence[str]
    expected: str
    decisions: int = 1
    connections: Sequence[int] = CONNECTIONS


def bare_routes(fastapi: Server, starlette: Server) -> list[Target]:
    """What everything is compared with."""
    return [
        Target(BARE, fastapi, bare.PATH, _checks(fastapi), _YES),
        Target("bare Starlette route", starlette, bare.PATH, _checks(starlette), _YES),
    ]


def check(server: Server, what: str) -> Target:
    """Ask for one leaf of many different subjects, who have all said yes."""
    return Target(f"POST /v1/check, {what}", server, "/v1/check", _checks(server), _YES)


def check_of_children(server: Server, what: str) -> Target:
    """Ask for one leaf of children of whom two guardians have said yes."""
    children = [families.identifier_of(number) for number in range(families.CHILDREN)]
    bodies = [_check(child) for child in children]
    return Target(f"POST /v1/check, {what}, {OF_CHILDREN}", server, "/v1/check", bodies, _YES)


def consent(server: Server, what: str) -> Target:
    """Record a yes for one leaf, of many different subjects who are known."""
    bodies = [_consent(subject) for subject in _yes_sayers(server.subjects)]
    return Target(f"POST /v1/consents, {what}", server, "/v1/consents", bodies, '"applied":true')


def batch(server: Server, what: str) -> Target:
    """A thousand questions at once, about subjects of whom one in ten says no."""
    asked = _everybody(server.subjects)
    count = min(_BATCH, len(asked))
    bodies = [_batch(asked[first : first + count]) for first in range(0, len(asked) - count + 1, count)]
    return Target(f"POST /v1/check/batch, {what}", server, "/v1/check/batch", bodies, _YES, count, _IN_BULK)


def filtered(server: Server, what: str) -> Target:
    """Whom of ten thousand, of whom one in ten says no?"""
    asked = _everybody(server.subjects)
    body = json.dumps({"purpose": LEAF, "subjects": asked})
    return Target(f"POST /v1/check/filter, {what}", server, "/v1/check/filter", [body], _SOMEBODY, len(asked), _IN_BULK)


def _checks(server: Server) -> list[str]:
    return [_check(subject) for subject in _yes_sayers(server.subjects)]


def _check(subject: str) -> str:
    return json.dumps({"subject": subject, "purpose": LEAF})


def _consent(subject: str) -> str:
    return json.dumps(
        {
            "subject": subject,
            "statements": [{"purpose": LEAF, "action": "grant"}],
            "by": {"role": "staff", "staff": "front office"},
            "method": "paper",
            "policy_version": VERSION,
        }
    )


def _batch(subjects: Sequence[str]) -> str:
    return json.dumps({"questions": [{"subject": subject, "purpose": LEAF} for subject in subjects]})


def _yes_sayers(subjects: int) -> list[str]:
    return [str(identifier_of(number)) for number in _scattered(subjects) if voice_of(number).is_yes]


def _everybody(subjects: int) -> list[str]:
    return [str(identifier_of(number)) for number in _scattered(subjects)]


def _scattered(subjects: int) -> Iterator[int]:
    """Subjects from everywhere in the database, each once, the same in every run."""
    return iter(random.Random(1).sample(range(subjects), min(subjects, _ASKED_ABOUT)))
