"""The policy."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from pydantic import JsonValue, TypeAdapter
from rich.tree import Tree

from consent_service.cli import remote
from consent_service.cli.commands import AsJson, app, console
from consent_service.cli.database import reading, writing
from consent_service.core import publication
from consent_service.core.instants import to_text
from consent_service.core.policy import Policy, Purpose, Source
from consent_service.core.policy_file import parse, to_document
from consent_service.core.policy_yaml import PolicyFileError, WrongPlace
from consent_service.core.publication import Declared, Publication
from consent_service.operations import policies, publications
from consent_service.operations.publications import Proposal
from consent_service.policies import SOURCE, shipped_source
from consent_service.settings import Settings, read_settings
from consent_service.store.db import WriteTx
from consent_service.web.policies import PolicyOut
from consent_service.web.publications import PublicationOut

commands = typer.Typer(help="The privacy policy.", no_args_is_help=True)
app.add_typer(commands, name="policy")

_PUBLICATION: TypeAdapter[Publication] = TypeAdapter(Publication)
_PATIENCE = 120
"""Seconds to wait for a service that counts over a million people on a slow machine."""


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


@commands.command()
def publish(
    file: Annotated[Path, typer.Argument(help="The policy's file, in YAML.", exists=True, dir_okay=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what publishing would do.")] = False,
    material: Annotated[list[str] | None, typer.Option(help="A changed leaf whose earlier yeses lapse.")] = None,
    editorial: Annotated[list[str] | None, typer.Option(help="A changed leaf whose earlier yeses stand.")] = None,
    confirm_lapses: Annotated[int, typer.Option(min=0, help="How many yeses will lapse, as the dry run told.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Publish a version of the policy, or see what that would do."""
    settings = read_settings()
    declared = Declared(tuple(material or ()), tuple(editorial or ()))
    proposal = Proposal(_read(file), declared, confirm_lapses)
    by_way_of = _publish_remotely if remote.is_set(settings) else _publish_here
    told = by_way_of(settings, proposal, dry_run=dry_run)
    if as_json:
        console.print_json(PublicationOut.model_validate(told).model_dump_json())
    else:
        console.print("\n".join(_told(told)), highlight=False, markup=False)


def _read(file: Path) -> Policy:
    """The policy in the file, held against its source text where it names one."""
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise PolicyFileError(str(file), WrongPlace(None, "this is not UTF-8; save it as UTF-8")) from None
    policy = parse(text, name=str(file))
    return parse(text, name=str(file), source_text=_source(file, policy.source)) if policy.source else policy


def _source(file: Path, source: Source) -> bytes:
    beside = file.parent / Path(source.file).name
    if beside.is_file():
        return beside.read_bytes()
    if source.file == SOURCE:
        return shipped_source()
    raise PolicyFileError(str(file), WrongPlace(None, f"its source text {source.file} does not lie beside it"))


def _publish_here(settings: Settings, proposal: Proposal, *, dry_run: bool) -> Publication:
    zone = settings.time_zone
    if dry_run:
        preview = functools.partial(publications.preview, caller=None, proposal=proposal, zone=zone)
        return reading(preview)

    async def work(tx: WriteTx) -> Publication:
        found = await publications.impact(tx, None, proposal)
        return await publications.publish(tx, None, proposal, found, zone=zone)

    return writing(work)


def _publish_remotely(settings: Settings, proposal: Proposal, *, dry_run: bool) -> Publication:
    body: dict[str, JsonValue] = {
        "policy": to_document(proposal.policy),
        "material": list(proposal.declared.material),
        "editorial": list(proposal.declared.editorial),
        "confirm_lapses": proposal.confirm_lapses,
    }
    path = "/v1/policy/versions" + ("?dry_run=true" if dry_run else "")
    return _PUBLICATION.validate_python(remote.ask(settings, "POST", path, body, patience=_PATIENCE))


def _told(told: Publication) -> Iterator[str]:
    """What was published, or would be, in lines."""
    done = "would take effect" if told.index is None else f"is entry {told.index} and takes effect"
    yield f"Version {told.version} {done} on {to_text(told.effective_at)}."
    yield f"Compared with {told.compared_with}:" if told.compared_with else "It is the first."
    yield from (f"  {line}" for line in publication.in_words(told.diff))
    yield from (f"  {version} will never take effect" for version in told.replaces)
    yield from (f"  lapsing yeses to {leaf}: {count}" for leaf, count in told.lapses.items())
    if told.undeclared:
        yield from (f"  say of {leaf}: --material {leaf} or --editorial {leaf}" for leaf in told.undeclared)
        yield "Until that is said, each of them is counted as material. Say it, and run this again."
    elif told.index is None:
        yield f"To publish it: --confirm-lapses {told.confirm_lapses}"


def _tree(policy: Policy, language: str) -> Tree:
    tree = Tree(f"[bold]{policy.title.in_language(language)}[/] {policy.code} {policy.version}")
    for purpose in policy.purposes:
        _grow(tree, purpose, language)
    return tree


def _grow(tree: Tree, purpose: Purpose, language: str) -> None:
    branch = tree.add(f"[bold]{purpose.code}[/]  {purpose.wording.text.in_language(language)}")
    for child in purpose.purposes:
        _grow(branch, child, language)
