"""The work list: how much the office has to do of each kind, and about whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from consent_service.core.clients import Client
from consent_service.core.errors import ClientNotPermitted, InvalidInput
from consent_service.core.instants import local_date
from consent_service.core.people import Pseudonym
from consent_service.core.policy import Policy, Purpose
from consent_service.core.worklist import FINDINGS, Item, Terms, Work
from consent_service.operations import policies
from consent_service.operations.checks import policy_of, visible
from consent_service.store import projection, worklist
from consent_service.store.db import ReadTx

AHEAD = timedelta(days=90)
"""How far hand-overs are looked for, if nobody says until when."""

MOST_HEARD = 20_000
"""How many people are heard for one number, at most."""

_MOST_FOR_PAGE = 2_000
_AT_ONCE = 100  # so that checks get their turns in between


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants to see: a kind of work, or all; of the leaves of a purpose, or of all; until which day.

    Behind `after`, up to `limit` people.
    """

    work: Work | None = None
    purpose: str | None = None
    until: date | None = None
    after: str = ""
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Amount:
    """How many people there is work of a kind about; where it is not `complete`, there may be more of them.

    `purposes` is how many for each leaf, where that was counted.
    """

    people: int
    complete: bool
    purposes: dict[str, int]


@dataclass(frozen=True, slots=True)
class WorkList:
    """How much there is of each kind that was counted, and a page of one; `next` goes into `after` for the next."""

    policy_version: str
    counts: dict[Work, Amount]
    items: tuple[Item, ...]
    next: str | None
    as_of: int


async def read(tx: ReadTx, client: Client, asked: Asked, *, zone: ZoneInfo) -> WorkList:
    """A page of the kind that was asked for, counted with its first page; or, without a kind, the numbers of all.

    Raises InvalidInput for a purpose or a day that means nothing here, and ClientNotPermitted.
    """
    facts = await projection.facts_for(tx, (), ())
    policy = await policy_of(tx, facts)
    until = asked.until or local_date(facts.at, zone) + AHEAD
    terms = Terms(policy, _leaves(policy, client, asked.purpose), facts.at, until, zone)
    kinds = () if asked.after else (asked.work,) if asked.work else tuple(Work)
    counts = {work: await _amount(tx, client, work, terms, by_leaf=asked.work is not None) for work in kinds}
    items, behind = await _page(tx, client, asked.work, terms, asked) if asked.work else ((), None)
    return WorkList(policy.version, counts, items, behind, facts.as_of)


def _leaves(policy: Policy, client: Client, purpose: str | None) -> tuple[Purpose, ...]:
    if purpose is None:
        return tuple(leaf for leaf in policy.leaves if client.may_ask_for(leaf.code))
    found = policy.find(purpose)
    if found is None:
        raise InvalidInput.at("query/purpose", policies.unknown_purpose(policy, purpose))
    if not client.may_ask_for(purpose):
        raise ClientNotPermitted("This client is not registered for this purpose.")
    return found.leaves


async def _amount(tx: ReadTx, client: Client, work: Work, terms: Terms, *, by_leaf: bool) -> Amount:
    counted = await worklist.count(tx, work, terms, client.namespaces, by_leaf=by_leaf)
    names = await worklist.people(tx, work, terms, client.namespaces, after="", limit=MOST_HEARD + 1, heard_only=True)
    found = 0
    for begin in range(0, min(len(names), MOST_HEARD), _AT_ONCE):
        found += len(await _items(tx, client, work, terms, names[begin : begin + _AT_ONCE]))
    return Amount(counted.people + found, len(names) <= MOST_HEARD, counted.purposes)


async def _page(
    tx: ReadTx, client: Client, work: Work, terms: Terms, asked: Asked
) -> tuple[tuple[Item, ...], str | None]:
    """The next items, and behind whom to go on."""
    names = await worklist.people(tx, work, terms, client.namespaces, after=asked.after, limit=_MOST_FOR_PAGE + 1)
    items: list[Item] = []
    heard = 0
    while heard < min(len(names), _MOST_FOR_PAGE) and len(items) < asked.limit:
        items += await _items(tx, client, work, terms, names[heard : heard + _AT_ONCE])
        heard += _AT_ONCE
    if len(items) > asked.limit:
        return tuple(items[: asked.limit]), items[asked.limit - 1].subject
    return tuple(items), names[heard - 1] if heard < len(names) else None


async def _items(tx: ReadTx, client: Client, work: Work, terms: Terms, names: Sequence[str]) -> list[Item]:
    """The work about these people; about nobody whose row is not to be trusted."""
    facts = await projection.facts_for(tx, (), [Pseudonym(name) for name in names])
    states = [state for found in facts.states if (state := visible(found, client)) and state.trusted]
    return [item for state in states if (item := FINDINGS[work](state, terms))]
