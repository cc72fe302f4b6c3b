"""The notary: signs checkpoints of the ledger, anchors them outside the database, and holds the database to them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

from consent_service import anchors
from consent_service.anchors import AnchorFault
from consent_service.core import checkpoint
from consent_service.core.errors import LedgerRolledBack, Unavailable
from consent_service.lanes import read_alone, write_alone
from consent_service.operations import ledger
from consent_service.store import checkpoints
from consent_service.store.checkpoints import Signed
from consent_service.store.db import Database, ReadTx

Pause = Callable[[float], Awaitable[object]]
"""Waits for so many seconds; `asyncio.sleep` outside tests."""

_ANCHORED_AT_ONCE = 1000
_TRIES = 5
_WHAT_TO_DO = (
    "An old copy was put back, entries were changed, or it is another database, so nothing is answered from it. Bring "
    "the right one back; or, to go on from this one, move the anchor file away (CONSENT_ANCHOR_FILE, by default "
    "anchors.ndjson in the data directory) and start the service again."
)

logger = logging.getLogger(__name__)


class Notary:
    """One for each process and database. `file` is where it anchors, `origin` the name in the checkpoints."""

    def __init__(self, database: Database, *, origin: str, file: Path, pause: Pause = asyncio.sleep) -> None:
        self._database = database
        self._origin = origin
        self._file = file
        self._pause = pause
        self._turn = asyncio.Lock()
        self._anchored = -1  # the newest anchor's size, once we know it

    async def covering(self, size: int) -> Signed:
        """The newest checkpoint, as soon as one covers so many entries, which the ledger has: within about a second.

        Raises Unavailable when none can be made, or not anchored; LedgerDamaged when none may be made.
        """
        try:
            async with self._turn:
                return await self._covering(size)
        except AnchorFault as fault:
            logger.error("%s", fault)  # noqa: TRY400 (the sentence says it all)
            raise Unavailable("No checkpoint can be anchored at the moment; try again shortly.") from fault

    async def keep_up(self) -> None:
        """Sign a checkpoint if the ledger has grown and it is time, and anchor what is not anchored yet."""
        async with self._turn:
            size, newest = await read_alone(self._database, ledger.standing)
            if size > (newest.size if newest else 0) and not self._seconds_left(newest):
                await self._sign()
            elif newest and newest.size != self._anchored:
                await self._anchor()

    async def look_back(self) -> None:
        """Trust the database if it extends the newest anchor, and not if it does not. Raises AnchorFault."""
        async with self._turn:
            anchor = await self._newest_anchor()
            async with self._database.inspect() as tx:
                departed = await ledger.departure(tx, origin=self._origin, anchor=anchor)
            self._database.trust.fault = departed and f"{departed} {_WHAT_TO_DO}"

    async def _covering(self, size: int) -> Signed:
        newest = await read_alone(self._database, checkpoints.newest)
        for _ in range(_TRIES):
            if newest and newest.size >= size:
                return newest
            await self._pause(self._seconds_left(newest))
            newest = await self._sign()
        raise Unavailable("No checkpoint that covers it could be made in time; try again shortly.")

    async def _sign(self) -> Signed | None:
        anchor = await self._newest_anchor()
        try:
            make = partial(ledger.make_checkpoint, origin=self._origin, anchor=anchor)
            newest = await write_alone(self._database, make)
        except LedgerRolledBack as error:
            self._database.trust.fault = f"{error.detail} {_WHAT_TO_DO}"
            logger.error("%s", self._database.trust.fault)  # noqa: TRY400 (the sentence says it all)
            raise
        await self._anchor()
        return newest

    async def _anchor(self) -> None:
        """Append to the file what was committed since its newest anchor; to an empty one the newest checkpoint."""
        anchor = await self._newest_anchor()
        size = checkpoint.size_of(anchor) if anchor else None
        pending = await read_alone(self._database, partial(_not_anchored, size=size))
        await asyncio.to_thread(anchors.extend, self._file, pending)
        self._anchored = pending[-1].size if pending else size or 0

    async def _newest_anchor(self) -> str | None:
        return await asyncio.to_thread(anchors.newest, self._file)

    def _seconds_left(self, newest: Signed | None) -> float:
        """Until the next checkpoint may be made; none after a clock that was set."""
        age = abs(self._database.clock() - newest.at) if newest else ledger.EVERY
        return max(0.0, (ledger.EVERY - age).total_seconds())


async def _not_anchored(tx: ReadTx, size: int | None) -> Sequence[Signed]:
    if size is not None:
        return await checkpoints.after(tx, size, limit=_ANCHORED_AT_ONCE)
    newest = await checkpoints.newest(tx)
    return [newest] if newest else []
