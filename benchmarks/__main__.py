"""Measure everything in one run, the targets interleaved so that the machine's noise hits all alike."""

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext

from benchmarks import report
from benchmarks.cores import Cores, two_cores
from benchmarks.load import Measured, measured, wrk
from benchmarks.servers import all_targets
from benchmarks.target import Target

_CONNECTIONS = (1, 16, 64)


def main() -> int:
    """Print the table; 1 if any answer was not good."""
    options = _options()
    program = None if options.no_wrk else wrk()
    cores = two_cores()
    rounds = _run(options, program, cores)
    print(report.machine(program=program, pinned=cores is not None))
    print(f"\nMedian of {options.rounds} rounds of {options.seconds} s; 1,000 subjects.\n")
    print("\n".join(report.table(rounds, bare="bare FastAPI route")))
    failed = report.failures(rounds)
    print(f"\nAnswers that were not good: {failed}")
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: does it run? Its figures mean little")
    parser.add_argument("--rounds", type=int, help="how often each target is measured (5)")
    parser.add_argument("--seconds", type=int, help="how long each time (3)")
    parser.add_argument("--no-wrk", action="store_true", help="make the load from Python, even if wrk is here")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.seconds = options.seconds or (1 if options.quick else 3)
    return options


def _run(options: argparse.Namespace, program: str | None, cores: Cores | None) -> report.Rounds:
    if cores:
        cores.for_load()
    servers = all_targets()
    with cores.for_servers() if cores else nullcontext():
        targets = servers.__enter__()
    try:
        return _rounds(targets, program, options.rounds, options.seconds)
    finally:
        servers.__exit__(None, None, None)


def _rounds(targets: Sequence[Target], program: str | None, rounds: int, seconds: int) -> report.Rounds:
    results: dict[tuple[str, int], list[Measured]] = defaultdict(list)
    for number in range(rounds + 1):
        for connections in _CONNECTIONS if number else (16,):  # the round before the first is to get warm
            for target in targets:
                one = measured(program, target, connections, seconds if number else 1)
                _tell(number, target, connections, one)
                if number:
                    results[target.name, connections].append(one)
    return results


def _tell(number: int, target: Target, connections: int, one: Measured) -> None:
    what = f"{target.name}, {connections} connections"
    print(f"round {number}: {what}: {one.rate:,.0f}/s, {one.failed} failed", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
