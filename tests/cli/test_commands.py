"""The commands, run as people run them."""

import json
import socket
from pathlib import Path

import httpx
import pytest

from tests.service_process import run, serving


def test_a_client_is_created_listed_and_revoked_without_a_server(tmp_path: Path) -> None:
    made = run(tmp_path, "clients", "create", "mailer", "--scope", "check", "--purpose", "marketing", "--json")
    client = json.loads(made.stdout)
    assert (client["name"], client["purposes"], client["key"][:4]) == ("mailer", ["marketing"], "csk_")
    listed = json.loads(run(tmp_path, "clients", "list", "--json").stdout)
    assert {item["name"] for item in listed} == {"first-client", "mailer"}
    assert run(tmp_path, "clients", "revoke", client["id"]).returncode == 0
    listed = json.loads(run(tmp_path, "clients", "list", "--json").stdout)
    assert [bool(item["revoked_at"]) for item in listed if item["name"] == "mailer"] == [True]


def test_a_day_as_expiry_is_that_day_at_the_school(tmp_path: Path) -> None:
    made = run(tmp_path, "clients", "create", "x", "--scope", "check", "--expires", "2031-01-01", "--json")
    assert json.loads(made.stdout)["expires_at"] == "2030-12-31T15:00:00.000Z"


def test_beside_a_running_service_writing_exits_75_and_reading_works(tmp_path: Path) -> None:
    with serving(tmp_path):
        for words in (["clients", "create", "x", "--scope", "check"], ["check", "person:1", "billing"]):
            refused = run(tmp_path, *words)
            assert refused.returncode == 75
            assert "CONSENT_URL" in refused.stderr
        assert run(tmp_path, "clients", "list").returncode == 0
        assert "billing" in run(tmp_path, "policy", "show").stdout


def test_with_url_and_key_commands_go_over_http(tmp_path: Path) -> None:
    with serving(tmp_path, "--with-examples") as service:
        remote = {"CONSENT_URL": service.url, "CONSENT_KEY_FILE": str(tmp_path / "first-client.key")}
        made = run(tmp_path, "clients", "create", "x", "--scope", "check", "--json", **remote)
        assert made.returncode == 0, made.stderr
        headers = {"Authorization": f"Bearer {json.loads(made.stdout)['key']}"}
        question = {"subject": "person:1001", "purpose": "billing"}
        assert httpx.post(f"{service.url}/v1/check", json=question, headers=headers).status_code == 200
        asked = run(tmp_path, "check", "person:1001", "billing", **remote)
        assert (asked.returncode, asked.stdout.splitlines()[0]) == (1, "no for billing")
        wrong = run(tmp_path, "clients", "create", "y", "--scope", "check", "--purpose", "biling", **remote)
        assert (wrong.returncode, "billing" in wrong.stderr) == (1, True)
        ready = run(tmp_path, "probe", "--url", service.url)
        assert (ready.returncode, "is ready" in ready.stdout) == (0, True)
        assert run(tmp_path, "probe", **remote).returncode == 0
    gone = run(tmp_path, "probe", "--url", service.url)
    assert (gone.returncode, f"no answer from {service.url}" in gone.stderr) == (1, True)


def test_a_check_without_a_server_is_answered_and_exits_by_its_answer(tmp_path: Path) -> None:
    asked = run(tmp_path, "check", "person:1", "billing", "--json")
    assert asked.returncode == 1
    assert json.loads(asked.stdout)["reasons"][0]["code"] == "no_consent_recorded"


def test_a_port_that_is_taken_is_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = run(tmp_path, "serve", "--port", port)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"error: cannot listen at 127.0.0.1, port {port}: ")
    assert "Traceback" not in refused.stderr


def test_on_a_narrow_screen_ids_are_whole(tmp_path: Path) -> None:
    made = json.loads(run(tmp_path, "clients", "create", "crm", "--scope", "check", "--json").stdout)
    assert made["id"] in run(tmp_path, "clients", "list", COLUMNS="60").stdout
    kid = json.loads(run(tmp_path, "keys", "list", "--json").stdout)[0]["kid"]
    assert kid in run(tmp_path, "keys", "list", COLUMNS="60").stdout


def test_a_mistake_is_a_sentence_never_a_trace(tmp_path: Path) -> None:
    for words in (["clients", "revoke", "cli_nobody"], ["check", "BAD:1", "billing"]):
        failed = run(tmp_path, *words)
        assert failed.returncode == 1
        assert "Traceback" not in failed.stderr
        assert failed.stderr.strip()


def test_the_demo_shows_grant_yes_withdraw_no_with_reasons(tmp_path: Path) -> None:
    played = run(tmp_path, "demo")
    assert played.returncode == 0, played.stderr
    story = [line for line in played.stdout.splitlines() if line.endswith(("? yes", "? no"))]
    assert [line.rpartition(" ")[2] for line in story] == [
        *["no", "yes", "yes", "no", "no", "no", "no"],
        *["yes", "no", "yes", "no", "yes"],  # the family
        "no",
    ]
    assert "Consent was withdrawn on" in played.stdout
    assert "not applied: standing_no_is_newer" in played.stdout
    assert "1 yes would lapse" in played.stdout
    assert "policy_changed" in played.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_openapi_document_is_the_committed_one(tmp_path: Path) -> None:
    committed = Path(__file__).parents[2] / "openapi" / "openapi.json"
    assert run(tmp_path, "openapi").stdout == committed.read_text()


def test_migrating_by_hand_says_where_the_database_is(tmp_path: Path) -> None:
    assert "migration 0003" in run(tmp_path, "migrate").stdout


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"CONSENT_TIME_ZONE": "Tokyo"}, "CONSENT_TIME_ZONE: "),
        ({"CONSENT_DECISION_LOG": "maybe"}, "CONSENT_DECISION_LOG: "),
        ({"CONSENT_DATABASE_URL": "mysql://x"}, "a database is sqlite:///path or postgresql://"),
        ({"CONSENT_DATABASE_URL": "sqlite:///:memory:"}, "a database is sqlite:///path or postgresql://"),
        ({"CONSENT_DATABASE_URL": "postgresql://u@h:port/db"}, "a database is sqlite:///path or postgresql://"),
        ({"CONSENT_DATABASE_URL_FILE": "/nowhere/url"}, "/nowhere/url cannot be read"),
    ],
)
def test_a_wrong_setting_is_a_sentence_and_to_verify_nothing_that_was_tampered_with(
    tmp_path: Path, setting: dict[str, str], told: str
) -> None:
    for words, code in ((["verify"], 3), (["policy", "show"], 1), (["serve"], 1)):
        failed = run(tmp_path, *words, **setting)
        assert (failed.returncode, failed.stdout, told in failed.stderr) == (code, "", True), failed.stderr
        assert "Traceback" not in failed.stderr


def test_a_command_that_makes_a_database_says_so_once(tmp_path: Path) -> None:
    first, second = (run(tmp_path, "check", "person:1", "billing") for _ in range(2))
    assert "a new one was made" in first.stderr
    assert second.stderr == ""


def test_an_empty_key_and_a_url_without_a_scheme_are_said(tmp_path: Path) -> None:
    for more, told in (
        ({"CONSENT_URL": "http://127.0.0.1:9", "CONSENT_KEY": ""}, "CONSENT_KEY is empty"),
        ({"CONSENT_URL": "127.0.0.1:9", "CONSENT_KEY": "csk_1"}, "http://"),
    ):
        failed = run(tmp_path, "check", "person:1", "billing", **more)
        assert (failed.returncode, told in failed.stderr) == (1, True), failed.stderr


def test_verify_takes_a_bundle_or_a_database_and_not_both(tmp_path: Path) -> None:
    both = run(tmp_path, "verify", "--bundle", "b", "--database", "sqlite:///x.db")
    assert (both.returncode, "either a bundle or a database" in both.stderr) == (3, True)


def test_a_rate_limit_that_is_none_and_a_data_directory_that_is_a_file_are_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for more, told in (
        ({"CONSENT_RATE_LIMIT": "fast"}, "CONSENT_RATE_LIMIT: "),
        ({"CONSENT_DATA_DIR": str(tmp_path / "file")}, "file: "),
    ):
        failed = run(tmp_path, "serve", **more)
        assert (failed.returncode, told in failed.stderr, "Traceback" in failed.stderr) == (1, True, False), (
            failed.stderr
        )
