from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from openpyxl import Workbook

from nlp.errors import EmptyTextError, InvalidTextError, ReadingError, TextTooLongError, UnknownFormatError
from nlp.reading import check_text, read_bytes, read_documents, read_stream
from nlp.records import Document, Failure


def test_a_text_file_is_one_document_whatever_its_encoding_mark(tmp_path: Path) -> None:
    for name, encoding in (("a.txt", "utf-8"), ("b.txt", "utf-8-sig"), ("c.txt", "utf-16")):
        (tmp_path / name).write_text("خدمة\nجديدة", encoding=encoding)
    assert [item.text for item in read_documents(tmp_path) if isinstance(item, Document)] == ["خدمة\nجديدة"] * 3


def test_bad_files_of_a_folder_are_named_and_the_others_read(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "binary.txt").write_bytes(b"\x00\x01\x02")
    (tmp_path / "scan.txt").write_bytes(b"%PDF-1.7 ...")
    (tmp_path / "windows.txt").write_bytes("مرحبا".encode("cp1256"))
    (tmp_path / "table.xls").write_bytes(b"x")
    (tmp_path / "unknown.csv").write_text("a,b\n1,2\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "good.txt").write_text("خدمة", encoding="utf-8")
    items = list(read_documents(tmp_path))
    assert [item.id for item in items if isinstance(item, Document)] == ["sub/good.txt"]
    kinds = {item.id: item.error for item in items if isinstance(item, Failure)}
    assert isinstance(kinds["empty.txt"], EmptyTextError)
    assert isinstance(kinds["binary.txt"], InvalidTextError)
    assert "a PDF" in str(kinds["scan.txt"])
    assert "save it again as UTF-8" in str(kinds["windows.txt"])
    assert isinstance(kinds["table.xls"], UnknownFormatError)
    assert "['a', 'b']" in str(kinds["unknown.csv"])
    assert all(name in str(error) for name, error in kinds.items())


def test_jsonl_keeps_ids_and_reports_lines(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    lines = [
        json.dumps({"id": 7, "text": "أول"}),
        "{broken",
        json.dumps({"id": "x", "text": "\ud800"}),
        json.dumps({"text": 5}),
        json.dumps(["no object"]),
        json.dumps({"id": "y", "body": "ثان"}),
        json.dumps({"id": "z", "title": "none"}),
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    items = list(read_documents(path))
    assert [item.id for item in items if isinstance(item, Document)] == ["7", "y"]
    errors = {item.id: str(item.error) for item in items if isinstance(item, Failure)}
    assert "in.jsonl:2 is not JSON" in errors["in.jsonl:2"]
    assert "lone surrogate U+D800" in errors["x"]
    assert "the text is int" in errors["in.jsonl:4"]
    assert "--text-column" in errors["z"]


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 100_000], ids=["a number too long", "lists too deep"])
def test_json_that_cannot_be_read_fails_alone(value: str) -> None:
    lines = f'{{"id": "a", "text": "أول"}}\n{{"id": {value}, "text": "ثان"}}\n{{"id": "c", "text": "ثالث"}}\n'
    first, failed, last = read_bytes(lines.encode(), "in.jsonl")
    assert (first, last) == (Document("a", "أول"), Document("c", "ثالث"))
    assert isinstance(failed, Failure)
    assert failed.id == "in.jsonl:2"
    assert isinstance(failed.error, InvalidTextError)


def test_an_item_without_an_id_is_named_by_its_place() -> None:
    lines = [
        '{"id": null, "text": "أول"}',
        '{"id": "", "text": "ثان"}',
        '{"id": 0, "text": "ثالث"}',
        '{"text": "رابع"}',
    ]
    items = list(read_bytes("\n".join(lines).encode(), "in.jsonl"))
    assert [item.id for item in items] == ["in.jsonl:1", "in.jsonl:2", "0", "in.jsonl:4"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_in_the_delimiters_of_office_programs(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "in.csv"
    rows = [["id", "التعليق"], ["1", '"سطر\nوسطر"'], ["2", ""], ["3", "ثالث"]]
    path.write_text("\ufeff" + "\n".join(delimiter.join(row) for row in rows), encoding="utf-8")
    items = list(read_documents(path))
    assert items[0] == Document("1", "سطر\nوسطر")
    assert isinstance(items[1], Failure)
    assert items[2] == Document("3", "ثالث")


def _workbook() -> bytearray:
    book, file = Workbook(), io.BytesIO()
    for row in (("id", "text"), *((number, f"نص {number}") for number in range(200))):
        book.active.append(row)
    book.save(file)
    return bytearray(file.getvalue())


def _flip(data: bytearray) -> None:
    """Bits of every part, after its name and the first of its packed bytes."""
    for match in list(re.finditer(rb"PK\x03\x04.{26}[\w/.\[\]]+", data, re.DOTALL)):
        for place in range(match.end() + 20, match.end() + 60):
            data[place] ^= 0xFF


def _in_every_header(data: bytearray, local: int, value: int) -> None:
    """Set two bytes of the headers of every part, local and central alike."""
    for signature, more in ((rb"PK\x03\x04", 0), (rb"PK\x01\x02", 2)):
        for match in re.finditer(signature, data):
            data[match.start() + local + more : match.start() + local + more + 2] = value.to_bytes(2, "little")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_flip, ""),
        (lambda data: _in_every_header(data, 6, 1), "password"),
        (lambda data: _in_every_header(data, 8, 99), "compression"),
        (lambda data: data.__delitem__(slice(200, None)), "zip"),
    ],
    ids=["damaged", "encrypted", "packed in an unknown way", "cut off"],
)
def test_a_workbook_that_cannot_be_unpacked_is_an_error_of_the_file(
    damage: Callable[[bytearray], None], words: str
) -> None:
    data = _workbook()
    damage(data)
    with pytest.raises(InvalidTextError, match=f"in.xlsx cannot be read as a workbook.*{words}"):
        list(read_bytes(bytes(data), "in.xlsx"))


def test_named_columns_must_exist(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("a,b\nنص,1\n", encoding="utf-8")
    assert list(read_documents(path, text_column="a", id_column="b")) == [Document("1", "نص")]
    with pytest.raises(UnknownFormatError, match="'c'"):
        list(read_documents(path, text_column="c"))
    with pytest.raises(ReadingError, match="does not exist"):
        list(read_documents(tmp_path / "none"))


def test_a_line_of_ten_megabytes_is_refused_by_name_and_the_next_is_read(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps({"text": "ا" * 10_000_000}) + "\n" + json.dumps({"id": "ok", "text": "نص"}))
    long, good = read_documents(path)
    assert isinstance(long, Failure)
    assert isinstance(long.error, TextTooLongError)
    assert "in.jsonl:1: the text has 10,000,000 characters; expected at most 1,000,000" in str(long.error)
    assert good == Document("ok", "نص")


def test_standard_input_is_text_or_jsonl() -> None:
    assert list(read_stream(io.BytesIO("نص عادي".encode()))) == [Document("stdin", "نص عادي")]
    assert list(read_stream(io.BytesIO(b'{"id": "a", "text": "x"}\n'))) == [Document("a", "x")]
    (failure,) = read_stream(io.BytesIO(b"\xff\x00\xfe"))
    assert isinstance(failure, Failure)


def test_text_with_letters_passes() -> None:
    for text in ("نص", "🙂", "ًٌٍ", "English only"):
        check_text(text)
