"""The rebuild: the projection emptied and derived again from the ledger, subject by subject, so in flat memory.

A subject's entries are read in a row, by the index over subjects, and its row is written once, with COPY where there is
such a thing.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Table, delete, select

from consent_service.core import ledger
from consent_service.core.keyring import opened
from consent_service.core.people import identifier
from consent_service.core.projection import Fold, birth_date
from consent_service.store import ledger as ledger_store
from consent_service.store import projection, seals
from consent_service.store.db import Query, WriteTx
from consent_service.store.tables import ledger_entry, signing_key, subject_identifier, subject_state

Tell = Callable[[int, int], None]
"""Hears of how many entries how many are done."""

_PAGE = 5000
_OTHERS = 500  # entries that are about no subject may be large: each policy is one

# The order is the index's, and the page begins where the last one ended.
_ENTRIES = {
    "postgresql": """
SELECT subject, "index", body FROM ledger_entry
WHERE (subject, "index") > ($1, $2) ORDER BY subject, "index" LIMIT $3
""",
    "sqlite": """
SELECT subject, "index", body FROM ledger_entry
WHERE subject >= ?1 AND (subject, "index") > (?1, ?2) ORDER BY subject, "index" LIMIT ?3
""",
}
_KEYS = {
    "postgresql": """
SELECT k.subject, k.wrapped_key FROM unnest($1::text[]) q(subject)
JOIN LATERAL (SELECT * FROM subject_key WHERE subject = q.subject LIMIT 1) k ON true
""",
    "sqlite": "SELECT k.subject, k.wrapped_key FROM json_each(?1) q CROSS JOIN subject_key k ON k.subject = q.value",
}
_DETAILS = {
    "postgresql": """
SELECT d."index", d.ciphertext FROM unnest($1::bigint[]) q("index")
JOIN LATERAL (SELECT * FROM entry_detail WHERE "index" = q."index" LIMIT 1) d ON true
""",
    "sqlite": 'SELECT d."index", d.ciphertext FROM json_each(?1) q CROSS JOIN entry_detail d ON d."index" = q.value',
}


async def rebuild(tx: WriteTx, tell: Tell = lambda _done, _of: None) -> int:
    """Empty the projection and derive it again; answers how many entries were read.

    The erased, whose keys are gone, are left out.
    """
    size = (await ledger_store.begin(tx)).as_of
    for table in projection.TABLES:
        await _empty(tx, table)
    done = await _others(tx)
    pages = _Pages(tx)
    while count := await pages.take():
        done += count
        tell(done, size)
    return done


async def rebuild_keys(tx: WriteTx) -> None:
    """Derive the table of keys alone, which says with which of the keys at hand all other rows are to be sealed."""
    await ledger_store.begin(tx)
    await _empty(tx, signing_key)
    changes = projection.Changes(tx.keyring)
    of_keys = (ledger_entry.c.subject.is_(None), ledger_entry.c.kind == "key")
    query = select(ledger_entry.c.index, ledger_entry.c.body).where(*of_keys).order_by(ledger_entry.c.index)
    for index, body in await _bodies(tx, query):
        changes.add(index, ledger.from_bytes(body), None)
    await changes.write(tx)


async def _empty(tx: WriteTx, table: Table) -> None:
    """Delete every row, a page at a time, since no statement may take long."""
    (key,) = table.primary_key
    last = ""
    while upto := await tx.first(select(key).where(key > last).order_by(key).offset(_PAGE - 1).limit(1)):
        await tx.execute(delete(table).where(key > last, key <= upto[0]))
        last = upto[0]
    await tx.execute(delete(table))


async def _others(tx: WriteTx) -> int:
    """The entries that are about no subject, in the order of the ledger."""
    entry, last, count = ledger_entry.c, -1, 0
    query = select(entry.index, entry.body).where(entry.subject.is_(None)).order_by(entry.index).limit(_OTHERS)
    while rows := await _bodies(tx, query.where(entry.index > last)):
        changes = projection.Changes(tx.keyring)
        for index, body in rows:
            changes.add(index, ledger.from_bytes(body), None)
        await changes.write(tx)
        last, count = rows[-1][0], count + len(rows)
    return count


async def _bodies(tx: WriteTx, query: Query) -> list[tuple[int, bytes]]:
    return [(row._mapping["index"], row.body) for row in await tx.rows(query)]


class _Pages:
    """Reads the entries in the order of their subjects, and writes each subject as its last entry was read."""

    def __init__(self, tx: WriteTx) -> None:
        self._tx = tx
        self._last = ("", -1)
        self._begun: list[Sequence[Any]] = []  # the entries so far of the subject that a page ended in

    async def take(self) -> int:
        """Take one page; answers how many entries it had, 0 when all is written."""
        rows = await self._tx.fetch(_ENTRIES[self._tx.dialect], *self._last, _PAGE)
        if rows:
            self._last = (rows[-1][0], rows[-1][1])
        of_subjects = _by_subject([*self._begun, *rows])
        self._begun = of_subjects.pop(self._last[0], []) if rows else []
        await self._write(of_subjects)
        return len(rows)

    async def _write(self, of_subjects: Mapping[str, list[Sequence[Any]]]) -> None:
        keys = dict(await self._rows_of(_KEYS, list(of_subjects)))
        folds: dict[str, Fold] = {}
        personal: list[tuple[int, Mapping[str, Any]]] = []
        for subject in keys:
            folds[subject], more = _folded(of_subjects[subject])
            personal += more
        named = await self._learned(keys, personal, folds)
        ring, changed = (
            self._tx.keyring,
            [(subject, fold.last_index, fold.document()) for subject, fold in folds.items()],
        )
        await self._tx.insert(subject_state, [(*row, ring.seal_row(seals.state_message(*row))) for row in changed])
        await self._write_identifiers(named)

    async def _learned(
        self, keys: Mapping[str, bytes], personal: Sequence[tuple[int, Mapping[str, Any]]], folds: Mapping[str, Fold]
    ) -> list[tuple[int, Mapping[str, Any], str]]:
        """Open what is personal: the folds learn the birth dates; answers the entries about identifiers with those."""
        unwrapped, named = dict.fromkeys(keys, b""), []
        ciphertexts = dict(await self._rows_of(_DETAILS, [index for index, _ in personal]))
        for index, body in personal:
            subject = body["subject"]
            unwrapped[subject] = unwrapped[subject] or self._tx.keyring.unwrap(subject, keys[subject])
            if index in ciphertexts:
                context = ledger_store.context(index, subject)
                clear = json.loads(opened(unwrapped[subject], ciphertexts[index], context))
                if body["kind"] == "identifier":
                    named.append((index, body, clear["identifier"]))
                else:
                    folds[subject].born = birth_date(clear, folds[subject].born)
        return named

    async def _write_identifiers(self, named: Sequence[tuple[int, Mapping[str, Any], str]]) -> None:
        """The identifiers that the subjects have now: the last word about each counts."""
        ring = self._tx.keyring
        found: dict[tuple[str, str], tuple[str, str, str, int] | None] = {}
        for index, body, text in named:
            lookup = ring.lookup(identifier(text, default_namespace=body["namespace"]))
            row = (lookup, body["namespace"], body["subject"], index)
            found[lookup, body["subject"]] = row if body["change"] == "added" else None
        rows = [row for row in found.values() if row]
        await self._tx.insert(
            subject_identifier, [(*row, ring.seal_row(seals.identifier_message(*row))) for row in rows]
        )

    async def _rows_of(self, statement: Mapping[str, str], asked: list[Any]) -> list[tuple[Any, Any]]:
        if not asked:
            return []
        given: object = asked if self._tx.dialect == "postgresql" else json.dumps(asked)
        return [(key, value) for key, value in await self._tx.fetch(statement[self._tx.dialect], given)]


def _by_subject(rows: Iterable[Sequence[Any]]) -> dict[str, list[Sequence[Any]]]:
    of_subjects: dict[str, list[Sequence[Any]]] = {}
    for row in rows:
        of_subjects.setdefault(row[0], []).append(row)
    return of_subjects


def _folded(rows: Iterable[Sequence[Any]]) -> tuple[Fold, list[tuple[int, Mapping[str, Any]]]]:
    """One subject's entries folded, and those of them of which the personal part is needed."""
    fold, personal = Fold(), []
    for _, index, stored in rows:
        body = json.loads(stored)
        fold.add(index, body)
        if body["kind"] == "identifier" or (body["kind"] == "subject" and body["commitment"] is not None):
            personal.append((index, body))
    return fold, personal
