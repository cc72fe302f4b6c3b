"""The benchmark of the work list holds the numbers against what it loaded."""

import asyncio
from pathlib import Path

import pytest

from benchmarks import publishing, worklist
from benchmarks.populate import populated
from benchmarks.target import Server
from consent_service.service import utc_now
from consent_service.settings import Settings
from tests.service_process import serving

SUBJECTS = 40


def test_each_list_is_timed_and_a_wrong_number_is_found(tmp_path: Path) -> None:
    key = asyncio.run(populated(Settings(data_dir=tmp_path), SUBJECTS, utc_now())).key
    with serving(tmp_path) as service:
        server = Server(service.port, key, service.process.pid, SUBJECTS)
        publishing.told(server)
        said = worklist.told(server)
        with pytest.raises(RuntimeError, match="policy_changed counted"):
            worklist.told(Server(service.port, key, service.process.pid, SUBJECTS + 10))
    assert all(name in said for name in worklist.LISTS)
