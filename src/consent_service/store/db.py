"""The database: the two kinds of transaction, and what each is given. This is the one place that commits."""

import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import Connection, Executable, Row, Select, Table, TextClause, TextualSelect, make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql.selectable import TypedReturnsRows

from consent_service.core.errors import ConsentError, LedgerRolledBack, Unavailable
from consent_service.core.ids import Entropy
from consent_service.core.instants import from_text
from consent_service.core.keyring import Keyring
from consent_service.core.policy import Policy
from consent_service.store import engines
from consent_service.store.driver import Connected, Driver, Kept, connected

Result = TypeVar("Result")
Parameters = Mapping[str, object]
Query = TypedReturnsRows[Any] | TextClause | TextualSelect
_BEGIN = {"postgresql": "BEGIN", "sqlite": "BEGIN IMMEDIATE"}
_BEGIN_SNAPSHOT = {"postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ", "sqlite": "BEGIN IMMEDIATE"}
_BEGIN_VIEW = {"postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "sqlite": "BEGIN"}
_LOST = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""The connection is gone, or nobody can say where it stands; asyncpg says the last of them after a server's death."""
_REFUSED_ROW = (IntegrityError, DataError, sqlite3.IntegrityError, sqlite3.DataError)
_WRONG_STATEMENT = (ProgrammingError, sqlite3.ProgrammingError, asyncpg.SyntaxOrAccessError)

logger = logging.getLogger(__name__)


class DataFault(Exception):
    """The database refused a row that the rules had let through; the transaction was rolled back."""


_BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class Trust:
    """Whether the database may be answered from.

    `fault` is the sentence that says why not, and what to do; `largest` the largest size of the ledger that was seen,
    and `latest` the time of the newest entry that was seen; `untrusted` counts the rows that failed their seals or were
    not the newest.
    """

    fault: str | None = None
    largest: int = 0
    latest: datetime = _BEGINNING
    untrusted: int = 0


@dataclass(frozen=True, slots=True)
class ReadTx:
    """A transaction that may not write: one snapshot where a single statement is asked.

    `now` is when the transaction began: the clock's reading, or the time of the newest entry that was seen, where the
    clock is behind it, so that nothing that expired comes back. `compiled` caches published policy versions, which
    never change. `trust` is the database's, `floor` the size that the ledger was known to have before the transaction,
    and `clock` the clock's own reading.
    """

    _connection: AsyncConnection
    _driver: Driver
    keyring: Keyring
    now: datetime
    compiled: dict[str, Policy]
    entropy: Entropy
    trust: Trust
    floor: int
    clock: datetime

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._connection.dialect.name

    async def rows(self, query: Query, parameters: Parameters | None = None) -> Sequence[Row[Any]]:
        """All rows of a query."""
        return (await self._connection.execute(query, parameters)).all()

    async def first(self, query: Query, parameters: Parameters | None = None) -> Row[Any] | None:
        """The first row of a query, or None."""
        return (await self._connection.execute(query, parameters)).first()

    async def fetch(self, statement: str, *arguments: object) -> Sequence[Sequence[Any]]:
        """All rows of a statement in the driver's own words: $1 and arrays on PostgreSQL, ?1 and JSON on SQLite.

        For what runs at every check: it costs half of what the general way does.
        """
        return await self._driver.fetch(statement, *arguments)

    async def scan(self, statement: str, *arguments: object) -> Sequence[Sequence[Any]]:
        """The same for a statement over whole tables, which may take longer than any other."""
        return await self._driver.scan(statement, *arguments)

    async def survey(self, query: Select[*tuple[Any, ...]]) -> Sequence[Sequence[Any]]:
        """The same for a query that is put together from parts."""
        made = query.compile(dialect=self._connection.dialect, compile_kwargs={"render_postcompile": True})
        return await self._driver.scan(str(made), *(made.params[name] for name in made.positiontup or ()))

    def loaded(self, stored: datetime | str) -> datetime:
        """An instant as the driver gave it."""
        return from_text(stored) if isinstance(stored, str) else stored


@dataclass(frozen=True, slots=True)
class WriteTx(ReadTx):
    """A transaction that may write; it is committed by `Database.write`, and only there."""

    async def execute(self, statement: Executable, parameters: Parameters | Sequence[Parameters] | None = None) -> int:
        """Run a statement, once for each set of parameters; answers how many rows it touched."""
        if isinstance(parameters, Sequence) and not parameters:
            return 0
        return (await self._connection.execute(statement, parameters)).rowcount

    async def run_sync(self, work: Callable[[Connection], Result]) -> Result:
        """Run work that wants SQLAlchemy's own connection, such as a migration; it is told that we have begun."""
        if not self._connection.in_transaction():
            await self._connection.begin()
        return await self._connection.run_sync(work)

    async def insert(self, table: Table, rows: Sequence[Sequence[object]]) -> None:
        """Insert rows, the cells in the order of the table's columns, in the fastest way that the database has."""
        if rows:
            await self._driver.insert(table, rows)

    async def upsert(self, table: Table, rows: Sequence[Sequence[object]]) -> None:
        """The same, in place of the rows that have their primary keys."""
        if rows:
            await self._driver.upsert(table, rows)


Tx = TypeVar("Tx", bound=ReadTx)


@dataclass(slots=True, eq=False)
class Database:
    """An open database.

    `keyring` is swapped as a whole when keys are rotated: a transaction keeps the one that it began with.
    `clock` and `entropy` are handed to each transaction, so that operations read neither clock nor dice. While it is
    not to be trusted, no transaction begins but `inspect`: LedgerRolledBack is raised instead.
    """

    writing: AsyncEngine
    reading: AsyncEngine
    keyring: Keyring
    clock: Callable[[], datetime]
    entropy: Entropy = os.urandom
    compiled: dict[str, Policy] = field(default_factory=dict)
    trust: Trust = field(default_factory=Trust)
    kept: list[Kept] = field(default_factory=list)

    def read(self) -> AbstractAsyncContextManager[ReadTx]:
        """Open a reading transaction. Raises Unavailable when the database cannot be asked."""
        self._refuse_distrusted()
        return self.inspect()

    def inspect(self) -> AbstractAsyncContextManager[ReadTx]:
        """The same, trusted or not; for finding out whether it is to be trusted, and for nothing else."""
        return self._read(connected(self.reading))

    def view(self) -> AbstractAsyncContextManager[ReadTx]:
        """The same as `read`, with one snapshot for all of its statements; nobody waits for it."""
        self._refuse_distrusted()
        return self._begun(_BEGIN_VIEW, connected(self.reading), ReadTx)

    def write(self) -> AbstractAsyncContextManager[WriteTx]:
        """Open a writing transaction and commit it at the end.

        Raises Unavailable when the database cannot be asked or the commit's outcome is unknown, and DataFault when it
        refused a row. Whatever is raised, nothing of it was acknowledged.
        """
        self._refuse_distrusted()
        return self._begun(_BEGIN, connected(self.writing), WriteTx)

    def read_one_by_one(self) -> Callable[[], AbstractAsyncContextManager[ReadTx]]:
        """`read`, for one transaction after another, on a connection that is kept in between."""
        kept = self._keep(self.reading)

        def read() -> AbstractAsyncContextManager[ReadTx]:
            self._refuse_distrusted()
            return self._read(kept.connected())

        return read

    def write_one_by_one(self) -> Callable[[], AbstractAsyncContextManager[WriteTx]]:
        """`write`, for one transaction after another, on a connection that is kept in between."""
        if self.writing is not self.reading:
            return self.write  # an embedded database has one writing connection for all
        kept = self._keep(self.writing)

        def write() -> AbstractAsyncContextManager[WriteTx]:
            self._refuse_distrusted()
            return self._begun(_BEGIN, kept.connected(), WriteTx)

        return write

    def snapshot(self) -> AbstractAsyncContextManager[WriteTx]:
        """The same, with one snapshot for all of its statements; for what asks much and appends nothing."""
        self._refuse_distrusted()
        return self._begun(_BEGIN_SNAPSHOT, connected(self.writing), WriteTx)

    def _keep(self, engine: AsyncEngine) -> Kept:
        self.kept.append(Kept(engine))
        return self.kept[-1]

    def _given(self) -> tuple[Keyring, datetime, dict[str, Policy], Entropy, Trust, int, datetime]:
        """What every transaction is given."""
        clock, trust = self.clock(), self.trust
        return self.keyring, max(clock, trust.latest), self.compiled, self.entropy, trust, trust.largest, clock

    def _refuse_distrusted(self) -> None:
        if self.trust.fault is not None:
            raise LedgerRolledBack(self.trust.fault)

    @asynccontextmanager
    async def _read(self, on: Connected) -> AsyncIterator[ReadTx]:
        with _translated():
            async with on as (connection, driver):
                try:
                    yield ReadTx(connection, driver, *self._given())
                except ConsentError:
                    raise
                except BaseException:
                    await connection.invalidate()  # the driver was asked past SQLAlchemy, which knows of no failure
                    raise

    @asynccontextmanager
    async def _begun(self, begin: Mapping[str, str], on: Connected, kind: type[Tx]) -> AsyncIterator[Tx]:
        with _translated():
            async with on as (connection, driver):
                try:
                    await driver.execute(begin[connection.dialect.name])
                    yield kind(connection, driver, *self._given())
                    await _commit(connection, driver)
                except BaseException as error:
                    await _undo(connection, driver, error)
                    raise

    async def run_sync(self, work: Callable[[Connection], Result]) -> Result:
        """Run reading work that wants SQLAlchemy's own connection. Raises Unavailable when it cannot be asked."""
        with _translated():
            async with self.reading.connect() as connection:
                return await connection.run_sync(work)

    async def dispose(self) -> None:
        """Close every connection."""
        for kept in self.kept:
            await kept.close()
        await self.writing.dispose()
        if self.reading is not self.writing:
            await self.reading.dispose()


def opened(url: str, keyring: Keyring, clock: Callable[[], datetime], *, entropy: Entropy = os.urandom) -> Database:
    """Open the database at `url`: `sqlite:///path` or `postgresql://…`. Connects at the first transaction."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return Database(engines.sqlite_writer(parsed), engines.sqlite_readers(parsed), keyring, clock, entropy)
    engine = engines.postgresql(parsed)
    return Database(engine, engine, keyring, clock, entropy)


async def _undo(connection: AsyncConnection, driver: Driver, error: BaseException) -> None:
    """Roll back; close a connection of which we cannot know where it stands."""
    if isinstance(error, Exception) and not isinstance(error, _LOST):
        with suppress(Exception):
            await driver.execute("ROLLBACK")
            return
    await connection.invalidate()


async def _commit(connection: AsyncConnection, driver: Driver) -> None:
    """Commit, and mistrust a commit that came with a warning.

    PostgreSQL reports COMMIT as done when its wait for a synchronous standby is cancelled, with only a warning
    (SQLSTATE 01000): the standby may not have it.
    """
    warnings: list[str] = connection.info.get("warnings", [])
    warnings.clear()
    await driver.execute("COMMIT")
    if "01000" in warnings:
        raise Unavailable("The commit may not have reached the standby; repeat with the same Idempotency-Key.")


@contextmanager
def _translated() -> Iterator[None]:
    """Bring the drivers' many errors down to our two. A wrong statement of ours stays what it is."""
    try:
        yield
    except (DBAPIError, sqlite3.Error, asyncpg.PostgresError) as error:
        state = getattr(getattr(error, "orig", error), "sqlstate", None) or ""
        if isinstance(error, _REFUSED_ROW) or state[:2] in ("22", "23"):
            raise DataFault(type(getattr(error, "orig", error)).__name__) from error
        if isinstance(error, _WRONG_STATEMENT):
            raise
        raise _unavailable(error) from error
    except (PoolTimeout, *_LOST) as error:
        raise _unavailable(error) from error


def _unavailable(error: Exception) -> Unavailable:
    logger.warning("database unavailable: %s", type(getattr(error, "orig", error)).__name__)
    return Unavailable("The database cannot be asked at the moment; try again shortly. No answer means no.")
