"""Merging two records of one person."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from consent_service.core.clients import Scope
from consent_service.examples import TWICE
from consent_service.operations import merging
from consent_service.operations.people import Person
from consent_service.web.bodies import Body, StrictRoute
from consent_service.web.consents import SubPath
from consent_service.web.deps import Writer, pseudonym, writes
from consent_service.web.openapi import WRITING, Tag
from consent_service.web.people import SubjectOut
from consent_service.web.problems import documented

router = APIRouter(route_class=StrictRoute, tags=[Tag.PEOPLE])


class MergeIn(Body):
    """The other record of the same person."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"other": str(TWICE)}]})

    other: str = Field(min_length=1, max_length=300, description="`namespace:id`, an id, or `sub_…`.")


@router.post(
    "/v1/subjects/{sub}/merge",
    operation_id="mergeSubjects",
    summary="Make one of two records of the same person",
    responses=documented(*WRITING, "client_not_permitted", "subject_not_found", "record_untrusted"),
)
async def merge(sub: SubPath, body: MergeIn, writer: Annotated[Writer, writes(Scope.PEOPLE_WRITE)]) -> SubjectOut:
    """The record in the path stays, the other one becomes another name of it, and both references go on working.

    No no becomes a yes by it: the stricter state counts, and a yes goes on only where both records said yes. See then
    what the person may be asked again, `GET /v1/subjects/{sub}/asks`. It cannot be undone.
    """
    who, other = pseudonym(sub), writer.room.reference(body.other, "/other")
    known, zone = await writer.counter.run(merging.mentions, other), writer.room.zone
    once = f"merge_subject:{sub}"[:64]
    return SubjectOut.model_validate(await writer.once(once, body, Person, merging.merge, who, other, known, zone=zone))
