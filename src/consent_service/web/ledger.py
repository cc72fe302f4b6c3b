"""The ledger for auditors: its entries, the newest checkpoint, and proofs that hold the one to the other."""

from typing import Annotated, Self

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse
from pydantic import Field

from consent_service.core.clients import Scope
from consent_service.operations import ledger
from consent_service.operations.ledger import ConsistencyProof, InclusionProof
from consent_service.store.ledger import Stored
from consent_service.web.bodies import StrictRoute
from consent_service.web.consents import Limit
from consent_service.web.deps import Reader, reads
from consent_service.web.openapi import READING, Tag
from consent_service.web.outputs import Instant, Output
from consent_service.web.problems import documented

router = APIRouter(route_class=StrictRoute, tags=[Tag.LEDGER])

Auditor = Annotated[Reader, reads(Scope.AUDIT_READ)]
_MOST = 2**53 - 1  # the largest whole number that every JSON parser reads as it stands
_EXAMPLE = {"example": {"value": 1}}
Index = Annotated[int, Query(ge=0, le=_MOST, description="The entry's index, from 0.", openapi_examples=_EXAMPLE)]
Size = Annotated[int | None, Query(ge=1, le=_MOST, description="A size of the ledger; all of its entries if left out.")]
From = Annotated[
    int, Query(alias="from", ge=1, le=_MOST, description="The smaller size, of one or more.", openapi_examples=_EXAMPLE)
]
To = Annotated[int | None, Query(ge=1, le=_MOST, description="The larger size; all of its entries if left out.")]
After = Annotated[int, Query(ge=-1, le=_MOST, description="Go on behind this index.")]

Hash = Annotated[str, Field(description="SHA-256 in hexadecimal digits.")]


class EntryOut(Output):
    """An entry of the ledger; `body` are the exact bytes that were hashed."""

    index: int
    at: Instant
    kind: str
    subject: str | None
    body: str
    leaf_hash: str

    @classmethod
    def of(cls, entry: Stored) -> Self:
        """From the product's own value. Bytes that are no text were tampered with; the hash will not be theirs."""
        return cls(
            index=entry.index,
            at=entry.at,
            kind=entry.kind,
            subject=entry.subject,
            body=entry.body.decode(errors="replace"),
            leaf_hash=entry.leaf_hash.hex(),
        )


class EntriesOut(Output):
    """A page of entries. `next` goes into `after` for the next page; null at the end."""

    items: list[EntryOut]
    next: int | None


class InclusionOut(Output):
    """A proof that an entry is in the ledger (RFC 6962 section 2.1.1): its hashes lead from the leaf to the root."""

    index: int
    size: int
    leaf_hash: Hash
    hashes: list[Hash]
    root: Hash

    @classmethod
    def of(cls, proof: InclusionProof) -> Self:
        """From the product's own value."""
        hashes = [one.hex() for one in proof.path]
        return cls(
            index=proof.index, size=proof.size, leaf_hash=proof.leaf_hash.hex(), hashes=hashes, root=proof.root.hex()
        )


class ConsistencyOut(Output):
    """A proof that the ledger only grew from one size to another (RFC 6962 section 2.1.2)."""

    first: int = Field(serialization_alias="from")
    second: int = Field(serialization_alias="to")
    hashes: list[Hash]
    from_root: Hash
    to_root: Hash

    @classmethod
    def of(cls, proof: ConsistencyProof) -> Self:
        """From the product's own value."""
        return cls(
            first=proof.first,
            second=proof.second,
            hashes=[one.hex() for one in proof.path],
            from_root=proof.first_root.hex(),
            to_root=proof.second_root.hex(),
        )


@router.get(
    "/v1/ledger/checkpoint",
    operation_id="readCheckpoint",
    summary="Take the newest checkpoint",
    response_class=PlainTextResponse,
    responses=documented(*READING, "ledger_damaged"),
)
async def checkpoint(auditor: Auditor) -> PlainTextResponse:
    """The ledger's size and root hash, signed: a C2SP tlog-checkpoint. Keep it, and the ledger can never deny it.

    It covers every entry that was acknowledged before; one is made a second at most, so the answer may take as long.
    """
    size = await auditor.run(ledger.size)
    return PlainTextResponse((await auditor.room.notary.covering(size)).note)


@router.get(
    "/v1/ledger/entries",
    operation_id="listEntries",
    summary="Read the ledger",
    responses=documented(*READING, "client_not_permitted"),
)
async def entries(auditor: Auditor, after: After = -1, limit: Limit = 100) -> EntriesOut:
    """A page of entries in their order, each with the exact bytes that were hashed.

    It tells of everybody, under their pseudonyms, so it takes a key for all purposes and all namespaces.
    """
    found, following = await auditor.run(ledger.entries, after=after, limit=limit)
    return EntriesOut(items=[EntryOut.of(entry) for entry in found], next=following)


@router.get(
    "/v1/ledger/proof/inclusion",
    operation_id="proveInclusion",
    summary="Prove that an entry is in the ledger",
    responses=documented(*READING, "ledger_damaged"),
)
async def inclusion(auditor: Auditor, index: Index, size: Size = None) -> InclusionOut:
    """With the size of a checkpoint, the hashes lead to the checkpoint's root (RFC 6962 section 2.1.1)."""
    return InclusionOut.of(await auditor.run(ledger.inclusion, index=index, size=size))


@router.get(
    "/v1/ledger/proof/consistency",
    operation_id="proveConsistency",
    summary="Prove that the ledger only grew",
    responses=documented(*READING, "ledger_damaged"),
)
async def consistency(auditor: Auditor, first: From, to: To = None) -> ConsistencyOut:
    """With the sizes of two checkpoints, it leads from the one's root to the other's (RFC 6962 section 2.1.2)."""
    return ConsistencyOut.of(await auditor.run(ledger.consistency, first=first, second=to))
