"""Decisions on record: looking them up, who asked about a person, replaying them, and letting the old ones go."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from consent_service.core import ids, ledger
from consent_service.core.clients import Client
from consent_service.core.decision import Question, Verdict, decide
from consent_service.core.errors import DecisionNotFound, InvalidInput, SubjectErased
from consent_service.core.people import Identifier, Pseudonym, Reference
from consent_service.operations import past, people
from consent_service.operations.checks import visible
from consent_service.operations.past import Moment
from consent_service.store import clients, decisions, merging, projection
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
    """What was asked, answered and why. Raises DecisionNotFound, also for one that the client may not see.

    An entry that tells of more purposes than the client is registered for is left out.
    """
    record = await _seen(tx, client, decision_id)
    indexes = sorted({reason.index for reason in record.reasons if reason.index is not None})
    entries = await ledger_store.entries_at(tx, indexes)
    return Explained(record, tuple(entry for entry in entries if _is_shown(client, entry)))


async def parts(
    tx: ReadTx, client: Client, decision_id: str, *, after: str, limit: int
) -> tuple[list[Record], str | None]:
    """The decisions of which a filter's decision is made, and the id to go on behind. Raises DecisionNotFound."""
    await _seen(tx, client, decision_id)
    found = await decisions.parts_of(tx, decision_id, after=after, limit=limit + 1)
    page = found[:limit]
    return await _visible(tx, client, page), page[-1].id if len(found) > limit else None


async def about(
    tx: ReadTx, client: Client, who: Pseudonym, *, after: str | None, limit: int
) -> tuple[list[Record], str | None]:
    """Who asked about a person, the newest first, and the id to go on behind.

    Those about whoever was merged into the person are among them; those on purposes that the client is not registered
    for are left out. Raises SubjectNotFound.
    """
    subject = (await people.seen(tx, client, who))[0].subject
    found = await decisions.about(tx, await merging.group_of(tx, subject), before=after, limit=limit + 1)
    page = found[:limit]
    shown = [one for one in page if _is_registered(client, one)]
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
    record = await decisions.by_id(tx, decision_id) if ids.is_decision_id(decision_id) else None
    if record is None or not await _visible(tx, client, [record]):
        raise DecisionNotFound("No decision that you may see has this id; those past their retention are gone.")
    return record


async def _visible(tx: ReadTx, client: Client, records: Sequence[Record]) -> list[Record]:
    """Those on the client's own purposes about people whom it sees; one about nobody is seen by those who asked."""
    own = [one for one in records if _is_registered(client, one)]
    if not client.namespaces:
        return own
    about = sorted({one.subject for one in own if one.subject})
    facts = await projection.facts_for(tx, (), [Pseudonym(name) for name in about])
    seen = {name for name, state in zip(about, facts.states, strict=True) if visible(state, client)}
    return [one for one in own if one.subject in seen or (one.subject is None and _asked(client, one))]


def _is_shown(client: Client, entry: Entry) -> bool:
    if isinstance(entry.body, ledger.StatementMade):
        return client.may_ask_for(entry.body.purpose)
    return not client.purposes


def _is_registered(client: Client, record: Record) -> bool:
    return client.may_ask_for(record.purpose) and (record.within is None or client.may_ask_for(record.within))


def _asked(client: Client, record: Record) -> bool:
    return client.id in (record.client, record.asked_by)


def _asked_with(record: Record) -> Reference:
    """A reference of the kind that was asked with. Which identifier it was is not recorded, and decides nothing."""
    if record.namespace is not None:
        return Identifier(record.namespace, "")
    return Pseudonym(record.subject or "")


def _plain(verdict: Verdict) -> list[tuple[str, str, int | None]]:
    return [(one.code, one.purpose, one.index) for one in verdict.reasons]
