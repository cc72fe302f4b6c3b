"""The service as a process: started, refused, stopped, killed."""

import asyncio
import json
import os
import shlex
import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from consent_service.settings import Settings
from tests.school import statements
from tests.service_process import Serving, run, serving

ROUNDS = 50 if os.environ.get("CONSENT_TEST_FULL") else 3
WRITERS = 16


def key_for(folder: Path, database_url: str) -> str:
    made = run(
        folder, "clients", "create", "tests", "--scope", "check", "--scope", "consents:write", "--scope",
        "consents:read", "--scope", "people:read", "--json", database_url=database_url,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return str(json.loads(made.stdout)["key"])


def test_the_curl_line_that_serve_prints_works_and_the_key_file_is_private(tmp_path: Path) -> None:
    with serving(tmp_path, "--with-examples", "--show-key") as service:
        printed = service.log.read_text().splitlines()
        while not any(line.startswith("curl ") for line in printed):
            printed = service.log.read_text().splitlines()
        line = next(line for line in printed if line.startswith("curl "))
        answer = json.loads(subprocess.run(shlex.split(line), capture_output=True, check=True).stdout)
        assert answer["permitted"] is False
        assert answer["reasons"][0]["code"] == "no_consent_recorded"
    assert (tmp_path / "first-client.key").stat().st_mode & 0o777 == 0o600
    for name in ("master_key", "identifier_pepper", "client_pepper"):
        assert (tmp_path / "keys" / f"{name}.key").stat().st_mode & 0o777 == 0o600


def test_serve_does_not_print_the_key_into_a_log(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        key = (tmp_path / "first-client.key").read_text().strip()
        assert key not in service.log.read_text()


def test_a_second_process_on_the_same_embedded_database_refuses_and_says_why(tmp_path: Path) -> None:
    with serving(tmp_path):
        second = Serving(tmp_path)
        assert second.process.wait(timeout=30) == 75
        told = second.log.read_text()
        assert "another process has" in told
        assert "Traceback" not in told


def test_several_workers_on_an_embedded_database_are_refused(tmp_path: Path) -> None:
    refused = run(tmp_path, "serve", "--workers", "2")
    assert refused.returncode == 2
    assert "takes one process" in refused.stderr


def test_a_stop_in_order_leaves_nothing_unanswered(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        assert service.stop(signal.SIGTERM) in (0, -signal.SIGTERM)


def test_missing_or_wrong_secrets_are_refused_by_name(tmp_path: Path) -> None:
    with serving(tmp_path):
        pass
    pepper = tmp_path / "keys" / "identifier_pepper.key"
    right = pepper.read_text()
    for wrong in ("ab" * 32, None, "nonsense"):
        pepper.unlink()
        if wrong:
            pepper.write_text(wrong)
        refused = run(tmp_path, "serve")
        assert refused.returncode == 1
        assert "CONSENT_IDENTIFIER_PEPPER" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert wrong or not pepper.exists()
        pepper.write_text(right)
    with serving(tmp_path):
        pass


def test_several_workers_on_postgresql_answer_alike(tmp_path: Path, postgres_database: str) -> None:
    key = key_for(tmp_path, postgres_database)
    headers = {"Authorization": f"Bearer {key}"}
    with serving(tmp_path, "--workers", "2", database_url=postgres_database) as service:
        for n in range(20):
            grant, withdraw = (
                statements(f"person:{n}", ("billing", "grant")),
                statements(f"person:{n}", ("billing", "withdraw")),
            )
            question = {"subject": f"person:{n}", "purpose": "billing"}
            assert httpx.post(f"{service.url}/v1/consents", json=grant, headers=headers).status_code == 201
            assert httpx.post(f"{service.url}/v1/check", json=question, headers=headers).json()["permitted"]
            assert httpx.post(f"{service.url}/v1/consents", json=withdraw, headers=headers).status_code == 201
            for _ in range(4):  # a new connection each time, so either worker may take it
                assert not httpx.post(f"{service.url}/v1/check", json=question, headers=headers).json()["permitted"]


@pytest.mark.full
def test_whatever_was_acknowledged_is_there_after_kill_9(settings: Settings, tmp_path: Path) -> None:
    database_url = settings.database
    key = key_for(tmp_path, database_url)
    acknowledged: dict[str, int] = {}
    for round_ in range(ROUNDS):
        with serving(tmp_path, database_url=database_url) as service:
            asyncio.run(write_until_killed(service, key, round_, acknowledged))
    assert len(acknowledged) >= ROUNDS * WRITERS
    with serving(tmp_path, database_url=database_url) as service:
        missing = asyncio.run(not_found(service, key, acknowledged))
    assert missing == []
    rebuilt = run(tmp_path, "rebuild", database_url=database_url)
    assert rebuilt.returncode == 0, rebuilt.stderr


async def write_until_killed(service: Serving, key: str, round_: int, acknowledged: dict[str, int]) -> None:
    """Write with many clients at once; kill the service in the middle; note what it had acknowledged."""
    begun = len(acknowledged)
    async with httpx.AsyncClient(base_url=service.url, headers={"Authorization": f"Bearer {key}"}) as http:

        async def write(writer: int) -> None:
            number = 0
            while True:
                number += 1
                person = f"person:{round_}-{writer}-{number}"
                try:
                    answer = await http.post("/v1/consents", json=statements(person, ("billing", "grant")))
                except httpx.TransportError:
                    return
                if answer.status_code == 201:
                    acknowledged[person] = answer.json()["entries"][0]["index"]

        async def kill() -> None:
            while len(acknowledged) < begun + 3 * WRITERS + 7 * (round_ % 5):  # noqa: ASYNC110 (as fast as they come)
                await asyncio.sleep(0)
            service.stop(signal.SIGKILL)

        await asyncio.gather(kill(), *(write(writer) for writer in range(WRITERS)))


async def not_found(service: Serving, key: str, acknowledged: dict[str, int]) -> list[str]:
    """Who was acknowledged, but is not answered with yes from the very entry that was acknowledged."""
    missing = []
    async with httpx.AsyncClient(base_url=service.url, headers={"Authorization": f"Bearer {key}"}) as http:
        for person, index in acknowledged.items():
            answer = (await http.post("/v1/check", json={"subject": person, "purpose": "billing"})).json()
            if not answer["permitted"] or answer["reasons"][0]["index"] != index:
                missing.append(person)
    return missing
