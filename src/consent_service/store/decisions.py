"""The record of decisions: every answer given, written in the transaction that answers."""

import json
from collections.abc import Sequence

from consent_service.core.decision import Decision, Verdict
from consent_service.core.people import Identifier
from consent_service.core.reasons import Reason
from consent_service.store.db import WriteTx
from consent_service.store.tables import decision

_ENCODER = json.JSONEncoder(check_circular=False, separators=(",", ":"))


async def record(tx: WriteTx, answers: Sequence[Decision]) -> None:
    """Write decisions, one row each. The row of an unknown person names nobody."""
    await tx.insert(decision, [_row(one) for one in answers])


async def record_filter(tx: WriteTx, name: str, answers: Sequence[Decision]) -> None:
    """Write the decision of a filter: one row for the whole, which is a yes if every part is, and one for each part."""
    first = answers[0]
    whole = Verdict(all(one.verdict.permitted for one in answers), (), None)
    header = first._replace(id=name, subject=None, verdict=whole)
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
    """Reasons as they are stored: [[code, purpose, index], …]."""
    return _ENCODER.encode([[reason.code, reason.purpose, reason.index] for reason in reasons])
