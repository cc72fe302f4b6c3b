"""All permitted subjects as one stream, and how much memory the server holds meanwhile: python -m benchmarks.stream."""

import argparse
import http.client
import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlencode

from benchmarks import memory, servers, target
from benchmarks.cores import two_cores
from benchmarks.policy import LEAF
from benchmarks.population import NAMESPACE, permitted
from benchmarks.servers import MANY, Sizes
from benchmarks.target import Server

_SAMPLE_EVERY = 1000  # lines
_PATIENCE = 120  # seconds without a line


class NotThere(Exception):
    """The server does not have this operation."""


@dataclass(frozen=True, slots=True)
class Streamed:
    """One reading of the stream: its subjects in order, how long it took, and the server's memory in bytes."""

    subjects: list[str]
    seconds: float
    memory: list[int]


def main() -> int:
    """Load a database, stream from it, and say what was seen."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stream", description=__doc__)
    parser.add_argument("--subjects", type=int, default=MANY)
    subjects = parser.parse_args().subjects
    cores = two_cores()
    cores.for_load()
    with servers.running(Sizes(subjects - 1, subjects), cores, lambda name: name.endswith(target.MANY)) as targets:
        print(told(targets[-1].server))
    return 0


def told(server: Server) -> str:
    """Read the stream to its end, then again from its middle; answers the sentences that say how it went.

    Raises RuntimeError when a subject is missing, comes twice, or comes out of order.
    """
    try:
        whole = read(server, None)
    except NotThere:
        return "GET /v1/purposes/{code}/permitted: not there"
    half = len(whole.subjects) // 2
    rest = read(server, whole.subjects[half - 1])
    _hold(whole.subjects == sorted(set(whole.subjects)), "the stream is not in the order of its subjects, each once")
    _hold(len(whole.subjects) == permitted(server.subjects), f"the stream has {len(whole.subjects):,} subjects")
    _hold(rest.subjects == whole.subjects[half:], "resumed from the middle, the stream gives something else")
    return f"GET /v1/purposes/{{code}}/permitted, {server.subjects:,} subjects: {_said(whole)}; resumed: {_said(rest)}"


def read(server: Server, after: str | None) -> Streamed:
    """Read the stream to its end. Raises NotThere, or RuntimeError when it is cut off."""
    started, seen = time.perf_counter(), [memory.now(server.pid)]
    subjects: list[str] = []
    for line in _lines(server, after):
        subjects.append(str(json.loads(line)["subject"]))
        if len(subjects) % _SAMPLE_EVERY == 0:
            seen.append(memory.now(server.pid))
    seen.append(memory.now(server.pid))
    return Streamed(subjects, time.perf_counter() - started, [one for one in seen if one is not None])


def _lines(server: Server, after: str | None) -> Iterator[bytes]:
    query = urlencode({"namespace": NAMESPACE} | ({"after": after} if after else {}))
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=_PATIENCE)) as connection:
        headers = {"Authorization": f"Bearer {server.key}"}
        connection.request("GET", f"/v1/purposes/{LEAF}/permitted?{query}", headers=headers)
        answer = connection.getresponse()
        if answer.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
            raise NotThere
        _hold(answer.status == HTTPStatus.OK, f"the stream answered {answer.status}")
        yield from answer


def _said(streamed: Streamed) -> str:
    rate = len(streamed.subjects) / streamed.seconds
    said = f"{len(streamed.subjects):,} permitted in {streamed.seconds:.1f} s ({rate:,.0f}/s)"
    if not streamed.memory:
        return said
    start, most, end = streamed.memory[0], max(streamed.memory), streamed.memory[-1]
    return f"{said}, memory {_mib(start)} at the start, {_mib(most)} at most, {_mib(end)} at the end"


def _mib(count: int) -> str:
    return f"{count / 2**20:.0f} MiB"


def _hold(holds: bool, what: str) -> None:
    if not holds:
        raise RuntimeError(what)


if __name__ == "__main__":
    sys.exit(main())
