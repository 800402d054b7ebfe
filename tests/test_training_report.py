"""The report of an evaluation: intervals, comparison, slices, the page and its JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import record, write_jsonl
from rich.console import Console

from models.calibration import Thresholds
from models.tagger import Tagger
from nlp.errors import BundleError, CorpusError, UnknownFormatError
from nlp.records import LabelledText
from nlp.taxonomy import Taxonomy
from training.bootstrap import Counts, compare, intervals
from training.commands import evaluate as evaluate_command
from training.contenders import Contender, check_same_labels, open_bundles
from training.evaluation import Answers, answer, evaluate, evaluate_answers
from training.faithfulness import faithfulness
from training.metrics import calibration_error, gold, reliability
from training.mistakes import find_confusion, worst_mistakes
from training.perturbations import PERTURBATIONS
from training.report import Provenance, Report, make_report, write_report
from training.robustness import tag_agreement
from training.slices import NOT_GIVEN, dialect_gaps, find_slices
from training.tables import print_report

PROVENANCE = Provenance("texts.jsonl", {"new@1": {"taxonomy": "0a1b2c"}}, "2026-01-31")


def _texts(taxonomy: Taxonomy, count: int, seed: int = 0) -> list[LabelledText]:
    """Texts with one to three goals, a target of each, and some technologies and dimensions."""
    rng = np.random.default_rng(seed)
    goals, targets, technologies, rite = taxonomy.levels
    texts = []
    for number in range(count):
        due = sorted(rng.choice(len(goals.ids), rng.integers(1, 4), replace=False))
        children = [[child for child, parent in enumerate(targets.parent_index) if parent == one] for one in due]
        labels = {
            goals.name: tuple(goals.ids[one] for one in due),
            targets.name: tuple(targets.ids[rng.choice(some)] for some in children),
            technologies.name: tuple(rng.choice(technologies.ids, rng.integers(0, 3), replace=False)),
            rite.name: tuple(rng.choice(rite.ids, rng.integers(0, 3), replace=False)),
        }
        meta = {"kind": "comment", "lang": "ar", "dialect": ("msa", "gulf", "iraqi")[number % 3]}
        words = " ".join(["كلمة"] * int(rng.integers(5, 140)))
        texts.append(LabelledText(f"t-{number}", f"نص {number} {words}", labels, f"g-{number}", meta))
    return texts


def _system(
    taxonomy: Taxonomy, texts: Sequence[LabelledText], name: str = "new@1", noise: float = 2.0, seed: int = 0
) -> Answers:
    """A system that sees the gold labels through a fog; less noise is better."""
    rng = np.random.default_rng(seed)
    scores = {}
    for level in taxonomy.levels:
        truth, _ = gold(texts, level)
        values = 1 / (1 + np.exp(-(np.where(truth, 3, -4) + rng.normal(0, noise, truth.shape))))
        if level.parent is not None:
            values = np.minimum(values, scores[level.parent][:, list(level.parent_index)])
        scores[level.name] = values.astype(np.float32)
    halves = {level.name: np.full(len(level.labels), 0.5, np.float32) for level in taxonomy.levels}
    return Answers(name, scores, Thresholds(halves, taxonomy.levels[0].name, 0.7))


def _counts(taxonomy: Taxonomy, answers: Answers, texts: Sequence[LabelledText], name: str = "goals") -> Counts:
    truth, known = gold(texts, taxonomy.level(name))
    return Counts.of(truth[known], answers.given(taxonomy)[name][known])


class _Page(HTMLParser):
    """What a reader of the page finds: its rows, the texts of its errors, and which elements and addresses it has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.texts: list[str] = []
        self.elements: set[str] = set()
        self.addresses: set[str] = set()
        self.handlers: set[str] = set()
        self.words: list[str] = []
        self._target: list[str] | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        values = dict(attrs)
        self.addresses |= {str(values[name]) for name in ("src", "href") if name in values}
        self.handlers |= {name for name in values if name.startswith("on")}
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
            self._target = self.rows[-1]
        if tag == "p" and values.get("class") == "text":
            self.texts.append("")
            self._target = self.texts

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "p"):
            self._target = None

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self._target is not None:
            self._target[-1] += data


@pytest.fixture(scope="module")
def texts(taxonomy: Taxonomy) -> list[LabelledText]:
    return _texts(taxonomy, 300)


@pytest.fixture(scope="module")
def report(taxonomy: Taxonomy, texts: list[LabelledText]) -> Report:
    systems = [_system(taxonomy, texts), _system(taxonomy, texts, "old@1", noise=3, seed=1)]
    return make_report(taxonomy, systems, texts, PROVENANCE, seed=1)


@pytest.mark.parametrize("level", ["goals", "targets", "technologies", "rite"])
def test_an_interval_contains_its_figure_and_narrows_with_more_texts(taxonomy: Taxonomy, level: str) -> None:
    widths = []
    for count in (100, 1000):
        texts = _texts(taxonomy, count)
        answers = _system(taxonomy, texts)
        found = intervals(_counts(taxonomy, answers, texts, level), seed=1)
        figures = evaluate_answers(taxonomy, answers, texts).levels[level]
        for interval, figure in ((found.micro_f1, figures.micro_f1), (found.macro_f1, figures.macro_f1)):
            assert interval.value == pytest.approx(figure)
            assert interval.low <= figure <= interval.high
        widths.append(found.micro_f1.high - found.micro_f1.low)
    assert widths[1] < widths[0] / 2


def test_the_seed_decides_the_draws(taxonomy: Taxonomy, texts: list[LabelledText]) -> None:
    counts = _counts(taxonomy, _system(taxonomy, texts), texts)
    assert intervals(counts, seed=1) == intervals(counts, seed=1)
    assert intervals(counts, seed=1) != intervals(counts, seed=2)


def test_equal_systems_are_a_tie(taxonomy: Taxonomy, texts: list[LabelledText]) -> None:
    counts = _counts(taxonomy, _system(taxonomy, texts), texts)
    found = compare(counts, counts, seed=1)
    for difference in (found.micro_f1, found.macro_f1):
        assert (difference.gap.value, difference.gap.low, difference.gap.high) == (0, 0, 0)
        assert difference.better == 0.5
        assert difference.verdict == "tie"


def test_a_better_system_wins_and_the_other_way_round_it_loses(taxonomy: Taxonomy, texts: list[LabelledText]) -> None:
    good = _counts(taxonomy, _system(taxonomy, texts, noise=1), texts)
    bad = _counts(taxonomy, _system(taxonomy, texts, noise=3), texts)
    won, lost = compare(good, bad, seed=1).micro_f1, compare(bad, good, seed=1).micro_f1
    assert (won.verdict, won.better) == ("better", 1)
    assert (lost.verdict, lost.better) == ("worse", 0)
    assert won.gap.low == pytest.approx(-lost.gap.high)


def test_labels_that_gained_and_lost_are_named_with_their_counts(taxonomy: Taxonomy, texts: list[LabelledText]) -> None:
    old = _system(taxonomy, texts, "old@1")
    values = old.scores["goals"].copy()
    water, school = (taxonomy.level("goals").index[goal] for goal in ("6", "4"))
    truth, _ = gold(texts, taxonomy.level("goals"))
    values[:, water] = truth[:, water]
    values[:, school] = 0
    new = replace(old, name="new@1", scores={**old.scores, "goals": values})
    goals = make_report(taxonomy, [new, old], texts, PROVENANCE, seed=1).comparisons[0].levels["goals"]
    (risen,), (fallen,) = goals.risen, goals.fallen
    assert (risen.first.label.id, risen.first.f1, risen.first.wrong) == ("6", 1, 0)
    assert (fallen.first.label.id, fallen.first.right, fallen.first.missed) == ("4", 0, int(truth[:, school].sum()))


def test_slices_add_up_and_small_ones_are_marked(taxonomy: Taxonomy, texts: list[LabelledText]) -> None:
    few = [replace(text, meta={"lang": "fr"}) for text in texts[:5]]
    everything = [*few, *texts[5:]]
    answers = _system(taxonomy, everything)
    slices = find_slices(taxonomy, answers.given(taxonomy), everything)
    by_field = {field: [one for one in slices if one.field == field] for field in ("kind", "dialect", "lang", "length")}
    for found in by_field.values():
        assert sum(one.texts for one in found) == len(everything)
    assert {one.value: one.small for one in by_field["lang"]} == {"ar": False, "fr": True}
    assert by_field["dialect"][0].value == "msa"
    assert by_field["dialect"][-1].value == NOT_GIVEN
    assert [one.value for one in by_field["length"]] == [
        "0-19 words",
        "20-59 words",
        "60-119 words",
        "120 words and more",
    ]
    whole = evaluate_answers(taxonomy, answers, everything).levels["goals"].micro_f1
    parts = [one.levels["goals"].micro_f1 for one in by_field["length"]]
    assert min(parts) < whole < max(parts)


def test_the_weakest_dialect_is_set_beside_msa(taxonomy: Taxonomy, texts: list[LabelledText]) -> None:
    answers = _system(taxonomy, texts, noise=0.5)
    gulf = [place for place, text in enumerate(texts) if text.meta["dialect"] == "gulf"]
    scores = {name: values.copy() for name, values in answers.scores.items()}
    for values in scores.values():
        values[gulf[::2]] = 0
    slices = find_slices(taxonomy, replace(answers, scores=scores).given(taxonomy), texts)
    gaps = dialect_gaps(slices)
    assert [gap.level for gap in gaps] == [level.name for level in taxonomy.levels]
    assert {gap.dialect for gap in gaps} == {"gulf"}
    assert all(gap.distance > 0.2 for gap in gaps)
    assert dialect_gaps([one for one in slices if one.value == "msa"]) == ()


def test_a_slice_without_labels_has_no_figures_rather_than_zero(taxonomy: Taxonomy) -> None:
    nothing = {level.name: () for level in taxonomy.levels}
    texts = [LabelledText(f"t-{n}", "كلام عابر", nothing, f"g-{n}", {"dialect": "msa"}) for n in range(3)]
    given = {level.name: np.zeros((3, len(level.labels)), bool) for level in taxonomy.levels}
    (dialect,) = [one for one in find_slices(taxonomy, given, texts) if one.field == "dialect"]
    assert dialect.levels["goals"].micro_f1 is None
    assert dialect.levels["goals"].macro_f1 is None


def test_confusion_shows_what_stands_in_the_place_of_what(taxonomy: Taxonomy) -> None:
    level = taxonomy.level("goals")
    due = [("6",), ("6",), ("4",), ()]
    given = np.zeros((4, len(level.ids)), bool)
    for row, goals in enumerate([("3",), (), ("4",), ("5",)]):
        given[row, [level.index[goal] for goal in goals]] = True
    texts = [LabelledText(f"t-{n}", "نص", {"goals": goals}, f"g-{n}") for n, goals in enumerate(due)]
    found = find_confusion(level, given, texts).texts
    assert found.sum() == 3
    assert found[level.index["6"], level.index["3"]] == 1
    assert found[level.index["6"], -1] == 1
    assert found[-1, level.index["5"]] == 1


def test_the_worst_error_is_the_least_likely_and_right_texts_are_left_out(
    taxonomy: Taxonomy, texts: list[LabelledText]
) -> None:
    answers = _system(taxonomy, texts, noise=0)
    assert worst_mistakes(taxonomy, answers, texts) == ()
    scores = answers.scores["goals"].copy()
    level = taxonomy.level("goals")
    for place, score in ((7, 0.3), (9, 0.001)):
        scores[place, level.index[texts[place].labels["goals"][0]]] = score
    found = worst_mistakes(taxonomy, replace(answers, scores={**answers.scores, "goals": scores}), texts)
    assert [mistake.text.id for mistake in found] == ["t-9", "t-7"]
    missed = found[0].levels["goals"].due[-1]
    assert missed.id == texts[9].labels["goals"][0]
    assert missed.score == pytest.approx(0.001)
    assert missed not in found[0].levels["goals"].given


def test_reliability_bins_hold_every_decision(taxonomy: Taxonomy, texts: list[LabelledText]) -> None:
    scores = _system(taxonomy, texts).scores["goals"]
    truth, _ = gold(texts, taxonomy.level("goals"))
    bins = reliability(scores, truth)
    assert len(bins) == 15
    assert sum(one.decisions for one in bins) == scores.size
    assert all(one.low <= one.mean <= one.high + 1e-6 for one in bins if one.decisions)
    assert calibration_error(np.array([0.8] * 10, np.float32), np.arange(10) < 8) == pytest.approx(0, abs=1e-6)


def test_every_label_is_on_the_page_and_page_and_json_agree(tmp_path: Path, report: Report, taxonomy: Taxonomy) -> None:
    for name in ("report.html", "report.json"):
        write_report(report, tmp_path / "new folder" / name)
    data = json.loads((tmp_path / "new folder" / "report.json").read_text(encoding="utf-8"))
    page = _Page((tmp_path / "new folder" / "report.html").read_text(encoding="utf-8"))
    figures = ("precision", "recall", "f1", "threshold")
    for level in taxonomy.levels:
        labels = {label["id"]: label for label in data["labels"][level.name]}
        assert tuple(labels) == level.ids
        for label in level.labels:
            values = labels[label.id]
            shown = ["–" if values[name] is None else f"{values[name]:.3f}" for name in figures]
            assert [label.id, label.title["en"], label.title["ar"], str(values["support"]), *shown] in page.rows
    assert page.texts == [mistake["text"] for mistake in data["mistakes"]]
    for one in data["slices"]:
        assert any(one["value"] in row and str(one["texts"]) in row for row in page.rows)
    words = " ".join(page.words)
    for system in data["systems"]:
        for values in system["levels"].values():
            for name in ("micro_f1", "macro_f1"):
                interval = values["intervals"][name]
                assert interval["value"] == values[name]
                assert f"{interval['low']:.3f}–{interval['high']:.3f}" in words
    for expected in ("texts.jsonl", data["measured_on"]["data_sha256"], "new@1", "0a1b2c", "2026-01-31", "old@1"):
        assert expected in words


def test_the_page_stands_alone(tmp_path: Path, report: Report) -> None:
    write_report(report, tmp_path / "report.html")
    page = _Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert not page.elements & {"script", "link", "img", "iframe"}
    assert all(address.startswith("#") for address in page.addresses)
    assert "svg" in page.elements


def test_a_hostile_text_stays_harmless(tmp_path: Path, taxonomy: Taxonomy) -> None:
    hostile = "قال <script>alert('x')</script> \"><img src=http://evil.example onerror=1> {{ 7*7 }} &amp; ثم سكت"
    texts = [replace(text, id=hostile + text.id, text=hostile) for text in _texts(taxonomy, 30)]
    provenance = Provenance(hostile, {hostile: {hostile: hostile}}, hostile)
    systems = [_system(taxonomy, texts, hostile, noise=4), _system(taxonomy, texts, hostile + "2", noise=4, seed=1)]
    report = make_report(taxonomy, systems, texts, provenance, seed=1)
    write_report(report, tmp_path / "report.html")
    page = _Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert not page.elements & {"script", "img"}
    assert not page.handlers
    assert all(address.startswith("#") for address in page.addresses)
    assert page.texts
    assert set(page.texts) == {hostile}
    print_report(report, Console(file=io.StringIO(), width=80))


def test_a_level_that_no_text_is_annotated_on_is_said_to_be_so(tmp_path: Path, taxonomy: Taxonomy) -> None:
    texts = [replace(text, labels={"goals": text.labels["goals"]}) for text in _texts(taxonomy, 30)]
    systems = [_system(taxonomy, texts), _system(taxonomy, texts, "old@1", seed=1)]
    report = make_report(taxonomy, systems, texts, PROVENANCE, seed=1)
    write_report(report, tmp_path / "report.html")
    assert set(report.to_dict()["systems"][0]["levels"]) == {"goals"}
    assert "No text is annotated on this level" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_no_text_is_an_error(taxonomy: Taxonomy) -> None:
    with pytest.raises(CorpusError, match=r"texts.jsonl: no text"):
        make_report(taxonomy, [_system(taxonomy, [])], [], PROVENANCE, seed=1)


def test_robustness_and_faithfulness_stand_in_the_report_where_they_were_measured(
    tmp_path: Path, stub: Tagger, taxonomy: Taxonomy, texts: list[LabelledText]
) -> None:
    some, raw = texts[:4], [f"{text.text[:60]}. ماء الشرب في القرية؟ مدرسة الحي." for text in texts[:4]]
    report = make_report(
        taxonomy,
        [answer(stub, some)],
        some,
        PROVENANCE,
        seed=1,
        robustness=tag_agreement(stub, raw, 1),
        faithfulness=faithfulness(stub, raw, 1),
    )
    printed = io.StringIO()
    print_report(report, Console(file=printed, width=100))
    write_report(report, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for name in PERTURBATIONS:
        assert name in printed.getvalue()
        assert name in page
    assert "Evidence: mean fall" in printed.getvalue()
    assert 'id="evidence"' in page
    assert len(report.to_dict()["robustness"]) == len(PERTURBATIONS) * len(taxonomy.levels)


def test_the_printed_tables_name_everything_in_full_within_80_columns(report: Report, taxonomy: Taxonomy) -> None:
    out = io.StringIO()
    print_report(report, Console(file=out, width=80))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in out.getvalue()
    for level in taxonomy.levels:
        assert sum(line.startswith(f"{level.name} ") for line in lines) >= 4
    header = next(line for line in lines if line.startswith("level") and "precision" in line)
    assert header.split() == ["level", "precision", "recall", "micro", "F1", "macro", "F1", "labels", "accuracy", "ECE"]


def test_answers_of_a_tagger_give_the_figures_of_the_tagger(stub: Tagger, texts: list[LabelledText]) -> None:
    answers = answer(stub, texts[:20], "another name")
    assert answers.name == "another name"
    assert evaluate_answers(stub.taxonomy, answers, texts[:20]) == evaluate(stub, texts[:20])


def test_the_command_writes_both_reports_and_compares(
    tmp_path: Path, stub: Tagger, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[list[Path]] = []

    def fake(folders: Sequence[Path]) -> tuple[Contender, ...]:
        opened.append(list(folders))
        return tuple(Contender(folder.name, stub, {"taxonomy": "1.0"}) for folder in folders)

    monkeypatch.setattr("training.contenders.open_bundles", fake)
    source = write_jsonl(tmp_path / "texts.jsonl", [record(n, goals=["6"], targets=["6.1"]) for n in range(6)])
    arguments = [str(source), "--bundle", str(tmp_path / "new"), "--compare", str(tmp_path / "old")]
    for name in ("a.html", "a.json"):
        arguments += ["--report", str(tmp_path / name)]
    result = CliRunner().invoke(evaluate_command, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert opened == [[tmp_path / "new", tmp_path / "old"]]
    data = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert [system["name"] for system in data["systems"]] == ["new", "old"]
    assert data["comparisons"][0]["levels"]["goals"]["micro_f1"]["verdict"] == "tie"
    assert data["measured_on"]["date"] is None
    assert "new beside old" in result.output
    assert "a.html" in result.output
    first = [(tmp_path / name).read_bytes() for name in ("a.html", "a.json")]
    CliRunner().invoke(evaluate_command, arguments, catch_exceptions=False)
    assert [(tmp_path / name).read_bytes() for name in ("a.html", "a.json")] == first


def test_an_unknown_suffix_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    result = CliRunner().invoke(evaluate_command, [str(tmp_path / "none"), "--report", "report.pdf"])
    assert isinstance(result.exception, UnknownFormatError)
    assert "expected one of .html, .json" in str(result.exception)


def test_bundles_of_one_name_are_told_apart_and_other_labels_refused(
    stub: Tagger, taxonomy: Taxonomy, monkeypatch: pytest.MonkeyPatch
) -> None:
    from models.bundle import Manifest

    monkeypatch.setattr("training.contenders.load_tagger", lambda folder: stub)
    monkeypatch.setattr(
        "training.contenders.read_manifest", lambda folder: Manifest("stub", "1", {}, {}, {"taxonomy": "1.0"}, {})
    )
    assert [one.name for one in open_bundles([Path("a")])] == ["stub"]
    assert [one.name for one in open_bundles([Path("a"), Path("b")])] == ["stub (a)", "stub (b)"]
    fewer = replace(taxonomy, axes=taxonomy.axes[:1])
    with pytest.raises(BundleError, match="b has other labels than a on rite, technologies"):
        check_same_labels(Path("a"), taxonomy, Path("b"), fewer)
