"""Who comes of age next."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from consent_service.core.clients import Scope
from consent_service.operations import handovers
from consent_service.web.bodies import DateIn, StrictRoute
from consent_service.web.consents import Limit
from consent_service.web.deps import Reader, reads
from consent_service.web.openapi import READING, Tag
from consent_service.web.outputs import Instant, Output
from consent_service.web.problems import documented

router = APIRouter(route_class=StrictRoute, tags=[Tag.PEOPLE])


class HandoverOut(Output):
    """Somebody who comes of age, and what their guardians have said yes to."""

    subject: str
    of_age_on: date
    ends_at: Instant | None = Field(description="When these yeses end by it; null where the policy keeps them.")
    purposes: list[str]


class HandoversOut(Output):
    """A page of them. `next` goes into `after` for the next page; null at the end. A page may be short, or empty."""

    items: list[HandoverOut]
    next: str | None


@router.get(
    "/v1/handovers",
    operation_id="forecastHandovers",
    summary="See who comes of age soon",
    responses=documented(*READING),
)
async def forecast(
    reader: Annotated[Reader, reads(Scope.PEOPLE_READ)],
    until: Annotated[DateIn, Query(description="The last day.", openapi_examples={"example": {"value": "2035-12-31"}})],
    after: Annotated[str, Query(max_length=64, description="Go on behind this `sub_…`.")] = "",
    limit: Limit = 100,
) -> HandoversOut:
    """Everybody who comes of age by that day and for whom a guardian's yes stands: they have to be asked themselves."""
    found = await reader.run(handovers.forecast, until=until, after=after, limit=limit, zone=reader.room.zone)
    return HandoversOut.model_validate(found)
