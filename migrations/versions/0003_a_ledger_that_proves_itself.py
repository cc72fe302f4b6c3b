"""The tree's nodes, checkpoints, signing keys; seals on clients and policy versions.

Revision ID: 0003
"""

import hashlib
from collections.abc import Callable, Iterator

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_APPEND_ONLY = ("ledger_node", "checkpoint")
_STEP = 4  # levels from one that is stored to the next
_WIDTH = 1 << _STEP
_AT_ONCE = 1024 * _WIDTH


def upgrade() -> None:
    instant = sa.String(24) if _on_sqlite() else sa.DateTime(timezone=True)
    op.add_column("client", sa.Column("seal", sa.LargeBinary))
    op.add_column("policy_version", sa.Column("seal", sa.LargeBinary))
    op.create_table(
        "signing_key",
        sa.Column("kid", sa.String(43), primary_key=True),
        sa.Column("use", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("public_key", sa.String(43)),
        sa.Column("index", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "checkpoint",
        sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", instant, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
    )
    node = op.create_table(
        "ledger_node",
        sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    _fill(node)
    for table in _APPEND_ONLY:
        _refuse_changes(table)


def _on_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _fill(node: sa.Table) -> None:
    """The nodes of the entries that are there: each level from the stored one below it."""
    level, found = _STEP, _fill_level(node, _STEP, _leaf_hashes())
    while found >= _WIDTH:
        level += _STEP
        found = _fill_level(node, level, _hashes_of(node, level - _STEP))


def _fill_level(node: sa.Table, level: int, pages: Iterator[list[bytes]]) -> int:
    """Write a level's nodes from the hashes of the level below, read in whole nodes; answers how many there are."""
    position = 0
    for page in pages:
        whole = [page[i : i + _WIDTH] for i in range(0, len(page) // _WIDTH * _WIDTH, _WIDTH)]
        rows = [{"level": level, "position": position + i, "hash": _folded(one)} for i, one in enumerate(whole)]
        if rows:
            op.get_bind().execute(node.insert(), rows)
        position += len(rows)
    return position


def _leaf_hashes() -> Iterator[list[bytes]]:
    entry = sa.table("ledger_entry", sa.column("index"), sa.column("leaf_hash"))
    query = sa.select(entry.c.leaf_hash).order_by(entry.c.index).limit(_AT_ONCE)
    return _pages(lambda last: query.where(entry.c.index >= last))


def _hashes_of(node: sa.Table, level: int) -> Iterator[list[bytes]]:
    query = sa.select(node.c.hash).where(node.c.level == level).order_by(node.c.position).limit(_AT_ONCE)
    return _pages(lambda last: query.where(node.c.position >= last))


def _pages(query_from: Callable[[int], sa.Select]) -> Iterator[list[bytes]]:
    begin = 0
    while page := [bytes(hash_) for hash_ in op.get_bind().execute(query_from(begin)).scalars()]:
        yield page
        begin += len(page)


def _folded(hashes: list[bytes]) -> bytes:
    while len(hashes) > 1:
        pairs = zip(hashes[::2], hashes[1::2], strict=True)
        hashes = [hashlib.sha256(b"\x01" + left + right).digest() for left, right in pairs]
    return hashes[0]


def _refuse_changes(table: str) -> None:
    """The first fence; the hashes are the proof. On SQLite it needs recursive_triggers=ON against INSERT OR REPLACE."""
    if _on_sqlite():
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION {table}_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_is_append_only()"
    )
    op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_append_only")
