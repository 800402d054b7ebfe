from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import record, train_tiny, write_jsonl

from models.bundle import load_tagger, read_manifest
from models.encoder import OnnxEncoder
from models.runtime import choose_runtime
from models.tokenizer import WindowTokenizer
from nlp.errors import BaseModelError, CorpusError, ReadingError, TrainingError
from nlp.records import Classification, Document
from nlp.taxonomy import Taxonomy
from training.augmentation import epoch_windows
from training.config import load_config
from training.corpus import add_texts, as_dataset, data_hash, part_of, read_splits, read_texts, sample_groups
from training.evaluation import evaluate
from training.long_documents import joined_texts
from training.loop import Example, collate, make_batches, make_examples, rate_factor
from training.network import load_base, masked_loss
from training.release import build_bundle
from training.runs import check_added, first_windows, open_run, train_run, window_tokenizer


def test_every_fault_of_a_corpus_is_named_with_file_and_line(tmp_path: Path, taxonomy: Taxonomy) -> None:
    records = [
        record(1),
        record(2, goals=["99"]),
        record(3, targets=["6.1"]),
        record(4, text=" "),
        record(5, colour="red"),
        record(6, dialect="klingon"),
        record(7, rite="trust"),
        record(1),
    ]
    path = write_jsonl(tmp_path / "bad.jsonl", records)
    with path.open("a") as file:
        file.write("{not json\n[]\n" + "9" * 5000 + "\n" + "[" * 100_000 + "\n")
    with pytest.raises(CorpusError) as caught:
        read_texts(path, taxonomy)
    faults = "\n".join(caught.value.faults)
    for line, words in {
        2: "'99' is not in the taxonomy",
        3: "'6.1' stands without its parent",
        4: "the text is empty",
        5: "unknown field 'colour'",
        6: "dialect 'klingon'",
        7: "rite is 'trust'",
        8: "is already at",
        9: "not JSON",
        10: "a list",
        11: "not JSON",
        12: "not JSON",
    }.items():
        assert f"bad.jsonl:{line}: " in faults
        assert any(f":{line}: " in fault and words in fault for fault in caught.value.faults), words
    assert ":1: " not in faults


def test_groups_never_part_and_another_seed_is_another_split(tmp_path: Path, taxonomy: Taxonomy) -> None:
    path = write_jsonl(tmp_path / "new.jsonl", [record(n, group=f"g-{n // 3}") for n in range(300)])
    contents = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        counts = add_texts([path], tmp_path / name, taxonomy, seed=seed)
        assert sum(counts.values()) == 300
        assert counts["validation"] > 10 < counts["test"]
        splits = read_splits(tmp_path / name, taxonomy)
        groups = [{text.group for text in part} for part in (splits.train, splits.validation, splits.test)]
        assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
        contents[name] = [file.read_bytes() for file in sorted((tmp_path / name).iterdir())]
    assert contents["a"] == contents["b"] != contents["c"]
    assert all(part_of(f"g-{n}", seed=1) == part_of(f"g-{n}", seed=1) for n in range(9))


def test_a_smaller_share_of_the_groups_is_part_of_a_larger_one(tmp_path: Path, taxonomy: Taxonomy) -> None:
    texts = read_texts(
        write_jsonl(tmp_path / "a.jsonl", [record(n, group=f"g-{n // 2}") for n in range(400)]), taxonomy
    )
    quarter, half = ({text.group for text in sample_groups(texts, share)} for share in (0.25, 0.5))
    assert quarter < half
    assert 30 < len(quarter) < 70 < len(half) < 130
    assert sample_groups(texts, 1.0) == texts


def test_a_group_in_two_parts_is_a_fault(tmp_path: Path, taxonomy: Taxonomy) -> None:
    write_jsonl(tmp_path / "train.jsonl", [record(1, group="same")])
    write_jsonl(tmp_path / "validation.jsonl", [record(2)])
    write_jsonl(tmp_path / "test.jsonl", [record(3, group="same")])
    with pytest.raises(CorpusError, match=r"test.jsonl:1: group 'same' is also in train"):
        read_splits(tmp_path, taxonomy)
    (tmp_path / "test.jsonl").unlink()
    with pytest.raises(ReadingError, match="test.jsonl does not exist"):
        read_splits(tmp_path, taxonomy)


def test_nothing_is_added_when_one_text_is_faulty(tmp_path: Path, taxonomy: Taxonomy) -> None:
    add_texts([write_jsonl(tmp_path / "a.jsonl", [record(1)])], tmp_path / "corpus", taxonomy, seed=1)
    before = {file.name: file.read_bytes() for file in (tmp_path / "corpus").iterdir()}
    with pytest.raises(CorpusError, match="is already at"):
        add_texts([write_jsonl(tmp_path / "b.jsonl", [record(2), record(1)])], tmp_path / "corpus", taxonomy, seed=1)
    assert before == {file.name: file.read_bytes() for file in (tmp_path / "corpus").iterdir()}


@pytest.mark.parametrize(
    ("text", "fault"),
    [("كلمتان فقط", "2 words"), ("اتصلوا بي على 0551938274 رجاء", "phone"), ("راسلوني على @layla_hamad هنا", "handle")],
)
def test_nothing_is_added_that_the_corpus_does_not_take(
    tmp_path: Path, taxonomy: Taxonomy, text: str, fault: str
) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [record(1), record(2, text=text)])
    with pytest.raises(CorpusError, match=rf"a\.jsonl:2: .*{fault}"):
        add_texts([path], tmp_path / "corpus", taxonomy, seed=1)
    assert not (tmp_path / "corpus").exists()


def test_nothing_is_added_when_one_part_cannot_be_written(tmp_path: Path, taxonomy: Taxonomy) -> None:
    corpus = tmp_path / "corpus"
    add_texts([write_jsonl(tmp_path / "a.jsonl", [record(n) for n in range(40)])], corpus, taxonomy, seed=1)
    before = {file.name: file.read_bytes() for file in corpus.glob("*.jsonl")}
    home = {part_of(f"g-{n}", seed=1): n for n in range(100, 200)}
    # UTF-8 has no half of a surrogate pair.
    new = [record(home["train"]), record(home["test"], source="\ud800")]
    path = tmp_path / "b.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in new))
    with pytest.raises(UnicodeEncodeError):
        add_texts([path], corpus, taxonomy, seed=1)
    assert before == {file.name: file.read_bytes() for file in corpus.glob("*.jsonl")}


def test_texts_are_added_to_a_file_without_a_last_newline(tmp_path: Path, taxonomy: Taxonomy) -> None:
    corpus = tmp_path / "corpus"
    add_texts([write_jsonl(tmp_path / "a.jsonl", [record(n) for n in range(40)])], corpus, taxonomy, seed=1)
    for file in corpus.iterdir():
        file.write_bytes(file.read_bytes().removesuffix(b"\n"))
    add_texts([write_jsonl(tmp_path / "b.jsonl", [record(n) for n in range(40, 80)])], corpus, taxonomy, seed=1)
    assert {text.id for text in read_splits(corpus, taxonomy).texts} == {f"t-{n}" for n in range(80)}


def test_the_data_hash_sees_labels_but_not_the_layout(tmp_path: Path, taxonomy: Taxonomy) -> None:
    one = read_texts(write_jsonl(tmp_path / "1.jsonl", [record(1), record(2)]), taxonomy)
    turned = read_texts(write_jsonl(tmp_path / "2.jsonl", [record(2), record(1)]), taxonomy)
    other = read_texts(write_jsonl(tmp_path / "3.jsonl", [record(1), record(2, rite=["trust"])]), taxonomy)
    assert data_hash(one) == data_hash(turned) != data_hash(other)


def test_a_level_that_was_not_annotated_is_masked(tmp_path: Path, taxonomy: Taxonomy) -> None:
    unknown = {key: value for key, value in record(1).items() if key != "rite"}
    texts = read_texts(write_jsonl(tmp_path / "a.jsonl", [unknown, record(2, rite=["trust"])]), taxonomy)
    dataset = as_dataset(texts, taxonomy)
    assert dataset["rite_known"][:] == [False, True]
    logits = {level.name: torch.zeros(2, len(level.labels)) for level in taxonomy.levels}
    truth = {level.name: torch.tensor(dataset[level.name][:]) for level in taxonomy.levels}
    known = {level.name: torch.tensor(dataset[f"{level.name}_known"][:]).float() for level in taxonomy.levels}
    weight = {"goals": 0.0, "targets": 0.0, "technologies": 0.0, "rite": 1.0}
    before = masked_loss(logits, truth, known, weight)
    logits["rite"][0] += 5
    assert masked_loss(logits, truth, known, weight) == before
    logits["rite"][1] += 5
    assert masked_loss(logits, truth, known, weight) != before


def test_an_epoch_shows_every_text_once_alone_or_joined(tiny_bert: Path) -> None:
    cutter = WindowTokenizer.from_file(tiny_bert / "tokenizer.json", prefix="", most_tokens=24, overlap=2)
    windows = [cutter.windows(" ".join(["ماء"] * (1 + row % 9)))[0] for row in range(40)]
    examples = make_examples(windows, cutter, 0.5, random.Random(1))
    assert sorted(row for example in examples for row in example.rows) == list(range(40))
    joined = [example for example in examples if len(example.rows) == 2]
    assert joined
    for example in joined:
        first, second = (windows[row].token_ids for row in example.rows)
        assert example.window.token_ids.tolist() == [*first[:-1], *second[1:]]
        assert len(example.window.token_ids) <= 24
    again = make_examples(windows, cutter, 0.5, random.Random(1))
    assert [example.rows for example in examples] == [example.rows for example in again]


def test_a_joined_example_has_the_labels_of_both_texts(tmp_path: Path, taxonomy: Taxonomy, tiny_bert: Path) -> None:
    unknown = {key: value for key, value in record(3).items() if key != "rite"}
    records = [record(1, goals=["3"], rite=["trust"]), record(2, goals=["6"], rite=[]), unknown]
    dataset = as_dataset(read_texts(write_jsonl(tmp_path / "a.jsonl", records), taxonomy), taxonomy)
    cutter = WindowTokenizer.from_file(tiny_bert / "tokenizer.json", prefix="", most_tokens=24, overlap=2)
    (window,) = cutter.windows("ماء")
    batch = collate(dataset, [Example(window, (0, 1)), Example(window, (1, 2)), Example(window, (2,))], taxonomy, 0)
    goals = [[taxonomy.level("goals").ids[place] for place in row.nonzero()[:, 0]] for row in batch.truth["goals"]]
    assert goals[0] == ["3", "6"]
    assert batch.known["rite"].tolist() == [1, 0, 0]
    assert batch.truth["rite"][0].sum() == 1


def test_batches_hold_every_row_once_within_the_token_budget() -> None:
    lengths = [random.Random(row).randint(5, 200) for row in range(500)]
    batches = make_batches(lengths, 1024, random.Random(1))
    assert sorted(row for batch in batches for row in batch) == list(range(500))
    assert all(max(lengths[row] for row in batch) * len(batch) <= 1024 for batch in batches)
    assert make_batches(lengths, 1024, random.Random(1)) == batches != make_batches(lengths, 1024, random.Random(2))


def test_the_rate_rises_then_falls_to_nothing() -> None:
    factors = [rate_factor(step, 100, 0.1) for step in range(100)]
    assert max(factors) == factors[9] == 1
    assert factors[0] == pytest.approx(0.1)
    assert 0 < factors[99] < 0.02


def test_configuration_forbids_what_it_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("learnin_rate = 1")
    with pytest.raises(TrainingError, match="learnin_rate"):
        load_config(path)
    path.write_text("epochs = 0")
    with pytest.raises(TrainingError, match="epochs"):
        load_config(path)
    path.write_text("epochs = 3")
    assert (load_config(path).epochs, load_config(path, epochs=5, seed=None).epochs) == (3, 5)


def test_same_seed_same_bytes_and_another_seed_others(
    tiny_bert: Path, tiny_corpus: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    again = train_tiny(tiny_bert, tiny_corpus, tmp_path / "again")
    other = train_tiny(tiny_bert, tiny_corpus, tmp_path / "other", seed=2)
    first = read_manifest(tiny_bundle)
    assert read_manifest(again).files == first.files
    kept, repeated = (json.loads((folder / "manifest.json").read_text()) for folder in (tiny_bundle, again))
    # How long it took is the one thing that may differ.
    assert repeated["training"].pop("seconds") >= 0
    kept["training"].pop("seconds")
    assert repeated == kept
    assert read_manifest(other).files["heads.safetensors"] != first.files["heads.safetensors"]


def test_a_run_that_was_cut_off_ends_as_if_it_had_not_been(
    tiny_bert: Path, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import training.runs

    whole = training.runs.train
    monkeypatch.setattr(training.runs, "train", lambda *a, **k: whole(*a, **k, checkpoint_every=5))
    from conftest import ROOT

    config = load_config(
        base=str(tiny_bert), prefix="", window=48, overlap=8, batch_tokens=128, epochs=2, learning_rate=2e-3
    )
    taxonomy = ROOT / "data" / "taxonomy.yaml"
    monkeypatch.setattr(training.runs, "git_commit", lambda place: "first")
    straight = list(train_run(config, tiny_corpus, taxonomy, tmp_path / "straight"))
    cut = train_run(config, tiny_corpus, taxonomy, tmp_path / "cut")
    begun = [next(cut) for _ in range(8)]
    cut.close()
    with pytest.raises(TrainingError, match="no finished run"):
        open_run(tmp_path / "cut")
    monkeypatch.setattr(training.runs, "git_commit", lambda place: "second+changes")
    resumed = list(train_run(config, tiny_corpus, taxonomy, tmp_path / "cut"))
    assert open_run(tmp_path / "cut").provenance["git_commit"] == "first"
    assert begun + resumed[3:] == straight
    assert resumed[0].step == 6
    heads = [(tmp_path / name / "heads.safetensors").read_bytes() for name in ("straight", "cut")]
    assert heads[0] == heads[1]
    other = load_config(base=str(tiny_bert), prefix="", window=48, overlap=8, batch_tokens=128, epochs=4)
    cut = train_run(config, tiny_corpus, taxonomy, tmp_path / "mixed")
    [next(cut) for _ in range(6)]
    cut.close()
    with pytest.raises(TrainingError, match="other settings"):
        list(train_run(other, tiny_corpus, taxonomy, tmp_path / "mixed"))


def test_the_exported_graph_embeds_as_the_network(tiny_bert: Path, tmp_path: Path) -> None:
    from training.graph import export_encoder

    model, tokenizer = load_base(str(tiny_bert))
    export_encoder(model.eval(), tmp_path)
    cutter = WindowTokenizer.from_file(tiny_bert / "tokenizer.json", prefix="", most_tokens=64, overlap=8)
    encoder = OnnxEncoder(tmp_path / "encoder.onnx", cutter, choose_runtime(1))
    for text in ("قال الناس", "في الحي ماء جديد قديم مدرسة 1 2 3"):
        with torch.inference_mode():
            expected = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0).numpy()
        (window,) = encoder.encode(text)
        found = window.embedding
        cosine = found @ expected / np.linalg.norm(found) / np.linalg.norm(expected)
        assert cosine > 0.99


def test_a_bundle_in_use_learns_from_reviewed_texts_and_keeps_what_it_knew(
    tiny_bundle: Path, tiny_corpus: Path, taxonomy: Taxonomy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = load_tagger(tiny_bundle)
    texts = [f"إن ماء الناس قديم {n} {m}" for n in range(6) for m in range(5)]
    reviewed = [record(900 + n, text=text, goals=["6"], rite=["inclusiveness"]) for n, text in enumerate(texts)]
    added = write_jsonl(tmp_path / "reviews.jsonl", reviewed)
    monkeypatch.chdir(tmp_path)
    settings = {"added": (added.name,), "share": 1.0, "epochs": 6, "learning_rate": 5e-3, "head_learning_rate": 5e-2}
    new = load_tagger(train_tiny(tiny_bundle, tiny_corpus, tmp_path / "run", **settings))
    place = taxonomy.level("rite").index["inclusiveness"]
    unseen = ["إن ماء الناس جديد 9 9"]
    before, after = (tagger.logits(unseen)[0].encoder["rite"][0, place] for tagger in (old, new))
    assert after > before + 2
    (kept,) = new.classify([Document("b", "قال الناس في الحي إن رشوة قديم")])
    assert isinstance(kept, Classification)
    assert [tag.id for tag in kept.tags["goals"]] == ["16"]
    manifest = read_manifest(tmp_path / "run" / "bundle")
    assert (manifest.training["texts"]["added"], manifest.training["config"]["added"]) == (30, ["reviews.jsonl"])
    run = open_run(tmp_path / "run")
    assert run.config.added == (str(added.resolve()),)
    write_jsonl(added, reviewed[1:])
    with pytest.raises(TrainingError, match=r"reviews.jsonl\) has hash .*, that of the run"):
        build_bundle(run, tmp_path / "again")
    assert not list(tmp_path.glob("again*"))


def test_what_a_model_is_measured_on_cannot_be_added(tiny_bert: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="held-out"):
        train_tiny(tiny_bert, tiny_corpus, tmp_path / "run", added=(str(tiny_corpus / "test.jsonl"),))


@pytest.mark.parametrize(
    "leaked",
    [
        record(2, text="فاز فريق المدرسة في مسابقة الشعر التي جرت مساء أمس"),
        record(9, text="فاز فريق المدرسة في مسابقة الشعر التي جرت مساء أمس", group="g-2"),
        record(9, text="تعطلت مضخة البئر منذ أسبوعين ولم يحضر أحد من المديريه لإصلاحها", source="reviews"),
    ],
    ids=["id", "group", "words"],
)
def test_an_added_text_that_is_held_out_under_another_name_is_refused(
    tmp_path: Path, taxonomy: Taxonomy, leaked: dict[str, object]
) -> None:
    held_out = [record(1, text="يدرس المجلس تركيب ألواح شمسية على أسطح المراكز الصحية")]
    held_out.append(record(2, text="تعطلت مضخة البئر منذ أسبوع ولم يحضر أحد من المديرية لإصلاحها"))
    own = record(5, text="قرأت مسودة القانون ولم أجد فيها مادة واحدة عن ذوي الإعاقة")
    kept = read_texts(write_jsonl(tmp_path / "kept.jsonl", held_out), taxonomy)
    check_added(read_texts(write_jsonl(tmp_path / "own.jsonl", [own]), taxonomy), kept)
    added = read_texts(write_jsonl(tmp_path / "added.jsonl", [own, leaked]), taxonomy)
    with pytest.raises(TrainingError, match=f"1 added texts .* held-out texts: {leaked['id']};"):
        check_added(added, kept)


def test_windows_overlap_and_reach_the_end(tiny_bert: Path) -> None:
    cutter = WindowTokenizer.from_file(tiny_bert / "tokenizer.json", prefix="", most_tokens=10, overlap=2)
    text = "قال الناس في الحي إن ماء الحي جديد قديم 1 2 3 4 5 6 7 8 9"
    windows = cutter.windows(text)
    assert len(windows) > 2
    assert all(len(window.token_ids) <= 10 for window in windows)
    assert windows[0].span.start == 0
    assert windows[-1].span.end == len(text)
    for before, after in itertools.pairwise(windows):
        assert after.span.start < before.span.end
    assert cutter.windows("") == []


def test_a_base_that_is_no_bert_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="cannot be opened"):
        load_base(str(tmp_path / "none"))


def test_metrics_of_a_bundle_are_those_of_its_test_part(tiny_bundle: Path, tiny_corpus: Path) -> None:
    tagger = load_tagger(tiny_bundle)
    found = evaluate(tagger, read_splits(tiny_corpus, tagger.taxonomy).test).to_dict()
    kept = json.loads((tiny_bundle / "metrics.json").read_text())["test"]
    assert found["levels"]["goals"]["micro_f1"] > 0.9
    for level, figures in found["levels"].items():
        assert kept["levels"][level].items() >= figures.items()
        assert kept["levels"][level]["intervals"]["micro_f1"]["value"] == figures["micro_f1"]
    assert kept["name"] == read_manifest(tiny_bundle).model.split("@")[0]
    assert f"{found['levels']['goals']['micro_f1']:.3f} (" in (tiny_bundle / "README.md").read_text(encoding="utf-8")


def test_a_long_document_has_the_labels_of_all_its_texts(tmp_path: Path, taxonomy: Taxonomy, tiny_corpus: Path) -> None:
    texts = read_splits(tiny_corpus, taxonomy).texts
    documents = joined_texts(taxonomy, texts, 3, seed=1)
    assert len(documents) == len(texts) // 3
    by_id = {text.id: text for text in texts}
    seen: list[str] = []
    for document in documents:
        parts = [by_id[part] for part in document.id.split("+")]
        seen += [part.id for part in parts]
        assert document.text == "\n".join(part.text for part in parts)
        assert set(document.labels["goals"]) == {goal for part in parts for goal in part.labels["goals"]}
    assert len(seen) == len(set(seen))
    assert documents == joined_texts(taxonomy, texts, 3, seed=1) != joined_texts(taxonomy, texts, 3, seed=2)


def test_each_epoch_shows_other_texts_with_noise_and_none_without_a_share(
    taxonomy: Taxonomy, tiny_bert: Path, tiny_corpus: Path
) -> None:
    texts = read_splits(tiny_corpus, taxonomy).train
    _, tokenizer = load_base(str(tiny_bert))
    config = load_config(base=str(tiny_bert), window=64, overlap=8, noised=0.5)
    cutter = window_tokenizer(tokenizer, config)
    windows = first_windows(texts, cutter, config)

    def changed(epoch: int, share: float) -> list[bool]:
        shown = epoch_windows(texts, windows, cutter, config.model_copy(update={"noised": share}), epoch)
        return [one.token_ids.tolist() != other.token_ids.tolist() for one, other in zip(shown, windows, strict=True)]

    first, second = changed(0, 0.5), changed(1, 0.5)
    assert any(first)
    assert not all(first)
    assert first == changed(0, 0.5) != second
    assert not any(changed(0, 0.0))
