"""The OpenAPI 3.1 document, made of what the routes say of themselves (`describe.py`) and of the types they name.

quart-schema was the alternative: it judges bodies and builds answers itself, and would be a second way beside `bodies.py`.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any, NamedTuple, get_args

import msgspec
from quart_trio import QuartTrio

from peekaping.api.describe import OPEN, Description, Needs, description_of
from peekaping.api.errors import CODES, ErrorShape
from peekaping.api.schemas import Schemas, kinds, with_plain_names

ABOUT = """\
Spans are whole milliseconds, times are UTC in ISO 8601. Unknown fields are refused, and so are query values that are unknown or
given twice, but where anybody may ask; `null` for a field stands for its default, and secrets are shown as `"********"`. Where a
monitor's or a channel's fields have rules beyond their types, a 422 names every field that breaks one. Answers carry
`X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset` (seconds since 1970). Live events come over the WebSocket at
`/ws`."""

WHO = {
    Needs.OPEN: "Open to everybody.",
    Needs.READ: "For every user, and keys with the scope `read`.",
    Needs.WRITE: "For editors and administrators, and keys with the scope `write`.",
    Needs.SELF: "For every user who has logged in; an API key does not do.",
    Needs.ADMIN: "For administrators.",
    Needs.OPERATOR: "For operators of the deployment.",
}
WHEN = {
    400: "The body is no JSON, or the request is none that this address takes.",
    401: "No token, a wrong one, or one that has ended.",
    403: "Not with this role, or not with this key's scope.",
    404: "There is no such thing.",
    408: "The body came too slowly.",
    409: "There is one already, or it changed meanwhile.",
    413: "The body is too large.",
    422: "Fields or query values are wrong; `details` names them all.",
    429: "Too many requests; wait `Retry-After` seconds.",
    500: "A mistake of the server's.",
    503: "The database cannot do it now, or the server is stopping.",
}
WITH_WAIT = (429, 503)


class Operation(NamedTuple):
    """One method of one address."""

    method: str
    path: str
    endpoint: str
    name: str
    description: Description
    text: str

    @property
    def body(self) -> Any:
        return self.description.body if self.method not in ("get", "delete") else None

    @property
    def query(self) -> Any:
        return self.description.query


def operations(app: QuartTrio) -> Iterator[Operation]:
    """All that the app answers over HTTP and describes, in the order of its paths."""
    rules = sorted((rule for rule in app.url_map.iter_rules() if not rule.websocket), key=lambda rule: rule.rule)
    found = [(rule, method) for rule in rules for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})]
    times = Counter(rule.endpoint for rule, _ in found)
    for rule, method in found:
        view = app.view_functions[rule.endpoint]
        description = description_of(view)
        if description is not None:
            path = re.sub(r"<(?:\w+:)?(\w+)>", lambda name: f"{{{_camel(name[1])}}}", rule.rule)
            name = rule.endpoint if times[rule.endpoint] == 1 else f"{rule.endpoint}.{method.lower()}"
            yield Operation(method.lower(), path, rule.endpoint, name, description, inspect.getdoc(view) or "")


def document(app: QuartTrio) -> dict[str, Any]:
    """The OpenAPI document of an app."""
    found = list(operations(app))
    schemas = Schemas(
        type for each in found for type in (each.body, each.query, ErrorShape, *each.description.answers.values())
    )
    paths: dict[str, Any] = {}
    for operation in found:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, schemas)
    made = {
        "openapi": "3.1.0",
        "info": {"title": "Peekaping", "version": version("peekaping"), "description": ABOUT},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"key": []}],
        "tags": [{"name": name} for name in sorted({_tag(operation) for operation in found})],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An access token or an API key."},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
            "responses": {CODES[status]: _refusal(status, schemas) for status in WHEN},
            "schemas": schemas.components,
        },
    }
    return with_plain_names(made)


def _operation(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    description = operation.description
    made: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [_tag(operation)],
        "summary": description.summary,
        "description": f"{operation.text}\n\n{WHO[description.needs]}".strip(),
        "parameters": [*_path_parameters(operation), *_query_parameters(operation.query, schemas)],
        "responses": {
            **{str(status): _answer(answer, schemas) for status, answer in description.answers.items()},
            **{
                str(status): {"$ref": f"#/components/responses/{CODES[status]}"}
                for status in sorted(_errors(operation) - set(description.answers))
            },
        },
    }
    if operation.body is not None:
        for kind in kinds(operation.body):
            if isinstance(kind, type):  # a union's members say it themselves
                schemas.properties(kind)["additionalProperties"] = False  # as `bodies.read` has it
        made["requestBody"] = {
            "required": any(
                field.required for kind in _structs(operation.body) for field in msgspec.structs.fields(kind)
            ),
            "content": {"application/json": {"schema": schemas.of(operation.body)}},
        }
    if description.needs is OPEN:
        made["security"] = []
    return made


def _errors(operation: Operation) -> set[int]:
    description = operation.description
    errors = {429, 500, 503, *description.errors}
    if description.needs is not OPEN:
        errors |= {401, 403, 422}
    if "{" in operation.path:
        errors.add(404)
    if operation.body is not None:
        errors |= {400, 408, 413, 422}
    if operation.query is not None:
        errors.add(422)
    return errors


def _refusal(status: int, schemas: Schemas) -> dict[str, Any]:
    made: dict[str, Any] = {"description": WHEN[status], "content": _json(schemas.of(ErrorShape))}
    if status in WITH_WAIT:
        made["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 1}}}
    return made


def _answer(answer: Any, schemas: Schemas) -> dict[str, Any]:
    if answer is None:
        return {"description": "Done."}
    if isinstance(answer, str):
        return {"description": "Done.", "content": {answer: {"schema": {"type": "string"}}}}
    return {"description": "Done.", "content": _json(schemas.of(answer))}


def _json(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _path_parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", operation.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query_parameters(query: Any, schemas: Schemas) -> Iterator[dict[str, Any]]:
    if query is None:
        return
    properties = schemas.properties(query)
    for name, schema in properties["properties"].items():
        yield {"name": name, "in": "query", "required": name in properties["required"], "schema": _sendable(schema)}


def _sendable(schema: dict[str, Any]) -> dict[str, Any]:
    """A query has no null: what may be none is left out."""
    if "anyOf" not in schema:
        return schema
    some = [choice for choice in schema["anyOf"] if choice != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name != "anyOf" and (name, value) != ("default", None)}
    return rest | (some[0] if len(some) == 1 else {"anyOf": some})


def _structs(body: Any) -> Iterator[type[msgspec.Struct]]:
    for kind in kinds(body):
        yield from get_args(kind) or (kind,)


def _tag(operation: Operation) -> str:
    path = operation.path.removeprefix("/api/v1")
    return path.split("/")[1] if path != operation.path or path == "/health" else "pages"


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
