"""What the service is to reach on PostgreSQL with one worker, and whether a run did."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.load import Measured
from benchmarks.target import BARE, LOG_OFF, MANY, OF_CHILDREN, RECORDED

Rounds = Mapping[tuple[str, int], Sequence[Measured]]
"""The measurements of each target's name and number of connections, a round each."""

Figure = Callable[[Rounds], float | None]
"""Takes one figure from a run; None where it was not measured."""

MOST = 64
"""The connections at which a server is compared by what it can do."""


@dataclass(frozen=True, slots=True)
class Aim:
    """A figure and its bound: at least so much, or at most."""

    what: str
    figure: Figure
    bound: float
    at_least: bool
    unit: str = "×"

    def is_met(self, figure: float) -> bool:
        """Whether the figure reaches the bound; one that is no number does not."""
        return figure >= self.bound if self.at_least else figure <= self.bound


@dataclass(frozen=True, slots=True)
class Outcome:
    """An aim and what came out; `figure` is None where it was not measured."""

    aim: Aim
    figure: float | None

    @property
    def word(self) -> str:
        """Met, missed or not measured."""
        if self.figure is None:
            return "not measured"
        return "met" if self.aim.is_met(self.figure) else "missed"


def outcomes(rounds: Rounds) -> Iterator[Outcome]:
    """Every aim and what came of it."""
    return (Outcome(aim, aim.figure(rounds)) for aim in AIMS)


def median(results: Sequence[Measured], figure: Callable[[Measured], float]) -> float:
    """The median of a figure over the rounds."""
    return statistics.median(figure(one) for one in results)


def ratio(ours: Sequence[Measured], its: Sequence[Measured], figure: Callable[[Measured], float]) -> float:
    """The median of the ratios within each round."""
    return statistics.median(quotient(figure(one), figure(other)) for one, other in zip(ours, its, strict=True))


def quotient(ours: float, its: float) -> float:
    """The ratio; nan where there is nothing to divide by."""
    return ours / its if its else float("nan")


def _against_bare(name: str, connections: int, figure: Callable[[Measured], float]) -> Figure:
    return _against((name, connections), (BARE, connections), figure)


def _against(ours: tuple[str, int], its: tuple[str, int], figure: Callable[[Measured], float]) -> Figure:
    return lambda rounds: ratio(rounds[ours], rounds[its], figure) if ours in rounds and its in rounds else None


def _of(name: str, figure: Callable[[Measured], float]) -> Figure:
    """The best of a target's connections."""

    def best(rounds: Rounds) -> float | None:
        found = [median(results, figure) for (its, _), results in rounds.items() if its == name]
        return max(found, default=None)

    return best


def _tail(name: str) -> Figure:
    """The 99th percentile by the median on one connection."""
    key = (name, 1)
    return lambda rounds: median(rounds[key], lambda one: quotient(one.p99, one.p50)) if key in rounds else None


def _rate(one: Measured) -> float:
    return one.rate


def _p50(one: Measured) -> float:
    return one.p50


def _decisions(one: Measured) -> float:
    return one.rate * one.decisions


_CHECK, _CHECK_OFF = f"POST /v1/check, {RECORDED}", f"POST /v1/check, {LOG_OFF}"
_NO_DEARER = 1 / 1.15  # guardians, hand-overs and versions may cost a check 15 %
_BATCH, _FILTER = "POST /v1/check/batch", "POST /v1/check/filter"

AIMS = (
    Aim("check, recorded: requests/s at 64 connections, × bare", _against_bare(_CHECK, MOST, _rate), 1.0, True),
    Aim("check, log off: requests/s at 64 connections, × bare", _against_bare(_CHECK_OFF, MOST, _rate), 1.5, True),
    Aim("check, recorded: p50 on one connection, × bare", _against_bare(_CHECK, 1, _p50), 6, False),
    Aim("check, log off: p50 on one connection, × bare", _against_bare(_CHECK_OFF, 1, _p50), 4, False),
    Aim("check, recorded: p99 on one connection, × its p50", _tail(_CHECK), 5, False),
    Aim("check, log off: p99 on one connection, × its p50", _tail(_CHECK_OFF), 5, False),
    Aim(
        "statement: requests/s at 64 connections, × bare",
        _against_bare("POST /v1/consents, PostgreSQL", MOST, _rate),
        0.5,
        True,
    ),
    Aim("batch, recorded", _of(f"{_BATCH}, {RECORDED}", _decisions), 30_000, True, "decisions/s"),
    Aim("filter, recorded", _of(f"{_FILTER}, {RECORDED}", _decisions), 30_000, True, "decisions/s"),
    Aim("batch, log off", _of(f"{_BATCH}, {LOG_OFF}", _decisions), 150_000, True, "decisions/s"),
    Aim("filter, log off", _of(f"{_FILTER}, {LOG_OFF}", _decisions), 150_000, True, "decisions/s"),
    Aim(
        "growth: check p50 on one connection, many subjects × few",
        _against((f"{_CHECK}, {MANY}", 1), (_CHECK, 1), _p50),
        1.2,
        False,
    ),
    Aim(
        "children: check recorded, requests/s at 64 connections, × grown-ups",
        _against((f"{_CHECK}, {OF_CHILDREN}", MOST), (_CHECK, MOST), _rate),
        _NO_DEARER,
        True,
    ),
    Aim(
        "children: check log off, requests/s at 64 connections, × grown-ups",
        _against((f"{_CHECK_OFF}, {OF_CHILDREN}", MOST), (_CHECK_OFF, MOST), _rate),
        _NO_DEARER,
        True,
    ),
)
