"""Who was merged with whom, and who is mentioned in whose record."""

import json

from consent_service.core import ledger as entries
from consent_service.store import ledger
from consent_service.store.db import ReadTx

_PAGE = 1000
_MENTIONING = {
    "postgresql": "SELECT subject FROM subject_state WHERE strpos(document, $1) > 0",
    "sqlite": "SELECT subject FROM subject_state WHERE instr(document, ?1) > 0",
}


async def group_of(tx: ReadTx, subject: str) -> list[str]:
    """The subject, and all who were merged into it, by however many steps."""
    group, wanted = [subject], [subject]
    while wanted:
        found = await ledger.entries_of_all(tx, wanted, kinds=["merge"])
        bodies = [entry.body for entry in found if isinstance(entry.body, entries.SubjectsMerged)]
        wanted = [body.merged for body in bodies if body.into == body.subject and body.merged not in group]
        group += wanted
    return group


async def mentioning(tx: ReadTx, subject: str) -> set[str]:
    """In whose state a subject is named, as a guardian or as one who spoke. It looks at everybody, which takes time."""
    return {row[0] for row in await tx.scan(_MENTIONING[tx.dialect], json.dumps(subject))}


async def mentioned_since(tx: ReadTx, subject: str, size: int) -> set[str]:
    """The same from the entries that were made since the ledger had a size."""
    found, last = set[str](), size - 1
    while page := await ledger.stored_after(tx, last, limit=_PAGE):
        found |= {entry.subject for entry in page if entry.subject and subject.encode() in entry.body}
        last = page[-1].index
    return found
