"""What every command starts from."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Annotated, TypeVar

import typer
import uvloop
from rich.console import Console

from consent_service.core.errors import Fault

Result = TypeVar("Result")

app = typer.Typer(
    name="consent-service",
    help="Records who has consented to which purposes, and answers: may I use this person's data, now, and why?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
console = Console(soft_wrap=True)


@app.callback()
def _group() -> None:
    """Keep a command's name a word of its own where it is the only one loaded."""


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


_OPTIONS = {
    "confirm_lapses": "--confirm-lapses",
    "editorial": "--editorial",
    "material": "--material",
    "namespaces": "--namespace",
    "purposes": "--purpose",
    "scopes": "--scope",
    "within": "--within",
}


class RemoteProblem(Exception):
    """The service that was asked did not do it; the message is the problem's."""


def in_words(faults: Iterable[Fault]) -> str:
    """What is wrong, on one line: a member that the command line has an option for by the option's name."""
    return "; ".join(f"{_place(fault.pointer)}: {fault.detail}" for fault in faults)


def _place(pointer: str) -> str:
    first, _, rest = pointer.lstrip("/").partition("/")
    return _OPTIONS.get(first, f"{first}/{rest}" if rest else first)


def run(work: Coroutine[object, object, Result]) -> Result:
    """Run one command's work to its end."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
