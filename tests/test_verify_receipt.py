"""The example that verifies a receipt with none of our code: a real one holds, and nothing that differs from it."""

import importlib.util
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from consent_service.core import checkpoint, merkle
from consent_service.core.checkpoint import Checkpoint
from consent_service.core.signing import SigningKey, encoded
from consent_service.examples import RECEIPT
from consent_service.store.tables import entry_detail, subject_identifier, subject_key, subject_state
from tests.receipts import claims_of, signed_anew
from tests.school import Json, School
from tests.service_process import serving
from tests.tables import tamper

SCRIPT = Path(__file__).parents[1] / "examples" / "verify_receipt.py"
BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def script() -> Any:  # noqa: ANN401 (a module that has no types)
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("verify_receipt", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


example = script()


def holds(receipt: str, jwks: Json) -> bool:
    try:
        return bool(example.verified(receipt, jwks))
    except Exception:  # noqa: BLE001 (whatever the script stumbles over, it does not hold)
        return False


async def receipt_and_keys(school: School) -> tuple[str, Json]:
    """A receipt somewhere in the middle of a ledger of some size, and the public keys."""
    path = (await school.said("person:1", ("billing", "grant")))["receipts"][0]
    for number in range(30):
        await school.said(f"person:{number}", ("surveys", "refuse"))
    school.clock.advance(seconds=2)
    await school.get((await school.said("person:1", ("billing", "withdraw")))["receipts"][0])
    return (await school.get(path)).text, (await school.http.get("/.well-known/jwks.json")).json()


def test_the_script_has_forty_lines_and_imports_none_of_our_code() -> None:
    text = SCRIPT.read_text()
    assert len(text.splitlines()) <= 40
    assert "consent_service" not in text


def test_it_finds_the_root_of_every_tree_to_a_hundred_leaves() -> None:
    leaves = [merkle.leaf_hash(bytes([number])) for number in range(100)]
    for size in range(1, 101):
        root = tree_hash(leaves[:size])
        for index in range(size):
            path = [tree_hash(leaves[start:end]).hex() for start, end in merkle.inclusion_ranges(index, size)]
            assert example.root_of(leaves[index], index, size, path) == root


def test_it_verifies_the_receipt_of_a_running_service(tmp_path: Path) -> None:
    with serving(tmp_path, "--with-examples") as service:
        key = (tmp_path / "first-client.key").read_text().strip()
        answer = httpx.get(f"{service.url}/v1/receipts/{RECEIPT}", headers={"Authorization": f"Bearer {key}"})
        receipt, jwks = tmp_path / "receipt.jws", tmp_path / "jwks.json"
        receipt.write_text(answer.text)
        jwks.write_text(httpx.get(f"{service.url}/.well-known/jwks.json").text)
        for keys in (f"{service.url}/.well-known/jwks.json", str(jwks)):
            told = run(str(receipt), keys)
            assert (told.returncode, told.stderr) == (0, "")
            assert "said grant to" in told.stdout
    receipt.write_text(answer.text[:-1])
    for wrong in ((str(receipt), str(jwks)), (str(jwks), str(receipt)), (str(receipt),), (), ("nowhere", "nowhere")):
        told = run(*wrong)
        assert (told.returncode, told.stdout, told.stderr.count("\n")) == (1, "", 1), wrong
        beginning = "This receipt does not hold: " if "nowhere" not in wrong else "That cannot be read: "
        assert told.stderr.startswith(beginning)


@pytest.mark.anyio
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_no_receipt_holds_that_differs_in_a_character(school: School) -> None:
    receipt, jwks = await receipt_and_keys(school)
    assert holds(receipt, jwks)
    chance = random.Random(4)
    tail = range(receipt.rindex("."), len(receipt))
    mutated = {changed_at(receipt, at, chance) for at in [*chance.sample(range(len(receipt)), 1000), *tail]}
    mutated |= {receipt[:at] for at in chance.sample(range(len(receipt)), 200)}
    mutated |= {receipt + more for more in ("A", "=", "==", ".", ".A", "!")}
    mutated |= {receipt[:at] + "=" + receipt[at:] for at in (receipt.index("."), receipt.rindex("."))}
    assert [one for one in mutated - {receipt} if holds(one, jwks)] == []
    assert len(mutated) > 1000


@pytest.mark.anyio
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_no_claims_hold_that_the_ledger_does_not_though_the_receipts_key_signed_them(school: School) -> None:
    receipt, jwks = await receipt_and_keys(school)
    claims, keyring = claims_of(receipt), school.service.database.keyring
    assert holds(signed_anew(claims, keyring.receipt), jwks)
    forged = list(forgeries(claims, keyring.receipt))
    assert [one for one in forged if holds(signed_anew(one, keyring.receipt), jwks)] == []
    assert len(forged) > 200


@pytest.mark.anyio
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_no_receipt_holds_that_another_key_signed(school: School) -> None:
    receipt, jwks = await receipt_and_keys(school)
    claims, stranger = claims_of(receipt), SigningKey(bytes(32))
    kid = school.service.database.keyring.receipt.kid
    assert not holds(signed_anew(claims, stranger), jwks)
    assert not holds(signed_anew(claims, stranger, kid=kid), jwks)
    others = {"keys": [one for one in jwks["keys"] if one["kid"] != kid]}
    assert not holds(receipt, others)
    assert not holds(receipt, {"keys": []})
    theirs = {"kty": "OKP", "crv": "Ed25519", "x": encoded(stranger.public_key), "kid": kid}
    assert not holds(receipt, {"keys": [*others["keys"], theirs]})


@pytest.mark.anyio
async def test_an_old_receipt_holds_after_the_person_was_erased(school: School) -> None:
    receipt, jwks = await receipt_and_keys(school)
    subject = claims_of(receipt)["sub"]
    for table in (subject_key, subject_state, subject_identifier):
        await tamper(school.service.database, table.delete().where(table.c.subject == subject))
    await tamper(school.service.database, entry_detail.delete())
    assert holds(receipt, jwks)
    assert holds(receipt, (await school.http.get("/.well-known/jwks.json")).json())


def tree_hash(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, as it is written there."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return merkle.node_hash(tree_hash(leaves[:split]), tree_hash(leaves[split:]))


def changed_at(text: str, at: int, chance: random.Random) -> str:
    return text[:at] + chance.choice(BASE64URL.replace(text[at], "")) + text[at + 1 :]


def forgeries(claims: Json, key: SigningKey) -> Iterator[Json]:
    """Claims that tell something else, or prove the same thing worse."""
    proof, entry = claims["inclusion_proof"], claims["entry"]
    for at in range(0, len(entry), 4):
        yield claims | {"entry": entry[:at] + ("x" if entry[at] != "x" else "y") + entry[at + 1 :]}
    for index in (-1, 0, *range(claims["index"] + 1, proof["size"] + 2), claims["index"] - 1):
        yield claims | {"index": index}
    for at in range(64):
        yield claims | {"leaf_hash": changed_at(claims["leaf_hash"], at, random.Random(at))}
    for hashes in other_paths(proof["hashes"]):
        yield claims | {"inclusion_proof": proof | {"hashes": hashes}}
    for note in other_notes(claims["checkpoint"], key):
        yield claims | {"checkpoint": note}
    for missing in ("entry", "index", "leaf_hash", "inclusion_proof", "checkpoint"):
        yield {name: claim for name, claim in claims.items() if name != missing}


def other_paths(path: list[str]) -> Iterator[list[str]]:
    for at in range(len(path)):
        yield path[:at] + path[at + 1 :]
        yield [*path[:at], "00" * 32, *path[at:]]
        yield [*path[:at], path[at][:-2], *path[at + 1 :]]
        for nibble in range(0, 64, 8):
            yield [
                *path[:at],
                path[at][:nibble] + "0123456789abcdef"[~int(path[at][nibble], 16)] + path[at][nibble + 1 :],
            ]
    yield path[::-1]
    yield [*path, *path]
    yield []


def other_notes(note: str, key: SigningKey) -> Iterator[str]:
    """Notes of another ledger, size or root; by another key; cut off, or with a character changed."""
    origin, size, *_ = note.splitlines()
    other = Checkpoint(origin, int(size), bytes(32))
    for signer in (key, SigningKey(bytes(32))):
        yield checkpoint.signed(other, signer)
    yield note.replace(origin, "another/ledger")
    yield note.replace(f"\n{size}\n", f"\n{int(size) + 1}\n")
    yield note.replace(f"\n{size}\n", f"\n{2 ** int(size)}\n")
    yield from (note[:at] for at in range(0, len(note) - 5, 7))
    for at in range(len(note) - 4):
        if note[at].isalnum():
            yield changed_at(note, at, random.Random(at))


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.anyio
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_it_says_where_a_statement_changed_nothing(school: School) -> None:
    _, jwks = await receipt_and_keys(school)
    await school.said("person:7", ("billing", "refuse"))
    late = await school.said("person:7", ("billing", "grant"), made_at="2026-11-01T00:00:00Z")
    receipt = (await school.get(late["receipts"][0])).text
    assert example.verified(receipt, jwks).endswith(", on record, without effect.")
