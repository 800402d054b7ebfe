from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import train_tiny
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_torch

from models.bundle import load_tagger
from nlp.errors import TrainingError
from nlp.taxonomy import Taxonomy
from training.config import DEFAULT_CONFIG, DistillationConfig, load_config
from training.corpus import read_splits
from training.distillation import Teacher, cut_layers, kept_layers
from training.network import Network, load_base


@pytest.mark.parametrize(
    ("depth", "layers", "kept"),
    [(12, 6, (1, 3, 5, 7, 9, 11)), (12, 4, (2, 5, 8, 11)), (12, 12, tuple(range(12))), (12, 1, (11,)), (2, 1, (1,))],
)
def test_the_layers_kept_are_evenly_spaced_and_end_with_the_last(
    depth: int, layers: int, kept: tuple[int, ...]
) -> None:
    assert kept_layers(depth, layers) == kept


def test_more_layers_than_there_are_cannot_be_kept() -> None:
    with pytest.raises(TrainingError, match="13 layers to keep of 12"):
        kept_layers(12, 13)


def test_a_student_of_fewer_layers_answers_as_its_teacher(tiny_bundle: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    teacher = load_tagger(tiny_bundle)
    # No labels: what the student knows, it has from its teacher.
    only = {"labels": 0.0, "probabilities": 1.0, "states": 1.0}
    bundle = train_tiny(tiny_bundle, tiny_corpus, tmp_path / "student", layers=1, epochs=4, distillation=only)
    assert json.loads((bundle / "encoder.json").read_text())["network"]["num_hidden_layers"] == 1
    assert not any(name.startswith("layer.1.") for name in load_file(bundle / "encoder.safetensors"))
    texts = [text.text for text in read_splits(tiny_corpus, teacher.taxonomy).test]
    theirs, ours = (
        np.concatenate([logits.encoder["goals"] for logits in tagger.logits(texts)])
        for tagger in (teacher, load_tagger(bundle))
    )
    assert np.mean((theirs > 0) == (ours > 0)) > 0.99


def test_the_loss_is_what_a_student_has_not_yet_learned(tiny_bundle: Path, taxonomy: Taxonomy) -> None:
    encoder, _ = load_base(str(tiny_bundle))
    whole = Network(encoder, taxonomy, 0.0)
    whole.load_heads(load_torch(tiny_bundle / "heads.safetensors"))
    token_ids = torch.arange(5, 29).reshape(2, 12)
    mask = torch.ones_like(token_ids)
    mask[1, 8:] = 0

    def loss(teacher: Teacher, student: Network, ids: torch.Tensor = token_ids) -> float:
        states = student.all_states(ids, mask)
        return float(teacher.loss(ids, mask, states, student.classify(states[-1], mask), {}).detach())

    only_states = Teacher(whole.eval(), (0, 1), DistillationConfig(labels=0, probabilities=0, states=1))
    assert loss(only_states, whole) == pytest.approx(0, abs=1e-6)
    cut = Network(cut_layers(encoder, (1,)), taxonomy, 0.0)
    cut.load_heads(load_torch(tiny_bundle / "heads.safetensors"))
    half = replace(only_states, kept=(1,))
    before = loss(half, cut)
    assert before > 1e-3
    # What stands behind the end of a text teaches nothing.
    padded = token_ids.clone()
    padded[1, 8:] = 7
    assert loss(half, cut, padded) == pytest.approx(before, rel=1e-5)
    optimizer = torch.optim.AdamW(cut.parameters(), lr=1e-3)
    for _ in range(30):
        states = cut.all_states(token_ids, mask)
        optimizer.zero_grad()
        half.loss(token_ids, mask, states, cut.classify(states[-1], mask), {}).backward()
        optimizer.step()
    assert loss(half, cut) < before / 3
    only_answers = DistillationConfig(labels=0, probabilities=1, states=0)
    least = loss(replace(only_states, weight=only_answers), whole)
    for head in cut.heads.values():
        torch.nn.init.zeros_(head.weight)
    assert loss(replace(half, weight=only_answers), cut) > least


def test_only_a_bundle_can_teach(tiny_bert: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no heads to learn from"):
        train_tiny(tiny_bert, tiny_corpus, tmp_path / "run", layers=1)


def test_the_shipped_student_is_smaller_than_its_teacher() -> None:
    student, teacher = load_config(DEFAULT_CONFIG.with_name("student.toml")), load_config()
    assert 0 < student.layers < 12
    assert teacher.layers == 0
    assert student.recipe == teacher.recipe
