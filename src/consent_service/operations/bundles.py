"""Bundles: the ledger, or a part of it, as lines for auditors who verify it with no database and no server.

NOTE: bundles lie with auditors for as long as they like; members may be added, never renamed. docs/verify.md has the
format.
"""

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

from consent_service.core.errors import InvalidInput, SubjectNotFound
from consent_service.core.instants import to_text
from consent_service.core.people import Pseudonym
from consent_service.operations import ledger
from consent_service.store import checkpoints, merging, projection
from consent_service.store import ledger as ledger_store
from consent_service.store.checkpoints import Signed
from consent_service.store.db import ReadTx
from consent_service.store.ledger import Stored

FORMAT = "consent-service-ledger"
VERSION = 1
_PAGE = 2000


@dataclass(frozen=True, slots=True)
class Part:
    """Which entries to take: from `begin` up to before `end`, or those of a subject; all of them if nothing is said."""

    begin: int | None = None
    end: int | None = None
    subject: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the ledger."""
        return self.begin is None and self.end is None and self.subject is None


async def lines(tx: ReadTx, part: Part, *, origin: str) -> AsyncIterator[str]:
    """The lines of a bundle, each with its newline: a header, entries and checkpoints, and the end.

    Raises InvalidInput for a part that the ledger does not have, or that no checkpoint covers, and SubjectNotFound.
    """
    digest, count = hashlib.sha256(), 0
    async for item in _whole(tx, origin) if part.is_whole else _part(tx, part, origin):
        line = json.dumps(item, separators=(",", ":")) + "\n"
        digest.update(line.encode())
        count += 1
        yield line
    end = {"lines": count + 1, "sha256": digest.hexdigest()}
    yield json.dumps({"end": end}, separators=(",", ":")) + "\n"


async def _whole(tx: ReadTx, origin: str) -> AsyncIterator[dict[str, object]]:
    """Each checkpoint stands behind the entries that it covers."""
    size, last, signed = await ledger_store.size(tx), -1, 0
    yield _header(origin, size, partial=False)
    while last + 1 < size:
        entries = await ledger_store.stored_after(tx, last, limit=min(_PAGE, size - 1 - last))
        covering = [one async for one in _signed(tx, signed, last + 1 + len(entries))]
        for entry in entries:
            yield _entry(entry)
            for one in [one for one in covering if one.size == entry.index + 1]:
                yield _checkpoint(one)
        signed = covering[-1].size if covering else signed
        last += len(entries)
        if not entries:
            return


async def _signed(tx: ReadTx, after: int, upto: int) -> AsyncIterator[Signed]:
    while page := await checkpoints.after(tx, after, limit=_PAGE):
        for one in page:
            if one.size > upto:
                return
            yield one
        after = page[-1].size


async def _part(tx: ReadTx, part: Part, origin: str) -> AsyncIterator[dict[str, object]]:
    """Each entry has its proof against the newest checkpoint; the entries of keys are in it, for who signed that."""
    newest = await checkpoints.newest(tx)
    wanted = await _indexes(tx, part)
    if newest is None or wanted[-1] >= newest.size:
        raise InvalidInput.at("/to", "no checkpoint covers these entries yet; a running service makes one in a second")
    yield _header(origin, newest.size, partial=True)
    keys = await ledger_store.indexes_of_kind(tx, "key", before=newest.size)
    for index in sorted({*wanted, *keys}):
        proof = await ledger.inclusion(tx, None, index=index, size=newest.size)
        (entry,) = await ledger_store.stored_after(tx, index - 1, limit=1)
        yield _entry(entry) | {"hashes": [one.hex() for one in proof.path]}
    yield _checkpoint(newest)


async def _indexes(tx: ReadTx, part: Part) -> list[int]:
    size = await ledger_store.size(tx)
    begin, end = part.begin or 0, size if part.end is None else part.end
    if not 0 <= begin < end <= size:
        raise InvalidInput.at("/from", f"the ledger has the entries 0 to {size - 1}; --to is the first one not taken")
    if part.subject is None:
        return list(range(begin, end))
    (state,) = (await projection.facts_for(tx, (), [Pseudonym(part.subject)])).states
    group = await merging.group_of(tx, state.subject if state else part.subject)
    found = [one for name in group for one in await ledger_store.indexes_of(tx, name) if begin <= one < end]
    if not found:
        raise SubjectNotFound("No entry there is about this subject; a subject is named as sub_…")
    return sorted(found)


def _header(origin: str, size: int, *, partial: bool) -> dict[str, object]:
    return {"bundle": FORMAT, "version": VERSION, "origin": origin, "size": size, "partial": partial}


def _entry(entry: Stored) -> dict[str, object]:
    body = entry.body.decode("utf-8", "surrogateescape")
    told = {"index": entry.index, "at": to_text(entry.at), "kind": entry.kind, "subject": entry.subject}
    return {"entry": told | {"body": body, "leaf_hash": entry.leaf_hash.hex()}}


def _checkpoint(signed: Signed) -> dict[str, object]:
    return {"checkpoint": {"size": signed.size, "at": to_text(signed.at), "note": signed.note}}
