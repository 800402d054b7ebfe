"""Generated requests to every endpoint find no server error, and no answer that its description does not have.

Not among the tests: ``make fuzz`` runs it, with ``FUZZ_CASES`` requests.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from datetime import timedelta

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from models.tagger import Tagger
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


@pytest.fixture
def described(stub: Tagger) -> Iterator[schemathesis.BaseSchema]:
    app = create_app(Settings(most_requests_per_minute=0), stub)
    with TestClient(app):
        key, kept = new_key("fuzz", list(Scope), utc_now(), timedelta(days=1))
        with app.state.runtime.store.write(utc_now()) as writer:
            writer.credentials.add_key(kept, actor="fuzz")
        schema = schemathesis.openapi.from_asgi("/openapi.json", app)
        schema.key = key
        yield schema


schema = schemathesis.pytest.from_fixture("described")


@schema.parametrize()
@settings(
    max_examples=math.ceil(_CASES / len(NEEDS)),
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_no_request_finds_a_server_error_or_an_answer_that_is_not_described(
    case: schemathesis.Case, described: schemathesis.BaseSchema
) -> None:
    case.call_and_validate(checks=_CHECKS, headers={"Authorization": f"Bearer {described.key}"})
