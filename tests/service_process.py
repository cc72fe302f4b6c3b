"""The service as a process of its own, as the school runs it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

COMMAND = Path(sys.executable).parent / "consent-service"


def environment(folder: Path, database_url: str | None = None, **more: str) -> dict[str, str]:
    """The environment of a command: nothing of ours but what is said here."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CONSENT_")}
    named = {"CONSENT_DATA_DIR": str(folder), "COLUMNS": "200", "NO_COLOR": "1", **more}
    return clean | named | ({"CONSENT_DATABASE_URL": database_url} if database_url else {})


def run(folder: Path, *words: str, database_url: str | None = None, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    return subprocess.run(
        [COMMAND, *words],
        env=environment(folder, database_url, **more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Serving:
    """A running `serve`."""

    def __init__(self, folder: Path, *words: str, database_url: str | None = None, **more: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"serve-{self.port}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [COMMAND, "serve", "--port", str(self.port), *words],
                env=environment(folder, database_url, **more),
                stdout=log,
                stderr=log,
                start_new_session=True,  # so that it and its workers can be killed together
            )

    def until_ready(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not self._ended_within(0.02):
            if self._is_ready():
                return
        raise RuntimeError(self.log.read_text())

    def _ended_within(self, seconds: float) -> bool:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.process.returncode is not None

    def _is_ready(self) -> bool:
        asking = HTTPConnection("127.0.0.1", self.port)  # httpx would read all certificates, each time
        with suppress(OSError, HTTPException), closing(asking):
            asking.request("GET", "/readyz")
            return asking.getresponse().status == 200
        return False

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop it, and answer its exit code."""
        self.process.send_signal(how)
        return self.process.wait(timeout=30)


@contextmanager
def serving(folder: Path, *words: str, database_url: str | None = None, **more: str) -> Iterator[Serving]:
    """Serve for as long as the block lasts, with more of the environment as it is said."""
    started = Serving(folder, *words, database_url=database_url, **more)
    try:
        started.until_ready()
        yield started
    finally:
        if started.process.poll() is None:
            os.killpg(started.process.pid, signal.SIGKILL)
            started.process.wait()
