from __future__ import annotations

import copy
from pathlib import Path

import pytest

from nlp.errors import TaxonomyError
from nlp.taxonomy import Taxonomy, load_taxonomy, parse_taxonomy


def test_holds_every_label_with_titles_definitions_and_uris(taxonomy: Taxonomy) -> None:
    assert {level.name: len(level.labels) for level in taxonomy.levels} == {
        "goals": 17,
        "targets": 169,
        "technologies": 24,
        "rite": 4,
    }
    for level in taxonomy.levels:
        for label in level.labels:
            assert label.title["ar"]
            assert label.title["en"]
            assert label.definition["ar"]
            assert label.definition["en"]
            if level.axis == "sdg":
                assert label.uri == f"http://metadata.un.org/sdg/{label.id}"


def test_every_target_lies_under_its_goal(taxonomy: Taxonomy) -> None:
    goals, targets = taxonomy.level("goals"), taxonomy.level("targets")
    for label, parent in zip(targets.labels, targets.parent_index, strict=True):
        assert goals.ids[parent] == label.parent == label.id.split(".")[0]


def test_a_new_axis_is_a_change_of_data(taxonomy: Taxonomy) -> None:
    source = copy.deepcopy(dict(taxonomy.source))
    label = {
        "id": "city",
        "title": {"ar": "مدينة", "en": "City"},
        "definition": {"ar": "مدينة", "en": "City"},
    }
    source["axes"] = [
        *source["axes"],
        {
            "id": "place",
            "kind": "multilabel",
            "levels": ["places"],
            "title": {"ar": "المكان"},
            "labels": [label],
        },
    ]
    extended = parse_taxonomy(source)
    assert extended.level("places").ids == ("city",)
    assert extended.fingerprint != taxonomy.fingerprint


def test_faults_name_what_is_wrong(taxonomy: Taxonomy) -> None:
    faults = taxonomy.faults({"goals": ["18"], "targets": ["6.1"], "rite": ["trust", "trust"]})
    assert any("'18'" in fault for fault in faults)
    assert any("'6.1' stands without its parent" in fault for fault in faults)
    assert any("repeated" in fault for fault in faults)
    assert taxonomy.faults({"goals": ["6"], "targets": ["6.1"], "rite": ["trust"]}) == []


def test_unreadable_taxonomies_are_named(tmp_path: Path, taxonomy: Taxonomy) -> None:
    with pytest.raises(TaxonomyError, match="does not exist"):
        load_taxonomy(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("version: 1\naxes: [{id: x, kind: tree, levels: [a], labels: [], title: {}}]")
    with pytest.raises(TaxonomyError, match="'tree'"):
        load_taxonomy(broken)
    source = copy.deepcopy(dict(taxonomy.source))
    source["axes"][2]["labels"].append(source["axes"][2]["labels"][0])
    with pytest.raises(TaxonomyError, match="twice in rite"):
        parse_taxonomy(source)
