"""A connection that a lane keeps: used again, never by two at once, given up with a failure, closed in the end."""

import asyncio

import pytest
from sqlalchemy import event

from consent_service.core.errors import SubjectNotFound, Unavailable
from consent_service.settings import Settings
from consent_service.store import db
from consent_service.store.db import Database, ReadTx
from tests.school import School

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)]


async def session(tx: ReadTx) -> int:
    """The process of PostgreSQL that the transaction runs in."""
    return int((await tx.fetch("SELECT pg_backend_pid()"))[0][0])


async def is_there(database: Database, process: int) -> bool:
    """Whether a session goes on."""
    async with database.read() as tx:  # of its own, for within one PostgreSQL answers the same again
        return bool(await tx.fetch("SELECT 1 FROM pg_stat_activity WHERE pid = $1", process))


async def until_gone(database: Database, process: int) -> None:
    """Wait for the end of a session, which tells nobody."""
    async with asyncio.timeout(20):
        while await is_there(database, process):
            pass


async def test_one_transaction_after_another_has_the_same_connection(school: School) -> None:
    for begin in (school.service.database.read_one_by_one(), school.service.database.write_one_by_one()):
        seen = set()
        for _ in range(3):
            async with begin() as tx:
                seen.add(await session(tx))
            async with school.service.database.read() as other:
                assert await session(other) not in seen
        assert len(seen) == 1


async def test_two_at_once_have_one_each_and_the_next_has_one_of_theirs(school: School) -> None:
    begin = school.service.database.write_one_by_one()
    async with begin() as one, begin() as other:
        both = {await session(one), await session(other)}
    async with begin() as following:
        assert await session(following) in both
    assert len(both) == 2


async def test_after_one_that_failed_the_next_works(school: School) -> None:
    begin = school.service.database.write_one_by_one()
    with pytest.raises(Unavailable):
        async with begin() as tx:
            await tx.fetch("SELECT pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(ZeroDivisionError):
        async with begin() as tx:
            raise ZeroDivisionError
    async with begin() as tx:
        assert await session(tx)


async def test_what_was_kept_is_closed_with_the_database(school: School, settings: Settings) -> None:
    running = school.service.database
    own = db.opened(settings.database, running.keyring, running.clock)
    async with own.read_one_by_one()() as tx:
        kept = await session(tx)
    await own.dispose()
    await until_gone(running, kept)


async def test_what_ends_after_the_database_was_closed_is_closed_too(school: School, settings: Settings) -> None:
    running = school.service.database
    own = db.opened(settings.database, running.keyring, running.clock)
    async with own.read_one_by_one()() as tx:
        used = await session(tx)
        await own.dispose()
    await until_gone(running, used)


async def test_a_read_that_fails_gives_its_connection_up(school: School) -> None:
    database, given_up = school.service.database, list[object]()
    event.listen(database.reading.sync_engine, "invalidate", lambda connection, *_: given_up.append(connection))
    begin = database.read_one_by_one()
    with pytest.raises(Unavailable):
        async with begin() as tx:
            await tx.fetch("SELECT pg_terminate_backend(pg_backend_pid())")
    assert len(given_up) == 1
    with pytest.raises(SubjectNotFound):
        async with begin():
            raise SubjectNotFound("nobody")
    assert len(given_up) == 1  # an answer of ours is no failure of the connection's
