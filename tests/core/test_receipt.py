"""Receipts: the claims' golden bytes, the id, the texts, and the forms of others, without a service."""

import base64
import json
import uuid
from datetime import UTC, datetime

import pytest
from joserfc import jws
from joserfc.errors import BadSignatureError
from joserfc.jwk import OKPKey

from consent_service.core import ledger, merkle, receipt_forms
from consent_service.core.consent import Action, Method, NotApplied, Role
from consent_service.core.receipt import Receipt, signed
from consent_service.core.signing import SigningKey, encoded
from consent_service.policies import shipped
from tests.receipts import assert_27560, assert_kantara

AT = datetime(2026, 11, 23, 2, 10, 11, 512000, tzinfo=UTC)
SUB = "sub_00000000000000000000001001"
KEY = SigningKey(bytes(range(32)))
POLICY_URL = "http://school/v1/policy/versions/2026-11-01"

SAID = ledger.StatementMade(
    at=AT,
    recorded_by="cli_1",
    commitment=None,
    subject=SUB,
    action=Action.GRANT,
    purpose="credit_checks",
    leaves={"credit_checks.judgment": 1, "credit_checks.collection": 1},
    applied=["credit_checks.judgment", "credit_checks.collection"],
    not_applied_because=None,
    role=Role.SUBJECT,
    speaker=None,
    method=Method.PAPER,
    policy_version="2026-11-01",
    made_at=AT,
    expires_at=None,
)


def receipt(**changed: object) -> Receipt:
    """A receipt of the entry 1 in a ledger of 2."""
    said = SAID.model_copy(update=changed)
    entry = ledger.to_bytes(said)
    leaf = merkle.leaf_hash(entry)
    note = "school/ledger\n2\nAAAA\n\n\u2014 school/ledger BBBB\n"
    return Receipt(1, entry, leaf, said, shipped(), 0, 2, (bytes(32),), note, AT)


def test_the_claims_have_their_bytes() -> None:
    token = signed(receipt(), KEY)
    header, payload, _ = token.split(".")
    assert base64.urlsafe_b64decode(header + "==") == (
        b'{"alg":"Ed25519","kid":"%s","typ":"consent-receipt+jwt"}' % KEY.kid.encode()
    )
    assert base64.urlsafe_b64decode(payload + "==").decode() == (
        '{"checkpoint":"school/ledger\\n2\\nAAAA\\n\\n— school/ledger BBBB\\n",'
        '"entry":"{\\"action\\":\\"grant\\",\\"applied\\":[\\"credit_checks.judgment\\",\\"credit_checks.collection\\"],'
        '\\"at\\":\\"2026-11-23T02:10:11.512Z\\",\\"commitment\\":null,\\"expires_at\\":null,\\"kind\\":\\"statement\\",'
        '\\"leaves\\":{\\"credit_checks.collection\\":1,\\"credit_checks.judgment\\":1},'
        '\\"made_at\\":\\"2026-11-23T02:10:11.512Z\\",\\"method\\":\\"paper\\",\\"not_applied_because\\":null,'
        '\\"policy_version\\":\\"2026-11-01\\",\\"purpose\\":\\"credit_checks\\",\\"recorded_by\\":\\"cli_1\\",'
        '\\"role\\":\\"subject\\",\\"speaker\\":null,\\"subject\\":\\"sub_00000000000000000000001001\\"}",'
        '"iat":1795399811,'
        '"inclusion_proof":{"hashes":["0000000000000000000000000000000000000000000000000000000000000000"],"index":1,'
        '"leaf_hash":"68c4c9ba18da17859378c1b22dba82e8b7b9c7a20a546a6cd7f5190451b30589","size":2},'
        '"index":1,"iss":"school/ledger","jti":"ab2d4782-4377-8342-9d12-b4acff599abc",'
        '"leaf_hash":"68c4c9ba18da17859378c1b22dba82e8b7b9c7a20a546a6cd7f5190451b30589",'
        '"leaves":[{"en":"Customers’ credit judgment","ja":"お客様の与信判断","purpose":"credit_checks.judgment",'
        '"wording":1},{"en":"Collection of receivables","ja":"債権の回収","purpose":"credit_checks.collection",'
        '"wording":1}],'
        '"policy":{"contact":"contact@injoyinternational.com","controller":"Mipick Inc.",'
        '"division":"Compliance Division","index":0,'
        '"law":{"en":"Act on the Protection of Personal Information","ja":"個人情報の保護に関する法律"},'
        '"policy":"injoy","school":"inJoy International School",'
        '"title":{"en":"PRIVACY POLICY","ja":"プライバシーポリシー"},"version":"2026-11-01"},'
        '"sub":"sub_00000000000000000000001001",'
        '"withdrawal":{"en":"A yes can be taken back at any time: write to contact@injoyinternational.com (Mipick '
        "Inc., Compliance Division) and name this receipt's number, 1. It ends as soon as that is recorded.\","
        '"ja":"同意はいつでも撤回できます。この受領書の番号（1）を添えて、contact@injoyinternational.com（Mipick Inc. '
        'Compliance Division）までご連絡ください。撤回は記録された時点で効力を生じます。"},'
        '"wording":{"en":"For customers’ credit judgment or collection of receivables",'
        '"ja":"お客様の与信判断または債権回収のため"}}'
    )


def test_the_signature_is_ed25519_by_the_key_that_the_header_names() -> None:
    token = signed(receipt(), KEY)
    for key, good in ((KEY, True), (SigningKey(bytes(32)), False)):
        public = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": encoded(key.public_key)})
        assert public.thumbprint() == key.kid
        if good:
            assert jws.deserialize_compact(token, public, algorithms=["Ed25519"]).payload
        else:
            with pytest.raises(BadSignatureError):
                jws.deserialize_compact(token, public, algorithms=["Ed25519"])


def test_a_receipts_id_is_a_uuid_of_its_own_and_always_the_same() -> None:
    assert receipt().id == "ab2d4782-4377-8342-9d12-b4acff599abc"
    assert receipt(method=Method.PHONE).id != receipt().id
    assert uuid.UUID(receipt().id).variant == uuid.RFC_4122


def test_a_no_tells_how_it_is_lifted_and_a_yes_how_it_is_taken_back() -> None:
    assert "taken back" in receipt().withdrawal.en
    for action in (Action.REFUSE, Action.WITHDRAW):
        assert "until it is lifted" in receipt(action=action).withdrawal.en
        assert "取り消される" in receipt(action=action).withdrawal.ja


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize(
    ("changed", "consent_type", "status"),
    [
        ({}, "EXPLICIT", "dpv:ConsentGiven"),
        ({"action": Action.REFUSE}, "REFUSED", "dpv:ConsentRefused"),
        ({"action": Action.WITHDRAW}, "WITHDRAWN", "dpv:ConsentWithdrawn"),
        (
            {"applied": [], "not_applied_because": NotApplied.STANDING_NO_IS_NEWER},
            "NOT APPLIED",
            "dpv:ConsentInvalidated",
        ),
    ],
)
def test_the_forms_hold_what_the_standards_demand_whatever_was_said(
    language: str, changed: dict[str, object], consent_type: str, status: str
) -> None:
    made = receipt(**changed)
    as_kantara = receipt_forms.kantara(made, language, policy_url=POLICY_URL)
    assert_kantara(as_kantara)
    as_dpv = receipt_forms.dpv(made, policy_url=POLICY_URL)
    assert_27560(as_dpv)
    assert f'"consentType": "{consent_type}"' in json.dumps(as_kantara)
    assert f'"@id": "{status}"' in json.dumps(as_dpv)


def test_of_a_yes_that_holds_in_part_each_leaf_tells_its_own() -> None:
    made = receipt(applied=["credit_checks.judgment"], not_applied_because=NotApplied.STANDING_NO_IS_NEWER)
    told = json.dumps(receipt_forms.kantara(made, "en", policy_url=POLICY_URL))
    assert told.index("EXPLICIT") < told.index("NOT APPLIED")


def test_an_expiry_is_told_and_a_day_before_1970_does_no_harm() -> None:
    early = datetime(1900, 1, 1, tzinfo=UTC)
    made = receipt(made_at=early, expires_at=AT)
    as_kantara = receipt_forms.kantara(made, "en", policy_url=POLICY_URL)
    assert_kantara(as_kantara)
    assert '"termination": "2026-11-23T02:10:11.512Z"' in json.dumps(as_kantara)
    assert "1900-01-01T00:00:00.000Z/2026-11-23T02:10:11.512Z" in json.dumps(
        receipt_forms.dpv(made, policy_url=POLICY_URL)
    )


def test_a_guardian_is_named_by_the_pseudonym() -> None:
    guardian = "sub_00000000000000000000002002"
    made = receipt(role=Role.GUARDIAN, speaker=guardian)
    assert guardian in json.dumps(receipt_forms.dpv(made, policy_url=POLICY_URL))
