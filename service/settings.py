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
        description="Where submissions and reviews are kept: path of an SQLite file, or postgresql://user:password@host/name.",
    )
    busy_seconds: float = Field(default=10.0, ge=0, description="Seconds to wait for another writer of the database.")
    most_page: int = Field(default=200, ge=1, description="Most entries in one page of a list.")
    repeat_hours: float = Field(default=24.0, ge=0, description="Hours for which an Idempotency-Key is remembered.")
