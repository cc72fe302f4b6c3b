"""For auditors: verifying a ledger."""

import gc
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from consent_service import keys as files
from consent_service.cli.commands import AsJson, app, console
from consent_service.cli.progress import shown
from consent_service.core.keys import KeyFault
from consent_service.core.ledger import KeyUse
from consent_service.faults import StartFault
from consent_service.settings import Settings, read_settings
from consent_service.verify import bundle, database, note, receipt
from consent_service.verify.database import Trust
from consent_service.verify.note import BadNote
from consent_service.verify.report import INCOMPLETE, TAMPERED, UNREADABLE, Report, Unreadable
from consent_service.verify.secrets import Secrets

_VERDICTS = {TAMPERED: "[bold red]tampered[/]", INCOMPLETE: "[bold yellow]incomplete[/]"}


@app.command()
def verify(
    database_url: Annotated[
        str | None, typer.Option("--database", help="The database, instead of the settings' own.")
    ] = None,
    bundle_file: Annotated[Path | None, typer.Option("--bundle", help="A bundle of export-ledger, instead.")] = None,
    anchors: Annotated[Path | None, typer.Option(help="The anchor file; with the settings' own database, its.")] = None,
    receipt_file: Annotated[Path | None, typer.Option("--receipt", help="A receipt that has to agree as well.")] = None,
    public_key: Annotated[
        list[str] | None,
        typer.Option(help="Who may have signed checkpoints, in place of the keys that the ledger published itself."),
    ] = None,
    secrets: Annotated[bool, typer.Option(help="Check with the service's secrets, too, where they are held.")] = True,
    as_json: AsJson = False,
) -> None:
    """Verify a ledger and all that rests on it: exit 0 whole, 1 tampered, 2 incomplete, 3 unreadable."""
    try:
        trust = _trust(database_url, bundle_file, anchors, public_key or [], secrets=secrets)
        held_out = receipt.read(receipt_file) if receipt_file else None
        gc.disable()  # what a verification makes is freed by counting references
        with shown("verifying") as tell:
            if bundle_file:
                report = bundle.verified(bundle_file, trust, held_out, tell)
            else:
                report = database.verified(database_url or read_settings().database, trust, held_out, tell)
    except (Unreadable, BadNote, KeyFault, StartFault) as fault:
        Console(stderr=True, soft_wrap=True).print("[bold red]unreadable:[/]", str(fault), markup=True, highlight=False)
        raise typer.Exit(UNREADABLE) from None
    _show(report, as_json=as_json)
    raise typer.Exit(report.exit_code)


def _trust(
    database_url: str | None, bundle_file: Path | None, anchors: Path | None, public_keys: list[str], *, secrets: bool
) -> Trust:
    if bundle_file and database_url:
        raise Unreadable("name either a bundle or a database")
    settings = read_settings()
    own = bundle_file is None and (database_url is None or database_url == _own_database(settings))
    due = anchors is None and own
    held = _secrets(settings) if secrets and own else Secrets()
    keys = tuple(note.public_key(text) for text in public_keys)
    return Trust(settings.anchors if due else anchors, due, keys, None, held)


def _own_database(settings: Settings) -> str | None:
    """The settings' own database; None where they name none, which is no matter if another is to be verified."""
    with suppress(StartFault):
        return settings.database
    return None


def _secrets(settings: Settings) -> Secrets:
    """Those of the service's secrets that are held here; verifying makes none."""
    loaded = files.load(settings, os.urandom)
    new = {files.file_of(settings, use): use for use in KeyUse if files.is_in_file(settings, use)}
    made = {new[path] for path in loaded.unsaved}
    held = {use: () if use in made else tuple(secrets) for use, secrets in loaded.held.items()}
    return Secrets(
        held[KeyUse.MASTER],
        held[KeyUse.SEAL],
        held[KeyUse.IDENTIFIER_PEPPER],
        held[KeyUse.CHECKPOINT],
        held[KeyUse.RECEIPT],
    )


def _show(report: Report, *, as_json: bool) -> None:
    first = report.first_bad
    if as_json:
        console.print_json(json.dumps(_as_json(report)))
        return
    for finding in report.findings:
        console.print(f"- {finding.sentence}", markup=False, highlight=False)
    for check, count in report.counts.items():
        more = count - sum(1 for one in report.findings if one.check == check)
        if more:
            console.print(f"- and {more} more of this kind: {check}", markup=False, highlight=False)
    for what in report.unchecked:
        console.print(f"not checked: {what}", markup=False, highlight=False)
    console.print(f"checked: {', '.join(report.checked)}", markup=False, highlight=False)
    if first is not None:
        last = f", or one up to {first.last}" if first.last != first.first else ""
        console.print(f"the first bad index is {first.first}{last}", markup=False, highlight=False)
    verdict = _VERDICTS.get(report.exit_code, "[bold green]whole[/]")
    console.print(f"{verdict}: {report.entries} entries, root {report.root.hex()}", highlight=False)


def _as_json(report: Report) -> dict[str, object]:
    first = report.first_bad
    return {
        "result": {TAMPERED: "tampered", INCOMPLETE: "incomplete"}.get(report.exit_code, "whole"),
        "entries": report.entries,
        "root": report.root.hex(),
        "first_bad_index": first.first if first else None,
        "findings": [
            {"check": one.check, "what": one.sentence, "first": one.first, "last": one.last} for one in report.findings
        ],
        "checked": report.checked,
        "not_checked": report.unchecked,
    }
