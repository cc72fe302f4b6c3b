"""Finding who comes of age: wards for whom a guardian spoke, by birth date.

NOTE: this reads the beginning of documents as core/projection.py writes them; tests/http/test_handovers.py holds it
against that.
"""

from datetime import date

from sqlalchemy import and_, case, false, func, select

from consent_service.store.db import ReadTx
from consent_service.store.tables import subject_state

_BEFORE = '{"born":'
_DIGITS = 6  # of a day between 1900 and 2700


async def wards_born(tx: ReadTx, first: date, last: date, *, after: str, limit: int) -> list[str]:
    """The pseudonyms, behind `after`, of those born from the one day to the other about whom a guardian spoke."""
    cell = subject_state.c
    born = func.substr(cell.document, len(_BEFORE) + 1, _DIGITS)
    begin, end = (str(min(day.toordinal(), 10**_DIGITS - 1)) for day in (first, last))
    is_of_age = and_(born >= begin, born <= end)
    is_heard = case((is_of_age, cell.document.like(_BEFORE + '%"heard":[%')), else_=false())  # looked for only then
    query = select(cell.subject).where(cell.subject > after, is_heard)
    ordered = query.order_by(cell.subject.concat("")).limit(limit)  # which no index has: one pass is faster than it
    return [row.subject for row in await tx.rows(ordered)]
