"""What stands for a subject's leaves, as the text of which a state's document is made, and read from it again."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from consent_service.core.consent import Action, Standing
from consent_service.core.instants import from_milliseconds, optional_instant, optional_milliseconds, to_milliseconds

ACTIONS = (Action.GRANT, Action.REFUSE, Action.WITHDRAW)
"""What the first cell of a leaf's row stands for."""

_JSON = json.JSONDecoder()
_COMPACT = json.JSONEncoder(sort_keys=True, separators=(",", ":"), check_circular=False)

LeafRow = tuple[int, int, int, int | None, int, int | None]


class Leaves(Mapping[str, Standing]):
    """What stands, leaf by leaf, read from the document only where it is asked for: a check asks for one of many.

    `text` are the members of a JSON object as `to_document` writes them: compact, sorted, codes without escapes.

    NOTE: a row is [action, index, made_at, expires_at, wording, last_no_at], instants in milliseconds since 1970.
    """

    __slots__ = ("text",)

    def __init__(self, text: str = "") -> None:
        self.text = text

    def __getitem__(self, leaf: str) -> Standing:
        """What stands for one leaf."""
        if (standing := self.of(leaf)) is None:
            raise KeyError(leaf)
        return standing

    def of(self, leaf: str) -> Standing | None:
        """The same; None where nothing stands."""
        begin = self._row_of(leaf)
        return None if begin < 0 else _from_row(*_JSON.raw_decode(self.text, begin)[0])

    def __iter__(self) -> Iterator[str]:
        """The leaves that were ever decided."""
        return iter(self._rows())

    def __len__(self) -> int:
        """How many there are."""
        return len(self._rows())

    def without(self, leaves: Iterable[str]) -> "Leaves":
        """The same, with nothing that stands for these leaves."""
        gone = set(leaves)
        return Leaves(compact({leaf: row for leaf, row in self._rows().items() if leaf not in gone})[1:-1])

    def changed(self, standings: Mapping[str, Standing]) -> "Leaves":
        """The same, with these leaves as they stand now; the others' rows are not read where none is new."""
        rows = {leaf: _to_row(standing) for leaf, standing in standings.items()}
        if any(self._row_of(leaf) < 0 for leaf in rows):
            return Leaves(compact(self._rows() | rows)[1:-1])
        changed = Leaves(self.text)
        for leaf, row in rows.items():
            begin = changed._row_of(leaf)
            end = changed.text.index("]", begin) + 1
            changed.text = changed.text[:begin] + _row_text(*row) + changed.text[end:]
        return changed

    def _row_of(self, leaf: str) -> int:
        """Where a leaf's row begins; negative where it has none."""
        found = self.text.find(f'"{leaf}":[')
        return found if found < 0 else found + len(leaf) + len('"":')

    def _rows(self) -> dict[str, LeafRow]:
        rows: dict[str, LeafRow] = json.loads(f"{{{self.text}}}")
        return rows


class Voices:
    """Who said what, for the leaves about which a guardian ever spoke; of the others, `Leaves` says it all.

    `text` are the items of a JSON array, ordered by leaf and speaker; the person's own voice has the empty speaker.

    NOTE: an item is [leaf, speaker, …] and goes on as a row of `Leaves` does.
    """

    __slots__ = ("text",)

    def __init__(self, text: str = "") -> None:
        self.text = text

    def __contains__(self, leaf: str) -> bool:
        """Whether a guardian ever spoke about a leaf."""
        return f'["{leaf}",' in self.text

    def of(self, leaf: str) -> dict[str, Standing]:
        """What each speaker said about a leaf; empty if no guardian ever did."""
        found, begin = {}, self.text.find(f'["{leaf}",')
        while begin >= 0 and self.text.startswith(f'["{leaf}",', begin):
            row, end = _JSON.raw_decode(self.text, begin)
            found[row[1]] = _from_row(*row[2:])
            begin = end + 1
        return found

    def changed(self, said: Mapping[tuple[str, str], Standing]) -> "Voices":
        """The same, with what was said about a leaf by a speaker."""
        rows = self._rows() | {about: [*about, *_to_row(standing)] for about, standing in said.items()}
        return Voices(voices_text(rows))

    def without(self, leaves: Iterable[str]) -> "Voices":
        """The same, with nothing that was said about these leaves."""
        gone = set(leaves)
        return Voices(voices_text({about: row for about, row in self._rows().items() if about[0] not in gone}))

    def speakers(self) -> set[str]:
        """Who said anything, the person themself among them where a guardian did."""
        return {speaker for _, speaker in self._rows()}

    def _rows(self) -> dict[tuple[str, str], list[object]]:
        return {(row[0], row[1]): row for row in json.loads(f"[{self.text}]")}


def voices_text(rows: Mapping[tuple[str, str], Sequence[object]]) -> str:
    """The text of `Voices` of these rows, by leaf and speaker."""
    return compact([rows[about] for about in sorted(rows)])[1:-1]


def compact(value: object) -> str:
    """JSON without a space, its members sorted: equal values give equal text."""
    return _COMPACT.encode(value)


def _row_text(
    action: int, index: int, made_at: int, expires_at: int | None, wording: int, last_no_at: int | None
) -> str:
    """A row as `compact` writes it, in a fifth of the time."""
    until, no_at = ("null" if one is None else one for one in (expires_at, last_no_at))
    return f"[{action},{index},{made_at},{until},{wording},{no_at}]"


def _to_row(standing: Standing) -> LeafRow:
    return (
        ACTIONS.index(standing.action),
        standing.index,
        to_milliseconds(standing.made_at),
        optional_milliseconds(standing.expires_at),
        standing.wording,
        optional_milliseconds(standing.last_no_at),
    )


def _from_row(
    action: int, index: int, made_at: int, expires_at: int | None, wording: int, last_no_at: int | None
) -> Standing:
    return Standing(
        ACTIONS[action],
        index,
        from_milliseconds(made_at),
        optional_instant(expires_at),
        wording,
        optional_instant(last_no_at),
    )
