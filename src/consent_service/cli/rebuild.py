"""Rebuilding the projection."""

import os
from functools import partial

from consent_service import keys, rotation
from consent_service.cli.commands import app, console, run
from consent_service.cli.database import opened_as_it_is
from consent_service.cli.progress import shown
from consent_service.lanes import write_alone
from consent_service.service import look_back
from consent_service.settings import Settings, read_settings
from consent_service.store import rebuild as rebuilding
from consent_service.store.rebuild import Tell


@app.command()
def rebuild() -> None:
    """Derive the projection again from the ledger, whatever state it is in. Stop the service first."""
    with shown("rebuilding") as tell:
        count = run(_rebuilt(read_settings(), tell))
    console.print(f"Rebuilt from {count} entries.", highlight=False)


async def _rebuilt(settings: Settings, tell: Tell) -> int:
    loaded = keys.load(settings, os.urandom)
    async with opened_as_it_is(settings, loaded) as database:
        await look_back(settings, database)
        await write_alone(database, rebuilding.rebuild_keys)
        await rotation.check(database, loaded)
        return await write_alone(database, partial(rebuilding.rebuild, tell=tell))
