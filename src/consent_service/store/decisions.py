"""The record of decisions: every answer given, written in the transaction that answers."""

import json
from collections.abc import Sequence
from datetime import datetime

from consent_service.core.decision import Decision
from consent_service.core.instants import to_text
from consent_service.core.people import Identifier
from consent_service.core.reasons import Reason
from consent_service.store.db import WriteTx

_RECORD_POSTGRESQL = """
INSERT INTO decision (id, at, client, subject, purpose, within, permitted, reasons, policy_version, as_of, expires_at,
  namespace, asked_by, part_of)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bool[],
  $8::text[], $9::text[], $10::bigint[], $11::timestamptz[], $12::text[], $13::text[], $14::text[])
"""

_RECORD_SQLITE = """
INSERT INTO decision (id, at, client, subject, purpose, within, permitted, reasons, policy_version, as_of, expires_at,
  namespace, asked_by, part_of)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
"""

_Cell = str | int | bool | datetime | None


async def record(tx: WriteTx, answers: Sequence[Decision]) -> None:
    """Write decisions, one row each. The row of an unknown person names nobody."""
    if not answers:
        return
    rows = [_row(one) for one in answers]
    if tx.dialect == "postgresql":
        await tx.run(_RECORD_POSTGRESQL, *(list(column) for column in zip(*rows, strict=True)))
    else:
        await tx.run_many(_RECORD_SQLITE, [[_plain(cell) for cell in row] for row in rows])


def _row(one: Decision) -> tuple[_Cell, ...]:
    """The cells in the order of the statements above."""
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
    """Reasons as they are stored: [[code, purpose, index], …]."""
    return json.dumps([[reason.code, reason.purpose, reason.index] for reason in reasons])


def _plain(cell: _Cell) -> _Cell:
    return to_text(cell) if isinstance(cell, datetime) else cell
