"""The table by which identifiers are found. The identifiers themselves lie encrypted beside the ledger."""

from collections.abc import Iterable

from sqlalchemy import select

from consent_service.core.people import Identifier
from consent_service.store.db import ReadTx
from consent_service.store.tables import subject_identifier


async def subjects_named(tx: ReadTx, identifiers: Iterable[Identifier]) -> dict[Identifier, str]:
    """The pseudonyms of the subjects that these identifiers name, where they name one."""
    lookups = {tx.keyring.lookup(name): name for name in identifiers}
    query = select(subject_identifier.c.lookup, subject_identifier.c.subject)
    rows = await tx.rows(query.where(subject_identifier.c.lookup.in_(list(lookups))))
    return {lookups[row.lookup]: row.subject for row in rows}
