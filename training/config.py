"""The settings of a training run: a typed schema that forbids extras, and one complete default file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nlp.errors import TrainingError

DEFAULT_CONFIG = Path(__file__).with_name("default.toml")
CONTINUE_CONFIG = Path(__file__).with_name("continue.toml")


class LexiconConfig(BaseModel):
    """The lexicon of a run; see :func:`training.lexicon.fit_lexicon`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str
    grams: int = Field(ge=1)
    strength: float = Field(gt=0)
    entries: int = Field(ge=1)


class DistillationConfig(BaseModel):
    """What a network of fewer layers learns from; see :class:`training.distillation.Teacher`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: float = Field(ge=0)
    probabilities: float = Field(ge=0)
    states: float = Field(ge=0)


class TrainingConfig(BaseModel):
    """One run. ``default.toml`` says what each setting means."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str
    recipe: str
    prefix: str
    window: int = Field(ge=16)
    overlap: int = Field(ge=0)
    seed: int
    share: float = Field(gt=0, le=1)
    epochs: int = Field(ge=1)
    batch_tokens: int = Field(ge=64)
    learning_rate: float = Field(gt=0)
    head_learning_rate: float = Field(gt=0)
    layer_decay: float = Field(gt=0, le=1)
    warmup: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)
    clip_norm: float = Field(gt=0)
    dropout: float = Field(ge=0, lt=1)
    joined: float = Field(ge=0, le=1)
    noised: float = Field(ge=0, le=1)
    probe_decay: float = Field(ge=0)
    level_weight: dict[str, float]
    layers: int = Field(ge=0)
    distillation: DistillationConfig
    lexicon: LexiconConfig
    added: tuple[str, ...]
    added_weight: float = Field(gt=0)


def load_config(path: Path = DEFAULT_CONFIG, **changes: Any) -> TrainingConfig:
    """Read a configuration; what a file leaves out, the default file says.

    Args:
        path: a TOML file.
        changes: settings that take precedence over the file; ``None`` changes nothing.

    Raises:
        TrainingError: a setting is unknown, missing or out of range, or the file cannot be read.
    """
    try:
        data = tomllib.loads(DEFAULT_CONFIG.read_text(encoding="utf-8"))
        data |= tomllib.loads(path.read_text(encoding="utf-8"))
        data |= {name: value for name, value in changes.items() if value is not None}
        return TrainingConfig(**data)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise TrainingError(
            f"{path} is no training configuration: {error}", expected=f"the settings of {DEFAULT_CONFIG.name}"
        ) from error
