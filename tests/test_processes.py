"""The service as a process: started, refused, stopped."""

import json
import shlex
import signal
import socket
import subprocess
from pathlib import Path

import httpx

from tests.school import statements
from tests.service_process import Serving, run, serving


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
        assert service.stop(signal.SIGTERM) == 0


def test_a_stop_does_not_wait_for_ever_for_a_caller_who_does_not_read(tmp_path: Path) -> None:
    asked = b"GET /docs/assets/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with serving(tmp_path) as service, socket.create_connection(("127.0.0.1", service.port)) as caller:
        caller.sendall(asked * 20)
        assert caller.recv(12) == b"HTTP/1.1 200"
        assert service.stop(signal.SIGTERM) == 0


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
