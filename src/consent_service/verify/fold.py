"""The projection, folded again from what the entries say: the verifier's own reading of the rules.

A subject's entries are folded in the order of their indexes; the result is the document that lies in `subject_state`.
"""

import functools
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_UNRECORDED = "no earlier entry records the subject"
_BORN = re.compile(r'^\{"born":[0-9]+,')
_ACTIONS = {"grant": 0, "refuse": 1, "withdraw": 2}

Fact = tuple[Any, ...]
"""What one entry about a subject says: subject, index, kind, commitment, and then what `fact_of` has for the fold."""


@functools.lru_cache(maxsize=8192)
def instant(text: str) -> datetime:
    """Read RFC 3339. Raises ValueError."""
    return datetime.fromisoformat(text)


@functools.lru_cache(maxsize=8192)
def milliseconds(text: str) -> int:
    """Read RFC 3339 as whole milliseconds since 1970."""
    return (instant(text) - _EPOCH) // _MILLISECOND


def fact_of(subject: object, index: int, body: Mapping[str, Any]) -> Fact | None:
    """What the fold needs of an entry about a subject; None for a kind that is not known. Raises KeyError.

    A statement is flat, since very many wait on the disk: whether it is a no, when it was made, how the rows of its
    leaves begin, and then each leaf with its wording.
    """
    kind, commitment = body["kind"], body["commitment"]
    if kind == "statement":
        action, expires, wordings, applied = body["action"], body["expires_at"], body["leaves"], body["applied"]
        made_at, until = milliseconds(body["made_at"]), "null" if expires is None else milliseconds(expires)
        start = (subject, index, kind, commitment, action != "grant", made_at)
        begin = f'":[{_ACTIONS[action]},{index},{made_at},{until},'
        if body["speaker"] is not None:
            said = [cell for leaf in applied for cell in (leaf, wordings[leaf])]
            return subject, index, "speech", commitment, action != "grant", made_at, begin, body["speaker"], *said
        if len(applied) == 1:
            return *start, begin, applied[0], wordings[applied[0]]
        return *start, begin, *[cell for leaf in applied for cell in (leaf, wordings[leaf])]
    if kind == "identifier":
        return subject, index, kind, commitment, body["change"], body["namespace"]
    if kind == "subject":
        return subject, index, kind, commitment, body["subject_kind"]
    if kind == "membership":
        return subject, index, kind, commitment, body["status"], body["ended_on"]
    return _fact_of_two(subject, index, body)


def _fact_of_two(subject: object, index: int, body: Mapping[str, Any]) -> Fact | None:
    """The same for the kinds that tie people together."""
    kind, commitment = body["kind"], body["commitment"]
    if kind == "guardianship":
        period = [None if body[name] is None else milliseconds(body[name]) for name in ("from_at", "until_at")]
        about = (body["guardianship"], body["guardian"], *period, body["verified"])
        return subject, index, kind, commitment, body["change"], milliseconds(body["at"]), *about
    if kind == "merge" and subject == body["merged"]:
        return subject, index, kind, commitment, body["into"]
    if kind == "merge":
        return subject, index, kind, commitment, None, _rows(body["leaves"]), *_heard(body["voices"])
    return None


def _rows(stands: Mapping[str, Any]) -> dict[str, str | None]:
    return {leaf: _row(said) if said is not None else None for leaf, said in stands.items()}


def _heard(voices: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    return [(leaf, speaker, _row(said)) for leaf, words in voices.items() for speaker, said in words.items()]


def _row(said: Mapping[str, Any]) -> str:
    """What stands for a leaf, or what somebody said about it, as it lies in the document, behind the bracket."""
    expires, last_no = [
        "null" if said[name] is None else milliseconds(said[name]) for name in ("expires_at", "last_no_at")
    ]
    cells = (_ACTIONS[said["action"]], said["index"], milliseconds(said["made_at"]), expires, said["wording"], last_no)
    return ",".join(map(str, cells)) + "]"


class State:
    """One subject's state on its way through its entries."""

    __slots__ = ("born", "guardians", "heard", "into", "kind", "last_index", "leaves", "membership", "namespaces")

    def __init__(self) -> None:
        self.kind = ""
        self.born: int | None = None  # the birth date's number in the calendar: it is in no entry's bytes
        self.into: str | None = None  # whom the subject was merged into; then it holds nothing else
        self.last_index = -1
        self._empty()

    def _empty(self) -> None:
        self.guardians: dict[str, list[Any]] = {}
        self.heard: dict[str, dict[str, str]] = {}  # of the leaves that a guardian spoke about: a row for each speaker
        self.membership = '["active",null]'
        self.namespaces: dict[str, int] = {}
        self.leaves: dict[str, str] = {}  # each with its row, as text

    def fold(self, facts: Iterable[Fact]) -> None:
        """Fold entries in. Raises ValueError when the subject was not recorded before, and for what makes no sense."""
        for fact in facts:
            if self.into is not None:
                raise ValueError("the subject was merged into another before")
            if fact[2] == "statement":
                if self.heard:
                    self._hear("", fact)
                self._say(fact)
            elif fact[2] == "speech":
                self._listen(fact[7], (*fact[:7], *fact[8:]))
            else:
                self._learn(fact)
            self.last_index = fact[1]

    def _say(self, fact: Fact) -> None:
        """A no is remembered beside what stands, so that no older yes gets past it."""
        if not self.kind:
            raise ValueError(_UNRECORDED)
        leaves, is_no, made_at, begin = self.leaves, fact[4], fact[5], fact[6]
        if not leaves:
            end = f",{made_at if is_no else 'null'}]"
            said = zip(fact[7::2], fact[8::2], strict=True)
            self.leaves = {leaf: f'"{leaf}{begin}{wording}{end}' for leaf, wording in said}
            return
        for place in range(7, len(fact), 2):
            leaf = fact[place]
            last_no = _last_no(leaves[leaf]) if leaf in leaves else None
            if is_no:
                last_no = made_at if last_no is None else max(last_no, made_at)
            leaves[leaf] = f'"{leaf}{begin}{fact[place + 1]},{"null" if last_no is None else last_no}]'

    def _listen(self, guardian: str, fact: Fact) -> None:
        """A guardian's words are kept apart from the ward's, and what the ward said until then is kept as well."""
        for leaf in fact[7::2]:
            if leaf not in self.heard:
                self.heard[leaf] = {"": self.leaves[leaf].partition(":[")[2]} if leaf in self.leaves else {}
        self._hear(guardian, fact)
        self._say(fact)

    def _hear(self, speaker: str, fact: Fact) -> None:
        """Each speaker's own no is remembered beside what the speaker says, as in `_say`."""
        is_no, made_at, begin = fact[4], fact[5], fact[6].removeprefix('":[')
        for leaf, wording in zip(fact[7::2], fact[8::2], strict=True):
            if leaf in self.heard:
                before = self.heard[leaf].get(speaker)
                noes = [made_at] if is_no else []
                if before is not None and (last := _last_no(before)) is not None:
                    noes.append(last)
                self.heard[leaf][speaker] = f"{begin}{wording},{max(noes) if noes else 'null'}]"

    def _learn(self, fact: Fact) -> None:
        kind = fact[2]
        if not self.kind and kind != "subject":
            raise ValueError(_UNRECORDED)
        if kind == "identifier":
            self._count(fact[5], 1 if fact[4] == "added" else -1)
        elif kind == "subject":
            self.kind = fact[4]
        elif kind == "guardianship":
            self._guard(*fact[4:])
        elif kind == "merge":
            self._merge(*fact[4:])
        else:
            self.membership = _compact([fact[4], fact[5]])

    def learn_birth(self, detail: Mapping[str, Any]) -> None:
        """What an entry's detail says of the birth date, if it says something."""
        if "birth_date" in detail:
            text = detail["birth_date"]
            self.born = date.fromisoformat(text).toordinal() if text else None

    def _guard(self, change: str, at: int, name: str, *told: object) -> None:
        """What was told last counts, but that a court order stands until it is lifted."""
        blocked = self.guardians[name][-1] if name in self.guardians else None
        blocked = {"blocked": blocked or at, "unblocked": None}.get(change, blocked)
        self.guardians[name] = [*told, blocked]

    def _merge(
        self, into: str | None, rows: Mapping[str, str | None] | None = None, *heard: tuple[str, str, str]
    ) -> None:
        """What the entry says of a leaf stands, whatever stood before; who was merged has nothing any more."""
        if rows is None:
            self.into = into
            self._empty()
            return
        for leaf, row in rows.items():
            self.leaves.pop(leaf, None)
            self.heard.pop(leaf, None)
            if row is not None:
                self.leaves[leaf] = f'"{leaf}":[{row}'
        for leaf, speaker, row in heard:
            self.heard.setdefault(leaf, {})[speaker] = row

    def _count(self, namespace: str, more: int) -> None:
        count = self.namespaces.pop(namespace, 0) + more
        if count:
            self.namespaces[namespace] = count

    def document(self) -> str:
        """The state as it has to lie in the database, byte for byte."""
        leaves = ",".join([self.leaves[leaf] for leaf in sorted(self.leaves)])
        names = _counts(tuple(sorted(self.namespaces.items())))
        rest = f'"kind":"{self.kind}","leaves":{{{leaves}}},"membership":{self.membership},"namespaces":{names}}}'
        if self.into is not None:
            return f'{{"into":"{self.into}",{rest}'
        if self.born is None and not self.guardians and not self.heard:
            return "{" + rest
        born = "" if self.born is None else f'"born":{self.born},'
        guardians = f'"guardians":{_compact(self.guardians)},' if self.guardians else ""
        words = [
            f'["{leaf}","{speaker}",{row}'
            for leaf, said in sorted(self.heard.items())
            for speaker, row in sorted(said.items())
        ]
        heard = f'"heard":[{",".join(words)}],' if words else ""
        return f"{{{born}{guardians}{heard}{rest}"


def unborn(document: str) -> str:
    """A document without the birth date, for who cannot open the details."""
    return _BORN.sub("{", document, count=1)


def _last_no(row: str) -> int | None:
    """The last cell of a leaf's row."""
    cell = row[row.rindex(",") + 1 : -1]
    return None if cell == "null" else int(cell)


@functools.lru_cache(maxsize=4096)
def _counts(namespaces: tuple[tuple[str, int], ...]) -> str:
    return _compact(dict(namespaces))


def _compact(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def client_row(index: int, body: Mapping[str, object]) -> dict[str, object]:
    """The row of a client that the entry at `index` created."""
    return {
        "id": body["client"],
        "name": body["name"],
        "key_hash": body["key_hash"],
        **{name: json.dumps(body[name]) for name in ("scopes", "purposes", "namespaces")},
        "created_at": body["at"],
        "expires_at": body["expires_at"],
        "revoked_at": None,
        "index": index,
    }


def policy_row(index: int, body: Mapping[str, object]) -> dict[str, object]:
    """The row of a policy version that the entry at `index` published."""
    return {
        "version": body["version"],
        "effective_at": body["effective_at"],
        "published_at": body["at"],
        "index": index,
        "document": json.dumps(body["policy"], ensure_ascii=False, sort_keys=True),
    }
