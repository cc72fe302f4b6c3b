"""Raw rows, read with plain SQL in one snapshot: the `sqlite3` of Python opened read-only, or asyncpg."""

import asyncio
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import asyncpg

from consent_service.verify.report import Unreadable

Row = Sequence[Any]

TABLES: Mapping[str, Sequence[str]] = {
    "ledger_entry": ("index", "at", "kind", "subject", "body", "leaf_hash"),
    "ledger_head": ("id", "size", "at", "frontier"),
    "ledger_node": ("level", "position", "hash"),
    "checkpoint": ("size", "at", "note"),
    "entry_detail": ("index", "salt", "ciphertext"),
    "subject_key": ("subject", "wrapped_key"),
    "subject_state": ("subject", "last_index", "document", "seal"),
    "subject_identifier": ("lookup", "namespace", "subject", "index", "seal"),
    "policy_version": ("version", "effective_at", "published_at", "index", "document", "seal"),
    "client": (
        *("id", "name", "key_hash", "scopes", "purposes", "namespaces"),
        *("created_at", "expires_at", "revoked_at", "index", "seal"),
    ),
    "signing_key": ("kid", "use", "state", "public_key", "index"),
}
"""What is read, and of it which columns."""


class Source(Protocol):
    """A database, opened for reading in one snapshot."""

    def batches(self, query: str, count: int) -> Iterator[Sequence[Row]]:
        """The rows of a query, so many at a time: exactly `count` in each, but for the last."""

    def columns(self) -> Mapping[str, set[str]]:
        """The tables that are there, with their columns."""


def rows(source: Source, table: str, order: str = "", *, where: str = "", count: int = 5000) -> Iterator[Row]:
    """The rows of one of `TABLES`, their cells in the order that stands there."""
    for batch in source.batches(statement(table, order, where), count):
        yield from batch


def statement(table: str, order: str = "", where: str = "") -> str:
    """The SELECT of a table; every name in it is one of ours."""
    names = ", ".join(f'"{name}"' for name in TABLES[table])
    condition, ordered = f" WHERE {where}" if where else "", f" ORDER BY {order}" if order else ""
    return f"SELECT {names} FROM {table}{condition}{ordered}"  # noqa: S608 (names of our own tables)


def opened(url: str) -> AbstractContextManager[Source]:
    """Open `sqlite:///path` or `postgresql://…`. Raises Unreadable."""
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme == "sqlite":
        return _sqlite(Path(unquote(url.partition(":///")[2].partition("?")[0])))
    if scheme in ("postgresql", "postgres"):
        return _postgres("postgresql:" + url.partition(":")[2])
    raise Unreadable("a database is named as sqlite:///path or postgresql://user:password@host/name")


class _Sqlite:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def batches(self, query: str, count: int) -> Iterator[Sequence[Row]]:
        with _sqlite_errors():
            cursor = self._connection.execute(query)
            while batch := cursor.fetchmany(count):
                yield batch

    def columns(self) -> Mapping[str, set[str]]:
        with _sqlite_errors():
            names = [row[0] for row in self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            ask = "SELECT name FROM pragma_table_info(?)"
            return {name: {row[0] for row in self._connection.execute(ask, (name,))} for name in names}


@contextmanager
def _sqlite(file: Path) -> Iterator[Source]:
    if not file.is_file():
        raise Unreadable(f"there is no database at {file}")
    with _sqlite_errors():
        connection = _connected(file)
        try:
            connection.execute("PRAGMA query_only=ON")
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            yield _Sqlite(connection)
        finally:
            connection.close()


def _connected(file: Path) -> sqlite3.Connection:
    """Opened read-only; from a medium that cannot be written to, a database that was closed in order."""
    for more in ("", "&immutable=1"):
        connection = sqlite3.connect(
            f"{file.absolute().as_uri()}?mode=ro{more}", uri=True, isolation_level=None, check_same_thread=False
        )
        connection.text_factory = partial(str, encoding="utf-8", errors="replace")  # what is no text is no true text
        with suppress(sqlite3.OperationalError):
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            return connection
        if file.with_name(file.name + "-wal").exists():
            break
    raise Unreadable(f"{file} cannot be opened as a SQLite database")


@contextmanager
def _sqlite_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise Unreadable(f"the database cannot be read: {error}") from error


class _Postgres:
    def __init__(self, loop: asyncio.AbstractEventLoop, connection: Any) -> None:  # noqa: ANN401 (asyncpg has no types)
        self._loop = loop
        self._connection = connection

    def batches(self, query: str, count: int) -> Iterator[Sequence[Row]]:
        with _postgres_errors():
            cursor = self._loop.run_until_complete(_cursor(self._connection, query))
            while batch := self._loop.run_until_complete(cursor.fetch(count)):
                yield batch

    def columns(self) -> Mapping[str, set[str]]:
        query = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
        found: dict[str, set[str]] = {}
        for batch in self.batches(query, 1000):
            for table, column in batch:
                found.setdefault(table, set()).add(column)
        return found


async def _cursor(connection: Any, query: str) -> Any:  # noqa: ANN401
    return await connection.cursor(query)


@contextmanager
def _postgres(url: str) -> Iterator[Source]:
    loop = asyncio.new_event_loop()
    try:
        with _postgres_errors():
            connection = loop.run_until_complete(asyncpg.connect(url, timeout=10))
            try:
                begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
                loop.run_until_complete(connection.execute(begin))
                yield _Postgres(loop, connection)
            finally:
                loop.run_until_complete(connection.close(timeout=5))
    finally:
        loop.close()


@contextmanager
def _postgres_errors() -> Iterator[None]:
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(f"the database cannot be read: {urlsafe(error)}") from error


def urlsafe(error: Exception) -> str:
    """An error's words without what may be a password in a URL."""
    text = str(error) or type(error).__name__
    return " ".join("…" if urlsplit(word).password else word for word in text.split())
