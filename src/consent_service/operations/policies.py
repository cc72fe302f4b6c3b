"""The policy: publishing the shipped version, and reading what is in force."""

from datetime import datetime
from zoneinfo import ZoneInfo

from consent_service.core import ledger
from consent_service.core.errors import PolicyVersionNotFound, PurposeNotFound, Unavailable
from consent_service.core.instants import start_of_day
from consent_service.core.policy import Policy, Purpose
from consent_service.core.policy_file import to_document
from consent_service.store import ledger as ledger_store
from consent_service.store import policies
from consent_service.store.db import ReadTx, WriteTx
from consent_service.store.policies import Published


async def publish_first(tx: WriteTx, policy: Policy, *, zone: ZoneInfo) -> bool:
    """Publish the school's policy if nothing was published yet; answers whether it did."""
    append = await ledger_store.begin(tx)
    if await ledger_store.holds(tx, "policy"):
        return False
    append.add(_published_body(policy, append.at, start_of_day(policy.effective_from, zone)))
    await append.write()
    return True


async def in_force(tx: ReadTx) -> Published:
    """The version in force now. Raises Unavailable when none is: no policy, no answer."""
    found = await policies.in_force(tx)
    if found is None:
        raise Unavailable("No policy version is in force yet.")
    return found


async def published(tx: ReadTx, version: str) -> Published:
    """The version of this name. Raises PolicyVersionNotFound."""
    found = await policies.published(tx, version)
    if found is None:
        raise PolicyVersionNotFound("No policy version has this name; list them with GET /v1/policy/versions.")
    return found


async def all_published(tx: ReadTx) -> list[Published]:
    """Every version, the oldest first."""
    return await policies.all_published(tx)


async def purpose(tx: ReadTx, code: str) -> tuple[Published, Purpose]:
    """A purpose of the version in force. Raises PurposeNotFound."""
    current = await in_force(tx)
    found = current.policy.find(code)
    if found is None:
        raise PurposeNotFound(current.policy.unknown_sentence(code))
    return current, found


def _published_body(policy: Policy, at: datetime, effective_at: datetime) -> ledger.PolicyPublished:
    return ledger.PolicyPublished(
        at=at,
        recorded_by=ledger.OPERATOR,
        version=policy.version,
        effective_at=effective_at,
        policy=to_document(policy),
    )
