"""How a database is connected to: the pools, and what each new connection is told."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sqlalchemy import event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

_COMMAND_TIMEOUT = 5.0  # seconds; a lane gives up on its callers' behalf long before
_CONNECT_TIMEOUT = 1.5


def sqlite_path(url: str) -> Path | None:
    """The file of an embedded database; None for PostgreSQL."""
    parsed = make_url(url)
    return Path(parsed.database or "") if parsed.get_backend_name() == "sqlite" else None


def sqlite_writer(url: URL) -> AsyncEngine:
    """One connection: several writers on one file can lose committed writes (SQLite 3.7.0 to 3.51.2, WAL reset)."""
    engine = create_async_engine(
        url.set(drivername="sqlite+aiosqlite"),
        pool_size=1,
        max_overflow=0,
        pool_timeout=_COMMAND_TIMEOUT,
        pool_reset_on_return=None,  # `write` ends every transaction itself
        hide_parameters=True,
    )
    _on_connect(engine, ["journal_mode=WAL", "synchronous=FULL", "recursive_triggers=ON", "foreign_keys=ON"])
    return engine


def sqlite_readers(url: URL) -> AsyncEngine:
    """Readers that cannot write, nor checkpoint."""
    file = Path(url.database or "").absolute().as_uri()
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{file}?mode=ro&uri=true",
        pool_size=4,
        max_overflow=4,
        pool_reset_on_return=None,
        hide_parameters=True,
    )
    _on_connect(engine, ["query_only=ON"])
    return engine


_readable = partial(str, encoding="utf-8", errors="replace")
"""Text that somebody damaged is read, and fails its seal; it does not fail whoever asks about others."""


def _on_connect(engine: AsyncEngine, pragmas: Sequence[str]) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        connection.driver_connection.text_factory = _readable
        cursor = connection.cursor()
        for pragma in [*pragmas, "busy_timeout=2000"]:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()


def postgresql(url: URL) -> AsyncEngine:
    """Connections that hear warnings; each is told to the one that commits."""
    engine = create_async_engine(
        url.set(drivername="postgresql+asyncpg"),
        pool_size=8,
        max_overflow=8,
        pool_timeout=_CONNECT_TIMEOUT,
        pool_pre_ping=True,  # after a restart of the server one is found dead, not one after another
        pool_reset_on_return=None,  # `write` ends every transaction itself
        isolation_level="AUTOCOMMIT",  # we say BEGIN ourselves
        hide_parameters=True,
        connect_args={
            "timeout": _CONNECT_TIMEOUT,
            "command_timeout": _COMMAND_TIMEOUT,
            "server_settings": {
                "application_name": "consent-service",
                "jit": "off",
                "plan_cache_mode": "force_generic_plan",  # planning took longer than the check
            },
        },
    )

    @event.listens_for(engine.sync_engine, "connect")
    def hear_warnings(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        heard: list[str] = []
        record.info["warnings"] = heard
        connection.driver_connection.add_log_listener(lambda _, message: heard.append(message.sqlstate))

    return engine
