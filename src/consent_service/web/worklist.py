"""What the office has to do."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from consent_service.core.clients import Scope
from consent_service.core.worklist import TO_DO, Item, Work
from consent_service.operations import worklist
from consent_service.operations.worklist import Wanted, WorkList
from consent_service.web import forms
from consent_service.web.bodies import DateIn, StrictRoute
from consent_service.web.checks import PurposeCode
from consent_service.web.consents import Limit
from consent_service.web.deps import Counter, Language, counts
from consent_service.web.openapi import READING, Tag
from consent_service.web.outputs import Instant, Output
from consent_service.web.problems import documented

router = APIRouter(route_class=StrictRoute, tags=[Tag.PEOPLE])


class AmountOut(Output):
    """How many people there is work of a kind about."""

    people: int
    complete: bool = Field(description="If false, so many were found before the search ended; there may be more.")
    purposes: dict[str, int] | None = Field(
        description="How many for each leaf: of `never_asked`, where it alone is asked for and they are not too many; "
        "name a `purpose` then. Else null."
    )


class ItemOut(Output):
    """Work about one person."""

    subject: str
    purposes: list[str] = Field(description="The leaves that it is about.")
    guardianships: list[str] = Field(description="The guardianships that it is about.")
    since: Instant | None = Field(
        description="Since when it is there, where that is known; of a hand-over, when the person comes of age."
    )
    to_do: str


class WorkListOut(Output):
    """How much there is to do, and a page of one kind."""

    policy_version: str
    counts: dict[Work, AmountOut] = Field(description="Each kind that was counted: all, or the one of a first page.")
    items: list[ItemOut]
    next: str | None
    as_of: int


def _wanted(
    kind: Annotated[
        Work | None,
        Query(
            description="One kind, by page; without it, the numbers of all.",
            openapi_examples={"example": {"value": Work.GUARDIAN_UNVERIFIED}},
        ),
    ] = None,
    purpose: Annotated[PurposeCode | None, Query(description="Only the leaves of this purpose.")] = None,
    until: Annotated[DateIn | None, Query(description="The last day of hand-overs; in 90 days, if left out.")] = None,
    after: Annotated[str, Query(pattern=forms.AFTER_SUBJECT, description="Go on behind this `sub_…`.")] = "",
    limit: Limit = 100,
) -> Wanted:
    return Wanted(kind, purpose, until, after, limit)


@router.get(
    "/v1/worklist",
    operation_id="readWorklist",
    summary="See what the office has to do",
    responses=documented(*READING, "client_not_permitted"),
)
async def read(
    wanted: Annotated[Wanted, Depends(_wanted)],
    counter: Annotated[Counter, counts(Scope.PEOPLE_READ)],
    language: Language,
) -> WorkListOut:
    """How many people each kind of work is about; with `kind`, who they are, and what is to be done.

    A page may be short, or empty, while `next` leads on. What stands for a person is looked at as you ask.
    """
    found = await counter.run(worklist.read, wanted, zone=counter.room.zone)
    return _list(found, wanted.work, language)


def _list(found: WorkList, work: Work | None, language: str) -> WorkListOut:
    to_do = TO_DO[work].in_language(language) if work else ""
    return WorkListOut(
        policy_version=found.policy_version,
        counts={kind: AmountOut.model_validate(amount) for kind, amount in found.counts.items()},
        items=[_item(item, to_do) for item in found.items],
        next=found.next,
        as_of=found.as_of,
    )


def _item(item: Item, to_do: str) -> ItemOut:
    return ItemOut(
        subject=item.subject,
        purposes=list(item.purposes),
        guardianships=list(item.guardianships),
        since=item.since,
        to_do=to_do,
    )
