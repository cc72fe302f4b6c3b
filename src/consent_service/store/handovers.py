"""Finding who comes of age: wards for whom a guardian spoke, by birth date.

NOTE: this reads the beginning of documents as core/projection.py writes them; tests/http/test_handovers.py holds it
against that.
"""

from datetime import date

from sqlalchemy import func, select

from consent_service.store.db import ReadTx
from consent_service.store.tables import subject_state

_BEFORE = '{"born":'
_DIGITS = 6  # of a day between 1900 and 2700


async def wards_born(tx: ReadTx, first: date, last: date, *, after: str, limit: int) -> list[str]:
    """The pseudonyms, behind `after`, of those born from the one day to the other about whom a guardian spoke."""
    cell = subject_state.c
    born = func.substr(cell.document, len(_BEFORE) + 1, _DIGITS)
    query = (
        select(cell.subject)
        .where(cell.subject > after, cell.document.like(_BEFORE + '%"heard":[%'))
        .where(born >= str(first.toordinal()), born <= str(last.toordinal()))
        .order_by(cell.subject)
        .limit(limit)
    )
    return [row.subject for row in await tx.rows(query)]
