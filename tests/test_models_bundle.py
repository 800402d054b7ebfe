from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.bundle import FILES, load_tagger, promote, read_manifest, rollback, verify_bundle
from models.tagger import Options
from nlp.errors import BundleError
from nlp.records import Classification, Document


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))


def test_a_trained_bundle_tags_unseen_text(tiny_bundle: Path) -> None:
    tagger = load_tagger(tiny_bundle)
    documents = [Document("a", "قال الناس إن ماء الحي جديد"), Document("b", "قال الناس في الحي إن رشوة قديم")]
    water, bribe = tagger.classify(documents)
    assert isinstance(water, Classification)
    assert isinstance(bribe, Classification)
    assert [tag.id for tag in water.tags["goals"]] == ["6"]
    assert [tag.id for tag in water.tags["targets"]] == ["6.1"]
    assert [tag.id for tag in bribe.tags["goals"]] == ["16"]
    assert [tag.id for tag in bribe.tags["rite"]] == ["trust"]


def test_tags_do_not_depend_on_the_rest_of_the_batch(tiny_bundle: Path) -> None:
    tagger = load_tagger(tiny_bundle)
    text = "قال الناس إن مدرسة الحي قديم"
    alone = tagger.scores([text])["goals"]
    together = tagger.scores(["قال " * 30, text, "مباراة"])["goals"][1:2]
    np.testing.assert_array_equal(alone, together)


def test_a_batch_on_several_threads_gives_bit_by_bit_what_each_text_gets_alone(tiny_bundle: Path) -> None:
    tagger = load_tagger(tiny_bundle, threads=3)
    texts = [f"قال الناس إن {word} الحي {number} " * (1 + number) for number in range(12) for word in ("ماء", "رشوة")]
    documents = [Document(str(place), text) for place, text in enumerate(texts)]
    options = Options(all_scores=True, evidence=True, embedding=True)
    assert tagger.classify(documents, options) == [tagger.classify([one], options)[0] for one in documents]


def test_a_long_text_is_read_to_its_end(tiny_bundle: Path) -> None:
    tagger = load_tagger(tiny_bundle)
    filler = "قال الناس في الحي إن مباراة الحي جديد " * 60
    (result,) = tagger.classify([Document("long", filler + "قال الناس في الحي إن رشوة الحي قديم " * 6)])
    assert isinstance(result, Classification)
    assert "16" in [tag.id for tag in result.tags["goals"]]


def test_the_runtime_of_the_encoder_keeps_no_identifier_to_tell_its_maker(tiny_bundle: Path, tmp_path: Path) -> None:
    code = (
        "import time; from pathlib import Path; from models.bundle import load_tagger; "
        f"load_tagger(Path({str(tiny_bundle)!r})); time.sleep(1)"
    )
    # Without the variables by which the runtime would know a test.
    variables = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=variables, check=True)
    assert list(tmp_path.rglob("*")) == []


def test_a_text_without_a_token_gets_a_valid_empty_answer(tiny_bundle: Path) -> None:
    (result,) = load_tagger(tiny_bundle).classify([Document("marks", "ًٌٍ")])
    assert isinstance(result, Classification)
    assert not any(result.tags.values())
    assert result.needs_review


def test_the_bundle_holds_no_pickle_and_its_weights_once(tiny_bundle: Path) -> None:
    assert sorted(path.name for path in tiny_bundle.iterdir()) == sorted([*FILES, "manifest.json"])
    sizes = {path.name: path.stat().st_size for path in tiny_bundle.iterdir()}
    assert sizes["encoder.onnx"] < sizes["encoder.safetensors"]


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_is_found_and_named(copy: Path, name: str) -> None:
    path = copy / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match=f"{name} has sha256"):
        load_tagger(copy)


def test_missing_half_written_and_foreign_bundles_are_refused(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="there is no folder"):
        load_tagger(tmp_path / "none")
    (copy / "heads.safetensors").unlink()
    with pytest.raises(BundleError, match="heads.safetensors is missing"):
        load_tagger(copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(BundleError, match="format 99"):
        verify_bundle(copy)
    (copy / "manifest.json").write_text("{")
    with pytest.raises(BundleError, match="cannot be read"):
        read_manifest(copy)
    (copy / "manifest.json").unlink()
    with pytest.raises(BundleError, match="half-written"):
        read_manifest(copy)


def test_a_promoted_bundle_can_be_rolled_back_and_a_faulty_one_changes_nothing(
    copy: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    current = tmp_path / "bundles" / "default"
    promote(tiny_bundle, current)
    before = (current / "manifest.json").read_bytes()
    data = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(data | {"name": "newer"}))
    promote(copy, current)
    assert read_manifest(current).model.startswith("newer@")
    assert rollback(current).model == read_manifest(tiny_bundle).model
    assert (current / "manifest.json").read_bytes() == before
    assert rollback(current).model.startswith("newer@")
    (copy / "heads.safetensors").write_bytes(b"")
    with pytest.raises(BundleError):
        promote(copy, current)
    assert read_manifest(current).model.startswith("newer@")
    with pytest.raises(BundleError, match="previous"):
        rollback(tmp_path / "elsewhere" / "default")


def test_a_promotion_that_was_cut_off_can_be_rolled_back(tiny_bundle: Path, tmp_path: Path) -> None:
    current = tmp_path / "bundles" / "default"
    promote(tiny_bundle, current)
    # What stands there between the two renames of a promotion.
    shutil.copytree(tiny_bundle, current.with_name("default.partial"))
    current.rename(current.with_name("default.previous"))
    assert rollback(current) == read_manifest(tiny_bundle)
    assert [folder.name for folder in current.parent.iterdir()] == ["default"]
