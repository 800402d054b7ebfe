"""Generated requests to every endpoint find no server error, and no answer that its description does not have.

Not among the tests: ``make fuzz`` runs it, with about ``FUZZ_CASES`` requests.
"""

from __future__ import annotations

import atexit
import math
import os
import tempfile
from datetime import timedelta
from pathlib import Path

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from models.stub import stub_tagger
from nlp.taxonomy import load_taxonomy
from service.app import create_app
from service.clock import utc_now
from service.keys import new_key
from service.scopes import NEEDS
from service.settings import Settings
from service.store.records import Scope

_CASES = int(os.environ.get("FUZZ_CASES", "2000"))
_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

_folder = tempfile.TemporaryDirectory()
atexit.register(_folder.cleanup)
_app = create_app(
    Settings(
        database=f"{_folder.name}/store.sqlite",
        queue=f"{_folder.name}/queue.sqlite",
        job_threads=0,
        most_requests_per_minute=0,
        most_sign_ins_per_minute=0,
    ),
    stub_tagger(load_taxonomy(Path(__file__).parents[1] / "data" / "taxonomy.yaml")),
)
# Starts the service, which runs until the process ends. A reload would put a real model in the place of the stub.
schema = schemathesis.openapi.from_asgi("/openapi.json", _app).exclude(path="/v1/models/reload")
_key, _kept = new_key("fuzz", list(Scope), utc_now(), timedelta(days=1))
with _app.state.runtime.store.write(utc_now()) as _writer:
    _writer.credentials.add_key(_kept, actor="fuzz")


@schema.parametrize()
@settings(
    max_examples=math.ceil(_CASES / len(NEEDS)),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_no_request_finds_a_server_error_or_an_answer_that_is_not_described(case: schemathesis.Case) -> None:
    case.call_and_validate(checks=_CHECKS, headers={"Authorization": f"Bearer {_key}"}, timeout=60)
