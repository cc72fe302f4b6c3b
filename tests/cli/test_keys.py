"""The keys' commands, run as people run them."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from consent_service import cli
from consent_service.core.keys import KeyFault
from consent_service.service import running
from consent_service.settings import Settings
from tests.school import statements
from tests.service_process import run, serving

SECRETS = ("receipt_key", "checkpoint_key", "seal_key", "master_key", "identifier_pepper", "client_pepper")


def listed(folder: Path, **more: str) -> list[Any]:
    """What `keys list` says, asked in this process, since it is asked so often."""
    environment = {"CONSENT_DATA_DIR": str(folder), **more}
    told = CliRunner().invoke(cli.load("keys"), ["keys", "list", "--json"], env=environment)
    assert told.exit_code == 0, told.output
    return list(json.loads(told.output))


def states(folder: Path, use: str) -> list[str]:
    return [key["state"] for key in listed(folder) if key["use"] == use]


def lines(folder: Path, name: str) -> list[str]:
    return (folder / "keys" / f"{name}.key").read_text().split()


def started(folder: Path, **more: str) -> None:
    """Let a start make everything that is missing."""
    asyncio.run(_opened(Settings.model_validate({"data_dir": folder, **more})))


async def _opened(settings: Settings) -> None:
    async with running(settings):
        pass


def test_the_first_start_makes_every_key_and_a_next_one_of_those_that_are_rotated(tmp_path: Path) -> None:
    started(tmp_path)
    made = {name: len(lines(tmp_path, name)) for name in SECRETS}
    assert made == dict.fromkeys(SECRETS[:4], 2) | dict.fromkeys(SECRETS[4:], 1)
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "keys").iterdir()} == {0o600}
    assert sorted(file.name for file in (tmp_path / "keys").iterdir()) == sorted(f"{name}.key" for name in SECRETS)
    keys = listed(tmp_path)
    assert {(key["use"], key["state"]) for key in keys} == {
        (use, state)
        for use in ("receipt", "checkpoint", "seal", "master", "identifier_pepper", "client_pepper")
        for state in (("active",) if use.endswith("pepper") else ("active", "next"))
    }
    assert all(key["held"] and key["since"] for key in keys)
    shown = run(tmp_path, "keys", "list").stdout
    assert not any(secret in shown for name in SECRETS for secret in lines(tmp_path, name))


@pytest.mark.parametrize("use", ["receipt", "checkpoint", "seal", "master"])
def test_rotating_with_no_service_enters_it_at_once(tmp_path: Path, use: str) -> None:
    started(tmp_path)
    old = lines(tmp_path, f"{use}_key")
    told = run(tmp_path, "keys", "rotate", use)
    assert told.returncode == 0, told.stderr
    new = lines(tmp_path, f"{use}_key")
    assert (new[:2], len(new)) == (old, 3)
    assert not any(secret in told.stdout for secret in new)
    assert states(tmp_path, use) == ["retired", "active", "next"]
    assert (tmp_path / "keys" / f"{use}_key.key").stat().st_mode & 0o777 == 0o600


def test_a_single_line_gets_a_next_one_first_and_hands_over_at_the_second_rotation(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "seal_key.key").write_text("11" * 32 + "\n")
    started(tmp_path)
    assert "at the next rotation" in run(tmp_path, "keys", "rotate", "seal").stdout
    assert states(tmp_path, "seal") == ["active", "next"]
    run(tmp_path, "keys", "rotate", "seal")
    assert states(tmp_path, "seal") == ["retired", "active", "next"]


def test_beside_a_running_service_the_file_is_made_and_sighup_does_the_rest(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        before = httpx.get(f"{service.url}/.well-known/jwks.json").json()["keys"]
        told = run(tmp_path, "keys", "rotate", "receipt")
        assert (told.returncode, "kill -HUP" in told.stdout) == (0, True), told.stderr
        assert httpx.get(f"{service.url}/.well-known/jwks.json").json()["keys"] == before
        service.process.send_signal(signal.SIGHUP)
        while len(httpx.get(f"{service.url}/.well-known/jwks.json").json()["keys"]) == len(before):
            assert service.process.poll() is None
        assert states(tmp_path, "receipt") == ["retired", "active", "next"]
        for words in (["keys", "repepper"], ["keys", "revoke", before[0]["kid"]]):
            assert run(tmp_path, *words).returncode == 75


def test_a_retired_key_is_revoked_and_an_active_one_is_not(tmp_path: Path) -> None:
    started(tmp_path)
    active = next(key["kid"] for key in listed(tmp_path) if (key["use"], key["state"]) == ("receipt", "active"))
    refused = run(tmp_path, "keys", "revoke", active)
    assert (refused.returncode, "keys rotate receipt" in refused.stderr) == (1, True)
    run(tmp_path, "keys", "rotate", "receipt")
    assert run(tmp_path, "keys", "revoke", active).returncode == 0
    assert states(tmp_path, "receipt") == ["active", "next", "revoked"]
    for nobody in ("nobody", "-CIJsoJwZJNxd8iVU9"):
        assert run(tmp_path, "keys", "revoke", nobody).returncode == 1


def test_a_lost_signing_key_is_revoked_and_the_service_starts_with_another(tmp_path: Path) -> None:
    started(tmp_path)
    lost = next(key["kid"] for key in listed(tmp_path) if (key["use"], key["state"]) == ("receipt", "active"))
    (tmp_path / "keys" / "receipt_key.key").unlink()
    refused = run(tmp_path, "keys", "rotate", "receipt")
    assert (refused.returncode, "receipt_key.key is not there; bring it back" in refused.stderr) == (1, True)
    with pytest.raises(KeyFault, match=r"CONSENT_RECEIPT_KEY.*receipt_key\.key is not there.*docs/keys\.md"):
        started(tmp_path)
    assert not (tmp_path / "keys" / "receipt_key.key").exists()
    assert run(tmp_path, "keys", "revoke", lost).returncode == 0
    started(tmp_path)
    assert sorted(states(tmp_path, "receipt")) == ["active", "next", "next", "revoked"]


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("wrong", ["ab" * 32, None, "nonsense", ""])
def test_each_missing_or_wrong_key_is_refused_by_name(tmp_path: Path, name: str, wrong: str | None) -> None:
    started(tmp_path)
    file = tmp_path / "keys" / f"{name}.key"
    file.unlink()
    if wrong is not None:
        file.write_text(wrong)
    with pytest.raises(KeyFault, match=f"CONSENT_{name.upper()}"):
        started(tmp_path)
    assert wrong is not None or not file.exists()


def test_a_key_may_come_from_the_environment_or_from_a_named_file(tmp_path: Path) -> None:
    named = tmp_path / "sealing"
    named.write_text("\n".join(("11" * 32, "12" * 32)) + "\n")
    started(tmp_path, receipt_key=f"{'21' * 32} {'22' * 32}", seal_key_file=str(named))
    assert not (tmp_path / "keys" / "receipt_key.key").exists()
    given = {"CONSENT_RECEIPT_KEY": f"{'21' * 32} {'22' * 32}", "CONSENT_SEAL_KEY_FILE": str(named)}
    refused = run(tmp_path, "keys", "rotate", "receipt", **given)
    assert (refused.returncode, "CONSENT_RECEIPT_KEY is in the environment" in refused.stderr) == (1, True)
    assert run(tmp_path, "keys", "rotate", "seal", **given).returncode == 0
    assert named.read_text().split()[:2] == ["11" * 32, "12" * 32]
    started(tmp_path, receipt_key=f"{'21' * 32} {'22' * 32} {'23' * 32}", seal_key_file=str(named))
    assert states(tmp_path, "receipt") == ["retired", "active", "next"]
    gone = run(tmp_path, "serve", **(given | {"CONSENT_SEAL_KEY_FILE": str(tmp_path / "nowhere")}))
    assert (gone.returncode, "CONSENT_SEAL_KEY" in gone.stderr, "Traceback" in gone.stderr) == (1, True, False)


def test_one_key_for_two_uses_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFault, match="a key of its own"):
        started(tmp_path, seal_key="11" * 32, master_key="11" * 32)


def test_after_a_new_pepper_everybody_is_found_and_the_old_pepper_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        headers = {"Authorization": f"Bearer {(tmp_path / 'first-client.key').read_text().strip()}"}
        grant = statements("person:1", ("billing", "grant"))
        assert httpx.post(f"{service.url}/v1/consents", json=grant, headers=headers).status_code == 201
    old = (tmp_path / "keys" / "identifier_pepper.key").read_text()
    told = run(tmp_path, "keys", "repepper")
    assert (told.returncode, told.stdout) == (0, "1 identifiers are found under the new pepper.\n"), told.stderr
    new = (tmp_path / "keys" / "identifier_pepper.key").read_text()
    assert (len(new.split()), new == old) == (1, False)
    assert run(tmp_path, "check", "person:1", "billing").returncode == 0
    assert run(tmp_path, "rebuild").returncode == 0
    assert run(tmp_path, "check", "person:1", "billing").returncode == 0
    (tmp_path / "keys" / "identifier_pepper.key").write_text(old)
    with pytest.raises(KeyFault, match="CONSENT_IDENTIFIER_PEPPER"):
        started(tmp_path)


def test_a_pepper_in_the_environment_changes_to_the_second_one_given(tmp_path: Path) -> None:
    first, second = "31" * 32, "32" * 32
    started(tmp_path, identifier_pepper=first)
    refused = run(tmp_path, "keys", "repepper", CONSENT_IDENTIFIER_PEPPER=first)
    assert (refused.returncode, "in the environment" in refused.stderr) == (1, True)
    assert run(tmp_path, "keys", "repepper", CONSENT_IDENTIFIER_PEPPER=f"{first} {second}").returncode == 0
    started(tmp_path, identifier_pepper=second)


def test_a_new_pepper_waits_until_no_service_runs_on_postgresql_too(tmp_path: Path, postgres_database: str) -> None:
    with serving(tmp_path, database_url=postgres_database):
        refused = run(tmp_path, "keys", "repepper", database_url=postgres_database)
        assert (refused.returncode, "stop every service" in refused.stderr) == (1, True), refused.stderr
    told = run(tmp_path, "keys", "repepper", database_url=postgres_database)
    assert told.returncode == 0, told.stderr


@pytest.mark.parametrize(("use", "word"), [("client_pepper", "cannot change"), ("identifier_pepper", "keys repepper")])
def test_peppers_are_not_rotated(tmp_path: Path, use: str, word: str) -> None:
    refused = run(tmp_path, "keys", "rotate", use)
    assert (refused.returncode, word in refused.stderr) == (1, True)
