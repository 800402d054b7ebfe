from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from conftest import word_tagger
from safetensors.numpy import load, save

from models.encoder import EncodedWindow, Encoder
from models.evidence import leave_out
from models.heads import AttentionHead, join_heads
from models.lexicon import Lexicon
from models.stub import empty_lexicon
from models.tagger import Options, Tagger
from models.tokenizer import Window
from nlp.normalise import find_recipe
from nlp.records import Classification, Document, LabelledText, Span
from nlp.sentences import split_sentences
from nlp.taxonomy import Taxonomy, parse_taxonomy
from training.config import LexiconConfig
from training.lexicon import fit_lexicon


def _evidence(tagger: Tagger, text: str) -> dict[str, list[str]]:
    """The sentences given for each tag."""
    found = tagger.classify([Document("a", text)], Options(evidence=True))[0]
    assert isinstance(found, Classification)
    return {
        tag.id: [text[one.span.start : one.span.end] for one in tag.evidence or ()]
        for tags in found.tags.values()
        for tag in tags
    }


def _heads(taxonomy: Taxonomy, dimension: int, sharpness: float) -> dict[str, AttentionHead]:
    """Random heads; the first dimension draws their attention."""
    generator = np.random.default_rng(4)
    heads = {}
    for level in taxonomy.levels:
        weight, query = (generator.normal(size=(len(level.labels), dimension)).astype(np.float32) for _ in range(2))
        query[:, 0] = sharpness
        heads[level.name] = AttentionHead(weight, np.zeros(len(weight), np.float32), query)
    return heads


def test_a_token_that_starts_with_the_space_before_a_sentence_belongs_to_that_sentence(taxonomy: Taxonomy) -> None:
    text = "أولى هنا.\nثانية هناك."
    spans = np.array([[0, 0], [0, 4], [4, 8], [8, 9], [9, 15], [15, 20], [20, 21], [21, 21]])
    states = np.random.default_rng(2).normal(size=(8, 4)).astype(np.float32)
    window = EncodedWindow(states, spans, Span(0, len(text)))
    heads = _heads(taxonomy, 4, 1.0)
    left = leave_out(
        taxonomy,
        join_heads(taxonomy, heads),
        empty_lexicon(taxonomy),
        window,
        find_recipe("light").align(text),
        split_sentences(text),
    )
    for name, head in heads.items():
        np.testing.assert_allclose(left.logits.encoder[name][0], head(states[[0, 4, 5, 6, 7]]), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(left.logits.encoder[name][1], head(states[[0, 1, 2, 3, 7]]), rtol=1e-3, atol=1e-4)


def test_evidence_is_the_sentence_that_opens_with_the_telling_word(taxonomy: Taxonomy) -> None:
    tagger = word_tagger(taxonomy, {"مدارس": {"goals": ["4"]}, "مياه": {"goals": ["6"]}})
    text = "كلام أول هنا.\nمدارس القرية بعيدة. مياه القرية قليلة. كلام أخير."
    assert _evidence(tagger, text) == {"4": ["مدارس القرية بعيدة."], "6": ["مياه القرية قليلة."]}


def test_what_remains_is_read_well_even_if_a_sentence_held_nearly_all_attention(taxonomy: Taxonomy) -> None:
    text = "أولى هنا. ثانية هناك."
    states = np.random.default_rng(2).normal(size=(6, 4)).astype(np.float32)
    states[:, 0] = [0, 1, 1, 0, 0, 0]
    spans = np.array([[0, 0], [0, 4], [5, 9], [10, 15], [16, 21], [21, 21]])
    window = EncodedWindow(states, spans, Span(0, len(text)))
    heads = _heads(taxonomy, 4, 40.0)
    left = leave_out(
        taxonomy,
        join_heads(taxonomy, heads),
        empty_lexicon(taxonomy),
        window,
        find_recipe("light").align(text),
        split_sentences(text),
    )
    for name, head in heads.items():
        np.testing.assert_allclose(left.logits.encoder[name][0], head(states[[0, 3, 4, 5]]), rtol=1e-3, atol=1e-4)


def test_the_only_sentence_of_a_text_carries_its_tags_wholly(taxonomy: Taxonomy) -> None:
    tagger = word_tagger(taxonomy, {"مدارس": {"goals": ["4"]}})
    # Weights that read the label off every token: also off the one before the text, which never goes.
    bright = {
        name: replace(head, weight=head.weight + 8, query=np.zeros_like(head.query))
        for name, head in tagger.heads.items()
    }

    class Framed(Encoder):
        dimension, streams = tagger.encoder.dimension, 1

        def windows(self, text: str):  # type: ignore[no-untyped-def]
            return tagger.encoder.windows(text)

        def states(self, windows: Sequence[Window], *, alone: bool = True) -> list[np.ndarray]:
            return [np.ones((len(window.token_ids), self.dimension), np.float32) for window in windows]

    found = replace(tagger, encoder=Framed(), heads=bright).classify(
        [Document("a", "مدارس القرية بعيدة")], Options(evidence=True)
    )[0]
    assert isinstance(found, Classification)
    tags = [tag for tags in found.tags.values() for tag in tags]
    assert tags
    for tag in tags:
        assert tag.evidence is not None
        assert [(one.span, one.score) for one in tag.evidence] == [(Span(0, 18), tag.score)]


def test_a_target_keeps_its_sentence_where_another_window_speaks_for_its_goal(taxonomy: Taxonomy) -> None:
    tagger = word_tagger(taxonomy, {"مياه": {"goals": ["6"]}, "شرب": {"targets": ["6.1"]}}, window=8)
    text = "مياه القرية قليلة. كلام ثان هنا. شرب الناس هنا. كلام أخير هنا."
    assert _evidence(tagger, text) == {"6": ["مياه القرية قليلة."], "6.1": ["شرب الناس هنا."]}


def test_a_lexicon_holds_more_labels_than_a_byte_counts() -> None:
    labels = [{"id": f"l{n}", "title": {"ar": f"{n}"}, "definition": {"ar": ""}} for n in range(300)]
    axis = {"id": "many", "kind": "multilabel", "title": {"ar": ""}, "levels": ["many"], "labels": labels}
    taxonomy = parse_taxonomy({"version": "1", "axes": [axis]})
    texts = [
        LabelledText(f"t{n}", f"كلام عن {'المياه' if n % 2 else 'المدارس'}", {"many": ("l299",) if n % 2 else ()}, "g")
        for n in range(8)
    ]
    config = LexiconConfig(recipe="folded", grams=100, entries=100, strength=10.0)
    fitted = fit_lexicon(texts, taxonomy, find_recipe("folded"), config)
    lexicon = Lexicon.from_tensors(fitted.recipe, load(save(fitted.to_tensors())))
    gain = lexicon("المياه") - lexicon("المدارس")
    assert gain[299] > 1
    assert not gain[:299].any()
