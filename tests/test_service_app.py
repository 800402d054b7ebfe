from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import Portal
from fastapi.testclient import TestClient
from test_service_client import Wire

from models.tagger import Tagger
from nlp.errors import BundleError
from nlp.taxonomy import Taxonomy
from service.app import create_app
from service.cli import cli
from service.client import Client
from service.settings import Settings, settings_table

ROOT = Path(__file__).parents[1]


@pytest.fixture
def client(stub: Tagger):  # type: ignore[no-untyped-def]
    settings = Settings(most_items=5, most_characters=200, most_bytes=4096)
    with TestClient(create_app(settings, stub)) as client:
        yield client


def test_one_text_and_many(client: TestClient) -> None:
    one = client.post("/v1/classify", json={"text": "بوابة الخدمات"}).json()
    assert set(one["model"]) == {"name", "taxonomy", "recipe", "thresholds"}
    many = client.post(
        "/v1/classify", json={"items": [{"id": 7, "text": "بوابة الخدمات"}, {"id": "b", "text": "نص"}]}
    ).json()
    assert [item["id"] for item in many["items"]] == [7, "b"]
    goals = [{"id": tag["id"], "score": tag["score"]} for tag in one["items"][0]["goals"]]
    assert many["items"][0]["goals"] == goals


def test_evidence_comes_with_a_single_text_and_with_many_where_asked(client: TestClient) -> None:
    items = [{"id": "a", "text": "بوابة الخدمات. ماء الشرب في القرية"}, {"id": "b", "text": "بوابة الخدمات"}]

    def tags(**body: object) -> list[dict[str, object]]:
        answers = client.post("/v1/classify", json=body).json()["items"]
        found = [tag for item in answers for level in ("goals", "targets", "rite") for tag in item[level]]
        assert found
        return found

    assert all("evidence" in tag for tag in tags(text=items[0]["text"]))
    assert all("evidence" in tag for tag in tags(items=items, evidence=True))
    assert not any("evidence" in tag for tag in tags(items=items))
    assert not any("evidence" in tag for tag in tags(text=items[0]["text"], evidence=False))


def test_the_fields_of_an_item(client: TestClient) -> None:
    many = client.post("/v1/classify", json={"items": [{"id": 7, "text": "بوابة الخدمات"}]}).json()
    assert set(many["items"][0]) == {
        "id",
        "status",
        "goals",
        "targets",
        "technologies",
        "rite",
        "needs_review",
    }


def test_one_bad_item_never_fails_the_rest(client: TestClient) -> None:
    body = (
        '{"items": [{"id": "a", "text": "خدمة"}, {"id": "b", "text": "\\ud800"}, {"id": "c", "text": ""}, '
        '{"id": "d", "text": 5}, {"id": ["e"], "text": "خدمة"}]}'
    )
    answer = client.post("/v1/classify", content=body.encode(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 200
    items = answer.json()["items"]
    assert [item["status"] for item in items] == [200, 422, 422, 422, 422]
    assert "lone surrogate" in items[1]["problem"]["detail"]
    assert items[2]["problem"]["type"] == "urn:musannif:empty-text"
    long = client.post("/v1/classify", json={"items": [{"id": "f", "text": "ا" * 201}, {"id": "g", "text": "خدمة"}]})
    assert [item["status"] for item in long.json()["items"]] == [413, 200]


def test_options(client: TestClient) -> None:
    body = {"text": "منصة وتطبيق للبلدية", "axes": ["technology"], "top_k": 1, "all_scores": True}
    (item,) = client.post("/v1/classify", json=body).json()["items"]
    assert "goals" not in item
    assert len(item["technologies"]) <= 1
    assert len(item["scores"]["technologies"]) == 24


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 422, "expected either 'text' or 'items'"),
        ({"text": "a", "items": []}, 422, "both"),
        ({"text": "a", "axes": ["colour"]}, 422, "unknown axis"),
        ({"text": "a", "topk": 3}, 422, "topk"),
        ({"text": "a", "top_k": 0}, 422, "top_k"),
        ({"items": [{"text": "a"}] * 6}, 413, "at most 5 (most_items)"),
        ({"text": "x" * 5000}, 413, "4,096 bytes (most_bytes)"),
    ],
)
def test_wrong_requests_get_problems(client: TestClient, body: object, status: int, words: str) -> None:
    answer = client.post("/v1/classify", json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert words in answer.json()["detail"]


def test_a_body_without_a_length_is_bounded_too(client: TestClient) -> None:
    def chunks():  # type: ignore[no-untyped-def]
        yield b'{"text": "'
        for _ in range(100):
            yield b"x" * 100
        yield b'"}'

    answer = client.post("/v1/classify", content=chunks(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


def test_garbage_and_unknown_paths_are_problems(client: TestClient) -> None:
    for answer, status in (
        (client.post("/v1/classify", content=b"\xff{", headers={"Content-Type": "application/json"}), 400),
        (client.get("/v1/none"), 404),
        (client.get("/v1/classify"), 405),
    ):
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"


def test_taxonomy_info_and_health(client: TestClient) -> None:
    taxonomy = client.get("/v1/taxonomy").json()
    assert [axis["id"] for axis in taxonomy["axes"]] == ["sdg", "technology", "rite"]
    info = client.get("/v1/info").json()
    limits = {name for name in Settings.model_fields if "most" in name or name.endswith(("_seconds", "_days"))}
    assert set(info["limits"]) == limits | {"webhook_tries", "repeat_hours", "session_hours", "lock_minutes"}
    assert (info["limits"]["most_items"], info["limits"]["deadline_seconds"]) == (5, 30)
    assert client.get("/healthz").json() == client.get("/readyz").json() == {"status": "ok"}


def test_the_documentation_page_fetches_nothing_from_outside(client: TestClient) -> None:
    page = client.get("/docs").text
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert sources
    assert all(source.startswith("/") and client.get(source).status_code == 200 for source in sources)


def test_not_ready_before_the_model_is_loaded(stub: Tagger) -> None:
    client = TestClient(create_app(Settings(), stub))  # no lifespan: nothing is loaded yet
    answer = client.get("/readyz")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert client.get("/healthz").status_code == 200


def test_a_damaged_bundle_stops_the_start(tmp_path: Path) -> None:
    with (
        pytest.raises(BundleError, match="there is no folder"),
        TestClient(create_app(Settings(bundle=tmp_path / "x"))),
    ):
        pass


def test_every_setting_has_help_and_the_readme_has_their_table() -> None:
    assert all(field.description for field in Settings.model_fields.values())
    assert settings_table() in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_service_runs_without_torch() -> None:
    code = (
        "import sys, service.app, service.cli; print(sorted({'torch', 'transformers', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.replace("'", '"')) == []


def test_the_description_of_the_api_is_the_one_that_is_kept() -> None:
    found = json.loads(CliRunner().invoke(cli, ["openapi"]).output)
    kept = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
    assert found == kept, "the API has changed: make openapi"


def test_the_python_of_the_readme_runs(
    taxonomy: Taxonomy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    portal = Portal(taxonomy, str(tmp_path / "a.sqlite"), job_threads=1)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    with portal.client:
        monkeypatch.setattr("service.client.Client", partial(Client, transport=Wire(portal)))
        exec(code, {})
    assert "20 of 20" in capsys.readouterr().out
