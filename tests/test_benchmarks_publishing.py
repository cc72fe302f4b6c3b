"""The benchmark of publishing holds what it prints against what it loaded."""

import asyncio
from pathlib import Path

import pytest

from benchmarks import publishing
from benchmarks.populate import populated
from benchmarks.population import permitted
from benchmarks.target import Server
from consent_service.service import utc_now
from consent_service.settings import Settings
from tests.service_process import serving

SUBJECTS = 40


@pytest.fixture
def key(tmp_path: Path) -> str:
    return asyncio.run(populated(Settings(data_dir=tmp_path), SUBJECTS, utc_now())).key


def test_three_material_changes_are_counted_published_and_in_effect_at_once(tmp_path: Path, key: str) -> None:
    with serving(tmp_path) as service:
        said = publishing.told(Server(service.port, key, service.process.pid, SUBJECTS))
    assert f"{3 * permitted(SUBJECTS)} lapses" in said


def test_a_count_that_is_wrong_is_found(tmp_path: Path, key: str) -> None:
    with serving(tmp_path) as service, pytest.raises(RuntimeError, match="counted"):
        publishing.told(Server(service.port, key, service.process.pid, SUBJECTS + 10))
