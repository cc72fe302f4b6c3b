"""One measurement: a target under so many connections for some seconds."""

import asyncio
import itertools
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import wire
from benchmarks.target import Target

_SCRIPT = Path(__file__).with_name("load.lua")


@dataclass(frozen=True, slots=True)
class Measured:
    """Answers a second, milliseconds at the median and at the 99th percentile, and how many answers were not good."""

    rate: float
    p50: float
    p99: float
    failed: int


def wrk() -> str | None:
    """Where wrk is, if it is here."""
    return shutil.which("wrk")


def measured(program: str | None, target: Target, connections: int, seconds: int) -> Measured:
    """Load a target and measure it: with wrk if `program` says where it is, else from here."""
    if program:
        return _with_wrk(program, target, connections, seconds)
    return asyncio.run(_from_here(target, connections, seconds))


def _with_wrk(program: str, target: Target, connections: int, seconds: int) -> Measured:
    with tempfile.NamedTemporaryFile("w") as bodies:
        bodies.write("\n".join(target.bodies))
        bodies.flush()
        options = ["--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
        address = f"http://127.0.0.1:{target.port}"
        arguments = [target.path, target.key, target.expected, bodies.name]
        command = [program, *options, "--script", str(_SCRIPT), address, "--", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout.splitlines()[-1])
    return Measured(said["answers"] / said["seconds"], said["p50"], said["p99"], said["failed"])


async def _from_here(target: Target, connections: int, seconds: int) -> Measured:
    started = time.perf_counter()
    tally = await wire.send(target, itertools.cycle(target.bodies), connections, seconds)
    took = time.perf_counter() - started
    if len(tally.milliseconds) < 2:
        return Measured(0, 0, 0, tally.failed + 1)
    percentiles = statistics.quantiles(tally.milliseconds, n=100)
    return Measured(len(tally.milliseconds) / took, percentiles[49], percentiles[98], tally.failed)
