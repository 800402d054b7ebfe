"""The route of the audit log."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from service.dependencies import StoreDep

router = APIRouter(tags=["operations"])


class AuditOut(BaseModel):
    """An audit log that is whole."""

    entries: int
    head: str = Field(description="Hash of the last entry: noted elsewhere, it proves later that none was cut off.")


@router.get("/v1/audit")
def verify_audit(
    store: StoreDep,
    noted: Annotated[str | None, Query(max_length=64, description="A `head` that must still be in the log.")] = None,
) -> AuditOut:
    """Walk along the chain of the audit log; 409 names the first entry that was altered, removed or slipped in."""
    with store.read() as reader:
        report = reader.verify_audit(noted)
    return AuditOut(entries=report.entries, head=report.head)
