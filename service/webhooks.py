"""Routes of webhooks: addresses that hear of ended jobs and confirmed submissions."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Response

from service.callers import CallerDep
from service.cursors import read_cursor, write_cursor
from service.delivery import check_url, new_secret
from service.dependencies import ClockDep, SettingsDep, StoreDep
from service.job_schemas import DeliveryOut, DeliveryPage, MadeId, NewWebhookOut, WebhookIn, WebhookList, WebhookOut
from service.preconditions import KeyDep, repeatable, replayed, response_of
from service.settings import parse_networks
from service.store.records import Answer

router = APIRouter(tags=["webhooks"])

_PATH = "/v1/webhooks"


@router.post(_PATH, status_code=201, response_model=NewWebhookOut)
def post_webhook(
    body: WebhookIn, store: StoreDep, clock: ClockDep, settings: SettingsDep, caller: CallerDep, key: KeyDep
) -> Response:
    """Register an address. Its secret is in this answer and in no other; private addresses are refused.

    Messages are signed as https://www.standardwebhooks.com says, and tried again after longer and longer.
    """
    request = repeatable(key, "POST", _PATH, body.model_dump(mode="json"))
    with store.read() as reader:
        if answer := reader.answer(request):
            return response_of(replayed(answer))
    check_url(body.url, parse_networks(settings.webhook_networks))
    webhook_id, secret = uuid.uuid4().hex, new_secret()
    with store.write(clock()) as writer:
        if answer := writer.answer(request):
            return response_of(replayed(answer))
        if writer.webhooks.count() >= settings.most_webhooks:
            detail = f"there are {settings.most_webhooks} webhooks (most_webhooks); delete one that is not needed"
            raise HTTPException(409, detail)
        webhook = writer.webhooks.create(webhook_id, body.url, secret, body.events, owner=caller.actor)
        writer.log(caller.actor, "webhook.create", webhook=webhook_id, url=body.url, events=body.events)
        made = NewWebhookOut(**WebhookOut.of(webhook).model_dump(), secret=secret)
        answer = Answer(201, {"Location": f"{_PATH}/{webhook_id}"}, made.model_dump_json())
        writer.forget_answers(timedelta(hours=settings.repeat_hours))
        writer.keep_answer(request, f"webhook {webhook_id}", answer)
    return response_of(answer)


@router.get(_PATH)
def list_webhooks(store: StoreDep) -> WebhookList:
    """All webhooks, oldest first."""
    with store.read() as reader:
        return WebhookList(items=[WebhookOut.of(webhook) for webhook in reader.webhooks.all()])


@router.get(_PATH + "/{webhook_id}")
def get_webhook(webhook_id: MadeId, store: StoreDep) -> WebhookOut:
    """One webhook."""
    with store.read() as reader:
        return WebhookOut.of(reader.webhooks.get(webhook_id))


@router.delete(_PATH + "/{webhook_id}", status_code=204)
def delete_webhook(webhook_id: MadeId, store: StoreDep, clock: ClockDep, caller: CallerDep) -> None:
    """Remove a webhook; messages that wait for it are dropped."""
    with store.write(clock()) as writer:
        writer.webhooks.delete(webhook_id)
        writer.log(caller.actor, "webhook.delete", webhook=webhook_id)


@router.get(_PATH + "/{webhook_id}/deliveries")
def list_deliveries(
    webhook_id: MadeId,
    store: StoreDep,
    settings: SettingsDep,
    cursor: Annotated[str | None, Query(description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, description="Most entries of a page; the setting most_page bounds it.")] = 50,
) -> DeliveryPage:
    """The messages to a webhook in the order of the events, and what became of each."""
    bound = {"list": "deliveries", "webhook": webhook_id}
    with store.read() as reader:
        page = reader.webhooks.deliveries(
            webhook_id, after=read_cursor(cursor, bound), limit=min(limit, settings.most_page)
        )
    items = [DeliveryOut.of(delivery) for delivery in page.items]
    return DeliveryPage(items=items, next=write_cursor(page.after, bound))
