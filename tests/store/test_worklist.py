"""The database leaves to the rules whom they have to hear, and counts the others as the rules would."""

import re
from dataclasses import replace
from datetime import date, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import update

from consent_service.core.clients import Client, Scope
from consent_service.core.consent import Action, Standing
from consent_service.core.guardianship import Guardianship, guardianship_id
from consent_service.core.people import Membership, MembershipStatus
from consent_service.core.policy import SubjectKind
from consent_service.core.projection import SubjectState, to_document
from consent_service.core.standings import Leaves, Voices
from consent_service.core.voices import OWN
from consent_service.core.worklist import FINDINGS, Item, Terms, Work
from consent_service.operations import policies, worklist
from consent_service.operations.worklist import Wanted, WorkList
from consent_service.store import seals
from consent_service.store.tables import subject_identifier, subject_state
from tests.publishing import edited, leaf, node, published, reworded
from tests.school import Json, School

pytestmark = pytest.mark.anyio

TOKYO = ZoneInfo("Asia/Tokyo")
LEAVES = ["billing", "heard", "important_notices", "inquiry_response", "membership", "surveys.analysis"]
"""Two of them are called as other members of the document are."""
CHANGED = ["billing", "inquiry_response"]
GUARDIANS = [f"sub_{'0' * 24}{number:02}" for number in range(3)]
PEOPLE = 400


async def prepare(school: School, **policy: Json) -> None:
    """A policy with a rule for guardians of each kind, a leaf that survives, and two that changed."""
    first = edited("v1")
    first["purposes"] += [leaf("heard"), leaf("membership", basis="notice")]
    for code, rule in {"important_notices": "all", "inquiry_response": "latest"}.items():
        node(first, code)["guardians"] = rule
    for code in LEAVES:
        node(first, code)["survives_membership"] = code == "billing"
    await published(school, first, material=[], editorial=[])
    await published(school, reworded(edited("v2", first), *CHANGED) | policy, material=CHANGED)


class Population:
    """People of every sort, some of whom nothing has to be done about."""

    def __init__(self, school: School, seed: int) -> None:
        self.school = school
        self.dice = Random(seed)
        self.now = school.clock.now

    def person(self, number: int) -> SubjectState:
        """One of them."""
        dice, sub = self.dice, f"sub_{number:026}"
        guardians = dice.sample(GUARDIANS, dice.choice([0, 0, 1, 2, 3]))
        leaves, voices = self._said(guardians)
        return SubjectState(
            sub,
            dice.choice([*SubjectKind, SubjectKind.STUDENT, SubjectKind.STUDENT]),
            dice.choice([Membership(), Membership(), *map(self._ended, (None, -1, 0, 1))]),
            {dice.choice(["sis", "crm"]): 1},
            Leaves().changed(leaves),
            0,
            True,
            dice.choice([None, *map(self._born, (-4000, -400, -1, 0, 1, 30, 89, 91, 4000))]),
            {guardianship_id(sub, i): self._guardianship(one) for i, one in enumerate(guardians, 1)},
            voices,
        )

    def merged(self, number: int) -> SubjectState:
        """Another name of one of them, which holds nothing else; about whom there is no work."""
        return SubjectState(f"sub_{number:026}", self.dice.choice(list(SubjectKind)), into=f"sub_{0:026}")

    def _ended(self, days: int | None) -> Membership:
        today = self.now.astimezone(TOKYO).date()
        return Membership(MembershipStatus.ENDED, None if days is None else today + timedelta(days))

    def _born(self, days: int) -> date:
        """Of who comes of age in so many days, or came."""
        day = self.now.astimezone(TOKYO).date() + timedelta(days)
        return day.replace(year=day.year - 16)

    def _guardianship(self, guardian: str) -> Guardianship:
        moments = [None, None, *(self.now + timedelta(days) for days in (-900, -5, 5))]
        begin, end = self.dice.choice(moments), self.dice.choice(moments)
        blocked = self.dice.choice([None, None, None, self.now - timedelta(3)])
        return Guardianship(guardian, begin, end, self.dice.random() < 0.6, blocked)

    def _said(self, guardians: list[str]) -> tuple[dict[str, Standing], Voices]:
        leaves: dict[str, Standing] = {}
        voices: dict[tuple[str, str], Standing] = {}
        for code in self.dice.sample(LEAVES, self.dice.randint(0, len(LEAVES))):
            speakers = self.dice.sample([OWN, *guardians], self.dice.randint(1, 1 + len(guardians)))
            words = {speaker: self._word() for speaker in speakers}
            leaves[code] = max(words.values(), key=lambda one: one.index)
            if speakers != [OWN]:
                voices |= {(code, speaker): word for speaker, word in words.items()}
        return leaves, Voices().changed(voices)

    def _word(self) -> Standing:
        dice = self.dice
        action = dice.choice([Action.GRANT, Action.GRANT, Action.GRANT, Action.REFUSE, Action.WITHDRAW])
        made_at = self.now - timedelta(dice.choice([5000, 600, 10, 1]))
        ends = dice.choice([None, None, self.now, self.now + timedelta(milliseconds=1)])
        is_yes = action is Action.GRANT
        wording = dice.choice([1, 2])
        return Standing(action, dice.randrange(10**6), made_at, ends if is_yes else None, wording, made_at)


async def populated(school: School, seed: int) -> list[SubjectState]:
    """People in the database, each row true."""
    population = Population(school, seed)
    some = [population.person(number) for number in range(PEOPLE)]
    merged = [population.merged(number) for number in range(PEOPLE, PEOPLE + 20)]
    database = school.service.database
    rows = []
    for one in [*some, *merged]:
        row = (one.subject, one.last_index, to_document(one))
        rows.append((*row, database.keyring.seal_row(seals.state_message(*row))))
    named = [(f"lookup-{one.subject}", next(iter(one.namespaces)), one.subject, 0, b"") for one in some]
    async with database.write() as tx:
        await tx.insert(subject_state, rows)
        await tx.insert(subject_identifier, named)
    return some


def client(school: School, *namespaces: str) -> Client:
    """A client that may see people with an identifier in these, or everybody."""
    return Client("c", "c", frozenset(Scope), (), namespaces, None, None, school.clock.now)


async def found(school: School, wanted: Wanted, *namespaces: str) -> WorkList:
    """What the operation answers."""
    async with school.service.database.view() as tx:
        return await worklist.read(tx, client(school, *namespaces), wanted, zone=TOKYO)


async def all_pages(school: School, work: Work, *namespaces: str) -> list[Item]:
    """The items of all pages, which are short."""
    items: list[Item] = []
    after: str | None = ""
    while after is not None:
        page = await found(school, Wanted(work, after=after, limit=7), *namespaces)
        assert len(page.items) <= 7
        assert page.next is None or page.next > after
        items, after = [*items, *page.items], page.next
    return items


async def terms(school: School) -> Terms:
    """By what the rules find it."""
    now = school.clock.now
    async with school.service.database.read() as tx:
        policy = (await policies.in_force(tx)).policy
    until = now.astimezone(TOKYO).date() + worklist.AHEAD
    return Terms(policy, policy.leaves, now, until, TOKYO)


@pytest.mark.parametrize(
    "policy", [{}, {"handover": "keep"}, {"handover_grace_days": 30}, {"minor_rules": []}], ids=str
)
async def test_the_database_finds_whom_the_rules_find(school: School, policy: Json) -> None:
    await prepare(school, **policy)
    some = await populated(school, seed=len(str(policy)))
    by = await terms(school)
    everything = await found(school, Wanted())
    for work in Work:
        there_is = [item for one in some if (item := FINDINGS[work](one, by))]
        first = await found(school, Wanted(work))
        assert await all_pages(school, work) == there_is, work
        assert first.counts[work].people == everything.counts[work].people == len(there_is), work
        assert first.counts[work].complete
        assert there_is or policy, work


async def test_a_client_finds_its_own_people_only(school: School) -> None:
    await prepare(school)
    some = [one for one in await populated(school, seed=1) if "crm" in one.namespaces]
    by = await terms(school)
    for work in Work:
        there_is = [item for one in some if (item := FINDINGS[work](one, by))]
        assert await all_pages(school, work, "crm", "billing") == there_is
        assert (await found(school, Wanted(), "crm")).counts[work].people == len(there_is)


async def test_who_was_never_asked_is_counted_leaf_by_leaf(school: School) -> None:
    await prepare(school)
    some = await populated(school, seed=2)
    by = await terms(school)
    by_leaf = {
        leaf.code: sum(FINDINGS[Work.NEVER_ASKED](one, replace(by, leaves=(leaf,))) is not None for one in some)
        for leaf in by.asked_for
    }
    assert (await found(school, Wanted(Work.NEVER_ASKED))).counts[Work.NEVER_ASKED].purposes == by_leaf
    one = await found(school, Wanted(Work.NEVER_ASKED, purpose="billing"))
    assert one.counts[Work.NEVER_ASKED].purposes == {"billing": by_leaf["billing"]}
    assert one.counts[Work.NEVER_ASKED].people == by_leaf["billing"]
    assert {item.purposes for item in one.items} == {("billing",)}


async def test_a_number_of_whom_too_many_have_to_be_heard_says_that_it_is_not_all(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    await prepare(school)
    await populated(school, seed=3)
    whole = await found(school, Wanted())
    monkeypatch.setattr(worklist, "MOST_HEARD", 3)
    monkeypatch.setattr(worklist, "MOST_FOR_PAGE", 16)
    part = await found(school, Wanted())
    for work in Work:
        there_are, some = whole.counts[work], part.counts[work]
        assert some.complete == (work in (Work.BIRTH_DATE_MISSING, Work.NEVER_ASKED))
        assert some.people == there_are.people if some.complete else some.people <= there_are.people
        assert len(await all_pages(school, work)) == there_are.people


@pytest.mark.parametrize("seed", range(3))
async def test_a_row_that_somebody_damaged_takes_nobody_else_down(school: School, seed: int) -> None:
    await prepare(school)
    some = await populated(school, seed)
    dice = Random(seed)
    damaged = {one.subject: _damaged(to_document(one), dice) for one in some if dice.random() < 0.5}
    async with school.service.database.write() as tx:
        for subject, document in damaged.items():
            row = subject_state.c.subject == subject
            await tx.execute(update(subject_state).where(row).values(document=document))
    by = await terms(school)
    whole = [one for one in some if one.subject not in damaged]
    everything = await found(school, Wanted())
    for work in Work:
        there_is = [item for one in whole if (item := FINDINGS[work](one, by))]
        assert await all_pages(school, work) == there_is, work
        assert len(there_is) <= everything.counts[work].people <= len(there_is) + len(damaged), work
    stands = (await school.get("/v1/stats")).json()
    assert len(whole) <= stands["subjects"] <= len(some) + 1
    dry_run = await school.post("/v1/policy/versions?dry_run=true", {"policy": edited("v3")})
    assert dry_run.status_code == 200, dry_run.text


def _damaged(document: str, dice: Random) -> str:
    """A document cut short, or with something in it that does not belong there."""
    place = dice.randrange(len(document))
    numbers = [number for number in re.finditer(r"\d+", document) if number.start() > len('{"born":')]
    one = dice.choice(numbers) if numbers else None
    wrong = dice.choice(["x", "9" * 40, "-1", '"7"', "[]", "{}", "null", "1e9", ""])
    ways = [document[:place], document[:place] + dice.choice('x"[]{},:\\') + document[place + 1 :]]
    ways += [document[: one.start()] + wrong + document[one.end() :]] * 4 if one else []
    return dice.choice([way for way in ways if way != document])


async def test_who_is_not_to_be_trusted_is_not_decided_on(school: School) -> None:
    await prepare(school)
    await populated(school, seed=4)
    before = {work: await all_pages(school, work) for work in Work}
    async with school.service.database.write() as tx:
        await tx.execute(update(subject_state).values(seal=b"forged"))
    assert all(before.values())
    assert {work: await all_pages(school, work) for work in Work} == {work: [] for work in Work}
