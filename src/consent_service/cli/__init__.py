"""The command line: parse, call an operation, print. Only here does the process exit."""

import sys

from rich.console import Console

from consent_service.app import StartFault
from consent_service.cli import checks, clients, decisions, demo, keys, policies, rebuild, service, verify  # noqa: F401 (each adds its commands)
from consent_service.cli.commands import app, in_words
from consent_service.cli.remote import RemoteProblem
from consent_service.core.errors import ConsentError
from consent_service.core.keys import KeyFault
from consent_service.core.policy_yaml import PolicyFileError
from consent_service.store.lock import DatabaseInUse

_FAILED, _IN_USE = 1, 75  # 75 is EX_TEMPFAIL of sysexits.h


def main() -> None:
    """Run a command; whatever goes wrong that is ours to explain becomes a sentence and an exit code."""
    errors = Console(stderr=True, soft_wrap=True)
    try:
        app()
    except DatabaseInUse as fault:
        errors.print(f"[bold red]in use:[/] {fault}", highlight=False)
        sys.exit(_IN_USE)
    except (StartFault, KeyFault, RemoteProblem, PolicyFileError) as fault:
        errors.print(f"[bold red]error:[/] {fault}", highlight=False)
        sys.exit(_FAILED)
    except ConsentError as error:
        errors.print(f"[bold red]{error.code}:[/] {in_words(error.errors) or error.detail}", highlight=False)
        sys.exit(_FAILED)
