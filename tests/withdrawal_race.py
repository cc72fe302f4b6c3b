"""The withdrawal race: people say yes and take it back in turn while others ask about them as fast as they can.

The law: a check that is sent after a withdrawal's 201 was received, and answered before the next grant is sent, is
never permitted; and the same the other way round. One thread sends and receives everything, so before and after are
the order of its own steps, and no clock is read.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle

from tests.school import statements
from tests.wire import Answer, Json, Request, Wire, wires

_JUDGED = 8  # checks after each withdrawal, before the next grant
_YES = 2  # after each grant, before the next withdrawal


class Person:
    """One person: what everybody must know of their word, and how the checks about them are judged by it."""

    def __init__(self, name: str, key: str) -> None:
        self._grant, self._withdrawal, self._question = (request.encoded(key) for request in _requests(name))
        self.judged: Counter[bool] = Counter()  # by what the answer had to be
        self.wrong: list[Json] = []
        self._stands(None)

    async def say_yes(self, wire: Wire) -> None:
        """Grant, and wait until checks were judged by it."""
        self._stands(None)
        while not _applied(await wire.send(self._grant)):
            pass  # it came within a millisecond of the withdrawal, or there was no answer
        self._stands(True)
        await self._judged(_YES)

    async def take_back(self, wire: Wire) -> None:
        """Withdraw; the last step is to note that it was acknowledged."""
        self._stands(None)
        while (await wire.send(self._withdrawal)).status != 201:
            pass
        self._stands(False)

    async def be_refused(self) -> None:
        """Wait until checks were judged by the withdrawal."""
        await self._judged(_JUDGED)

    async def ask(self, wire: Wire) -> Answer:
        """Check, and judge the answer if the same word stood all the time from the question to the answer."""
        word, spell = self._word, self._spell
        answer = await wire.send(self._question)
        if answer.status == 200 and word is not None and spell is self._spell:
            self._judge(answer.json, word)
        return answer

    def _stands(self, word: bool | None) -> None:
        """What stands from now on; None while a statement is under way."""
        self._word = word
        self._spell = asyncio.Semaphore(0)  # released with each answer that is judged in this spell

    def _judge(self, answer: Json, word: bool) -> None:
        self.judged[word] += 1
        self._spell.release()
        if answer["permitted"] is not word:
            self.wrong.append(answer)

    async def _judged(self, checks: int) -> None:
        for _ in range(checks):
            await self._spell.acquire()


@dataclass(slots=True)
class Outcome:
    """How the race went: the people, the answers to all checks by their status, and those that were none."""

    people: list[Person]
    statuses: Counter[int] = field(default_factory=Counter)
    refused: list[Answer] = field(default_factory=list)

    @property
    def wrong(self) -> list[Json]:
        """The answers that were not what the standing, acknowledged word says."""
        return [answer for person in self.people for answer in person.wrong]

    def judged(self, word: bool) -> int:
        """How many answers had to be this."""
        return sum(person.judged[word] for person in self.people)

    def hear(self, answer: Answer) -> None:
        """Count an answer."""
        self.statuses[answer.status] += 1
        if answer.status != 200:
            self.refused.append(answer)


async def race(
    key: str, *, stating: int, checking: int, checks: int, connections: int = 64, people: int = 16
) -> Outcome:
    """Race until so many checks were answered with 200: statements to one port, checks to another (or the same)."""
    outcome = Outcome([Person(f"person:{n}", key) for n in range(people)])
    async with (
        wires(stating, people) as say,
        wires(checking, people) as probe,
        wires(checking, connections) as ask,
        asyncio.TaskGroup() as group,
    ):
        turning = [group.create_task(_turn(outcome, *who)) for who in zip(outcome.people, say, probe, strict=True)]
        asked = cycle(outcome.people)
        await asyncio.gather(*(_ask(outcome, asked, wire, checks) for wire in ask))
        for task in turning:
            task.cancel()
    return outcome


async def _turn(outcome: Outcome, person: Person, say: Wire, probe: Wire) -> None:
    while True:
        await person.say_yes(say)
        await person.take_back(say)
        outcome.hear(await person.ask(probe))  # in the next instant, on a connection that was kept free for it
        await person.be_refused()


async def _ask(outcome: Outcome, asked: Iterator[Person], wire: Wire, checks: int) -> None:
    while outcome.statuses[200] < checks:
        outcome.hear(await next(asked).ask(wire))


def _requests(name: str) -> Iterator[Request]:
    for action in ("grant", "withdraw"):
        yield Request("/v1/consents", statements(name, ("billing", action)))
    yield Request("/v1/check", {"subject": name, "purpose": "billing"})


def _applied(answer: Answer) -> bool:
    return answer.status == 201 and answer.json["entries"][0]["applied"]
