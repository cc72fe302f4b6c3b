"""Families through whatever happens to them, against an oracle of plain dictionaries, over HTTP, on both databases.

This is the small sister of tests/model, which knows more of the world and asks the operations.
"""

import os
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.family import LEAVES, prepare
from tests.family_oracle import CHILD, TOKYO, UNDER_AGE, Oracle
from tests.school import School

FULL = bool(os.environ.get("CONSENT_TEST_FULL"))
EXAMPLES, STEPS = (500, 50) if FULL else (40, 24)
FOREVER, ALWAYS = datetime(9999, 1, 1, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)
UNTIL_SIXTEEN = (None, -2000, -1, 1, 4, 10, 40, 2000)
"""In how many days a child comes of age; None for one whose birth date nobody knows."""

Step = tuple[Any, ...]

_families = count()

guardians = st.sampled_from(["mother", "father"])
leaves = st.sampled_from(list(LEAVES.values()))
words = st.sampled_from(["yes", "yes", "no"])
guarded = (st.sampled_from([True, True, False]), st.sampled_from([None, None, 5]), st.sampled_from([None, 9, 20]))
spoken = st.tuples(st.just("say"), st.sampled_from([*["mother", "father"] * 4, CHILD]), leaves, words)
families = st.tuples(
    st.tuples(st.just("guard"), st.just("mother"), *guarded), st.tuples(st.just("guard"), st.just("father"), *guarded)
)
steps = st.one_of(
    spoken,
    spoken,
    st.tuples(st.just("guard"), guardians, *guarded),
    st.tuples(st.just("change"), guardians, st.sampled_from(["verify", "doubt", "end", "block", "unblock"])),
    st.tuples(st.just("wait"), st.sampled_from([1, 6, 30])),
    st.tuples(st.just("born"), st.sampled_from(UNTIL_SIXTEEN)),
)


class Model:
    """A family in the service and in the oracle."""

    def __init__(self, school: School, until_sixteen: int | None) -> None:
        self.school = school
        self.number = next(_families)
        self.oracle = Oracle(self.birth(until_sixteen))
        self.ids: dict[str, str] = {}

    def birth(self, until_sixteen: int | None) -> date | None:
        """The birth date of who comes of age in so many days."""
        if until_sixteen is None:
            return None
        day = self.school.clock.now.astimezone(TOKYO).date() + timedelta(days=until_sixteen)
        return day.replace(year=day.year - UNDER_AGE, day=min(day.day, 28))

    def name(self, who: str) -> str:
        return f"{'sis' if who == CHILD else 'person'}:{who}-{self.number}"

    async def begin(self) -> None:
        born = self.oracle.born
        self.sub = await self.school.enrol(self.name(CHILD), birth_date=born and born.isoformat())
        for who in ("mother", "father"):
            await self.school.enrol(self.name(who))

    async def take(self, step: Step) -> None:
        self.school.clock.advance(seconds=1)
        match step:
            case ("say", who, leaf, word):
                await self.say(who, leaf, word)
            case ("guard", who, verified, begin, end):
                await self.guard(who, verified, begin, end)
            case ("change", who, how):
                await self.change(who, how)
            case ("wait", days):
                await self.wait(days)
            case _:
                self.oracle.born = born = self.birth(step[1])
                await self.school.send("PATCH", f"/v1/subjects/{self.sub}", {"birth_date": born and born.isoformat()})

    async def say(self, who: str, leaf: str, word: str) -> None:
        now = self.school.clock.now
        by = {"role": "subject"} if who == CHILD else {"role": "guardian", "subject": self.name(who)}
        response = await self.school.say(self.name(CHILD), (leaf, {"yes": "grant", "no": "refuse"}[word]), by=by)
        refusal = self.oracle.refusal(leaf, who, word, now)
        assert (response.status_code, response.json().get("code")) == ((422, refusal) if refusal else (201, None))
        if refusal is None:
            self.oracle.say(leaf, who, word, now)

    async def guard(self, who: str, verified: bool, begin: int | None, end: int | None) -> None:
        if who in self.ids:
            return
        now = self.school.clock.now
        period = {"from": begin, "until": end}
        at = {name: now + timedelta(days=days) for name, days in period.items() if days}
        body: dict[str, Any] = {"guardian": self.name(who), "ward": self.name(CHILD), "relation": who}
        body |= {name: when.isoformat() for name, when in at.items()}
        body |= {"verified_by": "office"} if verified else {}
        response = await self.school.post("/v1/guardianships", body)
        assert response.status_code == 201, response.text
        self.ids[who] = response.json()["id"]
        known = {"from": at.get("from", ALWAYS), "until": at.get("until", FOREVER)}
        self.oracle.guardianships[who] = known | {"verified": verified, "blocked": None}

    async def change(self, who: str, how: str) -> None:
        if who not in self.ids:
            return
        now, one = self.school.clock.now, self.oracle.guardianships[who]
        path = {"doubt": "verify"}.get(how, how)
        body: dict[str, dict[str, Any]] = {
            "verify": {"verified_by": "x"},
            "doubt": {"verified_by": "x", "verified": False},
            "block": {"reference": "x"},
        }
        response = await self.school.post(f"/v1/guardianships/{self.ids[who]}/{path}", body.get(how, {}))
        if response.status_code == 422:
            assert (how == "end" and not one["from"] < now <= one["until"]) or (how == "unblock" and not one["blocked"])
            return
        changed: dict[str, dict[str, Any]] = {
            "verify": {"verified": True},
            "doubt": {"verified": False},
            "end": {"until": now},
            "block": {"blocked": one["blocked"] or now},
            "unblock": {"blocked": None},
        }
        one |= changed[how]

    async def wait(self, days: int) -> None:
        """Time alone turns no no into a yes, but where a guardianship begins, or ends where all have to agree."""
        before = await self.answers()
        begins = [one for one in self.oracle.guardianships.values() if one["from"] > self.school.clock.now]
        self.school.clock.advance(days=days)
        for rule, answer in (await self.answers()).items():
            if before[rule] != "consent_granted" and rule != "all" and not begins:
                assert answer != "consent_granted"

    async def answers(self) -> dict[str, str]:
        questions = [{"subject": self.name(CHILD), "purpose": leaf} for leaf in LEAVES.values()]
        decisions = (await self.school.post("/v1/check/batch", {"questions": questions})).json()["decisions"]
        assert all(len(one["reasons"]) == 1 for one in decisions)
        return {rule: one["reasons"][0]["code"] for rule, one in zip(LEAVES, decisions, strict=True)}

    async def compare(self) -> None:
        now = self.school.clock.now
        assert await self.answers() == {rule: self.oracle.answer(leaf, rule, now) for rule, leaf in LEAVES.items()}


async def live(school: School, until_sixteen: int | None, told: list[Step]) -> None:
    if (await school.get("/v1/policy")).json()["policy"]["version"] == "2026-11-01":
        await prepare(school)
    family = Model(school, until_sixteen)
    await family.begin()
    for step in told:
        await family.take(step)
        await family.compare()


@pytest.mark.full
@hypothesis_settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@example(  # two who disagree, until a corrected birth date shows that the yes came when the child was of age already
    until_sixteen=None,
    begun=(("guard", "mother", True, None, None), ("guard", "father", True, None, None)),
    told=[
        ("say", "mother", LEAVES["any_refusal_wins"], "no"),
        ("say", "father", LEAVES["any_refusal_wins"], "yes"),
        ("born", -2000),
    ],
)
@given(
    until_sixteen=st.sampled_from(UNTIL_SIXTEEN),
    begun=families,
    told=st.lists(steps, min_size=STEPS // 2, max_size=STEPS),
)
def test_a_family_is_answered_as_the_oracle_says(
    portal: BlockingPortal, open_for_many: School, until_sixteen: int | None, begun: tuple[Step, ...], told: list[Step]
) -> None:
    portal.call(partial(live, open_for_many, until_sixteen, [*begun, *told]))
