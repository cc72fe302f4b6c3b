"""A withdrawal takes effect at once, in every process: no yes to a check that is sent after it was acknowledged."""

import asyncio
import os
from pathlib import Path

import pytest
import uvloop
from pydantic import SecretStr

from consent_service.settings import Settings
from tests.school import first_key
from tests.service_process import serving
from tests.withdrawal_race import Outcome, race

CHECKS = 1_000_000 if os.environ.get("CONSENT_TEST_FULL") else 5_000


@pytest.mark.full
def test_no_process_says_yes_after_a_withdrawal_in_another_was_acknowledged(
    postgres_database: str, tmp_path: Path
) -> None:
    key = asyncio.run(first_key(Settings(data_dir=tmp_path, database_url=SecretStr(postgres_database))))
    outcome = uvloop.run(race_of_two_processes(tmp_path, postgres_database, key))
    assert outcome.wrong == []
    assert set(outcome.statuses) <= {200, 503}
    assert outcome.judged(False) >= CHECKS / 10
    assert outcome.judged(True) >= CHECKS / 50


async def race_of_two_processes(folder: Path, database_url: str, key: str) -> Outcome:
    unlimited = {"database_url": database_url, "CONSENT_RATE_LIMIT": "1000000/second"}
    with serving(folder, **unlimited) as one, serving(folder, **unlimited) as other:
        return await race(key, stating=one.port, checking=other.port, checks=CHECKS)
