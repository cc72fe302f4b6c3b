"""Keys change while the service runs: nothing fails, nothing that was signed, sealed or wrapped is lost."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Update, insert, update

from consent_service import keys, rotation
from consent_service.core.decision import Question
from consent_service.core.errors import RecordUntrusted
from consent_service.core.keyring import Keyring, mark
from consent_service.core.keys import ROTATED, KeyFault, KnownKey
from consent_service.core.ledger import KeyState, KeyUse
from consent_service.core.people import Identifier
from consent_service.core.signing import decoded, verify
from consent_service.lanes import read_alone, write_alone
from consent_service.operations import keys as operations
from consent_service.operations.checks import Asked
from consent_service.service import running, take_keys
from consent_service.settings import Settings
from consent_service.store import projection, seals
from consent_service.store.db import Database
from consent_service.store.rebuild import rebuild
from consent_service.store.tables import (
    client,
    ledger_entry,
    policy_version,
    secret_mark,
    signing_key,
    subject_identifier,
    subject_key,
    subject_state,
)
from tests.clock import Clock
from tests.school import School, first_key, open_school, statements
from tests.service_process import Serving, run, serving
from tests.tables import all_of, tamper
from tests.wire import Request, Wire

anyio_test = pytest.mark.anyio

MASTER, SEAL, PEPPER = KeyUse.MASTER, KeyUse.SEAL, KeyUse.IDENTIFIER_PEPPER


async def rotate(school: School, *uses: KeyUse) -> None:
    """Add a line to each file, and let the running service take them."""
    settings = school.service.settings
    for use in uses:
        keys.add(settings, use, os.urandom)
    await take_keys(school.service)


def ring_of(school: School) -> Keyring:
    return school.service.database.keyring


async def public_keys(school: School) -> dict[str, bytes]:
    found = (await school.http.get("/.well-known/jwks.json")).json()["keys"]
    return {key["kid"]: decoded(key["x"]) for key in found}


async def states(school: School, use: KeyUse) -> list[str]:
    rows = await all_of(school, signing_key)
    return sorted(row.state for row in rows if row.use == use)


async def wrapped_now(school: School) -> list[bool]:
    """Of each subject's key, whether it is wrapped under the active master."""
    rows = await all_of(school, subject_key)
    return [ring_of(school).is_wrapped_now(row.subject, row.wrapped_key) for row in rows]


@asynccontextmanager
async def under_load(school: School) -> AsyncIterator[list[int]]:
    """People are recorded, say things and are asked about, all the while; answers the statuses of what was answered."""
    statuses: list[int] = []
    stop = asyncio.Event()

    async def live(number: int) -> None:
        said = 0
        while not stop.is_set():
            said += 1
            who = f"person:{number}-{said % 5}"
            word = statements(who, ("billing", "grant" if said % 2 else "withdraw"))
            for _ in range(2):  # the second is the retry of a caller that heard nothing
                recorded = await school.post("/v1/consents", word, Idempotency_Key=f"{number}-{said}")
                statuses.append(recorded.status_code)
            asked = await school.post("/v1/check", {"subject": who, "purpose": "billing"})
            statuses.append(asked.status_code)
            assert asked.json()["permitted"] is bool(said % 2), asked.text

    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(live(number))
        try:
            yield statuses
        finally:
            stop.set()


async def answered(statuses: Sequence[int], more: int) -> None:
    wanted = len(statuses) + more
    async with asyncio.timeout(60):
        while len(statuses) < wanted:  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0)


@anyio_test
async def test_three_rotations_of_every_key_under_load_fail_no_request_and_lose_nothing(school: School) -> None:
    signed = []
    async with under_load(school) as statuses:
        for _ in range(3):
            await answered(statuses, 60)
            signed += [(key.kid, key.sign(b"receipt")) for key in (ring_of(school).receipt, ring_of(school).checkpoint)]
            await rotate(school, *ROTATED)
        await answered(statuses, 60)
    assert set(statuses) == {200, 201}
    found = await public_keys(school)
    assert len(signed) == len(set(signed)) == 6
    assert all(verify(found[kid], b"receipt", signature) for kid, signature in signed)
    for use in ROTATED:
        assert await states(school, use) == ["active", "next", "retired", "retired", "retired"]
    await until_renewed(school)
    assert ring_of(school).seals[0] == keys.held(school.service.settings, SEAL)[-2]


@anyio_test
async def test_what_the_ledger_says_of_keys_is_rebuilt_from_it(school: School) -> None:
    await rotate(school, *ROTATED)
    before = await all_of(school, signing_key)
    await write_alone(school.service.database, rebuild)
    assert await all_of(school, signing_key) == before
    assert signing_key in projection.TABLES
    kinds = [row.kind for row in await all_of(school, ledger_entry)]
    assert kinds.count("key") == 4 * 3 + 2 * 2 + 4 * 3


@anyio_test
async def test_what_never_was_published_is_never_active(school: School) -> None:
    await rotate(school, *ROTATED)
    seen: dict[str, list[str]] = {}
    for row in await all_of(school, ledger_entry):
        if row.kind == "key":
            body = json.loads(row.body)
            seen.setdefault(body["kid"], []).append(body["change"])
    assert all(changes == ["published", "activated", "retired"][: len(changes)] for changes in seen.values())
    rotated = [len(changes) for changes in seen.values()]
    assert rotated.count(3) == 4


@anyio_test
async def test_a_retry_after_a_rotation_gets_the_first_answer_and_another_body_is_still_refused(school: School) -> None:
    billing, surveys = (statements("person:1", (purpose, "grant")) for purpose in ("billing", "surveys"))
    first = await school.post("/v1/consents", billing, Idempotency_Key="k")
    made = await school.post("/v1/clients", {"name": "x", "scopes": ["check"]}, Idempotency_Key="c")
    for _ in range(2):
        await rotate(school, MASTER)
        assert (await school.post("/v1/consents", billing, Idempotency_Key="k")).json() == first.json()
        again = await school.post("/v1/clients", {"name": "x", "scopes": ["check"]}, Idempotency_Key="c")
        assert again.json() == made.json()
        assert (await school.post("/v1/consents", surveys, Idempotency_Key="k")).status_code == 422


@anyio_test
async def test_after_a_rotation_subjects_keys_come_under_the_new_master(school: School) -> None:
    people = [await school.enrol(f"sis:S-{n}") for n in range(3)]
    await rotate(school, MASTER)
    await until_renewed(school)
    assert set(await wrapped_now(school)) == {True}
    await school.said("sis:S-1", ("billing", "refuse"))
    assert (await school.get(f"/v1/subjects/{people[2]}")).json()["identifiers"] == ["sis:S-2"]


@anyio_test
async def test_after_a_rotation_every_row_comes_under_the_new_key_and_a_false_one_stays_false(school: School) -> None:
    await school.said("sis:S-1", ("billing", "refuse"))
    forged = await school.enrol("sis:S-2")
    await school.said("sis:S-2", ("billing", "refuse"))
    row = next(row for row in await all_of(school, subject_state) if row.subject == forged)
    await tamper(school.service.database, _documented(forged, row.document.replace("[1,", "[0,")))
    before = ring_of(school).seal_id
    await rotate(school, SEAL)
    await until_renewed(school)
    for table in (subject_state, subject_identifier, client, policy_version):
        found = [row.seal[:4] for row in await all_of(school, table)]
        assert found.count(before) == (table is subject_state)
        assert found.count(ring_of(school).seal_id) == len(found) - (table is subject_state)
    assert await school.why("sis:S-2", "billing") == ["record_untrusted"]
    assert await school.why("sis:S-1", "billing") == ["refused"]
    await rotate(school, SEAL)
    assert await school.why("sis:S-1", "billing") == ["refused"]


def _documented(subject: str, document: str) -> Update:
    return update(subject_state).where(subject_state.c.subject == subject).values(document=document)


async def until_renewed(school: School) -> None:
    """Wait until the worker has brought every row and every person's key under the active keys."""
    ring = ring_of(school)
    async with asyncio.timeout(60):
        while not all(await wrapped_now(school)) or await sealed_before(school, ring):  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0)


async def sealed_before(school: School, ring: Keyring) -> int:
    """How many rows' seals are true by another key than the active one."""
    found = 0
    for sealed in seals.SEALED:
        for row in await all_of(school, sealed.table):
            found += not row.seal.startswith(ring.seal_id) and ring.is_sealed(sealed.message(row), row.seal)
    return found


@anyio_test
async def test_a_revoked_seal_denies_until_rows_are_derived_again(settings: Settings, clock: Clock) -> None:
    async with open_school(settings, clock) as school:
        await school.said("person:1", ("billing", "grant"))
        key = school.key
    async with running(settings, clock=clock) as service:  # no worker here: nothing is sealed again
        keys.add(settings, SEAL, os.urandom)
        await take_keys(service)
        (old,) = [one.key.kid for one in await keys_that_are(service.database, SEAL, KeyState.RETIRED)]
        held = keys.load(settings, os.urandom).held
        await write_alone(service.database, partial(operations.revoke, kid=old, held=held))
        await take_keys(service)
        asked = Asked(service.database.keyring.key_hash(key), Question(Identifier("person", "1"), "billing"))
        with pytest.raises(RecordUntrusted):
            await service.checks.ask(asked)
        await write_alone(service.database, rebuild)
        assert (await service.checks.ask(asked)).verdict.permitted


async def keys_that_are(database: Database, use: KeyUse, state: KeyState) -> list[KnownKey]:
    there = (await read_alone(database, operations.known)).values()
    return [one for one in there if (one.key.use, one.state) == (use, state)]


@anyio_test
async def test_every_page_is_renewed(school: School, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seals, "PAGE", 2)
    for n in range(5):
        await school.enrol(f"sis:S-{n}")
    await rotate(school, MASTER, SEAL)
    await until_renewed(school)


@anyio_test
async def test_under_another_pepper_everybody_is_found_as_before(school: School) -> None:
    people = {f"sis:S-{n}": await school.enrol(f"sis:S-{n}", f"crm:{n}") for n in range(3)}
    before = {row.lookup for row in await all_of(school, subject_identifier)}
    pepper = os.urandom(32)
    database = school.service.database
    assert await write_alone(database, partial(operations.repepper, pepper=pepper)) == 6
    keys.replace(school.service.settings, PEPPER, [pepper])
    await rotation.take_keys(database, school.service.settings)
    assert before.isdisjoint({row.lookup for row in await all_of(school, subject_identifier)})
    for name, subject in people.items():
        assert (await school.post("/v1/subjects/lookup", {"subject": name})).json()["subject"] == subject
    assert await states(school, PEPPER) == ["active", "retired"]
    rows = await all_of(school, subject_identifier)
    await write_alone(database, rebuild)
    again = await all_of(school, subject_identifier)
    assert [tuple(row)[:4] for row in again] == [tuple(row)[:4] for row in rows]
    messages = [seals.identifier_message(row.lookup, row.namespace, row.subject, tuple(row)[3]) for row in rows]
    assert all(ring_of(school).is_sealed(message, row.seal) for message, row in zip(messages, rows, strict=True))


@anyio_test
async def test_a_moved_identifier_is_not_carried_along(school: School) -> None:
    await school.enrol("sis:S-1")
    other = await school.enrol("sis:S-2")
    await tamper(school.service.database, update(subject_identifier).values(subject=other))
    with pytest.raises(KeyFault, match="rebuild"):
        await write_alone(school.service.database, partial(operations.repepper, pepper=os.urandom(32)))


@anyio_test
async def test_a_wrong_key_on_the_way_leaves_the_service_as_it_was(school: School) -> None:
    settings, ring = school.service.settings, ring_of(school)
    file = settings.keys / "seal_key.key"
    right = file.read_text()
    for wrong in ("", "nonsense", "ab" * 32, right + right, (settings.keys / "master_key.key").read_text(), None):
        file.unlink()
        if wrong is not None:
            file.write_text(wrong)
        with pytest.raises(KeyFault, match=r"SEAL_KEY|seal_key"):
            await rotation.take_keys(school.service.database, settings)
        assert ring_of(school) is ring
        file.write_text(right)
    await school.said("person:1", ("billing", "grant"))


@anyio_test
async def test_a_revoked_key_is_gone_from_the_keyring_and_from_the_published_ones(school: School) -> None:
    old = ring_of(school).receipt
    await rotate(school, *ROTATED)
    assert old.kid in await public_keys(school)
    database, held = school.service.database, keys.load(school.service.settings, os.urandom).held
    await write_alone(database, partial(operations.revoke, kid=old.kid, held=held))
    assert old.kid not in await public_keys(school)
    with pytest.raises(KeyFault, match="keys rotate receipt"):
        await write_alone(database, partial(operations.revoke, kid=ring_of(school).receipt.kid, held=held))
    with pytest.raises(KeyFault, match="keys list"):
        await write_alone(database, partial(operations.revoke, kid="nobody", held=held))


@anyio_test
async def test_a_master_is_revoked_only_when_nothing_is_left_under_it(school: School) -> None:
    await school.enrol("sis:S-1")
    await school.post("/v1/consents", statements("person:1", ("billing", "grant")), Idempotency_Key="k")
    school.clock.advance(seconds=1)
    await rotate(school, MASTER)
    database, held = school.service.database, keys.load(school.service.settings, os.urandom).held
    (old,) = [row.kid for row in await all_of(school, signing_key) if (row.use, row.state) == (MASTER, "retired")]
    with pytest.raises(KeyFault, match="after 2026-11-30"):
        await write_alone(database, partial(operations.revoke, kid=old, held=held))
    school.clock.advance(days=8)
    await write_alone(database, partial(operations.revoke, kid=old, held=held))
    await rotation.take_keys(database, school.service.settings)
    assert len(ring_of(school).masters) == 2
    await school.said("sis:S-1", ("billing", "refuse"))


@anyio_test
@pytest.mark.parametrize("name", ["CONSENT_MASTER_KEY", "CONSENT_CLIENT_PEPPER"])
async def test_a_database_from_before_keys_had_entries_still_knows_its_secrets(
    settings: Settings, clock: Clock, name: str
) -> None:
    async with open_school(settings, clock) as school:
        right = mark(keys.held(settings, KeyUse(name.removeprefix("CONSENT_").removesuffix("_KEY").lower()))[0])
        for marked in (mark(b"another"), right):
            await tamper(school.service.database, "DELETE FROM signing_key")
            await tamper(school.service.database, "DELETE FROM secret_mark")
            await tamper(school.service.database, insert(secret_mark).values(name=name, mark=marked))
            if marked != right:
                with pytest.raises(KeyFault, match=name):
                    await rotation.take_keys(school.service.database, settings)
        await rotation.take_keys(school.service.database, settings)
        assert not await all_of(school, secret_mark)


@anyio_test
async def test_a_kill_between_the_file_and_the_ledger_is_made_good_at_the_next_start(
    settings: Settings, clock: Clock
) -> None:
    async with open_school(settings, clock) as school:
        before = await public_keys(school)
    for use in ROTATED:
        keys.add(settings, use, os.urandom)  # and here it died
    async with running(settings, clock=clock) as service:
        assert service.database.keyring.receipt.kid in before
        assert service.database.keyring.receipt.seed == keys.held(settings, KeyUse.RECEIPT)[-2]


@anyio_test
async def test_a_kill_in_the_middle_of_a_new_pepper_is_made_good_at_the_next_start(
    settings: Settings, clock: Clock
) -> None:
    async with open_school(settings, clock) as school:
        await school.enrol("sis:S-1")
        pepper, old = os.urandom(32), ring_of(school).identifier_pepper
        keys.replace(settings, PEPPER, [old, pepper])  # dead before the commit
    async with running(settings, clock=clock) as service:
        assert service.database.keyring.identifier_pepper == old
        await write_alone(service.database, partial(operations.repepper, pepper=pepper))  # dead right after it
    async with running(settings, clock=clock) as service:
        assert service.database.keyring.identifier_pepper == pepper


def test_a_served_process_takes_new_keys_on_sighup_under_load(
    settings: Settings, database_url: str, tmp_path: Path
) -> None:
    key = asyncio.run(first_key(settings))
    with serving(tmp_path, database_url=database_url, CONSENT_RATE_LIMIT="1000000/second") as service:
        statuses = asyncio.run(_through_rotations(service, settings, key))
        assert service.log.read_text().count("keys were read again") == 3
        assert service.stop(signal.SIGTERM) == 0
    assert set(statuses) == {200, 201}


async def _until(wanted: int, there: Callable[[], int]) -> None:
    async with asyncio.timeout(30):
        while there() < wanted:  # noqa: ASYNC110 (another process has no event for it)
            await asyncio.sleep(0.01)


async def _through_rotations(service: Serving, settings: Settings, key: str) -> list[int]:
    statuses: list[int] = []
    stop = asyncio.Event()

    async def live(number: int) -> None:
        wire = await Wire.to(service.port)
        while not stop.is_set():
            for request in (
                Request("/v1/consents", statements(f"person:{number}", ("billing", "grant"))),
                Request("/v1/check", {"subject": f"person:{number}", "purpose": "billing"}),
            ):
                answer = await wire.send(request.encoded(key))
                statuses.append(answer.status)
        await wire.close()

    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(live(number))
        for count in range(1, 4):
            for use in ROTATED:
                keys.add(settings, use, os.urandom)
            service.process.send_signal(signal.SIGHUP)
            more = len(statuses) + 100
            await _until(count, lambda: service.log.read_text().count("keys were read again"))
            await _until(more, statuses.__len__)  # some before it, some after
        stop.set()
    return statuses


def test_a_bad_file_on_sighup_is_a_sentence_in_the_log_and_the_service_goes_on(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        file = tmp_path / "keys" / "receipt_key.key"
        right = file.read_text()
        file.write_text("nonsense")
        service.process.send_signal(signal.SIGHUP)
        until_logged(service, "the keys stay as they are: CONSENT_RECEIPT_KEY")
        assert "Traceback" not in service.log.read_text()
        file.write_text(right)
        service.process.send_signal(signal.SIGHUP)
        until_logged(service, "keys were read again")


def test_each_of_several_workers_takes_the_keys_and_none_is_replaced(tmp_path: Path, postgres_database: str) -> None:
    with serving(tmp_path, "--workers", "2", database_url=postgres_database) as service:
        for _ in range(2):
            run(tmp_path, "keys", "rotate", "seal", database_url=postgres_database)
            service.process.send_signal(signal.SIGHUP)
        while service.log.read_text().count("keys were read again") < 2:
            assert service.process.poll() is None
        assert "SIGTERM" not in service.log.read_text()


def until_logged(service: Serving, words: str) -> None:
    while words not in service.log.read_text():
        assert service.process.poll() is None, service.log.read_text()
