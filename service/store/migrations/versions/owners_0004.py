"""Submissions belong to who first sent them."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take this step; the audit log says who sent what is there already."""
    op.add_column("submissions", sa.Column("owner", sa.Text(), nullable=False, server_default=""))
    connection = op.get_bind()
    created = sa.text("SELECT actor, payload FROM audit_log WHERE action = 'submission.create' ORDER BY sequence")
    owners = {json.loads(row.payload)["external_id"]: row.actor for row in connection.execute(created)}
    if owners:
        connection.execute(
            sa.text("UPDATE submissions SET owner = :owner WHERE external_id = :external_id"),
            [{"owner": owner, "external_id": external_id} for external_id, owner in owners.items()],
        )
