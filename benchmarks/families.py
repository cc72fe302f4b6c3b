"""Children whose guardians said yes, as the office records them: what it costs a check to hear the guardians."""

from collections.abc import Iterator
from typing import Any

import httpx

from benchmarks.policy import BRANCH, VERSION

CHILDREN = 200
_GUARDIANS = ("mother", "father")


def identifier_of(number: int) -> str:
    """The identifier of the child of a number."""
    return f"sis:{number}"


def steps(children: int = CHILDREN) -> Iterator[tuple[str, dict[str, Any]]]:
    """The paths and bodies that record two guardians, and children for whom both of them said yes to everything."""
    for guardian in _GUARDIANS:
        yield "/v1/subjects", {"identifiers": [f"person:{guardian}"], "birth_date": "1985-01-01"}
    for child in map(identifier_of, range(children)):
        yield "/v1/subjects", {"identifiers": [child], "birth_date": "2018-01-01"}
        for guardian in _GUARDIANS:
            of_two = {"guardian": f"person:{guardian}", "ward": child}
            yield "/v1/guardianships", {**of_two, "relation": guardian, "verified_by": "office"}
            yield "/v1/consents", _yes(child, guardian)


def _yes(child: str, guardian: str) -> dict[str, Any]:
    return {
        "subject": child,
        "statements": [{"purpose": BRANCH, "action": "grant"}],
        "by": {"role": "guardian", "subject": f"person:{guardian}", "staff": "front office"},
        "method": "paper",
        "policy_version": VERSION,
    }


def enrol(port: int, key: str) -> None:
    """Record them all in a running service. Raises httpx.HTTPStatusError if it refuses one."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {key}"}) as client:
        for path, body in steps():
            client.post(path, json=body).raise_for_status()
