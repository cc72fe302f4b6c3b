"""Clients and their keys."""

import functools
import json
from datetime import datetime
from typing import Annotated

import typer
from pydantic import JsonValue, TypeAdapter
from rich.table import Column, Table

from consent_service.cli import remote
from consent_service.cli.commands import AsJson, app, console
from consent_service.cli.database import reading, writing
from consent_service.core.clients import Client, Scope
from consent_service.core.instants import instant, to_text
from consent_service.operations import clients
from consent_service.operations.clients import CreatedClient, NewClient
from consent_service.settings import Settings, read_settings
from consent_service.web.clients import ClientOut, ClientsOut, CreatedClientOut

commands = typer.Typer(help="The systems that may ask, and their keys.", no_args_is_help=True)
app.add_typer(commands, name="clients")

_EVERYTHING = 1000


@commands.command()
def create(
    name: Annotated[str, typer.Argument(help="What the system is called.")],
    scope: Annotated[list[Scope], typer.Option(help="What the key may do; repeat for several.")],
    purpose: Annotated[list[str] | None, typer.Option(help="A purpose it may ask for; all, if none is given.")] = None,
    namespace: Annotated[list[str] | None, typer.Option(help="A namespace it may touch; all, if none.")] = None,
    expires: Annotated[datetime | None, typer.Option(help="The day, or the instant, on which the key ends.")] = None,
    as_json: AsJson = False,
) -> None:
    """Give a system a key. It is shown once."""
    settings = read_settings()
    until = _instant(expires, settings) if expires else None
    new = NewClient(name, tuple(scope), tuple(purpose or ()), tuple(namespace or ()), until)
    made = _create_remotely(settings, new) if remote.is_set(settings) else _create_here(new)
    if as_json:
        console.print_json(made.model_dump_json())
        return
    console.print(f"{made.name} ({made.id}) may {', '.join(made.scopes)}.", highlight=False)
    print(f"key: {made.key}")  # noqa: T201 (rich would wrap or colour what people copy)
    console.print("Keep it now: it is stored only as a hash and never shown again.", highlight=False)


@commands.command("list")
def listed(as_json: AsJson = False) -> None:
    """See which systems have keys."""
    settings = read_settings()
    items = _list_remotely(settings) if remote.is_set(settings) else _list_here()
    if as_json:
        console.print_json(json.dumps([item.model_dump(mode="json") for item in items]))
        return
    table = Table(Column("id", no_wrap=True), "name", "scopes", "purposes", "namespaces", "state", box=None)
    for item in items:
        state = "revoked" if item.revoked_at else f"until {to_text(item.expires_at)}" if item.expires_at else "live"
        table.add_row(
            item.id,
            item.name,
            " ".join(item.scopes),
            " ".join(item.purposes) or "all",
            " ".join(item.namespaces) or "all",
            state,
        )
    console.print(table)


@commands.command()
def revoke(
    client: Annotated[str, typer.Argument(help="The client's id, cli_…")],
    as_json: AsJson = False,
) -> None:
    """Revoke a key; from the next request on it opens nothing."""
    settings = read_settings()
    if remote.is_set(settings):
        remote.ask(settings, "DELETE", f"/v1/clients/{client}")
    else:
        writing(functools.partial(clients.revoke, caller=None, client_id=client))
    if as_json:
        console.print_json(json.dumps({"id": client, "revoked": True}))
    else:
        console.print(f"{client} is revoked.", highlight=False)


def _instant(given: datetime, settings: Settings) -> datetime:
    """A day alone means its beginning at the school."""
    return instant(given if given.tzinfo else given.replace(tzinfo=settings.time_zone))


def _create_here(new: NewClient) -> CreatedClientOut:
    made: CreatedClient = writing(functools.partial(clients.create, caller=None, new=new))
    return CreatedClientOut(**ClientOut.of(made.client).model_dump(), key=made.key)


def _create_remotely(settings: Settings, new: NewClient) -> CreatedClientOut:
    body: dict[str, JsonValue] = {
        "name": new.name,
        "scopes": [scope.value for scope in new.scopes],
        "purposes": list(new.purposes),
        "namespaces": list(new.namespaces),
        "expires_at": to_text(new.expires_at) if new.expires_at else None,
    }
    return CreatedClientOut.model_validate(remote.ask(settings, "POST", "/v1/clients", body))


def _list_here() -> list[ClientOut]:
    found: list[Client] = reading(functools.partial(clients.listed, _=None, after=None, limit=_EVERYTHING))
    return [ClientOut.of(client) for client in found]


def _list_remotely(settings: Settings) -> list[ClientOut]:
    return (
        TypeAdapter(ClientsOut).validate_python(remote.ask(settings, "GET", f"/v1/clients?limit={_EVERYTHING}")).items
    )
