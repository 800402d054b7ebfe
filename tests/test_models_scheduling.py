from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from conftest import WordEncoder, word_tagger

from models.scheduling import Part, run_in_order
from models.stub import StubEncoder
from models.tagger import Options, Tagger
from models.tokenizer import Window
from nlp.errors import BundleError, TaxonomyError
from nlp.records import Classification, Document, Failure
from nlp.taxonomy import Taxonomy

_WORDS = {"ماء": {"goals": ["6"], "targets": ["6.1"]}, "مدارس": {"goals": ["4"]}, "رشوة": {"goals": ["16"]}}
_TEXTS = [
    f"{word} القرية {number}. كلام آخر هنا. " * (1 + number % 5) for number in range(40) for word in ("ماء", "مدارس")
]


class Watching(StubEncoder):
    """Counts what is read, and what is read at the same time."""

    def __init__(self) -> None:
        self.cut: list[str] = []
        self.together: list[list[str]] = []
        self.alone: list[bool] = []
        self.beside = self.most_beside = 0
        self._lock = threading.Lock()

    def windows(self, text: str) -> list[Window]:
        self.cut.append(text)
        return list(super().windows(text))

    def states(self, windows: Sequence[Window], *, alone: bool = True) -> Sequence[np.ndarray]:
        texts = ["".join(map(chr, window.token_ids)) for window in windows]
        with self._lock:
            self.beside += 1
            self.most_beside = max(self.most_beside, self.beside)
            self.together.append(texts)
            self.alone.append(alone)
        try:
            if any("سم" in text for text in texts):
                raise RuntimeError("poison")
            if any("تالف" in text for text in texts):
                raise BundleError("damaged")
            return super().states(windows, alone=alone)
        finally:
            with self._lock:
                self.beside -= 1

    @property
    def read(self) -> list[str]:
        return [text for texts in self.together for text in texts]


@pytest.fixture
def watching() -> Watching:
    return Watching()


@pytest.fixture
def watched(stub: Tagger, watching: Watching) -> Tagger:
    return replace(stub, encoder=watching)


def _documents(texts: list[str]) -> list[Document]:
    return [Document(f"d{place}", text) for place, text in enumerate(texts)]


@pytest.mark.parametrize(
    "options", [Options(), Options(evidence=True, embedding=True, all_scores=True), Options(axes=("rite",), top_k=1)]
)
def test_many_documents_get_in_order_what_each_gets_alone(taxonomy: Taxonomy, options: Options) -> None:
    tagger = word_tagger(taxonomy, _WORDS, window=8)
    documents = _documents(_TEXTS)
    alone = [tagger.classify([document], options)[0] for document in documents]
    assert tagger.classify(documents, options) == alone
    assert list(tagger.stream(iter(documents), options)) == alone


def test_streams_of_any_number_give_the_same(taxonomy: Taxonomy) -> None:
    tagger = word_tagger(taxonomy, _WORDS, window=8)
    found = []
    for streams in (1, 2, 5):
        encoder = WordEncoder(list(_WORDS), 8)
        encoder.streams = streams
        found.append(replace(tagger, encoder=encoder).classify(_documents(_TEXTS)))
    assert found[0] == found[1] == found[2]


def test_equal_texts_are_read_once_and_each_has_its_id(watched: Tagger, watching: Watching) -> None:
    texts = ["مياه الشرب", "المدرسة", "مياه الشرب", "مياه الشرب"]
    results = watched.classify(_documents(texts), Options(all_scores=True))
    assert sorted(watching.read) == ["المدرسة", "مياه الشرب"]
    assert [result.id for result in results] == ["d0", "d1", "d2", "d3"]
    assert replace(results[0], id="") == replace(results[2], id="") != replace(results[1], id="")


def test_faulty_documents_and_failures_stay_in_their_places(watched: Tagger) -> None:
    given = Failure("file", TaxonomyError("unreadable"))
    stream = [Document("a", "نص"), Document("b", "  "), given, Document("c", "تالف"), Document("d", "نص آخر")]
    results = list(watched.stream(stream))
    assert [(result.id, type(result)) for result in results] == [
        ("a", Classification),
        ("b", Failure),
        ("file", Failure),
        ("c", Failure),
        ("d", Classification),
    ]
    assert results[2] == given
    assert isinstance(results[3], Failure)
    assert isinstance(results[3].error, BundleError)


def test_an_error_of_a_stream_comes_out_and_ends_the_others(watched: Tagger, watching: Watching) -> None:
    before = threading.active_count()
    with pytest.raises(RuntimeError, match="poison"):
        watched.classify(_documents(["نص", "سم", *(f"نص {number}" for number in range(20_000))]))
    assert threading.active_count() == before
    assert len(watching.read) < 20_000


def test_an_unknown_axis_is_refused_before_anything_is_read(watched: Tagger, watching: Watching) -> None:
    with pytest.raises(TaxonomyError):
        watched.stream(_documents(["نص"]), Options(axes=("places",)))
    assert not watching.cut


def test_a_text_of_one_window_has_all_processors_and_many_share_them(watched: Tagger, watching: Watching) -> None:
    watched.classify(_documents(["نص واحد"]))
    assert watching.alone == [True]
    watched.classify(_documents(["نص", "نص آخر"]))
    assert watching.alone == [True, False, False]


def test_a_long_row_of_documents_is_never_in_memory_whole(watched: Tagger, watching: Watching) -> None:
    asked = 0

    def comments() -> Iterator[Document]:
        nonlocal asked
        for number in range(100_000):
            asked += 1
            yield Document(str(number), f"{number} تعليق " * 40)

    stream = watched.stream(comments())
    ahead = []
    for place in range(600):
        assert next(stream).id == str(place)
        ahead.append(asked - place)
    stream.close()
    assert max(ahead) <= 300
    assert watching.most_beside <= watching.streams


def test_the_longest_parts_of_a_lot_begin_first() -> None:
    begun = []

    def work(given: Sequence[int], *, alone: bool) -> Sequence[int]:
        begun.extend(given)
        return given

    def part(size: int) -> Part[int, int, int]:
        return Part(size, size, lambda made: 10 * made)

    tasks = run_in_order([[part(1), part(5)], [], [part(9)]], work, streams=1)
    assert [[one.result() for one in task] for task in tasks] == [[10, 50], [], [90]]
    assert begun == [9, 5, 1]


def test_short_texts_of_one_length_are_read_together_on_every_stream(watched: Tagger, watching: Watching) -> None:
    texts = [f"تعليق {number}" for number in range(100, 140)] + ["تعليق أطول 1", "تعليق أطول 2"]
    watched.classify(_documents(texts))
    assert sorted(watching.read) == sorted(texts)
    assert all(len({len(text) for text in texts}) == 1 for texts in watching.together)
    assert sorted(map(len, watching.together)) == [1, 1, 20, 20]


def test_a_fault_of_one_text_is_not_of_those_that_are_read_with_it(watched: Tagger) -> None:
    results = watched.classify(_documents(["سليم", "تالف", "جميل", "قديم"] * 2))
    assert [isinstance(result, Failure) for result in results] == [False, True, False, False] * 2
