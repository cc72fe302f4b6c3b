"""The record of decisions: every answer given, written in the transaction that answers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Row, delete, select

from consent_service.core import ids
from consent_service.core.decision import Decision, Verdict
from consent_service.core.people import Identifier, Pseudonym
from consent_service.core.reasons import Reason, ReasonCode
from consent_service.store.db import ReadTx, WriteTx
from consent_service.store.tables import decision

_ENCODER = json.JSONEncoder(check_circular=False, separators=(",", ":"))


async def record(tx: WriteTx, answers: Sequence[Decision]) -> None:
    """Write decisions, one row each. The row of an unknown person names nobody."""
    await tx.insert(decision, [_row(one) for one in answers])


async def record_filter(tx: WriteTx, name: str, answers: Sequence[Decision]) -> None:
    """Write the decision of a filter: one row for the whole, which is a yes if every part is, and one for each part."""
    first = answers[0]
    whole = Verdict(all(one.verdict.permitted for one in answers), (), None)
    about_nobody = first.question._replace(subject=Pseudonym(""))
    header = first._replace(id=name, subject=None, question=about_nobody, verdict=whole)
    await record(tx, [header, *(one._replace(part_of=name) for one in answers)])


def _row(one: Decision) -> tuple[object, ...]:
    """The cells in the order of the table's columns."""
    question, verdict = one.question, one.verdict
    return (
        one.id,
        one.at,
        one.client,
        one.subject,
        question.purpose,
        question.within,
        verdict.permitted,
        reasons_text(verdict.reasons),
        one.policy_version,
        one.as_of,
        verdict.expires_at,
        question.subject.namespace if isinstance(question.subject, Identifier) else None,
        one.asked_by,
        one.part_of,
    )


def reasons_text(reasons: Sequence[Reason]) -> str:
    """Reasons as they are stored.

    NOTE: each is [code, purpose, index, day of its sentence, nearest codes …]; recorded decisions are read by this.
    Those of the first schema end with the index.
    """
    return _ENCODER.encode(
        [(one.code, one.purpose, one.index, one.on and one.on.isoformat(), *one.nearest) for one in reasons]
    )


def _reason(code: str, purpose: str, index: int | None, on: str | None = None, *nearest: str) -> Reason:
    return Reason(ReasonCode(code), purpose, index, date.fromisoformat(on) if on else None, nearest)


@dataclass(frozen=True, slots=True)
class Record:
    """A decision as it was recorded. `namespace` is that of the identifier asked with, None for a pseudonym."""

    id: str
    at: datetime
    client: str
    subject: str | None
    purpose: str
    within: str | None
    permitted: bool
    reasons: tuple[Reason, ...]
    policy_version: str
    as_of: int
    expires_at: datetime | None
    namespace: str | None
    asked_by: str | None
    part_of: str | None


async def by_id(tx: ReadTx, decision_id: str) -> Record | None:
    """The decision of this id."""
    row = await tx.first(select(decision).where(decision.c.id == decision_id))
    return _record(row) if row else None


async def parts_of(tx: ReadTx, decision_id: str, *, after: str, limit: int) -> list[Record]:
    """The parts of a filter's decision, by their ids, from the one behind `after`."""
    query = select(decision).where(decision.c.part_of == decision_id, decision.c.id > after)
    return [_record(row) for row in await tx.rows(query.order_by(decision.c.id).limit(limit))]


async def about(tx: ReadTx, subjects: Sequence[str], *, before: str | None, limit: int) -> list[Record]:
    """The decisions about these subjects, the newest first, from the one before `before`."""
    query = select(decision).where(decision.c.subject.in_(subjects))
    if before is not None:
        query = query.where(decision.c.id < before)
    return [_record(row) for row in await tx.rows(query.order_by(decision.c.id.desc()).limit(limit))]


async def prune(tx: WriteTx, before: datetime, *, limit: int) -> int:
    """Delete at most so many decisions made before an instant, the oldest first; answers how many. Ids sort by time."""
    oldest = select(decision.c.id).where(decision.c.id < ids.first_decision_id(before)).order_by(decision.c.id)
    return await tx.execute(delete(decision).where(decision.c.id.in_(oldest.limit(limit))))


def _record(row: Row[Any]) -> Record:
    reasons = tuple(_reason(*one) for one in json.loads(row.reasons))
    return Record(**{**row._mapping, "reasons": reasons})
