"""The tables."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

_Key = BigInteger().with_variant(Integer, "sqlite")


class UtcTime(TypeDecorator[datetime]):
    """An aware time, kept in UTC: SQLite has no time zones."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC, without its zone."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """With its zone again."""
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """All tables; constraints have names, so that a migration can speak of them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class SubmissionRow(Base):
    """A submission."""

    __tablename__ = "submissions"
    # A key is never given again, so that a cursor or an ETag of a deleted row means nothing else.
    __table_args__ = (UniqueConstraint("external_id"), Index(None, "updated"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(_Key, primary_key=True)
    external_id: Mapped[str] = mapped_column(Text)
    owner: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    language: Mapped[str | None] = mapped_column(Text)
    details: Mapped[dict[str, Any]] = mapped_column("metadata", JSON)
    created: Mapped[datetime] = mapped_column(UtcTime)
    updated: Mapped[datetime] = mapped_column(UtcTime)
    revision: Mapped[int] = mapped_column(Integer)
    version: Mapped[int] = mapped_column(Integer)
    model: Mapped[str] = mapped_column(Text)
    needs_review: Mapped[bool]
    problem: Mapped[str | None] = mapped_column(Text)

    tags: Mapped[list[TagRow]] = relationship(
        cascade="all, delete-orphan", order_by="TagRow.id", passive_deletes=True, lazy="selectin"
    )
    decisions: Mapped[list[DecisionRow]] = relationship(
        cascade="all, delete-orphan", order_by="DecisionRow.id", passive_deletes=True, lazy="selectin"
    )


class TagRow(Base):
    """A tag that the model gave to the present text of a submission."""

    __tablename__ = "tags"
    __table_args__ = (UniqueConstraint("submission_id", "level", "label"), Index(None, "level", "label"))

    id: Mapped[int] = mapped_column(_Key, primary_key=True)
    submission_id: Mapped[int] = mapped_column(_Key, ForeignKey("submissions.id", ondelete="CASCADE"))
    level: Mapped[str] = mapped_column(Text)
    label: Mapped[str] = mapped_column(Text)
    score: Mapped[float]
    evidence: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    # None in a text without pages or headings, and in rows from before they were kept.
    sections: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON(none_as_null=True))
    model: Mapped[str] = mapped_column(Text)


class DecisionRow(Base):
    """A reviewer's decision."""

    __tablename__ = "decisions"
    __table_args__ = (
        Index(None, "submission_id", "state"),
        Index(None, "level", "label"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(_Key, primary_key=True)
    submission_id: Mapped[int] = mapped_column(_Key, ForeignKey("submissions.id", ondelete="CASCADE"))
    revision: Mapped[int] = mapped_column(Integer)
    level: Mapped[str] = mapped_column(Text)
    label: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(Text)
    reviewer: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(UtcTime)
    note: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)


class AnswerRow(Base):
    """An answer that a repeated request gets again."""

    __tablename__ = "answers"
    __table_args__ = (Index(None, "external_id"), Index(None, "created"))

    key: Mapped[str] = mapped_column(Text, primary_key=True)
    fingerprint: Mapped[str] = mapped_column(Text)
    external_id: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(UtcTime)
    status: Mapped[int] = mapped_column(Integer)
    headers: Mapped[dict[str, str]] = mapped_column(JSON)
    body: Mapped[str] = mapped_column(Text)


class KeyRow(Base):
    """A key of a program. Rows are never removed, so that a name in the audit log means one key for ever."""

    __tablename__ = "api_keys"
    __table_args__ = (UniqueConstraint("name"), UniqueConstraint("prefix"))

    id: Mapped[int] = mapped_column(_Key, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    prefix: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(Text)
    scopes: Mapped[list[str]] = mapped_column(JSON)
    created: Mapped[datetime] = mapped_column(UtcTime)
    expires: Mapped[datetime] = mapped_column(UtcTime)
    revoked: Mapped[datetime | None] = mapped_column(UtcTime)


class UserRow(Base):
    """Somebody who signs in. Rows are never removed."""

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("name"),)

    id: Mapped[int] = mapped_column(_Key, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    password_hash: Mapped[str] = mapped_column(Text)
    scopes: Mapped[list[str]] = mapped_column(JSON)
    created: Mapped[datetime] = mapped_column(UtcTime)
    disabled: Mapped[datetime | None] = mapped_column(UtcTime)
    failures: Mapped[int] = mapped_column(Integer)
    locked_until: Mapped[datetime | None] = mapped_column(UtcTime)


class SessionRow(Base):
    """A session of a user, known by the SHA-256 of its token."""

    __tablename__ = "sessions"
    __table_args__ = (Index(None, "user_id"), Index(None, "expires"))

    digest: Mapped[str] = mapped_column(Text, primary_key=True)
    user_id: Mapped[int] = mapped_column(_Key, ForeignKey("users.id", ondelete="CASCADE"))
    expires: Mapped[datetime] = mapped_column(UtcTime)

    user: Mapped[UserRow] = relationship()


class SecretRow(Base):
    """A random secret that the service made for itself."""

    __tablename__ = "secrets"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class AuditRow(Base):
    """An entry of the audit log. Time and payload are kept as the very text that was hashed."""

    __tablename__ = "audit_log"

    sequence: Mapped[int] = mapped_column(_Key, primary_key=True, autoincrement=False)
    at: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(Text)
    payload: Mapped[str] = mapped_column(Text)
    previous: Mapped[str] = mapped_column(Text)
    hash: Mapped[str] = mapped_column(Text)


class EmbeddingRow(Base):
    """Where the text of a submission lies in the space of a model."""

    __tablename__ = "embeddings"
    __table_args__ = (Index(None, "model"),)

    submission_id: Mapped[int] = mapped_column(
        _Key, ForeignKey("submissions.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    model: Mapped[str] = mapped_column(Text)
    vector: Mapped[bytes] = mapped_column(LargeBinary)


class JobRow(Base):
    """A job. ``turn`` rises with every part of it that is done or given up: only the worker whose turn it is writes.

    ``due`` is the end of the lease of a part that is ``taken``; else, since when the next part waits.
    """

    __tablename__ = "jobs"
    __table_args__ = (Index(None, "state", "due"), Index(None, "updated"))

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    owner: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    options: Mapped[dict[str, Any]] = mapped_column(JSON)
    created: Mapped[datetime] = mapped_column(UtcTime)
    updated: Mapped[datetime] = mapped_column(UtcTime)
    finished: Mapped[datetime | None] = mapped_column(UtcTime)
    total: Mapped[int] = mapped_column(Integer)
    done: Mapped[int] = mapped_column(Integer)
    failed: Mapped[int] = mapped_column(Integer)
    model: Mapped[str | None] = mapped_column(Text)
    problem: Mapped[str | None] = mapped_column(Text)
    turn: Mapped[int] = mapped_column(Integer)
    taken: Mapped[bool]
    losses: Mapped[int] = mapped_column(Integer)
    due: Mapped[datetime] = mapped_column(UtcTime)
    kind: Mapped[str] = mapped_column(Text, server_default="classify")
    steps: Mapped[list[dict[str, str]]] = mapped_column(JSON, server_default="[]")
    share: Mapped[float] = mapped_column(Float, server_default="0")


class JobItemRow(Base):
    """A text of a job until it is done, and its answer from then on."""

    __tablename__ = "job_items"

    job_id: Mapped[str] = mapped_column(Text, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    item_id: Mapped[str] = mapped_column(Text)
    text: Mapped[str | None] = mapped_column(Text)
    answer: Mapped[str | None] = mapped_column(Text)


class WebhookRow(Base):
    """An address that wants to hear of events."""

    __tablename__ = "webhooks"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    owner: Mapped[str] = mapped_column(Text)
    url: Mapped[str] = mapped_column(Text)
    secret: Mapped[str] = mapped_column(Text)
    events: Mapped[list[str]] = mapped_column(JSON)
    created: Mapped[datetime] = mapped_column(UtcTime)


class DeliveryRow(Base):
    """A message to a webhook, with what came of it."""

    __tablename__ = "deliveries"
    __table_args__ = (Index(None, "webhook_id"), Index(None, "state", "due"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(_Key, primary_key=True)
    webhook_id: Mapped[str] = mapped_column(Text, ForeignKey("webhooks.id", ondelete="CASCADE"))
    message: Mapped[str] = mapped_column(Text)
    event: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    tries: Mapped[int] = mapped_column(Integer)
    created: Mapped[datetime] = mapped_column(UtcTime)
    updated: Mapped[datetime] = mapped_column(UtcTime)
    due: Mapped[datetime] = mapped_column(UtcTime)
    status: Mapped[int | None] = mapped_column(Integer)
    problem: Mapped[str | None] = mapped_column(Text)


class ClusteringRow(Base):
    """A clustering. ``tree`` is what is shown, without the places of comments; ``made`` is the tree before edits."""

    __tablename__ = "clusterings"
    # A key is never given again, so that a cursor or an ETag of a deleted row means nothing else.
    __table_args__ = (UniqueConstraint("id"), Index(None, "job_id"), {"sqlite_autoincrement": True})

    key: Mapped[int] = mapped_column(_Key, primary_key=True)
    id: Mapped[str] = mapped_column(Text)
    owner: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    job_id: Mapped[str | None] = mapped_column(Text)
    problem: Mapped[str | None] = mapped_column(Text)
    options: Mapped[dict[str, Any]] = mapped_column(JSON)
    left_out: Mapped[list[str]] = mapped_column(JSON)
    created: Mapped[datetime] = mapped_column(UtcTime)
    updated: Mapped[datetime] = mapped_column(UtcTime)
    version: Mapped[int] = mapped_column(Integer)
    total: Mapped[int] = mapped_column(Integer)
    masked: Mapped[dict[str, int]] = mapped_column(JSON)
    model: Mapped[str] = mapped_column(Text)
    tree: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), deferred=True)
    made: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)


class ClusteringCommentRow(Base):
    """A comment of a clustering: as it was sent until it is grouped, and with its personal data masked from then on."""

    __tablename__ = "clustering_comments"
    __table_args__ = (UniqueConstraint("clustering_key", "comment_id"), Index(None, "clustering_key", "topic"))

    clustering_key: Mapped[int] = mapped_column(
        _Key, ForeignKey("clusterings.key", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    position: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    comment_id: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    attributes: Mapped[dict[str, str]] = mapped_column(JSON)
    flags: Mapped[list[str]] = mapped_column(JSON)
    tags: Mapped[dict[str, Any]] = mapped_column(JSON)
    topic: Mapped[str | None] = mapped_column(Text)
    subtopic: Mapped[str | None] = mapped_column(Text)
    campaign: Mapped[str | None] = mapped_column(Text)
    minority: Mapped[str | None] = mapped_column(Text)
    place: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class ClusteringEditRow(Base):
    """An edit of a clustering, or that an earlier one is undone. Rows are only ever added."""

    __tablename__ = "clustering_edits"

    clustering_key: Mapped[int] = mapped_column(
        _Key, ForeignKey("clusterings.key", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(UtcTime)
    actor: Mapped[str] = mapped_column(Text)
    edit: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    undoes: Mapped[int | None] = mapped_column(Integer)
