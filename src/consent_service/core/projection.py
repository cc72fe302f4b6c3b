"""The state of one subject, and the fold that derives it from the ledger's entries, one after another."""

import functools
import json
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from types import MappingProxyType
from typing import Any, NamedTuple

from consent_service.core import consent, ledger
from consent_service.core.consent import Action, Statement
from consent_service.core.guardianship import Guardianship, GuardianshipChange, Guardianships
from consent_service.core.instants import from_text, optional_instant, optional_milliseconds, to_milliseconds
from consent_service.core.people import Membership, MembershipStatus
from consent_service.core.policy import SubjectKind
from consent_service.core.standings import ACTIONS, LeafRow, Leaves, Voices, compact, voices_text
from consent_service.core.voices import OWN

_NUMBERS: Mapping[str, int] = {action.value: number for number, action in enumerate(ACTIONS)}
_GRANT = _NUMBERS[Action.GRANT]

GuardianRow = tuple[str, int | None, int | None, bool, int | None]
"""Of a guardianship: guardian, from, until, whether it is verified, since when it is blocked; in milliseconds."""


_SILENCE = Voices()


class SubjectState(NamedTuple):
    """Everything that a check rests on.

    `namespaces` counts the subject's identifiers by namespace, `leaves` holds what stands for each leaf that was ever
    decided, `last_index` is the subject's last entry. One that is not `trusted` is known to exist, and no more: its row
    fails its seal or is not the newest. `guardianships` are those in which the subject is the ward, ended ones too;
    `leaves` holds the last word, whoever had it, and `voices` who said what. One that was merged is another name of the
    subject `into`, and holds nothing else.
    """

    subject: str
    kind: SubjectKind
    membership: Membership = Membership()
    namespaces: Mapping[str, int] = MappingProxyType({})
    leaves: Leaves = Leaves()
    last_index: int = -1
    trusted: bool = True
    born: date | None = None
    guardianships: Guardianships = MappingProxyType({})
    voices: Voices = _SILENCE
    into: str | None = None

    @property
    def visible_in(self) -> Collection[str]:
        """The namespaces in which the subject has an identifier."""
        return self.namespaces


def applied(
    state: SubjectState | None, index: int, body: ledger.SubjectBody, detail: ledger.JsonObject | None = None
) -> SubjectState:
    """The subject's state after one more entry. The first entry about a subject records it.

    `detail` is the entry's personal part, which a birth date is in. Raises ValueError for an entry that cannot follow.
    """
    _refuse_if_merged(state.into if state else None, index)
    match body:
        case ledger.SubjectRecorded():
            state = state._replace(kind=body.subject_kind) if state else SubjectState(body.subject, body.subject_kind)
            state = state._replace(born=birth_date(detail or {}, state.born))
        case ledger.GuardianshipChanged():
            state = _with_guardianship(_known(state, index), body)
        case ledger.IdentifierChanged():
            state = _with_identifier(_known(state, index), body)
        case ledger.MembershipChanged():
            state = _known(state, index)._replace(membership=Membership(body.status, body.ended_on))
        case ledger.StatementMade():
            state = _with_statement(_known(state, index), index, body)
        case ledger.SubjectsMerged():
            state = _with_merger(_known(state, index), body)
    return state._replace(last_index=index)


def _known(state: SubjectState | None, index: int) -> SubjectState:
    if state is None:
        raise ValueError(f"entry {index} is about a subject that no earlier entry records")
    return state


def _refuse_if_merged(into: str | None, index: int) -> None:
    if into is not None:
        raise ValueError(f"entry {index} is about a subject that was merged into another before")


def _with_merger(state: SubjectState, body: ledger.SubjectsMerged) -> SubjectState:
    """What the entry says stands for the leaves that it names; the subject that was merged only leads to the other."""
    if body.subject == body.merged:
        return SubjectState(state.subject, state.kind, into=body.into)
    stands = {leaf: row.standing for leaf, row in body.leaves.items() if row}
    said = {(leaf, one): row.standing for leaf, rows in body.voices.items() for one, row in rows.items()}
    leaves, voices = state.leaves.without(body.leaves), state.voices.without(body.leaves)
    return state._replace(leaves=leaves.changed(stands), voices=voices.changed(said))


def birth_date(detail: Mapping[str, object], before: date | None) -> date | None:
    """The birth date after an entry that records a subject, or changes facts about it."""
    if "birth_date" not in detail:
        return before
    return date.fromisoformat(str(detail["birth_date"])) if detail["birth_date"] else None


def _with_guardianship(state: SubjectState, body: ledger.GuardianshipChanged) -> SubjectState:
    before = state.guardianships.get(body.guardianship)
    blocked_at = before.blocked_at if before else None
    if body.change is GuardianshipChange.BLOCKED:
        blocked_at = blocked_at or body.at  # a second order does not make the first one later
    elif body.change is GuardianshipChange.UNBLOCKED:
        blocked_at = None
    now = Guardianship(body.guardian, body.from_at, body.until_at, body.verified, blocked_at)
    return state._replace(guardianships={**state.guardianships, body.guardianship: now})


def _with_identifier(state: SubjectState, body: ledger.IdentifierChanged) -> SubjectState:
    count = state.namespaces.get(body.namespace, 0) + (1 if body.change == "added" else -1)
    others = {namespace: n for namespace, n in state.namespaces.items() if namespace != body.namespace}
    return state._replace(namespaces=others | ({body.namespace: count} if count else {}))


def _with_statement(state: SubjectState, index: int, body: ledger.StatementMade) -> SubjectState:
    statement = Statement(body.action, body.made_at, body.expires_at, body.leaves, body.role)
    changed = {leaf: consent.standing_after(statement, leaf, index, state.leaves.of(leaf)) for leaf in body.applied}
    voices = _with_voices(state, index, statement, body)
    return state._replace(leaves=state.leaves.changed(changed), voices=voices)


def _with_voices(state: SubjectState, index: int, statement: Statement, body: ledger.StatementMade) -> Voices:
    """With a guardian's first word about a leaf, the person's own is kept beside it."""
    if body.speaker is None and not state.voices.text:
        return state.voices
    speaker, said = body.speaker or OWN, {}
    for leaf in body.applied:
        before = state.voices.of(leaf)
        if before or body.speaker is not None:
            if not before and leaf in state.leaves:
                said[leaf, OWN] = state.leaves[leaf]
            said[leaf, speaker] = consent.standing_after(statement, leaf, index, before.get(speaker))
    return state.voices.changed(said) if said else state.voices


def to_document(state: SubjectState) -> str:
    """The state as one compact JSON document; equal states give equal bytes."""
    ended_on = state.membership.ended_on
    membership = (state.membership.status, ended_on.isoformat() if ended_on else None)
    guardians = {name: _guardian_row(one) for name, one in state.guardianships.items()}
    head = _head_text(state.kind, state.born, guardians, state.voices.text, state.into)
    return _document(head, state.leaves.text, membership, state.namespaces)


def _document(head: str, leaves: str, membership: Sequence[str | None], namespaces: Mapping[str, int]) -> str:
    names = compact(dict(namespaces))
    return f'{head}{_LEAVES}{leaves}{_FACTS}{compact(membership)},"namespaces":{names}}}'


def _head_text(
    kind: str, born: date | None, guardians: Mapping[str, GuardianRow], voices: str, into: str | None
) -> str:
    """How a document begins.

    NOTE: `born` is the birth date's number in the calendar (1970-01-01 is 719163) and comes first; it is the only
    member that is not from the entries' bodies. It, `guardians`, `heard` and `into` are there only if something is in
    them; the document of who was merged begins with `into`, for nothing is in the others.
    """
    day = f'"born":{born.toordinal()},' if born else ""
    of_guardians = f'"guardians":{compact(dict(guardians))},' if guardians else ""
    heard = f"{_HEARD}{voices}{_END_OF_HEARD}" if voices else ""
    merged = f'{MERGED_BEGINS[1:]}"{into}",' if into else ""
    return f'{{{day}{of_guardians}{heard}{merged}"kind":"{kind}"'


class Fold:
    """One subject's document from all of its entries at once, for a rebuild: what `applied` gives one by one.

    It reads the stored bodies' own members, for a million subjects leave no time for more. That both give the same
    bytes is a law, which tests/store/test_ledger.py plays random histories for.
    """

    __slots__ = ("_guardians", "_into", "_kind", "_membership", "_namespaces", "_rows", "_voices", "born", "last_index")

    def __init__(self) -> None:
        self.last_index = -1
        self.born: date | None = None  # it lies in the details, which the caller opens
        self._kind = ""
        self._into: str | None = None
        self._empty()

    def _empty(self) -> None:
        self._guardians: dict[str, GuardianRow] = {}
        self._voices: dict[tuple[str, str], tuple[object, ...]] = {}
        self._membership: list[str | None] = [MembershipStatus.ACTIVE, None]
        self._namespaces: dict[str, int] = {}
        self._rows: dict[str, LeafRow] = {}

    def add(self, index: int, body: Mapping[str, Any]) -> None:
        """Fold one more entry in. Raises ValueError for one that cannot follow, or for another kind."""
        kind = body["kind"]
        _refuse_if_merged(self._into, index)
        if not self._kind and kind != "subject":
            raise ValueError(f"entry {index} is about a subject that no earlier entry records")
        self.last_index = index
        match kind:
            case "statement":
                self._state(index, body)
            case "subject":
                self._kind = body["subject_kind"]
            case "identifier":
                self._count(body["namespace"], 1 if body["change"] == "added" else -1)
            case "membership":
                self._membership = [body["status"], body["ended_on"]]
            case "guardianship":
                self._guard(body)
            case "merge":
                self._merge(body)
            case _:
                raise ValueError(f"entry {index} is of a kind that makes no state: {kind}")

    def document(self) -> str:
        """The document as `to_document` writes it."""
        born, voices = None if self._into else self.born, voices_text(self._voices) if self._voices else ""
        head = _head_text(self._kind, born, self._guardians, voices, self._into)
        return _document(head, compact(self._rows)[1:-1], self._membership, self._namespaces)

    def _guard(self, body: Mapping[str, Any]) -> None:
        """The rule is that of `_with_guardianship`."""
        name, change = body["guardianship"], body["change"]
        blocked_at = self._guardians[name][4] if name in self._guardians else None
        if change in ("blocked", "unblocked"):
            blocked_at = (blocked_at or _milliseconds(body["at"])) if change == "blocked" else None
        begin, end = (text and _milliseconds(text) for text in (body["from_at"], body["until_at"]))
        self._guardians[name] = (body["guardian"], begin, end, body["verified"], blocked_at)

    def _merge(self, body: Mapping[str, Any]) -> None:
        """The rule is that of `_with_merger`."""
        if body["subject"] == body["merged"]:
            self._into = body["into"]
            self._empty()
            return
        named = body["leaves"]
        kept = {about: row for about, row in self._voices.items() if about[0] not in named}
        said = {(leaf, one): row for leaf, rows in body["voices"].items() for one, row in rows.items()}
        self._voices = kept | {about: (*about, *_merged_row(row)) for about, row in said.items()}
        self._rows = {leaf: row for leaf, row in self._rows.items() if leaf not in named}
        self._rows |= {leaf: _merged_row(row) for leaf, row in named.items() if row}

    def _state(self, index: int, body: Mapping[str, Any]) -> None:
        """The rule is that of `consent.standing_after`."""
        action, made_at, expires_at = body["action"], _milliseconds(body["made_at"]), body["expires_at"]
        until, number = expires_at and _milliseconds(expires_at), _NUMBERS[action]
        rows, wordings, speaker = self._rows, body["leaves"], body["speaker"]
        for leaf in body["applied"]:
            if speaker is not None or self._voices:
                self._hear(leaf, speaker, (number, index, made_at, until, wordings[leaf]))
            before = rows[leaf][5] if leaf in rows else None
            if number != _GRANT:
                before = made_at if before is None else max(before, made_at)
            rows[leaf] = (number, index, made_at, until, wordings[leaf], before)

    def _hear(self, leaf: str, speaker: str | None, said: tuple[int, int, int, int | None, int]) -> None:
        """The rule is that of `_with_voices`."""
        voices, own = self._voices, (leaf, OWN)
        if not any(heard == leaf for heard, _ in voices):
            if speaker is None:
                return
            if leaf in self._rows:
                voices[own] = (*own, *self._rows[leaf])
        about = (leaf, speaker or OWN)
        before: Any = voices[about][7] if about in voices else None
        if said[0] != _GRANT:
            before = said[2] if before is None else max(before, said[2])
        voices[about] = (*about, *said, before)

    def _count(self, namespace: str, more: int) -> None:
        count = self._namespaces.pop(namespace, 0) + more
        if count:
            self._namespaces[namespace] = count


def _merged_row(row: Mapping[str, Any]) -> LeafRow:
    made_at, expires_at, last_no_at = (
        text and _milliseconds(text) for text in (row["made_at"], row["expires_at"], row["last_no_at"])
    )
    return _NUMBERS[row["action"]], row["index"], made_at, expires_at, row["wording"], last_no_at


@functools.lru_cache(maxsize=4096)
def _milliseconds(text: str) -> int:
    return to_milliseconds(from_text(text))


def from_document(subject: str, last_index: int, document: str) -> SubjectState:
    """Read what `to_document` wrote."""
    begin, end = document.index(_LEAVES), document.rindex(_FACTS)
    head, voices = document[:begin], _SILENCE
    if (heard := head.find(_HEARD)) >= 0:
        over = head.rindex(_END_OF_HEARD)
        voices = Voices(head[heard + len(_HEARD) : over])
        head = head[:heard] + head[over + len(_END_OF_HEARD) :]
    kind, born, guardianships, into = _head(head)
    membership, namespaces = _facts(document[end + len(_FACTS) :])
    leaves = Leaves(document[begin + len(_LEAVES) : end])
    return SubjectState(
        subject, kind, membership, namespaces, leaves, last_index, True, born, guardianships, voices, into
    )


_LEAVES, _FACTS = ',"leaves":{', '},"membership":'
MERGED_BEGINS = '{"into":'
"""How the document of who was merged begins, who is no subject any more."""
_HEARD, _END_OF_HEARD = '"heard":[', "],"  # nothing behind it has a bracket


@functools.lru_cache(maxsize=16384)
def _head(text: str) -> tuple[SubjectKind, date | None, Guardianships, str | None]:
    """The beginning of a document, of which there are four for all who have no birth date."""
    read = json.loads(text + "}")
    guardians = {name: _guardianship(*row) for name, row in read.get("guardians", {}).items()}
    born = date.fromordinal(read["born"]) if "born" in read else None
    return SubjectKind(read["kind"]), born, MappingProxyType(guardians), read.get("into")


def _guardianship(
    guardian: str, from_: int | None, until: int | None, is_verified: bool, blocked_at: int | None
) -> Guardianship:
    return Guardianship(
        guardian, optional_instant(from_), optional_instant(until), is_verified, optional_instant(blocked_at)
    )


def _guardian_row(one: Guardianship) -> GuardianRow:
    return (
        one.guardian,
        optional_milliseconds(one.from_),
        optional_milliseconds(one.until),
        one.is_verified,
        optional_milliseconds(one.blocked_at),
    )


@functools.lru_cache(maxsize=4096)
def _facts(text: str) -> tuple[Membership, Mapping[str, int]]:
    """The end of a document, which very many have in common."""
    read = json.loads(f'{{"membership":{text}')
    status, ended_on = read["membership"]
    membership = Membership(MembershipStatus(status), date.fromisoformat(ended_on) if ended_on else None)
    return membership, MappingProxyType(read["namespaces"])
