"""The table: the median of the rounds, and ratios to the bare FastAPI route of the same round and connections."""

import os
import platform
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata

from benchmarks.load import Measured

Rounds = Mapping[tuple[str, int], Sequence[Measured]]

_PACKAGES = ("consent-service", "fastapi", "starlette", "pydantic", "uvicorn", "uvloop", "sqlalchemy", "asyncpg")
_HEADINGS = "conns", "target", "requests/s", "× bare", "p50 ms", "× bare", "p99 ms", "p99 ÷ p50", "failed"


def machine(*, program: str | None, pinned: bool) -> str:
    """Where this was measured, and with what."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)
    where = "servers and PostgreSQL on one core, load on another" if pinned else "not pinned"
    load = "wrk" if program else "the bundled asyncio driver"
    return (
        f"{os.cpu_count()} cores ({platform.machine()}, {platform.system()}), {where}; load: {load}; "
        f"Python {platform.python_version()}; {versions}"
    )


def table(rounds: Rounds, bare: str) -> Iterator[str]:
    """The lines of a Markdown table. The bare route is named `bare`."""
    yield _row(_HEADINGS)
    yield _row(["---:" if heading != "target" else "---" for heading in _HEADINGS])
    for (name, connections), results in rounds.items():
        yield _row([str(connections), name, *_figures(results, rounds[bare, connections])])


def failures(rounds: Rounds) -> int:
    """How many answers of the whole run were not good."""
    return sum(one.failed for results in rounds.values() for one in results)


def _figures(results: Sequence[Measured], bare: Sequence[Measured]) -> list[str]:
    return [
        f"{_median(results, lambda one: one.rate):,.0f}",
        f"{_ratio(results, bare, lambda one: one.rate):.2f}",
        f"{_median(results, lambda one: one.p50):.2f}",
        f"{_ratio(results, bare, lambda one: one.p50):.1f}",
        f"{_median(results, lambda one: one.p99):.2f}",
        f"{_median(results, lambda one: _quotient(one.p99, one.p50)):.1f}",
        str(sum(one.failed for one in results)),
    ]


def _median(results: Sequence[Measured], figure: Callable[[Measured], float]) -> float:
    return statistics.median(figure(one) for one in results)


def _ratio(results: Sequence[Measured], bare: Sequence[Measured], figure: Callable[[Measured], float]) -> float:
    return statistics.median(_quotient(figure(ours), figure(its)) for ours, its in zip(results, bare, strict=True))


def _quotient(ours: float, its: float) -> float:
    return ours / its if its else float("nan")


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
