"""The work list: how much the office has to do of each kind, and about whom."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from consent_service.store.worklist import Count, Search

AHEAD = timedelta(days=90)
"""How far hand-overs are looked for, if nobody says until when."""

MOST_HEARD = 20_000
"""How many people are heard for one number, at most."""

_MOST_FOR_PAGE = 2_000
_MOST_BY_LEAF = 2_000_000  # people times leaves: some seconds
_MANY = 10_000
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

    `purposes` is how many for each leaf, None where that was not counted.
    """

    people: int
    complete: bool
    purposes: dict[str, int] | None


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
    kinds = (asked.work,) if asked.work else tuple(Work)
    searches = [Search(work, terms, client.namespaces) for work in kinds]
    counts = {} if asked.after else await _amounts(tx, client, searches)
    items, behind = ((), None) if asked.work is None else await _page(tx, client, searches[0], asked, counts)
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


async def _amounts(tx: ReadTx, client: Client, searches: Sequence[Search]) -> dict[Work, Amount]:
    """How much there is of each kind; for one kind alone, leaf by leaf as well."""
    counted = await worklist.count(tx, searches)
    amounts = {one.work: await _amount(tx, client, one, told) for one, told in zip(searches, counted, strict=True)}
    never = amounts.get(Work.NEVER_ASKED)
    if never and len(searches) == 1 and never.people * len(searches[0].terms.asked_for) <= _MOST_BY_LEAF:
        return {Work.NEVER_ASKED: replace(never, purposes=await worklist.count_by_leaf(tx, searches[0]))}
    return amounts


async def _amount(tx: ReadTx, client: Client, search: Search, counted: Count) -> Amount:
    names = await worklist.people_to_hear(tx, search, limit=MOST_HEARD) if counted.to_hear else []
    found = counted.people
    for begin in range(0, len(names), _AT_ONCE):
        found += len(await _items(tx, client, search, names[begin : begin + _AT_ONCE]))
    return Amount(found, counted.to_hear <= MOST_HEARD, None)


async def _page(
    tx: ReadTx, client: Client, search: Search, asked: Asked, counts: Mapping[Work, Amount]
) -> tuple[tuple[Item, ...], str | None]:
    """The next items, and behind whom to go on."""
    amount = counts.get(search.work)
    if amount and amount.complete and not amount.people:
        return (), None
    are_many = search.work is Work.NEVER_ASKED and (amount is None or amount.people > _MANY)
    names = await worklist.people(tx, search, after=asked.after, limit=_MOST_FOR_PAGE + 1, are_many=are_many)
    items: list[Item] = []
    heard = 0
    while heard < min(len(names), _MOST_FOR_PAGE) and len(items) < asked.limit:
        items += await _items(tx, client, search, names[heard : heard + _AT_ONCE])
        heard += _AT_ONCE
    if len(items) > asked.limit:
        return tuple(items[: asked.limit]), items[asked.limit - 1].subject
    return tuple(items), names[heard - 1] if heard < len(names) else None


async def _items(tx: ReadTx, client: Client, search: Search, names: Sequence[str]) -> list[Item]:
    """The work about these people; about nobody whose row is not to be trusted."""
    facts = await projection.facts_for(tx, (), [Pseudonym(name) for name in names])
    states = [state for found in facts.states if (state := visible(found, client)) and state.trusted]
    return [item for state in states if (item := FINDINGS[search.work](state, search.terms))]
