"""A family, its school and the clock: what may happen to them in any order, in the service and in the oracle alike.

There are few people, few purposes and few instants, so that what happens meets what happened before.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.model import editions, oracle
from tests.model.editions import FIRST_DAY, PURPOSES, RULES
from tests.model.oracle import MOMENT, SELF, TOKYO, Answer, Event, Known, Oracle
from tests.model.world import Home, World

KINDS = {"ann": "student", "ben": "student", "mother": "customer", "father": "customer", "aunt": "customer"}
ASKED = ("ann", "ben", "mother")
QUESTIONS = [(who, purpose) for who in ASKED for purpose in PURPOSES]

Pick = int
"""Which of some instants: the n-th of those that matter, a moment before or after it, or a span from now."""

Born = int | str | None
"""In how many days somebody becomes 16; `leap` for one born on 29 February, None for one whose day nobody knows."""

Paper = tuple[Pick | None, Pick | None, int]
"""When a form was signed, until when it holds, and which version was shown."""

picks = st.integers(0, 23)
gaps = st.sampled_from([0, 0, 1, 1000, 3_600_000])
wards = st.sampled_from(["ann", "ann", "ann", "ann", "ben"])
subjects = st.sampled_from(["ann", "ann", "ann", "ann", "ben", "mother"])
guardians = st.sampled_from(["mother", "father", "mother", "father", "aunt"])
purposes = st.integers(0, 9)
words = st.sampled_from([*["grant"] * 8, "refuse", "withdraw"])
mades = st.one_of(st.none(), st.none(), picks)
ends = st.one_of(st.none(), picks)
shown = st.sampled_from([0, 0, 0, 0, 1, 2])
focuses = st.lists(st.sampled_from([*RULES, "last", "last", "both"]), min_size=1, max_size=2)
papers = st.tuples(mades, ends, shown)
borns = st.sampled_from([1, 10, 10, 400, None, 0, -1, -2000, "leap"])
edits = st.tuples(
    st.sampled_from(["reword", "amend", "reword", "basis", "rebase", "remove", "return", "rule", "rule", "survives"]),
    st.integers(0, 9),
)
begun = st.lists(
    st.tuples(
        st.sampled_from(["ann", "ann", "ben"]),
        st.sampled_from(["mother", "father"] * 3 + [SELF]),
        st.integers(0, 1),
        words,
        ends,
    ),
    min_size=1,
    max_size=6,
)
pairs = st.sampled_from(
    [*[("ann", "ben"), ("ben", "ann")] * 2, ("mother", "aunt"), ("aunt", "father"), ("father", "mother")]
)
handovers = st.sampled_from([("reconfirm", 0), ("reconfirm", 5), ("keep", 0)])
kinds = st.sampled_from(["student", "customer"])

_SPANS = [timedelta(hours=1), timedelta(days=1), timedelta(days=9), timedelta(days=400), timedelta(milliseconds=1)]

_NEAR, _FAR = 4, 8  # instants


class Moment(NamedTuple):
    """The ledger's size and the time after a step, and how much had happened."""

    as_of: int
    at: datetime
    events: int


class Family(RuleBasedStateMachine):
    """What happens, step by step; after each, every answer is what the oracle says."""

    def __init__(self, home: Home) -> None:
        super().__init__()
        self.clock = home.clock
        self.world = World(home)
        self.began = self.clock.now
        self.oracle = Oracle()
        self.oracle.happens("version", self.began, **editions.first())
        self.indexes: dict[int, int] = {}  # of the entries of statements, by the order of what happened
        self.moments: list[Moment] = []
        self.told: list[Answer] = []  # at the last of these moments

    def teardown(self) -> None:
        self.world.forget()
        self.clock.now = self.began

    # What there is at first

    @initialize(
        focus=focuses,
        born=borns,
        younger=borns,
        father=st.sampled_from([True, True, True, False, None]),
        until=ends,
        handover=handovers,
        said=begun,
    )
    def a_family(
        self,
        focus: list[str],
        born: Born,
        younger: Born,
        father: bool | None,
        until: Pick | None,
        handover: tuple[str, int],
        said: list[tuple[str, str, int, str, Pick | None]],
    ) -> None:
        self.focus = focus
        for who, kind in KINDS.items():
            self.world.record(who, kind)
            self.oracle.happens("recorded", self.now, subject=who, kind=kind, born=None)
        self._is_born("ann", born)
        self._is_born("ben", younger)
        if handover != ("reconfirm", 0):
            self._publish(self._next_version() | {"handover": handover[0], "grace": handover[1]}, None)
        for ward in ("ann", "ben"):
            self._guard("mother", ward, True, None, None)
            if father is not None:
                self._guard("father", ward, father, None, until)
        for ward, who, about, word, end in said:
            self._tick(1)
            self._say(ward, who, [(self._purpose(about), word, None, end)], 0)
        self.look_ahead()

    # What people say

    @rule(gap=gaps, subject=subjects, about=purposes, word=words, made=mades, end=ends, shown=shown)
    def own_word(
        self, gap: int, subject: str, about: int, word: str, made: Pick | None, end: Pick | None, shown: int
    ) -> None:
        self._tick(gap)
        self._say(subject, SELF, [(self._purpose(about), word, made, end)], shown, by_staff=bool(gap))

    @rule(gap=gaps, ward=wards, who=guardians, about=purposes, word=words, made=mades, end=ends, shown=shown)
    def guardians_word(
        self, gap: int, ward: str, who: str, about: int, word: str, made: Pick | None, end: Pick | None, shown: int
    ) -> None:
        self._tick(gap)
        self._say(ward, who, [(self._purpose(about), word, made, end)], shown)

    @rule(gap=gaps, ward=wards, who=guardians, about=purposes, end=ends)
    def guardians_yes(self, gap: int, ward: str, who: str, about: int, end: Pick | None) -> None:
        self._tick(gap)
        self._say(ward, who, [(self._purpose(about), "grant", None, end)], 0)

    @rule(who=st.sampled_from(["mother", "father"]), about=st.integers(0, 1), word=words, made=mades, end=ends)
    def the_daughters_guardian(self, who: str, about: int, word: str, made: Pick | None, end: Pick | None) -> None:
        self._tick(1)
        self._say("ann", who, [(self._purpose(about), word, made, end)], 0)

    @rule(who=st.sampled_from(["mother", "father"]), about=st.integers(0, 1), one=papers, other=papers)
    def of_both_children(self, who: str, about: int, one: Paper, other: Paper) -> None:
        """A guardian's words about the one and the other, who may turn out to be one."""
        for ward, (made, end, shown) in (("ann", one), ("ben", other)):
            self._tick(1)
            self._say(ward, who, [(self._purpose(about), "grant", made, end)], shown)

    @rule(
        subject=subjects, who=st.sampled_from([SELF, SELF, "mother", "father"]), about=purposes, word=words, made=picks
    )
    def late_paper(self, subject: str, who: str, about: int, word: str, made: Pick) -> None:
        self._tick(1)
        self._say(subject, SELF if who == subject else who, [(self._purpose(about), word, made, None)], 0)

    @rule(gap=gaps, subject=subjects, who=st.sampled_from([SELF, "mother"]), about=purposes, made=mades, other=words)
    def more_but_not_all(self, gap: int, subject: str, who: str, about: int, made: Pick | None, other: str) -> None:
        """One call that says two things, the one perhaps against the other."""
        self._tick(gap)
        said = [("more", "grant", made, None), (self._purpose(about), other, None, None)]
        self._say(subject, SELF if who == subject else who, said, 0)

    @rule(
        subject=subjects, part=st.sampled_from(["more.any", "more.both"]), word=st.sampled_from(["refuse", "withdraw"])
    )
    def a_part_and_then_all(self, subject: str, part: str, word: str) -> None:
        """No to a part, and then yes to the whole: that lifts something, but not everywhere."""
        for purpose, what in ((part, word), ("more", "grant")):
            self._tick(1)
            self._say(subject, SELF, [(purpose, what, None, None)], 0)

    @rule(about=st.integers(0, 1), first=st.sampled_from(["mother", "father"]), gap=gaps)
    def they_disagree(self, about: int, first: str, gap: int) -> None:
        """The one says no, and then the other yes."""
        for who, word in ((first, "refuse"), ("father" if first == "mother" else "mother", "grant")):
            self._tick(gap)
            self._say("ann", who, [(self._purpose(about), word, None, None)], 0)

    # Who is whose guardian

    @rule(gap=gaps, ward=wards, who=guardians, verified=st.booleans(), begin=ends, end=ends)
    def guardianship(self, gap: int, ward: str, who: str, verified: bool, begin: Pick | None, end: Pick | None) -> None:
        self._tick(gap)
        self._guard(who, ward, verified, begin, end)

    @rule(
        gap=gaps,
        ward=wards,
        place=st.integers(0, 5),
        how=st.sampled_from(["verify", "verify", "doubt", "end", "block", "block", "unblock"]),
        until=ends,
    )
    def step(self, gap: int, ward: str, place: int, how: str, until: Pick | None) -> None:
        self._tick(gap)
        known = self._known["guardianships"][self._now_named(ward)]
        if not known:
            return
        self._step(ward, list(known)[place % len(known)], how, until)

    @rule(gap=gaps, who=st.sampled_from(["mother", "father"]), how=st.sampled_from(["block", "end", "doubt", "verify"]))
    def authority(self, gap: int, who: str, how: str) -> None:
        """What a guardian of the daughter may say changes."""
        self._tick(gap)
        known = self._known["guardianships"][self._now_named("ann")]
        mine = [name for name, one in known.items() if one["guardian"] == self._now_named(who)]
        if mine:
            self._step("ann", mine[-1], how, None)

    def _step(self, ward: str, name: str, how: str, until: Pick | None) -> None:
        known = self._known["guardianships"][self._now_named(ward)]
        end = self._future(until) if until is not None and how == "end" else None
        refusal = _wrong_step(known[name], how, end or self.now)
        assert self.world.step(name, how, end) == refusal
        if refusal is None:
            self._happens(
                "step", subject=ward, name=name, facts=_facts_after(known[name], how, end or self.now, self.now)
            )

    # What is known about people

    @rule(gap=gaps, subject=wards, born=borns)
    def birth_date(self, gap: int, subject: str, born: Born) -> None:
        self._tick(gap)
        self._is_born(subject, born)

    @rule(gap=gaps, subject=subjects, left=st.sampled_from([None, None, None, -1, 0, 1, 9]))
    def membership(self, gap: int, subject: str, left: int | None) -> None:
        self._tick(gap)
        day = None if left is None else self._today() + timedelta(days=left)
        self.world.leave(subject, day)
        self._happens("fact", subject=subject, facts={"left": day})

    @rule(gap=gaps, kind=kinds)
    def kind(self, gap: int, kind: str) -> None:
        self._tick(gap)
        self.world.change("ben", kind=kind)
        self._happens("fact", subject="ben", facts={"kind": kind})

    @rule(gap=gaps, pair=pairs)
    def merger(self, gap: int, pair: tuple[str, str]) -> None:
        """No no becomes a yes by it, of the two or of a ward."""
        self._tick(gap)
        before, (one, other) = self.world.answers(QUESTIONS), map(self._now_named, pair)
        refusal = "validation_failed" if one == other or oracle.are_two(self._known, one, other) else None
        assert self.world.merge(*pair) == refusal
        if refusal is None:
            self._happens("merged", subject=pair[0], other=pair[1])
        noes = {question for question, answer in zip(QUESTIONS, before, strict=True) if not answer[0]}
        for question, answer in zip(QUESTIONS, self.world.answers(QUESTIONS), strict=True):
            alike = {(who, question[1]) for who in (pair if question[0] in pair else question[:1])}
            assert not answer[0] or not alike & noes, question
        self.look_ahead()

    # Policies

    @rule(gap=gaps, edits=st.lists(edits, min_size=1, max_size=3), start=st.one_of(st.none(), st.none(), picks))
    def version(self, gap: int, edits: list[tuple[str, int]], start: Pick | None) -> None:
        self._tick(gap)
        version = self._next_version()
        for how, place in edits:
            _edit(version, self._newest()["leaves"], how, self._leaf(place))
        self._publish(version, start)

    @rule(
        gap=gaps,
        ages=st.sampled_from([(16,), (18,), (16, 18), (18, 16), (18, 16, 17), ()]),
        handover=handovers,
        days=st.sampled_from([-3, 1, 9, 400]),
        start=st.one_of(st.none(), st.none(), picks),
    )
    def other_ages(
        self, gap: int, ages: tuple[int, ...], handover: tuple[str, int], days: int, start: Pick | None
    ) -> None:
        self._tick(gap)
        begins = [FIRST_DAY, self._today() + timedelta(days=days), self._today() + timedelta(days=days + 5)]
        rules = list(zip(begins, ages, strict=False))
        version = self._next_version() | {"minor_rules": rules, "handover": handover[0], "grace": handover[1]}
        self._publish(version, start)

    # Time

    @rule(pick=picks)
    def wait(self, pick: Pick) -> None:
        self.clock.now = self._future(pick)

    @rule()
    def wait_for_what_comes_next(self) -> None:
        self.clock.now = self._future(1)

    @rule()
    def look_ahead(self) -> None:
        """How it would be for the daughter if nothing happened any more, at each instant to come and just before."""
        now, about = self.now, [("ann", purpose) for purpose in self.focus]
        told = self._compare(about)
        for coming in sorted(at for at in self._instants() if at > now + MOMENT)[:_FAR]:
            for at in (coming - MOMENT, coming):
                begun, before, self.clock.now = self.now, told, at
                told = self._compare(about)
                self._only_time_passed(begun, about, before, told)
        self.clock.now = now

    @rule()
    def look_ahead_once_more(self) -> None:
        self.look_ahead()

    def _only_time_passed(
        self, begun: datetime, questions: Sequence[tuple[str, str]], before: Sequence[Answer], after: Sequence[Answer]
    ) -> None:
        """Time alone turns no no into a yes, but for what begins at an instant to come."""
        for question, was, now in zip(questions, before, after, strict=True):
            assert was[0] or not now[0] or self._has_begun(*question, begun), question

    # The past

    @rule(subject=st.sampled_from(ASKED), about=purposes, place=st.integers(0, 99), off=st.sampled_from([0, 0, 1]))
    def look_back(self, subject: str, about: int, place: int, off: int) -> None:
        """At a size of the ledger, at an instant, and at everything that was said."""
        purpose, then = self._purpose(about), self.moments[place % len(self.moments)]
        past, at = self.oracle.known(events=then.events), self.oracle.history[then.events - 1]["at"]
        if place % 2:
            at = min(then.at + off * MOMENT, self.now)
            past = self.oracle.known(events=sum(event["at"] <= at for event in self.oracle.history))
        given = at if place % 2 else then.as_of
        assert self.world.answer_at(subject, purpose, given) == oracle.answer(past, subject, purpose, at)
        assert self.world.states(subject, given) == self._states(past, subject, at)
        assert self.world.states(subject) == self._states(self._known, subject, self.now)
        assert self.world.heard(subject) == self._heard(subject)

    @invariant()
    def every_answer_is_the_oracles(self) -> None:
        told, now = self._compare(), Moment(self.world.as_of, self.now, len(self.oracle.history))
        if self.moments and self.moments[-1].events == now.events:
            self._only_time_passed(self.moments[-1].at, QUESTIONS, self.told, told)
        self.told = told
        self.moments.append(now)

    # Beneath

    @property
    def now(self) -> datetime:
        return self.clock.now

    @property
    def _known(self) -> Known:
        return self.oracle.known()

    def _purpose(self, about: int) -> str:
        """One of the few that this example is about, or any."""
        return self.focus[about % len(self.focus)] if about < 7 else PURPOSES[about % len(PURPOSES)]

    def _leaf(self, place: int) -> str:
        """Likewise, of the leaves."""
        return list(RULES)[place] if place < len(RULES) else self.focus[place % len(self.focus)]

    def _today(self) -> date:
        return self.now.astimezone(TOKYO).date()

    def _tick(self, milliseconds: int) -> None:
        self.clock.advance(milliseconds=milliseconds)

    def _happens(self, what: str, **more: object) -> None:
        self.oracle.happens(what, self.now, **more)

    def _compare(self, questions: Sequence[tuple[str, str]] = QUESTIONS) -> list[Answer]:
        told, known = self.world.answers(questions), self._known
        for question, answer in zip(questions, told, strict=True):
            assert (question, answer) == (question, oracle.answer(known, *question, self.now))
        return told

    def _states(self, known: Known, who: str, at: datetime) -> dict[str, tuple[str, int | None]]:
        leaves = oracle.in_force(known, at)["leaves"]
        found = {leaf: oracle.state(known, who, leaf, at) for leaf in leaves}
        return {leaf: (name, None if order is None else self.indexes[order]) for leaf, (name, order) in found.items()}

    def _heard(self, who: str) -> list[tuple[int, str, list[str]]]:
        return [
            (self.indexes[order], event["word"], event["applied"])
            for order, event in enumerate(self.oracle.history)
            if event["what"] == "said" and self._now_named(event["subject"]) == self._now_named(who)
        ]

    def _now_named(self, who: str) -> str:
        return oracle.current_name(self._known, who)

    def _is_born(self, who: str, born: Born) -> None:
        day = date(2012, 2, 29) if born == "leap" else None
        if isinstance(born, int):
            turns = self._today() + timedelta(days=born)
            day = turns.replace(year=turns.year - 16, day=min(turns.day, 28))
        self.world.change(who, facts={"birth_date": day})
        self._happens("fact", subject=who, facts={"born": day})

    def _guard(self, who: str, ward: str, verified: bool, begin: Pick | None, end: Pick | None) -> None:
        facts = {
            "guardian": who,
            "verified": verified,
            "from": None if begin is None else self._future(begin),
            "until": None if end is None else self._future(end),
            "blocked": None,
        }
        known = self._known
        refusal = _wrong_guardianship(known, self._now_named(ward), facts | {"guardian": self._now_named(who)})
        name = f"guardianship-{len(self.oracle.history)}"
        assert self.world.guard(name, who, ward, facts) == refusal
        if refusal is None:
            self._happens("guardianship", subject=ward, name=name, facts=facts)

    def _say(
        self,
        subject: str,
        who: str,
        said: Sequence[tuple[str, str, Pick | None, Pick | None]],
        shown: int,
        *,
        by_staff: bool = False,
    ) -> None:
        version = self._shown(shown)
        call: Event = {"subject": subject, "who": who, "shown": version["name"], "by_staff": by_staff}
        call["statements"] = [self._statement(version, *one) for one in said]
        if not all(one["leaves"] for one in call["statements"]):
            return
        is_own = who != SELF and self._now_named(who) == self._now_named(subject)  # since the two were merged
        refusal = "validation_failed" if is_own else oracle.refusal(self._known, call, self.now)
        answer = self.world.say(call)
        if refusal is not None or isinstance(answer, str):
            assert answer == refusal
            return
        for one, entry in zip(call["statements"], answer.entries, strict=True):
            why = oracle.applied(self._known, call, one, self.now)
            because = next((objection for objection in why.values() if objection), None)
            applied = [leaf for leaf, objection in why.items() if objection is None]
            assert (list(entry.applied), entry.not_applied_because) == (applied, because)
            self.indexes[len(self.oracle.history)] = entry.index
            self._happens("said", subject=subject, who=who, shown=version["name"], applied=applied, **_said(one))

    def _statement(self, version: Event, purpose: str, word: str, made: Pick | None, end: Pick | None) -> Event:
        said_at = None if made is None else self._past(made)
        return {
            "purpose": purpose,
            "word": word,
            "leaves": [leaf for leaf in version["leaves"] if leaf == purpose or leaf.startswith(f"{purpose}.")],
            "said_at": said_at,
            "made_at": said_at or self.now,
            "expires_at": None if end is None or word != "grant" else self._future(end),
        }

    def _shown(self, back: int) -> Event:
        """The version in force, or one of the newest."""
        versions = self._known["versions"]
        return oracle.in_force(self._known, self.now) if back == 0 else versions[max(-back, -len(versions))]

    def _newest(self) -> Event:
        found: Event = self._known["versions"][-1]
        return found

    def _next_version(self) -> Event:
        return editions.changed(self._newest(), f"v{len(self._known['versions'])}")

    def _publish(self, version: Event, start: Pick | None) -> None:
        effective_at = None if start is None else self._future(start)
        version = {name: value for name, value in version.items() if name not in ("at", "what")}
        lapses = oracle.lapses(self._known, version, self.now)
        told = self.world.publish(version, effective_at)
        assert {leaf: count for leaf, count in told.items() if count} == lapses
        self._happens("version", **version | {"effective_at": effective_at or self.now})

    def _future(self, pick: Pick) -> datetime:
        """An instant to come at which something begins or ends, or one beside it; else a span from now."""
        place, off = divmod(pick, 3)
        coming = sorted(one for one in self._instants() if one > self.now + MOMENT)
        if place < min(len(coming), _NEAR):
            return coming[place] + (off - 1) * MOMENT
        return self.now + _SPANS[pick % len(_SPANS)]

    def _past(self, pick: Pick) -> datetime:
        """When something happened, of the newest or oldest, or a moment beside; or a little ahead of the clock."""
        if pick == 23:
            return self.now + timedelta(seconds=30)
        place, off = divmod(pick, 3)
        gone = sorted((one for one in self._instants() if one < self.now), reverse=place % 2 == 0)
        return min(gone[place // 2 % len(gone)] + (off - 1) * MOMENT, self.now) if gone else self.now

    def _instants(self) -> set[datetime]:
        """When anything happened, was said, begins or ends."""
        known = self._known
        found = {event["at"] for event in self.oracle.history}
        for words in known["words"].values():
            found |= {at for one in words.values() for at in (one["made_at"], one["expires_at"]) if at}
        for ward in known["guardianships"].values():
            found |= {at for one in ward.values() for at in (one["from"], one["until"]) if at}
        return found | {one["effective_at"] for one in known["versions"]} | set(self._midnights(known))

    def _midnights(self, known: Known) -> list[datetime]:
        newest = known["versions"][-1]
        days = [begin for begin, _ in newest["minor_rules"]]
        for person in known["people"].values():
            days += [person["left"]] if person["left"] else []
            if person["born"]:
                turns = [oracle.birthday(person["born"], age) for _, age in newest["minor_rules"]]
                days += [*turns, *(day + timedelta(days=newest["grace"]) for day in turns)]
        return [oracle.midnight(day) for day in days]

    def _has_begun(self, who: str, purpose: str, since: datetime) -> bool:
        """Whether something began since then that may turn a no into a yes."""
        known = self._known
        current = oracle.in_force(known, self.now)
        guarded = [
            one
            for one in known["guardianships"][self._now_named(who)].values()
            if one["verified"] and not one["blocked"]
        ]
        begins = [one["from"] for one in guarded]
        begins += [one["effective_at"] for one in known["versions"]]
        begins += [oracle.midnight(day) for day, _ in current["minor_rules"]]
        begins += [word["made_at"] for words in known["words"].values() for word in words.values()]
        leaves = [one for leaf, one in current["leaves"].items() if leaf == purpose or leaf.startswith(f"{purpose}.")]
        if any(one["rule"] == "all" for one in leaves):
            begins += [one["until"] for one in guarded]
        return any(at and since < at <= self.now for at in begins)


def _said(one: Event) -> Event:
    return {name: one[name] for name in ("word", "made_at", "expires_at")}


def _wrong_guardianship(known: Known, ward: str, facts: Event) -> str | None:
    others = [one for one in known["guardianships"][ward].values() if one["guardian"] == facts["guardian"]]
    period = (facts["from"], facts["until"])
    if known["people"][ward]["kind"] != "student":
        return "validation_failed"
    if facts["from"] and facts["until"] and facts["until"] <= facts["from"]:
        return "validation_failed"
    return "validation_failed" if any(_overlap(period, (one["from"], one["until"])) for one in others) else None


def _overlap(one: tuple[datetime | None, datetime | None], other: tuple[datetime | None, datetime | None]) -> bool:
    begins, ends = [at for at in (one[0], other[0]) if at], [at for at in (one[1], other[1]) if at]
    return not begins or not ends or max(begins) < min(ends)


def _wrong_step(one: Event, how: str, end: datetime) -> str | None:
    too_early = how == "end" and one["from"] is not None and end <= one["from"]
    too_late = how == "end" and one["until"] is not None and end > one["until"]
    idle = how == "unblock" and one["blocked"] is None
    return "validation_failed" if too_early or too_late or idle else None


def _facts_after(one: Event, how: str, end: datetime, now: datetime) -> Event:
    changes: dict[str, Event] = {
        "verify": {"verified": True},
        "doubt": {"verified": False},
        "end": {"until": end},
        "block": {"blocked": one["blocked"] or now},
        "unblock": {"blocked": None},
    }
    return changes[how]


def _edit(version: Event, before: dict[str, Any], how: str, code: str) -> None:
    """Edit one leaf that nothing else of this version has touched."""
    leaves = version["leaves"]
    if leaves.get(code) != before.get(code):
        return
    if how == "return":
        leaves.setdefault(code, editions.leaf(code))
    elif code not in leaves or (how == "remove" and len(leaves) == 1):
        return
    elif how == "remove":
        del leaves[code]
    elif how in ("reword", "amend"):
        leaves[code]["text"] += 1
        _declare(version, code, material=how == "reword")
    elif how in ("basis", "rebase"):
        leaves[code]["basis"] = "consent" if leaves[code]["basis"] == "notice" else "notice"
        _declare(version, code, material=how == "rebase")
    elif how == "rule":
        leaves[code]["rule"] = {"any_refusal_wins": "all", "all": "latest", "latest": "any_refusal_wins"}[
            leaves[code]["rule"]
        ]
    else:
        leaves[code]["survives"] = not leaves[code]["survives"]


def _declare(version: Event, code: str, *, material: bool) -> None:
    version["material" if material else "editorial"] |= {code}
