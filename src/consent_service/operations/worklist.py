"""The work list: how much the office has to do of each kind, and about whom."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from consent_service.core.clients import Client
from consent_service.core.errors import ClientNotPermitted, InvalidInput
from consent_service.core.instants import local_date
from consent_service.core.policy import Policy, Purpose
from consent_service.core.worklist import FINDINGS, Item, Terms, Work
from consent_service.operations.checks import policy_of
from consent_service.operations.people import AT_ONCE, seen_in_turns
from consent_service.store import projection, worklist
from consent_service.store.db import ReadTx
from consent_service.store.worklist import Count, Search

AHEAD = timedelta(days=90)
"""How far hand-overs are looked for, if nobody says until when."""

MOST_HEARD = 5_000
"""How many people are heard for one number, at most."""

MOST_FOR_PAGE = 2_000
"""How many people are looked at for one page, at most."""

_MOST_BY_LEAF = 2_000_000  # people times leaves: some seconds
_MANY = 10_000
_ALL_HEARD = Count(0, 1)


@dataclass(frozen=True, slots=True)
class Wanted:
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


Page = tuple[tuple[Item, ...], str | None]
"""Items, and behind whom to go on; None at the end."""


@dataclass(frozen=True, slots=True)
class WorkList:
    """How much there is of each kind that was counted, and a page of one; `next` goes into `after` for the next."""

    policy_version: str
    counts: dict[Work, Amount]
    items: tuple[Item, ...]
    next: str | None
    as_of: int


async def read(tx: ReadTx, client: Client, wanted: Wanted, *, zone: ZoneInfo) -> WorkList:
    """A page of the kind that was asked for, counted with its first page; or, without a kind, the numbers of all.

    Raises InvalidInput for what means nothing here, and ClientNotPermitted.
    """
    _refuse_idle(wanted)
    facts = await projection.facts_for(tx, (), ())
    policy = await policy_of(tx, facts)
    until = wanted.until or local_date(facts.at, zone) + AHEAD
    terms = Terms(policy, _leaves(policy, client, wanted.purpose), facts.at, until, zone)
    if wanted.work is None:
        searches = [Search(work, terms, client.namespaces) for work in Work]
        return WorkList(policy.version, await _amounts(tx, client, searches), (), None, facts.as_of)
    search = Search(wanted.work, terms, client.namespaces)
    amount, page = await _page_with_amount(tx, client, search, wanted)
    return WorkList(policy.version, {wanted.work: amount} if amount else {}, *page, facts.as_of)


def _refuse_idle(wanted: Wanted) -> None:
    """Nobody is to believe that they narrowed what they did not."""
    if wanted.after and wanted.work is None:
        raise InvalidInput.at("query/kind", "`after` goes on with the pages of one kind; name it here")
    if wanted.purpose and wanted.work in (Work.BIRTH_DATE_MISSING, Work.GUARDIAN_UNVERIFIED):
        raise InvalidInput.at("query/purpose", "this kind of work is about no purpose; leave `purpose` out")
    if wanted.until and wanted.work not in (None, Work.HANDOVER_DUE):
        raise InvalidInput.at("query/until", "only handover_due has a last day; leave `until` out")


def _leaves(policy: Policy, client: Client, purpose: str | None) -> tuple[Purpose, ...]:
    if purpose is None:
        return tuple(leaf for leaf in policy.leaves if client.may_ask_for(leaf.code))
    found = policy.find(purpose)
    if found is None:
        raise InvalidInput.at("query/purpose", policy.unknown_sentence(purpose))
    if not client.may_ask_for(purpose):
        raise ClientNotPermitted("This client is not registered for this purpose.")
    return found.leaves


async def _amounts(tx: ReadTx, client: Client, searches: Sequence[Search]) -> dict[Work, Amount]:
    """How much there is of each kind: counted in one pass as far as it can be counted, and heard else."""
    counted = [one for one in searches if one.work not in worklist.HEARD]
    found = dict(zip([one.work for one in counted], await worklist.count(tx, counted), strict=True))
    return {one.work: await _amount(tx, client, one, found.get(one.work, _ALL_HEARD)) for one in searches}


async def _amount(tx: ReadTx, client: Client, search: Search, counted: Count) -> Amount:
    items, behind = await _heard(tx, client, search) if counted.to_hear else ((), None)
    return Amount(counted.people + len(items), behind is None, None)


async def _heard(tx: ReadTx, client: Client, search: Search) -> Page:
    """The work about those who have to be heard, as far as they are not too many."""
    names = await worklist.people_to_hear(tx, search, limit=MOST_HEARD + 1)
    items = await _items(tx, client, search, names[:MOST_HEARD])
    return tuple(items), names[MOST_HEARD - 1] if len(names) > MOST_HEARD else None


async def _page_with_amount(tx: ReadTx, client: Client, search: Search, wanted: Wanted) -> tuple[Amount | None, Page]:
    """A page, and with the first one how much there is."""
    if wanted.after:
        return None, await _page(tx, client, search, wanted, are_many=True)
    if search.work in worklist.HEARD:
        items, behind = await _heard(tx, client, search)
        return Amount(len(items), behind is None, None), _cut(items, wanted.limit, behind)
    amount = (await _amounts(tx, client, [search]))[search.work]
    if not amount.people and amount.complete:
        return amount, ((), None)
    return await _by_leaf(tx, search, amount), await _page(tx, client, search, wanted, are_many=amount.people > _MANY)


async def _by_leaf(tx: ReadTx, search: Search, amount: Amount) -> Amount:
    """With the numbers for each leaf, where that is quick."""
    looks = amount.people * len(search.terms.asked_for)
    if search.work is not Work.NEVER_ASKED or looks > _MOST_BY_LEAF:
        return amount
    return replace(amount, purposes=await worklist.count_by_leaf(tx, search))


async def _page(tx: ReadTx, client: Client, search: Search, wanted: Wanted, *, are_many: bool) -> Page:
    in_order = are_many and search.work in (Work.NEVER_ASKED, Work.POLICY_CHANGED)
    names = await worklist.people(tx, search, after=wanted.after, limit=MOST_FOR_PAGE + 1, are_many=in_order)
    items: list[Item] = []
    heard = 0
    while heard < min(len(names), MOST_FOR_PAGE) and len(items) < wanted.limit:
        items += await _items(tx, client, search, names[heard : heard + AT_ONCE])
        heard += AT_ONCE
    return _cut(items, wanted.limit, names[heard - 1] if heard < len(names) else None)


def _cut(items: Sequence[Item], limit: int, behind: str | None) -> Page:
    """The first items; `behind` is whom it goes on behind when these are all."""
    if len(items) > limit:
        return tuple(items[:limit]), items[limit - 1].subject
    return tuple(items), behind


async def _items(tx: ReadTx, client: Client, search: Search, names: Sequence[str]) -> list[Item]:
    """The work about these people; about nobody whose row is not to be trusted."""
    finding, terms = FINDINGS[search.work], search.terms
    return [item async for state in seen_in_turns(tx, client, names) if (item := finding(state, terms))]
