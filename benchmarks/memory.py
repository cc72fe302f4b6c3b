"""How much memory a process holds (its resident set), where the system tells: on Linux."""

from pathlib import Path


def now(pid: int | None) -> int | None:
    """The bytes that the process holds now."""
    return _read(pid, "VmRSS")


def peak(pid: int | None) -> int | None:
    """The most bytes that the process held since `forget_peak`."""
    return _read(pid, "VmHWM")


def forget_peak(pid: int | None) -> None:
    """Let the peak be counted from now on."""
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    except OSError:
        return  # no such system, or no such right: the peak is then that of the process's whole life


def _read(pid: int | None, name: str) -> int | None:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)
