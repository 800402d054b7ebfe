"""Clusterings of comments with their edits, and jobs of other kinds than tagging."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Take this step."""
    op.add_column("jobs", sa.Column("kind", sa.Text(), nullable=False, server_default="classify"))
    op.add_column("jobs", sa.Column("steps", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("jobs", sa.Column("share", sa.Float(), nullable=False, server_default="0"))

    op.create_table(
        "clusterings",
        sa.Column("key", _KEY, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("left_out", sa.JSON(), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.Column("updated", sa.DateTime(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("masked", sa.JSON(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("tree", sa.JSON(), nullable=True),
        sa.Column("made", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("key", name="pk_clusterings"),
        sa.UniqueConstraint("id", name="uq_clusterings_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_clusterings_job_id", "clusterings", ["job_id"])

    op.create_table(
        "clustering_comments",
        sa.Column("clustering_key", _KEY, autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("comment_id", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("flags", sa.JSON(), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=True),
        sa.Column("subtopic", sa.Text(), nullable=True),
        sa.Column("campaign", sa.Text(), nullable=True),
        sa.Column("minority", sa.Text(), nullable=True),
        sa.Column("place", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(
            ["clustering_key"],
            ["clusterings.key"],
            name="fk_clustering_comments_clustering_key",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("clustering_key", "position", name="pk_clustering_comments"),
        sa.UniqueConstraint("clustering_key", "comment_id", name="uq_clustering_comments_clustering_key_comment_id"),
    )
    op.create_index("ix_clustering_comments_clustering_key_topic", "clustering_comments", ["clustering_key", "topic"])

    op.create_table(
        "clustering_edits",
        sa.Column("clustering_key", _KEY, autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("edit", sa.JSON(), nullable=True),
        sa.Column("undoes", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["clustering_key"], ["clusterings.key"], name="fk_clustering_edits_clustering_key", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("clustering_key", "number", name="pk_clustering_edits"),
    )
