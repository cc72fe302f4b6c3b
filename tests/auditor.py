"""The auditor's program, run over a test's database."""

import asyncio
import os
from pathlib import Path

from consent_service import keys
from consent_service.core.ledger import KeyUse
from consent_service.settings import Settings
from consent_service.verify import bundle, database, receipt
from consent_service.verify.database import Trust
from consent_service.verify.report import Report
from consent_service.verify.secrets import Secrets


def secrets(settings: Settings) -> Secrets:
    """Everything that the service holds."""
    held = keys.load(settings, os.urandom).held
    return Secrets(
        held[KeyUse.MASTER],
        held[KeyUse.SEAL],
        held[KeyUse.IDENTIFIER_PEPPER],
        held[KeyUse.CHECKPOINT],
        held[KeyUse.RECEIPT],
    )


async def verified(settings: Settings, shown: Path | None = None, *, blind: bool = False) -> Report:
    """What verify finds: with every secret and the anchors, or `blind` with none of either."""
    trust = Trust() if blind else Trust(settings.anchors, secrets=secrets(settings))
    held_out = receipt.read(shown) if shown else None
    return await asyncio.to_thread(database.verified, settings.database, trust, held_out, lambda _done, _of: None)


def verified_bundle(file: Path, trust: Trust | None = None, shown: Path | None = None) -> Report:
    """What verify finds in a bundle."""
    held_out = receipt.read(shown) if shown else None
    return bundle.verified(file, trust or Trust(), held_out, lambda _done, _of: None)
