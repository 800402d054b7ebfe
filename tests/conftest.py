"""What tests share: the taxonomy, the stub, a tiny BERT made on the spot, and a bundle trained on it."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partialmethod
from pathlib import Path

import numpy as np
import pytest

from models.encoder import Encoder
from models.heads import AttentionHead
from models.stub import stub_tagger
from models.tagger import Tagger
from models.tokenizer import Window
from nlp.records import Span
from nlp.taxonomy import Taxonomy, load_taxonomy

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def taxonomy() -> Taxonomy:
    return load_taxonomy(ROOT / "data" / "taxonomy.yaml")


@pytest.fixture(autouse=True)
def _own_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that a test starts keeps its database in the test's own folder, and works on jobs where it is told."""
    monkeypatch.setenv("MUSANNIF_DATABASE", str(tmp_path / "store" / "musannif.sqlite"))
    monkeypatch.setenv("MUSANNIF_QUEUE", str(tmp_path / "store" / "queue.sqlite"))
    monkeypatch.setenv("MUSANNIF_JOB_THREADS", "0")


@pytest.fixture(autouse=True)
def _own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests call the service by a name that an open service answers to."""
    from fastapi.testclient import TestClient

    plain = partialmethod(TestClient.__init__, base_url="http://localhost")
    monkeypatch.setattr(TestClient, "__init__", plain)


@pytest.fixture
def stub(taxonomy: Taxonomy) -> Tagger:
    return stub_tagger(taxonomy)


class WordEncoder(Encoder):
    """Every word is a token with the space before it, and its state says which of the known words it is."""

    streams = 2

    def __init__(self, words: list[str], window: int) -> None:
        self.places = {word: place for place, word in enumerate(words, start=1)}
        self.dimension = len(words) + 1
        self.window = window

    def windows(self, text: str) -> list[Window]:
        tokens = list(re.finditer(r"\s*[^\s.]+|\.", text))
        found = []
        for start in range(0, len(tokens), self.window):
            some = tokens[start : start + self.window]
            ids = np.array([-1, *(self.places.get(token[0].strip(), 0) for token in some)])
            first = some[0].start()
            spans = np.array([(first, first), *(token.span() for token in some)])
            found.append(Window(ids, spans, Span(first, some[-1].end())))
        return found

    def states(self, windows: Sequence[Window], *, alone: bool = True) -> list[np.ndarray]:
        return [self._states_of(window) for window in windows]

    def _states_of(self, window: Window) -> np.ndarray:
        known = window.token_ids >= 0
        states = np.zeros((len(window.token_ids), self.dimension), np.float32)
        states[known, window.token_ids[known]] = 1
        return states


def word_tagger(taxonomy: Taxonomy, words: Mapping[str, Mapping[str, list[str]]], window: int = 64) -> Tagger:
    """A tagger that gives a label where it sees one of its words, and nowhere else."""
    encoder = WordEncoder(list(words), window)
    heads = {}
    for level in taxonomy.levels:
        weight = np.zeros((len(level.labels), encoder.dimension), np.float32)
        for word, labels in words.items():
            for label in labels.get(level.name, ()):
                weight[level.index[label], encoder.places[word]] = 8
        query = weight * np.sqrt(encoder.dimension) * 1.25
        heads[level.name] = AttentionHead(weight, np.full(len(weight), -4, np.float32), query.astype(np.float32))
    return replace(stub_tagger(taxonomy), encoder=encoder, heads=heads)


def record(number: int, **changes: object) -> dict[str, object]:
    """A valid corpus record."""
    return {
        "id": f"t-{number}",
        "text": f"نص رقم {number} عن الخدمة",
        "kind": "case_study",
        "goals": [],
        "targets": [],
        "technologies": [],
        "rite": [],
        "lang": "ar",
        "dialect": "msa",
        "country": None,
        "source": "test",
        "group": f"g-{number}",
        **changes,
    }


def write_jsonl(path: Path, records: list[dict[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
    return path


_SUBJECTS = {
    "ماء": {"goals": ["6"], "targets": ["6.1"], "rite": ["effectiveness"]},
    "مدرسة": {"goals": ["4"], "targets": ["4.1"], "rite": ["inclusiveness"]},
    "رشوة": {"goals": ["16"], "targets": ["16.5"], "rite": ["trust"]},
    "تطبيق": {"technologies": ["mobile_apps"], "rite": ["responsiveness"]},
    "مباراة": {},
}


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A split corpus of short texts, each with one telling word."""
    folder = tmp_path_factory.mktemp("corpus")
    number = 0
    for part, count in (("train", 16), ("validation", 6), ("test", 4)):
        records = []
        for word, labels in _SUBJECTS.items():
            for turn in range(count):
                number += 1
                text = f"قال الناس في الحي {turn} إن {word} الحي {'قديم' if turn % 2 else 'جديد'}"
                records.append(record(number, text=text, **labels))
        write_jsonl(folder / f"{part}.jsonl", records)
    return folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two thin layers with a WordPiece vocabulary, as ``save_pretrained`` leaves it."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-bert")
    words = [
        "قال",
        "الناس",
        "في",
        "الحي",
        "إن",
        "قديم",
        "جديد",
        "0",
        "1",
        "2",
        "3",
        "4",
        "5",
        "6",
        "7",
        "8",
        "9",
        *list(_SUBJECTS),
    ]
    letters = [chr(code) for code in range(0x621, 0x64B) if chr(code).isalpha()]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words, *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = {piece: place for place, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=64,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def train_tiny(base: Path, corpus: Path, run: Path, **changes: object) -> Path:
    """Train on the tiny corpus and build a bundle; gives the bundle's folder."""
    from training.config import load_config
    from training.release import build_bundle
    from training.runs import open_run, train_run

    settings = {
        "prefix": "",
        "window": 48,
        "overlap": 8,
        "batch_tokens": 512,
        "epochs": 14,
        "learning_rate": 2e-3,
    }
    config = load_config(base=str(base), **{**settings, **changes})
    for _ in train_run(config, corpus, ROOT / "data" / "taxonomy.yaml", run):
        pass
    build_bundle(open_run(run), run / "bundle", name="tiny")
    return run / "bundle"


@pytest.fixture(scope="session")
def tiny_bundle(tiny_bert: Path, tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny(tiny_bert, tiny_corpus, tmp_path_factory.mktemp("run"))


class Clock:
    """Tells a later second each time it is asked."""

    def __init__(self) -> None:
        self._seconds = itertools.count()

    def __call__(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=next(self._seconds))


def _server_binary(name: str) -> str:
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = str(installed[-1]) if installed else shutil.which(name)
    if found is None:
        pytest.skip(f"no PostgreSQL server on this machine: {name} is neither on PATH nor in /usr/lib/postgresql")
    return found


class PostgresServer:
    """A PostgreSQL server without a network; ``folder`` is where its socket lies."""

    def __init__(self, folder: Path, command: list[str], options: Mapping[str, object]) -> None:
        self.folder = folder
        self._command = command
        self._options = options

    def start(self) -> None:
        self._server = subprocess.Popen(self._command, **self._options)  # type: ignore[call-overload]
        _wait_for(self.folder, self._server)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """For the length of a block it does nothing, while the system still takes what is sent to it."""
        import psycopg

        with psycopg.connect(host=str(self.folder), user="musannif", dbname="postgres") as connection:
            rows = connection.execute("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()").fetchall()
        stopped = [self._server.pid]
        self._server.send_signal(signal.SIGSTOP)
        try:
            for (pid,) in rows:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
                    stopped.append(pid)
            yield
        finally:
            for pid in stopped:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def stop(self) -> None:
        """End at once: who is connected is cut off."""
        self._server.send_signal(signal.SIGINT)
        self._server.wait(timeout=30)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server that lives as long as the tests; who stops it starts it again."""
    pytest.importorskip("psycopg", reason="the extra 'postgres' is not installed")
    initdb, postgres = _server_binary("initdb"), _server_binary("postgres")
    # The server refuses to run as root.
    owner = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="musannif-pg-"))
    if owner:
        shutil.chown(folder, owner)
    run: dict[str, object] = {"user": owner, "group": owner, "extra_groups": []} if owner else {}
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    data = str(folder / "data")
    options = ["--auth=trust", "--username=musannif", "--encoding=UTF8", "--locale=C", "--no-sync"]
    subprocess.run([initdb, "-D", data, *options], check=True, **silent, **run)
    settings = ["listen_addresses=", "fsync=off", "synchronous_commit=off"]
    command = [postgres, "-D", data, "-k", str(folder), *(word for one in settings for word in ("-c", one))]
    server = PostgresServer(folder, command, {**silent, **run})
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_socket(postgres_server: PostgresServer) -> Path:
    """The folder of the socket of the PostgreSQL server."""
    return postgres_server.folder


def _wait_for(socket: Path, server: subprocess.Popen[bytes]) -> None:
    import psycopg

    pause = threading.Event()
    for _ in range(600):
        assert server.poll() is None, "the PostgreSQL server did not start"
        try:
            psycopg.connect(host=str(socket), user="musannif", dbname="postgres").close()
        except psycopg.OperationalError:
            pause.wait(0.05)
        else:
            return
    raise AssertionError("the PostgreSQL server does not answer")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The location of an empty database, on each of the two kinds."""
    if request.param == "sqlite":
        return str(tmp_path / "new folder" / "store.sqlite")
    location: str = request.getfixturevalue("database_on_postgres")
    return location


@pytest.fixture
def database_on_postgres(postgres_socket: Path) -> str:
    """The location of an empty database on PostgreSQL."""
    import psycopg

    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(host=str(postgres_socket), user="musannif", dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql://musannif@/{name}?host={postgres_socket}"


_PORTAL_WORDS = {
    "ماء": {"goals": ["6"], "targets": ["6.1"], "rite": ["effectiveness"]},
    "مدرسة": {"goals": ["4"], "rite": ["inclusiveness"]},
    "تطبيق": {"technologies": ["mobile_apps"]},
}
WATER = "وصل ماء الشرب إلى الحي"
SCHOOL = "بنيت مدرسة في القرية"


class Portal:
    """The service as a portal sees it; ``tagged`` counts the texts that its model read."""

    def __init__(self, taxonomy: Taxonomy, database: str, **settings: object) -> None:
        from fastapi.testclient import TestClient

        from service.app import create_app
        from service.settings import Settings

        self.encoder = _Counting(word_tagger(taxonomy, _PORTAL_WORDS).encoder)
        tagger = replace(word_tagger(taxonomy, _PORTAL_WORDS), encoder=self.encoder)
        self.app = create_app(Settings(**{"database": database, **settings}), tagger, Clock())
        self.client = TestClient(self.app)

    @property
    def tagged(self) -> int:
        return self.encoder.read

    def put(self, external_id: str, text: str, headers: Mapping[str, str] | None = None, **fields: object):  # type: ignore[no-untyped-def]
        return self.client.put(f"/v1/submissions/{external_id}", json={"text": text, **fields}, headers=headers)

    def get(self, external_id: str):  # type: ignore[no-untyped-def]
        return self.client.get(f"/v1/submissions/{external_id}")

    def review(  # type: ignore[no-untyped-def]
        self, external_id: str, *decisions: str, reviewer: str = "ليلى", match: str = "*", note: str = "", key: str = ""
    ):
        """Decisions as ``action level:label`` or ``settle level``."""
        found = []
        for one in decisions:
            action, place = one.split()
            level, _, label = place.partition(":")
            found.append({"level": level, "label": label or None, "action": action, "note": note})
        return self.client.post(
            f"/v1/submissions/{external_id}/reviews",
            json={"reviewer": reviewer, "decisions": found},
            headers={"If-Match": match, **({"Idempotency-Key": key} if key else {})},
        )


class _Counting(Encoder):
    def __init__(self, encoder: WordEncoder) -> None:
        self._encoder = encoder
        self.dimension = encoder.dimension
        self.streams = encoder.streams
        self.read = 0
        self.broken = False

    def windows(self, text: str) -> list[Window]:
        self.read += 1
        if self.broken:
            raise RuntimeError("the model is broken")
        return self._encoder.windows(text)

    def states(self, windows: Sequence[Window], *, alone: bool = True) -> list[np.ndarray]:
        return self._encoder.states(windows, alone=alone)


@pytest.fixture
def portal(taxonomy: Taxonomy, database: str) -> Iterator[Portal]:
    portal = Portal(taxonomy, database)
    with portal.client:
        yield portal
