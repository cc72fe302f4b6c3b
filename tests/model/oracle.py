"""What a school may use of whom, worked out from plain dictionaries: the oracle of the model.

It keeps what happened, in order, and works every answer out anew from that, as docs/guardians.md and
docs/policy-versions.md say. It knows nothing of the service's own code.
"""

import copy
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

TOKYO = ZoneInfo("Asia/Tokyo")
SELF = "self"
BEGINNING = datetime(1, 1, 2, tzinfo=UTC)
MOMENT = timedelta(milliseconds=1)

Event = dict[str, Any]
Known = dict[str, Any]
"""What a history comes to.

`people`; `guardianships` by ward and id; `words`, the last of each speaker, by subject and leaf; `noes`, when somebody
said no, likewise; `versions`; and `names`, whom those who were merged into somebody are now.
"""

Answer = tuple[bool, tuple[tuple[str, str], ...], datetime | None]
"""Yes or no, the reasons as purpose and code, and when a yes ends by itself."""


class Oracle:
    """All that has happened."""

    def __init__(self) -> None:
        self.history: list[Event] = []
        self._newest: tuple[int, Known] | None = None

    def happens(self, what: str, at: datetime, **more: object) -> None:
        """Note one thing that happened."""
        self.history.append({"what": what, "at": at, **more})

    def known(self, *, events: int | None = None) -> Known:
        """What the first so many events come to; nobody changes it."""
        if events is not None:
            return self._learnt(events)
        if self._newest is None or self._newest[0] != len(self.history):
            self._newest = len(self.history), self._learnt(len(self.history))
        return self._newest[1]

    def _learnt(self, events: int) -> Known:
        known: Known = {"people": {}, "guardianships": {}, "words": {}, "noes": {}, "versions": [], "names": {}}
        for order, event in enumerate(self.history[:events]):
            _learn(known, order, event)
        return known


def _learn(known: Known, order: int, event: Event) -> None:
    who = current_name(known, event.get("subject", ""))
    match event["what"]:
        case "recorded":
            known["people"][who] = {"kind": event["kind"], "born": event["born"], "left": None}
            known["guardianships"][who] = {}
        case "fact":
            known["people"][who] |= event["facts"]
        case "guardianship":
            guardian = current_name(known, event["facts"]["guardian"])
            known["guardianships"][who][event["name"]] = event["facts"] | {"guardian": guardian}
        case "step":
            known["guardianships"][who][event["name"]] |= event["facts"]
        case "said":
            _hear(known, who, event | {"who": current_name(known, event["who"]), "order": order})
        case "merged":
            merge(known, who, current_name(known, event["other"]), event["at"])
        case _:
            known["versions"].append(event)


def _hear(known: Known, subject: str, word: Event) -> None:
    for leaf in word["applied"]:
        words, noes = known["words"].setdefault((subject, leaf), {}), known["noes"].get((subject, leaf), [])
        words[word["who"]] = word | {"lifted": any(who == word["who"] for who, _ in noes)}
        if word["word"] != "grant":
            known["noes"].setdefault((subject, leaf), []).append((word["who"], word["made_at"]))


def current_name(known: Known, who: str) -> str:
    """Whom a name names now."""
    while who in known["names"]:
        who = known["names"][who]
    return who


# Policies


def in_force(known: Known, now: datetime) -> Event:
    """Of the versions whose time has come, the one published last."""
    found: Event = [one for one in known["versions"] if one["effective_at"] <= now][-1]
    return found


def counts(known: Known, leaf: str, shown: str, current: Event) -> bool:
    """Whether a yes to the wording of one version counts under another.

    It does unless, on the way from the one to the other, the leaf was removed or changed materially.
    """
    line = known["versions"]
    names = [one["name"] for one in line]
    way = line[names.index(shown) + 1 : names.index(current["name"]) + 1]
    return all(leaf in one["leaves"] and leaf not in one["material"] for one in way)


# Age


def birthday(born: date, age: int) -> date:
    """The day on which somebody becomes so old."""
    year = born.year + age
    if (born.month, born.day) == (2, 29) and not (year % 4 == 0 and (year % 100 or year % 400 == 0)):
        return date(year, 3, 1)
    return date(year, born.month, born.day)


def is_under_age(born: date, rules: list[tuple[date, int]], day: date) -> bool:
    """Whether the rule of a day, or else the first one, calls somebody a minor on it."""
    limit = [age for begin, age in rules if begin <= day] or [rules[0][1]]
    return day < birthday(born, limit[-1])


def of_age_since(born: date | None, rules: list[tuple[date, int]], now: datetime) -> datetime | None:
    """When an adult came of age, or when a minor first will; None for one whose birth date nobody knows."""
    if not rules:
        return BEGINNING
    if born is None:
        return None
    today = now.astimezone(TOKYO).date()
    days = sorted({begin for begin, _ in rules} | {birthday(born, age) for _, age in rules})
    turns = [day for day in days if _comes_of_age(born, rules, day)]
    if is_under_age(born, rules, today):
        return midnight(next(day for day in turns if day > today))
    return midnight([day for day in turns if day <= today][-1])


def _comes_of_age(born: date, rules: list[tuple[date, int]], day: date) -> bool:
    return is_under_age(born, rules, day - timedelta(days=1)) and not is_under_age(born, rules, day)


def midnight(day: date) -> datetime:
    """When a day begins at the school."""
    return datetime(day.year, day.month, day.day, tzinfo=TOKYO).astimezone(UTC)


# Who may speak


def standing(guardianships: Iterable[Event], who: str, at: datetime) -> str:
    """Whether a person may speak for the ward: yes, unverified, or no. A court order is about the two of them."""
    mine = [one for one in guardianships if one["guardian"] == who]
    if any(one["blocked"] for one in mine):
        return "no"
    current = [one for one in mine if _covers(one["from"], one["until"], at)]
    if any(one["verified"] for one in current):
        return "yes"
    return "unverified" if current else "no"


def _covers(begin: datetime | None, end: datetime | None, at: datetime) -> bool:
    return (begin is None or begin <= at) and (end is None or at < end)


class Hearing:
    """What everybody said last about one leaf, to be heard at one instant."""

    def __init__(self, known: Known, subject: str, leaf: str, current: Event, now: datetime) -> None:
        self.now = now
        self.policy = current
        self.of_leaf = current["leaves"][leaf]
        self.person = known["people"][subject]
        self.guardianships = list(known["guardianships"][subject].values())
        self.last: dict[str, Event] = known["words"].get((subject, leaf), {})
        self.stale = {
            who
            for who, word in self.last.items()
            if self.of_leaf["basis"] == "consent" and not counts(known, leaf, word["shown"], current)
        }

    def outcome(self) -> dict[str, Any]:
        """The word that stands, why it does not suffice, the no among them, and when a yes ends beside its expiry."""
        if not self.last:
            return _found(None)
        if self.person["kind"] != "student":
            return self._of_adult(BEGINNING, BEGINNING) if set(self.last) != {SELF} else _found(self.last[SELF])
        since = of_age_since(self.person["born"], self.policy["minor_rules"], self.now)
        if since is None:
            return self._of_minor_until()
        over = None if self.policy["handover"] == "keep" else since + timedelta(days=self.policy["grace"])
        if self.now < since:
            return self._of_minor_until_of_age(since, over)
        return self._of_adult(since, over)

    def _of_minor_until_of_age(self, since: datetime, over: datetime | None) -> dict[str, Any]:
        """As it is now; and from the coming of age on until the first moment at which it is a no."""
        found = self._of_minor_until()
        if not self._permits(found) or (found["ends"] and found["ends"] < since):
            return found
        moments = {since, over, *(word["expires_at"] for word in self.last.values())}
        for at in sorted(at for at in moments if at and at >= since):
            then = copy.copy(self)
            then.now = at
            if not then._permits(then._of_adult(since, over)):
                return found | {"ends": at}
        return found | {"ends": None}

    def _of_minor_until(self) -> dict[str, Any]:
        """As it is now; and until the first moment at which something begins, ends or expires and it is a no then."""
        found = self._of_minor(self.now)
        if not self._permits(found):
            return found
        moments = {at for one in self.guardianships for at in (one["from"], one["until"])}
        moments |= {word["expires_at"] for word in self.last.values()}
        ends = found["ends"] if self.of_leaf["basis"] == "consent" else None
        for at in sorted(at for at in moments if at and at > self.now):
            then = copy.copy(self)
            then.now = at
            if not then._permits(then._of_minor(at)):
                return found | {"ends": earliest(ends, at)}
        return found | {"ends": ends}

    def _permits(self, found: dict[str, Any]) -> bool:
        lacks = found["objection"] and self.of_leaf["basis"] == "consent"
        return bool(found["word"] and not found["no"] and not lacks and self._is_good(found["word"]))

    def _of_adult(self, since: datetime, over: datetime | None) -> dict[str, Any]:
        own = self.last.get(SELF)
        if own and own["word"] != "grant":
            return _found(own, no=own)
        if own and own["made_at"] >= since:
            noes = [one for one in self._guardians() if one["word"] != "grant" and not _is_later(own, one)]
            return _found(newest(noes), no=newest(noes)) if noes else _found(own)
        before = self._of_minor(since - MOMENT, said_before=since)
        if before["no"]:
            return before
        if before["word"] and not before["objection"] and (over is None or self.now < over):
            return before | {"ends": over if self.of_leaf["basis"] == "consent" else None}
        return _found(before["word"] or self._of_minor(since - MOMENT)["word"], "own_consent_required")

    def _of_minor(self, at: datetime, *, said_before: datetime | None = None) -> dict[str, Any]:
        """As the guardians' authority was at an instant; perhaps without the yeses of later ones."""
        own = self.last.get(SELF)
        if own and own["word"] != "grant":
            return _found(own, no=own)
        claims = [one for one in self._guardians() if one["word"] == "grant"]
        claims = [one for one in claims if said_before is None or one["made_at"] < said_before]
        yeses = [one for one in claims if self._may(one["who"], at)]
        said_no = [one for one in self._guardians() if one["word"] != "grant"]
        noes = [one for one in said_no if not self._is_lifted(one, yeses, at)]
        if noes:
            return self._disagreed(noes, yeses, at)
        if not yeses:
            return self._nobody(claims, at)
        return self._agreed(yeses, claims, at)

    def _disagreed(self, noes: list[Event], yeses: list[Event], at: datetime) -> dict[str, Any]:
        no = newest(noes)
        counting = [yes for yes in yeses if self._is_good(yes)]
        if counting and self.of_leaf["rule"] != "latest" and any(self._may(one["who"], at) for one in noes):
            return _found(newest(counting), "guardian_conflict", no=no)
        return _found(no, no=no)

    def _nobody(self, claims: list[Event], at: datetime) -> dict[str, Any]:
        doubts = [one for one in claims if standing(self.guardianships, one["who"], at) == "unverified"]
        word = self._before_nobody(claims, at) if claims else self.last.get(SELF)
        return _found(word, "guardian_unverified" if doubts else "guardian_required")

    def _before_nobody(self, claims: list[Event], at: datetime) -> Event:
        """What stood at the last moment at which somebody could speak; the newest word, if nobody ever could."""
        ends = {one["who"]: max(self._ends(one["who"], at)) for one in claims if self._ends(one["who"], at)}
        if not ends:
            return newest(claims)
        then = copy.copy(self)
        then.now = max(ends.values()) - MOMENT
        word: Event = then._agreed(
            [one for one in claims if ends.get(one["who"]) == max(ends.values())], claims, then.now
        )["word"]
        return word

    def _agreed(self, yeses: list[Event], claims: list[Event], at: datetime) -> dict[str, Any]:
        if self.of_leaf["rule"] == "latest":
            return self._lasting(newest([*yeses, *self._run_out(claims, at)]), at)
        ordered = sorted(yeses, key=lambda yes: self._lasts(yes, at))
        if self.of_leaf["rule"] == "any_refusal_wins":
            return self._lasting(ordered[-1], at)
        everybody = {one["guardian"] for one in self.guardianships if self._may(one["guardian"], at)}
        ends = earliest(*(self._end(yes["who"], at) for yes in yeses))
        weakest = min(yeses, key=lambda yes: self._lasts(yes, None))
        missing = everybody - {yes["who"] for yes in yeses}
        return _found(weakest, "guardian_required") if missing else _found(weakest, ends=ends)

    def _run_out(self, claims: list[Event], at: datetime) -> list[Event]:
        """The yeses that were over before their speaker's guardianship was, and so stay that speaker's last word."""
        return [
            one for one in claims for end in self._ends(one["who"], at) if is_over(one, end) or one["who"] in self.stale
        ]

    def _ends(self, who: str, at: datetime) -> list[datetime]:
        """When the guardianships that gave authority ended, or a court order about the two came between."""
        mine = [one for one in self.guardianships if one["guardian"] == who]
        blocked = earliest(*(one["blocked"] for one in mine))
        begun = [one for one in mine if one["verified"] and (one["from"] is None or one["from"] <= at)]
        ends = [(one["from"], earliest(one["until"], blocked)) for one in begun]
        return [end for begin, end in ends if end and (begin is None or begin < end)]

    def _lasting(self, yes: Event, at: datetime) -> dict[str, Any]:
        return _found(yes, ends=self._end(yes["who"], at))

    def _lasts(self, yes: Event, at: datetime | None) -> tuple[bool, bool, datetime, int]:
        """For how long a yes is good; of two of the same length the newer one is more."""
        end = earliest(yes["expires_at"], self._end(yes["who"], at) if at else None)
        return self._is_good(yes), end is None, end or BEGINNING, yes["order"]

    def _end(self, who: str, at: datetime) -> datetime | None:
        """When a guardian's authority runs out, beyond which no other guardianship of the two carries it on.

        At the coming of age it stays as it was.
        """
        if at != self.now:
            return None
        mine = [one for one in self.guardianships if one["guardian"] == who and one["verified"]]
        ends = sorted(one["until"] for one in mine if one["until"] and one["until"] > at)
        return next((end for end in ends if not any(_covers(one["from"], one["until"], end) for one in mine)), None)

    def _is_lifted(self, no: Event, yeses: list[Event], at: datetime) -> bool:
        """Under `latest` by any later yes; else by one that is later than the end of the authority, too."""
        after = [yes for yes in yeses if _is_later(yes, no)]
        if self.of_leaf["rule"] == "latest":
            return bool(after)
        if self._may(no["who"], at):
            return False
        over = max(self._ends(no["who"], at), default=no["made_at"])
        return any(yes["made_at"] >= over for yes in after)

    def _is_good(self, yes: Event) -> bool:
        return yes["who"] not in self.stale and not is_over(yes, self.now)

    def _may(self, who: str, at: datetime) -> bool:
        return standing(self.guardianships, who, at) == "yes"

    def _guardians(self) -> list[Event]:
        return [word for who, word in self.last.items() if who != SELF]


def _found(
    word: Event | None, objection: str | None = None, *, no: Event | None = None, ends: datetime | None = None
) -> dict[str, Any]:
    return {"word": word, "objection": objection, "no": no, "ends": ends}


def newest(words: list[Event]) -> Event:
    """The word that was said last."""
    return max(words, key=lambda one: (one["made_at"], one["order"]))


def _is_later(yes: Event, no: Event) -> bool:
    """A yes that was recorded after a no, and was not made before it."""
    return bool(yes["order"] > no["order"] and yes["made_at"] >= no["made_at"])


def is_over(word: Event, now: datetime) -> bool:
    """Whether a yes has expired."""
    return word["expires_at"] is not None and word["expires_at"] <= now


def earliest(*moments: datetime | None) -> datetime | None:
    """The first of those there are."""
    return min([one for one in moments if one is not None], default=None)


# Answers


def answer(known: Known, subject: str, purpose: str, now: datetime) -> Answer:
    """What a check says."""
    subject = current_name(known, subject)
    current = in_force(known, now)
    leaves = [leaf for leaf in current["leaves"] if leaf == purpose or leaf.startswith(purpose + ".")]
    if not leaves:
        return False, ((purpose, "purpose_not_specified"),), None
    cases = [_of_leaf(known, subject, leaf, current, now) for leaf in leaves]
    objections = tuple(reason for against, _, _ in cases for reason in against)
    if objections:
        return False, objections, None
    return True, tuple(ground for _, ground, _ in cases), earliest(*(end for _, _, end in cases))


def _of_leaf(
    known: Known, subject: str, leaf: str, current: Event, now: datetime
) -> tuple[list[tuple[str, str]], tuple[str, str], datetime | None]:
    """Every objection, what a yes rests on, and when it ends."""
    hearing = Hearing(known, subject, leaf, current, now)
    found, basis = hearing.outcome(), hearing.of_leaf["basis"]
    word, left = found["word"], hearing.person["left"]
    if word is None and basis == "consent":
        return [(leaf, "no_consent_recorded")], (leaf, ""), None
    has_left = left is not None and left <= now.astimezone(TOKYO).date() and not hearing.of_leaf["survives"]
    objections = [
        ("refused", word and word["word"] == "refuse"),
        ("withdrawn", word and word["word"] == "withdraw"),
        ("expired", word and is_over(word, now)),
        ("policy_changed", word and word["word"] == "grant" and word["who"] in hearing.stale),
        (found["objection"], word and found["objection"] and (found["no"] or basis == "consent")),
        ("membership_ended", has_left),
    ]
    good = word and not found["objection"] and counts(known, leaf, word["shown"], current)
    leaves = midnight(left) if left is not None and not hearing.of_leaf["survives"] else None
    ends = earliest(word and word["expires_at"], found["ends"], leaves)
    ground = (leaf, "consent_granted" if good else "notice_given")
    return [(leaf, str(code)) for code, holds in objections if holds], ground, ends


def state(known: Known, subject: str, leaf: str, now: datetime) -> tuple[str, int | None]:
    """What stands for a leaf in a word, and the order of what it rests on."""
    hearing = Hearing(known, current_name(known, subject), leaf, in_force(known, now), now)
    found = hearing.outcome()
    word = found["word"]
    if word is None:
        return "never_asked", None
    if word["word"] != "grant":
        return {"refuse": "refused", "withdraw": "withdrawn"}[word["word"]], word["order"]
    stale = "policy_changed" if word["who"] in hearing.stale else "granted"
    return found["objection"] or ("expired" if is_over(word, now) else stale), word["order"]


# Statements


def refusal(known: Known, call: Event, now: datetime) -> str | None:
    """Why a call is refused when it is made: a grant that cannot count."""
    subject, who = current_name(known, call["subject"]), current_name(known, call["who"])
    if known["people"][subject]["kind"] != "student":
        return None
    minor = _is_minor(known, subject, now)
    for one in call["statements"]:
        if one["word"] != "grant":
            continue
        if who == SELF:
            if minor and not any(_own_no(known, subject, leaf) for leaf in one["leaves"]):
                return "guardian_required"
        elif not minor:
            return "own_consent_required"
        elif standing(known["guardianships"][subject].values(), who, now) != "yes":
            return "guardian_required"
    return None


def applied(known: Known, call: Event, one: Event, now: datetime) -> dict[str, str | None]:
    """Leaf by leaf, why a statement of a call does not apply; None where it does."""
    return {leaf: _objection(known, call, one, leaf, now) for leaf in one["leaves"]}


def _objection(known: Known, call: Event, one: Event, leaf: str, now: datetime) -> str | None:
    if one["word"] != "grant":
        return None
    subject, who = current_name(known, call["subject"]), current_name(known, call["who"])
    minor = _is_minor(known, subject, now)
    if minor and who == SELF and not _own_no(known, subject, leaf):
        return "guardian_required"
    if who != SELF and not minor:
        return "guardian_unverified"
    beside = [other for other in call["statements"] if other["word"] != "grant" and leaf in other["leaves"]]
    noes = [at for speaker, at in known["noes"].get((subject, leaf), []) if speaker == who or not minor]
    if beside:
        return "standing_no_is_newer"
    if noes and one["made_at"] <= max(noes) and not one["made_at"] == max(noes) == now:
        return "standing_no_is_newer"
    return None


def _is_minor(known: Known, subject: str, now: datetime) -> bool:
    person = known["people"][subject]
    since = of_age_since(person["born"], in_force(known, now)["minor_rules"], now)
    return person["kind"] == "student" and (since is None or now < since)


def _own_no(known: Known, subject: str, leaf: str) -> bool:
    own = known["words"].get((subject, leaf), {}).get(SELF)
    return own is not None and own["word"] != "grant"


# Publishing


def lapses(known: Known, after: Event, now: datetime) -> dict[str, int]:
    """By leaf, how many subjects' last word is a yes that counts now and will not under a version to come."""
    current, line = in_force(known, now), {**known, "versions": [*known["versions"], after]}
    found = {}
    for leaf, today in current["leaves"].items():
        last = [
            max(words.values(), key=lambda one: one["order"])
            for (_, about), words in known["words"].items()
            if about == leaf and words
        ]
        yeses = [word for word in last if word["word"] == "grant" and not is_over(word, now)]
        if today["basis"] == "consent":
            yeses = [word for word in yeses if counts(known, leaf, word["shown"], current)]
        then = after["leaves"].get(leaf)
        gone = [
            word
            for word in yeses
            if then is None or (then["basis"] == "consent" and not counts(line, leaf, word["shown"], after))
        ]
        found[leaf] = len(gone)
    return {leaf: count for leaf, count in found.items() if count}


# Merging


def are_two(known: Known, one: str, other: str) -> bool:
    """Whether two records are of two people for certain: the one is or was the other's guardian, or spoke for them."""
    return any(
        any(guard["guardian"] == who for guard in known["guardianships"][whom].values())
        or any(who in words for (about, _), words in known["words"].items() if about == whom)
        for who, whom in ((one, other), (other, one))
    )


def merge(known: Known, kept: str, merged: str, now: datetime) -> None:
    """Make one record of two. As docs/merging.md says, nothing becomes permitted by it that was not in both."""
    before = {**known, "people": dict(known["people"]), "guardianships": dict(known["guardianships"])}
    before["words"] = dict(known["words"])
    _merge_people(known, kept, merged, now)
    for leaf in sorted({leaf for who, leaf in before["words"] if who in (kept, merged)}):
        one, other = (before["words"].get((who, leaf), {}) for who in (kept, merged))
        was_yes = _permits(before, kept, leaf, now) and _permits(before, merged, leaf, now)
        said = _together(before, one, other)
        known["noes"][kept, leaf] = [
            *known["noes"].get((kept, leaf), []),
            *known["noes"].pop((merged, leaf), []),
        ]
        known["words"].pop((merged, leaf), None)
        kinds = [said] if one and other and was_yes else []
        _settle(known, kept, leaf, [*kinds, _without_good(known, leaf, said, now)], was_yes, now)
        if kinds:
            _shorten(known, kept, leaf, earliest(*(_ends(before, who, leaf, now) for who in (kept, merged))), now)
    known["names"][merged] = kept
    for ward in known["people"]:
        if _mentions(before, ward, merged):
            _merge_guardian(known, before, ward, kept, merged, now)


def _mentions(known: Known, ward: str, who: str) -> bool:
    guards = any(one["guardian"] == who for one in known["guardianships"].get(ward, {}).values())
    return guards or any(who in words for (about, _), words in known["words"].items() if about == ward)


def _merge_people(known: Known, kept: str, merged: str, now: datetime) -> None:
    one, other = known["people"][kept], known["people"].pop(merged)
    kinds, days = {one["kind"], other["kind"]}, [who["born"] for who in (one, other) if who["born"]]
    left = [who["left"] for who in (one, other) if who["left"]]
    known["people"][kept] = {
        "kind": "student" if "student" in kinds else one["kind"],
        "born": max(days, default=None),
        "left": min(left, default=None),
    }
    mine, others = known["guardianships"][kept], known["guardianships"].pop(merged)
    both = {guard["guardian"] for guard in mine.values()} & {guard["guardian"] for guard in others.values()}
    again = {name: guard | {"blocked": guard["blocked"] and now} for name, guard in others.items()}
    known["guardianships"][kept] = _blocked_alike({**mine, **again}, both, now)


def _blocked_alike(guardianships: dict[str, Event], both: set[str], now: datetime) -> dict[str, Event]:
    """A court order about a guardian of both records holds in all of that one's guardianships that are not over."""
    blocked = {one["guardian"] for one in guardianships.values() if one["blocked"]} & both
    return {
        name: one | {"blocked": one["blocked"] or now} if one["guardian"] in blocked and not _is_past(one, now) else one
        for name, one in guardianships.items()
    }


def _is_past(one: Event, now: datetime) -> bool:
    return one["until"] is not None and one["until"] <= now


def _merge_guardian(known: Known, before: Known, ward: str, kept: str, merged: str, now: datetime) -> None:
    """Two guardians of a ward are one from now on, and so are their voices."""
    mine = known["guardianships"][ward]
    had = {one["guardian"] for one in mine.values()}
    renamed = {
        name: one | {"guardian": kept if one["guardian"] == merged else one["guardian"]} for name, one in mine.items()
    }
    known["guardianships"][ward] = _blocked_alike(renamed, {kept} if {kept, merged} <= had else set(), now)
    for about, leaf in [key for key in before["words"] if key[0] == ward]:
        words = before["words"][about, leaf]
        if words.keys() == {SELF}:
            continue
        was_yes = _permits(before, ward, leaf, now)
        words = _without_mute(before, ward, leaf, {kept, merged}, now) if was_yes else words
        others = {kept if who == merged else who: word for who, word in words.items() if who != kept}
        said = _together(before, others, {who: word for who, word in words.items() if who == kept})
        said = {who: word | {"who": who} for who, word in said.items()}
        over = _without_good(known, leaf, said, now)
        without = {who: over.get(who, word) if who == kept else word for who, word in said.items()}
        without = {who: word for who, word in without.items() if who != kept or who in over}
        noes = known["noes"].get((ward, leaf), [])
        known["noes"][ward, leaf] = [(kept if who == merged else who, at) for who, at in noes]
        _settle(known, ward, leaf, [said] if was_yes else [without, over], was_yes, now)
        if was_yes:
            _shorten(known, ward, leaf, _ends(before, ward, leaf, now), now)


def _without_mute(known: Known, ward: str, leaf: str, pair: set[str], now: datetime) -> dict[str, Event]:
    """What was said of a leaf that is permitted, but for yeses of the pair that nobody needs and nobody hears."""
    words = known["words"][ward, leaf]
    guards = list(known["guardianships"][ward].values())
    mute = {who: word for who, word in words.items() if who in pair and standing(guards, who, now) != "yes"}
    others = {who: word for who, word in words.items() if who not in mute} | _without_good(known, leaf, mute, now)
    heard = {**known, "words": {**known["words"], (ward, leaf): others}}
    return others if _permits(heard, ward, leaf, now) else words


def _together(known: Known, one: dict[str, Event], other: dict[str, Event]) -> dict[str, Event]:
    both = {who: _stricter(known, one[who], other[who]) for who in one if who in other}
    return {**one, **other, **both}


def _stricter(known: Known, one: Event, other: Event) -> Event:
    """A no, and of two the later; of two yeses what they have in common."""
    noes = [word for word in (one, other) if word["word"] != "grant"]
    if noes:
        return newest(noes)
    names = [version["name"] for version in known["versions"]]
    first = min(one, other, key=lambda word: (word["made_at"], word["order"]))
    shown = min(one["shown"], other["shown"], key=names.index)
    lifted = one["lifted"] or other["lifted"]
    return first | {"shown": shown, "expires_at": earliest(one["expires_at"], other["expires_at"]), "lifted": lifted}


def _without_good(known: Known, leaf: str, said: dict[str, Event], now: datetime) -> dict[str, Event]:
    """Without each yes that still counts; one that lifted a no before has expired instead."""
    current = in_force(known, now)
    today = current["leaves"].get(leaf)
    old = {
        who
        for who, word in said.items()
        if today and today["basis"] == "consent" and not counts(known, leaf, word["shown"], current)
    }
    over = {who: word for who, word in said.items() if word["word"] != "grant" or who in old or is_over(word, now)}
    lifted = {who: word for who, word in said.items() if who not in over and word["lifted"]}
    return {**over, **{who: word | {"expires_at": now} for who, word in lifted.items()}}


def _settle(
    known: Known, who: str, leaf: str, candidates: list[dict[str, Event]], was_yes: bool, now: datetime
) -> None:
    """Keep the most of what was said by which no no becomes a yes."""
    if leaf not in in_force(known, now)["leaves"]:
        candidates = candidates[-1:]
    for said in candidates:
        known["words"][who, leaf] = said
        if was_yes or not _permits(known, who, leaf, now):
            break


def _shorten(known: Known, who: str, leaf: str, end: datetime | None, now: datetime) -> None:
    """What is permitted for longer than it was has its yeses end when it would have ended."""
    after = _ends(known, who, leaf, now)
    if end and (after is None or after > end):
        known["words"][who, leaf] = {
            name: word | {"expires_at": earliest(word["expires_at"], end)} if word["word"] == "grant" else word
            for name, word in known["words"][who, leaf].items()
        }


def _permits(known: Known, who: str, leaf: str, now: datetime) -> bool:
    """Whether somebody's data may be used, as if they belonged to the school."""
    return _as_member(known, who, leaf, now)[0]


def _ends(known: Known, who: str, leaf: str, now: datetime) -> datetime | None:
    """Until when, by itself."""
    return _as_member(known, who, leaf, now)[2]


def _as_member(known: Known, who: str, leaf: str, now: datetime) -> Answer:
    member = {**known, "people": {**known["people"], who: known["people"][who] | {"left": None}}, "names": {}}
    return answer(member, who, leaf, now)
