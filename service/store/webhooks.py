"""Webhooks and their deliveries in the store.

A message is written in the transaction of what it tells of: it is sent if, and only if, that happened.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Select, delete, func, select
from sqlalchemy.orm import Session

from nlp.errors import NotStoredError
from service.store.audit import canonical
from service.store.records import Delivery, DeliveryState, Page, Webhook
from service.store.tables import DeliveryRow, WebhookRow


class Webhooks:
    """What is asked of webhooks.

    Args:
        session: of one transaction.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def all(self) -> list[Webhook]:
        """All webhooks, oldest first."""
        return [_webhook_of(row) for row in self._session.scalars(select(WebhookRow).order_by(WebhookRow.created))]

    def get(self, webhook_id: str) -> Webhook:
        """A webhook.

        Raises:
            NotStoredError: there is none with this id.
        """
        return _webhook_of(self._row(webhook_id))

    def deliveries(self, webhook_id: str, *, after: int, limit: int) -> Page[Delivery]:
        """Messages to a webhook, in the order of the events.

        Raises:
            NotStoredError: there is no webhook with this id.
        """
        self._row(webhook_id)
        query = self._deliveries().where(DeliveryRow.webhook_id == webhook_id, DeliveryRow.id > after)
        rows = self._session.execute(query.order_by(DeliveryRow.id).limit(limit + 1)).all()
        found = [_delivery_of(row, webhook) for row, webhook in rows]
        return Page(tuple(found[:limit]), found[limit - 1].sequence if len(found) > limit else None)

    def delivery(self, sequence: int) -> Delivery | None:
        """One message, or ``None``."""
        row = self._session.execute(self._deliveries().where(DeliveryRow.id == sequence)).one_or_none()
        return None if row is None else _delivery_of(row[0], row[1])

    def count(self) -> int:
        """How many webhooks there are."""
        return self._session.scalar(select(func.count()).select_from(WebhookRow)) or 0

    def _deliveries(self) -> Select[DeliveryRow, WebhookRow]:
        return select(DeliveryRow, WebhookRow).join(WebhookRow, DeliveryRow.webhook_id == WebhookRow.id)

    def _row(self, webhook_id: str) -> WebhookRow:
        row = self._session.get(WebhookRow, webhook_id)
        if row is None:
            raise NotStoredError(f"there is no webhook {webhook_id!r}")
        return row


class WebhookWriter(Webhooks):
    """What changes webhooks.

    Args:
        session: has begun, and holds the store's turn to write.
        at: the time of all that is written.
    """

    def __init__(self, session: Session, at: datetime) -> None:
        super().__init__(session)
        self._at = at

    def create(self, webhook_id: str, url: str, secret: str, events: Sequence[str], *, owner: str) -> Webhook:
        """Keep a new webhook."""
        row = WebhookRow(id=webhook_id, owner=owner, url=url, secret=secret, events=list(events), created=self._at)
        self._session.add(row)
        self._session.flush()
        return _webhook_of(row)

    def delete(self, webhook_id: str) -> None:
        """Remove a webhook with its messages.

        Raises:
            NotStoredError: there is none with this id.
        """
        self._session.delete(self._row(webhook_id))
        self._session.flush()

    def announce(self, event: str, data: object) -> None:
        """Write a message to every webhook that wants to hear of an event.

        Args:
            event: its name.
            data: what the message says, as JSON; no words of a text.
        """
        body = canonical({"type": event, "timestamp": self._at.isoformat(), "data": data})
        for webhook in self.all():
            if event in webhook.events:
                self._session.add(
                    DeliveryRow(
                        webhook_id=webhook.id,
                        message=f"msg_{uuid.uuid4().hex}",
                        event=event,
                        body=body,
                        state=DeliveryState.WAITING.value,
                        tries=0,
                        created=self._at,
                        updated=self._at,
                        due=self._at,
                    )
                )
        self._session.flush()

    def take_due(self, *, lease: timedelta, limit: int) -> list[tuple[int, int]]:
        """Messages to be sent now, as sequence and tries before; nobody else is given them before the lease is over."""
        rows = self._session.scalars(
            select(DeliveryRow)
            .where(DeliveryRow.state == DeliveryState.WAITING.value, DeliveryRow.due <= self._at)
            .order_by(DeliveryRow.due)
            .limit(limit)
        ).all()
        for row in rows:
            row.due = self._at + lease
        self._session.flush()
        return [(row.id, row.tries) for row in rows]

    def record(self, sequence: int, *, status: int | None, problem: str | None, again: timedelta | None) -> None:
        """Keep what came of a try.

        Args:
            sequence: of the message.
            status: of the answer, if there was one.
            problem: why it failed; ``None`` if it was delivered.
            again: when it is tried again; ``None`` if it is not.
        """
        row = self._session.get(DeliveryRow, sequence)
        if row is None or row.state != DeliveryState.WAITING.value:
            return
        row.tries += 1
        row.updated, row.status, row.problem = self._at, status, problem
        if problem is None:
            row.state = DeliveryState.DELIVERED.value
        elif again is None:
            row.state = DeliveryState.FAILED.value
        else:
            row.due = self._at + again
        self._session.flush()

    def forget(self, age: timedelta) -> None:
        """Remove messages that were settled longer ago."""
        settled = DeliveryRow.state != DeliveryState.WAITING.value
        self._session.execute(delete(DeliveryRow).where(settled, DeliveryRow.updated < self._at - age))


def _webhook_of(row: WebhookRow) -> Webhook:
    return Webhook(row.id, row.owner, row.url, row.secret, tuple(row.events), row.created)


def _delivery_of(row: DeliveryRow, webhook: WebhookRow) -> Delivery:
    return Delivery(
        sequence=row.id,
        webhook=_webhook_of(webhook),
        message=row.message,
        event=row.event,
        body=row.body,
        state=DeliveryState(row.state),
        tries=row.tries,
        created=row.created,
        updated=row.updated,
        due=row.due,
        status=row.status,
        problem=row.problem,
    )
