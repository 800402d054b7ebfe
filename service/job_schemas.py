"""What goes over the wire about jobs and webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.schemas import ItemIn, ModelOut, OptionsIn
from service.store.records import Delivery, DeliveryState, Job, JobKind, JobState, Webhook

# Ids that the service makes. What is not of this form was never one, and some of it no database takes.
MadeId = Annotated[str, StringConstraints(pattern="^[0-9a-z]{1,64}$")]


class JobRequest(OptionsIn):
    """Texts that are tagged when there is time."""

    items: list[ItemIn] = Field(min_length=1)


class JobOut(BaseModel):
    """A job and how far it is."""

    id: str
    kind: JobKind
    state: JobState
    created: datetime
    updated: datetime
    finished: datetime | None = Field(description="When it ended.")
    total: int
    done: int = Field(description="Items that are answered, with those that failed.")
    failed: int = Field(description="Items that were answered with a problem.")
    model: ModelOut | None = Field(description="The model that answered last.")
    problem: str | None = Field(description="Why the job failed.")
    result: str | None = Field(description="Where the answers are, once the job has ended.")

    @classmethod
    def of(cls, job: Job) -> JobOut:
        """On the wire."""
        return cls(
            id=job.id,
            kind=job.kind,
            state=job.state,
            created=job.created,
            updated=job.updated,
            finished=job.finished,
            total=job.total,
            done=job.done,
            failed=job.failed,
            model=None if job.model is None else ModelOut.model_validate_json(job.model),
            problem=job.problem,
            result=_result(job) if job.state.ended else None,
        )


def _result(job: Job) -> str:
    if job.kind is JobKind.CLUSTER:
        return f"/v1/clusterings/{job.options['clustering']}"
    return f"/v1/jobs/{job.id}/result"


EVENTS = ("job.finished", "job.failed", "job.cancelled", "submission.confirmed")
Event = Annotated[str, StringConstraints(pattern="^(" + "|".join(EVENTS).replace(".", r"\.") + ")$")]


class WebhookIn(BaseModel):
    """An address that wants to hear of events."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=r"^[!-~]+$")]
    events: list[Event] = Field(default=list(EVENTS), min_length=1, description="Of which it hears.")


class WebhookOut(BaseModel):
    """A webhook."""

    id: str
    url: str
    events: list[str]
    created: datetime

    @classmethod
    def of(cls, webhook: Webhook) -> WebhookOut:
        """On the wire, without its secret."""
        return cls(id=webhook.id, url=webhook.url, events=list(webhook.events), created=webhook.created)


class NewWebhookOut(WebhookOut):
    """A webhook with its secret, which is shown this once."""

    secret: str = Field(description="Key of the signatures (HMAC-SHA256), in Base64 after `whsec_`.")


class WebhookList(BaseModel):
    """All webhooks."""

    items: list[WebhookOut]


class DeliveryOut(BaseModel):
    """A message to a webhook, and what became of it."""

    message: str
    event: str
    state: DeliveryState
    tries: int
    created: datetime
    updated: datetime
    due: datetime | None = Field(description="When it is tried next.")
    status: int | None = Field(description="HTTP status of the last answer.")
    problem: str | None = Field(description="Why the last try failed.")

    @classmethod
    def of(cls, delivery: Delivery) -> DeliveryOut:
        """On the wire."""
        return cls(
            message=delivery.message,
            event=delivery.event,
            state=delivery.state,
            tries=delivery.tries,
            created=delivery.created,
            updated=delivery.updated,
            due=delivery.due if delivery.state is DeliveryState.WAITING else None,
            status=delivery.status,
            problem=delivery.problem,
        )


class DeliveryPage(BaseModel):
    """A part of the log; ``next`` is the cursor of the part that follows, if there is one."""

    items: list[DeliveryOut]
    next: str | None
