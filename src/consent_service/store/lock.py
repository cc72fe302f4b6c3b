"""The lock on an embedded database: one process, one writer.

It lies on a sibling file, because closing any descriptor on the database itself drops SQLite's own locks.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class DatabaseInUse(Exception):
    """Another process has the embedded database."""


@contextmanager
def held(database: Path) -> Iterator[None]:
    """Hold the database's lock. Raises DatabaseInUse when another process does."""
    database.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with database.with_name(database.name + ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DatabaseInUse(
                f"another process has {database} open, and an embedded database takes one process only; "
                "stop that one, or use PostgreSQL; check, clients and policy publish can ask it over HTTP "
                "(CONSENT_URL and CONSENT_KEY)"
            ) from None
        yield
