"""Counting over all subjects, a page at a time: in flat memory, and so that others get their turns in between."""

from collections.abc import Sequence

from sqlalchemy import select

from consent_service.store.db import ReadTx
from consent_service.store.tables import subject_identifier, subject_state

PAGE = 2000
"""Subjects whose states are read at once: some milliseconds' work."""


async def documents_after(tx: ReadTx, after: str, *, namespaces: Sequence[str] = ()) -> tuple[list[str], str | None]:
    """The states of the next subjects as they are stored, and the subject to go on behind; None at the end.

    With namespaces, only of subjects with an identifier in one of them.
    """
    state, named = subject_state.c, subject_identifier.c
    query = select(state.subject, state.document).where(state.subject > after).order_by(state.subject).limit(PAGE)
    if namespaces:
        seen = select(named.subject).where(named.subject == state.subject, named.namespace.in_(namespaces))
        query = query.where(seen.exists())
    rows = await tx.rows(query)
    return [row.document for row in rows], rows[-1].subject if len(rows) == PAGE else None
