"""Receipts over the wire: who gets which, in which form, and what they hold."""

import asyncio
import json
import re
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import update

from consent_service.core.clients import Scope
from consent_service.core.ledger import OPERATOR, PolicyPublished
from consent_service.core.policy import Policy, Text, Wording
from consent_service.core.policy_file import from_document, to_document
from consent_service.examples import RECEIPT, SUBJECT
from consent_service.lanes import read_alone, write_alone
from consent_service.policies import shipped
from consent_service.service import running
from consent_service.settings import Settings
from consent_service.store import ledger
from consent_service.store.db import WriteTx
from consent_service.store.tables import ledger_entry, subject_key, subject_state
from tests.authzen import publish
from tests.clock import Clock
from tests.receipts import assert_27560, assert_kantara, claims_of, header_of
from tests.school import EMAIL, Json, School, open_school
from tests.tables import lift_triggers, tamper

pytestmark = pytest.mark.anyio

FORMS = ("jws", "kantara", "dpv", "html")


async def receipt_of(school: School, subject: str, *said: tuple[str, str], **more: Json) -> str:
    """Say something, and answer the path of the receipt of the first thing said."""
    return str((await school.said(subject, *said, **more))["receipts"][0])


async def page_of(school: School, path: str, **headers: str) -> str:
    response = await school.send("GET", f"{path}{'&' if '?' in path else '?'}format=html", **headers)
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8"), response.text
    return response.text


async def publish_later(school: School, policy: Policy) -> int:
    """Publish a version that is in force at once; answers its entry's index."""

    async def append(tx: WriteTx) -> int:
        opened = await ledger.begin(tx)
        about: Json = {"at": opened.at, "recorded_by": OPERATOR, "effective_at": opened.at}
        index = opened.add(PolicyPublished(**about, version=policy.version, policy=to_document(policy)))
        await opened.write()
        return index

    return await write_alone(school.service.database, append)


async def form(school: School, path: str, name: str) -> Json:
    response = await school.get(f"{path}?format={name}")
    assert response.status_code == 200, response.text
    return response.json()


async def test_a_receipt_is_a_jws_that_tells_what_was_said_and_proves_it(school: School) -> None:
    said = await school.said("person:1", ("billing", "grant"), ("marketing", "refuse"))
    for path, entry in zip(said["receipts"], said["entries"], strict=True):
        response = await school.get(path)
        assert (response.status_code, response.headers["content-type"]) == (200, "application/jose"), response.text
        key = school.service.database.keyring.receipt
        assert header_of(response.text) == {"alg": "Ed25519", "kid": key.kid, "typ": "consent-receipt+jwt"}
        claims = claims_of(response.text)
        assert (claims["index"], claims["sub"], "exp" in claims) == (entry["index"], said["subject"], False)
        assert json.loads(claims["entry"])["purpose"] == entry["purpose"]
        assert claims["inclusion_proof"]["size"] > entry["index"]
        assert claims["checkpoint"].splitlines()[:2] == [claims["iss"], str(claims["inclusion_proof"]["size"])]


async def test_a_receipt_is_the_same_receipt_whenever_it_is_asked_for(school: School) -> None:
    path = await receipt_of(school, "person:1", ("billing", "grant"))
    first = claims_of((await school.get(path)).text)
    for _ in range(20):
        await school.said("person:2", ("billing", "grant"))
        school.clock.advance(seconds=2)
    later = claims_of((await school.get(await receipt_of(school, "person:3", ("billing", "grant")))).text)
    again = claims_of((await school.get(path)).text)
    assert again["checkpoint"] == later["checkpoint"] != first["checkpoint"]
    own = {"iat", "checkpoint", "inclusion_proof"}
    assert {name: claim for name, claim in again.items() if name not in own} == {
        name: claim for name, claim in first.items() if name not in own
    }


async def test_receipts_asked_for_at_once_wait_for_one_checkpoint(school: School) -> None:
    answers = await asyncio.gather(*(school.said(f"person:{n}", ("billing", "grant")) for n in range(20)))
    paths = [path for answer in answers for path in answer["receipts"]]
    found = await asyncio.gather(*(school.get(path) for path in paths))
    assert {one.status_code for one in found} == {200}
    assert len({claims_of(one.text)["checkpoint"] for one in found}) == 1


async def test_the_wording_is_the_one_that_was_shown_whatever_is_in_force_since(school: School) -> None:
    before = await receipt_of(school, "person:1", ("billing", "grant"))
    changed = replace(shipped().purposes[1], wording=Wording(2, Text("To bill", "請求")))
    purposes = (shipped().purposes[0], changed, *shipped().purposes[2:])
    index = await publish_later(school, replace(shipped(), version="later", purposes=purposes))
    after = await receipt_of(school, "person:1", ("billing", "grant"), policy_version="later")
    old, new = claims_of((await school.get(before)).text), claims_of((await school.get(after)).text)
    assert (old["policy"]["version"], old["wording"]["en"][:14]) == ("2026-11-01", "For settlement")
    assert (new["policy"]["version"], new["wording"]["en"], new["policy"]["index"]) == ("later", "To bill", index)
    assert [leaf["wording"] for leaf in (*old["leaves"], *new["leaves"])] == [1, 2]


async def test_a_repeated_call_names_the_same_receipts(school: School) -> None:
    body = {"subject": "person:1", "statements": [{"purpose": "billing", "action": "grant"}]}
    more = {"by": {"role": "subject"}, "method": "web_form", "policy_version": "2026-11-01"}
    answers = [await school.post("/v1/consents", body | more, Idempotency_Key="form-1") for _ in range(2)]
    assert answers[0].json()["receipts"] == answers[1].json()["receipts"]
    assert len(answers[0].json()["receipts"]) == 1


@pytest.mark.parametrize("action", ["grant", "refuse", "withdraw"])
async def test_the_forms_hold_what_the_standards_demand(school: School, action: str) -> None:
    said = await school.said("person:1", ("marketing", action))
    path = said["receipts"][0]
    assert (await school.get(f"{path}?format=kantara")).headers["content-type"] == "application/json"
    assert (await school.get(f"{path}?format=dpv")).headers["content-type"] == "application/ld+json"
    as_kantara, as_dpv = await form(school, path, "kantara"), await form(school, path, "dpv")
    assert_kantara(as_kantara)
    assert_27560(as_dpv)
    assert as_kantara["policyUrl"] == "http://school/v1/policy/versions/2026-11-01"
    assert (await school.http.get(as_kantara["policyUrl"])).status_code == 200
    assert as_kantara["piiPrincipalId"] == said["subject"]
    assert len(as_kantara["services"][0]["purposes"]) == 6
    claims = claims_of((await school.get(path)).text)
    assert as_kantara["consentReceiptID"] == as_dpv["dct:identifier"][0] == claims["jti"]


async def test_the_language_is_the_one_asked_for_else_the_one_preferred(school: School) -> None:
    path = await receipt_of(school, "person:1", ("billing", "grant"))
    for query, headers, language in (
        ("", {}, "en"),
        ("", {"Accept-Language": "ja"}, "ja"),
        ("?language=en", {"Accept-Language": "ja"}, "en"),
        ("?language=ja", {"Accept-Language": "en"}, "ja"),
    ):
        page = await page_of(school, path + query, **headers)
        assert f'<html lang="{language}">' in page
        wording = {"ja": "商品代金・サービス料金の決済・請求のため", "en": "For settlement/billing of product fee"}[
            language
        ]
        assert wording in page
        mark = "&" if query else "?"
        as_kantara = (await school.send("GET", f"{path}{query}{mark}format=kantara", **headers)).json()
        assert as_kantara["language"] == language
        assert wording in as_kantara["services"][0]["purposes"][0]["purpose"]
    assert (await school.get(f"{path}?language=fr")).json()["code"] == "validation_failed"
    assert (await school.get(f"{path}?format=pdf")).json()["code"] == "validation_failed"


async def test_the_page_says_what_was_agreed_when_by_whom_and_how_to_take_it_back(school: School) -> None:
    said = await school.said(
        "person:1", (EMAIL, "grant"), made_at="2026-11-20T10:00:00+09:00", expires_at="2027-03-31T15:00:00Z"
    )
    page = await page_of(school, said["receipts"][0])
    for told in (
        "Information on products, services, and campaigns of our company, by email",
        "Yes, I agree",
        said["subject"],
        "2026-11-20 10:00:00 (Asia/Tokyo)",
        "2026-11-23 11:10:00 (Asia/Tokyo)",
        "2027-04-01 00:00:00 (Asia/Tokyo)",
        "taken back at any time: write to contact@injoyinternational.com",
        f"receipt&#39;s number, {said['entries'][0]['index']}",
        "2026-11-01",
        "Mipick Inc.",
    ):
        assert told in page, told
    withdrawn = await page_of(school, await receipt_of(school, "person:1", (EMAIL, "withdraw")))
    assert "I take back my consent" in withdrawn


async def test_the_page_warns_of_a_yes_that_does_not_count(school: School) -> None:
    await school.said("person:1", (EMAIL, "withdraw"))
    late = {"made_at": "2026-11-01T00:00:00Z"}
    nothing = await page_of(school, await receipt_of(school, "person:1", (EMAIL, "grant"), **late))
    assert "a newer no stands: it changes nothing." in nothing
    partly = await page_of(school, await receipt_of(school, "person:1", ("marketing", "grant"), **late))
    assert partly.count("(not in force)") == 1
    assert "where it is marked, it changes nothing" in partly
    assert "newer no" not in await page_of(school, await receipt_of(school, "person:1", ("billing", "grant")))


async def test_the_page_allows_its_own_style_and_nothing_else(school: School) -> None:
    path = await receipt_of(school, "person:1", ("billing", "grant"))
    page = await school.get(f"{path}?format=html")
    (policy,) = page.headers.get_list("content-security-policy")
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert page.headers["referrer-policy"] == "no-referrer"
    assert (page.headers["cache-control"], page.headers["content-language"]) == ("no-store", "en")
    (other,) = (await school.get(path)).headers.get_list("content-security-policy")
    assert other == "default-src 'none'; frame-ancestors 'none'"


async def test_a_wording_is_shown_as_it_is_and_never_run(settings: Settings, clock: Clock) -> None:
    evil = "<script>alert(1)</script>&\"'"
    document = json.loads(json.dumps(to_document(shipped())))
    document.pop("source")
    document["purposes"][0]["wording"] |= {"en": evil, "ja": evil}
    document["controller"]["name"] = document["contact"] = evil
    await publish(settings, clock, from_document(document, name="evil"))
    async with open_school(settings, clock) as school:
        path = await receipt_of(school, "person:1", ("service_provision", "grant"))
        for language in ("en", "ja"):
            page = await page_of(school, f"{path}?language={language}")
            assert "<script" not in page
            assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;&#34;&#39;" in page
        assert claims_of((await school.get(path)).text)["wording"]["en"] == evil
        assert (await form(school, path, "kantara"))["services"][0]["purposes"][0]["purpose"] == evil


async def test_a_receipt_names_nobody_but_by_pseudonym(school: School) -> None:
    mother = await school.enrol("crm:mother@example.jp")
    by = {"role": "guardian", "subject": "crm:mother@example.jp", "staff": "T. Sato"}
    more = {"by": by, "method": "paper", "evidence": {"form": "binder 3"}}
    path = await receipt_of(school, "sis:S-1001", ("billing", "refuse"), **more)
    for name in FORMS:
        text = (await school.get(f"{path}?format={name}")).text
        text = json.dumps(claims_of(text), ensure_ascii=False) if name == "jws" else text
        assert not re.search("mother@|S-1001|Sato|binder", text), name
        assert (mother in text) is (name != "kantara"), name


async def test_only_statements_have_receipts(school: School) -> None:
    said = await school.said("person:1", ("billing", "grant"))
    for index in (0, said["as_of"], said["as_of"] + 1000, -1, 2**63, 2**70, 10**30):
        missing = await school.get(f"/v1/receipts/{index}")
        assert (missing.status_code, missing.json()["code"]) == (404, "receipt_not_found"), index
    for index in ("x", "1.5", "%00", ""):
        assert (await school.get(f"/v1/receipts/{index}")).status_code in {404, 422}, index


async def test_the_example_in_the_docs_is_the_receipt_of_the_example_person(settings: Settings, clock: Clock) -> None:
    async with running(settings, clock=clock, with_examples=True):
        pass
    async with open_school(settings, clock) as school:
        claims = claims_of((await school.get(f"/v1/receipts/{RECEIPT}")).text)
        assert claims["sub"] == SUBJECT


async def test_a_client_gets_the_receipts_of_its_people_and_its_purposes_only(school: School) -> None:
    await school.enrol("sis:1", birth_date="2000-01-01")
    path = await receipt_of(school, "sis:1", (EMAIL, "grant"))
    reads = Scope.CONSENTS_READ
    crm = await school.key_for("crm", reads, namespaces=["crm"])
    sis = await school.key_for("sis", reads, namespaces=["sis"])
    biller = await school.key_for("biller", reads, purposes=["billing"])
    mailer = await school.key_for("mailer", reads, purposes=["marketing"])
    for key, status in ((crm, 404), (biller, 404), (sis, 200), (mailer, 200)):
        for name in FORMS:
            assert (await school.get(f"{path}?format={name}", key=key)).status_code == status
    writer = await school.key_for("writer", *(set(Scope) - {reads}))
    assert (await school.get(path, key=writer)).json()["code"] == "scope_missing"


async def test_a_branch_is_for_those_who_may_ask_for_all_of_it(school: School) -> None:
    path = await receipt_of(school, "person:1", ("marketing", "grant"))
    mailer = await school.key_for("mailer", Scope.CONSENTS_READ, purposes=[EMAIL])
    assert (await school.get(path, key=mailer)).json()["code"] == "receipt_not_found"


async def test_the_erased_have_no_receipts_any_more(school: School) -> None:
    said = await school.said("person:1", ("billing", "grant"))
    path = said["receipts"][0]
    sis = await school.key_for("sis", Scope.CONSENTS_READ, namespaces=["sis"])
    await tamper(school.service.database, subject_key.delete().where(subject_key.c.subject == said["subject"]))
    for name in FORMS:
        gone = await school.get(f"{path}?format={name}")
        assert (gone.status_code, gone.json()["code"]) == (410, "subject_erased")
    assert (await school.get(path, key=sis)).status_code == 404


async def test_a_person_whose_row_was_tampered_with_is_seen_by_those_who_see_everybody_only(school: School) -> None:
    await school.enrol("sis:1", birth_date="2000-01-01")
    said = await school.said("sis:1", ("billing", "grant"))
    crm = await school.key_for("crm", Scope.CONSENTS_READ, namespaces=["crm"])
    sis = await school.key_for("sis", Scope.CONSENTS_READ, namespaces=["sis"])
    forged = '{"kind":"student","leaves":{},"membership":["active",null],"namespaces":{"crm":1,"sis":1}}'
    rows = update(subject_state).where(subject_state.c.subject == said["subject"])
    await tamper(school.service.database, rows.values(document=forged))
    for key, status in ((crm, 404), (sis, 404), (None, 200)):
        assert (await school.get(said["receipts"][0], key=key)).status_code == status


async def test_what_was_tampered_with_is_never_signed(school: School) -> None:
    path = await receipt_of(school, "person:1", ("billing", "refuse"))
    index = int(path.rpartition("/")[2])
    (entry,) = await read_alone(school.service.database, partial(ledger.entries_at, indexes=[index]))
    forged = entry.body_bytes.replace(b'"refuse"', b'"grant"')
    await lift_triggers(school.service.database)
    await tamper(school.service.database, update(ledger_entry).where(ledger_entry.c.index == index).values(body=forged))
    refused = await school.get(path)
    assert (refused.status_code, refused.json()["code"]) == (503, "ledger_damaged")


async def test_a_strange_host_does_no_harm(school: School) -> None:
    path = await receipt_of(school, "person:1", ("billing", "grant"))
    for host in ('evil"<script>', "[", "x:y:z", "a b"):
        response = await school.send("GET", f"{path}?format=kantara", Host=host)
        assert response.status_code in {200, 400}, host
