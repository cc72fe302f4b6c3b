"""The servers that are measured, as real processes: the bare routes, and the service on each database."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import families, target
from benchmarks.cores import Cores
from benchmarks.target import LOG_OFF, RECORDED, Server, Target
from tests.postgres import Postgres

_PROGRAM = str(Path(sys.executable).with_name("consent-service"))
_PATIENCE = 60


FEW, MANY = 10_000, 1_000_000


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many subjects the databases hold: the usual ones, and the one that shows growth."""

    few: int = FEW
    many: int = MANY


@dataclass(frozen=True, slots=True)
class Service:
    """A service to be measured: on which database, its decision log, how many subjects, and what is asked of it."""

    database: str
    log: str
    subjects: int
    targets: Callable[[Server], list[Target]]

    @property
    def name(self) -> str:
        """A name for its database."""
        return f"consent_{self.log}_{self.subjects}"

    @property
    def on_postgresql(self) -> bool:
        """Whether it needs a PostgreSQL."""
        return self.database == "PostgreSQL"

    @property
    def has_children(self) -> bool:
        """Whether children are asked about; else its subjects are as many as it says, and alike."""
        return any(one.name.endswith(target.OF_CHILDREN) for one in self.targets(Server()))


def services(sizes: Sizes) -> list[Service]:
    """Every service that is measured."""
    return [
        Service("SQLite", "durable", sizes.few, _on_sqlite),
        Service("SQLite", "off", sizes.few, lambda server: [target.check(server, "SQLite, log off")]),
        Service("PostgreSQL", "durable", sizes.few, _on_postgresql),
        Service("PostgreSQL", "off", sizes.few, _unrecorded),
        Service("PostgreSQL", "durable", sizes.many, _grown),
    ]


def _on_sqlite(server: Server) -> list[Target]:
    return [target.check(server, "SQLite, recorded"), target.consent(server, "SQLite")]


def _on_postgresql(server: Server) -> list[Target]:
    checks = [target.check(server, RECORDED), target.check_of_children(server, RECORDED)]
    many = [target.batch(server, RECORDED), target.filtered(server, RECORDED)]
    return [*checks, *many, target.consent(server, "PostgreSQL")]


def _unrecorded(server: Server) -> list[Target]:
    checks = [target.check(server, LOG_OFF), target.check_of_children(server, LOG_OFF)]
    return [*checks, target.batch(server, LOG_OFF), target.filtered(server, LOG_OFF)]


def _grown(server: Server) -> list[Target]:
    return [target.check(server, f"{RECORDED}, {target.MANY}")]


@contextmanager
def running(sizes: Sizes, cores: Cores, wanted: Callable[[str], bool]) -> Iterator[list[Target]]:
    """Start the servers of the targets whose names are wanted, and the bare FastAPI route; answers what to measure."""
    chosen = [one for one in services(sizes) if any(wanted(its.name) for its in one.targets(Server()))]
    with ExitStack() as stack:
        fastapi, starlette = (stack.enter_context(_bare(name, cores, sizes.few)) for name in ("fastapi", "starlette"))
        postgres = stack.enter_context(_postgres(cores)) if any(one.on_postgresql for one in chosen) else None
        started = [(one, stack.enter_context(_service(one, postgres, cores))) for one in chosen]
        bare = [its for its in target.bare_routes(fastapi, starlette) if its.name == target.BARE or wanted(its.name)]
        yield [*bare, *(its for one, server in started for its in one.targets(server) if wanted(its.name))]


@contextmanager
def _postgres(cores: Cores) -> Iterator[Postgres]:
    with TemporaryDirectory() as folder:
        server = Postgres(Path(folder))
        with cores.for_servers():
            server.start("max_wal_size=4GB")  # or the loading is all checkpoints
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def _bare(name: str, cores: Cores, subjects: int) -> Iterator[Server]:
    port = _free_port()
    words = ["-m", "uvicorn", f"benchmarks.bare:{name}", "--port", str(port), "--log-level", "warning"]
    with _process([sys.executable, *words, "--no-access-log"], os.environ, port, cores) as pid:
        yield Server(port, pid=pid, subjects=subjects)


@contextmanager
def _service(service: Service, postgres: Postgres | None, cores: Cores) -> Iterator[Server]:
    with TemporaryDirectory() as folder:
        environment = _environment(folder, _database(service, postgres), service.log)
        key = _populate(environment, service)
        port = _free_port()
        with _process([_PROGRAM, "serve", "--port", str(port)], environment, port, cores) as pid:
            if service.has_children:
                families.enrol(port, key)
            yield Server(port, key, pid, service.subjects)


def _database(service: Service, postgres: Postgres | None) -> str | None:
    if not service.on_postgresql or postgres is None:
        return None
    postgres.sql(f"CREATE DATABASE {service.name}")
    return postgres.url(service.name)


def _environment(folder: str, url: str | None, log: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CONSENT_")}
    own = {"CONSENT_DATA_DIR": folder, "CONSENT_DECISION_LOG": log, "CONSENT_RATE_LIMIT": "1000000/second"}
    return {**clean, **own, **({"CONSENT_DATABASE_URL": url} if url else {})}


def _populate(environment: Mapping[str, str], service: Service) -> str:
    """Make the database, its subjects and a client; answers the client's key."""
    print(f"loading {service.subjects:,} subjects into {service.database}", file=sys.stderr)
    words = [sys.executable, "-m", "benchmarks.populate", "--subjects", str(service.subjects)]
    made = subprocess.run(words, env=environment, check=True, stdout=subprocess.PIPE)
    return str(json.loads(made.stdout)["key"])


@contextmanager
def _process(words: Sequence[str], environment: Mapping[str, str], port: int, cores: Cores) -> Iterator[int]:
    with cores.for_servers():
        process = subprocess.Popen(words, env=environment, stdout=sys.stderr)
    try:
        _await(process, port)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _await(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"the server on port {port} did not start")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
