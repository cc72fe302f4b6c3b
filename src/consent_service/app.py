"""The composition root: opens the service from its settings, and puts HTTP in front of it."""

import asyncio
import functools
import gc
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fastapi import FastAPI

from consent_service import examples, keys, rotation, worker
from consent_service.anchors import AnchorFault
from consent_service.core.authzen import Vocabulary
from consent_service.core.clients import Scope
from consent_service.core.decision import Decision
from consent_service.core.errors import LedgerDamaged
from consent_service.core.ids import Entropy
from consent_service.core.instants import instant
from consent_service.lanes import Gate, Lane, read_alone, write_alone
from consent_service.notary import Notary, Pause
from consent_service.operations import checks, clients, consents, policies
from consent_service.operations.authzen import Terms
from consent_service.operations.checks import Asked
from consent_service.operations.clients import NewClient
from consent_service.operations.consents import Call, Recorded
from consent_service.policies import shipped
from consent_service.settings import DecisionLog, Settings
from consent_service.store import db, lock, schema, seals
from consent_service.store.db import Database, WriteTx
from consent_service.store.rebuild import rebuild
from consent_service.web.application import application
from consent_service.web.deps import Room
from consent_service.web.edge import Measures

logger = logging.getLogger(__name__)

FIRST_CLIENT = "first-client"
_BULK_AT_ONCE = 4
_ALLOCATIONS = 20_000  # between two looks at the youngest objects


class StartFault(Exception):
    """The service cannot start; the message says why and what to do."""


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


def create_app(settings: Settings, service: Service | None = None, *, with_examples: bool = False) -> FastAPI:
    """The HTTP application. Opens the service at its start, unless an open one is handed over."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with nullcontext(service) if service else running(settings, with_examples=with_examples) as opened:
            app.state.room = _room(opened, app.state.measures)
            app.state.measures.untrusted.set_function(lambda: opened.database.trust.untrusted)
            keep_for = timedelta(days=settings.decision_retention_days)
            take = functools.partial(take_keys, opened)
            async with (
                worker.at_work(opened.database, keep_for, opened.notary, opened.rotated),
                rotation.on_hangup(take),
            ):
                yield

    return application(settings.rate_limit, lifespan)


def from_environment() -> FastAPI:
    """The application with the settings of the environment; for servers that want a factory."""
    settle()
    return create_app(Settings())


def settle() -> None:
    """Tell the garbage collector to leave alone what was loaded: it would look at all of it again and again.

    What an answer leaves behind is freed by counting references; cycles are rare, so they may wait longer.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS, 20, 100)


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
    file = db.sqlite_path(settings.database)
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


def _room(service: Service, measures: Measures) -> Room:
    return Room(
        service.database,
        service.checks,
        service.statements,
        service.notary,
        measures,
        service.settings.default_namespace,
        service.settings.time_zone,
        _terms(service.settings),
        bulk=Gate(at_once=1 if db.sqlite_path(service.settings.database) else _BULK_AT_ONCE),
        counting=Gate(at_once=1),
    )


def _terms(settings: Settings) -> Terms:
    types = (settings.authzen_subject_types, settings.authzen_resource_types)
    recorded = settings.decision_log is DecisionLog.DURABLE
    return Terms(Vocabulary(*types, settings.default_namespace), settings.time_zone, recorded)


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
