"""What is measured: an operation of a running server."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from consent_service.policies import shipped

SUBJECTS = [f"person:{number}" for number in range(1_000_001, 1_001_001)]
_PURPOSE = "billing"


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go, the bodies that are sent in turn, and a text that every answer must have."""

    name: str
    port: int
    path: str
    bodies: Sequence[str]
    expected: str
    key: str = "none"


def asking(name: str, port: int, path: str, key: str = "none") -> Target:
    """Ask for one purpose of many different subjects, who have all said yes."""
    bodies = [json.dumps({"subject": subject, "purpose": _PURPOSE}) for subject in SUBJECTS]
    return Target(name, port, path, bodies, '"permitted":true', key)


def recording(name: str, port: int, key: str) -> Target:
    """Record a yes for one leaf, of many different subjects."""
    version = shipped().version
    return Target(name, port, "/v1/consents", [_consent(who, version) for who in SUBJECTS], '"applied":true', key)


def _consent(subject: str, version: str) -> str:
    statement = {"purpose": _PURPOSE, "action": "grant"}
    return json.dumps(
        {
            "subject": subject,
            "statements": [statement],
            "by": {"role": "staff", "staff": "front office"},
            "method": "paper",
            "policy_version": version,
        }
    )
