"""Whether the database can keep what we promise."""

from sqlalchemy import text

from consent_service.store import schema
from consent_service.store.db import Database, ReadTx

_MUST_BE: dict[str, tuple[str, ...]] = {
    "fsync": ("on",),
    "synchronous_commit": ("on", "remote_apply", "remote_write", "local"),
    "full_page_writes": ("on",),
    "transaction_read_only": ("off",),
}


async def faults(database: Database) -> list[str]:
    """What keeps the database from being used, each in a sentence; empty when it is ready.

    Raises Unavailable when it cannot be asked.
    """
    if database.trust.fault is not None:
        return [database.trust.fault]
    async with database.read() as tx:
        found = await _postgresql_faults(tx) if tx.dialect == "postgresql" else []
    if await schema.current(database) != schema.head():
        found.append("the schema is not this version's; run: consent-service migrate")
    return found


async def others(tx: ReadTx) -> int:
    """How many connections of the service there are besides this one; an embedded database has a lock instead."""
    if tx.dialect != "postgresql":
        return 0
    row = await tx.first(
        text(
            "SELECT count(*) AS others FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name = current_setting('application_name') AND pid <> pg_backend_pid()"
        )
    )
    return row.others if row else 0


async def _postgresql_faults(tx: ReadTx) -> list[str]:
    """A standby, or a server that acknowledges what it has not yet written, would break the promises."""
    standby = await tx.first(text("SELECT pg_is_in_recovery() AS standby"))
    found = ["this is a standby; checks have to read the primary"] if standby and standby.standby else []
    for name, allowed in _MUST_BE.items():
        row = await tx.first(text("SELECT current_setting(:name) AS value"), {"name": name})
        if row and row.value not in allowed and not found:
            found.append(f"{name} is {row.value}; set it to {allowed[0]}")
    return found
