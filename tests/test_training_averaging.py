"""The mean of several runs: one model that answers like them, and nothing that one of them learned in its test part."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import record, train_tiny, write_jsonl
from safetensors.numpy import load_file

from models.bundle import load_tagger
from nlp.errors import TrainingError
from service.cli import cli
from training.averaging import average_runs
from training.corpus import read_splits
from training.evaluation import evaluate
from training.runs import open_run


@pytest.fixture(scope="module")
def twins(tiny_bert: Path, tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folders = [tmp_path_factory.mktemp(f"seed-{seed}") for seed in (1, 2)]
    for seed, folder in enumerate(folders, 1):
        train_tiny(tiny_bert, tiny_corpus, folder, seed=seed)
    return folders[0], folders[1]


def test_the_mean_of_two_runs_is_a_bundle_that_tags_and_says_where_it_comes_from(
    twins: tuple[Path, Path], tiny_corpus: Path, tmp_path: Path
) -> None:
    found = CliRunner().invoke(cli, ["average", *map(str, twins), "--run", str(tmp_path / "mean")])
    assert found.exit_code == 0, found.output
    heads = [load_file(folder / "heads.safetensors") for folder in (*twins, tmp_path / "mean")]
    for name, values in heads[2].items():
        assert np.allclose(values, (heads[0][name] + heads[1][name]) / 2, atol=1e-6)
    bundle = tmp_path / "mean" / "bundle"
    tagger = load_tagger(bundle)
    figures = evaluate(tagger, read_splits(tiny_corpus, tagger.taxonomy).test).to_dict()
    assert figures["levels"]["goals"]["micro_f1"] > 0.8
    card = (bundle / "README.md").read_text(encoding="utf-8")
    assert "mean of those of 2 runs" in card
    assert "seed 1, commit" in card
    assert "seed 2, commit" in card
    parents = json.loads((bundle / "manifest.json").read_text())["training"]["averaged"]
    assert [parent["seed"] for parent in parents] == [1, 2]


def test_runs_of_other_settings_are_not_averaged(
    twins: tuple[Path, Path], tiny_bert: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    train_tiny(tiny_bert, tiny_corpus, tmp_path / "short", epochs=1)
    runs = [open_run(twins[0]), open_run(tmp_path / "short")]
    with pytest.raises(TrainingError, match="another epochs"):
        average_runs(runs, tmp_path / "mean")
    with pytest.raises(TrainingError, match="1 run"):
        average_runs(runs[:1], tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_a_run_that_learned_what_the_first_holds_out_is_refused(
    twins: tuple[Path, Path], tiny_bert: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    first = open_run(twins[0])
    tested = [json.loads(line) for line in (tiny_corpus / "test.jsonl").read_text().splitlines()]
    other = tmp_path / "corpus"
    for part in ("train", "validation", "test"):
        kept = (tiny_corpus / f"{part}.jsonl").read_text().splitlines()
        write_jsonl(other / f"{part}.jsonl", [json.loads(line) for line in kept] if part != "test" else [record(9999)])
    with (other / "train.jsonl").open("a") as file:
        file.write(json.dumps(tested[0], ensure_ascii=False) + "\n")
    train_tiny(tiny_bert, other, tmp_path / "other")
    second = open_run(tmp_path / "other")
    with pytest.raises(TrainingError, match="holds out"):
        average_runs([first, second], tmp_path / "mean")
