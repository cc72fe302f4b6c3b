"""Asking again."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from consent_service.core.clients import Scope
from consent_service.core.consent import StateName
from consent_service.operations import asks
from consent_service.web.bodies import StrictRoute
from consent_service.web.consents import SubPath
from consent_service.web.deps import Reader, pseudonym, reads
from consent_service.web.openapi import READING, Tag
from consent_service.web.outputs import Instant, Output
from consent_service.web.problems import documented

router = APIRouter(route_class=StrictRoute, tags=[Tag.CONSENTS])


class TextOut(Output):
    """What the person is to be shown."""

    en: str
    ja: str


class AskOut(Output):
    """A purpose that the person may be asked for. A no is a cause only when the quiet period after it is over."""

    purpose: str
    because: StateName
    wording: int = Field(description="The number of the wording.")
    text: TextOut


class QuietOut(Output):
    """A purpose that the person said no to, and is not asked for until then."""

    purpose: str
    because: StateName
    until: Instant


class AsksOut(Output):
    """What the person may be asked for now, in the policy's order; and what not yet again."""

    subject: str
    policy_version: str
    asks: list[AskOut]
    quiet: list[QuietOut]
    as_of: int


@router.get(
    "/v1/subjects/{sub}/asks",
    operation_id="readAsks",
    summary="See what a person may be asked for now",
    responses=documented(*READING, "subject_not_found"),
)
async def read(sub: SubPath, reader: Annotated[Reader, reads(Scope.CONSENTS_READ)]) -> AsksOut:
    """Whoever was never asked, whose yes expired or was given to an older wording. Nobody is asked again after a no
    until the policy's quiet period is over.
    """
    found = await reader.run(asks.asks, pseudonym(sub), zone=reader.room.zone)
    return AsksOut.model_validate(found)
