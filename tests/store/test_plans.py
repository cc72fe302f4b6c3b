"""The statement of every check finds its rows by index, whatever PostgreSQL believes about tables not yet analyzed."""

import asyncpg
import pytest

from consent_service.store.projection import _FACTS_POSTGRESQL
from consent_service.store.tree import _STORED_POSTGRESQL

pytestmark = pytest.mark.anyio


async def test_facts_are_found_by_index_on_tables_without_statistics(postgres_database: str) -> None:
    connection = await asyncpg.connect(postgres_database)
    try:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        await connection.execute(f"PREPARE facts(timestamptz, text[], text[], text[]) AS {_FACTS_POSTGRESQL}")
        rows = await connection.fetch("EXPLAIN EXECUTE facts(now(), ARRAY['k'], ARRAY['l'], ARRAY['s'])")
    finally:
        await connection.close()
    plan = "\n".join(row[0] for row in rows)
    for table in ("client", "subject_identifier", "subject_state"):
        assert f"on {table}" in plan
        assert f"Seq Scan on {table}" not in plan, plan
    assert "Hash Join" not in plan
    assert "Merge Join" not in plan


async def test_a_proofs_hashes_are_found_by_index_on_tables_without_statistics(postgres_database: str) -> None:
    connection = await asyncpg.connect(postgres_database)
    try:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        await connection.execute(f"PREPARE stored(bigint[], int[], bigint[]) AS {_STORED_POSTGRESQL}")
        rows = await connection.fetch("EXPLAIN EXECUTE stored(ARRAY[1], ARRAY[4], ARRAY[0])")
    finally:
        await connection.close()
    plan = "\n".join(row[0] for row in rows)
    for index in ("ledger_entry_pkey", "ledger_node_pkey"):
        assert f"using {index}" in plan or f"on {index}" in plan, plan
    assert "Seq Scan" not in plan, plan
