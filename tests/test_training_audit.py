from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import ROOT, record, write_jsonl

from nlp.errors import CorpusError, ReadingError
from nlp.taxonomy import Taxonomy
from service.cli import cli
from training.audit import audit_corpus, corpus_states, write_corpus_manifest
from training.corpus import read_texts
from training.duplicates import embedding_neighbours, near_duplicates
from training.statistics import corpus_statistics

_TEXTS = [
    "أعلنت البلدية فتح باب التسجيل في دورات الخياطة لنساء الحي القديم",
    "تعطلت مضخة البئر منذ أسبوع ولم يحضر أحد من المديرية لإصلاحها",
    "فاز فريق المدرسة في مسابقة الشعر التي جرت مساء أمس",
    "قرأت مسودة القانون ولم أجد فيها مادة واحدة عن ذوي الإعاقة",
    "يدرس المجلس تركيب ألواح شمسية على أسطح المراكز الصحية",
]


def _corpus(folder: Path, *extra: dict[str, object]) -> Path:
    write_jsonl(folder / "train.jsonl", [record(n, text=text) for n, text in enumerate(_TEXTS)])
    write_jsonl(folder / "validation.jsonl", list(extra))
    write_jsonl(folder / "test.jsonl", [])
    return folder


def test_a_clean_corpus_passes_and_its_manifest_holds(tmp_path: Path, taxonomy: Taxonomy) -> None:
    folder = _corpus(tmp_path, record(9, text="نص آخر عن سوق السمك في المدينة"))
    audit = audit_corpus(folder, taxonomy)
    assert audit.parts == {"train": 5, "validation": 1, "test": 0}
    manifest = json.loads(write_corpus_manifest(folder, audit).read_text())
    assert manifest["files"]["train.jsonl"]["texts"] == 5
    assert manifest["data_sha256"] == audit.sha256
    assert manifest["earlier_data_sha256"] == []
    assert audit_corpus(folder, taxonomy) == audit


@pytest.mark.parametrize(
    ("planted", "words"),
    [
        (record(9, text=_TEXTS[1].replace("أسبوع", "شهر")), "near-duplicate of"),
        (record(9, text="اتصلوا بي على ٠٧٩٨٤٥٢٣١٦ لو سمحتم"), "telephone"),
        (record(9, text="حسابي SA44 2051 0371 2845 6989 1204 في المصرف"), "IBAN"),
        (record(9, text="راسلوني على someone@example.org من فضلكم"), "e-mail"),
        (record(9, text="رقم هويتي 1087364592 ولم يقبله الموقع"), "identity number"),
        (record(9, text="شكرا @some_person على الرد السريع"), "handle"),
        (record(9, text="كلمة واحدة"), "2 words"),
        (record(9, text="كلمة " * 331), "331 words"),
        (record(9, text="نص آخر عن سوق السمك", group="g-1"), "group 'g-1' is also in train"),
        (record(1, text="نص آخر عن سوق السمك"), "is already at"),
        (record(9, text="نص آخر عن سوق السمك", rite=["hope"]), "'hope' is not in the taxonomy"),
    ],
)
def test_planted_faults_are_found_with_file_and_line(
    tmp_path: Path, taxonomy: Taxonomy, planted: dict[str, object], words: str
) -> None:
    with pytest.raises(CorpusError) as caught:
        audit_corpus(_corpus(tmp_path, planted), taxonomy)
    (fault,) = caught.value.faults
    assert "validation.jsonl:1: " in fault
    assert words in fault


def test_obviously_false_numbers_handles_and_plain_figures_pass(tmp_path: Path, taxonomy: Taxonomy) -> None:
    text = "اتصلوا على 0500000000 أو @user وبلغت الكلفة 12,500,000 دينار و 1234567890 عام 2023-2024"
    assert audit_corpus(_corpus(tmp_path, record(9, text=text)), taxonomy)


def test_leakage_against_unseen_texts_is_found(tmp_path: Path, taxonomy: Taxonomy) -> None:
    folder = _corpus(tmp_path / "corpus")
    unseen = write_jsonl(tmp_path / "dev.jsonl", [{"id": "dev-7", "text": "قيل إن " + _TEXTS[4]}])
    with pytest.raises(CorpusError, match=r"train.jsonl:5: .* like dev-7, which must stay unseen"):
        audit_corpus(folder, taxonomy, against=[unseen])
    with pytest.raises(ReadingError, match="does not exist"):
        audit_corpus(folder, taxonomy, against=[tmp_path / "none.jsonl"])


def test_a_manifest_remembers_what_the_corpus_was_before(tmp_path: Path, taxonomy: Taxonomy) -> None:
    folder = _corpus(tmp_path)
    first = audit_corpus(folder, taxonomy)
    write_corpus_manifest(folder, first)
    lines = (folder / "train.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "train.jsonl").write_text("".join(lines[1:]), encoding="utf-8")
    second = audit_corpus(folder, taxonomy, sealed=False)
    for _ in range(2):
        write_corpus_manifest(folder, second)
    assert corpus_states(folder) == (first.sha256, second.sha256)


def test_a_changed_file_no_longer_fits_the_manifest(tmp_path: Path, taxonomy: Taxonomy) -> None:
    folder = _corpus(tmp_path)
    write_corpus_manifest(folder, audit_corpus(folder, taxonomy))
    write_jsonl(folder / "test.jsonl", [record(9, text="نص جديد كل الجدة هنا")])
    with pytest.raises(CorpusError, match=r"test.jsonl: sha256 .* the manifest says"):
        audit_corpus(folder, taxonomy)


def test_a_new_manifest_takes_the_place_of_the_old_one_only_where_the_corpus_is_right(
    tmp_path: Path, taxonomy: Taxonomy
) -> None:
    folder = _corpus(tmp_path)
    write_corpus_manifest(folder, audit_corpus(folder, taxonomy))
    before = (folder / "manifest.json").read_bytes()
    command = ["data", "manifest", str(folder), "--taxonomy", str(ROOT / "data" / "taxonomy.yaml")]
    write_jsonl(folder / "test.jsonl", [record(9, text="كلمة واحدة")])
    assert CliRunner().invoke(cli, command).exit_code
    assert (folder / "manifest.json").read_bytes() == before
    write_jsonl(folder / "test.jsonl", [record(9, text="نص جديد كل الجدة هنا")])
    assert not CliRunner().invoke(cli, command).exit_code
    assert audit_corpus(folder, taxonomy).parts["test"] == 1
    assert sorted(file.suffix for file in folder.iterdir()) == [".json", ".jsonl", ".jsonl", ".jsonl"]


def test_spelling_variants_are_near_duplicates_and_other_texts_are_not() -> None:
    varied = ["إنّ الحكومةَ أعلنت خطة المياه الجديدة", "ان الحكومه اعلنت خطة المياة الجديدة", *_TEXTS]
    assert [(pair.first, pair.second) for pair in near_duplicates(varied)] == [(0, 1)]


def test_embedding_neighbours_are_those_above_the_cosine() -> None:
    embeddings = np.array([[1, 0, 0], [0.99, 0.05, 0], [0, 1, 0]], np.float32)
    assert {(pair.first, pair.second) for pair in embedding_neighbours(embeddings)} == {(1, 0), (0, 1)}


def test_statistics_count_labels_lengths_and_openings(tmp_path: Path, taxonomy: Taxonomy) -> None:
    records = [
        record(1, goals=["6"], targets=["6.1"], text="الماء لا يصل إلى الحي"),
        record(2, text="الماء لا يكفي"),
        record(3, text="water is short here", lang="en"),
    ]
    found = corpus_statistics(read_texts(write_jsonl(tmp_path / "a.jsonl", records), taxonomy), taxonomy)
    assert found.labels["targets"]["6.1"] == 1
    assert found.labels["targets"]["6.2"] == 0
    assert found.unlabelled["goals"] == pytest.approx(2 / 3, abs=1e-3)
    assert found.words[0] == 3
    assert found.words[-1] == 5
    assert found.arabic == pytest.approx(2 / 3, abs=1e-3)
    assert found.fields["lang"] == {"ar": 2, "en": 1}


def test_the_corpus_loads_with_datasets_as_it_stands() -> None:
    from datasets import load_dataset

    files = {part: str(ROOT / "data" / "corpus" / f"{part}.jsonl") for part in ("train", "validation", "test")}
    loaded = load_dataset("json", data_files=files)
    assert set(loaded) == set(files)
    assert loaded["train"].num_rows > 1000
    assert {"id", "text", "goals", "targets", "technologies", "rite", "group"} <= set(loaded["test"].column_names)
