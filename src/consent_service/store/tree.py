"""The stored tree: any hash of it, from the leaves and the nodes that appending left."""

import json
from collections.abc import Iterable, Mapping, Sequence

from consent_service.core import merkle
from consent_service.core.errors import LedgerDamaged
from consent_service.core.merkle import HASH_BYTES, Place, Range
from consent_service.store.db import ReadTx

# The lateral joins leave the planner no choice but the primary keys, whatever it believes about the tables' sizes.
_STORED_POSTGRESQL = """
SELECT 0, e."index", e.leaf_hash FROM unnest($1::bigint[]) q("index")
JOIN LATERAL (SELECT "index", leaf_hash FROM ledger_entry WHERE "index" = q."index" LIMIT 1) e ON true
UNION ALL
SELECT n.level, n.position, n.hash FROM unnest($2::int[], $3::bigint[]) q(level, position)
JOIN LATERAL (SELECT * FROM ledger_node WHERE level = q.level AND position = q.position LIMIT 1) n ON true
"""

_STORED_SQLITE = """
SELECT 0, e."index", e.leaf_hash FROM json_each(?1) q CROSS JOIN ledger_entry e ON e."index" = q.value
UNION ALL
SELECT n.level, n.position, n.hash FROM json_each(?2) q CROSS JOIN ledger_node n
  ON n.level = json_extract(q.value, '$[0]') AND n.position = json_extract(q.value, '$[1]')
"""


async def hashes(tx: ReadTx, ranges: Sequence[Range]) -> list[bytes]:
    """The Merkle tree hash of each of these ranges of leaves, all of which the ledger has.

    Raises LedgerDamaged when a hash is missing that appending had stored.
    """
    stored = await _stored(tx, merkle.stored_places(ranges))
    try:
        return [merkle.range_hash(one, stored) for one in ranges]
    except KeyError:
        raise LedgerDamaged("The ledger lacks a hash that it must have; see: consent-service verify.") from None


async def root_at(tx: ReadTx, size: int) -> bytes:
    """The root hash of the tree when it had this size. Raises LedgerDamaged."""
    return (await hashes(tx, [(0, size)]))[0]


async def _stored(tx: ReadTx, places: Iterable[Place]) -> Mapping[Place, bytes]:
    leaves = [position for level, position in places if level == 0]
    nodes = [place for place in places if place[0] > 0]
    if tx.dialect == "postgresql":
        levels, positions = [level for level, _ in nodes], [position for _, position in nodes]
        rows = await tx.fetch(_STORED_POSTGRESQL, leaves, levels, positions)
    else:
        rows = await tx.fetch(_STORED_SQLITE, json.dumps(leaves), json.dumps(nodes))
    return {(level, position): found for level, position, found in rows}


def split(frontier: bytes) -> list[bytes]:
    """The frontier's hashes, as the head has them one after the other."""
    return [frontier[i : i + HASH_BYTES] for i in range(0, len(frontier), HASH_BYTES)]
