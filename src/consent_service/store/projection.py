"""The projection: tables derived from the ledger, written in the transaction that appends, rebuilt at will.

`Changes` is the one way from entries to rows, for the append and for the rebuild alike.
"""

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, insert

from consent_service.core import ledger, projection
from consent_service.core.clients import Client
from consent_service.core.errors import LedgerRolledBack
from consent_service.core.instants import to_text
from consent_service.core.keyring import Keyring
from consent_service.core.people import Identifier, Pseudonym, Reference, identifier
from consent_service.core.policy import SubjectKind
from consent_service.core.projection import SubjectState
from consent_service.store import clients, keys, seals
from consent_service.store.db import ReadTx, WriteTx
from consent_service.store.seals import Cells
from consent_service.store.tables import client, policy_version, signing_key, subject_identifier, subject_state

TABLES = (subject_state, subject_identifier, policy_version, client, signing_key)
"""What a rebuild empties and fills again."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Facts:
    """What one statement's snapshot says about a batch of questions.

    `as_of` is the ledger's size; `at` the time of its newest entry, or the clock's if that is later; `version` the
    policy in force, None while there is none; `clients` the known ones, by the hashes of their keys; `states` one for
    each subject asked about, in order, None for an unknown one.
    """

    as_of: int
    at: datetime
    version: str | None
    clients: Mapping[str, Client]
    states: Sequence[SubjectState | None]


# Three kinds of row, so that nothing is sent twice: the head, the clients, the subjects that are known.
# The lateral joins leave the planner no choice but the indexes, whatever it believes about the tables' sizes.
_FACTS_POSTGRESQL = """
SELECT 'head' AS what, CAST(NULL AS bigint) AS place, h.size AS number, h.at AS at, CAST(NULL AS text) AS name,
  (SELECT p.version FROM policy_version p WHERE p.effective_at <= greatest(h.at, $1::timestamptz)
   ORDER BY p."index" DESC LIMIT 1) AS document, CAST(NULL AS bytea) AS seal,
  CAST(NULL AS boolean) AS outdated, CAST(NULL AS text) AS namespace, CAST(NULL AS bigint) AS named_at,
  CAST(NULL AS bytea) AS named_seal
FROM ledger_head h
UNION ALL
SELECT 'client', NULL, NULL, NULL, k.key_hash, CAST(row_to_json(c) AS text), c.seal, NULL, NULL, NULL, NULL
FROM unnest($2::text[]) k(key_hash)
JOIN LATERAL (SELECT * FROM client WHERE key_hash = k.key_hash LIMIT 1) c ON true
UNION ALL
SELECT 'subject', q.place, s.last_index, NULL, s.subject, s.document, s.seal,
  EXISTS (SELECT 1 FROM ledger_entry e WHERE e.subject = s.subject AND e."index" > s.last_index),
  i.namespace, i."index", i.seal
FROM unnest($3::text[], $4::text[]) WITH ORDINALITY q(lookup, subject, place)
LEFT JOIN LATERAL (SELECT * FROM subject_identifier WHERE lookup = q.lookup LIMIT 1) i ON true
JOIN LATERAL (SELECT * FROM subject_state WHERE subject = coalesce(i.subject, q.subject) LIMIT 1) s ON true
"""

_FACTS_SQLITE = """
SELECT 'head' AS what, NULL AS place, h.size AS number, h.at AS at, NULL AS name,
  (SELECT p.version FROM policy_version p WHERE p.effective_at <= max(h.at, ?1)
   ORDER BY p."index" DESC LIMIT 1) AS document, NULL AS seal, NULL AS outdated,
  NULL AS namespace, NULL AS named_at, NULL AS named_seal
FROM ledger_head h
UNION ALL
SELECT 'client', NULL, NULL, NULL, c.key_hash, json_object('id', c.id, 'name', c.name, 'key_hash', c.key_hash,
  'scopes', c.scopes, 'purposes', c.purposes, 'namespaces', c.namespaces, 'expires_at', c.expires_at,
  'revoked_at', c.revoked_at, 'created_at', c.created_at, 'index', c."index"), c.seal, NULL, NULL, NULL, NULL
FROM json_each(?2) k JOIN client c ON c.key_hash = k.value
UNION ALL
SELECT 'subject', q.key + 1, s.last_index, NULL, s.subject, s.document, s.seal,
  EXISTS (SELECT 1 FROM ledger_entry e WHERE e.subject = s.subject AND e."index" > s.last_index),
  i.namespace, i."index", i.seal
FROM json_each(?3) q
LEFT JOIN subject_identifier i ON i.lookup = json_extract(q.value, '$[0]')
JOIN subject_state s ON s.subject = coalesce(i.subject, json_extract(q.value, '$[1]'))
"""


async def facts_for(tx: ReadTx, key_hashes: Collection[str], subjects: Sequence[Reference]) -> Facts:
    """What is known about these clients and these subjects, from a single snapshot.

    For a subject that was merged, the state of the one that it was merged into: then all is asked once more.
    """
    facts, asked, passed, rounds = await _snapshot(tx, key_hashes, subjects), list(subjects), set[str](), 0
    while merged := [(place, state) for place, state in enumerate(facts.states) if state and state.into]:
        passed, rounds = passed | {state.subject for _, state in merged}, rounds + 1
        if rounds > len(passed):
            return _without_circles(tx, facts)
        for place, state in merged:
            asked[place] = Pseudonym(state.into or "")
        facts = await _snapshot(tx, key_hashes, asked)
    return facts


def _without_circles(tx: ReadTx, facts: Facts) -> Facts:
    """A merger that leads nowhere is none of ours."""
    states = [_untrusted(tx, state.subject, None) if state and state.into else state for state in facts.states]
    return replace(facts, states=states)


async def _snapshot(tx: ReadTx, key_hashes: Collection[str], subjects: Sequence[Reference]) -> Facts:
    keys, each = list(key_hashes), list(dict.fromkeys(subjects))  # who is asked about twice is read once
    lookups = [tx.keyring.lookup(who) if isinstance(who, Identifier) else None for who in each]
    pseudonyms = [who.value if isinstance(who, Pseudonym) else None for who in each]
    if tx.dialect == "postgresql":
        rows = await tx.fetch(_FACTS_POSTGRESQL, tx.now, keys, lookups, pseudonyms)
    else:
        pairs = json.dumps(list(zip(lookups, pseudonyms, strict=True)))
        rows = await tx.fetch(_FACTS_SQLITE, to_text(tx.now), json.dumps(keys), pairs)
    facts = _facts(tx, rows, lookups)
    if len(each) == len(subjects):
        return facts
    found = dict(zip(each, facts.states, strict=True))
    return replace(facts, states=[found[who] for who in subjects])


def _facts(tx: ReadTx, rows: Sequence[Sequence[Any]], lookups: Sequence[str | None]) -> Facts:
    known: dict[str, Client] = {}
    states: list[SubjectState | None] = [None] * len(lookups)
    size, at, version = 0, tx.now, None
    for what, place, number, head_at, name, document, seal, *rest in rows:
        if what == "subject":
            states[place - 1] = _state(tx, name, number, document, seal, lookups[place - 1], *rest)
        elif what == "client":
            known[name] = clients.from_json(tx, document, seal)
        else:
            tx.trust.latest = max(tx.trust.latest, tx.loaded(head_at))
            size, at, version = number, max(tx.now, tx.trust.latest), document
    _refuse_shrunken(tx, size)
    return Facts(size, at, version, known, states)


def _refuse_shrunken(tx: ReadTx, size: int) -> None:
    """Each process keeps the largest head that it saw. Raises LedgerRolledBack for a smaller one."""
    if size < tx.floor:
        raise LedgerRolledBack(
            f"The ledger has {size} entries and had {tx.floor}; bring back the right database. See docs/ledger.md."
        )
    tx.trust.largest = max(tx.trust.largest, size)


def _state(
    tx: ReadTx,
    subject: str,
    last_index: int,
    document: str,
    seal: bytes | None,
    lookup: str | None,
    outdated: bool,
    namespace: str | None,
    named_at: int | None,
    named_seal: bytes | None,
) -> SubjectState:
    """The state, if its row is true and the newest, and if the identifier's row that led to it is true and its own."""
    ring = tx.keyring
    if not outdated and ring.is_sealed(seals.state_message(subject, last_index, document), seal):
        state = projection.from_document(subject, last_index, document)
        if namespace is None or lookup is None or named_at is None:
            return state
        named = seals.identifier_message(lookup, namespace, subject, named_at)
        if namespace in state.namespaces and ring.is_sealed(named, named_seal):
            return state
    return _untrusted(tx, subject, namespace)


def _untrusted(tx: ReadTx, subject: str, namespace: str | None) -> SubjectState:
    """What stands in for a state that somebody may have changed behind our back."""
    tx.trust.untrusted += 1
    logger.error("record_untrusted: the row of %s, or an identifier's, fails its seal or is not the newest", subject)
    return SubjectState(subject, SubjectKind.STUDENT, namespaces={namespace: 1} if namespace else {}, trusted=False)


class Changes:
    """What a run of entries changes in the projection: collected entry by entry, written at once.

    `states` are the subjects' states as they stand; the caller puts in those that the entries will be about.
    """

    def __init__(self, keyring: Keyring) -> None:
        self.states: dict[str, SubjectState] = {}
        self._keyring = keyring
        self._changed: set[str] = set()
        self._identifiers: dict[str, tuple[str, str, str, int] | None] = {}
        self._policies: list[dict[str, object]] = []
        self._clients: dict[str, dict[str, object]] = {}
        self._revoked: dict[str, datetime] = {}
        self._keys: dict[str, dict[str, object]] = {}

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
                self._revoked[body.client] = body.at
            case ledger.KeyChanged():
                self._keys[body.kid] = keys.to_row(index, body)
            case _:
                self._add_to_subject(index, body, detail)

    def _add_to_subject(self, index: int, body: ledger.SubjectBody, detail: ledger.JsonObject | None) -> None:
        self.states[body.subject] = projection.applied(self.states.get(body.subject), index, body, detail)
        self._changed.add(body.subject)
        if isinstance(body, ledger.IdentifierChanged) and detail is not None:
            name = identifier(str(detail["identifier"]), default_namespace=body.namespace)
            lookup = self._keyring.lookup(name)
            added = (lookup, body.namespace, body.subject, index) if body.change == "added" else None
            self._identifiers[lookup] = added

    async def write(self, tx: WriteTx) -> None:
        """Write what was collected, each row sealed, a statement for each table."""
        ring = self._keyring
        await tx.upsert(subject_state, [_state_row(ring, self.states[subject]) for subject in self._changed])
        gone = [{"gone": lookup} for lookup in self._identifiers]
        await tx.execute(delete(subject_identifier).where(subject_identifier.c.lookup == bindparam("gone")), gone)
        added = [row for row in self._identifiers.values() if row]
        named = [(*row, ring.seal_row(seals.identifier_message(*row))) for row in added]
        await tx.insert(subject_identifier, named)
        await tx.execute(insert(policy_version), [_sealed(ring, row, seals.policy_message) for row in self._policies])
        await clients.revoke(tx, self._revoked)  # before the new ones, which may take the name
        made = [_sealed(ring, row, seals.client_message) for row in self._clients.values()]
        await tx.execute(insert(client), made)
        await tx.execute(keys.UPSERT, list(self._keys.values()))


def _state_row(ring: Keyring, state: SubjectState) -> tuple[object, ...]:
    """The cells in the order of the table's columns."""
    document = projection.to_document(state)
    message = seals.state_message(state.subject, state.last_index, document)
    return state.subject, state.last_index, document, ring.seal_row(message)


def _sealed(ring: Keyring, row: dict[str, object], message: Callable[[Cells], bytes]) -> dict[str, object]:
    return {**row, "seal": ring.seal_row(message(row))}


def _policy_row(index: int, body: ledger.PolicyPublished) -> dict[str, object]:
    return {
        "version": body.version,
        "effective_at": body.effective_at,
        "published_at": body.at,
        "index": index,
        "document": json.dumps(body.policy, ensure_ascii=False, sort_keys=True),
    }
