from __future__ import annotations

import json
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import WordEncoder, word_tagger
from fastapi.testclient import TestClient

from models.places import choose_places
from models.tagger import Options, Tagger
from models.tokenizer import Window
from nlp.records import Classification, Document, Section, Span
from nlp.taxonomy import Taxonomy
from service.app import create_app
from service.cli import cli
from service.settings import Settings

_WORDS = {"مدارس": {"goals": ["4"]}, "مياه": {"goals": ["6"], "targets": ["6.1"]}}
_FILLER = "كلام عام لا يقول شيئاً عن أمر من الأمور في هذه القرية أو تلك البلدة القريبة منها."


@pytest.fixture
def tagger(taxonomy: Taxonomy) -> Tagger:
    return word_tagger(taxonomy, _WORDS, window=12)


def _tags(tagger: Tagger, text: str, options: Options | None = None) -> dict[str, list[tuple[str | None, int | None]]]:
    (found,) = tagger.classify([Document("a", text)], options)
    assert isinstance(found, Classification)
    return {
        tag.id: [(place.section.heading, place.section.page) for place in tag.sections or ()]
        for tags in found.tags.values()
        for tag in tags
    }


@pytest.mark.parametrize("options", [Options(), Options(evidence=True)])
def test_each_tag_names_the_sections_it_was_found_in(tagger: Tagger, options: Options) -> None:
    text = f"الماء\n\nمياه القرية. {_FILLER}\f{_FILLER} مدارس القرية.\n\nملحق\n{_FILLER} مياه المدينة."
    found = _tags(tagger, text, options)
    assert {label: sorted(places) for label, places in found.items()} == {
        "6": [("الماء", 1), ("ملحق", 2)],
        "6.1": [("الماء", 1), ("ملحق", 2)],
        "4": [("الماء", 2)],
    }


def test_a_window_over_two_pages_counts_for_the_page_of_the_word_that_it_read(taxonomy: Taxonomy) -> None:
    text = f"{_FILLER} ثم\fمياه قليلة. {_FILLER}\f{_FILLER}"
    assert _tags(word_tagger(taxonomy, _WORDS, window=512), text) == {"6": [(None, 2)], "6.1": [(None, 2)]}


def test_offsets_are_those_of_the_raw_text(tagger: Tagger) -> None:
    first, second = f"\ufeff{_FILLER}  ", f"\n ميـــاه   القُرى. {_FILLER}"
    (found,) = tagger.classify([Document("a", first + "\f" + second)])
    assert isinstance(found, Classification)
    (tag,) = found.tags["goals"]
    (place,) = tag.sections or ()
    span = place.section.span
    assert (first + "\f" + second)[span.start : span.end] == second.strip()
    assert place.score == pytest.approx(tag.score, abs=1e-6)


def test_a_text_of_one_section_gets_none(tagger: Tagger) -> None:
    (found,) = tagger.classify([Document("a", f"مياه القرية. {_FILLER}")])
    assert isinstance(found, Classification)
    assert [tag.sections for tag in found.tags["goals"]] == [None]
    assert "sections" not in json.dumps(found.to_dict("m"))


def test_sections_below_the_threshold_are_left_out_and_the_best_never() -> None:
    sections = [Section(Span(n, n + 1), None, n + 1) for n in range(30)]

    def chosen(places: list[int], logits: list[float], most: float = 1.0) -> list[tuple[int | None, float]]:
        found = choose_places(sections, np.array(places), np.array(logits, np.float32), 0.5, most)
        return [(place.section.page, round(place.score, 3)) for place in found]

    assert chosen([2, 0, 2, 1], [1.0, -1.0, 3.0, 0.5]) == [(3, 0.953), (2, 0.622)]
    assert chosen([1, 0], [-2.0, -1.0]) == [(1, 0.269)]
    assert chosen([0], [3.0], most=0.6) == [(1, 0.6)]
    assert len(chosen(list(range(30)), [1.0] * 30)) == 20


def test_a_text_of_two_hundred_pages_is_read_window_by_window(taxonomy: Taxonomy) -> None:
    alive, most = 0, 0

    class Counting(WordEncoder):
        def _states_of(self, window: Window) -> np.ndarray:
            nonlocal alive, most

            def gone() -> None:
                nonlocal alive
                alive -= 1

            states = super()._states_of(window)
            alive += 1
            most = max(most, alive)
            weakref.finalize(states, gone)
            return states

    pages = [" ".join([_FILLER] * 10) for _ in range(200)]
    pages[136] += " مياه القرية بعيدة."
    tagger = replace(word_tagger(taxonomy, _WORDS), encoder=Counting(list(_WORDS), 64))
    assert _tags(tagger, "\f".join(pages)) == {"6": [(None, 137)], "6.1": [(None, 137)]}
    # Windows of 64 tokens are read four at a time.
    assert 0 < most <= 2 * 4 * Counting.streams


def test_the_command_line_and_the_service_name_the_sections(
    taxonomy: Taxonomy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tagger = word_tagger(taxonomy, _WORDS)
    text = f"{_FILLER}\fمدارس القرية بعيدة."
    expected = [{"page": 2, "start": len(_FILLER) + 1, "end": len(text)}]
    path = tmp_path / "report.txt"
    path.write_text(text, encoding="utf-8")
    monkeypatch.setattr("service.cli.load_tagger", lambda _: tagger)
    lines = CliRunner().invoke(cli, ["classify", str(path), "--format", "jsonl"]).stdout.splitlines()
    with TestClient(create_app(Settings(), tagger)) as client:
        answer = client.post("/v1/classify", json={"text": text}).json()
    for item in (json.loads(lines[0]), answer["items"][0]):
        (goal,) = item["goals"]
        assert goal["id"] == "4"
        assert [{**place, "score": 0} for place in goal["sections"]] == [{**place, "score": 0} for place in expected]
        assert goal["sections"][0]["score"] == pytest.approx(goal["score"], abs=1e-4)
