"""Decisions on record."""

import asyncio
import functools
import re
from datetime import datetime, timedelta
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn

from consent_service.cli.commands import app, console, run
from consent_service.cli.database import opened_service
from consent_service.lanes import write_alone
from consent_service.operations import decisions
from consent_service.service import utc_now
from consent_service.settings import read_settings

commands = typer.Typer(help="The record of decisions.", no_args_is_help=True)
app.add_typer(commands, name="decisions")


@commands.callback()
def _group() -> None:
    """Keep `prune` a word of its own while it is the only command."""


@commands.command()
def prune(
    older_than: Annotated[str, typer.Option(help="The age from which decisions go, in days: 400d.")],
) -> None:
    """Delete old decisions, a thousand at a time, so that checks go on meanwhile."""
    gone = run(_prune(utc_now() - _span(older_than)))
    console.print(f"{gone:,} decisions older than {older_than} are deleted.", highlight=False)


def _span(text: str) -> timedelta:
    days = re.fullmatch(r"(\d{1,5})d", text, re.ASCII)
    if days is None:
        raise typer.BadParameter("write the age in days, as in 400d")
    return timedelta(days=int(days[1]))


async def _prune(before: datetime) -> int:
    gone = 0
    columns = SpinnerColumn(), TextColumn("{task.completed:,.0f} deleted")
    async with opened_service(read_settings()) as service:
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("prune", total=None)
            while count := await write_alone(service.database, functools.partial(decisions.prune, before=before)):
                gone += count
                progress.update(task, completed=gone)
                await asyncio.sleep(0)
    return gone
