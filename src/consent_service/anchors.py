"""The anchor file: every checkpoint once more, outside the database, so that a database put back in time is noticed.

One JSON object a line, each on the disk before the next is written: {"at": "…Z", "checkpoint": "<signed note>"}. What a
crash left of a line is completed by the next that writes.

NOTE: the file is read by auditors, too; members may be added, never renamed.
"""

import fcntl
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from consent_service.core.checkpoint import size_of
from consent_service.core.instants import to_text
from consent_service.store.checkpoints import Signed

_TAIL = 64 * 1024  # bytes; more than two lines


class AnchorFault(Exception):
    """The anchor file cannot be used; the message says why, and what to do."""


def newest(file: Path) -> str | None:
    """The newest checkpoint's note; None while nothing is anchored. Raises AnchorFault."""
    try:
        with file.open("rb") as opened:
            return _newest(file, _tail(opened)[0])
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AnchorFault(_unusable(file, error)) from error


def extend(file: Path, signed: Sequence[Signed]) -> None:
    """Append those of these checkpoints, in order, that are larger than the newest one there. Raises AnchorFault."""
    try:
        with os.fdopen(os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), "r+b", buffering=0) as opened:
            fcntl.flock(opened, fcntl.LOCK_EX)  # other processes anchor, too
            whole, torn = _tail(opened)
            last = _newest(file, whole)
            size = size_of(last) if last else 0
            _append(opened, torn, [_line(one) for one in signed if one.size > size])
    except OSError as error:
        raise AnchorFault(_unusable(file, error)) from error


def _append(opened: BinaryIO, torn: bytes, lines: list[bytes]) -> None:
    """Write lines at the end, the first of them from where a crash left off."""
    new = b"".join(lines)
    if new.startswith(torn):
        new = new[len(torn) :]
    else:  # what was torn off is no checkpoint of the database
        opened.truncate(opened.seek(0, os.SEEK_END) - len(torn))
    while new:
        new = new[opened.write(new) :]
    os.fsync(opened.fileno())


def _line(signed: Signed) -> bytes:
    return json.dumps({"at": to_text(signed.at), "checkpoint": signed.note}, ensure_ascii=False).encode() + b"\n"


def _tail(opened: BinaryIO) -> tuple[bytes, bytes]:
    """The end of the file: up to the last newline, and what a crash left behind it."""
    end = opened.seek(0, os.SEEK_END)
    opened.seek(max(0, end - _TAIL))
    whole, newline, torn = opened.read().rpartition(b"\n")
    return whole + newline, torn


def _newest(file: Path, whole: bytes) -> str | None:
    if not whole:
        return None
    try:
        note = json.loads(whole.splitlines()[-1])["checkpoint"]
        size_of(note)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise AnchorFault(
            f"the last line of the anchor file {file} is no checkpoint; bring the file back from a copy of it"
        ) from error
    return str(note)


def _unusable(file: Path, error: OSError) -> str:
    return f"the anchor file {file} cannot be used ({error.strerror}); see CONSENT_ANCHOR_FILE"
