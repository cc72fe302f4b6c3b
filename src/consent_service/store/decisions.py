"""The record of decisions: every answer given, written in the transaction that answers."""

import json
from collections.abc import Sequence

from sqlalchemy import insert

from consent_service.core.decision import Decision
from consent_service.core.people import Identifier
from consent_service.store.db import WriteTx
from consent_service.store.tables import decision


async def record(tx: WriteTx, answers: Sequence[Decision]) -> None:
    """Write decisions, one row each. The row of an unknown person names nobody."""
    await tx.execute(insert(decision), [_row(one) for one in answers])


def _row(one: Decision) -> dict[str, object]:
    asked_with = one.question.subject
    return {
        "id": one.id,
        "at": one.at,
        "client": one.client,
        "subject": one.subject,
        "purpose": one.question.purpose,
        "within": one.question.within,
        "permitted": one.verdict.permitted,
        "reasons": json.dumps([[reason.code, reason.purpose, reason.index] for reason in one.verdict.reasons]),
        "policy_version": one.policy_version,
        "as_of": one.as_of,
        "expires_at": one.verdict.expires_at,
        "namespace": asked_with.namespace if isinstance(asked_with, Identifier) else None,
        "asked_by": one.asked_by,
        "part_of": one.part_of,
    }
