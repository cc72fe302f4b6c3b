"""Who may speak for a child: recording guardians, verifying them, ending and blocking guardianships."""

from collections.abc import Callable
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import ConfigDict, Field, ValidationError, WrapValidator

from consent_service.core.clients import Scope
from consent_service.core.errors import GuardianshipNotFound
from consent_service.core.guardianship import GuardianshipChange, GuardianshipStatus, is_guardianship_id
from consent_service.examples import CHILD, GUARDIANSHIP
from consent_service.operations import guardianships
from consent_service.operations.guardianships import ABSENT, Known, NewGuardianship, Step
from consent_service.web.bodies import Body, DateIn, InstantIn, StrictRoute
from consent_service.web.deps import Reader, Room, Writer, pseudonym, reads, writes
from consent_service.web.openapi import READING, WRITING, Tag
from consent_service.web.outputs import Instant, Output
from consent_service.web.problems import documented

router = APIRouter(route_class=StrictRoute, tags=[Tag.PEOPLE])


def _either(value: object, read: Callable[[object], date]) -> date:
    """One fault for a text that is neither, in place of one for each."""
    try:
        return read(value)
    except ValidationError:
        raise ValueError("a day such as 2026-04-01 is needed here, or an instant with an offset") from None


DayIn = Annotated[
    Annotated[InstantIn | DateIn, Field(union_mode="left_to_right")],
    WrapValidator(_either),
    Field(description="A day at the school, from its beginning, or an instant."),
]
Name = Annotated[str, Field(min_length=1, max_length=200)]
ReferenceIn = Annotated[str, Field(min_length=1, max_length=300, description="`namespace:id`, an id, or `sub_…`.")]
NamePath = Annotated[
    str, Path(description="The guardianship's `gua_…`.", openapi_examples={"example": {"value": GUARDIANSHIP}})
]
WardPath = Annotated[str, Path(description="The child's `sub_…`.", openapi_examples={"example": {"value": CHILD}})]
CHANGING = documented(*WRITING, "guardianship_not_found")


class GuardianshipIn(Body):
    """A guardian of a child. With `verified_by`, somebody of the school has seen the proof."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "guardian": "person:1001",
                    "ward": "sis:S-3001",
                    "relation": "mother",
                    "verified_by": "front office",
                    "verified_at": "2026-11-20",
                }
            ]
        }
    )

    guardian: ReferenceIn
    ward: ReferenceIn
    relation: Name
    verified_by: Name | None = Field(default=None, description="Who of the school saw the proof.")
    verified_at: DayIn | None = None
    from_: DayIn | None = Field(default=None, alias="from")
    until: DayIn | None = Field(default=None, description="The first day on which it is over.")


class VerificationIn(Body):
    """Who saw the proof; or, with `verified` false, who found that there is none."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"verified_by": "front office"}]})

    verified_by: Name
    verified_at: DayIn | None = None
    verified: bool = True


class EndIn(Body):
    """When a guardianship is over: now, if nothing is said."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"until": "2027-03-31"}]})

    until: DayIn | None = None


class BlockIn(Body):
    """A court order that keeps a guardian from speaking for the child."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reference": "Tokyo Family Court 2026-123"}]})

    reference: Name


class UnblockIn(Body):
    """That the court order is lifted, and by what."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reference": "Tokyo Family Court 2026-456"}]})

    reference: Name | None = None


class GuardianshipOut(Output):
    """A guardianship; `status` says whether the guardian may speak for the child now, and why not."""

    id: str
    guardian: str
    ward: str
    relation: str | None
    status: GuardianshipStatus
    verified: bool
    verified_by: str | None
    verified_at: Instant | None
    from_: Instant | None = Field(serialization_alias="from")
    until: Instant | None
    blocked: bool
    reference: str | None = Field(description="Of the court order, while it is blocked.")


class GuardiansOut(Output):
    """Everybody who is or was recorded as a person's guardian."""

    ward: str
    items: list[GuardianshipOut]
    as_of: int


@router.post(
    "/v1/guardianships",
    operation_id="createGuardianship",
    summary="Record who may speak for a child",
    status_code=201,
    responses=documented(*WRITING),
)
async def create(body: GuardianshipIn, writer: Annotated[Writer, writes(Scope.PEOPLE_WRITE)]) -> GuardianshipOut:
    """Both people are recorded before. Somebody who is only listed as a contact is no guardian."""
    room = writer.room
    new = _new(body, room)
    made = await writer.once("create_guardianship", body, Known, guardianships.create, new, zone=room.zone)
    return GuardianshipOut.model_validate(made)


@router.post(
    "/v1/guardianships/{guardianship}/verify",
    operation_id="verifyGuardianship",
    summary="Say that a guardian's proof was seen",
    responses=CHANGING,
)
async def verify(
    guardianship: NamePath, body: VerificationIn, writer: Annotated[Writer, writes(Scope.PEOPLE_WRITE)]
) -> GuardianshipOut:
    """From now on the guardian's yes can count; or no longer, with `verified` false."""
    how = GuardianshipChange.VERIFIED if body.verified else GuardianshipChange.UNVERIFIED
    step = Step(how, {"verified_by": body.verified_by}, verified_at=body.verified_at if body.verified else None)
    return await _step(writer, "verify", guardianship, body, step)


@router.post(
    "/v1/guardianships/{guardianship}/end",
    operation_id="endGuardianship",
    summary="End a guardianship",
    responses=CHANGING,
)
async def end(
    guardianship: NamePath, body: EndIn, writer: Annotated[Writer, writes(Scope.PEOPLE_WRITE)]
) -> GuardianshipOut:
    """What the guardian said yes to no longer counts from then on; a no stays until it is lifted."""
    return await _step(writer, "end", guardianship, body, Step(GuardianshipChange.ENDED, {}, until=body.until))


@router.post(
    "/v1/guardianships/{guardianship}/block",
    operation_id="blockGuardianship",
    summary="Block a guardian by a court order",
    responses=CHANGING,
)
async def block(
    guardianship: NamePath, body: BlockIn, writer: Annotated[Writer, writes(Scope.PEOPLE_WRITE)]
) -> GuardianshipOut:
    """The guardian cannot speak for the child from this moment on."""
    return await _step(
        writer, "block", guardianship, body, Step(GuardianshipChange.BLOCKED, {"reference": body.reference})
    )


@router.post(
    "/v1/guardianships/{guardianship}/unblock",
    operation_id="unblockGuardianship",
    summary="Lift the block of a guardian",
    responses=CHANGING,
)
async def unblock(
    guardianship: NamePath, body: UnblockIn, writer: Annotated[Writer, writes(Scope.PEOPLE_WRITE)]
) -> GuardianshipOut:
    """The guardian speaks for the child again, as far as the guardianship is verified and not over."""
    detail = {"reference": body.reference} if body.reference else {}
    return await _step(writer, "unblock", guardianship, body, Step(GuardianshipChange.UNBLOCKED, detail))


@router.get(
    "/v1/subjects/{sub}/guardians",
    operation_id="readGuardians",
    summary="See who may speak for a child",
    responses=documented(*READING, "subject_not_found"),
)
async def read(sub: WardPath, reader: Annotated[Reader, reads(Scope.PEOPLE_READ)]) -> GuardiansOut:
    """Everybody who is or was recorded as a guardian, verified or not."""
    return GuardiansOut.model_validate(await reader.run(guardianships.guardians, pseudonym(sub)))


async def _step(writer: Writer, what: str, name: str, body: Body, step: Step) -> GuardianshipOut:
    """A repetition is one only for the same guardianship, so its id is a part of the operation's name."""
    if not is_guardianship_id(name):
        raise GuardianshipNotFound(ABSENT)
    once, zone = f"{what}_guardianship:{name}"[:64], writer.room.zone
    return GuardianshipOut.model_validate(
        await writer.once(once, body, Known, guardianships.change, name, step, zone=zone)
    )


def _new(body: GuardianshipIn, room: Room) -> NewGuardianship:
    return NewGuardianship(
        room.reference(body.guardian, "/guardian"),
        room.reference(body.ward, "/ward"),
        body.relation,
        body.verified_by,
        body.verified_at,
        body.from_,
        body.until,
    )
