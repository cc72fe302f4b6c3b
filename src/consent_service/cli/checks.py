"""The check, for people."""

from typing import Annotated

import typer
from pydantic import JsonValue

from consent_service.cli import remote
from consent_service.cli.commands import AsJson, app, console, run
from consent_service.cli.database import opened_service
from consent_service.core import people
from consent_service.core.decision import Question
from consent_service.core.errors import InvalidInput
from consent_service.faults import StartFault
from consent_service.operations.checks import Asked
from consent_service.service import first_client_key_file
from consent_service.settings import Settings, read_settings
from consent_service.web.answers import DecisionOut


@app.command()
def check(
    subject: Annotated[str, typer.Argument(help="The person: namespace:id, an id, or sub_…")],
    purpose: Annotated[str, typer.Argument(help="The purpose's code, such as billing.")],
    within: Annotated[str | None, typer.Option(help="For concomitant_use: the purpose it goes along with.")] = None,
    as_json: AsJson = False,
) -> None:
    """See whether a person's data may be used, and why. Exits 0 for a yes, 1 for a no."""
    settings = read_settings()
    if remote.is_set(settings):
        body: dict[str, JsonValue] = {"subject": subject, "purpose": purpose, "within": within}
        answer = DecisionOut.model_validate(remote.ask(settings, "POST", "/v1/check", body))
    else:
        answer = run(_ask_here(settings, Question(_reference(subject, settings), purpose, within)))
    if as_json:
        console.print_json(answer.model_dump_json())
    else:
        _print(answer)
    raise typer.Exit(0 if answer.permitted else 1)


async def _ask_here(settings: Settings, question: Question) -> DecisionOut:
    async with opened_service(settings) as service:
        file = first_client_key_file(settings)
        key = settings.client_key or (file.read_text().strip() if file.exists() else None)
        if key is None:
            raise StartFault("whose key asks? set CONSENT_KEY, or CONSENT_KEY_FILE")
        asked = Asked(service.database.keyring.key_hash(key), question)
        return DecisionOut.of(await service.checks.ask(asked), "en")


def _reference(text: str, settings: Settings) -> people.Reference:
    try:
        return people.reference(text, default_namespace=settings.default_namespace)
    except ValueError as error:
        raise InvalidInput.at("/subject", str(error)) from None


def _print(answer: DecisionOut) -> None:
    console.print(
        f"[bold green]yes[/] for {answer.purpose}" if answer.permitted else f"[bold red]no[/] for {answer.purpose}"
    )
    for reason in answer.reasons:
        console.print(f"  {reason.message} [dim]({reason.code}, {reason.purpose})[/]", highlight=False)
