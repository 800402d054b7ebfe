"""The second reader, and the labels that look wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import record, write_jsonl

from models.stub import StubEncoder
from nlp.errors import CorpusError, ReadingError
from nlp.taxonomy import Taxonomy
from training.agreement import agreement, disagreements, read_second_pass
from training.corpus import read_texts
from training.suspects import find_suspects


def _labels(number: int, **changes: object) -> dict[str, object]:
    return {"id": f"t-{number}", "goals": [], "targets": [], "technologies": [], "rite": [], **changes}


def test_agreement_and_the_texts_to_settle(tmp_path: Path, taxonomy: Taxonomy) -> None:
    texts = read_texts(
        write_jsonl(
            tmp_path / "a.jsonl",
            [record(1, goals=["6"], rite=["trust"]), record(2, goals=["4"]), record(3, goals=["1"])],
        ),
        taxonomy,
    )
    file = write_jsonl(tmp_path / "b.jsonl", [_labels(1, goals=["6"]), _labels(2, goals=["4", "5"])])
    second = read_second_pass([file], taxonomy)
    found = agreement(texts, second, taxonomy)
    assert found["goals"].texts == 2
    assert found["goals"].micro_f1 == pytest.approx(0.8)
    assert found["goals"].equal == 0.5
    assert found["rite"].micro_f1 == 0
    assert found["technologies"].micro_f1 == 1
    cases = list(disagreements(texts, second, taxonomy))
    assert [(case.text.id, case.levels) for case in cases] == [("t-1", ("rite",)), ("t-2", ("goals",))]


def test_a_faulty_second_pass_is_named_by_line(tmp_path: Path, taxonomy: Taxonomy) -> None:
    file = write_jsonl(tmp_path / "b.jsonl", [_labels(1), _labels(2, goals=["99"]), {"id": "t-3"}])
    with pytest.raises(CorpusError) as caught:
        read_second_pass([file], taxonomy)
    assert ["b.jsonl:2: " in caught.value.faults[0], "b.jsonl:3: " in caught.value.faults[1]] == [True, True]
    with pytest.raises(ReadingError, match="does not exist"):
        read_second_pass([tmp_path / "none"], taxonomy)


def test_a_planted_label_error_is_the_first_suspect(tmp_path: Path, taxonomy: Taxonomy) -> None:
    subjects = {"6": "انقطاع ماء الشرب في القرية", "4": "نقص معلمي المدرسة الابتدائية"}
    records = [
        record(n * 2 + turn, text=f"{subject} منذ {n} يوما في الناحية {n % 5}", goals=[goal])
        for n in range(20)
        for turn, (goal, subject) in enumerate(subjects.items())
    ]
    records[7]["goals"] = ["6"]
    texts = read_texts(write_jsonl(tmp_path / "a.jsonl", records), taxonomy)
    embeddings = np.stack([next(StubEncoder().encode(text.text)).embedding for text in texts])
    (suspect,) = find_suspects(texts, embeddings, taxonomy, share=1 / 40)
    assert suspect.text.id == records[7]["id"]
    assert suspect.level == "goals"
    assert set(suspect.doubts) == {"-6", "+4"}
