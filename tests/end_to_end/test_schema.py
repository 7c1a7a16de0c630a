"""A server is asked whatever its OpenAPI document allows, and much that it does not: no answer may break the document, none is a
500. Schemathesis makes the requests.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.conformance import strict
from tests.end_to_end.support import Server, login

EXAMPLES = 8
"""For each operation, of what is right and of what is wrong: a minute in all. The same ones each time."""

Operation = APIOperation[Any, Any, Any, Any]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ESCAPES = {"/api/v1/auth/logout", "/api/v1/auth/password"}
"""They would end the session that the other requests need."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("schema"))
    server.start()
    yield server
    assert server.end(signal.SIGTERM) == 0


class Things:
    """One of each thing that requests speak of, made when it is needed: other requests delete them."""

    def __init__(self, session: requests.Session, url: str) -> None:
        self._session = session
        self._url = url
        self._here = f"{url}/health"
        self._made = 0
        self._monitor = self._create("monitors", {"type": "push", "name": "watched"})["id"]

    def parameters(self, path: str) -> dict[str, str] | None:
        """What to put into a path so that it leads somewhere; None where nothing fits."""
        self._made += 1
        match path.removeprefix("/api/v1/").split("/"):
            case ["monitors", _, *_]:
                http = {"type": "http", "name": "web", "url": self._here}
                return {"id": self._create("monitors", http)["id"]}
            case ["push", _]:
                return {"pushId": self._create("monitors", {"type": "push", "name": "job"})["pushId"]}
            case ["notification-channels", _, *rest]:
                config = {"url": self._here, "events": ["monitor.created"]}
                channel = {"name": f"channel {self._made}", "type": "webhook", "config": config}
                id = self._create("notification-channels", channel)["id"]
                return {"id": id} | ({"delivery": self._delivery(id)} if len(rest) > 1 else {})
            case ["users", _, *_]:
                user = {"email": f"{self._made}@example.com", "name": "User", "password": "correct horse battery"}
                return {"id": self._create("users", user)["id"]}
            case ["api-keys", _]:
                return {"id": self._create("api-keys", {"name": "key", "scopes": ["read"]})["id"]}
            case ["status-pages", _] | ["", "status", _]:
                page = {
                    "slug": f"page-{self._made}",
                    "title": "Services",
                    "published": True,
                    "monitors": [self._monitor],
                }
                return {"slug": self._create("status-pages", page)["slug"]}
            case ["incidents", _, *_]:
                incident = {"title": "Slow", "status": "investigating", "monitors": [self._monitor]}
                return {"id": self._create("incidents", {**incident, "startTime": "2026-01-20T10:30:00Z"})["id"]}
        return None

    def aim(self, value: Any) -> None:
        """Let what a body names be things that there are: a made-up address would be refused, a real one is not ours to ask."""
        if isinstance(value, dict):
            for name, inner in value.items():
                if name.lower().endswith("url") and isinstance(inner, str):
                    value[name] = self._here
                elif name in ("host", "resolverServer") and isinstance(inner, str):
                    value[name] = "127.0.0.1"
                elif name in ("monitors", "channels") and isinstance(inner, list):
                    value[name] = [self._monitor] if name == "monitors" else []
                else:
                    self.aim(inner)
        elif isinstance(value, list):
            for inner in value:
                self.aim(inner)

    def _delivery(self, channel: str) -> str:
        self._create("monitors", {"type": "push", "name": "told of"})
        path = f"{self._url}/api/v1/notification-channels/{channel}/deliveries"
        return str(self._session.get(path).json()["deliveries"][0]["id"])

    def _create(self, path: str, body: dict[str, Any]) -> Any:
        answer = self._session.post(f"{self._url}/api/v1/{path}", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()


def ask(operation: Operation, mode: GenerationMode, things: Things, session: requests.Session, url: str) -> None:
    """Requests of one operation, right or wrong ones, each with an answer as documented; raises where one is not."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(mode, path_parameters=things.parameters(operation.path)))
    def one(case: Case[Any]) -> None:
        things.aim(case.body)
        # Stated here, so that it is not one of schemathesis' making.
        headers = {"Authorization": str(session.headers["Authorization"])}
        case.validate_response(case.call(base_url=url, session=session, headers=headers), checks=CHECKS)

    one()


def test_no_answer_breaks_the_document(server: Server) -> None:
    document = httpx.get(f"{server.url}/openapi.json").raise_for_status().json()
    document["components"]["schemas"] = strict(document["components"]["schemas"])
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {login(server)}"
        things = Things(session, server.url)
        for found in schemathesis.openapi.from_dict(document).get_all_operations():
            assert isinstance(found, Ok)
            operation = found.ok()
            if operation.path not in ESCAPES:
                ask(operation, GenerationMode.POSITIVE, things, session, server.url)
                if operation.body or operation.query:
                    ask(operation, GenerationMode.NEGATIVE, things, session, server.url)
