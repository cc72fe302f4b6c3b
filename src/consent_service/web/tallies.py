"""What stands, counted over all people."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from consent_service.core.clients import Scope
from consent_service.core.consent import StateName
from consent_service.operations import tallies
from consent_service.operations.tallies import Stats
from consent_service.web.bodies import StrictRoute
from consent_service.web.deps import Counter, counts
from consent_service.web.openapi import READING, Tag
from consent_service.web.outputs import Output
from consent_service.web.problems import documented

router = APIRouter(route_class=StrictRoute, tags=[Tag.SERVICE])


class LeafStatsOut(Output):
    """How many people stand how for one leaf."""

    yes: int = Field(description="Yeses that count today, as far as what was said goes.")
    refused: int
    withdrawn: int
    expired: int
    policy_changed: int
    never_asked: int


class StatsOut(Output):
    """How many people there are, and how they stand for each leaf of the policy in force."""

    policy_version: str
    subjects: int
    leaves: dict[str, LeafStatsOut]
    as_of: int


@router.get(
    "/v1/stats",
    operation_id="readStats",
    summary="See how many people said yes and no",
    responses=documented(*READING),
)
async def stats(counter: Annotated[Counter, counts(Scope.AUDIT_READ)]) -> StatsOut:
    """For a chart: each purpose with its yeses and noes. Counted when you ask, of the people that your key may see."""
    return _stats(await counter.run(tallies.stats))


def _stats(found: Stats) -> StatsOut:
    return StatsOut(
        policy_version=found.policy_version,
        subjects=found.subjects,
        leaves={leaf: _leaf(states) for leaf, states in found.leaves.items()},
        as_of=found.as_of,
    )


def _leaf(states: dict[StateName, int]) -> LeafStatsOut:
    return LeafStatsOut(yes=states[StateName.GRANTED], **{name: n for name, n in states.items() if name != "granted"})
