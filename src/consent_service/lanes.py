"""Lanes: concurrent calls become one transaction.

A lane gathers what concurrent requests ask for while the batch before is in flight, opens one transaction, calls the
operation once, commits once, and gives each caller its own answer, after the commit. There is no cache, hence nothing
stale; the database round trip and the fsync are shared.

What holds, always:
- a batch closes before its transaction's first statement, so an answer is never older than its question;
- a caller that goes away cancels nothing; a batch whose callers waited too long for it to begin never begins;
- an item's error is its own; after a row that only the database refused, the batch runs again one by one;
- a failed commit is everybody's 503.
"""

import asyncio
import functools
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from consent_service.core.errors import ConsentError, Overloaded, Unavailable
from consent_service.store.db import Database, DataFault, ReadTx, WriteTx

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Result = TypeVar("Result")
Tx = TypeVar("Tx", bound=ReadTx)


Operation = Callable[[Tx, Sequence[Item]], Awaitable[Sequence[Answer | ConsentError]]]
Tell = Callable[[Answer | Exception], None]
"""How a caller is told the answer, or what went wrong."""

_LATE = "The database did not answer in time; a write may have happened, so repeat it with the same Idempotency-Key."
_NOT_BEGUN = "The database did not answer those before you in time; nothing was done. Try again shortly."

PATIENCE = 1.8
"""How many seconds a caller waits for the database, at most."""

_TURNS = 2

logger = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Batch(Generic[Item, Answer]):
    timer: asyncio.TimerHandle | None = None
    items: list[Item] = field(default_factory=list)
    callers: list[Tell[Answer]] = field(default_factory=list)
    weight: int = 0

    def answer(self, answers: Sequence[Answer | Exception]) -> None:
        """Tell each caller; only once, even if the answers come after all."""
        if self.timer:
            self.timer.cancel()
        callers, self.callers = self.callers, []
        for tell, answer in zip(callers, answers, strict=bool(callers)):
            try:
                tell(answer)
            except Exception:
                logger.exception("a caller could not be told the answer; the others are")


def _as_one(_: object) -> int:
    return 1


class Lane(Generic[Item, Answer]):
    """One river of questions or statements, in batches, with at most `waiting` callers inside.

    A batch is full with `most` items. `weigh` says for how many an item counts that takes as long as many: nobody else
    is heard while its batch is worked at.
    `begin` opens a batch's transaction. A caller waits at most about `patience` seconds (PATIENCE unless told) and then
    gets Unavailable; what it asked for may still happen if its batch was under way, and else does not.
    """

    def __init__(
        self,
        begin: Callable[[], AbstractAsyncContextManager[Tx]],
        operation: Operation[Tx, Item, Answer],
        *,
        most: int = 256,
        waiting: int = 2048,
        patience: float | None = None,
        weigh: Callable[[Item], int] = _as_one,
    ) -> None:
        self._begin: Callable[[], AbstractAsyncContextManager[Any]] = begin
        self._operation: Operation[Any, Item, Answer] = operation
        self._most = most
        self._waiting = waiting
        self._patience = PATIENCE if patience is None else patience
        self._weigh = weigh
        self._inside = 0
        self._batches: deque[_Batch[Item, Answer]] = deque()
        self._runner: asyncio.Task[None] | None = None

    @property
    def inside(self) -> int:
        """How many callers wait for an answer."""
        return self._inside

    async def ask(self, item: Item) -> Answer:
        """Put one item into the next batch and wait for its answer.

        Raises Overloaded when the lane is full, Unavailable when the answer cannot be known in time, and whatever
        error the operation has for this item.
        """
        caller: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.put(item, functools.partial(_settle, caller))
        return await caller

    def put(self, item: Item, tell: Tell[Answer]) -> None:
        """The same for whoever does not wait: `tell` is called once, after the commit. Raises Overloaded."""
        if self._inside >= self._waiting:
            raise Overloaded("Too many requests are waiting; nothing was done. Try again shortly.")
        self._inside += 1
        self._gather(item, tell)

    async def drain(self) -> None:
        """Wait until every batch that was begun or gathered has been answered."""
        while self._runner:
            await asyncio.wait([self._runner])

    def _gather(self, item: Item, tell: Tell[Answer]) -> None:
        if not self._batches or self._batches[-1].weight >= self._most:
            begun: _Batch[Item, Answer] = _Batch()
            begun.timer = asyncio.get_running_loop().call_later(self._patience, self._give_up, begun)
            self._batches.append(begun)
        batch = self._batches[-1]
        batch.items.append(item)
        batch.callers.append(tell)
        batch.weight += self._weigh(item)
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._batches:
                batch = self._batches[0]
                await self._gathered(batch)
                if batch.callers:  # else it was given up
                    self._batches.popleft()  # from here on the batch is closed
                    self._answer(batch, await self._answers(batch.items))
        finally:
            self._runner = None

    def _answer(self, batch: _Batch[Item, Answer], answers: Sequence[Answer | Exception]) -> None:
        self._inside -= len(batch.callers)
        batch.answer(answers)

    def _give_up(self, batch: _Batch[Item, Answer]) -> None:
        """Answer without the database. What has not begun never will, so that whoever comes next is not in it."""
        late = _LATE
        if batch in self._batches:
            self._batches.remove(batch)
            late = _NOT_BEGUN
        self._answer(batch, [Unavailable(late) for _ in batch.callers])

    async def _gathered(self, batch: _Batch[Item, Answer]) -> None:
        """Let in who is at the door: a turn of the loop reads a request, the next one brings it here."""
        quiet = 0
        while quiet < _TURNS and batch.weight < self._most:
            before = len(batch.items)
            await asyncio.sleep(0)
            quiet = 0 if len(batch.items) > before else quiet + 1

    async def _answers(self, items: Sequence[Item]) -> Sequence[Answer | Exception]:
        try:
            return await self._in_one_transaction(items)
        except DataFault as fault:
            if len(items) == 1:
                return [fault]
            return [answer for item in items for answer in await self._answers([item])]
        except ConsentError as error:
            return [type(error)(error.detail) for _ in items]
        except Exception as error:
            logger.exception("a batch of %s failed", getattr(self._operation, "__name__", "a lane"))
            return [error] * len(items)

    async def _in_one_transaction(self, items: Sequence[Item]) -> Sequence[Answer | ConsentError]:
        with _given_up():
            async with self._begin() as tx:
                answers = await self._operation(tx, items)
                if len(answers) != len(items):
                    raise RuntimeError(f"{len(answers)} answers to {len(items)}: nobody can be told which is whose")
                return answers


def _settle(caller: "asyncio.Future[Answer]", answer: Answer | Exception) -> None:
    if caller.done():
        return  # whoever asked has gone away
    if isinstance(answer, Exception):
        caller.set_exception(answer)
    else:
        caller.set_result(answer)


async def read_alone(database: Database, operation: Callable[[ReadTx], Awaitable[Result]]) -> Result:
    """Run a reading operation in a transaction of its own."""
    async with database.read() as tx:
        return await operation(tx)


async def view_alone(database: Database, operation: Callable[[ReadTx], Awaitable[Result]]) -> Result:
    """The same, all of it on one snapshot."""
    with _given_up():
        async with database.view() as tx:
            return await operation(tx)


async def write_alone(database: Database, operation: Callable[[WriteTx], Awaitable[Result]]) -> Result:
    """Run a writing operation in a transaction of its own; a caller that goes away does not cancel it."""

    async def in_transaction() -> Result:
        async with database.write() as tx:
            return await operation(tx)

    return await _shielded(in_transaction())


async def read_in_time(database: Database, operation: Callable[[ReadTx], Awaitable[Result]]) -> Result:
    """`read_alone` for a caller who waits. Raises Unavailable after PATIENCE."""
    return await in_time(read_alone(database, operation))


async def write_in_time(database: Database, operation: Callable[[WriteTx], Awaitable[Result]]) -> Result:
    """`write_alone` for a caller who waits. Raises Unavailable after PATIENCE; what was begun goes on."""
    return await in_time(write_alone(database, operation))


async def in_time(work: Coroutine[object, object, Result]) -> Result:
    """Wait for work, but no longer than PATIENCE. It is not cancelled, nor by a caller who goes away.

    Raises Unavailable: a frozen database would keep a caller waiting until the driver gives it up, much later.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=PATIENCE)
    finally:
        if not task.done():
            task.add_done_callback(_forget)
    if done:
        with _given_up():
            return task.result()
    raise Unavailable(_LATE)


@contextmanager
def _given_up() -> Iterator[None]:
    """What a driver cancels is an error, and not the end of whoever waits for it."""
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise  # we are told to end
        logger.exception("something that the database was asked for was cancelled from within")
        raise Unavailable(_LATE) from None


def _forget(late: asyncio.Future[Result]) -> None:
    if not late.cancelled() and late.exception():
        logger.warning("what came too late failed: %s", type(late.exception()).__name__)


async def snapshot_alone(database: Database, operation: Callable[[WriteTx], Awaitable[Result]]) -> Result:
    """Run a bulk operation in a transaction of its own, all of it on one snapshot."""

    async def in_transaction() -> Result:
        async with database.snapshot() as tx:
            return await operation(tx)

    return await _shielded(in_transaction())


class Gate:
    """Lets in few bulk calls at once, so that they hold up each other and not the lanes.

    `at_once` are inside, `waiting` more wait their turn, and whoever comes then is turned away.
    """

    def __init__(self, *, at_once: int, waiting: int = 32) -> None:
        self._room = at_once + waiting
        self._inside = 0
        self._turns = asyncio.Semaphore(at_once)

    @asynccontextmanager
    async def passed(self) -> AsyncIterator[None]:
        """Wait for a turn. Raises Overloaded when too many wait already."""
        if self._inside >= self._room:
            raise Overloaded("Too many bulk requests are waiting; nothing was done. Try again shortly.")
        self._inside += 1
        try:
            async with self._turns:
                yield
        finally:
            self._inside -= 1


async def _shielded(work: Coroutine[object, object, Result]) -> Result:
    with _given_up():
        return await asyncio.shield(asyncio.ensure_future(work))
