"""The command line: parse, call an operation, print. Only here does the process exit."""

import sys
from importlib import import_module

from rich.console import Console
from typer import Typer

from consent_service.cli.commands import RemoteProblem, app, in_words
from consent_service.core.errors import ConsentError
from consent_service.core.keys import KeyFault
from consent_service.core.policy_yaml import PolicyFileError
from consent_service.faults import StartFault
from consent_service.store.lock import DatabaseInUse

_FAILED, _IN_USE = 1, 75  # 75 is EX_TEMPFAIL of sysexits.h

MODULES = {
    "check": "checks",
    "clients": "clients",
    "decisions": "decisions",
    "demo": "demo",
    "export-ledger": "ledger",
    "keys": "keys",
    "migrate": "service",
    "openapi": "service",
    "policy": "policies",
    "probe": "probe",
    "rebuild": "rebuild",
    "serve": "service",
    "verify": "verify",
}
"""Where each command is. To load all of them takes a second; what `probe` and `verify` need, a quarter of that."""


def load(command: str | None = None) -> Typer:
    """The command line with this command; with all of them, if it is no command's name."""
    modules = [MODULES[command]] if command in MODULES else dict.fromkeys(MODULES.values())
    for module in modules:
        import_module(f"{__name__}.{module}")
    return app


def main() -> None:
    """Run a command; whatever goes wrong that is ours to explain becomes a sentence and an exit code."""
    errors = Console(stderr=True, soft_wrap=True)
    try:
        load(next(iter(sys.argv[1:]), None))()
    except DatabaseInUse as fault:
        errors.print(f"[bold red]in use:[/] {fault}", highlight=False)
        sys.exit(_IN_USE)
    except (StartFault, KeyFault, RemoteProblem, PolicyFileError) as fault:
        errors.print(f"[bold red]error:[/] {fault}", highlight=False)
        sys.exit(_FAILED)
    except (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError) as fault:
        errors.print(f"[bold red]error:[/] {fault.filename}: {fault.strerror}", highlight=False)
        sys.exit(_FAILED)
    except ConsentError as error:
        errors.print(f"[bold red]{error.code}:[/] {in_words(error.errors) or error.detail}", highlight=False)
        sys.exit(_FAILED)
