from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from nlp.errors import ReadingError
from nlp.records import Classification, Document, Failure, Tag
from nlp.taxonomy import Taxonomy
from service.cli import main
from service.writing import WRITERS


@pytest.fixture
def run(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Runs the command line on the tiny bundle; gives exit status, output and errors."""

    def call(*arguments: str, bundle: Path | None = None) -> tuple[int, str, str]:
        extra = ["--bundle", str(bundle or tiny_bundle)] if arguments[0] == "classify" else []
        monkeypatch.setattr("sys.argv", ["musannif", *arguments, *extra])
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = int(stop.code or 0)
        return status, *capfd.readouterr()

    return call


WATER = "قال الناس في الحي إن ماء الحي جديد"


def test_jsonl_in_and_out_keeps_ids_and_order(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps({"id": f"n{i}", "text": WATER}) + "\n" for i in range(3)))
    status, _, _ = run("classify", str(source), "--output", str(target))
    items = [json.loads(line) for line in target.read_text().splitlines()]
    assert status == 0
    assert [item["id"] for item in items] == ["n0", "n1", "n2"]
    assert list(items[0]) == ["id", "goals", "targets", "technologies", "rite", "needs_review", "model"]
    assert [tag["id"] for tag in items[0]["goals"]] == ["6"]
    assert 0 < items[0]["goals"][0]["score"] <= 1


def test_all_scores_lists_every_label(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.txt").write_text(WATER)
    _, out, _ = run("classify", str(tmp_path / "a.txt"), "--all-scores")
    scores = json.loads(out)["scores"]
    assert {level: len(found) for level, found in scores.items()} == {
        "goals": 17,
        "targets": 169,
        "technologies": 24,
        "rite": 4,
    }


def test_a_bad_item_is_reported_in_its_place_and_the_others_answered(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.txt").write_text(WATER)
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\x00\xd8")
    (tmp_path / "c.txt").write_text(WATER)
    status, out, err = run("classify", str(tmp_path))
    items = [json.loads(line) for line in out.splitlines()]
    assert status == 1
    assert [item["id"] for item in items] == ["a.txt", "b.txt", "c.txt"]
    assert "error" in items[1]
    assert "goals" in items[2]
    assert err.startswith("b.txt: ")


def test_csv_and_table(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text(f"id,text\n1,{WATER}\n2,\n", encoding="utf-8")
    status, _, _ = run("classify", str(source), "-o", str(target))
    rows = list(csv.DictReader(io.StringIO(target.read_text())))
    assert status == 1
    assert rows[0]["goals"] == "6"
    assert rows[0]["targets"] == "6.1"
    assert "the text is empty" in rows[1]["error"]
    _, out, _ = run("classify", str(source), "--format", "table")
    assert "المياه" in out or "مياه" in out


@pytest.mark.parametrize("mark", ["=", "+", "-", "@", "\t=", "＝"])
def test_ids_and_names_of_files_are_not_run_by_a_spreadsheet(run, tmp_path: Path, mark: str) -> None:  # type: ignore[no-untyped-def]
    evil = f'{mark}HYPERLINK("http:x.test")'
    target = tmp_path / "out.csv"
    for name, text in ((f"{evil}.txt", WATER), (f"{mark}b.txt", "")):
        folder = tmp_path / "in"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    rows = [
        json.dumps({"id": id_, "text": text}) for id_, text in ((f"{evil}1", WATER), (f"{mark}2", ""), ("3", WATER))
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(rows))
    status, out, _ = run("classify", str(tmp_path / "in"), str(tmp_path / "in.jsonl"), "--format", "jsonl")
    ids = [json.loads(line)["id"] for line in out.splitlines()]
    assert (status, set(ids)) == (1, {f"{evil}.txt", f"{mark}b.txt", f"{evil}1", f"{mark}2", "3"})
    run("classify", str(tmp_path / "in"), str(tmp_path / "in.jsonl"), "-o", str(target))
    with target.open(encoding="utf-8", newline="") as file:
        rows_written = list(csv.DictReader(file))
    assert [row["id"] for row in rows_written] == ["3" if one == "3" else f"'{one}" for one in ids]
    cells = [cell for row in rows_written for cell in row.values()]
    assert not [cell for cell in cells if cell.lstrip().startswith(("=", "+", "-", "@", "＝"))]


def test_standard_input(run, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    class Stdin:
        buffer = io.BytesIO(WATER.encode())

    monkeypatch.setattr("sys.stdin", Stdin)
    status, out, _ = run("classify", "-")
    assert status == 0
    assert json.loads(out)["id"] == "stdin"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("classify", "/no/such/file"), "does not exist"),
        (("classify", __file__, "--axes", "colour"), "unknown axis 'colour'"),
        (("classify", __file__, "-o", "x.docx"), "suffix .docx"),
        (("bundle", "verify", "/no/such/bundle"), "there is no folder"),
        (("bundle", "info", "/no/such/bundle"), "there is no folder"),
    ],
)
def test_errors_are_one_line_with_a_remedy(run, arguments: tuple[str, ...], words: str) -> None:  # type: ignore[no-untyped-def]
    status, out, err = run(*arguments)
    assert status == 2
    assert out == ""
    assert err.startswith("musannif: ")
    assert words in err
    assert "Traceback" not in err


def test_nothing_is_left_at_the_output_when_a_run_fails(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    target = tmp_path / "out.jsonl"
    status, _, _ = run("classify", str(tmp_path / "none"), "-o", str(target))
    assert status == 2
    assert list(tmp_path.iterdir()) == []


def _refused_before_the_work(run, *arguments: str) -> str:  # type: ignore[no-untyped-def]
    status, out, err = run("classify", *arguments, bundle=Path("no bundle"))
    assert (status, out) == (2, "")
    assert err.startswith("musannif: ")
    assert "; expected " in err
    return err


def test_what_is_read_is_never_written_over(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    source, other = tmp_path / "in" / "in.csv", tmp_path / "other.txt"
    source.parent.mkdir()
    source.write_text(f"id,text\n1,{WATER}\n", encoding="utf-8")
    other.write_text(WATER, encoding="utf-8")
    (tmp_path / "link").symlink_to(source.parent)
    before = source.read_bytes()
    for inputs in ([source], [other, source], [source.parent], [tmp_path / "link"]):
        for output in (source, tmp_path / "link" / ".." / "in" / "in.csv"):
            said = _refused_before_the_work(run, *map(str, inputs), "-o", str(output))
            assert "would be written over" in said
    assert source.read_bytes() == before
    assert sorted(one.name for one in source.parent.iterdir()) == ["in.csv"]


def test_an_output_that_has_no_place_is_told_before_the_model_is_loaded(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    source = tmp_path / "a.txt"
    source.write_text(WATER, encoding="utf-8")
    said = _refused_before_the_work(run, str(source), "-o", str(tmp_path / "nowhere" / "x.jsonl"))
    assert "there is no folder" in said
    assert "make the folder" in said
    assert "is a folder" in _refused_before_the_work(run, str(source), "-o", str(tmp_path), "--format", "csv")


def test_tags_can_be_written_into_the_folder_that_is_read(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.txt").write_text(WATER, encoding="utf-8")
    (tmp_path / "b.txt").write_text(WATER, encoding="utf-8")
    status, _, err = run("classify", str(tmp_path), "-o", str(tmp_path / "tags.csv"))
    assert (status, err) == (0, "")
    with (tmp_path / "tags.csv").open(encoding="utf-8", newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == ["a.txt", "b.txt"]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.txt", "b.txt", "tags.csv"]


def test_the_table_shows_ids_and_errors_as_they_are(taxonomy: Taxonomy, tmp_path: Path) -> None:
    with (tmp_path / "table.txt").open("w", encoding="utf-8") as stream:
        writer = WRITERS["table"](stream, taxonomy, "model [x]")
        writer.write(Classification("[a]", {"goals": (Tag("6", 0.9),)}, needs_review=False))
        writer.write(Failure("[/b] :cat:", ReadingError("[/c]\udcff", expected="[bold]text")))
        writer.close()
    written = (tmp_path / "table.txt").read_text(encoding="utf-8")
    for shown in ("model [x]", "[a]", "[/b] :cat:", "[/c]?; expected", "[bold]text"):
        assert shown in written


@pytest.mark.parametrize("form", list(WRITERS))
def test_an_error_that_no_file_can_hold_is_written_nevertheless(taxonomy: Taxonomy, tmp_path: Path, form: str) -> None:
    with (tmp_path / "out").open("w", encoding="utf-8") as stream:
        writer = WRITERS[form](stream, taxonomy, "model")
        writer.write(Failure("\udcff.txt", ReadingError("\udcff.txt is empty")))
        writer.close()
    assert "?.txt is empty" in (tmp_path / "out").read_text(encoding="utf-8")


def test_a_damaged_bundle_is_an_error_not_a_guess(run, tiny_bundle: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    import shutil

    broken = Path(shutil.copytree(tiny_bundle, tmp_path / "broken"))
    weights = bytearray((broken / "heads.safetensors").read_bytes())
    weights[-1] ^= 1
    (broken / "heads.safetensors").write_bytes(weights)
    (tmp_path / "a.txt").write_text(WATER)
    status, out, err = run("classify", str(tmp_path / "a.txt"), bundle=broken)
    assert (status, out) == (2, "")
    assert "heads.safetensors has sha256" in err


def test_the_commands_of_training_join_the_command_line(run) -> None:  # type: ignore[no-untyped-def]
    _, out, _ = run("--help")
    assert all(command in out for command in ("base", "bundle", "classify", "data", "evaluate", "serve", "train"))
    _, out, _ = run("bundle", "--help")
    assert all(command in out for command in ("build", "info", "verify"))


def test_documents_are_what_the_stub_takes_too(stub) -> None:  # type: ignore[no-untyped-def]
    assert stub.classify([Document("1", WATER)])[0].id == "1"
