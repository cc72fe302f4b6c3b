"""The projection, folded again from what the entries say: the verifier's own reading of the rules.

A subject's entries are folded in the order of their indexes; the result is the document that lies in `subject_state`.
"""

import functools
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_ACTIONS = {"grant": 0, "refuse": 1, "withdraw": 2}

Fact = tuple[object, ...]
"""What one entry about a subject says: subject, index, kind, and then what the fold needs of it, as `fact_of` has it."""


@functools.lru_cache(maxsize=8192)
def instant(text: str) -> datetime:
    """Read RFC 3339. Raises ValueError."""
    return datetime.fromisoformat(text)


@functools.lru_cache(maxsize=8192)
def _milliseconds(text: str) -> int:
    return (instant(text) - _EPOCH) // _MILLISECOND


def fact_of(subject: object, index: int, body: Mapping[str, object]) -> Fact | None:
    """What the fold needs of an entry about a subject; None for a kind that is not known. Raises KeyError."""
    kind, commitment = body["kind"], body["commitment"]
    if kind == "statement":
        said = (body["action"], body["made_at"], body["expires_at"], body["leaves"], body["applied"])
        return (subject, index, kind, commitment, *said)
    if kind == "identifier":
        return subject, index, kind, commitment, body["change"], body["namespace"]
    if kind == "subject":
        return subject, index, kind, commitment, body["subject_kind"]
    if kind == "membership":
        return subject, index, kind, commitment, body["status"], body["ended_on"]
    return None


class State:
    """One subject's state on its way through its entries."""

    __slots__ = ("kind", "last_index", "leaves", "membership", "namespaces")

    def __init__(self) -> None:
        self.kind = ""
        self.membership = '["active",null]'
        self.namespaces: dict[str, int] = {}
        self.leaves: dict[str, tuple[str, int | None]] = {}  # the leaf's row as text, and its last no
        self.last_index = -1

    def add(self, fact: Fact) -> None:
        """Fold one entry in. Raises ValueError when the subject was not recorded before, and for what makes no sense."""
        kind = fact[2]
        if not self.kind and kind != "subject":
            raise ValueError("no earlier entry records the subject")
        self.last_index = fact[1]  # type: ignore[assignment]
        if kind == "statement":
            self._say(fact[1], *fact[4:])  # type: ignore[arg-type]
        elif kind == "identifier":
            self._count(str(fact[5]), 1 if fact[4] == "added" else -1)
        elif kind == "subject":
            self.kind = str(fact[4])
        else:
            self.membership = _compact([fact[4], fact[5]])

    def _say(
        self,
        index: int,
        action: str,
        made: str,
        expires: str | None,
        wordings: dict[str, int],
        applied: list[str],
    ) -> None:
        """A no is remembered beside what stands, so that no older yes gets past it."""
        made_at, leaves = _milliseconds(made), self.leaves
        until = "null" if expires is None else _milliseconds(expires)
        begin = f'":[{_ACTIONS[action]},{index},{made_at},{until},'
        for leaf in applied:
            stood = leaves.get(leaf)
            last_no = stood[1] if stood else None
            if action != "grant":
                last_no = made_at if last_no is None else max(last_no, made_at)
            leaves[leaf] = f'"{leaf}{begin}{wordings[leaf]},{"null" if last_no is None else last_no}]', last_no

    def _count(self, namespace: str, more: int) -> None:
        count = self.namespaces.pop(namespace, 0) + more
        if count:
            self.namespaces[namespace] = count

    def document(self) -> str:
        """The state as it has to lie in the database, byte for byte."""
        leaves = ",".join([self.leaves[leaf][0] for leaf in sorted(self.leaves)])
        names = _compact(self.namespaces)
        return f'{{"kind":"{self.kind}","leaves":{{{leaves}}},"membership":{self.membership},"namespaces":{names}}}'


def _compact(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def client_row(index: int, body: Mapping[str, object]) -> dict[str, object]:
    """The row of a client that the entry at `index` created."""
    return {
        "id": body["client"],
        "name": body["name"],
        "key_hash": body["key_hash"],
        **{name: json.dumps(body[name]) for name in ("scopes", "purposes", "namespaces")},
        "created_at": body["at"],
        "expires_at": body["expires_at"],
        "revoked_at": None,
        "index": index,
    }


def policy_row(index: int, body: Mapping[str, object]) -> dict[str, object]:
    """The row of a policy version that the entry at `index` published."""
    return {
        "version": body["version"],
        "effective_at": body["effective_at"],
        "published_at": body["at"],
        "index": index,
        "document": json.dumps(body["policy"], ensure_ascii=False, sort_keys=True),
    }
