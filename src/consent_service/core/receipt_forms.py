"""A receipt's facts in the words of others: Kantara Consent Receipt 1.1, and ISO/IEC TS 27560 in DPV 2.3 JSON-LD.

docs/conformance.md says, field by field, what is filled with what, and what the policy does not tell.
"""

from pydantic import JsonValue

from consent_service.core.consent import Action
from consent_service.core.instants import to_text
from consent_service.core.ledger import JsonObject
from consent_service.core.policy import Text
from consent_service.core.receipt import Receipt, Term

JURISDICTION = "JP"
"""ISO 3166: the policy follows Japan's Act on the Protection of Personal Information."""

_NOT_STATED = Text("not stated in the policy", "プライバシーポリシーに記載なし")
_PERSONAL_DATA = Text("personal information as the policy names it", "プライバシーポリシーに定める個人情報")
_UNTIL_WITHDRAWN = Text("until it is withdrawn or membership ends", "撤回または会員資格の終了まで")
_BEYOND_MEMBERSHIP = Text(
    "until it is withdrawn; to the extent necessary also after membership ends",
    "撤回まで。必要な範囲で会員資格の終了後も利用することがあります",
)
_UNTIL_LIFTED = Text("a no stands until it is lifted", "同意しない旨の意思表示は取り消されるまで有効")

_CONTEXT: JsonObject = {
    "dct": "http://purl.org/dc/terms/",
    "dpv": "https://w3id.org/dpv#",
    "loc": "https://w3id.org/dpv/loc#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
_CONTROLLER: JsonObject = {"@id": "_:controller"}
"""The controller, who is described once and else only named."""

_SCHEMA = "https://w3id.org/dpv/schema/dpv-27560#"
_STATUS = {
    Action.GRANT: "dpv:ConsentGiven",
    Action.REFUSE: "dpv:ConsentRefused",
    Action.WITHDRAW: "dpv:ConsentWithdrawn",
}
_CONSENT_TYPE = {Action.GRANT: "EXPLICIT", Action.REFUSE: "REFUSED", Action.WITHDRAW: "WITHDRAWN"}
_NOT_APPLIED = "NOT APPLIED"


def kantara(receipt: Receipt, language: str, *, policy_url: str) -> JsonObject:
    """The receipt as a Kantara Consent Receipt 1.1, its texts in one language."""
    controller = receipt.policy.controller
    return {
        "version": "KI-CR-v1.1.0",
        "jurisdiction": JURISDICTION,
        "consentTimestamp": max(0, int(receipt.said.made_at.timestamp())),
        "collectionMethod": receipt.said.method.value,
        "consentReceiptID": receipt.id,
        "language": language,
        "piiPrincipalId": receipt.said.subject,
        "piiControllers": [
            {
                "piiController": controller.name,
                "onBehalf": False,
                "contact": controller.division,
                "address": {"addressCountry": JURISDICTION, "streetAddress": _NOT_STATED.in_language(language)},
                "email": receipt.policy.contact,
                "phone": _NOT_STATED.in_language(language),
            }
        ],
        "policyUrl": policy_url,
        "services": [
            {
                "service": controller.school,
                "purposes": [_kantara_purpose(receipt, term, language) for term in receipt.terms],
            }
        ],
        "sensitive": False,
        "spiCat": [],
    }


def _kantara_purpose(receipt: Receipt, term: Term, language: str) -> JsonObject:
    return {
        "purpose": term.wording.in_language(language),
        "purposeCategory": list(term.purpose.dpv or (term.code,)),
        "consentType": _CONSENT_TYPE[receipt.said.action] if term.applied else _NOT_APPLIED,
        "piiCategory": [_PERSONAL_DATA.in_language(language)],
        "termination": _termination(receipt, term).in_language(language),
        "thirdPartyDisclosure": False,
    }


def dpv(receipt: Receipt, *, policy_url: str) -> JsonObject:
    """The fields of ISO/IEC TS 27560 as JSON-LD in the Data Privacy Vocabulary 2.3, in both languages.

    Whatever may come more than once is an array.
    """
    return {
        "@context": _CONTEXT,
        "@id": f"urn:uuid:{receipt.id}",
        "@type": ["dpv:ConsentReceipt"],
        "dct:conformsTo": [{"@id": f"{_SCHEMA}receipt"}],
        "dct:identifier": [receipt.id],
        "dct:created": [_instant(to_text(receipt.issued_at))],
        "dct:publisher": [_CONTROLLER],
        "dpv:hasRecordOfActivity": [_record(receipt, policy_url)],
    }


def _record(receipt: Receipt, policy_url: str) -> JsonObject:
    return {
        "@type": ["dpv:ConsentRecord"],
        "dct:conformsTo": [{"@id": f"{_SCHEMA}record"}],
        "dct:identifier": [f"{receipt.origin}/{receipt.index}"],
        "dct:language": ["en", "ja"],
        "dpv:hasDataSubject": [_subject(receipt)],
        "dpv:hasDataController": [_controller(receipt)],
        "dpv:hasNotice": [
            {"@id": policy_url, "@type": ["dpv:PrivacyNotice"], "dct:title": _texts(receipt.policy.title)}
        ],
        "dpv:hasJurisdiction": [{"@id": f"loc:{JURISDICTION}"}],
        "dpv:hasApplicableLaw": [{"@type": ["dpv:Law"], "dct:title": _texts(receipt.policy.law)}],
        "dpv:hasConsentControl": [
            {
                "@type": ["dpv:WithdrawConsent"],
                "dct:description": _texts(receipt.withdrawal),
                "dpv:hasContact": [f"mailto:{receipt.policy.contact}"],
            }
        ],
        "dpv:hasProcess": [_process(receipt, term) for term in receipt.terms],
    }


def _process(receipt: Receipt, term: Term) -> JsonObject:
    return {
        "@type": ["dpv:Process"],
        "dct:identifier": [term.code],
        "dct:description": _texts(term.wording),
        "dpv:hasPurpose": _purposes(term),
        "dpv:hasPersonalData": [{"@type": ["dpv:PersonalData"], "dct:description": _texts(_PERSONAL_DATA)}],
        "dpv:hasRecipient": [_CONTROLLER],
        "dpv:hasStorageCondition": [
            {
                "@type": ["dpv:StorageLocation"],
                "dpv:hasLocation": [{"@type": ["dpv:Location"], "dct:description": _texts(_NOT_STATED)}],
            },
            {
                "@type": ["dpv:StorageDuration"],
                "dpv:hasDuration": [{"@type": ["dpv:IndeterminateDuration"], "dct:description": _texts(_NOT_STATED)}],
            },
        ],
        "dpv:hasLegalBasis": [_event(receipt, term)],
    }


def _event(receipt: Receipt, term: Term) -> JsonObject:
    """What was said of this leaf, when, by whom and for how long (27560's event section)."""
    said = receipt.said
    status = _STATUS[said.action] if term.applied else "dpv:ConsentInvalidated"
    until = to_text(said.expires_at) if said.expires_at else ".."
    return {
        "@type": ["dpv:ExpressedConsent"],
        "dpv:hasConsentStatus": [{"@id": status}],
        "dct:date": [_instant(to_text(said.made_at))],
        "dpv:isIndicatedAtTime": [_instant(to_text(said.made_at))],
        "dct:valid": [f"{to_text(said.made_at)}/{until}"],
        "dct:description": _texts(_termination(receipt, term)),
        "dpv:isIndicatedBy": [_speaker(receipt)],
        "dpv:isImplementedByEntity": [_speaker(receipt)],
        "dpv:hasIndicationMethod": [said.method.value],
    }


def _subject(receipt: Receipt) -> JsonObject:
    return {"@type": ["dpv:DataSubject"], "dct:identifier": [receipt.said.subject]}


def _speaker(receipt: Receipt) -> JsonObject:
    """The guardian's pseudonym if one spoke. Who of the staff took it down is not the subject's to have."""
    if receipt.said.speaker is None:
        return _subject(receipt)
    return {"@type": ["dpv:GuardianOfDataSubject"], "dct:identifier": [receipt.said.speaker]}


def _controller(receipt: Receipt) -> JsonObject:
    controller = receipt.policy.controller
    return {
        **_CONTROLLER,
        "@type": ["dpv:DataController"],
        "dct:identifier": [controller.name],
        "dpv:hasName": [controller.name],
        "dpv:hasAddress": _texts(_NOT_STATED),
        "dpv:hasContact": [f"{controller.division}, {controller.school}", f"mailto:{receipt.policy.contact}"],
    }


def _purposes(term: Term) -> list[JsonValue]:
    """The vocabulary's purposes; where the policy names none, the leaf itself as one."""
    return [{"@id": iri} for iri in term.purpose.dpv] or [
        {"@type": ["dpv:Purpose"], "dct:identifier": [term.code], "dct:description": _texts(term.wording)}
    ]


def _termination(receipt: Receipt, term: Term) -> Text:
    """When what was said ends."""
    if receipt.said.expires_at is not None:
        expiry = to_text(receipt.said.expires_at)
        return Text(expiry, expiry)
    if receipt.said.action is not Action.GRANT:
        return _UNTIL_LIFTED
    return _BEYOND_MEMBERSHIP if term.purpose.survives_membership else _UNTIL_WITHDRAWN


def _texts(text: Text) -> list[JsonValue]:
    return [{"@value": text.en, "@language": "en"}, {"@value": text.ja, "@language": "ja"}]


def _instant(text: str) -> JsonObject:
    return {"@value": text, "@type": "xsd:dateTime"}
