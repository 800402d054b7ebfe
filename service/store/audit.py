"""The audit log: entries that are only ever added, each carrying the hash of the one before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from nlp.errors import AuditError
from service.clock import Jump
from service.store.records import ChainReport
from service.store.tables import AuditRow

# What the first entry names as the hash before it.
GENESIS = "0" * 64

# The action of an entry that says that the clock has jumped forward.
JUMP = "clock.jump"

_REMEDY = "restore the database from a backup and compare; the entries before this one are whole"


def sha256_of_text(text: str) -> str:
    """SHA-256 of a text in UTF-8, as 64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def canonical(data: Any) -> str:
    """JSON that is the same for the same data: sorted keys, no spaces."""
    return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def link(previous: str, sequence: int, at: str, actor: str, action: str, payload: str) -> str:
    """Hash of an entry: SHA-256 over the JSON list of all its fields and the hash before it."""
    return sha256_of_text(canonical([previous, sequence, at, actor, action, payload]))


def append(session: Session, *, at: datetime, actor: str, action: str, payload: Mapping[str, Any]) -> int:
    """Add an entry; gives its number. The caller holds the store's turn to write, so that the chain never forks."""
    last = session.execute(
        select(AuditRow.sequence, AuditRow.hash).order_by(AuditRow.sequence.desc()).limit(1)
    ).one_or_none()
    sequence, previous = (last.sequence + 1, last.hash) if last else (1, GENESIS)
    fields = (sequence, at.astimezone(UTC).isoformat(), actor, action, canonical(payload))
    row = AuditRow(
        sequence=sequence,
        at=fields[1],
        actor=actor,
        action=action,
        payload=fields[4],
        previous=previous,
        hash=link(previous, *fields),
    )
    session.add(row)
    session.flush()
    return sequence


def length(session: Session) -> int:
    """How many entries there are."""
    return session.scalar(select(func.max(AuditRow.sequence))) or 0


def actions(session: Session, after: int) -> list[tuple[int, str]]:
    """Number and action of the entries that follow on one, in order."""
    query = select(AuditRow.sequence, AuditRow.action).where(AuditRow.sequence > after).order_by(AuditRow.sequence)
    return [(row.sequence, row.action) for row in session.execute(query)]


def jumps(session: Session) -> list[Jump]:
    """Where the clock has jumped forward."""
    rows = session.execute(select(AuditRow.at, AuditRow.payload).where(AuditRow.action == JUMP))
    return [Jump(datetime.fromisoformat(at), timedelta(seconds=json.loads(payload)["seconds"])) for at, payload in rows]


def verify(session: Session, noted: str | None = None) -> ChainReport:
    """Walk along the chain from its first entry.

    Args:
        session: of the store.
        noted: a head that was noted before; the chain must still contain it.

    Raises:
        AuditError: names the first entry that is not as it was written.
    """
    previous, count, met = GENESIS, 0, noted in (None, GENESIS)
    for row in session.scalars(select(AuditRow).order_by(AuditRow.sequence).execution_options(yield_per=500)):
        count += 1
        if row.sequence != count:
            raise AuditError(
                f"entry {count} of the audit log is missing, the next one is {row.sequence}",
                sequence=count,
                expected="numbers without a gap",
                remedy=_REMEDY,
            )
        if row.previous != previous:
            raise AuditError(
                f"entry {count} of the audit log follows on {row.previous[:12]}…",
                sequence=count,
                expected=f"{previous[:12]}…, the hash of entry {count - 1}" if count > 1 else "the start of the chain",
                remedy=_REMEDY,
            )
        found = link(previous, row.sequence, row.at, row.actor, row.action, row.payload)
        if row.hash != found:
            raise AuditError(
                f"entry {count} of the audit log ({row.action} by {row.actor} at {row.at}) was altered: "
                f"its fields hash to {found[:12]}…",
                sequence=count,
                expected=f"{row.hash[:12]}…",
                remedy=_REMEDY,
            )
        previous = row.hash
        met = met or previous == noted
    if not met:
        raise AuditError(
            f"no entry of the audit log has the noted hash {noted}; entries after number {count} may be gone",
            sequence=count + 1,
            expected="every entry that was there when the hash was noted",
            remedy=_REMEDY,
        )
    return ChainReport(count, previous)
