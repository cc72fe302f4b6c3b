"""The table by which identifiers are found. The identifiers themselves lie encrypted beside the ledger."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, select, update

from consent_service.core.people import Identifier
from consent_service.store import ledger
from consent_service.store.db import ReadTx, WriteTx
from consent_service.store.seals import identifier_message
from consent_service.store.tables import subject_identifier


@dataclass(frozen=True, slots=True)
class Named:
    """A subject's identifier as it is found; `index` is the entry that holds it in clear."""

    lookup: str
    namespace: str
    subject: str
    index: int


async def subjects_named(tx: ReadTx, identifiers: Iterable[Identifier]) -> dict[Identifier, str]:
    """The pseudonyms of the subjects that these identifiers name, where they name one."""
    lookups = {tx.keyring.lookup(name): name for name in identifiers}
    query = select(subject_identifier.c.lookup, subject_identifier.c.subject)
    rows = await tx.rows(query.where(subject_identifier.c.lookup.in_(list(lookups))))
    return {lookups[row.lookup]: row.subject for row in rows}


async def subjects_in(tx: ReadTx, namespace: str, *, after: str, limit: int) -> list[str]:
    """The pseudonyms of the subjects with an identifier in a namespace, in order, from the one behind `after`."""
    named = subject_identifier.c
    query = select(named.subject).distinct().where(named.namespace == namespace, named.subject > after)
    rows = await tx.rows(query.order_by(named.subject).limit(limit))
    return [row.subject for row in rows if isinstance(row.subject, str)]  # SQLite sorts what is no text behind all text


async def identifiers_in(tx: ReadTx, namespace: str, subjects: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The subjects' identifiers in a namespace, in clear, in the order in which they were added."""
    named = subject_identifier.c
    query = select(named.index).where(named.subject.in_(subjects), named.namespace == namespace)
    found: dict[str, tuple[str, ...]] = {}
    for subject, detail in await ledger.details_at(tx, [row[0] for row in await tx.rows(query)]):
        found[subject] = (*found.get(subject, ()), str(detail["identifier"]))
    return found


async def names_after(tx: ReadTx, subject: str, *, limit: int) -> list[Named]:
    """The identifiers of so many subjects, from the one behind `subject`, by the entries that hold them."""
    named = subject_identifier.c
    page = select(named.subject).distinct().where(named.subject > subject).order_by(named.subject).limit(limit)
    query = select(named.lookup, named.namespace, named.subject, named.index).where(named.subject.in_(page))
    return [Named(**row._mapping) for row in await tx.rows(query.order_by(named.index))]


_MOVE = (
    update(subject_identifier)
    .where(subject_identifier.c.lookup == bindparam("was"))
    .values(lookup=bindparam("becomes"), seal=bindparam("new"))
)


async def move(tx: WriteTx, moved: Sequence[tuple[Named, str]]) -> None:
    """Let identifiers be found under other look-ups."""
    rows = []
    for named, lookup in moved:
        message = identifier_message(lookup, named.namespace, named.subject, named.index)
        rows.append({"was": named.lookup, "becomes": lookup, "new": tx.keyring.seal_row(message)})
    await tx.execute(_MOVE, rows)
