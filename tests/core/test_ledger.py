"""Golden bytes: what is hashed and proved may never change for entries that exist."""

import hashlib
import hmac
from datetime import UTC, date, datetime

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from consent_service.core import ledger
from consent_service.core.clients import Scope, is_well_formed, key_from
from consent_service.core.consent import Action, Method, NotApplied, Role, Standing
from consent_service.core.guardianship import GuardianshipChange
from consent_service.core.people import Membership, MembershipStatus
from consent_service.core.policy import SubjectKind
from consent_service.core.projection import Fold, SubjectState, applied, from_document, to_document
from consent_service.core.standings import Leaves

AT = datetime(2026, 11, 23, 2, 10, 11, 512000, tzinfo=UTC)
SUB = "sub_00000000000000000000001001"

STATEMENT = ledger.StatementMade(
    at=AT,
    recorded_by="cli_1",
    commitment="ab" * 32,
    subject=SUB,
    action=Action.GRANT,
    purpose="credit_checks",
    leaves={"credit_checks.judgment": 1, "credit_checks.collection": 2},
    applied=["credit_checks.judgment"],
    not_applied_because=NotApplied.STANDING_NO_IS_NEWER,
    role=Role.STAFF,
    speaker=None,
    method=Method.PAPER,
    policy_version="2026-11-01",
    made_at=AT,
    expires_at=None,
)

STANDING = Standing(Action.WITHDRAW, 7, AT, None, 1, AT)

GOLDEN: list[tuple[ledger.Body, bytes]] = [
    (
        STATEMENT,
        b'{"action":"grant","applied":["credit_checks.judgment"],"at":"2026-11-23T02:10:11.512Z","commitment":"'
        + b"ab" * 32
        + b'","expires_at":null,"kind":"statement","leaves":{"credit_checks.collection":2,"credit_checks.judgment":1},'
        b'"made_at":"2026-11-23T02:10:11.512Z","method":"paper","not_applied_because":"standing_no_is_newer",'
        b'"policy_version":"2026-11-01","purpose":"credit_checks","recorded_by":"cli_1","role":"staff","speaker":null,'
        b'"subject":"sub_00000000000000000000001001"}',
    ),
    (
        ledger.SubjectRecorded(
            at=AT, recorded_by="operator", change="created", subject=SUB, subject_kind=SubjectKind.STUDENT
        ),
        b'{"at":"2026-11-23T02:10:11.512Z","change":"created","commitment":null,"kind":"subject","recorded_by":'
        b'"operator","subject":"sub_00000000000000000000001001","subject_kind":"student"}',
    ),
    (
        ledger.IdentifierChanged(at=AT, recorded_by="operator", change="added", subject=SUB, namespace="sis"),
        b'{"at":"2026-11-23T02:10:11.512Z","change":"added","commitment":null,"kind":"identifier","namespace":"sis",'
        b'"recorded_by":"operator","subject":"sub_00000000000000000000001001"}',
    ),
    (
        ledger.MembershipChanged(
            at=AT, recorded_by="operator", subject=SUB, status=MembershipStatus.ENDED, ended_on=date(2027, 3, 31)
        ),
        b'{"at":"2026-11-23T02:10:11.512Z","commitment":null,"ended_on":"2027-03-31","kind":"membership","recorded_by":'
        b'"operator","status":"ended","subject":"sub_00000000000000000000001001"}',
    ),
    (
        ledger.GuardianshipChanged(
            at=AT,
            recorded_by="operator",
            change=GuardianshipChange.CREATED,
            subject=SUB,
            guardianship="gua_00000000000000000000001001_1",
            guardian="sub_00000000000000000000001002",
            from_at=None,
            until_at=AT,
            verified=False,
        ),
        b'{"at":"2026-11-23T02:10:11.512Z","change":"created","commitment":null,"from_at":null,"guardian":'
        b'"sub_00000000000000000000001002","guardianship":"gua_00000000000000000000001001_1","kind":"guardianship",'
        b'"recorded_by":"operator","subject":"sub_00000000000000000000001001","until_at":"2026-11-23T02:10:11.512Z",'
        b'"verified":false}',
    ),
    (
        ledger.SubjectsMerged(
            at=AT,
            recorded_by="cli_1",
            subject=SUB,
            merged="sub_00000000000000000000001002",
            into=SUB,
            leaves={"billing": None, "surveys.analysis": ledger.Stands.of(STANDING)},
            voices={"surveys.analysis": {"": ledger.Stands.of(STANDING)}},
        ),
        b'{"at":"2026-11-23T02:10:11.512Z","commitment":null,"into":"sub_00000000000000000000001001","kind":"merge",'
        b'"leaves":{"billing":null,"surveys.analysis":{"action":"withdraw","expires_at":null,"index":7,"last_no_at":'
        b'"2026-11-23T02:10:11.512Z","made_at":"2026-11-23T02:10:11.512Z","wording":1}},"merged":'
        b'"sub_00000000000000000000001002","recorded_by":"cli_1","subject":"sub_00000000000000000000001001","voices":'
        b'{"surveys.analysis":{"":{"action":"withdraw","expires_at":null,"index":7,"last_no_at":'
        b'"2026-11-23T02:10:11.512Z","made_at":"2026-11-23T02:10:11.512Z","wording":1}}}}',
    ),
    (
        ledger.ClientChanged(
            at=AT,
            recorded_by="operator",
            change="created",
            client="cli_1",
            name="mailer",
            key_hash="h",
            scopes=[Scope.CHECK],
            purposes=[],
            namespaces=["crm"],
            expires_at=None,
        ),
        b'{"at":"2026-11-23T02:10:11.512Z","change":"created","client":"cli_1","commitment":null,"expires_at":null,'
        b'"key_hash":"h","kind":"client","name":"mailer","namespaces":["crm"],"purposes":[],"recorded_by":"operator",'
        b'"scopes":["check"]}',
    ),
    (
        ledger.KeyChanged(
            at=AT,
            recorded_by="operator",
            change=ledger.KeyChange.PUBLISHED,
            use=ledger.KeyUse.RECEIPT,
            kid="kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
            public_key="11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        ),
        b'{"at":"2026-11-23T02:10:11.512Z","change":"published","commitment":null,"kid":'
        b'"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k","kind":"key","public_key":'
        b'"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","recorded_by":"operator","use":"receipt"}',
    ),
    (
        ledger.PolicyPublished(at=AT, recorded_by="operator", version="1", effective_at=AT, policy={"a": [1, True]}),
        b'{"at":"2026-11-23T02:10:11.512Z","commitment":null,"effective_at":"2026-11-23T02:10:11.512Z","kind":"policy",'
        b'"policy":{"a":[1,true]},"recorded_by":"operator","version":"1"}',
    ),
    (
        ledger.PolicyPublished(
            at=AT,
            recorded_by="cli_1",
            version="2",
            effective_at=AT,
            policy={},
            material=["billing"],
            editorial=[],
            lapses=7,
        ),
        b'{"at":"2026-11-23T02:10:11.512Z","commitment":null,"editorial":[],"effective_at":"2026-11-23T02:10:11.512Z",'
        b'"kind":"policy","lapses":7,"material":["billing"],"policy":{},"recorded_by":"cli_1","version":"2"}',
    ),
]


@pytest.mark.parametrize(("body", "stored"), GOLDEN, ids=[body.kind for body, _ in GOLDEN])
def test_each_kind_of_entry_has_its_bytes(body: ledger.Body, stored: bytes) -> None:
    assert ledger.to_bytes(body) == stored
    assert ledger.from_bytes(stored) == body


def test_bytes_that_are_no_entry_are_refused() -> None:
    for stored in (b"{}", b'{"kind":"surprise"}', GOLDEN[0][1].replace(b'"role"', b'"rule"')):
        with pytest.raises(ValidationError):
            ledger.from_bytes(stored)


def test_a_commitment_is_an_hmac_over_canonical_json() -> None:
    salt = bytes(range(32))
    expected = hmac.new(salt, '{"evidence":"é","staff":"T. Sato"}'.encode(), hashlib.sha256).hexdigest()
    assert ledger.commitment(salt, ledger.detail_bytes({"staff": "T. Sato", "evidence": "é"})) == expected


def test_a_key_has_a_prefix_and_a_checksum() -> None:
    key = key_from("A" * 43)
    assert key == "csk_" + "A" * 43 + "0c2b5986"
    assert is_well_formed(key)
    assert not any(is_well_formed(key[:i] + "x" + key[i + 1 :]) for i in range(len(key)))
    assert not is_well_formed(key + "0")
    assert not is_well_formed("")


def test_a_subjects_state_has_its_bytes() -> None:
    state = SubjectState(
        SUB,
        SubjectKind.STUDENT,
        Membership(MembershipStatus.ENDED, date(2027, 3, 31)),
        {"sis": 1},
        Leaves().changed({"billing": STANDING}),
        last_index=7,
    )
    document = (
        '{"kind":"student","leaves":{"billing":[2,7,1795399811512,null,1,1795399811512]},'
        '"membership":["ended","2027-03-31"],"namespaces":{"sis":1}}'
    )
    assert to_document(state) == document
    assert from_document(SUB, 7, document) == state


def test_the_state_of_who_was_merged_begins_with_whom_it_leads_to() -> None:
    state = SubjectState(SUB, SubjectKind.STUDENT, last_index=7, into="sub_00000000000000000000001002")
    document = (
        '{"into":"sub_00000000000000000000001002","kind":"student","leaves":{},"membership":["active",null],'
        '"namespaces":{}}'
    )
    assert to_document(state) == document
    assert from_document(SUB, 7, document) == state


def test_no_entry_follows_about_who_was_merged() -> None:
    state = SubjectState(SUB, SubjectKind.STUDENT, last_index=7, into="sub_00000000000000000000001002")
    with pytest.raises(ValueError, match="merged into another"):
        applied(state, 8, STATEMENT)
    fold = Fold()
    fold.add(6, {"kind": "subject", "subject_kind": "student"})
    fold.add(7, {"kind": "merge", "subject": SUB, "merged": SUB, "into": "sub_00000000000000000000001002"})
    assert fold.document() == to_document(state)
    with pytest.raises(ValueError, match="merged into another"):
        fold.add(8, {"kind": "subject", "subject_kind": "student"})


@given(st.text(), st.text(), st.dictionaries(st.from_regex(r"[a-z0-9_.]{1,20}", fullmatch=True), st.integers(0, 99)))
def test_a_statements_bytes_are_canonical_whatever_it_says(purpose: str, version: str, leaves: dict[str, int]) -> None:
    told = {"purpose": purpose, "policy_version": version, "leaves": leaves, "applied": sorted(leaves)}
    body = STATEMENT.model_copy(update=told)
    assert ledger.to_bytes(body) == rfc8785.dumps(body.model_dump(mode="json"))


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
DETAILS = st.dictionaries(TEXTS, TEXTS | st.dictionaries(TEXTS, TEXTS, max_size=3), max_size=4)


@given(DETAILS)
def test_a_detail_is_canonical_whatever_it_says(detail: ledger.JsonObject) -> None:
    assert ledger.detail_bytes(detail) == rfc8785.dumps(detail)


_STANDING = st.builds(
    Standing,
    st.sampled_from(Action),
    st.integers(0, 10**9),
    st.just(AT),
    st.none() | st.just(AT),
    st.integers(1, 99),
    st.none() | st.just(AT),
)
_LEAF = st.sampled_from(["a", "a.b", "a.b.c", "b", "ab", "b.a"])  # each a part of another's name


@given(st.lists(st.dictionaries(_LEAF, _STANDING, max_size=3), max_size=6))
def test_leaves_that_change_one_after_another_have_the_bytes_of_all_at_once(
    changes: list[dict[str, Standing]],
) -> None:
    leaves, all_at_once = Leaves(), dict[str, Standing]()
    for change in changes:
        leaves = leaves.changed(change)
        all_at_once |= change
    assert leaves.text == Leaves().changed(all_at_once).text
    assert dict(leaves) == all_at_once
