"""Load an empty database with subjects who have all decided: python -m benchmarks.populate --subjects 1000000.

Prints one line of JSON with a key for the service. The keys that the service needs lie in the data directory.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from pydantic import SecretStr

from benchmarks import bulk
from benchmarks.bulk import Space
from benchmarks.policy import BRANCH, one_branch
from benchmarks.population import Census
from consent_service import keys
from consent_service.core.clients import Scope
from consent_service.core.policy import Policy, Purpose
from consent_service.lanes import write_alone
from consent_service.operations import clients, policies
from consent_service.operations.clients import NewClient
from consent_service.service import running, utc_now
from consent_service.settings import Settings
from consent_service.store import db, engines, lock, schema
from consent_service.store.db import Database

LOADED_BEFORE = timedelta(days=30)
"""How long ago the population spoke, so that what was said for a day has expired."""

_BATCH = 5000


@dataclass(frozen=True, slots=True)
class Populated:
    """What was loaded: a client's key, how many subjects and entries, the seconds it took, and its bytes on disk."""

    key: str
    subjects: int
    entries: int
    seconds: float
    space: Space

    @property
    def statements(self) -> int:
        """How many of the entries are statements."""
        return self.entries - 2 * self.subjects


def main() -> int:
    """Load, and say so."""
    options = _options()
    loading = populated(_settings(options), options.subjects, utc_now(), each_leaf=options.each_leaf, tell=_tell)
    done = asyncio.run(loading)
    _summarise(done)
    print(json.dumps({"key": done.key, "subjects": done.subjects, "entries": done.entries}))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.populate", description=__doc__)
    parser.add_argument("--database-url", help="an empty database (SQLite in the data directory)")
    parser.add_argument("--data-dir", type=Path, help="where the service's keys lie (CONSENT_DATA_DIR)")
    parser.add_argument("--subjects", type=int, default=1_000_000)
    parser.add_argument("--each-leaf", action="store_true", help="a statement for each leaf, not one on the branch")
    return parser.parse_args()


def _settings(options: argparse.Namespace) -> Settings:
    url = options.database_url and SecretStr(options.database_url)
    given = {"data_dir": options.data_dir, "database_url": url}
    return Settings().model_copy(update={name: value for name, value in given.items() if value})


async def populated(
    settings: Settings,
    subjects: int,
    now: datetime,
    *,
    each_leaf: bool = False,
    tell: Callable[[int, int], None] = lambda _done, _of: None,
) -> Populated:
    """Load an empty database. `tell` hears how many subjects of how many are in."""
    at = now - LOADED_BEFORE
    policy = one_branch(at.date() - timedelta(days=1))
    await _publish(settings, policy, at)
    async with running(settings, clock=lambda: at) as service:
        made = await write_alone(service.database, partial(clients.create, caller=None, new=_CLIENT))
        census = Census(
            policy, _spoken_of(policy, each_leaf=each_leaf), made.client.id, at, service.database.keyring, os.urandom
        )
        started = time.perf_counter()
        await _load(service.database, census, subjects, tell)
        seconds = time.perf_counter() - started
        await bulk.settle(service.database)
        taken = await bulk.space(service.database)
    return Populated(made.key, subjects, subjects * census.entries_each, seconds, taken)


_CLIENT = NewClient("benchmarks", tuple(Scope))


async def _publish(settings: Settings, policy: Policy, at: datetime) -> None:
    """Make the tables and publish our policy, before the service's first start publishes the shipped one."""
    file = engines.sqlite_path(settings.database)
    with lock.held(file) if file else nullcontext():
        made = keys.load(settings, os.urandom)
        made.save()  # or the service's own start would make others
        database = db.opened(settings.database, made.keyring, lambda: at)
        try:
            await schema.migrate(database)
            publish = partial(policies.publish_first, policy=policy, zone=settings.time_zone)
            if not await write_alone(database, publish):
                raise SystemExit("this database has a policy already; the population needs an empty one")
        finally:
            await database.dispose()


async def _load(database: Database, census: Census, subjects: int, tell: Callable[[int, int], None]) -> None:
    for first in range(0, subjects, _BATCH):
        numbers = range(first, min(first + _BATCH, subjects))
        await bulk.append(database, partial(census.rows, numbers))
        tell(numbers.stop, subjects)


def _spoken_of(policy: Policy, *, each_leaf: bool) -> tuple[Purpose, ...]:
    branch = policy.find(BRANCH)
    assert branch is not None
    return branch.leaves if each_leaf else (branch,)


def _tell(done: int, of: int) -> None:
    if done == of or done % 100_000 == 0:
        print(f"loaded {done:,} of {of:,} subjects", file=sys.stderr)


def _summarise(done: Populated) -> None:
    rate, each = done.subjects / done.seconds, done.space.total / done.statements
    print(
        f"{done.subjects:,} subjects in {done.seconds:.0f} s ({rate:,.0f}/s), {done.entries:,} entries", file=sys.stderr
    )
    print(f"{done.space.total:,} bytes, {each:,.0f} a statement", file=sys.stderr)
    for name, size in done.space.by_table.items():
        print(f"  {name}: {size:,} ({size / done.statements:,.0f} a statement)", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
