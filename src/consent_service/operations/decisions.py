"""Decisions on record: looking them up, who asked about a person, replaying them, and letting the old ones go."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from consent_service.core.clients import Client
from consent_service.core.decision import Question, Verdict, decide
from consent_service.core.errors import DecisionNotFound, InvalidInput, SubjectErased
from consent_service.core.people import Identifier, Pseudonym, Reference
from consent_service.operations import past, people
from consent_service.operations.checks import visible
from consent_service.operations.past import Moment
from consent_service.store import clients, decisions, projection
from consent_service.store import ledger as ledger_store
from consent_service.store.db import ReadTx, WriteTx
from consent_service.store.decisions import Record
from consent_service.store.ledger import Entry

PRUNED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Explained:
    """A decision, and the ledger entries that its reasons rest on."""

    record: Record
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Replayed:
    """A decision, and what the same question gives against the ledger as of then."""

    record: Record
    verdict: Verdict
    policy_version: str

    @property
    def same(self) -> bool:
        """Whether the answer is the recorded one: yes or no, and each reason."""
        return self.verdict.permitted == self.record.permitted and _plain(self.verdict) == [
            (one.code, one.purpose, one.index) for one in self.record.reasons
        ]


async def read(tx: ReadTx, client: Client, decision_id: str) -> Explained:
    """What was asked, answered and why. Raises DecisionNotFound, also for one that the client may not see."""
    record = await _seen(tx, client, decision_id)
    indexes = sorted({reason.index for reason in record.reasons if reason.index is not None})
    return Explained(record, tuple(await ledger_store.entries_at(tx, indexes)))


async def parts(
    tx: ReadTx, client: Client, decision_id: str, *, after: str, limit: int
) -> tuple[list[Record], str | None]:
    """The decisions of which a filter's decision is made, and the id to go on behind. Raises DecisionNotFound."""
    await _seen(tx, client, decision_id)
    found = await decisions.parts_of(tx, decision_id, after=after, limit=limit + 1)
    page = found[:limit]
    shown = [one for one in page if await _sees(tx, client, one)]
    return shown, page[-1].id if len(found) > limit else None


async def about(
    tx: ReadTx, client: Client, who: Pseudonym, *, after: str | None, limit: int
) -> tuple[list[Record], str | None]:
    """Who asked about a person, the newest first, and the id to go on behind.

    Decisions on purposes that the client is not registered for are left out. Raises SubjectNotFound.
    """
    subject = (await people.seen(tx, client, who))[0].subject
    found = await decisions.about(tx, subject, before=after, limit=limit + 1)
    page = found[:limit]
    shown = [one for one in page if client.may_ask_for(one.purpose)]
    return shown, page[-1].id if len(found) > limit else None


async def replay(tx: ReadTx, client: Client, decision_id: str, *, zone: ZoneInfo) -> Replayed:
    """Ask the same question against the ledger as of then.

    Raises DecisionNotFound, SubjectErased, or InvalidInput for the decision of a filter as a whole.
    """
    record = await _seen(tx, client, decision_id)
    if await decisions.parts_of(tx, record.id, after="", limit=1):
        raise InvalidInput.at("", "this is a filter as a whole; replay its parts, GET /v1/decisions/{id}/parts")
    then = Moment(record.as_of, record.at)
    decided_for = await clients.by_id(tx, record.client)
    policy = await past.policy_at(tx, then)
    state = await past.state_at(tx, record.subject, record.as_of) if record.subject else None
    if decided_for is None or (record.subject and state is None):
        raise SubjectErased("The person was erased, and with them what the answer rested on.")
    question = Question(_asked_with(record), record.purpose, record.within)
    verdict = decide(question, decided_for[0], policy, state, now=record.at, zone=zone)
    return Replayed(record, verdict, policy.version)


async def prune(tx: WriteTx, *, before: datetime) -> int:
    """Delete the oldest decisions made before an instant, a batch of them; answers how many, 0 when none is left."""
    return await decisions.prune(tx, before, limit=PRUNED_AT_ONCE)


async def _seen(tx: ReadTx, client: Client, decision_id: str) -> Record:
    record = await decisions.by_id(tx, decision_id)
    if record is None or not await _sees(tx, client, record):
        raise DecisionNotFound("No decision that you may see has this id; those past their retention are gone.")
    return record


async def _sees(tx: ReadTx, client: Client, record: Record) -> bool:
    """A client sees the decisions on its own purposes about people whom it sees, and those that it asked for itself."""
    if not client.may_ask_for(record.purpose):
        return False
    if not client.namespaces or client.id in (record.client, record.asked_by):
        return True
    states = await projection.states_of(tx, [record.subject] if record.subject else [])
    return any(visible(state, client) for state in states.values())


def _asked_with(record: Record) -> Reference:
    """A reference of the kind that was asked with. Which identifier it was is not recorded, and decides nothing."""
    if record.namespace is not None:
        return Identifier(record.namespace, "")
    return Pseudonym(record.subject or "")


def _plain(verdict: Verdict) -> list[tuple[str, str, int | None]]:
    return [(one.code, one.purpose, one.index) for one in verdict.reasons]
