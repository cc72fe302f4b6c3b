"""Merging never turns a no into a yes: whatever was recorded of the two, by every reference, over HTTP."""

import os
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from consent_service.lanes import write_alone
from consent_service.settings import Settings
from consent_service.store.projection import TABLES
from consent_service.store.rebuild import rebuild
from tests.auditor import verified
from tests.family import LEAVES
from tests.publishing import edited, node, published, reworded
from tests.school import VERSION, Json, School
from tests.tables import all_of

FULL = bool(os.environ.get("CONSENT_TEST_FULL"))
EXAMPLES = 300 if FULL else 30
SECOND = "2026-11-02"
NOTICE = "identity_confirmation"
ASKED = [*LEAVES.values(), NOTICE, "marketing"]

_numbers = count()

leaves = st.sampled_from([*LEAVES.values(), *LEAVES.values(), NOTICE])
actions = st.sampled_from(["grant", "grant", "grant", "refuse", "withdraw"])
ends = st.sampled_from([None, None, 1, 50_000])  # in how many minutes a yes expires
versions = st.sampled_from([SECOND, SECOND, VERSION])
guardians = st.sampled_from(["mother", "father"])
guarded = st.tuples(
    st.just("guard"), guardians, st.sampled_from([True, True, False]), st.sampled_from([None, None, 5, -5])
)
changed = st.tuples(st.just("change"), guardians, st.sampled_from(["verify", "doubt", "end", "block", "unblock"]))
spoken = st.tuples(st.just("say"), st.sampled_from(["", "mother", "father"]), leaves, actions, ends, versions)
records = st.tuples(
    st.sampled_from(["sis", "sis", "person"]),
    st.sampled_from([None, "2014-05-02", "2010-11-25", "2001-02-28"]),
    st.sampled_from([None, None, None, "2026-11-01", "2026-12-01"]),
    st.lists(st.one_of(guarded, spoken, spoken, spoken, changed), max_size=8),
)


async def prepare(school: School) -> None:
    """A version with a leaf for each way of hearing guardians, one for which notice suffices, and all reworded."""
    if (await school.get("/v1/policy")).json()["policy"]["version"] == SECOND:
        return
    document = reworded(edited(SECOND), *LEAVES.values())
    for rule, leaf in LEAVES.items():
        node(document, leaf)["guardians"] = rule
        node(document, leaf)["survives_membership"] = leaf == "important_notices"
    node(document, NOTICE)["basis"] = "notice"
    await published(school, document, material=list(LEAVES.values()), editorial=[NOTICE])


class Story:
    """People of one example, who bear a number of their own."""

    def __init__(self, school: School) -> None:
        self.school = school
        self.number = next(_numbers)
        self.subs: dict[str, str] = {}

    def name(self, who: str) -> str:
        return f"person:{who}-{self.number}"

    async def enrol(self, who: str, **facts: Json) -> str:
        facts = {name: fact for name, fact in facts.items() if fact}
        self.subs[who] = await self.school.enrol(self.name(who), **facts)
        return self.subs[who]

    async def record(self, who: str, told: tuple[Any, ...]) -> None:
        """Let everything that was told of a record happen; what the service refuses does not."""
        namespace, born, ended, steps = told
        await self.enrol(who, kind="student" if namespace == "sis" else "customer", birth_date=born)
        for step in steps:
            self.school.clock.advance(seconds=1)
            await getattr(self, step[0])(who, *step[1:])
        if ended:
            change = {"membership": {"status": "ended", "ended_on": ended}}
            assert (await self.school.send("PATCH", f"/v1/subjects/{self.subs[who]}", change)).status_code == 200

    async def say(self, who: str, speaker: str, leaf: str, action: str, minutes: int | None, version: str) -> None:
        by = {"role": "guardian", "subject": self.name(speaker)} if speaker else {"role": "subject"}
        more: Json = {"by": by, "policy_version": version}
        if minutes and action == "grant":
            more["expires_at"] = (self.school.clock.now + timedelta(minutes=minutes)).isoformat()
        await self.school.say(self.name(who), (leaf, action), **more)

    async def guard(self, who: str, guardian: str, verified_: bool, days: int | None) -> None:
        body: Json = {"guardian": self.name(guardian), "ward": self.name(who), "relation": guardian}
        body |= {"verified_by": "office"} if verified_ else {}
        body |= {"from": "2026-11-28"} if days == 5 else {}
        body |= {"from": "2026-01-01", "until": "2026-11-18"} if days == -5 else {}
        await self.school.post("/v1/guardianships", body)

    async def change(self, who: str, guardian: str, how: str) -> None:
        body = {"verify": {"verified_by": "x"}, "doubt": {"verified_by": "x", "verified": False}}
        body |= {"block": {"reference": "court"}}
        for one in (await self.school.get(f"/v1/subjects/{self.subs[who]}/guardians")).json()["items"]:
            if one["guardian"] == self.subs[guardian]:
                path = f"/v1/guardianships/{one['id']}/{'verify' if how == 'doubt' else how}"
                await self.school.post(path, body.get(how, {}))

    async def yeses(self, reference: str) -> set[str]:
        """The purposes that are permitted."""
        questions = [{"subject": reference, "purpose": purpose} for purpose in ASKED]
        decisions = (await self.school.post("/v1/check/batch", {"questions": questions})).json()["decisions"]
        return {one["purpose"] for one in decisions if one["permitted"]}

    async def yeses_at(self, reference: str, size: int) -> set[str]:
        """The purposes that were permitted when the ledger had a size."""
        body: Json = {"subject": reference, "as_of": size}
        asked = [(one, await self.school.post("/v1/check/as-of", body | {"purpose": one})) for one in ASKED]
        assert all(response.status_code == 200 for _, response in asked), asked[0][1].text
        return {purpose for purpose, response in asked if response.json()["would_have_permitted"]}

    async def size(self) -> int:
        """How many entries there are."""
        question: Json = {"subject": self.name("one"), "purpose": NOTICE}
        size: int = (await self.school.post("/v1/check", question)).json()["as_of"]
        return size

    async def merge(self, who: str, other: str) -> None:
        response = await self.school.post(f"/v1/subjects/{self.subs[who]}/merge", {"other": self.name(other)})
        assert response.status_code == 200, response.text


async def two_records(school: School, one: tuple[Any, ...], other: tuple[Any, ...], third: tuple[Any, ...]) -> None:
    await prepare(school)
    story = Story(school)
    for guardian in ("mother", "father"):
        await story.enrol(guardian)
    for who, told in (("one", one), ("other", other), ("third", third)):
        await story.record(who, told)
    school.clock.advance(minutes=1)
    for who in ("other", "third"):
        before = [await story.yeses(story.name(name)) for name in ("one", who)]
        await story.merge("one", who)
        names = [refer for name in ("one", who) for refer in (story.name(name), story.subs[name])]
        after = [await story.yeses(name) for name in names]
        assert all(yes == after[0] for yes in after)
        assert after[0] <= before[0] & before[1]


async def halfway(school: School, one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    await prepare(school)
    story = Story(school)
    for guardian in ("mother", "father"):
        await story.enrol(guardian)
    for who, told in (("one", one), ("other", other)):
        await story.record(who, told)
    school.clock.advance(minutes=1)
    whole = await story.size()
    before = {name: await story.yeses(name) for who in ("one", "other") for name in (story.name(who), story.subs[who])}
    await story.merge("one", "other")
    for size in range(whole + 1, await story.size() + 1):
        for name, yeses in before.items():
            nobody = (
                {NOTICE} if name.startswith("person:") else set()
            )  # what is permitted of whom an id no longer names
            assert await story.yeses_at(name, size) <= yeses | nobody, (name, size)


async def two_guardians(school: School, told: tuple[Any, ...]) -> None:
    await prepare(school)
    story = Story(school)
    for guardian in ("mother", "father"):
        await story.enrol(guardian)
    await story.record("child", ("sis", *told[1:]))
    school.clock.advance(minutes=1)
    before = await story.yeses(story.name("child"))
    await story.merge("mother", "father")
    assert await story.yeses(story.name("child")) <= before


async def halfway_of_two_guardians(school: School, kept: str, told: tuple[Any, ...]) -> None:
    await prepare(school)
    story = Story(school)
    for guardian in ("mother", "father", "other"):
        await story.enrol(guardian)
    await story.record("one", ("sis", *told[1:]))
    school.clock.advance(minutes=1)
    whole, before = await story.size(), await story.yeses(story.name("one"))
    await story.merge(kept, "mother")
    for size in range(whole + 1, await story.size() + 1):
        assert await story.yeses_at(story.name("one"), size) <= before, size


many = hypothesis_settings(
    max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.mark.full
@many
@given(one=records, other=records, third=records)
def test_what_was_a_no_of_either_is_a_no_of_both(
    portal: BlockingPortal, open_for_many: School, one: tuple[Any, ...], other: tuple[Any, ...], third: tuple[Any, ...]
) -> None:
    portal.call(partial(two_records, open_for_many, one, other, third))


@pytest.mark.full
@hypothesis_settings(
    max_examples=EXAMPLES // 3, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(one=records, other=records)
@example(
    one=("person", None, None, [("say", "", "billing", "grant", None, SECOND)]),
    other=("person", None, None, [("say", "", "billing", "refuse", None, SECOND)]),
)
@example(
    one=("person", None, None, [("say", "", "billing", "grant", None, SECOND)]),
    other=("person", None, "2026-11-01", [("say", "", "billing", "grant", None, SECOND)]),
)
def test_nor_is_it_a_yes_at_a_size_of_the_ledger_in_the_middle_of_the_merger(
    portal: BlockingPortal, open_for_many: School, one: tuple[Any, ...], other: tuple[Any, ...]
) -> None:
    portal.call(partial(halfway, open_for_many, one, other))


@pytest.mark.full
@hypothesis_settings(
    max_examples=EXAMPLES // 3, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(kept=st.sampled_from(["other", "father"]), told=records)
@example(
    kept="other",
    told=(
        *("sis", "2014-05-02", None),
        [
            ("guard", "mother", True, None),
            ("guard", "father", True, None),
            ("say", "mother", "billing", "refuse", None, SECOND),
            ("say", "father", "billing", "grant", None, SECOND),
        ],
    ),
)
def test_nor_is_it_a_yes_of_a_ward_in_the_middle_of_the_merger_of_two_guardians(
    portal: BlockingPortal, open_for_many: School, kept: str, told: tuple[Any, ...]
) -> None:
    portal.call(partial(halfway_of_two_guardians, open_for_many, kept, told))


@pytest.mark.full
@many
@given(told=records)
def test_what_was_a_no_of_a_ward_is_a_no_after_two_guardians_were_merged(
    portal: BlockingPortal, open_for_many: School, told: tuple[Any, ...]
) -> None:
    portal.call(partial(two_guardians, open_for_many, told))


@hypothesis_settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(one=records, other=records, third=records)
def test_the_ledger_gives_the_merged_again_and_the_auditor_agrees(
    portal: BlockingPortal,
    open_for_many: School,
    settings: Settings,
    one: tuple[Any, ...],
    other: tuple[Any, ...],
    third: tuple[Any, ...],
) -> None:
    async def projection() -> list[list[tuple[Any, ...]]]:
        return [[tuple(row) for row in await all_of(open_for_many, table)] for table in TABLES]

    portal.call(partial(two_records, open_for_many, one, other, third))
    before = portal.call(projection)
    portal.call(write_alone, open_for_many.service.database, rebuild)
    assert portal.call(projection) == before
    assert portal.call(verified, settings).findings == []
