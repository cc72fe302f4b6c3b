"""Latency against offered load, drawn to docs/performance.svg: the recorded check beside the bare route."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks import openloop, report, servers
from benchmarks.cores import two_cores
from benchmarks.load import percentile, rate_of, run
from benchmarks.servers import FEW, Sizes
from benchmarks.svg import Curve, Point, chart
from benchmarks.target import BARE, RECORDED, Target

FILE = Path(__file__).parents[1] / "docs" / "performance.svg"
_CHECK = f"POST /v1/check, {RECORDED}"
_CONNECTIONS = 64
_SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1)  # of the most that the server can do
_TRIES = 3
_NAMES = {_CHECK: "check, recorded", BARE: "bare FastAPI route"}


def main() -> int:
    """Measure, and write the picture."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plot", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2, help="how long each rate is offered, three times (2)")
    parser.add_argument("--few", type=int, default=FEW, help="subjects in the database (10,000)")
    options = parser.parse_args()
    cores = two_cores()
    cores.for_load()
    with servers.running(Sizes(few=options.few), cores, lambda name: name == _CHECK) as targets:
        refresh(targets, options.seconds)
    return 0


def refresh(targets: Sequence[Target], seconds: float = 2) -> None:
    """Measure those of the targets that the picture shows, and write it."""
    shown = [target for name in _NAMES for target in targets if target.name == name]
    most = {target.name: _most(target, seconds) for target in shown}
    points: dict[str, list[Point]] = {target.name: [] for target in shown}
    for share in _SHARES:  # all of them at each step, so that the machine's noise hits all alike
        for target in shown:
            points[target.name].append(_point(target, most[target.name] * share, seconds))
    curves = [Curve(_NAMES[name], its) for name, its in points.items()]
    FILE.write_text(chart(curves, title="Latency against offered load", notes=_notes()))
    print(f"wrote {FILE.relative_to(FILE.parents[1])}", file=sys.stderr)


def _most(target: Target, seconds: float) -> float:
    """What the server can do, in the best of a few tries."""
    return max(rate_of(run(openloop.saturate(target, _CONNECTIONS, seconds))) for _ in range(_TRIES))


def _point(target: Target, rate: float, seconds: float) -> Point:
    """The medians of a few tries at a rate."""
    tallies = [run(openloop.offer(target, _CONNECTIONS, rate, seconds)) for _ in range(_TRIES)]
    if failed := sum(tally.failed for tally in tallies):
        raise RuntimeError(f"{target.name}: {failed} answers were not good")
    p50, p99 = (median(percentile(tally.milliseconds, share) for tally in tallies) for share in (50, 99))
    print(f"{target.name}: {rate:,.0f}/s: p50 {p50:.2f} ms, p99 {p99:.2f} ms", file=sys.stderr)
    return Point(rate, p50, p99)


def _notes() -> list[str]:
    return [
        f"One worker on PostgreSQL, each decision recorded; {_CONNECTIONS} connections; "
        "latency counts from when a request is due.",
        report.versions("consent-service", "fastapi", "sqlalchemy"),
    ]


if __name__ == "__main__":
    sys.exit(main())
