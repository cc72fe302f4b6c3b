"""The anchor file: only ever longer, whole lines, private, whatever a crash left of the last one."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from consent_service import anchors
from consent_service.anchors import AnchorFault
from consent_service.core import checkpoint
from consent_service.core.checkpoint import Checkpoint
from consent_service.core.signing import SigningKey
from consent_service.store.checkpoints import Signed

KEY = SigningKey(bytes(32))
AT = datetime(2026, 11, 23, 2, 10, 11, 512_000, UTC)


def of(size: int) -> Signed:
    return Signed(size, AT, checkpoint.signed(Checkpoint("o", size, bytes(32)), KEY))


def sizes(file: Path) -> list[int]:
    return [checkpoint.size_of(json.loads(line)["checkpoint"]) for line in file.read_text().splitlines()]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "anchors.ndjson"


def test_each_line_is_an_instant_and_a_checkpoint_and_only_the_owner_may_read_it(file: Path) -> None:
    assert anchors.newest(file) is None
    anchors.extend(file, [of(3)])
    assert json.loads(file.read_text()) == {"at": "2026-11-23T02:10:11.512Z", "checkpoint": of(3).note}
    assert file.stat().st_mode & 0o777 == 0o600
    assert anchors.newest(file) == of(3).note


def test_only_larger_checkpoints_are_appended(file: Path) -> None:
    anchors.extend(file, [])
    anchors.extend(file, [of(1), of(3)])
    anchors.extend(file, [of(2), of(3)])
    anchors.extend(file, [of(3), of(4)])
    assert sizes(file) == [1, 3, 4]


def test_many_processes_anchor_into_one_file(file: Path) -> None:
    with ThreadPoolExecutor(8) as threads:  # each opens the file anew, so its lock is its own
        list(threads.map(lambda size: anchors.extend(file, [of(size), of(size + 1)]), range(1, 60)))
    assert sizes(file) == sorted(set(sizes(file)))
    assert sizes(file)[-1] == 60


def test_wherever_a_crash_cuts_the_last_line_it_is_completed(file: Path) -> None:
    anchors.extend(file, [of(1), of(2)])
    whole = file.read_bytes()
    first = len(whole.splitlines(keepends=True)[0])
    for cut in range(len(whole)):
        file.write_bytes(whole[:cut])
        newest = anchors.newest(file)
        assert newest == (of(1).note if cut >= first else None)
        anchors.extend(file, [of(1), of(2)])
        assert file.read_bytes() == whole, cut


def test_what_a_crash_left_of_a_checkpoint_that_is_gone_goes_too(file: Path) -> None:
    anchors.extend(file, [of(1), of(2)])
    whole = file.read_bytes()
    for left in (whole[:-1], whole[:-30], whole[:-1] + bytes(3)):
        file.write_bytes(left)
        anchors.extend(file, [of(7)])
        assert sizes(file) == [1, 7]
    file.write_bytes(whole + b"\x00\x00")
    anchors.extend(file, [])
    assert file.read_bytes() == whole


@pytest.mark.parametrize(
    "line", ["", "nonsense", "[]", "{}", '{"checkpoint": 1}', '{"checkpoint": "x"}', "[" * 100_000, "\ud800"]
)
def test_a_last_line_that_is_no_anchor_is_a_fault_that_names_the_file(file: Path, line: str) -> None:
    file.write_bytes((line + "\n").encode(errors="surrogatepass"))
    with pytest.raises(AnchorFault, match=r"anchors\.ndjson"):
        anchors.newest(file)
    with pytest.raises(AnchorFault, match=r"anchors\.ndjson"):
        anchors.extend(file, [of(1)])
    assert file.read_bytes() == (line + "\n").encode(errors="surrogatepass")


def test_a_file_that_cannot_be_used_is_a_fault_that_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(AnchorFault, match="CONSENT_ANCHOR_FILE"):
        anchors.newest(tmp_path)
    with pytest.raises(AnchorFault, match="CONSENT_ANCHOR_FILE"):
        anchors.extend(tmp_path / "missing" / "anchors.ndjson", [of(1)])
