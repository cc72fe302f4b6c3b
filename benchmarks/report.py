"""The tables: the median of the rounds, ratios to the bare FastAPI route of the same round, and what was aimed at."""

import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata

from benchmarks.aims import MOST, Outcome, Rounds, median, quotient, ratio
from benchmarks.load import Measured
from benchmarks.target import BARE

_PACKAGES = ("consent-service", "fastapi", "starlette", "pydantic", "uvicorn", "uvloop", "sqlalchemy", "asyncpg")
_HEADINGS = (
    "conns",
    "target",
    "requests/s",
    "decisions/s",
    "× bare",
    "p50 ms",
    "× bare",
    "p99 ms",
    "p99 ÷ p50",
    "peak MiB",
    "failed",
)
_NONE = "–"


def machine(*, program: str | None, pinned: bool) -> str:
    """Where this was measured, and with what."""
    where = "servers and PostgreSQL on one core, load on another" if pinned else "not pinned"
    load = "wrk" if program else "the bundled driver"
    return (
        f"{os.cpu_count()} cores ({platform.machine()}, {platform.system()}), {where}; load: {load}; "
        f"{versions(*_PACKAGES)}"
    )


def versions(*packages: str) -> str:
    """Python and these packages, by their versions."""
    return ", ".join(
        [f"Python {platform.python_version()}", *(f"{name} {metadata.version(name)}" for name in packages)]
    )


def table(rounds: Rounds, not_there: Iterable[str] = ()) -> Iterator[str]:
    """The lines of a Markdown table of what was measured, and of what the server does not have."""
    yield _row(_HEADINGS)
    yield _row(["---:" if heading != "target" else "---" for heading in _HEADINGS])
    for (name, connections), results in sorted(rounds.items(), key=lambda item: item[0][1]):
        yield _row([str(connections), name, *_figures(results, connections, rounds)])
    for name in not_there:
        yield _row([_NONE, f"{name}: not there", *[_NONE] * (len(_HEADINGS) - 2)])


def aims(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """The lines of a Markdown table of what was aimed at and what came out."""
    yield _row(["aim", "measured", "target", ""])
    yield _row(["---", "---:", "---:", "---"])
    for outcome in outcomes:
        aim = outcome.aim
        figure = _NONE if outcome.figure is None else _number(outcome.figure)
        yield _row([aim.what, figure, f"{'≥' if aim.at_least else '≤'} {_number(aim.bound)} {aim.unit}", outcome.word])


def noise(rounds: Rounds) -> str:
    """How much the bare route itself differed between the rounds: what else the machine had to do."""
    rates = [one.rate for one in rounds.get((BARE, MOST), ())]
    if not rates:
        return "The bare route was not measured."
    return f"The bare FastAPI route at {MOST} connections: {min(rates):,.0f} to {max(rates):,.0f} requests/s by round."


def failures(rounds: Rounds) -> int:
    """How many answers of the whole run were not good."""
    return sum(one.failed for results in rounds.values() for one in results)


def _figures(results: Sequence[Measured], connections: int, rounds: Rounds) -> list[str]:
    alike = rounds.get((BARE, connections))
    bare = alike or rounds.get((BARE, MOST))  # a bulk call is compared with the most that the bare route can do
    decisions = median(results, lambda one: one.rate * one.decisions)
    peaks = [one.peak for one in results if one.peak is not None]
    return [
        f"{median(results, lambda one: one.rate):,.{0 if alike else 1}f}",
        f"{decisions:,.0f}" if results[0].decisions > 1 else _NONE,
        f"{ratio(results, bare, lambda one: one.rate * one.decisions):.2f}" if bare else _NONE,
        f"{median(results, lambda one: one.p50):.2f}",
        f"{ratio(results, alike, lambda one: one.p50):.1f}" if alike else _NONE,
        f"{median(results, lambda one: one.p99):.2f}",
        f"{median(results, lambda one: quotient(one.p99, one.p50)):.1f}",
        f"{max(peaks) / 2**20:.0f}" if peaks else _NONE,
        str(sum(one.failed for one in results)),
    ]


def _number(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 1000 else f"{figure:.2f}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
