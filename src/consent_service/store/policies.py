"""The published policy versions."""

import json
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select

from consent_service.core.errors import RecordUntrusted
from consent_service.core.policy import Policy
from consent_service.core.policy_file import from_document
from consent_service.store import seals
from consent_service.store.db import ReadTx
from consent_service.store.tables import policy_version

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Published:
    """One immutable published edition of the policy; in force from `effective_at` until a later one is.

    Of those whose time has come, the one that was published last is in force: a version that takes effect before one
    that was published earlier takes that one's place, so that wordings go on as they were published.
    """

    policy: Policy
    effective_at: datetime
    published_at: datetime
    index: int


def _refuse_untrue(tx: ReadTx, row: Row[Any]) -> None:
    if not tx.keyring.is_sealed(seals.policy_message(row._mapping), row.seal):
        tx.trust.untrusted += 1
        logger.error("record_untrusted: the row of policy version %s fails its seal", row.version)
        raise RecordUntrusted("The policy version's row fails its seal; see: consent-service verify.")


async def compiled(tx: ReadTx, version: str) -> Policy | None:
    """The policy of this version, ready to be asked. Cached, since a published version never changes."""
    if version in tx.compiled:
        return tx.compiled[version]
    row = await tx.first(select(policy_version).where(policy_version.c.version == version))
    return _compiled(tx, row) if row else None


async def in_force(tx: ReadTx) -> Published | None:
    """The version in force now."""
    query = select(policy_version).where(policy_version.c.effective_at <= tx.now)
    row = await tx.first(query.order_by(policy_version.c.index.desc()).limit(1))
    return _published(tx, row) if row else None


async def in_force_at(tx: ReadTx, at: datetime, *, before: int) -> Published | None:
    """The version that was in force at an instant, of those published before the entry `before`."""
    query = select(policy_version).where(policy_version.c.effective_at <= at, policy_version.c.index < before)
    row = await tx.first(query.order_by(policy_version.c.index.desc()).limit(1))
    return _published(tx, row) if row else None


async def published(tx: ReadTx, version: str) -> Published | None:
    """The version of this name."""
    row = await tx.first(select(policy_version).where(policy_version.c.version == version))
    return _published(tx, row) if row else None


async def all_published(tx: ReadTx) -> list[Published]:
    """Every version, the oldest first."""
    return [_published(tx, row) for row in await tx.rows(select(policy_version).order_by(policy_version.c.index))]


def _published(tx: ReadTx, row: Row[Any]) -> Published:
    return Published(_compiled(tx, row), row.effective_at, row.published_at, row._mapping["index"])


def _compiled(tx: ReadTx, row: Row[Any]) -> Policy:
    if row.version not in tx.compiled:
        _refuse_untrue(tx, row)
        tx.compiled[row.version] = from_document(json.loads(row.document), name=row.version)
    return tx.compiled[row.version]
