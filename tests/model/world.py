"""The service as the model plays with it: its operations, in a transaction of a real database that is forgotten."""

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, TypeVar

import aiosqlite
import pytest
import uvloop

from consent_service.core.clients import Client, Scope
from consent_service.core.consent import Action, Method, Role
from consent_service.core.decision import Decision, Question, Verdict
from consent_service.core.errors import ConsentError
from consent_service.core.guardianship import GuardianshipChange
from consent_service.core.ledger import StatementMade
from consent_service.core.people import Identifier, Membership, MembershipStatus, Pseudonym
from consent_service.core.policy import Policy, SubjectKind
from consent_service.core.publication import Declared
from consent_service.lanes import write_alone
from consent_service.operations import (
    checks,
    clients,
    consents,
    guardianships,
    merging,
    people,
    publications,
    standings,
)
from consent_service.operations.checks import Asked
from consent_service.operations.clients import NewClient
from consent_service.operations.consents import Call, Recorded, Said
from consent_service.operations.guardianships import NewGuardianship, Step
from consent_service.operations.people import NewSubject, SubjectChange
from consent_service.operations.publications import Proposal
from consent_service.service import Service, running
from consent_service.settings import Settings
from consent_service.store.db import Trust, WriteTx
from tests.clock import Clock
from tests.model import editions
from tests.model.oracle import SELF, TOKYO, Answer, Event

Result = TypeVar("Result")
Driver = Any

_NAMESPACES = {"student": "sis", "customer": "person"}
_STEPS = {
    "verify": (GuardianshipChange.VERIFIED, {"verified_by": "office"}),
    "doubt": (GuardianshipChange.UNVERIFIED, {}),
    "end": (GuardianshipChange.ENDED, {}),
    "block": (GuardianshipChange.BLOCKED, {"reference": "court"}),
    "unblock": (GuardianshipChange.UNBLOCKED, {}),
}


@dataclass(slots=True)
class Home:
    """An open service whose database holds a client and the first version, and no people."""

    loop: asyncio.AbstractEventLoop
    service: Service
    clock: Clock
    client: Client
    key_hash: str
    embedded: bool

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Wait for some work; SQLite's is done on the spot, so it needs no loop."""
        if self.embedded:
            try:
                work.send(None)
            except StopIteration as done:
                result: Result = done.value
                return result
            raise RuntimeError("this had to wait for something")
        return self.loop.run_until_complete(work)


@contextmanager
def at_home(settings: Settings, clock: Clock) -> Iterator[Home]:
    """Open the service for many examples."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, _on_the_spot():
        opening, loop = running(settings, clock=clock, pause=clock.pause), runner.get_loop()
        service = loop.run_until_complete(_entered(opening))
        made = loop.run_until_complete(write_alone(service.database, _furnish))
        key_hash = service.database.keyring.key_hash(made.key)
        embedded = service.database.writing is not service.database.reading
        yield Home(loop, service, clock, made.client, key_hash, embedded)
        loop.run_until_complete(_left(opening))


@contextmanager
def _on_the_spot() -> Iterator[None]:
    """SQLite's driver asks the database in our own thread: two thirds of the time went into changing threads."""
    in_its_thread: Driver = aiosqlite.Connection._execute

    async def at_once(self: Driver, work: Driver, *given: Driver, **named: Driver) -> Driver:
        if self._connection is None or work == self._connection.close:
            return await in_its_thread(self, work, *given, **named)
        return work(*given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aiosqlite.Connection, "_execute", at_once)
        yield


async def _entered(opening: AbstractAsyncContextManager[Service]) -> Service:
    return await opening.__aenter__()


async def _left(opening: AbstractAsyncContextManager[Service]) -> None:
    await opening.__aexit__(None, None, None)


async def _furnish(tx: WriteTx) -> clients.CreatedClient:
    await _publish(tx, editions.policy(editions.first()), Declared())
    return await clients.create(tx, None, NewClient("model", tuple(Scope)))


async def _publish(tx: WriteTx, policy: Policy, declared: Declared) -> dict[str, int]:
    """Publish with the lapses confirmed; answers them, by leaf."""
    found = await publications.impact(tx, None, Proposal(policy, declared, 0))
    proposal = Proposal(policy, declared, sum(found.lapses.values()))
    return (await publications.publish(tx, None, proposal, found, zone=TOKYO)).lapses


class Forgotten(Exception):
    """Ends the transaction of an example, so that nothing of it stays."""


class World:
    """One example's people and policies: a ledger of its own, which the database forgets in the end."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._transaction = home.service.database.write()
        self._tx = home.loop.run_until_complete(self._begun())
        self.as_of = 0  # the ledger's size that the last answers rest on
        self._subjects: dict[str, str] = {}
        self._guardianships: dict[str, str] = {}

    async def _begun(self) -> WriteTx:
        """What the process would remember of an example is forgotten with it."""
        tx = await self._transaction.__aenter__()
        return replace(tx, compiled=dict(tx.compiled), trust=Trust())

    def forget(self) -> None:
        """Roll everything back."""

        async def undone() -> None:
            await self._transaction.__aexit__(Forgotten, Forgotten(), None)

        self._home.loop.run_until_complete(undone())

    @property
    def now(self) -> datetime:
        """The clock's time."""
        return self._home.clock.now

    @property
    def _now(self) -> WriteTx:
        """The transaction, as if it began now."""
        return replace(self._tx, now=self.now)

    def record(self, who: str, kind: str) -> None:
        """Record a person."""
        new = NewSubject((Identifier(_NAMESPACES[kind], who),), SubjectKind(kind))
        made = self._home.run(people.create(self._now, self._home.client, new, zone=TOKYO))
        self._subjects[who] = made.subject

    def change(self, who: str, *, kind: str | None = None, facts: dict[str, date | str | None] | None = None) -> None:
        """Change what is known about a person."""
        self._change(who, SubjectChange(SubjectKind(kind) if kind else None, facts))

    def leave(self, who: str, day: date | None) -> None:
        """End a person's membership on a day; None to take that back."""
        status = MembershipStatus.ACTIVE if day is None else MembershipStatus.ENDED
        self._change(who, SubjectChange(membership=Membership(status, day)))

    def _change(self, who: str, wanted: SubjectChange) -> None:
        self._home.run(people.change(self._now, self._home.client, self._sub(who), wanted, zone=TOKYO))

    def merge(self, who: str, other: str) -> str | None:
        """Merge one record into another; answers what is wrong with that."""
        client, sub = self._home.client, self._sub(other)
        known = self._home.run(merging.mentions(self._now, client, sub))
        try:
            self._home.run(merging.merge(self._now, client, self._sub(who), sub, known, zone=TOKYO))
        except ConsentError as error:
            return error.code
        return None

    def guard(self, name: str, guardian: str, ward: str, facts: Event) -> str | None:
        """Record a guardianship; answers what is wrong with it."""
        by = "office" if facts["verified"] else None
        new = NewGuardianship(self._sub(guardian), self._sub(ward), "x", by, None, facts["from"], facts["until"])
        try:
            made = self._home.run(guardianships.create(self._now, self._home.client, new, zone=TOKYO))
        except ConsentError as error:
            return error.code
        self._guardianships[name] = made.id
        return None

    def step(self, name: str, how: str, until: datetime | None) -> str | None:
        """Verify, doubt, end, block or unblock a guardianship; answers what is wrong with that."""
        change, detail = _STEPS[how]
        step = Step(change, detail, until=until)
        changed = guardianships.change(self._now, self._home.client, self._guardianships[name], step, zone=TOKYO)
        try:
            self._home.run(changed)
        except ConsentError as error:
            return error.code
        return None

    def say(self, call: Event) -> Recorded | str:
        """Make a call; answers what became of it, or why it was refused."""
        said = tuple(
            Said(one["purpose"], Action(one["word"]), one["said_at"], one["expires_at"]) for one in call["statements"]
        )
        speaker = None if call["who"] == SELF else self._sub(call["who"])
        role = Role.GUARDIAN if speaker else Role.STAFF if call["by_staff"] else Role.SUBJECT
        asked = Call(
            self._home.key_hash,
            self._sub(call["subject"]),
            said,
            role,
            Method.PAPER,
            call["shown"],
            speaker,
            "desk" if call["by_staff"] or speaker else None,
        )
        (answer,) = self._home.run(consents.record(self._now, [asked], zone=TOKYO))
        if isinstance(answer, ConsentError):
            return answer.code
        return answer

    def publish(self, version: Event, effective_at: datetime | None) -> dict[str, int]:
        """Publish a version; answers the yeses that lapse, by leaf."""
        policy = editions.policy(version, effective_at=effective_at)
        declared = Declared(tuple(sorted(version["material"])), tuple(sorted(version["editorial"])))
        return self._home.run(_publish(self._now, policy, declared))

    def answers(self, questions: Sequence[tuple[str, str]]) -> list[Answer]:
        """What a check says to each question."""
        asked = [Asked(self._home.key_hash, Question(self._sub(who), purpose)) for who, purpose in questions]
        decided = self._home.run(checks.answer_unrecorded(self._now, asked, zone=TOKYO))
        answers = [one for one in decided if isinstance(one, Decision)]
        self.as_of = answers[0].as_of
        return [_answer(one.verdict) for one in answers]

    def answer_at(self, who: str, purpose: str, then: datetime | int) -> Answer:
        """What a check would have said at an instant, or at a size of the ledger."""
        question = Question(self._sub(who), purpose)
        as_of, at = (None, then) if isinstance(then, datetime) else (then, None)
        asking = checks.answer_as_of(self._now, self._home.client, question, as_of=as_of, at=at, zone=TOKYO)
        return _answer(self._home.run(asking).verdict)

    def states(self, who: str, at: datetime | int | None = None) -> dict[str, tuple[str, int | None]]:
        """What stands leaf by leaf, and the entry that it rests on; now, or at a moment."""
        client, sub = self._home.client, self._sub(who)
        asking = (
            standings.states(self._now, client, sub, zone=TOKYO)
            if at is None
            else standings.states_at(self._now, client, sub, at, zone=TOKYO)
        )
        return {leaf: (one.state.value, one.index) for leaf, one in self._home.run(asking).states.items()}

    def heard(self, who: str) -> list[tuple[int, str, list[str]]]:
        """Every statement about a person: its entry, what it says, and the leaves that it changed."""
        reading = standings.history(self._now, self._home.client, self._sub(who), after=-1, limit=1000)
        entries, _ = self._home.run(reading)
        bodies = [(one.index, one.body) for one in entries if isinstance(one.body, StatementMade)]
        return [(index, body.action.value, list(body.applied)) for index, body in bodies]

    def _sub(self, who: str) -> Pseudonym:
        return Pseudonym(self._subjects[who])


def _answer(verdict: Verdict) -> Answer:
    reasons = tuple((one.purpose, one.code.value) for one in verdict.reasons)
    return verdict.permitted, reasons, verdict.expires_at
