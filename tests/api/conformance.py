"""Whether an answer is one that the OpenAPI document tells of: the tests' client asks it of every answer that it gets."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from peekaping.api.openapi import document, operations


def strict(schema: Any) -> Any:
    """The same schema, in which an object has no field but those it names: what is not documented is a failure here."""
    if isinstance(schema, dict):
        closed = (
            {"additionalProperties": False} if "properties" in schema and "additionalProperties" not in schema else {}
        )
        return {name: strict(value) for name, value in schema.items()} | closed
    return [strict(value) for value in schema] if isinstance(schema, list) else schema


class Documented:
    """What the document of an app says of its answers."""

    def __init__(self, app: QuartTrio) -> None:
        made = document(app)
        self._components = {**made["components"], "schemas": strict(made["components"]["schemas"])}
        self._operations = {
            (operation.endpoint, operation.method): made["paths"][operation.path][operation.method]
            for operation in operations(app)
        }
        self._validators: dict[str, jsonschema_rs.Draft202012Validator] = {}

    def check(self, app: QuartTrio, method: str, path: str, status: int, media_type: str, body: Any) -> None:
        """Raises an AssertionError for an answer that the document does not tell of."""
        try:
            endpoint, _ = app.url_map.bind("test").match(path.partition("?")[0], method)
        except HTTPException:  # there is no such route
            return
        operation = self._operations.get((endpoint, method.lower()))
        if operation is None:  # HEAD and OPTIONS, which come with every route
            return
        told = operation["responses"].get(str(status))
        assert told is not None, f"{method} {path}: the document tells of no {status}"
        if "$ref" in told:
            told = self._components["responses"][told["$ref"].rpartition("/")[2]]
        if "content" not in told:
            assert body is None, f"{method} {path}: the document tells of no body for {status}"
            return
        schema = told["content"].get(media_type.partition(";")[0])
        assert schema is not None, f"{method} {path}: {media_type} for {status}"
        if media_type == "application/json":
            self._validator(schema["schema"]).validate(body)

    def _validator(self, schema: Any) -> jsonschema_rs.Draft202012Validator:
        key = str(schema)
        if key not in self._validators:
            whole = {"components": self._components, **schema}
            self._validators[key] = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        return self._validators[key]


_known: dict[frozenset[str], Documented] = {}


def check(app: QuartTrio, method: str, path: str, status: int, media_type: str, body: Any) -> None:
    """See `Documented.check`. The tests' apps are many, with the same routes."""
    routes = frozenset(app.view_functions)
    if routes not in _known:
        _known[routes] = Documented(app)
    _known[routes].check(app, method, path, status, media_type, body)
