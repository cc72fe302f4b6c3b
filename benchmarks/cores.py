"""Keeping the servers on one core and the load on another, so that the load takes no time from what it measures."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cores:
    """A core for the servers and one for the load, or neither where there are not two or the system has no pinning.

    Children inherit where their parent is when it starts them.
    """

    server: int | None = None
    load: int | None = None

    @property
    def pinned(self) -> bool:
        """Whether there are two."""
        return self.server is not None

    def for_load(self) -> None:
        """Move this process, and what it starts from now on, to the load's core."""
        _move(self.load)

    @contextmanager
    def for_servers(self) -> Iterator[None]:
        """What is started inside runs on the servers' core."""
        _move(self.server)
        try:
            yield
        finally:
            _move(self.load)


def two_cores() -> Cores:
    """Two of the cores that this process may use."""
    if sys.platform != "linux":
        return Cores()
    usable = sorted(os.sched_getaffinity(0))
    return Cores(usable[0], usable[1]) if len(usable) > 1 else Cores()


def _move(core: int | None) -> None:
    if sys.platform == "linux" and core is not None:
        os.sched_setaffinity(0, {core})
