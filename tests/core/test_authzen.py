import pytest

from consent_service.core.authzen import Entity, Semantic, Vocabulary, from_token, merged, to_token
from consent_service.core.people import Identifier, Pseudonym

WORDS = Vocabulary(("client",), ("person", "pupil"), "person")


@pytest.mark.parametrize(
    ("semantic", "decisions", "answered"),
    [
        ("execute_all", [False, True, False], 3),
        ("deny_on_first_deny", [True, False, True], 2),
        ("deny_on_first_deny", [True, True], 2),
        ("permit_on_first_permit", [False, True, True], 2),
        ("permit_on_first_permit", [False, False], 2),
        ("permit_on_first_permit", [], 0),
    ],
)
def test_a_batch_ends_where_its_semantic_says(semantic: str, decisions: list[bool], answered: int) -> None:
    assert Semantic(semantic).answered(decisions) == answered


def test_an_item_takes_the_place_of_the_default_as_a_whole() -> None:
    defaults = {"resource": {"type": "person", "id": "1", "properties": {"a": 1}}, "action": {"name": "read"}}
    item = {"resource": {"type": "person", "id": "2"}}
    assert merged(defaults, item) == {"action": {"name": "read"}, "resource": {"type": "person", "id": "2"}}


def test_what_an_item_must_have_and_leaves_out_comes_from_the_default() -> None:
    defaults = {"resource": {"type": "person", "properties": {"a": 1}}, "action": {"name": "read"}}
    item = {"resource": {"id": "2", "properties": {"b": 2}}, "action": {"properties": {"within": "billing"}}}
    assert merged(defaults, item) == {
        "resource": {"type": "person", "id": "2", "properties": {"b": 2}},
        "action": {"name": "read", "properties": {"within": "billing"}},
    }


def test_a_wrong_item_stays_wrong_whatever_the_defaults_say() -> None:
    assert merged({"subject": {"type": "client", "id": "a"}}, {"subject": "a"}) == {"subject": "a"}


def test_a_resource_names_a_person_of_a_known_type() -> None:
    assert WORDS.person(Entity("pupil", "1")) == Identifier("person", "1")
    assert WORDS.person(Entity("person", "crm:a@b")) == Identifier("crm", "a@b")
    assert WORDS.person(Entity("person", "sub_" + "0" * 26)) == Pseudonym("sub_" + "0" * 26)


@pytest.mark.parametrize(
    ("kind", "id"), [("spaceship", "1"), ("person", ""), ("person", "Bad NS:1"), ("person", "sub_1")]
)
def test_what_cannot_be_a_person_is_nobody(kind: str, id: str) -> None:  # noqa: A002
    assert WORDS.person(Entity(kind, id)) is None


@pytest.mark.parametrize("identifier", ["person:1", "crm:a@b", "person:a:b", "person:sub_x", "person:person:1"])
def test_an_id_in_an_answer_reads_back_as_the_same_identifier(identifier: str) -> None:
    read = WORDS.person(Entity("person", WORDS.id_of(identifier)))
    assert str(read) == identifier
    assert WORDS.id_of("person:1") == "1"


def test_a_token_leads_on_in_its_own_search_only() -> None:
    token = to_token("sub_1", "mark")
    assert from_token(token, "mark") == "sub_1"
    for wrong, mark in ((token, "another"), ("nonsense", "mark"), ("é", "mark"), ("%%%", "mark"), ("_w", "mark")):
        with pytest.raises(ValueError, match="token"):
            from_token(wrong, mark)
