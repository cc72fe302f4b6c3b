"""Running the service: serve, migrate, openapi."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Annotated, TypedDict

import typer
import uvicorn
from uvicorn.supervisors import Multiprocess

from consent_service.app import create_app, settle
from consent_service.cli.commands import app, console, run
from consent_service.faults import StartFault
from consent_service.keys import load
from consent_service.service import first_client_key_file, running, utc_now
from consent_service.settings import Settings, read_settings
from consent_service.store import db, engines, lock, schema, seals
from consent_service.web.wire import Protocol


class _Manner(TypedDict):
    """How uvicorn serves, as one process or as several."""

    http: type[Protocol]
    log_level: str
    access_log: bool
    server_header: bool
    timeout_graceful_shutdown: int


_MANNER = _Manner(
    http=Protocol, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=10
)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes; several only on PostgreSQL.")] = 1,
    with_examples: Annotated[bool, typer.Option("--with-examples", help="Add the docs page's example person.")] = False,
    show_key: Annotated[
        bool, typer.Option("--show-key", help="Print the first client's key, terminal or not.")
    ] = False,
) -> None:
    """Serve HTTP. On an embedded database the first start makes everything that is missing."""
    settings = read_settings()
    if workers == 1:
        run(_serve_here(settings, host, port, with_examples=with_examples, show_key=show_key))
        return
    if engines.sqlite_path(settings.database):
        raise typer.BadParameter("an embedded database takes one process; set CONSENT_DATABASE_URL to PostgreSQL")
    run(_prepare(settings, with_examples=with_examples))
    config = uvicorn.Config(
        "consent_service.app:from_environment",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        **_MANNER,
    )
    _Workers(config, sockets=[_bound(host, port)]).run()


class _Server(uvicorn.Server):
    """uvicorn's server, but that a signal ends it in order: what is open is closed, and the process ends by itself."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Hear signals while serving, and do not send them again afterwards."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()


class _Workers(Multiprocess):
    """Several processes on one socket; each of them hears SIGHUP, which uvicorn would have them all replaced for."""

    def handle_hup(self) -> None:
        """Pass it on."""
        for process in self.processes:
            if process.pid is not None:
                os.kill(process.pid, signal.SIGHUP)


async def _prepare(settings: Settings, *, with_examples: bool) -> None:
    async with running(settings, with_examples=with_examples):
        pass


async def _serve_here(settings: Settings, host: str, port: int, *, with_examples: bool, show_key: bool) -> None:
    async with running(settings, with_examples=with_examples) as service:
        listening = _bound(host, port)
        config = uvicorn.Config(create_app(settings, service), host=host, port=port, **_MANNER)
        server = _Server(config)
        serving = asyncio.create_task(server.serve([listening]))
        while not server.started and not serving.done():  # noqa: ASYNC110 (uvicorn has no event for it)
            await asyncio.sleep(0.02)
        settle()
        if server.started:
            _welcome(settings, f"http://{host}:{listening.getsockname()[1]}", show_key=show_key or sys.stdout.isatty())
        await serving


def _bound(host: str, port: int) -> socket.socket:
    """A socket at the address, for this process and its children. Raises StartFault."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        told = f"cannot listen at {host}, port {port}: {error.strerror or error}; take another with --port or --host"
        raise StartFault(told) from None
    bound.set_inheritable(True)
    return bound


def _welcome(settings: Settings, url: str, *, show_key: bool) -> None:
    console.print(f"The consent service is at {url}, its docs page at {url}/docs", highlight=False)
    file = first_client_key_file(settings)
    if not file.exists():
        return
    if not show_key:
        console.print(f"The first client's key is in {file}", highlight=False)
        return
    key = file.read_text().strip()
    body = json.dumps({"subject": "person:1001", "purpose": "billing"})
    print(f"key: {key}")  # noqa: T201 (rich would wrap or colour what people copy)
    print(  # noqa: T201
        f"curl -sS {url}/v1/check -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' -d '{body}'",
        flush=True,
    )


@app.command()
def migrate(
    grant_to: Annotated[
        str | None, typer.Option(help="The role on PostgreSQL that the service has; it gets the rights it needs.")
    ] = None,
) -> None:
    """Bring the database to this version's schema."""
    settings = read_settings()
    file = engines.sqlite_path(settings.database)
    if file and grant_to:
        raise typer.BadParameter("an embedded database has no roles")
    with lock.held(file) if file else nullcontext():
        unsealed = run(_migrate(settings, grant_to))
    console.print(f"The database is at migration {schema.head()}.", highlight=False)
    if unsealed:
        console.print("Its rows have no seals yet, so every check is a no; run now: consent-service rebuild")


async def _migrate(settings: Settings, role: str | None) -> bool:
    """Migrate, and answer whether rows are there that have no seals."""
    database = db.opened(settings.database, load(settings, lambda n: bytes(n)).keyring, utc_now)
    try:
        await schema.migrate(database)
        if role is not None:
            await schema.grant(database, role)
        async with database.read() as tx:
            return await seals.are_missing(tx)
    except schema.RoleFault as fault:
        raise typer.BadParameter(str(fault)) from None
    finally:
        await database.dispose()


@app.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    print(json.dumps(create_app(read_settings()).openapi(), indent=2, ensure_ascii=False))  # noqa: T201 (its output is a file)
