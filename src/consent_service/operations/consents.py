"""Recording statements: what people say, each of it an entry, whatever comes of it."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter

from consent_service.core import consent, hearing, ids, ledger
from consent_service.core.clients import Client, Scope, authenticated
from consent_service.core.consent import Action, Method, NotApplied, Role, Statement
from consent_service.core.errors import ClientNotPermitted, ConsentError, Fault, InvalidInput, SubjectNotFound
from consent_service.core.people import Identifier, Pseudonym, Reference
from consent_service.core.policy import Policy, Purpose, SubjectKind
from consent_service.core.projection import SubjectState
from consent_service.core.voices import Majority
from consent_service.operations import people, policies
from consent_service.operations.checks import policy_of, visible
from consent_service.operations.people import NewSubject
from consent_service.operations.standings import LeafState, leaf_state
from consent_service.store import idempotency, projection
from consent_service.store import ledger as ledger_store
from consent_service.store import policies as policy_store
from consent_service.store.db import ReadTx, WriteTx
from consent_service.store.idempotency import Attempt, FirstAnswer
from consent_service.store.ledger import Append

CLOCK_SKEW = timedelta(seconds=60)
"""How far ahead of our clock a statement may claim to have been made."""

OPERATION = "record_consents"


class Said(NamedTuple):
    """One statement of a call: what is said about one purpose."""

    purpose: str
    action: Action
    made_at: datetime | None = None
    expires_at: datetime | None = None


class Call(NamedTuple):
    """What one request wants recorded, all or nothing.

    `speaker` is who is named as speaking, the guardian or the person themself; `staff` who of the staff took it down;
    `key` and `fingerprints` are the Idempotency-Key and what recognises the body, if the caller sent one.
    """

    key_hash: str
    subject: Reference
    said: tuple[Said, ...]
    role: Role
    method: Method
    policy_version: str
    speaker: Reference | None = None
    staff: str | None = None
    evidence: ledger.JsonObject | str | None = None
    key: str | None = None
    fingerprints: tuple[str, ...] = ()


def weight(call: Call) -> int:
    """For how many a call counts in its lane: for each of its statements."""
    return len(call.said)


@dataclass(frozen=True, slots=True)
class RecordedEntry:
    """What became of one statement: its entry, the leaves that it changed, and why not if it left some."""

    index: int
    purpose: str
    action: Action
    applied: tuple[str, ...]
    not_applied_because: NotApplied | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """The answer to a call: its entries, what stands now for the leaves that they name, and the ledger's size."""

    subject: str
    entries: tuple[RecordedEntry, ...]
    states: dict[str, LeafState]
    as_of: int


_RECORDED: TypeAdapter[Recorded] = TypeAdapter(Recorded)


async def record(tx: WriteTx, calls: Sequence[Call], *, zone: ZoneInfo) -> Sequence[Recorded | ConsentError]:
    """Record each call's statements, in order; a call that is refused leaves nothing behind.

    One lock, one snapshot and one write for all of them.
    """
    append = await ledger_store.begin(tx)
    facts = await projection.facts_for(tx, {call.key_hash for call in calls}, [call.subject for call in calls])
    clients = [facts.clients.get(call.key_hash) for call in calls]
    attempts = [_attempt(call, client) for call, client in zip(calls, clients, strict=True)]
    first_answers = await idempotency.first_answers(tx, [one for one in attempts if one])
    desk = _Desk(tx, append, await policy_of(tx, facts), first_answers, zone)
    await append.load(state for state in facts.states if state)
    answers = [await desk.take(*one) for one in zip(calls, clients, facts.states, attempts, strict=True)]
    await append.write()
    await idempotency.remember(tx, desk.answered)
    return answers


class _Desk:
    """Takes a batch's calls one after another; remembers whom and what the earlier ones brought."""

    def __init__(
        self,
        tx: WriteTx,
        append: Append,
        policy: Policy,
        first_answers: dict[tuple[str, str, str], FirstAnswer],
        zone: ZoneInfo,
    ) -> None:
        self.answered: list[tuple[Attempt, bytes]] = []
        self._tx = tx
        self._append = append
        self._policy = policy
        self._first_answers = first_answers
        self._zone = zone
        self._newcomers: dict[Reference, str] = {}

    async def take(
        self, call: Call, caller: Client | None, state: SubjectState | None, attempt: Attempt | None
    ) -> Recorded | ConsentError:
        try:
            client = authenticated(caller, Scope.CONSENTS_WRITE, self._append.at)
            if attempt and attempt.name in self._first_answers:
                return _RECORDED.validate_json(self._first_answers[attempt.name].for_retry(attempt))
            recorded = await self._recorded(call, client, state)
        except ConsentError as error:
            return error
        if attempt:
            answer = _RECORDED.dump_json(recorded)
            self._first_answers[attempt.name] = FirstAnswer(attempt.fingerprints[0], answer)
            self.answered.append((attempt, answer))
        return recorded

    async def _recorded(self, call: Call, client: Client, state: SubjectState | None) -> Recorded:
        policy = await _policy_shown(self._tx, call)
        purposes = _purposes_named(policy, call, client)
        statements = _statements(call, purposes, self._append.at)
        known = self._subject(call, client, state)
        speaker = await self._speaker(call, client, known)
        self._refuse_idle_grants(call, statements, known, speaker)
        subject = known or self._newcomer(call, client)
        noes = _noes_within(statements)
        entries = tuple(
            self._add(call, client, subject, speaker, purpose, statement, noes)
            for purpose, statement in zip(purposes, statements, strict=True)
        )
        return Recorded(subject, entries, self._states(subject, purposes), self._append.as_of)

    def _subject(self, call: Call, client: Client, found: SubjectState | None) -> str | None:
        if isinstance(call.subject, Identifier) and not client.may_touch(call.subject.namespace):
            raise ClientNotPermitted(f"This client is not registered for the namespace {call.subject.namespace}.")
        state = visible(found, client)
        if state is None and isinstance(call.subject, Pseudonym):
            raise SubjectNotFound("No subject that you may see has this reference.")
        return people.trusted(state).subject if state else self._newcomers.get(call.subject)

    def _newcomer(self, call: Call, client: Client) -> str:
        if not isinstance(call.subject, Identifier):
            raise SubjectNotFound("Only an identifier can name somebody new.")
        subject, new = ids.subject_id(self._tx.entropy), NewSubject((call.subject,))
        people.record_new(self._append, client.id, new, self._policy, subject, self._zone)
        self._newcomers[call.subject] = subject
        return subject

    def _refuse_idle_grants(
        self, call: Call, statements: Sequence[Statement], known: str | None, speaker: str | None
    ) -> None:
        """A grant that cannot count is refused when it is made."""
        state = self._append.changes.states[known] if known else self._unknown(call)
        for statement in statements:
            if statement.action is Action.GRANT:
                hearing.refuse_idle_grant(state, statement, speaker, self._majority(state), self._append.at)

    def _unknown(self, call: Call) -> SubjectState:
        namespace = call.subject.namespace if isinstance(call.subject, Identifier) else ""
        return SubjectState("", SubjectKind(self._policy.kind_of(namespace)))

    def _majority(self, state: SubjectState) -> Majority:
        return hearing.majority(state, self._policy, self._append.at, self._zone)

    def _objections(
        self, state: SubjectState, statement: Statement, speaker: str | None, noes: Collection[str]
    ) -> dict[str, NotApplied | None]:
        """Why the statement does not change a leaf, leaf by leaf."""
        now, is_minor = self._append.at, self._majority(state).is_minor(self._append.at)
        why: dict[str, NotApplied | None] = {}
        for leaf in statement.wordings:
            said = hearing.said_before(state, leaf, speaker) if is_minor else state.leaves.of(leaf)
            why[leaf] = consent.objection_to(statement, said, now, has_no_beside=leaf in noes, is_authorised=is_minor)
            if is_minor and hearing.lifts_nothing(statement, said):
                why[leaf] = NotApplied.GUARDIAN_REQUIRED
        return why

    async def _speaker(self, call: Call, client: Client, subject: str | None) -> str | None:
        if call.speaker is None:
            return None
        if call.role is not Role.GUARDIAN:
            if call.speaker != call.subject:
                await self._refuse_other_speaker(call.speaker, client, subject)
            return None
        try:
            speaker = (await people.seen(self._tx, client, call.speaker))[0].subject
        except SubjectNotFound:
            raise InvalidInput.at("/by/subject", "record the guardian first, with POST /v1/subjects") from None
        if speaker == subject:
            raise InvalidInput.at("/by/subject", "nobody is their own guardian; use the role subject")
        return speaker

    async def _refuse_other_speaker(self, speaker: Reference, client: Client, subject: str | None) -> None:
        """Somebody else's word is not taken for the person's own."""
        with suppress(SubjectNotFound):
            if (await people.seen(self._tx, client, speaker))[0].subject == subject:
                return
        told = "the person speaks for themself here, so leave it out; who speaks for a child has the role guardian"
        raise InvalidInput.at("/by/subject", told)

    def _add(
        self,
        call: Call,
        client: Client,
        subject: str,
        speaker: str | None,
        purpose: Purpose,
        statement: Statement,
        noes: Collection[str],
    ) -> RecordedEntry:
        why = self._objections(self._append.changes.states[subject], statement, speaker, noes)
        applied = [leaf for leaf, objection in why.items() if objection is None]
        because = next((objection for objection in why.values() if objection), None)
        body = ledger.StatementMade(
            at=self._append.at,
            recorded_by=client.id,
            subject=subject,
            action=statement.action,
            purpose=purpose.code,
            leaves=statement.wordings,
            applied=applied,
            not_applied_because=because,
            role=call.role,
            speaker=speaker,
            method=call.method,
            policy_version=call.policy_version,
            made_at=statement.made_at,
            expires_at=statement.expires_at,
        )
        index = self._append.add(body, _detail(call))
        return RecordedEntry(index, purpose.code, statement.action, tuple(applied), because)

    def _states(self, subject: str, purposes: Iterable[Purpose]) -> dict[str, LeafState]:
        state = self._append.changes.states[subject]
        shown = {leaf.code: leaf for purpose in purposes for leaf in purpose.leaves}
        now = {code: self._policy.find(code) or leaf for code, leaf in shown.items()}
        return {code: leaf_state(state, leaf, self._policy, self._append.at, self._zone) for code, leaf in now.items()}


def _attempt(call: Call, client: Client | None) -> Attempt | None:
    if call.key is None or client is None:
        return None
    return Attempt(client.id, OPERATION, call.key, call.fingerprints)


def _detail(call: Call) -> ledger.JsonObject | None:
    detail: ledger.JsonObject = {"staff": call.staff, "evidence": call.evidence}
    return {name: value for name, value in detail.items() if value is not None} or None


async def _policy_shown(tx: ReadTx, call: Call) -> Policy:
    policy = await policy_store.compiled(tx, call.policy_version)
    if policy is None:
        current = (await policies.in_force(tx)).policy.version
        raise InvalidInput.at("/policy_version", f"no such policy version was published; {current} is in force")
    return policy


def _purposes_named(policy: Policy, call: Call, client: Client) -> list[Purpose]:
    faults = [
        Fault(f"/statements/{position}/purpose", wrong)
        for position, said in enumerate(call.said)
        if (wrong := _wrong_with(policy, said.purpose))
    ]
    if faults:
        raise InvalidInput("A statement names a purpose that nobody can consent to; see errors.", errors=faults)
    foreign = sorted({said.purpose for said in call.said if not client.may_ask_for(said.purpose)})
    if foreign:
        raise ClientNotPermitted(f"This client is not registered for {', '.join(foreign)}.")
    return [purpose for said in call.said if (purpose := policy.find(said.purpose))]


def _wrong_with(policy: Policy, code: str) -> str | None:
    purpose = policy.find(code)
    if purpose is None:
        return policy.unknown_sentence(code)
    if purpose.concomitant:
        return "a concomitant use cannot be consented to by itself; name the purpose that it goes along with"
    if not purpose.leaves:
        return "this branch has no purposes yet, so there is nothing to consent to"
    return None


def _statements(call: Call, purposes: Sequence[Purpose], now: datetime) -> list[Statement]:
    faults = [fault for position, said in enumerate(call.said) for fault in _wrong_times(position, said, now)]
    if faults:
        raise InvalidInput("A statement has a time that cannot be; see errors.", errors=faults)
    return [
        Statement(
            said.action,
            said.made_at or now,
            said.expires_at,
            {leaf.code: leaf.wording.number for leaf in purpose.leaves},
            call.role,
        )
        for said, purpose in zip(call.said, purposes, strict=True)
    ]


def _wrong_times(position: int, said: Said, now: datetime) -> Iterable[Fault]:
    if said.made_at is not None and said.made_at > now + CLOCK_SKEW:
        yield Fault(f"/statements/{position}/made_at", "a statement cannot have been made in the future")
    if said.expires_at is not None and said.action is not Action.GRANT:
        yield Fault(f"/statements/{position}/expires_at", "only a grant expires; a no stands until it is lifted")
    elif said.expires_at is not None and said.expires_at <= now:
        yield Fault(f"/statements/{position}/expires_at", "the expiry must lie in the future")


def _noes_within(statements: Sequence[Statement]) -> Collection[str]:
    """The leaves that are refused or withdrawn by the call itself.

    Within one call a no outweighs a yes on the same leaf, whatever their order: "marketing, but not by e-mail".
    """
    return {leaf for statement in statements if statement.action is not Action.GRANT for leaf in statement.wordings}
