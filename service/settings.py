"""The settings of the service: one table with name, default and help; the environment overrides a default."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.bundle import DEFAULT_BUNDLE

# Settings that are limits, by the form of their names.
_LIMIT = re.compile("most_.*|.*_(seconds|minutes|hours|days|tries)")


def parse_networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Networks such as ``10.2.0.0/16``, separated by commas.

    Raises:
        ValueError: one of them is no network.
    """
    return tuple(ip_network(one.strip()) for one in text.split(",") if one.strip())


class Settings(BaseSettings):
    """Every setting. The variable of ``most_items`` is ``MUSANNIF_MOST_ITEMS``, and so on."""

    model_config = SettingsConfigDict(env_prefix="MUSANNIF_", extra="forbid", frozen=True)

    bundle: Path = Field(default=DEFAULT_BUNDLE, description="Folder of the model bundle.")
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on.")
    threads: int = Field(
        default=0,
        ge=0,
        description="Windows of text that the model reads at the same time; 0 for all processors of the process.",
    )
    most_items: int = Field(default=256, ge=1, description="Most texts in one request.")
    most_characters: int = Field(default=200_000, ge=1, description="Most characters in one text.")
    most_bytes: int = Field(default=4_000_000, ge=1024, description="Most bytes in one request body.")
    body_seconds: float = Field(
        default=60.0,
        gt=0,
        description="Seconds within which the head of a request must have come, and then its body; 408 after them.",
    )
    database: str = Field(
        default="var/musannif.sqlite",
        description="Where submissions and reviews are kept: path of an SQLite file, or `postgresql://user:password@host/name`.",
    )
    busy_seconds: float = Field(default=10.0, ge=0, description="Seconds to wait for another writer of the database.")
    query_seconds: float = Field(
        default=60.0,
        gt=0,
        le=86_400,
        description="Seconds that PostgreSQL has for one question; one that hangs is given up after them with 503.",
    )
    most_page: int = Field(default=200, ge=1, description="Most entries in one page of a list.")
    most_at_once: int = Field(
        default=128,
        ge=1,
        description="Most requests in progress, and most bodies on their way; others are answered 429.",
    )
    most_requests_per_minute: int = Field(
        default=6000,
        ge=0,
        description="Most requests a minute of one key or user, or of one address where nobody is known; 0: no limit.",
    )
    most_sign_ins_per_minute: int = Field(
        default=10, ge=0, description="Most attempts to sign in from one address in a minute; 0: no limit."
    )
    recall_seconds: float = Field(
        default=1.0,
        ge=0,
        description="Seconds for which a caller who was let in is not looked up again: so long a key or a sign-in may "
        "hold that another process has ended.",
    )
    most_failures: int = Field(
        default=5, ge=1, description="Wrong passwords in a row after which an account is locked."
    )
    lock_minutes: float = Field(default=15.0, gt=0, description="Minutes for which an account is locked.")
    session_hours: float = Field(default=12.0, gt=0, description="Hours after which a reviewer must sign in again.")
    secure_cookies: bool = Field(
        default=True, description="Sign-in cookies travel over HTTPS only; `false` for trials over plain HTTP."
    )
    rate_storage: str = Field(
        default="memory://",
        description="Where requests are counted: in the memory of each process, or a URL of the library `limits`.",
    )
    repeat_hours: float = Field(default=24.0, ge=0, description="Hours for which an `Idempotency-Key` is remembered.")

    most_waiting: int = Field(
        default=512, ge=1, description="Texts that may wait for the model; beyond them requests are answered 429."
    )
    deadline_seconds: float = Field(
        default=30.0, gt=0, description="Seconds within which the model must come to a request; 503 after them."
    )
    shutdown_seconds: int = Field(
        default=30, ge=1, description="Seconds that requests have to end when the service is stopped."
    )
    queue: str = Field(
        default="",
        description="What wakes the workers: path of an SQLite file, or redis://host/number where several machines "
        "work; queue.sqlite beside the database if empty.",
    )
    job_threads: int = Field(
        default=1, ge=0, description="Threads of the service that work on jobs; 0 leaves them to musannif worker."
    )
    most_cluster_comments: int = Field(
        default=500, ge=1, description="Most comments that are grouped while the client waits; a job groups more."
    )
    most_job_comments: int = Field(default=100_000, ge=1, description="Most comments of one consultation.")
    most_cluster_bytes: int = Field(
        default=100_000_000, ge=1024, description="Most bytes in one request body with the comments of a consultation."
    )
    most_job_items: int = Field(default=10_000, ge=1, description="Most texts in one job.")
    job_lease_seconds: float = Field(
        default=60.0, gt=0, description="Seconds after which the part of a job that a worker took is given to another."
    )
    job_days: float = Field(default=7.0, gt=0, description="Days after which a job is removed with its results.")
    webhook_networks: str = Field(
        default="",
        description="Private networks that webhooks may call, separated by commas, such as 10.2.0.0/16; none if empty.",
    )
    webhook_tries: int = Field(default=8, ge=1, description="How often a webhook is tried, each time after longer.")
    webhook_seconds: float = Field(default=10.0, gt=0, description="Seconds that a webhook has to answer.")
    most_webhooks: int = Field(default=20, ge=1, description="Most webhooks.")
    most_similar: int = Field(default=50, ge=1, description="Most submissions in one answer of /v1/similar.")
    log_format: Literal["console", "json"] = Field(default="console", description="Form of the log: console or json.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least that is logged: debug, info, warning or error."
    )

    @field_validator("webhook_networks")
    @classmethod
    def _networks(cls, value: str) -> str:
        parse_networks(value)
        return value

    @property
    def session_cookie(self) -> str:
        """Name of the cookie of a session; with the prefix, browsers take it from this very host alone."""
        return "__Host-musannif" if self.secure_cookies else "musannif"

    @property
    def limits(self) -> dict[str, int | float]:
        """All limits by name."""
        return {name: getattr(self, name) for name in type(self).model_fields if _LIMIT.fullmatch(name)}


def settings_table() -> str:
    """The settings as the Markdown table of the README: variable, default, help."""
    rows = ["| setting (environment) | default | what it is |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "the embedded one" if field.default == DEFAULT_BUNDLE else f"`{_plain(field.default)}`"
        rows.append(f"| `MUSANNIF_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows)


def _plain(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)
