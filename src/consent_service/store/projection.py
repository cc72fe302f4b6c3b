"""The projection: tables derived from the ledger, written in the transaction that appends, rebuilt at will.

`Changes` is the one way from entries to rows, for the append and for the rebuild alike.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, TextualSelect, bindparam, delete, insert, select, text, update

from consent_service.core import ledger, projection
from consent_service.core.clients import Client
from consent_service.core.keyring import Keyring
from consent_service.core.people import Identifier, Pseudonym, Reference, identifier
from consent_service.core.projection import SubjectState
from consent_service.store import clients
from consent_service.store.db import ReadTx, WriteTx
from consent_service.store.tables import Instant, client, policy_version, subject_identifier, subject_state

TABLES = (subject_state, subject_identifier, policy_version, client)
"""What a rebuild empties and fills again."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What one statement's snapshot says about one question.

    `client` is None for an unknown key, `state` for an unknown subject, `version` while no policy is in force.
    `head_at` is the time of the newest entry, or the clock's if that is later.
    """

    as_of: int
    at: datetime
    version: str | None
    client: Client | None
    state: SubjectState | None


_FACTS_COLUMNS = """
SELECT h.size AS as_of, h.at AS head_at,
  (SELECT p.version FROM policy_version p WHERE p.effective_at <= {later}
   ORDER BY p.effective_at DESC, p."index" DESC LIMIT 1) AS version,
  c.id, c.name, c.scopes, c.purposes, c.namespaces, c.expires_at, c.revoked_at, c.created_at,
  s.subject, s.last_index, s.document
"""

# The lateral joins leave the planner no choice but the indexes, whatever it believes about the tables' sizes.
_FACTS_POSTGRESQL = (
    _FACTS_COLUMNS.format(later="greatest(h.at, CAST(:now AS timestamptz))")
    + """
FROM unnest(CAST(:keys AS text[]), CAST(:lookups AS text[]), CAST(:subjects AS text[]))
  WITH ORDINALITY AS q(key_hash, lookup, subject, n)
CROSS JOIN ledger_head h
LEFT JOIN LATERAL (SELECT * FROM client WHERE key_hash = q.key_hash LIMIT 1) c ON true
LEFT JOIN LATERAL (SELECT subject FROM subject_identifier WHERE lookup = q.lookup LIMIT 1) i ON true
LEFT JOIN LATERAL (SELECT * FROM subject_state WHERE subject = coalesce(i.subject, q.subject) LIMIT 1) s ON true
ORDER BY q.n
"""
)

_FACTS_SQLITE = (
    _FACTS_COLUMNS.format(later="max(h.at, :now)")
    + """
FROM json_each(:questions) q
CROSS JOIN ledger_head h
LEFT JOIN client c ON c.key_hash = json_extract(q.value, '$[0]')
LEFT JOIN subject_identifier i ON i.lookup = json_extract(q.value, '$[1]')
LEFT JOIN subject_state s ON s.subject = coalesce(i.subject, json_extract(q.value, '$[2]'))
ORDER BY q.key
"""
)


def _typed(sql: str) -> TextualSelect:
    clause = text(sql).bindparams(bindparam("now", type_=Instant))
    return clause.columns(head_at=Instant, expires_at=Instant, revoked_at=Instant, created_at=Instant)


_FACTS = {"postgresql": _typed(_FACTS_POSTGRESQL), "sqlite": _typed(_FACTS_SQLITE)}


async def facts_for(tx: ReadTx, questions: Sequence[tuple[str | None, Reference]]) -> list[Facts]:
    """What is known about each (hash of the client's key, subject), in order, from a single snapshot."""
    keys = [key_hash for key_hash, _ in questions]
    lookups = [tx.keyring.lookup(who) if isinstance(who, Identifier) else None for _, who in questions]
    subjects = [who.value if isinstance(who, Pseudonym) else None for _, who in questions]
    if tx.dialect == "postgresql":
        parameters: dict[str, object] = {"keys": keys, "lookups": lookups, "subjects": subjects}
    else:
        parameters = {"questions": json.dumps(list(zip(keys, lookups, subjects, strict=True)))}
    return [_facts(row, tx.now) for row in await tx.rows(_FACTS[tx.dialect], {"now": tx.now, **parameters})]


def _facts(row: Row[Any], now: datetime) -> Facts:
    return Facts(
        row.as_of,
        max(now, row.head_at),
        row.version,
        clients.from_row(row) if row.id else None,
        projection.from_document(row.subject, row.last_index, row.document) if row.subject else None,
    )


async def states_of(tx: ReadTx, subjects: Iterable[str]) -> dict[str, SubjectState]:
    """The states of the subjects that exist, by pseudonym."""
    query = select(subject_state).where(subject_state.c.subject.in_(list(subjects)))
    return {
        row.subject: projection.from_document(row.subject, row.last_index, row.document) for row in await tx.rows(query)
    }


_UPSERT_STATE = text(
    "INSERT INTO subject_state (subject, last_index, document) VALUES (:subject, :last_index, :document) "
    "ON CONFLICT (subject) DO UPDATE SET last_index = excluded.last_index, document = excluded.document"
)


class Changes:
    """What a run of entries changes in the projection: collected entry by entry, written at once.

    `states` are the subjects' states as they stand; the caller puts in those that the entries will be about.
    """

    def __init__(self, keyring: Keyring) -> None:
        self.states: dict[str, SubjectState] = {}
        self._keyring = keyring
        self._changed: set[str] = set()
        self._identifiers: dict[str, dict[str, object] | None] = {}
        self._policies: list[dict[str, object]] = []
        self._clients: dict[str, dict[str, object]] = {}
        self._revoked: list[dict[str, object]] = []

    def add(self, index: int, body: ledger.Body, detail: ledger.JsonObject | None) -> None:
        """Fold one entry in. `detail` is its personal part, which identifiers are found by."""
        match body:
            case ledger.PolicyPublished():
                self._policies.append(_policy_row(index, body))
            case ledger.ClientChanged(change="created"):
                self._clients[body.client] = clients.to_row(index, body)
            case ledger.ClientChanged() if body.client in self._clients:
                self._clients[body.client]["revoked_at"] = body.at
            case ledger.ClientChanged():
                self._revoked.append({"revoked": body.client, "at": body.at})
            case _:
                self._add_to_subject(index, body, detail)

    def _add_to_subject(self, index: int, body: ledger.SubjectBody, detail: ledger.JsonObject | None) -> None:
        self.states[body.subject] = projection.applied(self.states.get(body.subject), index, body)
        self._changed.add(body.subject)
        if isinstance(body, ledger.IdentifierChanged) and detail is not None:
            name = identifier(str(detail["identifier"]), default_namespace=body.namespace)
            row = {"namespace": body.namespace, "subject": body.subject, "index": index}
            self._identifiers[self._keyring.lookup(name)] = row if body.change == "added" else None

    async def write(self, tx: WriteTx) -> None:
        """Write what was collected, a statement for each table."""
        changed = [self.states[subject] for subject in self._changed]
        await tx.execute(_UPSERT_STATE, [_state_row(state) for state in changed])
        gone = [{"gone": lookup} for lookup in self._identifiers]
        added = [{"lookup": lookup, **row} for lookup, row in self._identifiers.items() if row]
        await tx.execute(delete(subject_identifier).where(subject_identifier.c.lookup == bindparam("gone")), gone)
        await tx.execute(insert(subject_identifier), added)
        await tx.execute(insert(policy_version), self._policies)
        revoke = update(client).where(client.c.id == bindparam("revoked")).values(revoked_at=bindparam("at"))
        await tx.execute(revoke, self._revoked)  # before the new ones, which may take the name
        await tx.execute(insert(client), list(self._clients.values()))


def _state_row(state: SubjectState) -> dict[str, object]:
    return {
        "subject": state.subject,
        "last_index": state.last_index,
        "document": projection.to_document(state),
    }


def _policy_row(index: int, body: ledger.PolicyPublished) -> dict[str, object]:
    return {
        "version": body.version,
        "effective_at": body.effective_at,
        "published_at": body.at,
        "index": index,
        "document": json.dumps(body.policy, ensure_ascii=False, sort_keys=True),
    }
