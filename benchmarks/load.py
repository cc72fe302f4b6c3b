"""One measurement: a target under so many connections for some seconds."""

import asyncio
import json
import math
import shutil
import subprocess
import tempfile
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx
import uvloop

from benchmarks import bare, memory, openloop
from benchmarks.openloop import Tally
from benchmarks.target import Target

Result = TypeVar("Result")

_SCRIPT = Path(__file__).with_name("load.lua")
_SHARE = 0.5  # of what the server can do, at which the bundled load takes its latencies: few requests wait in line
_NOT_THERE = (404, 405)


@dataclass(frozen=True, slots=True)
class Measured:
    """Answers a second, milliseconds at the median and at the 99th percentile, and how many answers were not good.

    `decisions` is how many decisions an answer holds; `peak` the most memory that the server held, in bytes, where the
    system tells.
    """

    rate: float
    p50: float
    p99: float
    failed: int
    decisions: int = 1
    peak: int | None = None


def wrk() -> str | None:
    """Where wrk is, if it is here."""
    return shutil.which("wrk")


def is_there(target: Target) -> bool:
    """Whether the server knows the operation at all: an older version may not."""
    if target.path == bare.PATH:
        return True
    headers = {"Authorization": f"Bearer {target.server.key}"}
    answer = httpx.post(f"http://127.0.0.1:{target.server.port}{target.path}", json={}, headers=headers, timeout=30)
    return answer.status_code not in _NOT_THERE


def measured(program: str | None, target: Target, connections: int, seconds: float) -> Measured:
    """Load a target and measure it: with wrk if `program` says where it is, else from here."""
    memory.forget_peak(target.server.pid)
    rate, p50, p99, failed = (
        _with_wrk(program, target, connections, seconds) if program else run(_from_here(target, connections, seconds))
    )
    return Measured(rate, p50, p99, failed, target.decisions, memory.peak(target.server.pid))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so many percent of the values do not exceed (nearest rank); nan of nothing."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(len(values) * share / 100) - 1)]


def run(work: Coroutine[object, object, Result]) -> Result:
    """Run the bundled load."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _with_wrk(program: str, target: Target, connections: int, seconds: float) -> tuple[float, float, float, int]:
    with tempfile.NamedTemporaryFile("w") as bodies:
        bodies.write("\n".join(target.bodies))
        bodies.flush()
        options = ["--threads", "1", "--connections", str(connections), "--duration", f"{seconds:.0f}s"]
        options += ["--timeout", "30s"]
        address = f"http://127.0.0.1:{target.server.port}"
        arguments = [target.path, target.server.key, target.expected, bodies.name]
        command = [program, *options, "--script", str(_SCRIPT), address, "--", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout.splitlines()[-1])
    return said["answers"] / said["seconds"], said["p50"], said["p99"], said["failed"]


async def _from_here(target: Target, connections: int, seconds: float) -> tuple[float, float, float, int]:
    """What the server can do, for half of the time; then how long answers take at a share of that rate."""
    most = await openloop.saturate(target, connections, seconds / 2)
    rate = rate_of(most)
    at_rate = await openloop.offer(target, connections, max(rate * _SHARE, 1), seconds / 2)
    times = at_rate.milliseconds
    return rate, percentile(times, 50), percentile(times, 99), most.failed + at_rate.failed


def rate_of(tally: Tally) -> float:
    """Answers a second."""
    return len(tally.milliseconds) / tally.seconds if tally.seconds else 0
