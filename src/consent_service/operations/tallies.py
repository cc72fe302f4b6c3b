"""What stands, counted over all subjects: for a chart, and for what a policy version would do."""

from dataclasses import dataclass

from consent_service.core.clients import Client
from consent_service.core.consent import StateName, state_of
from consent_service.core.policy import Purpose
from consent_service.operations import policies
from consent_service.store import ledger as ledger_store
from consent_service.store import tallies
from consent_service.store.db import ReadTx
from consent_service.store.tallies import Count


@dataclass(frozen=True, slots=True)
class Stats:
    """How many subjects stand how, for each leaf of the policy in force."""

    policy_version: str
    subjects: int
    leaves: dict[str, dict[StateName, int]]
    as_of: int


async def stats(tx: ReadTx, client: Client) -> Stats:
    """How many of the subjects that the client may see stand how, for the leaves that it may ask for."""
    as_of = await ledger_store.size(tx)
    policy = (await policies.in_force(tx)).policy
    leaves = [leaf for leaf in policy.leaves if client.may_ask_for(leaf.code)]
    counted = await tallies.count(tx, [leaf.code for leaf in leaves], tx.now, namespaces=client.namespaces)
    return Stats(policy.version, counted.subjects, {leaf.code: _states(leaf, counted) for leaf in leaves}, as_of)


def _states(leaf: Purpose, counted: Count) -> dict[StateName, int]:
    states = dict.fromkeys(StateName, 0)
    for tally in counted.tallies:
        if tally.leaf == leaf.code:
            states[state_of(tally.action, tally.wording, leaf.counts_from, expired=tally.expired)] += tally.subjects
    states[StateName.NEVER_ASKED] = counted.subjects - sum(states.values())
    return states
