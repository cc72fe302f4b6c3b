"""Publishing a policy version."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import ConfigDict, Field, JsonValue

from consent_service.core.clients import Scope
from consent_service.core.errors import Fault, InvalidInput
from consent_service.core.policy import Policy
from consent_service.core.policy_file import from_document
from consent_service.core.policy_yaml import PolicyFileError
from consent_service.core.publication import Declared, Publication
from consent_service.examples import PUBLICATION
from consent_service.operations import publications
from consent_service.operations.publications import Proposal
from consent_service.web.bodies import Body, StrictRoute
from consent_service.web.checks import PurposeCode
from consent_service.web.deps import Writer, writes
from consent_service.web.openapi import WRITING, Tag
from consent_service.web.outputs import Instant, Output
from consent_service.web.problems import documented, pointer

router = APIRouter(route_class=StrictRoute, tags=[Tag.POLICY])

Leaves = Annotated[list[PurposeCode], Field(default_factory=list, max_length=1000)]


class PublicationIn(Body):
    """A policy to be published, and what the publisher says of its changed leaves."""

    model_config = ConfigDict(json_schema_extra={"examples": [PUBLICATION]})

    policy: dict[str, JsonValue] = Field(description="The whole policy, in the shape that `GET /v1/policy` gives it.")
    material: Leaves = Field(description="Changed leaves for which an earlier yes no longer counts.")
    editorial: Leaves = Field(description="Changed leaves for which an earlier yes stands.")
    confirm_lapses: int = Field(
        default=0, ge=0, le=10**12, description="How many yeses will lapse, as the dry run told."
    )
    compared_with: str | None = Field(
        default=None, max_length=64, description="The version that the dry run compared with, to be sure of it."
    )


class DiffOut(Output):
    """How a version differs from the one before it, by leaf."""

    added: list[str]
    removed: list[str]
    reworded: list[str]
    basis_changed: list[str]
    otherwise: dict[str, list[str]] = Field(description="Members of purposes that changed otherwise.")
    members: list[str] = Field(description="Members of the policy itself that changed.")


class PublicationOut(Output):
    """A version that was published, or would be: `index` is null for a dry run."""

    version: str
    effective_at: Instant
    compared_with: str | None = Field(description="The version published last before it.")
    replaces: list[str] = Field(description="Published versions that will now never take effect.")
    diff: DiffOut
    undeclared: list[str] = Field(description="Changed leaves that still have to be named material or editorial.")
    lapses: dict[str, int] = Field(description="The yeses that count today and will not, by leaf.")
    confirm_lapses: int = Field(description="Their sum, which publishing has to confirm.")
    index: int | None


@router.post(
    "/v1/policy/versions",
    operation_id="publishPolicyVersion",
    summary="Publish a version of the policy, or see what that would do",
    status_code=201,
    responses={
        200: {"model": PublicationOut, "description": "A dry run: nothing was written."},
        **documented(
            *WRITING,
            "client_not_permitted",
            "change_undeclared",
            "lapses_unconfirmed",
            "policy_version_taken",
            "policy_superseded",
        ),
    },
)
async def publish(
    body: PublicationIn,
    writer: Annotated[Writer, writes(Scope.POLICY_WRITE)],
    response: Response,
    dry_run: Annotated[
        bool,
        Query(description="Only say what publishing would do.", openapi_examples={"example": {"value": True}}),
    ] = False,
) -> PublicationOut:
    """First with `dry_run`: it tells what changed, of which leaves you have to say whether the change is material, and
    how many yeses lapse. Then publish, with those in `material` and `editorial` and the number in `confirm_lapses`.

    A published version never changes. It is in force at once, or from the day or the instant that it names.
    """
    proposal = _proposal(body)
    if dry_run:
        response.status_code = 200
        told = await writer.counter.run(publications.preview, proposal, zone=writer.room.zone)
        return PublicationOut.model_validate(told)
    return PublicationOut.model_validate(await _published(writer, body, proposal))


async def _published(writer: Writer, body: PublicationIn, proposal: Proposal) -> Publication:
    """The counting is done before the lock is taken, or everybody would wait for it."""
    found = await writer.counter.run(publications.impact, proposal)
    publish, zone = publications.publish, writer.room.zone
    return await writer.once("publish_policy", body, Publication, publish, proposal, found, zone=zone)


def _proposal(body: PublicationIn) -> Proposal:
    declared = Declared(tuple(body.material), tuple(body.editorial))
    return Proposal(_policy(body.policy), declared, body.confirm_lapses, body.compared_with)


def _policy(document: dict[str, JsonValue]) -> Policy:
    try:
        return from_document(document, name="policy")
    except PolicyFileError as error:
        faults = [Fault(pointer("policy", *one.path), one.sentence) for one in error.wrong]
        raise InvalidInput("The policy cannot be taken; see errors.", errors=faults) from None
