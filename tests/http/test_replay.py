"""The law of the record: the same question against the ledger as of then gives the same answer, whatever came later."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any

from anyio.from_thread import BlockingPortal
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from consent_service.core import ledger as entries
from consent_service.core.clients import Scope
from consent_service.core.policy_file import to_document
from consent_service.lanes import write_alone
from consent_service.policies import shipped
from consent_service.store import ledger
from consent_service.store.db import WriteTx
from tests.school import EMAIL, Json, School

Step = tuple[Any, ...]

PEOPLE = ("person:1", "sis:1", "crm:1")
REGISTRATIONS: tuple[list[str], ...] = (
    [],
    ["marketing"],
    ["billing", "concomitant_use"],
    ["surveys", "concomitant_use"],
)
NAMESPACES: tuple[list[str], ...] = ([], ["person"], ["sis", "crm"])
LEAST = timedelta(milliseconds=1)

_numbers = count()

people = st.sampled_from(PEOPLE)
codes = st.sampled_from(["billing", "billing", EMAIL, EMAIL, "marketing", "surveys.analysis", "terms_of_use", "biling"])
questions = st.one_of(
    st.builds(lambda code: {"purpose": code}, codes),
    st.builds(lambda code: {"purpose": "concomitant_use", "within": code}, codes),
    st.just({"purpose": "concomitant_use"}),
)
told = st.tuples(
    st.just("say"),
    people,
    st.sampled_from(["billing", "marketing", EMAIL, "surveys"]),
    st.sampled_from(["grant", "grant", "grant", "refuse", "withdraw"]),
    st.sampled_from([0, 0, 2]),
    st.sampled_from([None, 1, 30]),
)
changed = st.one_of(
    st.tuples(st.just("link"), people, people),
    st.tuples(st.just("unlink"), people, people),
    st.tuples(st.just("merge"), people, people),
    st.tuples(st.just("membership"), people, st.sampled_from([None, 0, 1])),
    st.tuples(st.just("publish"), st.sampled_from(["billing", "marketing", "surveys"]), st.sampled_from([0, 1])),
    st.tuples(st.just("client"), st.sampled_from(REGISTRATIONS), st.sampled_from(NAMESPACES)),
    st.tuples(st.just("revoke")),
    st.tuples(st.just("time"), st.sampled_from([timedelta(hours=1), timedelta(days=1), timedelta(hours=-2)])),
)
asked = st.one_of(
    st.tuples(st.just("check"), people, questions, st.booleans(), st.integers(0, 3)),
    st.tuples(st.just("filter"), questions, st.integers(0, 3)),
    st.tuples(st.just("evaluate"), people, codes, st.integers(0, 3)),
)
histories = st.lists(st.one_of(told, told, changed, asked, asked), min_size=6, max_size=24)

RARE: list[Step] = [
    ("client", [], ["person"]),
    ("say", "sis:1", "billing", "grant", 0, 1),
    ("check", "sis:1", {"purpose": "billing"}, True, 0),  # a yes that will have expired
    ("check", "sis:1", {"purpose": "billing"}, False, 1),  # in a namespace that is foreign to the client
    ("time", timedelta(hours=-2)),
    ("publish", "billing", 0),  # in force from before the checks, by a clock that was put back
]

once_opened = hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


class Story:
    """One history in a school that has had others: its people and clients bear a number of their own."""

    def __init__(self, school: School) -> None:
        self.school = school
        self.number = next(_numbers)
        self.clients: list[tuple[str, str, str]] = []
        self.decisions: list[str] = []
        self.answered: list[tuple[str, Json, Json]] = []

    async def play(self, history: Sequence[Step]) -> None:
        """What is said just before a question has its very instant; what comes behind it has a later one."""
        for what, *words in history:
            await getattr(self, what)(*words)
            if what in ("check", "filter", "evaluate"):
                self.school.clock.now += LEAST

    async def turn_round(self) -> None:
        """What came later: every yes that expires has expired, and everybody has said something else and left, and
        turned out to be one person."""
        self.school.clock.now += timedelta(days=2)
        for person in PEOPLE:
            await self.say(person, EMAIL, "withdraw", 0, None)
            self.school.clock.now += LEAST
            for purpose in ("billing", "marketing", "surveys"):
                await self.say(person, purpose, "grant", 0, None)
            await self.membership(person, 0)
            await self.merge(PEOPLE[0], person)
        self.school.clock.now += LEAST

    async def say(self, person: str, purpose: str, action: str, days_ago: int, expires_in: int | None) -> None:
        now, more = self.school.clock.now, {}
        if expires_in is not None and action == "grant":
            more = {"expires_at": (now + timedelta(hours=expires_in)).isoformat()}
        made_at = (now - timedelta(days=days_ago)).isoformat()
        await self.school.say(self._named(person), (purpose, action), made_at=made_at, **more)

    async def link(self, person: str, other: str) -> None:
        await self._change(person, {"add_identifiers": [self._named(other)]})

    async def unlink(self, person: str, other: str) -> None:
        await self._change(person, {"remove_identifiers": [self._named(other)]})

    async def merge(self, person: str, other: str) -> None:
        if subject := await self._subject(person):
            await self.school.post(f"/v1/subjects/{subject}/merge", {"other": self._named(other)})

    async def membership(self, person: str, ends_in: int | None) -> None:
        ended_on = (self.school.clock.now + timedelta(days=ends_in or 0)).date().isoformat()
        ended = {"status": "active"} if ends_in is None else {"status": "ended", "ended_on": ended_on}
        await self._change(person, {"membership": ended})

    async def publish(self, without: str, in_days: int) -> None:
        """A later version that leaves a purpose out, at once or from another day."""
        kept = tuple(one for one in shipped().purposes if one.code != without)
        policy = replace(shipped(), version=f"without-{without}-{next(_numbers)}", purposes=kept)

        async def append(tx: WriteTx) -> None:
            opened = await ledger.begin(tx)
            body = entries.PolicyPublished(
                at=opened.at,
                recorded_by=entries.OPERATOR,
                version=policy.version,
                effective_at=opened.at + timedelta(days=in_days),
                policy=to_document(policy),
            )
            opened.add(body)
            await opened.write()

        await write_alone(self.school.service.database, append)

    async def client(self, purposes: list[str], namespaces: list[str]) -> None:
        new = {"name": f"c{next(_numbers)}", "scopes": [Scope.CHECK], "purposes": purposes, "namespaces": namespaces}
        made = await self.school.post("/v1/clients", new)
        if made.status_code == 201:  # else the version in force leaves out one of the purposes
            self.clients.append((made.json()["name"], made.json()["key"], made.json()["id"]))

    async def revoke(self) -> None:
        if self.clients:
            await self.school.send("DELETE", f"/v1/clients/{self.clients.pop(0)[2]}")

    async def time(self, span: timedelta) -> None:
        self.school.clock.now += span

    async def check(self, person: str, question: Json, by_pseudonym: bool, number: int) -> None:
        subject = await self._subject(person) if by_pseudonym else None
        body = {"subject": subject or self._named(person), **question}
        answer = await self.school.post("/v1/check", body, key=self._key(number))
        if answer.status_code == 200:
            self.decisions.append(answer.json()["decision_id"])
            if subject and self._key(number) is None:
                self.answered.append((subject, question, answer.json()))

    async def filter(self, question: Json, number: int) -> None:
        body = {**question, "subjects": [self._named(person) for person in PEOPLE]}
        answer = await self.school.post("/v1/check/filter", body, key=self._key(number))
        if answer.status_code == 200:
            whole = answer.json()["decision_id"]
            parts = (await self.school.get(f"/v1/decisions/{whole}/parts")).json()["items"]
            assert len(parts) == len(PEOPLE)
            self.decisions += [one["decision_id"] for one in parts]

    async def evaluate(self, person: str, code: str, number: int) -> None:
        """Asked in AuthZEN's words, for another client."""
        name = self.clients[number - 1][0] if 0 < number <= len(self.clients) else "tests"
        body = {
            "subject": {"type": "client", "id": name},
            "action": {"name": code},
            "resource": {"type": "person", "id": self._named(person)},
        }
        answer = (await self.school.post("/access/v1/evaluation", body)).json()
        if decision_id := answer.get("context", {}).get("decision_id"):
            self.decisions.append(decision_id)

    async def replay_all(self) -> None:
        for decision_id in self.decisions:
            recorded = (await self.school.get(f"/v1/decisions/{decision_id}")).json()
            response = await self.school.post(f"/v1/decisions/{decision_id}/replay", None)
            assert response.status_code == 200, (recorded, response.text)
            again = response.json()
            assert again["same"], (recorded, again)
            assert again["replayed"] == {
                "would_have_permitted": recorded["permitted"],
                "reasons": recorded["reasons"],
                "expires_at": recorded["expires_at"],
                "policy_version": recorded["policy_version"],
            }

    async def ask_of_the_past(self) -> None:
        for subject, question, then in self.answered:
            body = {"subject": subject, **question, "at": then["decided_at"]}
            response = await self.school.post("/v1/check/as-of", body)
            assert response.status_code == 200, response.text
            would = response.json()
            assert would.pop("at") == then["decided_at"]
            assert would.pop("would_have_permitted") is then["permitted"]
            assert would == {name: then[name] for name in would}

    def _named(self, person: str) -> str:
        return f"{person}-{self.number}"

    def _key(self, number: int) -> str | None:
        """One of the story's clients, or else the tests' own."""
        return self.clients[number - 1][1] if 0 < number <= len(self.clients) else None

    async def _subject(self, person: str) -> str | None:
        found = await self.school.post("/v1/subjects/lookup", {"subject": self._named(person)})
        return str(found.json()["subject"]) if found.status_code == 200 else None

    async def _change(self, person: str, change: Json) -> None:
        if subject := await self._subject(person):
            await self.school.send("PATCH", f"/v1/subjects/{subject}", change)


async def replayed(school: School, history: Sequence[Step]) -> None:
    story = Story(school)
    await story.play(history)
    await story.turn_round()
    await story.replay_all()


async def asked_of_the_past(school: School, history: Sequence[Step]) -> None:
    story = Story(school)
    await story.play([step for step in history if step[0] != "time" or step[1] > timedelta()])
    await story.turn_round()
    await story.ask_of_the_past()


@once_opened
@given(history=histories)
@example(history=RARE)
def test_every_recorded_decision_replays_to_the_same_answer_whatever_came_later(
    portal: BlockingPortal, open_for_many: School, history: Sequence[Step]
) -> None:
    portal.call(partial(replayed, open_for_many, history))


@once_opened
@given(history=histories)
@example(history=RARE)
def test_a_check_as_of_the_instant_of_a_decision_gives_its_answer(
    portal: BlockingPortal, open_for_many: School, history: Sequence[Step]
) -> None:
    portal.call(partial(asked_of_the_past, open_for_many, history))
