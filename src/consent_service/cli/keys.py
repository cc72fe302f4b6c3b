"""Keys: which there are, rotating and revoking them."""

import functools
import json
import os
from contextlib import suppress
from typing import Annotated

import typer
from rich.table import Column, Table

from consent_service import keys as files
from consent_service.cli.commands import AsJson, app, console, run
from consent_service.cli.database import opened_as_it_is, opened_service, reading
from consent_service.core.errors import Unavailable
from consent_service.core.instants import to_text
from consent_service.core.keys import ROTATED, Key, KeyFault, ids
from consent_service.core.ledger import KeyUse
from consent_service.faults import StartFault
from consent_service.lanes import read_alone, write_alone
from consent_service.operations import keys
from consent_service.service import running
from consent_service.settings import Settings, read_settings
from consent_service.store import engines, readiness
from consent_service.store.db import ReadTx
from consent_service.store.lock import DatabaseInUse

commands = typer.Typer(help="The service's own keys and secrets.", no_args_is_help=True)
app.add_typer(commands, name="keys")

_HANG_UP = "Tell every running service to take it: kill -HUP PID"


@commands.command("list")
def listed(as_json: AsJson = False) -> None:
    """See every key there ever was, where it is in its life, and whether it is held here. No secret is shown."""
    held = ids(files.load(read_settings(), os.urandom).held)
    items = [
        {
            "use": one.known.key.use.value,
            "kid": one.known.key.kid,
            "state": one.known.state.value,
            "since": to_text(one.since) if one.since else None,
            "held": one.known.key.kid in held,
        }
        for one in reading(keys.listed)
    ]
    if as_json:
        console.print_json(json.dumps(items))
        return
    table = Table("use", Column("kid", no_wrap=True), "state", "since", "held", box=None)
    for item in items:
        table.add_row(*(str(cell) if not isinstance(cell, bool) else "yes" if cell else "no" for cell in item.values()))
    console.print(table)


@commands.command()
def rotate(
    use: Annotated[KeyUse, typer.Argument(help="receipt, checkpoint, seal or master.")],
) -> None:
    """Let the next key take over, and make another next one."""
    if use not in ROTATED:
        raise KeyFault(
            "the identifier pepper changes by: consent-service keys repepper"
            if use is KeyUse.IDENTIFIER_PEPPER
            else "the client pepper cannot change, for only hashes are kept of client keys"
        )
    settings = read_settings()
    with suppress(StartFault, Unavailable):  # without a database to be asked, the next start enters the key
        reading(_nothing)  # refuses one that was rolled back
    first = len(files.held(settings, use)) == 1
    console.print(f"A new {use} key is in {files.add(settings, use, os.urandom)}.", highlight=False)
    if first:
        console.print(
            "There was no next key before; this one takes over at the next rotation, once every process has read it.",
            highlight=False,
        )
    console.print(_told(settings), highlight=False)


async def _nothing(_: ReadTx) -> None:
    pass


def _told(settings: Settings) -> str:
    """Enter the rotation, if the database can be opened; answers what is left to do."""
    try:
        run(_entered(settings))
    except DatabaseInUse:
        return f"A service has the database. {_HANG_UP}"
    except (StartFault, Unavailable) as fault:
        return f"The next start of a service enters it into the ledger; now that cannot be done: {fault}"
    if engines.sqlite_path(settings.database):
        return "It is entered into the ledger; no service runs."
    return f"It is entered into the ledger. {_HANG_UP}"


async def _entered(settings: Settings) -> None:
    async with running(settings) as service:
        if service.database.trust.fault:
            raise StartFault(service.database.trust.fault)


@commands.command(context_settings={"ignore_unknown_options": True})  # an id may begin with a dash
def revoke(kid: Annotated[str, typer.Argument(help="The key's id, as keys list shows it.")]) -> None:
    """Let a key count no more: what it signed is not verified by it, what it sealed is not believed."""
    settings = read_settings()
    use = run(_revoked(settings, kid)).use
    console.print(f"The {use} key {kid} is revoked. {_HANG_UP}", highlight=False)
    if use is KeyUse.SEAL:
        console.print("Rows that it sealed deny until they are derived again: consent-service rebuild", highlight=False)


async def _revoked(settings: Settings, kid: str) -> Key:
    loaded = files.load(settings, os.urandom)
    async with opened_as_it_is(settings, loaded) as database:
        return await write_alone(database, functools.partial(keys.revoke, kid=kid, held=loaded.held))


@commands.command()
def repepper() -> None:
    """Let every identifier be found under another pepper. Stop every service first."""
    settings = read_settings()
    count = run(_repeppered(settings))
    console.print(f"{count} identifiers are found under the new pepper.", highlight=False)


async def _repeppered(settings: Settings) -> int:
    async with opened_service(settings) as service:
        if others := await read_alone(service.database, readiness.others):
            raise KeyFault(f"{others} other connections of the service are open; stop every service first")
        pepper = _new_pepper(settings, service.database.keyring.identifier_pepper)
        count = await write_alone(service.database, functools.partial(keys.repepper, pepper=pepper))
    if files.is_in_file(settings, KeyUse.IDENTIFIER_PEPPER):
        files.replace(settings, KeyUse.IDENTIFIER_PEPPER, [pepper])
    return count


def _new_pepper(settings: Settings, now: bytes) -> bytes:
    """The other one that is held, or a new one, which lies in the file before anything is found under it."""
    other = [secret for secret in files.held(settings, KeyUse.IDENTIFIER_PEPPER) if secret != now]
    if other:
        return other[-1]
    pepper = os.urandom(len(now))
    files.replace(settings, KeyUse.IDENTIFIER_PEPPER, [now, pepper])
    return pepper
