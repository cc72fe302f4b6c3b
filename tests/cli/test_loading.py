"""A command loads what it needs and no more: a container's health check, for one, is run every few seconds."""

import subprocess
import sys

import pytest

from consent_service import cli

SERVERS = ("fastapi", "sqlalchemy", "uvicorn", "consent_service.core.decision")


def test_each_command_is_where_the_table_says() -> None:
    app = cli.load()
    single = [(one.name, one.callback) for one in app.registered_commands if one.callback]
    found = {name or callback.__name__: callback.__module__ for name, callback in single}
    for group in app.registered_groups:
        below = group.typer_instance.registered_commands if group.typer_instance else []
        (found[str(group.name)],) = {one.callback.__module__ for one in below if one.callback}
    assert found == {name: f"consent_service.cli.{module}" for name, module in cli.MODULES.items()}


@pytest.mark.parametrize("command", ["probe", "verify"])
def test_what_is_run_without_the_service_does_not_load_it(command: str) -> None:
    asked = f"import sys; from consent_service import cli; cli.load({command!r}); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", asked], check=True, capture_output=True, text=True).stdout.split()
    assert f"consent_service.cli.{cli.MODULES[command]}" in loaded
    assert [name for name in SERVERS if name in loaded] == []
