"""The check: many questions, one snapshot, each decision on record before its answer leaves."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from consent_service.core import ids
from consent_service.core.clients import Client, Scope, authenticated
from consent_service.core.decision import Question, Verdict, decide
from consent_service.core.errors import ConsentError, InvalidInput, Unavailable
from consent_service.core.policy import Policy
from consent_service.core.projection import SubjectState
from consent_service.store import decisions, policies, projection
from consent_service.store.db import ReadTx, WriteTx
from consent_service.store.projection import Facts


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and the hash of the key with which it was asked."""

    key_hash: str
    question: Question


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one question. `as_of` is the ledger's size that it rests on."""

    id: str
    at: datetime
    client: str
    subject: str | None
    question: Question
    verdict: Verdict
    policy_version: str
    as_of: int


async def answer(
    tx: WriteTx, asked: Sequence[Asked], *, zone: ZoneInfo, recorded: bool = True
) -> Sequence[Decision | ConsentError]:
    """Decide each question, in order; with `recorded`, write every decision in this transaction."""
    found = await projection.facts_for(tx, [(one.key_hash, one.question.subject) for one in asked])
    answers = [await _one(tx, one.question, facts, zone) for one, facts in zip(asked, found, strict=True)]
    if recorded:
        await decisions.record(tx, [_row(one) for one in answers if isinstance(one, Decision)])
    return answers


async def _one(tx: WriteTx, question: Question, facts: Facts, zone: ZoneInfo) -> Decision | ConsentError:
    try:
        client = authenticated(facts.client, Scope.CHECK, facts.at)
        policy = await _policy(tx, facts)
        _refuse_idle_within(question, policy)
    except ConsentError as error:
        return error
    state = visible(facts.state, client)
    verdict = decide(question, client, policy, state, now=facts.at, zone=zone)
    subject = state.subject if state else None
    decision_id = ids.decision_id(facts.at, tx.entropy)
    return Decision(decision_id, facts.at, client.id, subject, question, verdict, policy.version, facts.as_of)


async def _policy(tx: ReadTx, facts: Facts) -> Policy:
    policy = await policies.compiled(tx, facts.version) if facts.version else None
    if policy is None:
        raise Unavailable("No policy version is in force yet.")
    return policy


def visible(state: SubjectState | None, client: Client) -> SubjectState | None:
    """The state, if the subject has an identifier in the client's namespaces; else it is unknown."""
    return state if state and client.sees(state.visible_in) else None


def _refuse_idle_within(question: Question, policy: Policy) -> None:
    asked = policy.find(question.purpose)
    if question.within is not None and asked and not asked.concomitant:
        raise InvalidInput.at("/within", "only a concomitant use names another purpose; leave `within` out")


def _row(one: Decision) -> dict[str, object]:
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
    }
