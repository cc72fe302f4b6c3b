"""Measure everything in one run, the targets interleaved so that the machine's noise hits all alike."""

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence

from benchmarks import aims, plot, report, servers, stream
from benchmarks.aims import Rounds
from benchmarks.cores import two_cores
from benchmarks.load import Measured, is_there, measured, wrk
from benchmarks.servers import Sizes
from benchmarks.target import MANY, Target

_LONGER = 3
"""How many times as long what answers much at once is measured, for in a few seconds it has hardly answered."""


def main() -> int:
    """Print the tables; 1 if any answer was not good."""
    options = _options()
    program = None if options.no_wrk else wrk()
    cores = two_cores()
    cores.for_load()
    sizes = Sizes(options.few, options.many)
    with servers.running(sizes, cores, lambda name: _is_wanted(name, options.only)) as targets:
        there = [target for target in targets if is_there(target)]
        missing = [target.name for target in targets if target not in there]
        rounds = _rounds(there, program, options.rounds, options.seconds)
        print(report.machine(program=program, pinned=cores.pinned))
        print(f"\nMedian of {options.rounds} rounds of {options.seconds} s; few subjects are {sizes.few:,}, ", end="")
        print(f"many are {sizes.many:,}, all leaves decided.\n")
        print("\n".join(report.table(rounds, missing)))
        print("\n" + report.noise(rounds))
        print("\n" + "\n".join(report.aims(aims.outcomes(rounds))))
        print("\n" + _streamed(there), flush=True)
        if not options.only and not options.quick:
            plot.refresh(there)
    failed = report.failures(rounds)
    print(f"\nAnswers that were not good: {failed}")
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: does it run? Its figures mean little")
    parser.add_argument("--only", action="append", default=[], metavar="PART", help="targets with this in their names")
    parser.add_argument("--rounds", type=int, help="how often each target is measured (5)")
    parser.add_argument("--seconds", type=int, help="how long each time (3)")
    parser.add_argument("--few", type=int, help="subjects in the usual databases (10,000)")
    parser.add_argument("--many", type=int, help="subjects in the database that shows growth (1,000,000)")
    parser.add_argument("--no-wrk", action="store_true", help="make the load from Python, even if wrk is here")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.seconds = options.seconds or (1 if options.quick else 3)
    options.few = options.few or (2_000 if options.quick else servers.FEW)
    options.many = options.many or (20_000 if options.quick else servers.MANY)
    return options


def _is_wanted(name: str, parts: Sequence[str]) -> bool:
    return not parts or any(part.casefold() in name.casefold() for part in parts)


def _rounds(targets: Sequence[Target], program: str | None, rounds: int, seconds: int) -> Rounds:
    results: dict[tuple[str, int], list[Measured]] = defaultdict(list)
    for target in targets:
        connections = min(16, max(target.connections))
        _tell("warming", target, connections, measured(program, target, connections, 1))
    for number in range(1, rounds + 1):
        for connections in sorted({count for target in targets for count in target.connections}):
            for target in targets:
                if connections in target.connections:
                    one = measured(program, target, connections, seconds * (_LONGER if target.decisions > 1 else 1))
                    _tell(f"round {number} of {rounds}", target, connections, one)
                    results[target.name, connections].append(one)
    return results


def _tell(when: str, target: Target, connections: int, one: Measured) -> None:
    what = f"{target.name}, {connections} connections"
    print(f"{when}: {what}: {one.rate:,.0f}/s, p50 {one.p50:.2f} ms, {one.failed} failed", file=sys.stderr)


def _streamed(targets: Sequence[Target]) -> str:
    grown = next((target.server for target in targets if target.name.endswith(MANY)), None)
    return stream.told(grown) if grown else "The stream was not measured."


if __name__ == "__main__":
    sys.exit(main())
