"""Counting over all subjects, in the database: one statement, hence one snapshot, and no work for this process.

NOTE: this reads documents as core/projection.py writes them; tests/store/test_tallies.py holds it against that.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from consent_service.core.consent import Tally
from consent_service.core.instants import to_milliseconds
from consent_service.core.projection import MERGED_BEGINS
from consent_service.core.standings import ACTIONS
from consent_service.store.db import ReadTx

_WORDING = re.compile(r"[0-9]{1,9}")
_ACTIONS = {str(number): action for number, action in enumerate(ACTIONS)}

_SEEN_POSTGRESQL = """($3::text[] IS NULL OR EXISTS (
  SELECT 1 FROM subject_identifier i WHERE i.subject = s.subject AND i.namespace = ANY($3::text[])))"""
_SEEN_SQLITE = """(?3 IS NULL OR EXISTS (
  SELECT 1 FROM subject_identifier i
  WHERE i.subject = s.subject AND i.namespace IN (SELECT value FROM json_each(?3))))"""

# A row that somebody damaged must neither take the others down nor be counted where it cannot be read: no text is cast.
# Cutting the text takes a sixth of the time of parsing it. A purpose may be called as another member of the document
# is: it is looked for behind where the leaves begin, and the text of no member behind them begins with a digit.
_TALLIES_POSTGRESQL = f"""
SELECT l.leaf, split_part(r.cells, ',', 1), split_part(r.cells, ',', 5),
  coalesce(lpad(nullif(split_part(r.cells, ',', 4), 'null'), 19, '0') <= lpad($1::bigint::text, 19, '0'), false),
  count(*)
FROM subject_state s CROSS JOIN unnest($2::text[]) l(leaf)
CROSS JOIN LATERAL (
  SELECT split_part(split_part(split_part(s.document, '"leaves":{{', 2), '"' || l.leaf || '":[', 2), ']', 1) AS cells
  OFFSET 0) r
WHERE ascii(r.cells) BETWEEN 48 AND 57 AND {_SEEN_POSTGRESQL}
GROUP BY 1, 2, 3, 4
UNION ALL
SELECT NULL, '', '', false, count(*) FROM subject_state s
WHERE left(s.document, {len(MERGED_BEGINS)}) <> '{MERGED_BEGINS}' AND {_SEEN_POSTGRESQL}
"""  # noqa: S608 (joined from parts of our own)

_TALLIES_SQLITE = f"""
SELECT l.key, json_extract(l.value, '$[0]'), json_extract(l.value, '$[4]'),
  coalesce(json_extract(l.value, '$[3]') <= ?1, 0), count(*)
FROM subject_state s
JOIN json_each(iif(typeof(s.document) = 'text' AND json_valid(s.document), s.document, '{{}}'), '$.leaves') l
WHERE l.type = 'array' AND l.key IN (SELECT value FROM json_each(?2)) AND {_SEEN_SQLITE}
GROUP BY 1, 2, 3, 4
UNION ALL
SELECT NULL, '', '', 0, count(*) FROM subject_state s
WHERE substr(s.document, 1, {len(MERGED_BEGINS)}) <> '{MERGED_BEGINS}' AND {_SEEN_SQLITE}
"""  # noqa: S608 (joined from parts of our own)


@dataclass(frozen=True, slots=True)
class Count:
    """How many subjects there are, and how many of them stand alike for a leaf; those who do not were never asked."""

    subjects: int
    tallies: tuple[Tally, ...]


async def count(tx: ReadTx, leaves: Sequence[str], now: datetime, *, namespaces: Sequence[str] = ()) -> Count:
    """What stands for these leaves at an instant, counted over all subjects.

    With namespaces, only over those with an identifier in one of them.
    """
    at = to_milliseconds(now)
    if tx.dialect == "postgresql":
        rows = await tx.scan(_TALLIES_POSTGRESQL, at, list(leaves), list(namespaces) or None)
    else:
        rows = await tx.scan(_TALLIES_SQLITE, at, json.dumps(leaves), json.dumps(namespaces) if namespaces else None)
    subjects = next(number for leaf, *_, number in rows if leaf is None)
    found = [
        Tally(leaf, _ACTIONS[str(action)], int(wording), bool(expired), number)
        for leaf, action, wording, expired, number in rows
        if leaf is not None and str(action) in _ACTIONS and _WORDING.fullmatch(str(wording))
    ]
    return Count(subjects, tuple(found))
