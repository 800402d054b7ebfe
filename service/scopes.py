"""What each operation needs of its caller: one table. The gate enforces it, and the OpenAPI description shows it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fastapi import FastAPI
from starlette.routing import compile_path

from service.store.records import Scope


class Open(StrEnum):
    """Needs less than a scope."""

    ANYONE = "anyone"
    CALLER = "caller"


# Methods and paths as the routes declare them; of two that fit, the first counts.
# What is not listed is for the scope `admin`: an operation that somebody forgot is closed.
NEEDS: dict[tuple[str, str], Scope | Open] = {
    ("GET", "/healthz"): Open.ANYONE,
    ("GET", "/readyz"): Open.ANYONE,
    ("GET", "/openapi.json"): Open.ANYONE,
    ("GET", "/docs"): Open.ANYONE,
    ("GET", "/redoc"): Open.ANYONE,
    ("GET", "/static-offline-docs/{path:path}"): Open.ANYONE,
    ("GET", "/v1/taxonomy"): Open.ANYONE,
    ("GET", "/v1/info"): Open.ANYONE,
    ("POST", "/v1/session"): Open.ANYONE,
    ("GET", "/v1/session"): Open.CALLER,
    ("DELETE", "/v1/session"): Open.CALLER,
    ("GET", "/v1/models"): Open.ANYONE,
    ("POST", "/v1/models/reload"): Scope.ADMIN,
    ("GET", "/metrics"): Scope.ADMIN,
    ("POST", "/v1/classify"): Scope.CLASSIFY,
    ("POST", "/v1/classify/file"): Scope.CLASSIFY,
    ("POST", "/v1/jobs"): Scope.CLASSIFY,
    ("POST", "/v1/jobs/file"): Scope.CLASSIFY,
    ("GET", "/v1/jobs/{job_id}"): Scope.CLASSIFY,
    ("DELETE", "/v1/jobs/{job_id}"): Scope.CLASSIFY,
    ("POST", "/v1/jobs/{job_id}/cancel"): Scope.CLASSIFY,
    ("GET", "/v1/jobs/{job_id}/result"): Scope.CLASSIFY,
    ("POST", "/v1/submissions"): Scope.CLASSIFY,
    ("PUT", "/v1/submissions/{external_id:path}"): Scope.CLASSIFY,
    ("GET", "/v1/submissions"): Scope.REVIEW,
    ("GET", "/v1/submissions/{external_id:path}"): Scope.REVIEW,
    ("DELETE", "/v1/submissions/{external_id:path}"): Scope.REVIEW,
    ("POST", "/v1/submissions/{external_id:path}/reviews"): Scope.REVIEW,
    ("GET", "/v1/reviews"): Scope.REVIEW,
    ("GET", "/v1/reviews/export"): Scope.REVIEW,
    ("POST", "/v1/similar"): Scope.REVIEW,
    ("POST", "/v1/cluster"): Scope.REVIEW,
    ("POST", "/v1/cluster/file"): Scope.REVIEW,
    ("GET", "/v1/clusterings"): Scope.REVIEW,
    ("GET", "/v1/clusterings/{clustering_id}"): Scope.REVIEW,
    ("DELETE", "/v1/clusterings/{clustering_id}"): Scope.REVIEW,
    ("POST", "/v1/clusterings/{clustering_id}/cancel"): Scope.REVIEW,
    ("GET", "/v1/clusterings/{clustering_id}/comments"): Scope.REVIEW,
    ("POST", "/v1/clusterings/{clustering_id}/comments"): Scope.REVIEW,
    ("GET", "/v1/clusterings/{clustering_id}/comparison"): Scope.REVIEW,
    ("GET", "/v1/clusterings/{clustering_id}/edits"): Scope.REVIEW,
    ("POST", "/v1/clusterings/{clustering_id}/edits"): Scope.REVIEW,
    ("POST", "/v1/clusterings/{clustering_id}/undo"): Scope.REVIEW,
    ("GET", "/v1/clusterings/{clustering_id}/report"): Scope.REVIEW,
    ("GET", "/v1/clusterings/{clustering_id}/export"): Scope.REVIEW,
    ("POST", "/v1/webhooks"): Scope.ADMIN,
    ("GET", "/v1/webhooks"): Scope.ADMIN,
    ("GET", "/v1/webhooks/{webhook_id}"): Scope.ADMIN,
    ("DELETE", "/v1/webhooks/{webhook_id}"): Scope.ADMIN,
    ("GET", "/v1/webhooks/{webhook_id}/deliveries"): Scope.ADMIN,
    ("GET", "/v1/audit"): Scope.ADMIN,
}

# Operations that machines call without end to see whether the service lives: they are not counted.
PROBES = frozenset({"/healthz", "/readyz"})


@dataclass(frozen=True, slots=True)
class Operation:
    """What a request asks for.

    Attributes:
        method: of HTTP; HEAD is taken for GET.
        path: template as in the OpenAPI description, such as ``/v1/submissions/{external_id}``; the address itself
            where the table does not have it.
        need: what the caller must have; ``None`` where the table does not say.
    """

    method: str
    path: str
    need: Scope | Open | None


_OPERATIONS = [
    (compile_path(path)[0], Operation(method, compile_path(path)[1], need)) for (method, path), need in NEEDS.items()
]


def operation_of(method: str, address: str) -> Operation:
    """What a request asks for.

    Args:
        method: of HTTP.
        address: path of the request, decoded.
    """
    method = "GET" if method == "HEAD" else method
    for pattern, operation in _OPERATIONS:
        if operation.method == method and pattern.match(address):
            return operation
    return Operation(method, address, None)


def describe(app: FastAPI, session_cookie: str) -> None:
    """Show in the OpenAPI description of an app what each operation needs, and how it refuses."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _describe(plain(), session_cookie)
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # the framework's own way to change the description


def _describe(schema: dict[str, Any], session_cookie: str) -> None:
    parts = schema.setdefault("components", {})
    parts["securitySchemes"] = {
        "key": {
            "type": "http",
            "scheme": "bearer",
            "description": "A key of `musannif keys create`. None is needed where the service listens on a loopback "
            "address and no key or user was ever made.",
        },
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": session_cookie,
            "description": "Of `POST /v1/session`. Operations that write also need the header X-CSRF-Token with the "
            "`csrf` of its answer.",
        },
    }
    needs = {(operation.method, operation.path): operation.need for _, operation in _OPERATIONS}
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            need = needs.get((method.upper(), path), Scope.ADMIN)
            refusals = {"429": "Too many requests; Retry-After says when to try again."}
            if need is Open.ANYONE:
                operation["security"] = []
            else:
                scopes = [need.value] if isinstance(need, Scope) else []
                operation["security"] = [{"key": scopes}, {"session": scopes}]
                refusals |= {"401": "No key and no session that holds.", "403": "Not with this scope."}
            if isinstance(need, Scope):
                words = operation.get("description", "")
                operation["description"] = f"{words}\n\nScope: `{need.value}`.".strip()
            if "requestBody" in operation:
                refusals |= {
                    "408": "The body did not come in time.",
                    "413": "The body is over the limit.",
                    "415": "The body is of another media type.",
                }
            for status, words in refusals.items():
                operation["responses"].setdefault(status, {"description": words, "content": _problem(parts)})


def _problem(parts: dict[str, Any]) -> dict[str, Any]:
    assert "ProblemOut" in parts["schemas"]
    return {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemOut"}}}
