"""The ledger, its details and head, the projection, decisions and idempotency.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_APPEND_ONLY = ("ledger_entry",)


def upgrade() -> None:
    instant = sa.String(24) if _on_sqlite() else sa.DateTime(timezone=True)
    _ledger(instant)
    _projection(instant)
    _service(instant)
    op.execute("INSERT INTO ledger_head (id, size, at, frontier) VALUES (1, 0, '1970-01-01T00:00:00.000Z', '')")
    for table in _APPEND_ONLY:
        _refuse_changes(table)


def _on_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _ledger(instant: sa.types.TypeEngine) -> None:
    op.create_table(
        "ledger_entry",
        sa.Column("index", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", instant, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(40)),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
    )
    op.create_index("ledger_entry_by_subject", "ledger_entry", ["subject", "index"])
    op.create_table(
        "ledger_head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("at", instant, nullable=False),
        sa.Column("frontier", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "entry_detail",
        sa.Column("index", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("salt", sa.LargeBinary, nullable=False),
        sa.Column("ciphertext", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "subject_key",
        sa.Column("subject", sa.String(40), primary_key=True),
        sa.Column("wrapped_key", sa.LargeBinary, nullable=False),
    )


def _projection(instant: sa.types.TypeEngine) -> None:
    op.create_table(
        "subject_identifier",
        sa.Column("lookup", sa.String(43), primary_key=True),
        sa.Column("namespace", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(40), nullable=False),
        sa.Column("index", sa.BigInteger, nullable=False),
        sa.Column("seal", sa.LargeBinary),
    )
    op.create_index("subject_identifier_by_subject", "subject_identifier", ["subject"])
    op.create_table(
        "subject_state",
        sa.Column("subject", sa.String(40), primary_key=True),
        sa.Column("last_index", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("seal", sa.LargeBinary),
    )
    op.create_table(
        "policy_version",
        sa.Column("version", sa.String(64), primary_key=True),
        sa.Column("effective_at", instant, nullable=False),
        sa.Column("published_at", instant, nullable=False),
        sa.Column("index", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "client",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("key_hash", sa.String(43), nullable=False, unique=True),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("purposes", sa.Text, nullable=False),
        sa.Column("namespaces", sa.Text, nullable=False),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("expires_at", instant),
        sa.Column("revoked_at", instant),
        sa.Column("index", sa.BigInteger, nullable=False),
    )
    live = sa.text("revoked_at IS NULL")
    op.create_index("client_live_name", "client", ["name"], unique=True, sqlite_where=live, postgresql_where=live)


def _service(instant: sa.types.TypeEngine) -> None:
    op.create_table(
        "decision",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("at", instant, nullable=False),
        sa.Column("client", sa.String(40), nullable=False),
        sa.Column("subject", sa.String(40)),
        sa.Column("purpose", sa.String(200), nullable=False),
        sa.Column("within", sa.String(200)),
        sa.Column("permitted", sa.Boolean, nullable=False),
        sa.Column("reasons", sa.Text, nullable=False),
        sa.Column("policy_version", sa.String(64), nullable=False),
        sa.Column("as_of", sa.BigInteger, nullable=False),
        sa.Column("expires_at", instant),
    )
    op.create_index("decision_by_subject", "decision", ["subject", "id"])
    op.create_table(
        "idempotency",
        sa.Column("client", sa.String(40), primary_key=True),
        sa.Column("operation", sa.String(64), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("at", instant, nullable=False),
        sa.Column("fingerprint", sa.String(43), nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
    )
    op.create_index("idempotency_by_at", "idempotency", ["at"])
    op.create_table(
        "secret_mark",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("mark", sa.String(43), nullable=False),
    )


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
