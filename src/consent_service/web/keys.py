"""The public keys by which receipts and checkpoints are verified (RFC 7517); public, as they are."""

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import ConfigDict

from consent_service.core.keys import KnownKey
from consent_service.lanes import read_in_time
from consent_service.operations import keys
from consent_service.web.deps import InRoom
from consent_service.web.openapi import PUBLIC, Tag
from consent_service.web.outputs import Output
from consent_service.web.problems import documented

router = APIRouter(tags=[Tag.LEDGER])

_KEPT = "public, max-age=300"


class JwkOut(Output):
    """A public Ed25519 key (RFC 8037). `kid` is its thumbprint (RFC 7638)."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "kty": "OKP",
                "crv": "Ed25519",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
                "use": "sig",
                "alg": "Ed25519",
            }
        }
    )

    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    x: str
    kid: str
    use: Literal["sig"]
    alg: Literal["Ed25519"]


class JwksOut(Output):
    """The keys of receipts and of checkpoints: those to come, those in use and those before."""

    keys: list[JwkOut]


@router.get(
    "/.well-known/jwks.json",
    operation_id="readKeys",
    summary="See the public keys of receipts and checkpoints",
    responses=documented(*PUBLIC),
)
async def jwks(room: InRoom, response: Response) -> JwksOut:
    """A key stands here before its first use, and for good: what it signed can be verified ever after."""
    response.headers["Cache-Control"] = _KEPT
    return JwksOut(keys=[_jwk(one) for one in await read_in_time(room.database, keys.published)])


def _jwk(one: KnownKey) -> JwkOut:
    return JwkOut(kty="OKP", crv="Ed25519", x=one.key.public_key or "", kid=one.key.kid, use="sig", alg="Ed25519")
