"""For auditors: writing the bundle of a ledger that is verified elsewhere."""

import sys
from pathlib import Path
from typing import Annotated, TextIO

import typer

from consent_service.cli.commands import app, console
from consent_service.cli.database import reading
from consent_service.faults import StartFault
from consent_service.operations import bundles
from consent_service.operations.bundles import Part
from consent_service.settings import read_settings
from consent_service.store.db import ReadTx


@app.command("export-ledger")
def export_ledger(
    file: Annotated[Path, typer.Argument(help="Where to write the bundle; - for the standard output.")] = Path("-"),
    begin: Annotated[int | None, typer.Option("--from", min=0, help="Only from this index on.")] = None,
    end: Annotated[int | None, typer.Option("--to", min=1, help="Only up to before this index.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only what is about this subject, sub_….")] = None,
) -> None:
    """Write a bundle of the ledger, to be verified with no database and no server: verify --bundle FILE."""
    part = Part(begin, end, subject)
    if str(file) == "-":
        _export(part, sys.stdout)
        return
    unfinished = file.with_name(file.name + ".unfinished")
    try:
        with unfinished.open("w", encoding="utf-8", newline="\n") as written:
            count = _export(part, written)
        unfinished.replace(file)
    except OSError as error:
        raise StartFault(f"{file} cannot be written: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    console.print(f"Wrote {count} lines to {file}.", highlight=False)


def _export(part: Part, written: TextIO) -> int:
    async def work(tx: ReadTx) -> int:
        count = 0
        async for line in bundles.lines(tx, part, origin=read_settings().ledger_origin):
            written.write(line)
            count += 1
        return count

    return reading(work)
