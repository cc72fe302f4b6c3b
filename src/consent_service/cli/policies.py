"""The policy."""

from typing import Annotated

import typer
from rich.tree import Tree

from consent_service.cli.commands import AsJson, app, console, reading
from consent_service.core.policy import Policy, Purpose
from consent_service.operations import policies
from consent_service.web.policies import PolicyOut

commands = typer.Typer(help="The privacy policy.", no_args_is_help=True)
app.add_typer(commands, name="policy")


@commands.callback()
def _group() -> None:
    """Keep `show` a word of its own while it is the only command."""


@commands.command()
def show(
    japanese: Annotated[bool, typer.Option("--ja", help="Show the Japanese wordings.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the policy in force: every purpose, its leaves and its wording."""
    published = reading(policies.in_force)
    if as_json:
        console.print_json(PolicyOut.of(published).model_dump_json())
        return
    console.print(_tree(published.policy, "ja" if japanese else "en"))


def _tree(policy: Policy, language: str) -> Tree:
    tree = Tree(f"[bold]{policy.title.in_language(language)}[/] {policy.code} {policy.version}")
    for purpose in policy.purposes:
        _grow(tree, purpose, language)
    return tree


def _grow(tree: Tree, purpose: Purpose, language: str) -> None:
    branch = tree.add(f"[bold]{purpose.code}[/]  {purpose.wording.text.in_language(language)}")
    for child in purpose.purposes:
        _grow(branch, child, language)
