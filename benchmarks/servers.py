"""The servers that are measured, as real processes: the bare routes, and the service on each database."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import bare, wire
from benchmarks.target import Target, asking, recording
from tests.postgres import Postgres

_PROGRAM = str(Path(sys.executable).with_name("consent-service"))
_PATIENCE = 60


@contextmanager
def all_targets() -> Iterator[list[Target]]:
    """Start every server; answers what to measure. They are stopped at the end."""
    with ExitStack() as running:
        postgres = running.enter_context(_postgres())
        targets = [
            asking("bare FastAPI route", running.enter_context(_bare("fastapi")), bare.PATH),
            asking("bare Starlette route", running.enter_context(_bare("starlette")), bare.PATH),
        ]
        for log in ("durable", "off"):
            targets += running.enter_context(_service("SQLite", None, log))
            postgres.sql(f"CREATE DATABASE consent_{log}")
            targets += running.enter_context(_service("PostgreSQL", postgres.url(f"consent_{log}"), log))
        yield sorted(targets, key=lambda target: (not target.name.startswith("bare"), target.path == "/v1/consents"))


@contextmanager
def _postgres() -> Iterator[Postgres]:
    with TemporaryDirectory() as folder:
        server = Postgres(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def _bare(name: str) -> Iterator[int]:
    port = _free_port()
    words = ["-m", "uvicorn", f"benchmarks.bare:{name}", "--port", str(port), "--log-level", "warning"]
    with _running([sys.executable, *words, "--no-access-log"], os.environ, port):
        yield port


@contextmanager
def _service(database: str, url: str | None, log: str) -> Iterator[list[Target]]:
    with TemporaryDirectory() as folder:
        environment = _environment(folder, url, log)
        key = _key(environment)
        port = _free_port()
        with _running([_PROGRAM, "serve", "--port", str(port)], environment, port):
            writes = recording(f"POST /v1/consents, {database}", port, key)
            _fill(writes)
            how = "recorded" if log == "durable" else "log off"
            checks = asking(f"POST /v1/check, {database}, {how}", port, "/v1/check", key)
            yield [checks, writes] if log == "durable" else [checks]


def _environment(folder: str, url: str | None, log: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CONSENT_")}
    own = {"CONSENT_DATA_DIR": folder, "CONSENT_DECISION_LOG": log, "CONSENT_RATE_LIMIT": "1000000/second"}
    return {**clean, **own, **({"CONSENT_DATABASE_URL": url} if url else {})}


def _key(environment: Mapping[str, str]) -> str:
    """Make the database, and a client that checks and records; answers its key."""
    subprocess.run([_PROGRAM, "migrate"], env=environment, check=True, stdout=sys.stderr)
    scopes = ["--scope", "check", "--scope", "consents:write"]
    words = [_PROGRAM, "clients", "create", "bench", *scopes, "--json"]
    made = subprocess.run(words, env=environment, check=True, stdout=subprocess.PIPE)
    return str(json.loads(made.stdout)["key"])


def _fill(target: Target) -> None:
    """Record every subject's yes, so that checks are about people who are known."""
    tally = asyncio.run(wire.send(target, iter(target.bodies), connections=16))
    if tally.failed:
        raise RuntimeError(f"{target.name}: {tally.failed} subjects could not be loaded")


@contextmanager
def _running(words: Sequence[str], environment: Mapping[str, str], port: int) -> Iterator[None]:
    process = subprocess.Popen(words, env=environment, stdout=sys.stderr)
    try:
        _await(process, port)
        yield
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
