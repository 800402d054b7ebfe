"""What tests share: the taxonomy, the stub, a tiny BERT made on the spot, and a bundle trained on it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.encoder import EncodedWindow
from models.heads import AttentionHead
from models.stub import stub_tagger
from models.tagger import Tagger
from nlp.records import Span
from nlp.taxonomy import Taxonomy, load_taxonomy

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def taxonomy() -> Taxonomy:
    return load_taxonomy(ROOT / "data" / "taxonomy.yaml")


@pytest.fixture(autouse=True)
def _own_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that a test starts keeps its database in the test's own folder."""
    monkeypatch.setenv("MUSANNIF_DATABASE", str(tmp_path / "store" / "musannif.sqlite"))


@pytest.fixture
def stub(taxonomy: Taxonomy) -> Tagger:
    return stub_tagger(taxonomy)


class WordEncoder:
    """Every word is a token with the space before it, and its state says which of the known words it is."""

    def __init__(self, words: list[str], window: int) -> None:
        self.places = {word: place for place, word in enumerate(words, start=1)}
        self.dimension = len(words) + 1
        self.window = window

    def encode(self, text: str) -> Iterator[EncodedWindow]:
        tokens = list(re.finditer(r"\s*[^\s.]+|\.", text))
        for start in range(0, len(tokens), self.window):
            some = tokens[start : start + self.window]
            states = np.zeros((len(some) + 1, self.dimension), np.float32)
            for row, token in enumerate(some, start=1):
                states[row, self.places.get(token[0].strip(), 0)] = 1
            first = some[0].start()
            spans = np.array([(first, first), *(token.span() for token in some)])
            yield EncodedWindow(states, spans, Span(first, some[-1].end()))


def word_tagger(taxonomy: Taxonomy, words: Mapping[str, Mapping[str, list[str]]], window: int = 64) -> Tagger:
    """A tagger that gives a label where it sees one of its words, and nowhere else."""
    encoder = WordEncoder(list(words), window)
    heads = {}
    for level in taxonomy.levels:
        weight = np.zeros((len(level.labels), encoder.dimension), np.float32)
        for word, labels in words.items():
            for label in labels.get(level.name, ()):
                weight[level.index[label], encoder.places[word]] = 8
        query = weight * np.sqrt(encoder.dimension) * 1.25
        heads[level.name] = AttentionHead(weight, np.full(len(weight), -4, np.float32), query.astype(np.float32))
    return replace(stub_tagger(taxonomy), encoder=encoder, heads=heads)


def record(number: int, **changes: object) -> dict[str, object]:
    """A valid corpus record."""
    return {
        "id": f"t-{number}",
        "text": f"نص رقم {number} عن الخدمة",
        "kind": "case_study",
        "goals": [],
        "targets": [],
        "technologies": [],
        "rite": [],
        "lang": "ar",
        "dialect": "msa",
        "country": None,
        "source": "test",
        "group": f"g-{number}",
        **changes,
    }


def write_jsonl(path: Path, records: list[dict[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
    return path


_SUBJECTS = {
    "ماء": {"goals": ["6"], "targets": ["6.1"], "rite": ["effectiveness"]},
    "مدرسة": {"goals": ["4"], "targets": ["4.1"], "rite": ["inclusiveness"]},
    "رشوة": {"goals": ["16"], "targets": ["16.5"], "rite": ["trust"]},
    "تطبيق": {"technologies": ["mobile_apps"], "rite": ["responsiveness"]},
    "مباراة": {},
}


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A split corpus of short texts, each with one telling word."""
    folder = tmp_path_factory.mktemp("corpus")
    number = 0
    for part, count in (("train", 16), ("validation", 6), ("test", 4)):
        records = []
        for word, labels in _SUBJECTS.items():
            for turn in range(count):
                number += 1
                text = f"قال الناس في الحي {turn} إن {word} الحي {'قديم' if turn % 2 else 'جديد'}"
                records.append(record(number, text=text, **labels))
        write_jsonl(folder / f"{part}.jsonl", records)
    return folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two thin layers with a WordPiece vocabulary, as ``save_pretrained`` leaves it."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-bert")
    words = [
        "قال",
        "الناس",
        "في",
        "الحي",
        "إن",
        "قديم",
        "جديد",
        "0",
        "1",
        "2",
        "3",
        "4",
        "5",
        "6",
        "7",
        "8",
        "9",
        *list(_SUBJECTS),
    ]
    letters = [chr(code) for code in range(0x621, 0x64B) if chr(code).isalpha()]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words, *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = {piece: place for place, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=64,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def train_tiny(base: Path, corpus: Path, run: Path, **changes: object) -> Path:
    """Train on the tiny corpus and build a bundle; gives the bundle's folder."""
    from training.config import load_config
    from training.release import build_bundle
    from training.runs import open_run, train_run

    settings = {
        "prefix": "",
        "window": 48,
        "overlap": 8,
        "batch_tokens": 512,
        "epochs": 14,
        "learning_rate": 2e-3,
    }
    config = load_config(base=str(base), **{**settings, **changes})
    for _ in train_run(config, corpus, ROOT / "data" / "taxonomy.yaml", run):
        pass
    build_bundle(open_run(run), run / "bundle", name="tiny")
    return run / "bundle"


@pytest.fixture(scope="session")
def tiny_bundle(tiny_bert: Path, tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny(tiny_bert, tiny_corpus, tmp_path_factory.mktemp("run"))
