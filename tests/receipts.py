"""What a receipt's forms must hold, by the standards' own words; how a receipt is taken apart and put together."""

import base64
import json
from collections.abc import Iterator
from typing import Any

from consent_service.core.receipt import ALGORITHM, TYPE
from consent_service.core.signing import SigningKey

Json = Any

DPV = "https://w3id.org/dpv/schema/dpv-27560#"


def claims_of(token: str) -> Json:
    """The claims of a JWS, unverified."""
    return json.loads(_decoded(token.split(".")[1]))


def header_of(token: str) -> Json:
    """The protected header of a JWS."""
    return json.loads(_decoded(token.split(".")[0]))


def signed_anew(claims: Json, key: SigningKey, **header: str) -> str:
    """A JWS over these claims, made by hand."""
    head = {"alg": ALGORITHM, "kid": key.kid, "typ": TYPE, **header}
    signing_input = ".".join(_encoded(json.dumps(part).encode()) for part in (head, claims))
    return f"{signing_input}.{_encoded(key.sign(signing_input.encode()))}"


def assert_kantara(receipt: Json) -> None:
    """What the JSON schema of Kantara Consent Receipt 1.1 demands."""
    for name in ("version", "jurisdiction", "collectionMethod", "consentReceiptID", "language", "policyUrl"):
        assert isinstance(receipt[name], str)
        assert receipt[name]
    assert receipt["piiPrincipalId"].startswith("sub_")
    assert isinstance(receipt["consentTimestamp"], int)
    assert receipt["consentTimestamp"] >= 0
    assert isinstance(receipt["sensitive"], bool)
    assert isinstance(receipt["spiCat"], list)
    for controller in receipt["piiControllers"]:
        assert all(isinstance(controller[name], str) for name in ("piiController", "contact", "email", "phone"))
        assert isinstance(controller["address"], dict)
    for service in receipt["services"]:
        assert isinstance(service["service"], str)
        assert service["purposes"]
        for purpose in service["purposes"]:
            assert all(isinstance(purpose[name], str) for name in ("purpose", "consentType", "termination"))
            for name in ("purposeCategory", "piiCategory"):
                assert purpose[name]
                assert all(isinstance(one, str) for one in purpose[name])
            assert purpose["thirdPartyDisclosure"] is False  # else a thirdPartyName is needed


def assert_27560(receipt: Json) -> None:
    """Every mandatory field of ISO/IEC TS 27560 by its term of DPV, and everything that may repeat in an array."""
    assert receipt["@type"] == ["dpv:ConsentReceipt"]
    assert receipt["dct:conformsTo"] == [{"@id": f"{DPV}receipt"}]  # schema version
    assert receipt["dct:identifier"]  # receipt id
    (record,) = receipt["dpv:hasRecordOfActivity"]
    assert record["dct:conformsTo"] == [{"@id": f"{DPV}record"}]
    assert record["dct:identifier"]  # record id
    (principal,) = record["dpv:hasDataSubject"]
    assert principal["dct:identifier"]  # pii principal id
    for term in ("dpv:hasNotice", "dct:language", "dpv:hasJurisdiction", "dpv:hasDataController"):
        assert record[term], term
    (withdrawal,) = record["dpv:hasConsentControl"]
    assert withdrawal["@type"] == ["dpv:WithdrawConsent"]
    assert {text["@language"] for text in withdrawal["dct:description"]} == {"en", "ja"}
    assert record["dpv:hasProcess"]
    for process in record["dpv:hasProcess"]:
        _assert_process(process)
    for party in record["dpv:hasDataController"]:
        assert party["@type"] == ["dpv:DataController"]  # party type
        for term in ("dct:identifier", "dpv:hasAddress", "dpv:hasName", "dpv:hasContact"):
            assert party[term], term
    assert [name for name, value in _members(receipt) if not isinstance(value, list)] == []


def _assert_process(process: Json) -> None:
    assert process["dpv:hasPurpose"]
    assert [data["@type"] for data in process["dpv:hasPersonalData"]]  # pii information, pii type
    assert process["dpv:hasRecipient"]
    location, duration = process["dpv:hasStorageCondition"]
    assert location["dpv:hasLocation"]
    assert duration["dpv:hasDuration"]
    (event,) = process["dpv:hasLegalBasis"]
    assert event["@type"] == ["dpv:ExpressedConsent"]  # event type
    for term in ("dct:date", "dct:valid", "dpv:isImplementedByEntity", "dpv:hasConsentStatus"):
        assert event[term], term


def _members(value: Json) -> Iterator[tuple[str, Json]]:
    """Each member with a prefixed name, wherever it is."""
    if isinstance(value, list):
        for one in value:
            yield from _members(one)
    elif isinstance(value, dict):
        yield from ((name, below) for name, below in value.items() if ":" in name)
        for name, below in value.items():
            if name != "@context":
                yield from _members(below)


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _encoded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
