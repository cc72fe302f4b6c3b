"""Publishing a version with three material changes, while somebody checks: python -m benchmarks.publishing.

The aim is a dry run in at most 10 seconds over 1,000,000 subjects, in effect at once.
"""

import argparse
import http.client
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks import memory, servers, target
from benchmarks.cores import two_cores
from benchmarks.policy import BRANCH, LEAF
from benchmarks.population import permitted
from benchmarks.servers import MANY, Sizes
from benchmarks.target import Server

CHANGED = (LEAF, f"{BRANCH}.advertising", f"{BRANCH}.identity_confirmation")
AIM = 10.0  # seconds for 1,000,000 subjects
_PATIENCE = 300  # seconds without an answer
_SPACING = 0.02  # seconds between two checks beside the dry run

Json = Any


@dataclass(slots=True)
class Beside:
    """The checks that somebody asks meanwhile: how long each took, in milliseconds."""

    took: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        if not self.took:
            return "none"
        ordered = sorted(self.took)
        return f"{len(ordered)}, p50 {statistics.median(ordered):.1f} ms, at most {ordered[-1]:.1f} ms"


def main() -> int:
    """Load a database, publish, and say what was seen."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.publishing", description=__doc__)
    parser.add_argument("--subjects", type=int, default=MANY)
    subjects = parser.parse_args().subjects
    cores = two_cores()
    cores.for_load()
    with servers.running(Sizes(subjects - 1, subjects), cores, lambda name: name.endswith(target.MANY)) as targets:
        print(told(targets[-1].server))
    return 0


def told(server: Server) -> str:
    """Publish a version with three material changes; answers the sentences that say how it went.

    Raises RuntimeError when a number is wrong, or when the version is not in effect at once.
    """
    body, each = _proposal(server), permitted(server.subjects)
    memory.forget_peak(server.pid)
    quiet = checked(server, lambda: time.sleep(1))[1]
    (seconds, dry), meanwhile = checked(server, lambda: timed(server, "/v1/policy/versions?dry_run=true", body))
    hold(dry["lapses"] == dict.fromkeys(CHANGED, each), f"the dry run counted {dry['lapses']}, not {each:,} each")
    took, _ = timed(server, "/v1/policy/versions", body | {"confirm_lapses": dry["confirm_lapses"]})
    hold(_why(server) == "policy_changed", "the version is not in effect at once")
    aim = "" if server.subjects < MANY else f" ({'within' if seconds <= AIM else 'over'} the aim of {AIM:.0f} s)"
    return (
        f"{server.subjects:,} subjects, three material changes, {dry['confirm_lapses']:,} lapses: "
        f"dry run {seconds:.1f} s{aim}, publishing {took:.1f} s, in effect at once.\n"
        f"Checks beside the dry run: {meanwhile}; with nothing beside them: {quiet}.\n"
        f"The server's memory at its peak: {(memory.peak(server.pid) or 0) / 2**20:.0f} MiB."
    )


def _proposal(server: Server) -> Json:
    policy = asked(server, "GET", "/v1/policy")["policy"]
    policy["version"] = f"{policy['version']}-changed"
    for purpose in policy["purposes"][0]["purposes"]:
        if f"{BRANCH}.{purpose['code']}" in CHANGED:
            purpose["wording"] |= {"en": "Something else altogether", "ja": "まったく別のこと"}
    return {"policy": policy, "material": list(CHANGED)}


def _why(server: Server) -> str:
    body = json.loads(target.check(server, "").bodies[0])
    return str(asked(server, "POST", "/v1/check", body)["reasons"][0]["code"])


def timed(server: Server, path: str, body: Json) -> tuple[float, Json]:
    """How long a POST took, and its answer."""
    started = time.perf_counter()
    answer = asked(server, "POST", path, body)
    return time.perf_counter() - started, answer


def checked(server: Server, work: Callable[[], Any]) -> tuple[Any, Beside]:
    """Do the work while somebody checks."""
    with _checking(server) as beside:
        return work(), beside


@contextmanager
def _checking(server: Server) -> Iterator[Beside]:
    beside, done = Beside(), threading.Event()
    bodies = target.check(server, "").bodies

    def ask() -> None:
        for number in range(1_000_000):
            if done.wait(_SPACING):
                return
            took, _ = timed(server, "/v1/check", json.loads(bodies[number % len(bodies)]))
            beside.took.append(took * 1000)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield beside
    finally:
        done.set()
        asking.join()


def asked(server: Server, method: str, path: str, body: Json = None) -> Json:
    """The answer to one request. Raises RuntimeError where it is none."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=_PATIENCE)) as connection:
        headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
        connection.request(method, path, body=json.dumps(body) if body else None, headers=headers)
        answer = connection.getresponse()
        read = answer.read()
        hold(answer.status in (200, 201), f"{path} answered {answer.status}: {read[:500].decode()}")
        return json.loads(read)


def hold(holds: bool, what: str) -> None:
    """Raise RuntimeError if it does not hold."""
    if not holds:
        raise RuntimeError(what)


if __name__ == "__main__":
    sys.exit(main())
