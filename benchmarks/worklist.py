"""The work list after a policy change, while somebody checks: python -m benchmarks.worklist."""

import argparse
import sys
import time

from benchmarks import publishing, servers, target
from benchmarks.cores import two_cores
from benchmarks.population import permitted
from benchmarks.servers import MANY, Sizes
from benchmarks.target import Server

LISTS = {
    "all numbers": "/v1/worklist",
    "birth_date_missing": "/v1/worklist?kind=birth_date_missing",
    "guardian_unverified": "/v1/worklist?kind=guardian_unverified",
    "guardian_conflict": "/v1/worklist?kind=guardian_conflict",
    "handover_due": "/v1/worklist?kind=handover_due",
    "policy_changed": "/v1/worklist?kind=policy_changed",
    "never_asked": "/v1/worklist?kind=never_asked",
    "handovers": "/v1/handovers?until=2035-12-31",
}


def main() -> int:
    """Load a database, publish a version, and say how long each list took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worklist", description=__doc__)
    parser.add_argument("--subjects", type=int, default=MANY)
    subjects = parser.parse_args().subjects
    cores = two_cores()
    cores.for_load()
    with servers.running(Sizes(subjects - 1, subjects), cores, lambda name: name.endswith(target.MANY)) as targets:
        print(publishing.told(targets[-1].server))
        print(told(targets[-1].server))
    return 0


def told(server: Server) -> str:
    """Ask for every list, once a version with material changes is in force; answers the sentences that say how it went.

    Raises RuntimeError when a number is wrong.
    """
    took: dict[str, float] = {}
    (counts, _), beside = publishing.checked(server, lambda: (_all(server, took), None))
    right = {"policy_changed": permitted(server.subjects)}
    for kind, amount in counts.items():
        publishing.hold(amount["people"] == right.get(kind, 0), f"{kind} counted {amount}, not {right.get(kind, 0)}")
    lists = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items())
    return f"The work list of {server.subjects:,} subjects: {lists}.\nChecks beside it: {beside}."


def _all(server: Server, took: dict[str, float]) -> publishing.Json:
    counts: publishing.Json = {}
    for name, path in LISTS.items():
        started = time.perf_counter()
        counts |= publishing.asked(server, "GET", path).get("counts", {})
        took[name] = time.perf_counter() - started
    return counts


if __name__ == "__main__":
    sys.exit(main())
