"""The policy and its purposes; public, as the policy is."""

from datetime import date
from typing import Annotated, Self

from fastapi import APIRouter, Path
from pydantic import JsonValue

from consent_service.core.policy import Basis, GuardianRule, Policy, Purpose
from consent_service.core.policy_file import to_document
from consent_service.lanes import read_in_time
from consent_service.operations import policies
from consent_service.store.db import ReadTx
from consent_service.store.policies import Published
from consent_service.web.bodies import StrictRoute
from consent_service.web.deps import InRoom
from consent_service.web.openapi import PUBLIC, Tag
from consent_service.web.outputs import Instant, Output
from consent_service.web.problems import documented

router = APIRouter(route_class=StrictRoute, tags=[Tag.POLICY])


class WordingOut(Output):
    """What the person is shown. `number` rises when the wording changes; a yes to one from `counts_from` on counts."""

    number: int
    counts_from: int
    en: str
    ja: str


class PurposeOut(Output):
    """A purpose. Consent is recorded for its leaves; `basis` and the rest are null on a branch."""

    code: str
    wording: WordingOut
    dpv: list[str]
    leaves: list[str]
    basis: Basis | None
    survives_membership: bool | None
    guardians: GuardianRule | None
    concomitant: bool
    open: bool


class PurposesOut(Output):
    """Every purpose of the version in force, branches before their leaves, in the policy's own order."""

    policy_version: str
    items: list[PurposeOut]


class PolicyOut(Output):
    """One published version. `policy` is the whole catalogue as it was published."""

    version: str
    effective_at: Instant
    published_at: Instant
    index: int
    policy: dict[str, JsonValue]

    @classmethod
    def of(cls, published: Published) -> Self:
        """From the product's own value."""
        return cls(
            version=published.policy.version,
            effective_at=published.effective_at,
            published_at=published.published_at,
            index=published.index,
            policy=to_document(published.policy),
        )


class VersionOut(Output):
    """A published version, in short."""

    version: str
    effective_from: date
    effective_at: Instant
    published_at: Instant
    index: int


class VersionsOut(Output):
    """All published versions, the oldest first."""

    items: list[VersionOut]
    next: None


@router.get(
    "/v1/purposes",
    operation_id="listPurposes",
    summary="See all purposes and their codes",
    responses=documented(*PUBLIC, "validation_failed"),
)
async def purposes(room: InRoom) -> PurposesOut:
    """The codes to use in statements and checks."""
    policy = (await read_in_time(room.database, policies.in_force)).policy
    return PurposesOut(policy_version=policy.version, items=[_purpose(one) for one in policy.walk()])


@router.get(
    "/v1/purposes/{code}",
    operation_id="readPurpose",
    summary="See one purpose",
    responses=documented(*PUBLIC, "validation_failed", "purpose_not_found"),
)
async def purpose(
    code: Annotated[str, Path(openapi_examples={"example": {"value": "marketing"}})], room: InRoom
) -> PurposeOut:
    """Its wording and its leaves."""

    async def asked(tx: ReadTx) -> Purpose:
        return (await policies.purpose(tx, code))[1]

    return _purpose(await read_in_time(room.database, asked))


@router.get(
    "/v1/policy",
    operation_id="readPolicy",
    summary="See the policy in force",
    responses=documented(*PUBLIC, "validation_failed"),
)
async def policy_in_force(room: InRoom) -> PolicyOut:
    """The whole catalogue: purposes, wordings, disclosure grounds."""
    return PolicyOut.of(await read_in_time(room.database, policies.in_force))


@router.get(
    "/v1/policy/versions",
    operation_id="listPolicyVersions",
    summary="See all versions of the policy",
    responses=documented(*PUBLIC, "validation_failed"),
)
async def versions(room: InRoom) -> VersionsOut:
    """A published version never changes."""
    return VersionsOut(
        items=[_version(one) for one in await read_in_time(room.database, policies.all_published)], next=None
    )


@router.get(
    "/v1/policy/versions/{version}",
    operation_id="readPolicyVersion",
    summary="See one version of the policy",
    responses=documented(*PUBLIC, "validation_failed", "policy_version_not_found"),
)
async def version(
    version: Annotated[str, Path(openapi_examples={"example": {"value": "2026-11-01"}})], room: InRoom
) -> PolicyOut:
    """As it was published."""

    async def asked(tx: ReadTx) -> Published:
        return await policies.published(tx, version)

    return PolicyOut.of(await read_in_time(room.database, asked))


def _purpose(purpose: Purpose) -> PurposeOut:
    leaf = purpose.is_leaf
    text = purpose.wording.text
    return PurposeOut(
        code=purpose.code,
        wording=WordingOut(
            number=purpose.wording.number, counts_from=purpose.wording.counts_from, en=text.en, ja=text.ja
        ),
        dpv=list(purpose.dpv),
        leaves=[one.code for one in purpose.leaves],
        basis=purpose.basis if leaf else None,
        survives_membership=purpose.survives_membership if leaf else None,
        guardians=purpose.guardians if leaf else None,
        concomitant=purpose.concomitant,
        open=purpose.open,
    )


def _version(published: Published) -> VersionOut:
    policy: Policy = published.policy
    return VersionOut(
        version=policy.version,
        effective_from=policy.effective_from,
        effective_at=published.effective_at,
        published_at=published.published_at,
        index=published.index,
    )
