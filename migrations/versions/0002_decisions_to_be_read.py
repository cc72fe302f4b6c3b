"""Decisions to be read and replayed; the subjects of a namespace in order.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("decision", sa.Column("namespace", sa.String(32)))
    op.add_column("decision", sa.Column("asked_by", sa.String(40)))
    op.add_column("decision", sa.Column("part_of", sa.String(40)))
    of_a_filter = sa.text("part_of IS NOT NULL")
    op.create_index(
        "decision_by_part_of", "decision", ["part_of", "id"], sqlite_where=of_a_filter, postgresql_where=of_a_filter
    )
    op.create_index("subject_identifier_by_namespace", "subject_identifier", ["namespace", "subject"])
