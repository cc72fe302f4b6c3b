"""The docs are true: every code, setting, scope and command has its place, and what the README says works."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer

from consent_service import cli
from consent_service.core.clients import Scope
from consent_service.core.reasons import ReasonCode
from consent_service.settings import Settings
from consent_service.web.problems import KINDS
from tests.core.test_merkle import LEAVES, mth, path_of
from tests.service_process import serving

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def headings(page: str) -> list[str]:
    return re.findall(r"^## (.+)$", (DOCS / page).read_text(), re.MULTILINE)


def rows(page: str) -> set[str]:
    return set(re.findall(r"^\| `([^`]+)` \|", (DOCS / page).read_text(), re.MULTILINE))


def test_every_reason_is_explained() -> None:
    assert headings("reasons.md") == list(ReasonCode)


def test_every_problem_is_explained() -> None:
    assert headings("problems.md") == list(KINDS)


def test_every_setting_is_explained() -> None:
    named = {f"CONSENT_{name.upper()}" for name in Settings.model_fields}
    plain = {name for name in named if name.removesuffix("_FILE") not in named - {name}}
    text = (DOCS / "settings.md").read_text()
    assert {row for row in rows("settings.md") if row.startswith("CONSENT_")} == plain
    assert [name for name in named if name not in text] == []


def test_every_scope_is_explained() -> None:
    assert {row for row in rows("settings.md") if row in set(Scope)} == set(Scope)


def test_every_command_is_explained() -> None:
    group = typer.main.get_command(cli.load())
    names = set()
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        below = getattr(command, "commands", None)
        names |= {f"{name} {sub}" for sub in below} if below else {name}
    assert names <= rows("settings.md")


def test_every_test_that_conformance_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", (DOCS / "conformance.md").read_text()))
    there = {
        name for file in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text())
    }
    assert named
    assert named - there == set()


@pytest.mark.parametrize("page", sorted([ROOT / "README.md", *DOCS.rglob("*.md")]), ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_readmes_curl_lines_work(tmp_path: Path) -> None:
    blocks = re.findall(r"```sh\n(curl .*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    with serving(tmp_path, "--with-examples") as service:
        key = (tmp_path / "first-client.key").read_text().strip()
        for block in blocks:
            line = block.replace("http://127.0.0.1:8000", service.url).replace("$KEY", key).replace("\\\n", " ")
            told = subprocess.run([*shlex.split(line), "-f"], capture_output=True, check=True).stdout
            assert "as_of" in json.loads(told)


def test_what_the_ledgers_page_says_verifies_a_proof() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / "ledger.md").read_text(), re.DOTALL)
    said: dict[str, Any] = {}
    exec(block, said)  # noqa: S102 (our own page)
    for size in range(1, 40):
        for index in range(size):
            path = path_of(index, 0, size)
            assert said["leads_to"](index, size, LEAVES[index], path) == mth(0, size)
