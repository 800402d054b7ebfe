from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import grouping_stub
import pytest
from click.testing import CliRunner, Result
from openpyxl import Workbook, load_workbook

from models.clustering.records import Clustering
from models.stub import StubEncoder
from models.tagger import Tagger
from models.tokenizer import Window
from nlp.errors import MusannifError
from service import cluster_command
from service.cli import cli

Run = Callable[..., Result]
SAMPLE = [
    ("1", "ماء الحي مقطوع منذ يومين", "شمال"),
    ("2", "ماء الشرب مالح في حينا", "شمال"),
    ("3", "مدرسة القرية بعيدة", "جنوب"),
    ("4", "مدرسة البنات مزدحمة", "جنوب"),
    ("5", "كلام آخر", ""),
]


@pytest.fixture
def run(stub: Tagger, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `musannif cluster` with the stub of the tagger and the stub of the grouping."""
    grouping_stub.install(monkeypatch)
    monkeypatch.setattr(cluster_command, "load_tagger", lambda bundle: stub)
    return lambda *arguments: CliRunner().invoke(cli, ["cluster", *map(str, arguments)])


def _csv(path: Path, rows: list[tuple[str, ...]] = SAMPLE, header: str = "id,comment,region") -> Path:  # type: ignore[assignment]
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    path.write_text(header + "\n" + file.getvalue(), encoding="utf-8")
    return path


def _refused(result: Result) -> str:
    assert isinstance(result.exception, MusannifError), result.output
    return str(result.exception)


def test_topics_counts_and_named_steps(run: Run, tmp_path: Path) -> None:
    done = run(_csv(tmp_path / "آراء.csv"), "--text-column", "comment", "--attributes", "region")
    assert done.exit_code == 0, done.output
    steps = [line.split("] ")[1] for line in done.stderr.splitlines()]
    assert steps == ["mask", "tag", "read", "campaigns", "reduce", "group", "stability", "map", "describe"]
    assert done.stderr.startswith("[1/9] mask")
    for part in ("آراء", "ماء", "مدرسة", "5 voices", "2 topics", "other: 20.0%", "campaigns: 0", "region: ", "too few"):
        assert part in done.stdout
    assert "note: The sample is small." in done.stdout


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "xlsx"])
def test_every_table_gives_the_same_tree(run: Run, tmp_path: Path, kind: str) -> None:
    source = tmp_path / f"in.{kind}"
    if kind == "csv":
        _csv(source)
    elif kind == "tsv":
        source.write_text("id\tcomment\tregion\n" + "\n".join("\t".join(row) for row in SAMPLE), encoding="utf-8")
    elif kind == "jsonl":
        lines = [json.dumps(dict(zip(("id", "comment", "region"), row, strict=True))) for row in SAMPLE]
        source.write_text("\n".join(lines), encoding="utf-8")
    else:
        book = Workbook()
        for row in [("id", "comment", "region"), *((int(key), *rest) for key, *rest in SAMPLE)]:
            book.active.append(row)
        book.save(source)
    out = tmp_path / "out.json"
    done = run(source, "--attributes", "region", "-o", out)
    assert done.exit_code == 0, done.output
    found = json.loads(out.read_text(encoding="utf-8"))
    tree = Clustering.from_dict(found["clustering"])
    assert [(topic.title, topic.size.voices) for topic in tree.topics] == [("ماء", 2), ("مدرسة", 2)]
    assert [one.id for one in tree.comments] == ["1", "2", "3", "4", "5"]
    assert [dict(one.attributes) for one in tree.comments][1:5:3] == [{"region": "شمال"}, {}]
    assert found["texts"]["3"] == "مدرسة القرية بعيدة"
    assert found["title"] == "in"


def test_personal_data_is_masked_before_anything_is_written(run: Run, tmp_path: Path) -> None:
    rows = [
        *SAMPLE,
        ("6", "ماء الحي، اتصلوا بي 0551234567 أو a.b@example.com", "x@example.com"),
        ("c@d.org", "ماء", ""),
    ]
    files = [tmp_path / f"out.{kind}" for kind in ("json", "csv", "xlsx")]
    report = tmp_path / "r.html"
    source = _csv(tmp_path / "in.csv", rows)
    outputs = [part for file in files for part in ("-o", str(file))]
    done = run(source, "--attributes", "region", *outputs, "--report", report)
    assert done.exit_code == 0, done.output
    assert "personal data masked: e-mail 3, telephone 1" in done.stdout
    book = load_workbook(files[2])
    cells = [str(cell) for sheet in book for row in sheet.iter_rows(values_only=True) for cell in row]
    for text in (files[0].read_text(), files[1].read_text(), "\n".join(cells), done.output, report.read_text()):
        assert "0551234567" not in text
        assert "example.com" not in text
        assert "d.org" not in text
    assert "[هاتف]" in files[1].read_text()
    assert "comment 7" in files[1].read_text()
    kept = run(source, "--no-mask", "-o", files[0])
    assert "not masked" in kept.stdout
    assert "0551234567" in files[0].read_text()


def test_cells_that_a_spreadsheet_would_run_are_disarmed(run: Run, tmp_path: Path) -> None:
    evil = '=HYPERLINK("http://x.test";"ماء")'
    rows = [(f"={n}", text, "@SUM(1)") for n, text in enumerate((evil, "+ماء", "-ماء", "ماء", "ماء"))]
    out, sheet = tmp_path / "out.csv", tmp_path / "out.xlsx"
    source = _csv(tmp_path / "in.csv", rows, "id,text,=region")
    done = run(source, "--attributes", "=region", "--no-mask", "-o", out, "-o", sheet)
    assert done.exit_code == 0, done.output
    cells = [cell for row in csv.reader(io.StringIO(out.read_text("utf-8-sig"))) for cell in row]
    assert f"'{evil}" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@"))]
    for page in load_workbook(sheet):
        assert {cell.data_type for row in page.iter_rows() for cell in row} <= {"s", "n"}


class _Counting(StubEncoder):
    def __init__(self) -> None:
        self.read = 0

    def windows(self, text: str) -> Sequence[Window]:
        self.read += 1
        return super().windows(text)


def test_campaigns_are_counted_by_voices_and_read_once(
    run: Run, tmp_path: Path, stub: Tagger, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = _Counting()
    monkeypatch.setattr(cluster_command, "load_tagger", lambda bundle: replace(stub, encoder=encoder))
    rows = [(str(n), "ماء الحي مقطوع", "") for n in range(50_000)] + [("last", "مدرسة", "")]
    done = run(_csv(tmp_path / "in.csv", rows))
    assert done.exit_code == 0, done.output
    assert "50,001 voices, 2 arguments" in done.stdout
    assert "campaigns: 1, with 50,000 voices" in done.stdout
    assert encoder.read == 2


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("in.csv", "رأي,منطقة\nماء,شمال\n".encode(), ["['رأي', 'منطقة']", "--text-column"]),
        ("in.csv", "text\nماء\n".encode("cp1256"), ["line 2", "UTF-8", "Windows-1256"]),
        ("in.csv", b'text,id\n"one",1\n"two,2\nthree,3\nfour,4\n', ["line 3", "never closed", "3 lines"]),
        ("in.csv", b"", ["is empty"]),
        ("in.csv", b"text,id\n", ["there is no comment"]),
        ("in.csv", b"text,id\n,1\n  ,2\n", ["all 2 texts are empty"]),
        ("in.csv", "id,text\n1,ماء\n1,هواء\n".encode(), ["'1'", "--id-column"]),
        ("in.jsonl", b"", ["is empty"]),
        ("in.xlsx", b"PK\x03\x04 broken", ["cannot be read as a workbook"]),
        ("in.docx", b"PK\x03\x04", [".docx", ".xlsx"]),
        ("in.txt", "نص".encode(), [".txt", ".csv"]),
    ],
)
def test_bad_files_are_refused_with_a_reason_and_a_remedy(
    run: Run, tmp_path: Path, name: str, data: bytes, words: list[str]
) -> None:
    (tmp_path / name).write_bytes(data)
    said = _refused(run(tmp_path / name, "-o", tmp_path / "out.json"))
    for word in words:
        assert word in said
    assert not (tmp_path / "out.json").exists()


def test_wrong_names_are_told_before_any_work(run: Run, tmp_path: Path) -> None:
    source = _csv(tmp_path / "in.csv")
    assert "['id', 'comment', 'region']" in _refused(run(source, "--attributes", "region,age"))
    assert "'words'" in _refused(run(source, "--text-column", "words"))
    assert ".json or .csv or .xlsx" in _refused(run(source, "-o", tmp_path / "out.pdf"))
    assert "No such file" in _refused(run(tmp_path / "none.csv"))
    (tmp_path / "presets.yaml").write_text("- {id: a}\n", encoding="utf-8")
    assert "title" in _refused(run(source, "--presets", tmp_path / "presets.yaml"))
    (tmp_path / "presets.yaml").write_text("a: [", encoding="utf-8")
    assert "presets.yaml" in _refused(run(source, "--presets", tmp_path / "presets.yaml"))
    (tmp_path / "presets.yaml").write_text("- {id: a, title: ماء, labels: [goals/66]}\n", encoding="utf-8")
    done = run(source, "--presets", tmp_path / "presets.yaml")
    assert "'goals/66'" in _refused(done)
    assert "mask" not in done.stderr


def test_files_that_could_not_be_written_are_told_before_any_work(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_command, "load_tagger", lambda bundle: pytest.fail("the work began"))
    source = _csv(tmp_path / "in.csv")
    before = source.read_bytes()
    assert "would be written over" in _refused(run(source, "-o", source))
    twice = tmp_path / "out.csv"
    assert "would be written over" in _refused(run(source, "-o", twice, "-o", tmp_path / "." / "out.csv"))
    assert "would be written over" in _refused(run(source, "-o", twice, "--report", twice))
    assert "there is no folder" in _refused(run(source, "--report", tmp_path / "none" / "r.html"))
    (tmp_path / "dir.json").mkdir()
    assert "is a folder" in _refused(run(source, "-o", tmp_path / "dir.json"))
    assert source.read_bytes() == before
    assert run(source, "--seed", 2**32).exit_code == 2


def test_the_files_that_were_written_are_named(run: Run, tmp_path: Path) -> None:
    source, report, out = _csv(tmp_path / "0551234567.csv"), tmp_path / "r.html", tmp_path / "o.csv"
    done = run(source, "-o", out, "--report", report)
    assert f"written: {out}\nwritten: {report}\n" in done.stderr
    assert "[هاتف]" in done.stdout
    assert "0551234567" not in report.read_text(encoding="utf-8")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["0551234567.csv", "o.csv", "r.html"]


def test_rows_that_cannot_be_read_are_named_and_the_others_grouped(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text('id,text\n1,ماء أول\n2,"ماء ثان\n3,ثالث" ذيل\n4,ماء رابع\n5,ماء,زائد\n', encoding="utf-8")
    done = run(source)
    assert done.exit_code == 1
    assert "lines 3 to 4 are one row" in done.stderr
    assert "in.csv:6 has 3 cells" in done.stderr
    assert "2 of 4 rows cannot be read" in done.stderr
    assert "2 voices" in done.stdout


def test_a_formula_counts_as_its_value_and_one_without_is_named(run: Run, tmp_path: Path) -> None:
    book = Workbook()
    for row in (("id", "text"), (1, "ماء"), (2, '=CONCAT("ما","ء")'), (3, "ماء نظيف")):
        book.active.append(row)
    book.save(tmp_path / "in.xlsx")
    done = run(tmp_path / "in.xlsx")
    assert done.exit_code == 1
    assert "cell B3 is a formula" in done.stderr
    assert "2 voices" in done.stdout


@pytest.mark.parametrize(
    "texts", [["ماء"], ["ماء"] * 30, ["😀", "👍👍", "!!!"], ["ماء " * 12_000, "هواء", "Some English"]]
)
def test_odd_sets_still_give_every_comment_a_place(run: Run, tmp_path: Path, texts: list[str]) -> None:
    out = tmp_path / "out.json"
    done = run(_csv(tmp_path / "in.csv", [(str(n), text, "") for n, text in enumerate(texts)]), "-o", out)
    assert done.exit_code == 0, done.output
    tree = Clustering.from_dict(json.loads(out.read_text())["clustering"])
    assert len(tree.comments) == tree.size.voices == len(texts)


def test_insults_are_flagged_and_stay(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    done = run(_csv(tmp_path / "in.csv", [*SAMPLE, ("6", "أنت حمار يا وزير", "")]), "-o", out)
    found = json.loads(out.read_text())
    assert found["flags"] == {"6": ["insult"]}
    assert found["texts"]["6"] == "أنت حمار يا وزير"
    assert "flagged as insult: 1" in done.stdout


def test_the_help_names_every_option(run: Run) -> None:
    said = run("--help").output
    for word in ("--text-column", "--attributes", "--presets", "--report", "--no-mask", "--seed", "exit status"):
        assert word in said
