"""Tags say in which sections of the text they were found."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take this step; what was tagged before has none."""
    op.add_column("tags", sa.Column("sections", sa.JSON(), nullable=True))
