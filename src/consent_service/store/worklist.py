"""Finding whom there may be work about, in the database, so that few are read and heard.

NOTE: this reads documents as core/projection.py writes them; tests/store/test_worklist.py holds it against the rules.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    TableValuedAlias,
    and_,
    case,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)

from consent_service.core.instants import to_milliseconds
from consent_service.core.policy import Handover, Purpose
from consent_service.core.projection import MERGED_BEGINS
from consent_service.core.worklist import Terms, Work
from consent_service.store.db import ReadTx
from consent_service.store.tables import subject_identifier, subject_state

Condition = ColumnElement[bool]

_document = subject_state.c.document
_BORN, _KIND, _PLACE_OF_KIND = '{"born":', '"kind":', len('{"born":719163,') + 1
_LEAVES, _MEMBERSHIP, _ENDED = ',"leaves":{', '},"membership":["', '},"membership":["ended",'
_DIGITS, _DAY = 6, 10  # of a day between 1900 and 2700 as a number, and of one as text
_SHORTEST_YEAR = 365
_WIDTH = 19  # digits that the largest number of a row has, at most

_SHOWN = (Work.BIRTH_DATE_MISSING, Work.NEVER_ASKED)
"""What the document shows by itself: whether there is a birth date, and whether anything was ever said."""

HEARD = (Work.GUARDIAN_UNVERIFIED, Work.GUARDIAN_CONFLICT, Work.HANDOVER_DUE)
"""What only the rules can say, of everybody."""


@dataclass(frozen=True, slots=True)
class Count:
    """How many people there is work about without hearing anybody, and how many more have to be heard."""

    people: int
    to_hear: int


class Search(NamedTuple):
    """What is looked for: work of a kind, by which terms, among those with an identifier in one of the namespaces."""

    work: Work
    terms: Terms
    namespaces: Sequence[str] = ()


async def people(tx: ReadTx, search: Search, *, after: str, limit: int, are_many: bool = False) -> list[str]:
    """The pseudonyms, behind `after` and in order, of those about whom there may be work: all of whom there is.

    `are_many` says that it is best to look in order until the limit is reached, not at everybody.
    """
    name = subject_state.c.subject
    query = select(name).where(name > after, _maybe(tx, search), *_seen(search))
    ordered = query.order_by(name if are_many else name.concat(""))  # which no index has
    return [str(row[0]) for row in await tx.survey(ordered.limit(limit))]


async def people_to_hear(tx: ReadTx, search: Search, *, limit: int) -> list[str]:
    """The same, but only those of whom the rules have to say it."""
    name = subject_state.c.subject
    query = select(name).where(_maybe(tx, search), _needs_hearing(search), *_seen(search))
    return [str(row[0]) for row in await tx.survey(query.order_by(name.concat("")).limit(limit))]


async def count(tx: ReadTx, searches: Sequence[Search]) -> list[Count]:
    """How many people there is work about, for each search; all of them are of the same client."""
    cells = [func.count().filter(which) for one in searches for which in _told_apart(tx, one)]
    ((*numbers,),) = await tx.survey(select(*cells).select_from(subject_state).where(*_seen(searches[0])))
    return [Count(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)]


async def count_by_leaf(tx: ReadTx, search: Search) -> dict[str, int]:
    """How many people were never asked, for each leaf."""
    leaves = search.terms.asked_for
    cells = [func.count().filter(_was_never_asked(tx, (leaf,), search.terms)) for leaf in leaves]
    query = select(*cells).select_from(subject_state).where(_maybe(tx, search), *_seen(search))
    ((*numbers,),) = await tx.survey(query)
    return {leaf.code: number for leaf, number in zip(leaves, numbers, strict=True)}


def _told_apart(tx: ReadTx, search: Search) -> tuple[Condition, Condition]:
    """Those about whom there is work, and those who have to be heard."""
    maybe, to_hear = _maybe(tx, search), _needs_hearing(search)
    return and_(not_(to_hear), maybe), and_(to_hear, maybe)  # what is quicker to see stands first


def _maybe(tx: ReadTx, search: Search) -> Condition:
    """What is true of everybody about whom there is work, and of few others; of nobody else who needs no hearing."""
    terms = search.terms
    match search.work:
        case Work.BIRTH_DATE_MISSING:
            return and_(_is_student(), func.substr(_document, 1, len(_BORN)) != _BORN)
        case Work.GUARDIAN_UNVERIFIED:
            return _family_has(_holds(",false,null]"))
        case Work.GUARDIAN_CONFLICT:
            return _is_divided(tx)
        case Work.HANDOVER_DUE:
            return _is_of_age_by(terms)
        case Work.POLICY_CHANGED:
            if not terms.changed:
                return false()
            return or_(_has_lapsed(tx, terms), _has_said_before(tx, terms))
        case Work.NEVER_ASKED:
            return _was_never_asked(tx, terms.asked_for, terms)


def _needs_hearing(search: Search) -> Condition:
    """Of whom only the rules can say whether there is work about them."""
    if search.work in _SHOWN:
        return false()
    return true() if search.work in HEARD else or_(_is_student(), _is_heard())


def _seen(search: Search) -> list[Condition]:
    """Whether the client may see the person; who was merged is no person any more, but another name of one."""
    named = select(1).where(subject_identifier.c.subject == subject_state.c.subject)
    own = [named.where(subject_identifier.c.namespace.in_(search.namespaces)).exists()] if search.namespaces else []
    return [func.substr(_document, 1, len(MERGED_BEGINS)) != MERGED_BEGINS, *own]


def _has_family() -> Condition:
    """Whether there are guardians, or words of theirs, before the kind."""
    first = func.substr(_document, 2, len(_KIND)) != _KIND
    return and_(first, func.substr(_document, _PLACE_OF_KIND, len(_KIND)) != _KIND)


def _family_has(condition: Condition) -> Condition:
    """What is only looked for where it can be: a search through every document takes three times as long."""
    return case((_has_family(), condition), else_=false())


def _is_student() -> Condition:
    kind = '"kind":"student"'
    begins = [func.substr(_document, place, len(kind)) == kind for place in (2, _PLACE_OF_KIND)]
    return or_(*begins, _family_has(_holds(kind + _LEAVES)))


def _is_heard() -> Condition:
    return _family_has(_holds('"heard":[['))


def _is_divided(tx: ReadTx) -> Condition:
    """Whether guardians said both yes and no about a leaf."""
    said = _Words(tx)
    action, grant = said.number(2), _number(tx, 0)
    words = (
        said.of_all.where(said.text(1) != "")
        .group_by(said.text(0))
        .having(func.min(action) == grant, func.max(action) > grant)
    )
    both = ['%"sub' + "_" * 27 + f'",{number},%' for number in range(3)]  # a _ is any character
    yes, *noes = [_document.like(pattern) for pattern in both]
    return _family_has(case((and_(yes, or_(*noes)), words.exists()), else_=false()))


def _is_of_age_by(terms: Terms) -> Condition:
    """Whether a guardian spoke for somebody who comes of age by the day, or has."""
    if terms.policy.handover is Handover.KEEP:
        return false()
    ages = [rule.under_age for rule in terms.policy.minor_rules]
    last = max(1, terms.until.toordinal() - min(ages) * _SHORTEST_YEAR) if ages else 0
    last = min(last, 10**_DIGITS - 1)
    born = func.substr(_document, len(_BORN) + 1, _DIGITS)
    grown = [func.substr(_document, 1, len(_BORN)) == _BORN, born <= f"{last:06}"] if ages else []
    return and_(*grown, _is_heard())


def _has_lapsed(tx: ReadTx, terms: Terms) -> Condition:
    """Whether a yes of before a change stands, as the last word, for a leaf for which it would count."""
    lasting = [_is_outdated(tx, leaf, terms) for leaf in terms.changed if leaf.survives_membership]
    others = [_is_outdated(tx, leaf, terms) for leaf in terms.changed if not leaf.survives_membership]
    return or_(false(), *lasting, and_(or_(false(), *others), not_(_has_left(tx, terms))))


def _is_outdated(tx: ReadTx, leaf: Purpose, terms: Terms) -> Condition:
    expires_at, wording = _cells(tx, leaf)
    goes_on = or_(expires_at.is_(None), expires_at > _number(tx, to_milliseconds(terms.now)))
    return and_(wording < _number(tx, leaf.counts_from), goes_on)


def _has_said_before(tx: ReadTx, terms: Terms) -> Condition:
    """Whether a yes of before a change was said where a guardian spoke, so that more than the last word counts."""
    said = _Words(tx)
    before = [and_(said.text(0) == leaf.code, said.number(6) < _number(tx, leaf.counts_from)) for leaf in terms.changed]
    words = said.of_all.where(said.number(2) == _number(tx, 0), or_(false(), *before))
    return _family_has(case((_holds('"heard":[['), words.exists()), else_=false()))


class _Words:
    """What was said where a guardian spoke: a row for each word, as `Voices` has them."""

    def __init__(self, tx: ReadTx) -> None:
        self._is_sqlite = tx.dialect == "sqlite"
        table = self._on_sqlite() if self._is_sqlite else self._on_postgresql()
        self._row = table.c.value
        self.of_all = select(literal(1)).select_from(table).correlate(subject_state)

    def text(self, place: int) -> ColumnElement[str]:
        """A cell that holds text."""
        return self._cell(place) if self._is_sqlite else func.btrim(self._cell(place), '"')

    def number(self, place: int) -> ColumnElement[Any]:
        """A cell that holds a number, to be compared with a `_number`."""
        return self._cell(place) if self._is_sqlite else _padded(self._cell(place))

    def _on_sqlite(self) -> TableValuedAlias:
        return func.json_each(_readable(), "$.heard").table_valued("value")

    def _on_postgresql(self) -> TableValuedAlias:
        rows = func.split_part(func.split_part(_document, '"heard":[[', 2), "]]", 1)
        return func.unnest(func.string_to_array(rows, "],[")).table_valued("value").render_derived()

    def _cell(self, place: int) -> ColumnElement[Any]:
        if self._is_sqlite:
            is_row = func.substr(self._row, 1, 1) == "["
            return case((and_(is_row, func.json_valid(self._row)), func.json_extract(self._row, f"$[{place}]")))
        return func.split_part(self._row, ",", place + 1)


def _cells(tx: ReadTx, leaf: Purpose) -> list[ColumnElement[Any]]:
    """When a yes expires, and the number of its wording, to be compared with a `_number`; null where no yes stands."""
    if tx.dialect == "sqlite":
        cells = [func.json_extract(_readable(), f'$.leaves."{leaf.code}"[{place}]') for place in (0, 3, 4)]
        return [case((cells[0] == 0, cell)) for cell in cells[1:]]
    row = func.split_part(_document, f'"{leaf.code}":[0,', 2)
    texts = [func.nullif(func.nullif(func.split_part(row, ",", place), ""), "null") for place in (3, 4)]
    return [_padded(text) for text in texts]


def _readable() -> ColumnElement[str]:
    """The document where it is JSON: one that somebody damaged must not take the others down."""
    return case((and_(func.typeof(_document) == "text", func.json_valid(_document)), _document), else_="{}")


def _padded(cell: ColumnElement[str]) -> ColumnElement[str]:
    """The text of a number so that it compares as the number does; to cast it fails where somebody damaged it."""
    return func.lpad(cell, _WIDTH, "0")


def _number(tx: ReadTx, number: int) -> Any:  # noqa: ANN401 (a number on SQLite, and its padded text on PostgreSQL)
    """A number to compare a cell with."""
    return number if tx.dialect == "sqlite" else f"{number:0{_WIDTH}}"


def _was_never_asked(tx: ReadTx, leaves: Sequence[Purpose], terms: Terms) -> Condition:
    """Whether nothing was ever said about one of the leaves for which a yes would count."""
    lasting = [leaf for leaf in leaves if leaf.survives_membership]
    going_on = or_(_lacks(lasting), not_(_has_left(tx, terms)))
    return and_(_lacks(leaves), going_on)


def _lacks(leaves: Sequence[Purpose]) -> Condition:
    """Whether a row of one of these leaves is not there. They stand in order, so one look finds all of them."""
    rows = "%".join(f'"{code}":[' for code in map(_escaped, sorted(leaf.code for leaf in leaves)))
    return not_(_document.like(f"%{_LEAVES}%{rows}%{_MEMBERSHIP}%", escape="!"))


def _has_left(tx: ReadTx, terms: Terms) -> Condition:
    """Whether the membership is over by this day: since a day, or since nobody knows when."""
    find = func.instr if tx.dialect == "sqlite" else func.strpos
    day = func.substr(_document, find(_document, _ENDED + '"') + len(_ENDED) + 1, _DAY)
    dated = and_(_holds(_ENDED + '"'), day <= terms.today.isoformat())
    return or_(_holds(_ENDED + "null]"), dated)


def _holds(text: str) -> Condition:
    return _document.like(f"%{_escaped(text)}%", escape="!")


def _escaped(text: str) -> str:
    return text.replace("_", "!_")
