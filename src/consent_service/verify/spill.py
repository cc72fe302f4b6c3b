"""Records sorted by subject in flat memory: spread over files by the subject's hash, and read back a file at a time."""

import marshal
import struct
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO, Any

_EACH = 10_000  # records in one part, few enough to stay near the processor
_PARTS = 300  # files that are open at once
_HELD = 10_000  # records that wait to be written
_LENGTH = struct.Struct("<I")

Record = tuple[Any, ...]


class Spill:
    """Takes (subject, …) records of what `marshal` knows. With few of them nothing is written anywhere."""

    def __init__(self, expected: int) -> None:
        self._parts: list[list[Record]] = [[] for _ in range(max(1, min(_PARTS, expected // _EACH)))]
        self._files: list[IO[bytes]] = []
        self._held = 0
        self._closing = ExitStack()

    def __enter__(self) -> "Spill":
        if len(self._parts) > 1:
            enter = self._closing.enter_context
            self._files = [enter(tempfile.TemporaryFile()) for _ in self._parts]  # noqa: SIM115 (entered here)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def add(self, records: list[Record]) -> None:
        """Take records in; those of one subject come back in the order in which they were taken."""
        parts, many = self._parts, len(self._parts)
        if many == 1:
            parts[0] += records
            return
        for record in records:
            parts[hash(record[0]) % many].append(record)
        self._held += len(records)
        if self._held > _HELD:
            self._write()

    def subjects(self) -> Iterator[tuple[str, list[Record]]]:
        """Each subject with its records. Call it once, after the last was taken."""
        if self._files:
            self._write()
        for number in range(len(self._parts)):
            gathered: dict[str, list[Record]] = defaultdict(list)
            for record in self._read(number):
                gathered[record[0]].append(record)
            yield from gathered.items()

    def _write(self) -> None:
        self._held = 0
        for part, file in zip(self._parts, self._files, strict=True):
            if part:
                stored = marshal.dumps(part)
                file.write(_LENGTH.pack(len(stored)) + stored)
                part.clear()

    def _read(self, number: int) -> Iterator[Record]:
        if not self._files:
            yield from self._parts[number]
            self._parts[number] = []
            return
        file = self._files[number]
        file.seek(0)
        while length := file.read(_LENGTH.size):
            yield from marshal.loads(file.read(_LENGTH.unpack(length)[0]))  # noqa: S302 (written by this process)
