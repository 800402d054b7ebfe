"""The settings of the service: one table with name, default and help; the environment overrides a default."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.bundle import DEFAULT_BUNDLE


class Settings(BaseSettings):
    """Every setting. The variable of ``most_items`` is ``MUSANNIF_MOST_ITEMS``, and so on."""

    model_config = SettingsConfigDict(env_prefix="MUSANNIF_", extra="forbid", frozen=True)

    bundle: Path = Field(default=DEFAULT_BUNDLE, description="Folder of the model bundle.")
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on.")
    threads: int = Field(
        default=0, ge=0, description="Threads of one forward pass; 0 for all processors of the process."
    )
    most_items: int = Field(default=256, ge=1, description="Most texts in one request.")
    most_characters: int = Field(default=200_000, ge=1, description="Most characters in one text.")
    most_bytes: int = Field(default=4_000_000, ge=1024, description="Most bytes in one request body.")
    database: str = Field(
        default="var/musannif.sqlite",
        description="Where submissions and reviews are kept: path of an SQLite file, or `postgresql://user:password@host/name`.",
    )
    busy_seconds: float = Field(default=10.0, ge=0, description="Seconds to wait for another writer of the database.")
    most_page: int = Field(default=200, ge=1, description="Most entries in one page of a list.")
    most_at_once: int = Field(default=256, ge=1, description="Most requests in progress; others are answered 429.")
    most_requests_per_minute: int = Field(
        default=6000,
        ge=0,
        description="Most requests a minute of one key or user, or of one address where nobody is known; 0: no limit.",
    )
    most_sign_ins_per_minute: int = Field(
        default=10, ge=0, description="Most attempts to sign in from one address in a minute; 0: no limit."
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

    @property
    def session_cookie(self) -> str:
        """Name of the cookie of a session; with the prefix, browsers take it from this very host alone."""
        return "__Host-musannif" if self.secure_cookies else "musannif"

    @property
    def limits(self) -> dict[str, int]:
        """All limits by name."""
        return {name: getattr(self, name) for name in type(self).model_fields if name.startswith("most_")}


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
