"""Verify, bundles and rebuild: what an auditor sees of a ledger that is whole, of a part, and of a changed one."""

import functools
import json
import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from consent_service.core import merkle
from consent_service.core.merkle import leaf_hash
from consent_service.lanes import read_alone, write_alone
from consent_service.operations import bundles
from consent_service.operations.bundles import Part
from consent_service.settings import Settings
from consent_service.store.db import ReadTx
from consent_service.store.rebuild import rebuild
from consent_service.store.tables import (
    entry_detail,
    ledger_entry,
    subject_identifier,
    subject_key,
    subject_state,
)
from consent_service.verify import receipt as receipts
from consent_service.verify import tree as trees
from consent_service.verify.database import Trust
from consent_service.verify.report import INCOMPLETE, TAMPERED, UNREADABLE, WHOLE, Unreadable
from consent_service.verify.spill import Spill
from consent_service.verify.tree import BLOCK, Tree
from tests.auditor import verified, verified_bundle
from tests.school import School
from tests.service_process import run, serving
from tests.tables import all_of, lift_triggers, tamper

anyio_test = pytest.mark.anyio
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def lively(school: School) -> str:
    """A ledger of some forty entries, the newest of which are signed; answers the path of a receipt."""
    for number in range(4):
        await school.enrol(f"sis:{number}", f"crm:{number}", birth_date="2000-01-01", language="ja")
        await school.said(f"sis:{number}", ("billing", "grant"), ("marketing", "refuse"))
    family = {"guardian": "sis:0", "relation": "aunt", "verified_by": "office"}
    await school.send("PATCH", f"/v1/subjects/{await school.enrol('sis:4')}", {"birth_date": "2014-05-02"})
    made = (await school.post("/v1/guardianships", {**family, "ward": "sis:4"})).json()
    await school.post(f"/v1/guardianships/{made['id']}/block", {"reference": "court"})
    path = (await school.said("sis:1", ("surveys", "grant")))["receipts"][0]
    school.clock.advance(seconds=2)
    await school.get("/v1/ledger/checkpoint")
    return str(path)


async def written(school: School, file: Path, part: Part | None = None) -> Path:
    """The ledger, or a part of it, as a bundle in a file."""

    async def lines(tx: ReadTx) -> list[str]:
        return [line async for line in bundles.lines(tx, part or Part(), origin="consent-service/ledger")]

    found = await read_alone(school.service.database, lines)
    file.write_text("".join(found))  # noqa: ASYNC240 (a test's own small file)
    return file


@anyio_test
async def test_what_the_service_wrote_is_whole(school: School, settings: Settings, tmp_path: Path) -> None:
    path = await lively(school)
    held = tmp_path / "receipt.jws"
    held.write_text((await school.get(path)).text)
    report = await verified(settings, held)
    assert (report.findings, report.exit_code, report.unchecked) == ([], WHOLE, [])
    assert report.entries == len(await all_of(school, ledger_entry))
    blind = await verified(settings, blind=True)
    assert (blind.findings, blind.exit_code, blind.root) == ([], WHOLE, report.root)
    assert len(blind.unchecked) == 4


@anyio_test
@pytest.mark.parametrize("place", [0, 17, -1])
async def test_the_first_bad_index_is_named(school: School, settings: Settings, place: int) -> None:
    await lively(school)
    await lift_triggers(school.service.database)
    row = (await all_of(school, ledger_entry))[place]._mapping
    changed = ledger_entry.update().where(ledger_entry.c.index == row["index"])
    await tamper(school.service.database, changed.values(body=row["body"].replace(b"2026", b"2025", 1)))
    first = (await verified(settings)).first_bad
    assert first is not None
    assert (first.first, first.last) == (row["index"], row["index"])


@anyio_test
async def test_a_forged_entry_whose_hash_was_forged_with_it_is_named_as_one_of_sixteen(
    school: School, settings: Settings
) -> None:
    await lively(school)
    await lift_triggers(school.service.database)
    row = (await all_of(school, ledger_entry))[18]._mapping
    forged = row["body"].replace(b'"recorded_by":"', b'"recorded_by":"x')
    changed = ledger_entry.update().where(ledger_entry.c.index == 18)
    await tamper(school.service.database, changed.values(body=forged, leaf_hash=leaf_hash(forged)))
    first = (await verified(settings, blind=True)).first_bad
    assert first is not None
    assert (first.first, first.last) == (16, 31)


@anyio_test
async def test_a_subject_erased_leaves_every_proof_receipt_and_verify_whole(
    school: School, settings: Settings, tmp_path: Path
) -> None:
    await lively(school)
    erased = (await school.post("/v1/subjects/lookup", {"subject": "sis:2"})).json()["subject"]
    said = await school.said("sis:2", ("surveys", "grant"), evidence={"form": "binder nine"})
    index, held = said["entries"][0]["index"], tmp_path / "receipt.jws"
    school.clock.advance(seconds=2)
    held.write_text((await school.get(said["receipts"][0])).text)
    size = (await verified(settings, held)).entries
    before = await proofs(school, size)
    await erase(school, erased)
    assert await proofs(school, size) == before
    report = await verified(settings, held)
    assert (report.findings, report.exit_code) == ([], WHOLE)
    bundle = verified_bundle(await written(school, tmp_path / "bundle"), Trust(settings.anchors), held)
    assert (bundle.findings, bundle.exit_code) == ([], WHOLE)
    await write_alone(school.service.database, rebuild)
    assert erased not in {row.subject for row in await all_of(school, subject_state)}
    assert erased not in {row.subject for row in await all_of(school, subject_identifier)}
    assert (await verified(settings, held)).findings == []
    assert (await school.post("/v1/subjects/lookup", {"subject": "sis:2"})).status_code == 404
    assert (await school.post("/v1/subjects/lookup", {"subject": "sis:1"})).status_code == 200
    assert index < size


async def erase(school: School, subject: str) -> None:
    """Delete a subject's key, details with their salts, identifiers and state."""
    rows = [row._mapping for row in await all_of(school, ledger_entry)]
    own = [row["index"] for row in rows if row["subject"] == subject]
    await tamper(school.service.database, entry_detail.delete().where(entry_detail.c.index.in_(own)))
    for table in (subject_key, subject_identifier, subject_state):
        await tamper(school.service.database, table.delete().where(table.c.subject == subject))


async def proofs(school: School, size: int) -> list[Any]:
    """Every inclusion proof, some consistency proofs, and the checkpoint."""
    asked = [f"/v1/ledger/proof/inclusion?index={index}&size={size}" for index in range(size)]
    asked += [f"/v1/ledger/proof/consistency?from={first}&to={size}" for first in (1, 7, size)]
    return [(await school.get(path)).json() for path in asked] + [(await school.get("/v1/ledger/checkpoint")).text]


@anyio_test
async def test_a_bundle_is_verified_with_no_database(school: School, settings: Settings, tmp_path: Path) -> None:
    path = await lively(school)
    held = tmp_path / "receipt.jws"
    held.write_text((await school.get(path)).text)
    file = await written(school, tmp_path / "bundle")
    report = verified_bundle(file, Trust(settings.anchors), held)
    assert (report.findings, report.exit_code) == ([], WHOLE)
    assert report.root == (await verified(settings)).root


@anyio_test
async def test_a_part_about_somebody_has_what_belongs_to_both_of_two_records(school: School, tmp_path: Path) -> None:
    await lively(school)
    subs = [await school.enrol(f"person:twice-{number}") for number in range(3)]
    for number in range(2):
        await school.post(f"/v1/subjects/{subs[number + 1]}/merge", {"other": subs[number]})
    await school.get("/v1/ledger/checkpoint")
    found = []
    for sub in subs:
        file = await written(school, tmp_path / "part", Part(subject=sub))
        assert verified_bundle(file).findings == []
        items = [json.loads(line) for line in file.read_text().splitlines()]
        found.append({item["entry"]["subject"] for item in items if "entry" in item} - {None})
    assert found == [set(subs)] * 3
    assert verified_bundle(await written(school, tmp_path / "whole")).findings == []


@anyio_test
@pytest.mark.parametrize("part", [Part(20, 24), Part(begin=30), Part(end=3), Part(subject="")])
async def test_a_part_says_that_it_is_one(school: School, tmp_path: Path, part: Part) -> None:
    await lively(school)
    subject = (await school.post("/v1/subjects/lookup", {"subject": "sis:1"})).json()["subject"]
    taken = Part(subject=subject) if part.subject == "" else part
    file = await written(school, tmp_path / "part", taken)
    report = verified_bundle(file)
    assert (report.findings, report.exit_code) == ([], INCOMPLETE)
    lines = file.read_text().splitlines(keepends=True)
    for place in range(1, len(lines) - 1):
        if "entry" in lines[place]:
            item = json.loads(lines[place])
            item["entry"]["body"] = item["entry"]["body"].replace("2026", "2025")
            item["entry"]["leaf_hash"] = leaf_hash(item["entry"]["body"].encode()).hex()
            file.write_text("".join([*lines[:place], json.dumps(item) + "\n", *lines[place + 1 :]]))
            assert verified_bundle(file).exit_code == TAMPERED


@anyio_test
async def test_a_bundle_of_a_ledger_that_was_cut_off_does_not_reach_its_anchors(
    school: School, settings: Settings, tmp_path: Path
) -> None:
    await lively(school)
    file = await written(school, tmp_path / "bundle")
    await school.said("sis:3", ("billing", "withdraw"))
    school.clock.advance(seconds=2)
    await school.get("/v1/ledger/checkpoint")
    assert verified_bundle(file).exit_code == WHOLE
    assert verified_bundle(file, Trust(settings.anchors)).exit_code == TAMPERED


@on_sqlite
@hypothesis_settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_a_bundle_with_any_byte_changed_is_a_sentence_and_never_a_trace(
    portal: BlockingPortal, open_for_many: School, tmp_path: Path, data: st.DataObject
) -> None:
    whole = tmp_path / "whole"
    if not whole.exists():
        portal.call(lively, open_for_many)
        portal.call(written, open_for_many, whole)
        portal.call(partial(written, part=Part(20, 24)), open_for_many, tmp_path / "part")
    right = data.draw(st.sampled_from([whole, tmp_path / "part"])).read_bytes()
    changed = mutated(right, data)
    file = tmp_path / "changed"
    file.write_bytes(changed)
    assert exit_code(file) in ((TAMPERED, UNREADABLE) if changed != right else (WHOLE, INCOMPLETE))


def mutated(right: bytes, data: st.DataObject) -> bytes:
    """Some bytes changed, taken away, put in, or all behind a place cut off."""
    place = data.draw(st.integers(0, len(right) - 1))
    more = data.draw(st.binary(max_size=3))
    match data.draw(st.sampled_from(["put", "insert", "cut", "repeat", "swap"])):
        case "put":
            return right[:place] + more + right[place + len(more) :]
        case "insert":
            return right[:place] + more + right[place:]
        case "cut":
            return right[:place]
        case "repeat":
            return right[:place] + right[place // 2 :]
        case _:
            lines = right.splitlines(keepends=True)
            at = data.draw(st.integers(0, len(lines) - 2))
            lines[at], lines[at + 1] = lines[at + 1], lines[at]
            return b"".join(lines)


def exit_code(file: Path) -> int:
    try:
        return verified_bundle(file).exit_code
    except Unreadable:
        return UNREADABLE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "{}",
        "[]",
        "null\n",
        '{"bundle":1}\n',
        "{" * 100_000,
        '{"bundle":"consent-service-ledger"}\n',
        "\ufeff{}",
    ],
)
def test_what_is_no_bundle_is_unreadable(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bundle"
    file.write_text(text)
    with pytest.raises(Unreadable, match="is no bundle"):
        verified_bundle(file)


@hypothesis_settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.one_of(st.binary(), st.text().map(str.encode), st.from_regex(rb"[\w-]+\.[\w-]+\.[\w-]+")))
def test_what_is_no_receipt_is_unreadable(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "receipt"
    file.write_bytes(text)
    with pytest.raises(Unreadable, match="is no receipt"):
        receipts.read(file)


@on_sqlite
@anyio_test
async def test_a_receipt_with_any_character_changed_is_noticed(school: School, tmp_path: Path) -> None:
    right = (await school.get(await lively(school))).text
    await school.get("/v1/ledger/checkpoint")
    file, held = await written(school, tmp_path / "bundle"), tmp_path / "receipt"
    for place in random.Random(4).sample(range(len(right)), 60):
        held.write_text(right[:place] + ("A" if right[place] != "A" else "B") + right[place + 1 :])
        try:
            assert verified_bundle(file, shown=held).exit_code == TAMPERED
        except Unreadable:
            continue


@on_sqlite
@anyio_test
async def test_anchors_that_were_changed_are_noticed(school: School, settings: Settings) -> None:
    await lively(school)
    right = settings.anchors.read_text()
    for wrong in (
        right.replace("consent-service/ledger\\n", "other\\n", 1),
        right[:100] + "\n" + right,
        "{}\n" + right,
    ):
        settings.anchors.write_text(wrong)
        assert (await verified(settings)).exit_code == TAMPERED
    settings.anchors.write_text(right + right[: len(right) // 3])  # what a crash leaves
    assert (await verified(settings)).exit_code == WHOLE


def test_the_command_says_where_and_exits_by_what_it_found(tmp_path: Path) -> None:
    with serving(tmp_path, "--with-examples"):
        beside = run(tmp_path, "verify")
        assert (beside.returncode, beside.stdout.splitlines()[-1].startswith("whole: ")) == (0, True), beside.stdout
        refused = run(tmp_path, "rebuild")
        assert refused.returncode == 75
    assert "Rebuilt from" in run(tmp_path, "rebuild").stdout
    bundle = tmp_path / "bundle.ndjson"
    assert run(tmp_path, "export-ledger", str(bundle)).returncode == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    told = run(elsewhere, "verify", "--bundle", str(bundle), "--anchors", str(tmp_path / "anchors.ndjson"), "--json")
    assert (told.returncode, json.loads(told.stdout)["result"]) == (0, "whole"), told.stderr
    assert run(tmp_path, "export-ledger", "--to", "3", str(bundle)).returncode == 0
    assert run(elsewhere, "verify", "--bundle", str(bundle)).returncode == 2
    assert list(elsewhere.iterdir()) == []
    for words in (
        ["--database", "sqlite:////nowhere/x.db"],
        ["--database", "x"],
        ["--anchors", "nowhere"],
        ["--public-key", "x"],
    ):
        done = run(tmp_path, "verify", *words)
        assert (done.returncode, done.stderr.startswith("unreadable: ")) == (3, True), done.stderr


def test_a_file_that_is_no_database_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "consent.db").write_text("this is no database, and long enough to be looked at as one" * 20)
    done = run(tmp_path, "verify")
    assert (done.returncode, "Traceback" in done.stderr, done.stderr.startswith("unreadable: ")) == (3, False, True)


@anyio_test
async def test_a_rebuild_puts_right_whatever_was_done_to_the_projection(school: School, settings: Settings) -> None:
    await lively(school)
    for statement in (
        "UPDATE subject_state SET document = 'x', seal = NULL",
        "UPDATE subject_identifier SET subject = 'sub_x'",
        "DELETE FROM policy_version",
        "UPDATE client SET scopes = '[]'",
        "DELETE FROM signing_key WHERE state = 'next'",
    ):
        await tamper(school.service.database, statement)
    assert (await verified(settings)).exit_code == TAMPERED
    await write_alone(school.service.database, rebuild)
    assert (await verified(settings)).findings == []
    assert (await school.check("sis:1", "billing"))["permitted"] is True


@pytest.mark.parametrize(
    "size", [0, 1, 15, 16, 255, 256, 300, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 17 * BLOCK + 300]
)
def test_the_auditors_tree_is_the_writers(size: int) -> None:
    leaves = [index.to_bytes(32, "big") for index in range(size)]
    tree, nodes = Tree(), []
    for begin in range(0, size, BLOCK):
        nodes += tree.add(leaves[begin : begin + BLOCK])
        for at in (tree.begin + 1, tree.size):
            assert tree.root_at(at) == root_of(leaves[:at])
    frontier, made = merkle.grown((), 0, leaves)
    assert (tuple(tree.frontier()), sorted(nodes)) == (tuple(frontier), sorted(made))
    assert tree.root_at(size) == merkle.root(frontier)


def test_an_inclusion_proof_leads_to_the_root_and_any_other_does_not() -> None:
    leaves = [index.to_bytes(32, "big") for index in range(40)]
    for size in range(1, 41):
        root = root_of(leaves[:size])
        for index in range(size):
            path = path_of(index, tuple(leaves[:size]))
            assert trees.root_from_inclusion(index, size, leaves[index], path) == root
            assert trees.root_from_inclusion(index, size, leaves[index], [*path, root]) != root
            assert trees.root_from_inclusion(index, size, leaves[index - 1], path) != root or size == 1


@functools.cache
def path_of(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH(m, D[n]) of RFC 6962 section 2.1.1, as it stands there."""
    if len(leaves) == 1:
        return []
    half = 1 << (len(leaves) - 1).bit_length() - 1
    if index < half:
        return [*path_of(index, leaves[:half]), root_of(leaves[half:])]
    return [*path_of(index - half, leaves[half:]), root_of(leaves[:half])]


def root_of(leaves: Sequence[bytes]) -> bytes:
    return merkle.root(merkle.grown((), 0, leaves)[0])


def test_records_come_back_by_subject_in_the_order_in_which_they_were_taken() -> None:
    records = [(f"sub_{number % 977}", number, "x", None) for number in range(100_000)]
    with Spill(len(records)) as spill:
        for begin in range(0, len(records), 7_000):
            spill.add(records[begin : begin + 7_000])
        found = dict(spill.subjects())
    assert len(found) == 977
    assert all([record[1] for record in its] == sorted(record[1] for record in its) for its in found.values())
    assert sorted(record for its in found.values() for record in its) == sorted(records)
