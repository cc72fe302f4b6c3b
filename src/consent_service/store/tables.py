"""The tables. `migrations/` makes them; a test proves that both are the same, on SQLite and on PostgreSQL."""

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)
from sqlalchemy.types import TypeEngine

from consent_service.core.instants import from_text, to_text

metadata = MetaData()


class Instant(TypeDecorator[datetime]):
    """An aware UTC instant: `timestamptz` on PostgreSQL, RFC 3339 text with milliseconds on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime] | TypeEngine[str]:
        """Text on SQLite, which has no type for instants."""
        return String(24) if dialect.name == "sqlite" else DateTime(timezone=True)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | str | None:
        """Python to database."""
        return to_text(value) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | str | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 (SQLAlchemy's signature)
        """Database to Python."""
        return from_text(value) if isinstance(value, str) else value and value.astimezone(UTC)


_Id = String(40)
_Digest = String(43)  # 32 bytes in base64url without padding
_Json = Text

ledger_entry = Table(
    "ledger_entry",
    metadata,
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("subject", _Id),
    Column("body", LargeBinary, nullable=False),  # the exact bytes that were hashed
    Column("leaf_hash", LargeBinary, nullable=False),
    Index("ledger_entry_by_subject", "subject", "index"),
)

ledger_head = Table(
    "ledger_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # always 1
    Column("size", BigInteger, nullable=False),
    Column("at", Instant, nullable=False),
    Column("frontier", LargeBinary, nullable=False),  # 32 bytes for each set bit of size
)

ledger_node = Table(
    "ledger_node",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),  # 4, 8, 12, …: the root of 2^level entries
    Column("position", BigInteger, primary_key=True, autoincrement=False),  # from 0, left to right
    Column("hash", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("note", Text, nullable=False),
)

signing_key = Table(
    "signing_key",
    metadata,
    Column("kid", _Digest, primary_key=True),
    Column("use", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("public_key", _Digest),  # null for a secret
    Column("index", BigInteger, nullable=False),
)

entry_detail = Table(
    "entry_detail",
    metadata,
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("salt", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
)

subject_key = Table(
    "subject_key",
    metadata,
    Column("subject", _Id, primary_key=True),
    Column("wrapped_key", LargeBinary, nullable=False),
)

subject_identifier = Table(
    "subject_identifier",
    metadata,
    Column("lookup", _Digest, primary_key=True),
    Column("namespace", String(32), nullable=False),
    Column("subject", _Id, nullable=False),
    Column("index", BigInteger, nullable=False),
    Column("seal", LargeBinary),  # an HMAC over the row; written and checked once rows are sealed
    Index("subject_identifier_by_subject", "subject"),
    Index("subject_identifier_by_namespace", "namespace", "subject"),
)

subject_state = Table(
    "subject_state",
    metadata,
    Column("subject", _Id, primary_key=True),
    Column("last_index", BigInteger, nullable=False),
    Column("document", _Json, nullable=False),
    Column("seal", LargeBinary),  # an HMAC over the row; written and checked once rows are sealed
)

policy_version = Table(
    "policy_version",
    metadata,
    Column("version", String(64), primary_key=True),
    Column("effective_at", Instant, nullable=False),
    Column("published_at", Instant, nullable=False),
    Column("index", BigInteger, nullable=False),
    Column("document", _Json, nullable=False),
    Column("seal", LargeBinary),  # an HMAC over the row
)

client = Table(
    "client",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("name", String(100), nullable=False),
    Column("key_hash", _Digest, nullable=False, unique=True),
    Column("scopes", _Json, nullable=False),
    Column("purposes", _Json, nullable=False),
    Column("namespaces", _Json, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
    Column("index", BigInteger, nullable=False),
    Column("seal", LargeBinary),  # an HMAC over the row
)
Index(
    "client_live_name",
    client.c.name,
    unique=True,
    sqlite_where=client.c.revoked_at.is_(None),
    postgresql_where=client.c.revoked_at.is_(None),
)

decision = Table(
    "decision",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("client", _Id, nullable=False),  # for whom it was decided
    Column("subject", _Id),  # null for an unknown person, and for a filter as a whole
    Column("purpose", String(200), nullable=False),
    Column("within", String(200)),
    Column("permitted", Boolean, nullable=False),
    Column("reasons", _Json, nullable=False),
    Column("policy_version", String(64), nullable=False),
    Column("as_of", BigInteger, nullable=False),
    Column("expires_at", Instant),
    Column("namespace", String(32)),  # of the identifier that was asked with; null for a pseudonym
    Column("asked_by", _Id),  # the client that asked, where that is another one
    Column("part_of", _Id),  # the filter that this was a part of
    Index("decision_by_subject", "subject", "id"),
)
Index(
    "decision_by_part_of",
    decision.c.part_of,
    decision.c.id,
    sqlite_where=decision.c.part_of.is_not(None),
    postgresql_where=decision.c.part_of.is_not(None),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("client", _Id, primary_key=True),
    Column("operation", String(64), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("at", Instant, nullable=False),
    Column("fingerprint", _Digest, nullable=False),
    Column("answer", LargeBinary, nullable=False),  # sealed under the master key
    Index("idempotency_by_at", "at"),
)

secret_mark = Table(
    "secret_mark",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("mark", _Digest, nullable=False),
)
