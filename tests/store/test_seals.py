"""Golden bytes: what a row's seal is over may never change while rows hold seals."""

from datetime import UTC, datetime

from consent_service.store import seals

AT = datetime(2026, 11, 23, 2, 10, 11, 512000, tzinfo=UTC)


def test_what_a_state_is_sealed_over() -> None:
    assert seals.state_message("sub_1", 7, '{"a":"é"}') == 'state\0sub_1\x007\0{"a":"é"}'.encode()


def test_what_an_identifier_is_sealed_over() -> None:
    assert seals.identifier_message("x_-", "sis", "sub_1", 3) == b"identifier\0x_-\0sis\0sub_1\x003"


def test_what_a_client_is_sealed_over() -> None:
    row = {
        "id": "cli_1",
        "name": "mailer",
        "key_hash": "h",
        "scopes": '["check"]',
        "purposes": "[]",
        "namespaces": "[]",
        "created_at": AT,
        "expires_at": None,
        "revoked_at": None,
        "index": 4,
    }
    expected = b'client\0cli_1\0mailer\0h\0["check"]\0[]\0[]\x002026-11-23T02:10:11.512Z\0\0\x004'
    assert seals.client_message(row) == expected


def test_what_a_policy_version_is_sealed_over() -> None:
    row = {"version": "2026-11-01", "effective_at": AT, "published_at": AT, "index": 1, "document": "{}"}
    at = b"2026-11-23T02:10:11.512Z"
    assert seals.policy_message(row) == b"policy\x002026-11-01\0" + at + b"\0" + at + b"\x001\0{}"
