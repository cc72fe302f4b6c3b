"""Receipts: the signed statement for the person, in four forms."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from consent_service.core import receipt_forms
from consent_service.core.clients import Scope
from consent_service.core.ledger import JsonObject
from consent_service.core.receipt import Receipt, signed
from consent_service.examples import RECEIPT
from consent_service.operations import receipts
from consent_service.web import receipt_page
from consent_service.web.bodies import StrictRoute
from consent_service.web.deps import Language, Reader, Room, reads
from consent_service.web.openapi import READING, Tag
from consent_service.web.problems import documented

router = APIRouter(route_class=StrictRoute, tags=[Tag.CONSENTS])


class ReceiptForm(StrEnum):
    """The forms of a receipt."""

    JWS = "jws"
    KANTARA = "kantara"
    DPV = "dpv"
    HTML = "html"


class ReceiptLanguage(StrEnum):
    """The policy's two languages."""

    EN = "en"
    JA = "ja"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a form may depend on besides the receipt."""

    room: Room
    language: str
    policy_url: str


def _jws(receipt: Receipt, wanted: Wanted) -> Response:
    return Response(signed(receipt, wanted.room.database.keyring.receipt), media_type=_MEDIA_TYPES[ReceiptForm.JWS])


def _kantara(receipt: Receipt, wanted: Wanted) -> Response:
    made = receipt_forms.kantara(receipt, wanted.language, policy_url=wanted.policy_url)
    return _json(made, _MEDIA_TYPES[ReceiptForm.KANTARA])


def _dpv(receipt: Receipt, wanted: Wanted) -> Response:
    return _json(receipt_forms.dpv(receipt, policy_url=wanted.policy_url), _MEDIA_TYPES[ReceiptForm.DPV])


def _html(receipt: Receipt, wanted: Wanted) -> Response:
    page = receipt_page.page(receipt, wanted.language, wanted.room.zone)
    headers = {"Content-Security-Policy": receipt_page.POLICY, "Content-Language": wanted.language}
    return Response(page, media_type=_MEDIA_TYPES[ReceiptForm.HTML], headers=headers)


def _json(made: JsonObject, media_type: str) -> Response:
    return Response(json.dumps(made, ensure_ascii=False), media_type=media_type)


_MEDIA_TYPES: Mapping[ReceiptForm, str] = {
    ReceiptForm.JWS: "application/jose",
    ReceiptForm.KANTARA: "application/json",
    ReceiptForm.DPV: "application/ld+json",
    ReceiptForm.HTML: "text/html",
}
_FORMS: Mapping[ReceiptForm, Callable[[Receipt, Wanted], Response]] = {
    ReceiptForm.JWS: _jws,
    ReceiptForm.KANTARA: _kantara,
    ReceiptForm.DPV: _dpv,
    ReceiptForm.HTML: _html,
}
_ANSWER = {
    "description": "The receipt, in the form that was asked for.",
    "content": {
        "application/jose": {"schema": {"type": "string", "description": "A JWS in compact serialization (RFC 7515)."}},
        "application/json": {"schema": {"type": "object", "description": "A Kantara Consent Receipt 1.1."}},
        "application/ld+json": {"schema": {"type": "object", "description": "ISO/IEC TS 27560 in DPV 2.3."}},
        "text/html": {"schema": {"type": "string", "description": "A page to print."}},
    },
}


@router.get(
    "/v1/receipts/{index}",
    operation_id="readReceipt",
    summary="Get the receipt of a statement, to give to the person",
    response_class=Response,
    responses={
        200: _ANSWER,
        **documented(*READING, "receipt_not_found", "subject_erased", "ledger_damaged"),
    },
)
async def read(
    index: Annotated[
        int,
        Path(
            description="The statement's index; `POST /v1/consents` tells it.",
            openapi_examples={"example": {"value": RECEIPT}},
        ),
    ],
    reader: Annotated[Reader, reads(Scope.CONSENTS_READ)],
    request: Request,
    accepted: Language,
    form: Annotated[
        ReceiptForm, Query(alias="format", description="A signed JWS, Kantara's or DPV's JSON, or a page to print.")
    ] = ReceiptForm.JWS,
    language: Annotated[
        ReceiptLanguage | None,
        Query(description="Of the page and of Kantara's texts; else as Accept-Language prefers."),
    ] = None,
) -> Response:
    """What was said, the wording that was shown, and the proof that the ledger holds it. A receipt never expires.

    The JWS is signed with a key of `/.well-known/jwks.json` and needs nothing else to be checked:
    examples/verify_receipt.py does it in 40 lines. It names the person by their pseudonym, and nobody else. Asked for
    within a second of the statement, it waits for the checkpoint that covers it.
    """
    said = await reader.run(receipts.statement, index)
    checkpoint = said.covered_by or await reader.room.notary.covering(said.needs)
    receipt = await reader.run(receipts.receipt, said, checkpoint)
    policy_url = f"{request.base_url}v1/policy/versions/{receipt.policy.version}"
    return _FORMS[form](receipt, Wanted(reader.room, language or accepted, policy_url))
