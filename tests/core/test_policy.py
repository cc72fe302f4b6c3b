import hashlib
import re
from importlib import resources

import pytest

from consent_service import policies
from consent_service.core.errors import MOST_FAULTS
from consent_service.core.policy import SubjectKind
from consent_service.core.policy_file import from_document, parse, to_document
from consent_service.core.policy_yaml import PolicyFileError

FOLDER = resources.files(policies)
SOURCE = (FOLDER / policies.SOURCE).read_bytes()
TEXT = (FOLDER / policies.SHIPPED).read_text(encoding="utf-8")
POLICY = policies.shipped()

CODES = [
    "service_provision", "billing", "identity_confirmation", "inquiry_response", "after_sales_service", "marketing",
    "important_notices", "surveys", "advertising", "product_improvement", "misuse_prevention", "credit_checks",
    "transaction_affairs", "necessary_contact", "concomitant_use", "terms_of_use",
]  # fmt: skip


def test_the_sixteen_wordings_are_the_source_texts_character_for_character() -> None:
    text = SOURCE.decode()
    listed = text.partition("for the following purposes.")[2].partition("Appropriate Disclosure of Personal")[0]
    bullets = [part.strip() for part in listed.partition("· ")[2].split(" · ")]
    assert [purpose.wording.text.en for purpose in POLICY.purposes] == bullets
    assert len(bullets) == 16


def test_the_source_text_has_the_sha_256_that_the_file_says() -> None:
    assert POLICY.source
    assert hashlib.sha256(SOURCE).hexdigest() == POLICY.source.sha256


def test_the_purposes_come_in_the_policys_order() -> None:
    assert [purpose.code for purpose in POLICY.purposes] == CODES
    leaves = {purpose.code: len(purpose.leaves) for purpose in POLICY.purposes}
    branches = {"marketing": 6, "surveys": 3, "credit_checks": 2, "concomitant_use": 0, "terms_of_use": 0}
    assert leaves == dict.fromkeys(CODES, 1) | branches


def test_the_disclosure_grounds_stand_in_the_source_text() -> None:
    assert [ground.code for ground in POLICY.disclosure_grounds] == [
        "consent", "outsourcing", "official_inquiry", "law", "life_body_property", "public_health_children",
        "government_cooperation",
    ]  # fmt: skip
    assert all(ground.wording.en in SOURCE.decode() for ground in POLICY.disclosure_grounds)


def test_every_purpose_has_japanese_and_every_ordinary_one_an_iri() -> None:
    for purpose in POLICY.walk():
        assert re.search(r"[ぁ-んァ-ヶ一-龠]", purpose.wording.text.ja)
        assert purpose.dpv or purpose.concomitant or purpose.open


def test_a_policy_as_a_document_and_back_is_the_same() -> None:
    assert from_document(to_document(POLICY), name="again") == POLICY


def test_the_nearest_codes_are_told() -> None:
    assert POLICY.nearest("biling") == ("billing",)
    assert POLICY.nearest("email") == ("marketing.own_company.email", "marketing.other_companies.email")
    assert POLICY.nearest("zzzzzz") == ()


def test_a_misspelled_code_is_looked_up_once_however_often_it_is_asked_for() -> None:
    assert POLICY.nearest("marketing.email") is POLICY.nearest("marketing.email")


def test_an_unlisted_namespace_is_a_student() -> None:
    assert POLICY.kind_of("elsewhere") is SubjectKind.STUDENT
    assert POLICY.kind_of("billing") is SubjectKind.CUSTOMER


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("contact:", "contract:", "`contact` is missing"),
        ("law: {", "surprise: 1\nlaw: {", "`surprise` is not a key"),
        ("law: {", "policy: twice\nlaw: {", "`policy` stands here twice"),
        ("- code: billing", "- code: service_provision", "stands here twice"),
        ("- code: post", "- code: email", "stands here twice"),
        ("- code: billing", "- code: Billing", "`code`"),
        ("effective_from: 2026-11-01", "effective_from: 2026-13-01", "is not a date"),
        ("effective_from: 2026-11-01", "effective_from: 20261101", "write it as text"),
        ("effective_from: 2026-11-01", "effective_from: '0'", "write it as text"),
        ("basis: consent", "basis: hope", "`basis`"),
        ("number: 1", "number: one", "`number`"),
        ("number: 1", "number: 0", "`number`"),
        ("survives_membership: false", "survives_membership: maybe", "`survives_membership`"),
        ("concomitant: true", "concomitant: true\n    basis: consent", "only a leaf has"),
        ("open: true", "open: true\n    concomitant: true", "only one of them"),
        ("sis: student", "sis: pupil", "`sis`"),
        ("minor_rules:", "minor_rules:\n  - {from: 2027-01-01, under_age: 18}", "earliest first"),
        ("number: 1", "number: 1\n      counts_from: 2", "`counts_from`"),
        ("quiet_period_days: 365", "quiet_period_days: -1", "`quiet_period_days`"),
        ("law: {", "effective_at: 2026-11-01T09:00:00\nlaw: {", "`effective_at`"),
        ("- code: post", f"- code: {'p' * 200}", "200 characters"),
        ("To confirm the identity", "To confirm an identity", "character for character"),
        ("Cases of obtaining", "A case of obtaining", "character for character"),
        ("sha256: 1", "sha256: 0", "not the SHA-256"),
        ("title: {en:", "title: {{en:", "YAML"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_with_its_name_a_line_and_a_sentence(old: str, new: str, told: str) -> None:
    if old == "sha256: 1" and POLICY.source:
        old, new = POLICY.source.sha256, "a" * 64
    assert old in TEXT
    wrong = TEXT.replace(old, new, 1)
    with pytest.raises(PolicyFileError) as refused:
        parse(wrong, name="wrong.yaml", source_text=SOURCE)
    for one, line in zip(refused.value.wrong, str(refused.value).splitlines(), strict=True):
        assert one.line
        assert line == f"wrong.yaml:{one.line}: {one.sentence}"
    assert told in str(refused.value)


def test_the_line_is_the_lines_where_it_is_wrong() -> None:
    line = next(n for n, text in enumerate(TEXT.splitlines(), 1) if text.strip() == "basis: consent")
    with pytest.raises(PolicyFileError) as refused:
        parse(TEXT.replace("basis: consent", "basis: hope", 1), name="wrong.yaml")
    assert [one.line for one in refused.value.wrong] == [line]


def test_each_wrong_place_is_told_in_the_order_of_the_file() -> None:
    with pytest.raises(PolicyFileError) as refused:
        parse(TEXT.replace("basis: consent", "basis: hope", 2).replace("number: 1", "number: 0", 1), name="wrong.yaml")
    told = [one.sentence.split(":")[0] for one in refused.value.wrong]
    assert told == ["`number`", "`basis`", "`basis`"]
    assert [one.line for one in refused.value.wrong] == sorted(one.line or 0 for one in refused.value.wrong)


def test_of_very_many_wrong_places_the_first_are_told() -> None:
    wrong = TEXT + "".join(f"wrong{i}: 1\n" for i in range(1000))
    with pytest.raises(PolicyFileError) as refused:
        parse(wrong, name="wrong.yaml")
    assert len(refused.value.wrong) == MOST_FAULTS + 1
    assert str(refused.value).endswith(f"wrong.yaml: more is wrong than these {MOST_FAULTS}")


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(PolicyFileError, match="empty"):
        parse("", name="wrong.yaml")
