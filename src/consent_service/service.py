"""The service, open: from its settings to a database that may be asked; nothing of HTTP."""

import asyncio
import functools
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from consent_service import examples, keys, rotation
from consent_service.anchors import AnchorFault
from consent_service.core.clients import Scope
from consent_service.core.decision import Decision
from consent_service.core.errors import LedgerDamaged
from consent_service.core.ids import Entropy
from consent_service.core.instants import instant
from consent_service.faults import StartFault
from consent_service.lanes import Lane, read_alone, write_alone
from consent_service.notary import Notary, Pause
from consent_service.operations import checks, clients, consents, policies
from consent_service.operations.checks import Asked
from consent_service.operations.clients import NewClient
from consent_service.operations.consents import Call, Recorded
from consent_service.policies import shipped
from consent_service.settings import DecisionLog, Settings
from consent_service.store import db, engines, lock, schema, seals
from consent_service.store.db import Database, WriteTx
from consent_service.store.rebuild import rebuild

logger = logging.getLogger(__name__)

FIRST_CLIENT = "first-client"


@dataclass(frozen=True, slots=True)
class Service:
    """The service, open: its database, its two lanes and its notary; `rotated` says that keys were taken anew."""

    settings: Settings
    database: Database
    checks: Lane[Asked, Decision]
    statements: Lane[Call, Recorded]
    notary: Notary
    rotated: asyncio.Event


def utc_now() -> datetime:
    """The clock: the one place where it is read."""
    return instant(datetime.now(UTC))


@asynccontextmanager
async def running(
    settings: Settings,
    *,
    clock: Callable[[], datetime] = utc_now,
    entropy: Entropy = os.urandom,
    pause: Pause = asyncio.sleep,
    with_examples: bool = False,
) -> AsyncIterator[Service]:
    """Open the service: lock, keys, schema, anchors, the school's policy, the first client.

    A database that does not extend its anchors is left as it is, and every call to it refused.

    Raises StartFault, keys.KeyFault or lock.DatabaseInUse, each with a sentence that says what to do.
    """
    file = engines.sqlite_path(settings.database)
    with lock.held(file) if file else nullcontext():
        loaded = keys.load(settings, entropy)
        database = db.opened(settings.database, loaded.keyring, clock, entropy=entropy)
        try:
            notary = _notary(settings, database, pause)
            await _prepare(database, settings, loaded, notary, embedded=file is not None, with_examples=with_examples)
            service = _service(settings, database, notary)
            yield service
            await service.checks.drain()
            await service.statements.drain()
        finally:
            await database.dispose()


def first_client_key_file(settings: Settings) -> Path:
    """Where the key of the client lies that the first start on an embedded database makes."""
    return settings.data_dir / "first-client.key"


async def look_back(settings: Settings, database: Database) -> None:
    """Trust the database no further than it extends the newest anchor. Raises StartFault for an unusable anchor."""
    try:
        await _notary(settings, database).look_back()
    except AnchorFault as fault:
        raise StartFault(str(fault)) from fault


def _notary(settings: Settings, database: Database, pause: Pause = asyncio.sleep) -> Notary:
    return Notary(database, origin=settings.ledger_origin, file=settings.anchors, pause=pause)


def _service(settings: Settings, database: Database, notary: Notary) -> Service:
    record = functools.partial(consents.record, zone=settings.time_zone)
    return Service(
        settings,
        database,
        _checks(settings, database),
        Lane(database.write_one_by_one(), record, weigh=consents.weight),
        notary,
        asyncio.Event(),
    )


def _checks(settings: Settings, database: Database) -> Lane[Asked, Decision]:
    if settings.decision_log is DecisionLog.DURABLE:
        return Lane(database.write_one_by_one(), functools.partial(checks.answer, zone=settings.time_zone))
    return Lane(database.read_one_by_one(), functools.partial(checks.answer_unrecorded, zone=settings.time_zone))


async def _prepare(
    database: Database, settings: Settings, loaded: keys.Keys, notary: Notary, *, embedded: bool, with_examples: bool
) -> None:
    if embedded:
        await schema.migrate(database)
    elif await schema.current(database) != schema.head():
        raise StartFault("the database's schema is not this version's; run: consent-service migrate")
    await rotation.check(database, loaded)
    try:
        await notary.look_back()
        if not database.trust.fault:
            await rotation.enter(database, loaded)
            if embedded and await read_alone(database, seals.are_missing):
                await write_alone(database, rebuild)
            await _fill(database, settings, embedded=embedded, with_examples=with_examples)
            await notary.keep_up()  # anchors what a crash left between its commit and its anchor
    except AnchorFault as fault:
        raise StartFault(str(fault)) from fault
    except LedgerDamaged as fault:
        logger.error("%s Checks and statements go on.", fault)  # noqa: TRY400 (the sentence says it all)


async def _fill(database: Database, settings: Settings, *, embedded: bool, with_examples: bool) -> None:
    """What has to be in a database before anybody asks."""
    await write_alone(database, functools.partial(policies.publish_first, policy=shipped(), zone=settings.time_zone))
    if embedded:
        await write_alone(database, functools.partial(_make_first_client, settings=settings))
    if with_examples:
        await write_alone(database, functools.partial(examples.add, zone=settings.time_zone))


async def take_keys(service: Service) -> None:
    """Read the keys again and use them from the next transaction on. Raises KeyFault; all stays as it was then."""
    await rotation.take_keys(service.database, service.settings)
    service.rotated.set()


async def _make_first_client(tx: WriteTx, settings: Settings) -> None:
    if await clients.any_exists(tx):
        return
    made = await clients.create(tx, None, NewClient(FIRST_CLIENT, tuple(Scope)))
    file = first_client_key_file(settings)
    file.unlink(missing_ok=True)  # left by a first start that died before its commit
    keys.write_private(file, made.key + "\n")
