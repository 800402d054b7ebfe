"""The model card says what went into a model, and claims nothing of what it does not know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import training.card
from training.card import model_card
from training.config import load_config
from training.runs import Run

_HASH = "4" * 64


@pytest.fixture(autouse=True)
def _own_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"data_sha256": _HASH}))
    monkeypatch.setattr(training.card, "OWN_CORPUS", tmp_path)


def _card(base: str = "embedded", data: str = _HASH, added: tuple[str, ...] = (), **more: Any) -> str:
    texts = {"train": 40, "added": 7 * len(added), "validation": 5, "test": 5}
    provenance = {"base": base, "seed": 1, "data_sha256": data, "git_commit": "c0ffee", "texts": texts, **more}
    return model_card("m", Run(Path(), load_config(base=base, added=added), provenance, Path(), Path()), {})


def test_of_the_embedded_base_and_the_projects_corpus_all_is_said() -> None:
    card = _card(added_sha256=None)
    assert "`intfloat/multilingual-e5-small` (MIT), embedded" in card
    assert "base weights MIT, corpus and trained weights Apache-2.0. Nothing else went in." in card
    assert "micro F1 of about 0.90 on goals" in card
    assert "Nothing but the corpus was trained on." in card


def test_an_earlier_state_of_the_projects_corpus_is_the_projects_still(tmp_path: Path) -> None:
    states = {"data_sha256": "6" * 64, "earlier_data_sha256": [_HASH, "5" * 64]}
    (tmp_path / "manifest.json").write_text(json.dumps(states))
    assert "the project's own corpus (Apache-2.0), an earlier state of it, sha256" in _card()
    assert "the project's own corpus (Apache-2.0), sha256" in _card(data="6" * 64)


def test_added_texts_are_told_with_number_and_hash() -> None:
    card = _card(added=("reviews.jsonl",), added_sha256="9" * 64)
    assert f"7 texts, sha256 `{'9' * 64}`" in card
    assert "Nothing" not in card
    assert "base weights MIT; corpus Apache-2.0; not known here: those of added texts" in card


def test_of_another_base_and_another_corpus_nothing_is_claimed() -> None:
    card = _card(base="someone/bert", data="5" * 64)
    assert "Base: someone/bert, 8-bit" in card
    assert "not known here: those of base and corpus" in card
    for claim in (
        "MIT",
        "Apache",
        "project's own",
        "read twice",
        "micro F1 of about",
        "language models",
        "كُتبت للمشروع",
    ):
        assert claim not in card
