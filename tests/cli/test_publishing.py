"""Publishing a policy version from the command line."""

import json
from pathlib import Path

from consent_service.policies import SHIPPED, SOURCE, shipped, shipped_source
from tests.publishing import MATERIAL_TEXT
from tests.service_process import run, serving

TEXT = (Path(__file__).parents[2] / "src" / "consent_service" / "policies" / SHIPPED).read_text()
ANALYSIS = next(leaf for leaf in shipped().leaves if leaf.code == "surveys.analysis").wording.text.en


def file_in(folder: Path, *changes: tuple[str, str], version: str = "v2") -> str:
    text = TEXT.replace('version: "2026-11-01"', f"version: {version}")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "policy.yaml").write_text(text)
    return str(folder / "policy.yaml")


REWORDED = (ANALYSIS, MATERIAL_TEXT["en"])


def test_a_dry_run_then_publishing_without_a_server(tmp_path: Path) -> None:
    run(tmp_path, "check", "person:1", "billing")  # makes the database
    file = file_in(tmp_path, REWORDED)
    dry = run(tmp_path, "policy", "publish", file, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "reworded: surveys.analysis" in dry.stdout
    assert "--material surveys.analysis or --editorial surveys.analysis" in dry.stdout
    assert "--confirm-lapses" not in dry.stdout
    refused = run(tmp_path, "policy", "publish", file)
    assert (refused.returncode, "--material: surveys.analysis" in refused.stderr) == (1, True)
    misspelt = run(tmp_path, "policy", "publish", file, "--dry-run", "--material", "surveys.analysys")
    assert (misspelt.returncode, "--material: the policy has no purpose" in misspelt.stderr) == (1, True)
    said = run(tmp_path, "policy", "publish", file, "--dry-run", "--material", "surveys.analysis")
    assert said.stdout.splitlines()[-1] == "To publish it: --confirm-lapses 0"
    done = run(tmp_path, "policy", "publish", file, "--material", "surveys.analysis", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["version"], told["lapses"]) == ("v2", {"surveys.analysis": 0})
    shown = json.loads(run(tmp_path, "policy", "show", "--json").stdout)
    assert (shown["version"], shown["index"]) == ("v2", told["index"])
    again = run(tmp_path, "policy", "publish", file, "--material", "surveys.analysis")
    assert (again.returncode, "policy_version_taken" in again.stderr) == (1, True)
    verified = run(tmp_path, "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_file_that_is_wrong_is_refused_with_its_line(tmp_path: Path) -> None:
    file = file_in(tmp_path, ("basis: consent", "basis: hope"))
    refused = run(tmp_path, "policy", "publish", file)
    line = next(n for n, text in enumerate(Path(file).read_text().splitlines(), 1) if "hope" in text)
    assert refused.returncode == 1
    assert f"policy.yaml:{line}: " in refused.stderr
    assert "Traceback" not in refused.stderr


def test_where_a_file_names_its_source_each_wording_stands_in_it(tmp_path: Path) -> None:
    file = file_in(tmp_path, ("To confirm the identity", "To confirm an identity"))
    refused = run(tmp_path, "policy", "publish", file, "--material", "identity_confirmation")
    assert (refused.returncode, "character for character" in refused.stderr) == (1, True)
    elsewhere = file_in(tmp_path, ("file: injoy-2026-11-01.txt", "file: ours.txt"))
    missing = run(tmp_path, "policy", "publish", elsewhere)
    assert (missing.returncode, "ours.txt" in missing.stderr) == (1, True)
    (tmp_path / "ours.txt").write_bytes(shipped_source() + b" ")
    wrong = run(tmp_path, "policy", "publish", elsewhere)
    assert (wrong.returncode, "SHA-256" in wrong.stderr) == (1, True)
    (tmp_path / "ours.txt").write_bytes(shipped_source())
    assert run(tmp_path, "policy", "publish", elsewhere).returncode == 0


def test_beside_a_running_service_it_exits_75_or_goes_over_http(tmp_path: Path) -> None:
    file = file_in(tmp_path, ("    - code: analysis\n", "    - code: analysing\n"))
    with serving(tmp_path, "--with-examples") as service:
        assert run(tmp_path, "policy", "publish", file).returncode == 75
        assert run(tmp_path, "policy", "publish", file, "--dry-run").returncode == 0
        remote = {"CONSENT_URL": service.url, "CONSENT_KEY_FILE": str(tmp_path / "first-client.key")}
        dry = run(tmp_path, "policy", "publish", file, "--dry-run", "--json", **remote)
        assert json.loads(dry.stdout)["diff"]["added"] == ["surveys.analysing"], dry.stderr
        wrong = run(tmp_path, "policy", "publish", file, "--confirm-lapses", "3", **remote)
        assert (wrong.returncode, "lapses_unconfirmed" in wrong.stderr) == (1, True)
        done = run(tmp_path, "policy", "publish", file, **remote)
        assert (done.returncode, "Version v2" in done.stdout) == (0, True), done.stderr


def test_a_file_that_is_not_utf_8_is_a_sentence(tmp_path: Path) -> None:
    run(tmp_path, "check", "person:1", "billing")  # makes the database
    for encoding in ("shift_jis", "utf-16"):
        (tmp_path / "policy.yaml").write_bytes("version: 新しい".encode(encoding))
        failed = run(tmp_path, "policy", "publish", str(tmp_path / "policy.yaml"), "--dry-run")
        assert (failed.returncode, "this is not UTF-8" in failed.stderr) == (1, True), failed.stderr
    file = Path(file_in(tmp_path))
    source = tmp_path / SOURCE
    source.write_bytes(shipped_source().decode().encode("utf-16"))
    failed = run(tmp_path, "policy", "publish", str(file), "--dry-run")
    assert (failed.returncode, "is not UTF-8; save it" in failed.stderr) == (1, True), failed.stderr
    assert "this is not the SHA-256" in failed.stderr
