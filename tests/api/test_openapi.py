"""The OpenAPI document: valid, complete, and made of what the routes say; and the page that shows it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, TypedDict

import jsonschema_rs
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from quart import Response

from peekaping.api.describe import OPEN, described, description_of
from peekaping.api.field_docs import meanings
from peekaping.api.openapi import Operation, document, operations
from peekaping.api.schemas import with_plain_names
from peekaping.api.shapes import reply
from peekaping.engine.alerts.channels import CHANNELS
from peekaping.engine.probes import KINDS
from tests.api.support import Api


async def fetched(api: Api) -> Any:
    api.token = None
    answer = await api.call("GET", "/openapi.json", prefix="")
    assert answer.status == 200
    return answer.json


async def test_no_route_lacks_its_description(api: Api) -> None:
    undescribed = [
        rule.rule
        for rule in api.app.url_map.iter_rules()
        if description_of(api.app.view_functions[rule.endpoint]) is None
    ]
    assert undescribed == [], "put @described(...) under the route's decorator"


async def test_a_route_without_a_description_would_be_found(api: Api) -> None:
    async def forgotten() -> Response:
        raise NotImplementedError

    api.app.add_url_rule("/forgotten", "forgotten", forgotten)
    with pytest.raises(AssertionError, match="/forgotten"):
        await test_no_route_lacks_its_description(api)


async def test_it_is_valid_and_open_to_everybody(api: Api) -> None:
    made = await fetched(api)
    assert made["openapi"] == "3.1.0"
    assert [error.message for error in OpenAPIV31SpecValidator(made).iter_errors()] == []


async def test_it_has_every_method_of_every_address(api: Api) -> None:
    made = await fetched(api)
    written = {(method, path) for path, methods in made["paths"].items() for method in methods}
    served = {
        (method.lower(), re.sub(r"<(?:\w+:)?\w+>", "{}", rule.rule))
        for rule in api.app.url_map.iter_rules()
        if not rule.websocket
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {(method, re.sub(r"{\w+}", "{}", path)) for method, path in written} == served


async def test_it_names_the_parameters_of_paths_as_the_api_does(api: Api) -> None:
    assert {"/api/v1/push/{pushId}", "/api/v1/monitors/{id}/heartbeats"} <= set((await fetched(api))["paths"])


async def test_it_has_the_fields_of_every_type_of_monitor(api: Api) -> None:
    made = await fetched(api)
    body = made["paths"]["/api/v1/monitors"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["discriminator"]["mapping"]) == {"http", "push", "tcp", "ping", "dns", "tls", "websocket"}
    http = made["components"]["schemas"]["NewHttpMonitor"]
    assert {"type", "name", "url"} == set(http["required"])
    assert http["properties"]["interval"]["default"] == 60_000
    assert http["properties"]["retries"]["anyOf"][0]["maximum"] == 1000
    assert "keyword" in made["components"]["schemas"]["HttpMonitor"]["properties"]
    assert "pushId" in made["components"]["schemas"]["PushMonitor"]["required"]


async def test_it_has_the_fields_of_every_type_of_channel(api: Api) -> None:
    made = await fetched(api)
    body = made["paths"]["/api/v1/notification-channels"]["post"]["requestBody"]["content"]["application/json"][
        "schema"
    ]
    assert set(body["discriminator"]["mapping"]) == set(CHANNELS)
    assert set(made["components"]["schemas"]["EmailConfig"]["required"]) == {"host", "from", "to"}
    assert set(made["components"]["schemas"]["NewEmailChannel"]["required"]) == {"type", "name", "config"}


def said(schema: dict[str, Any]) -> str:
    """What a field's schema says of it, as the page finds it."""
    return str(schema.get("description") or (schema.get("anyOf") or [{}])[0].get("description", ""))


async def test_it_says_what_each_field_means_in_the_words_of_the_documentation(api: Api) -> None:
    schemas = (await fetched(api))["components"]["schemas"]
    named = [("monitors", kind, name.format(made.__name__)) for kind, (made, _) in KINDS.items()
             for name in ("{}", "New{}", "{}Changes")]  # fmt: skip
    named += [("channels", kind, f"{made.__name__}Config") for kind, made in CHANNELS.items()]
    for page, kind, name in named:
        means, fields = meanings(page, kind), schemas[name]["properties"]
        for field in means.keys() & fields.keys() - {"type", "notifications"}:  # a schema of its own says that
            assert said(fields[field]).endswith(means[field]), f"{name}.{field}"
    push, telegram = schemas["PushMonitor"]["properties"], schemas["TelegramConfig"]["properties"]
    assert said(push["grace"]) == "a whole number of milliseconds: how late a push may be"
    assert said(telegram["chatId"]) == 'a text such as `"-1001234567890"` or `"@channel"`'
    http = schemas["NewHttpMonitor"]["properties"]
    assert said(http["checkCertExpiry"]).startswith("true or false: the monitor shows the target's certificate, and")
    page = (await api.call("GET", "/docs", prefix="")).json.decode()
    assert "how late a push may be" in page


async def test_it_says_which_refusals_to_expect(api: Api) -> None:
    paths = (await fetched(api))["paths"]
    assert set(paths["/api/v1/monitors/{id}"]["put"]["responses"]) == {
        *("200", "400", "401", "403", "404", "408", "413", "422", "429", "500", "503")
    }
    assert set(paths["/health"]["get"]["responses"]) == {"200", "429", "500", "503"}
    assert paths["/api/v1/auth/login"]["post"]["security"] == []
    assert "security" not in paths["/api/v1/monitors"]["get"]


async def test_query_values_are_parameters_that_know_no_null(api: Api) -> None:
    operation = (await fetched(api))["paths"]["/api/v1/monitors"]["get"]
    parameters = {parameter.pop("name"): parameter for parameter in operation["parameters"]}
    kinds = ["http", "tcp", "ping", "dns", "tls", "websocket", "push"]
    assert parameters["type"] == {"in": "query", "required": False, "schema": {"type": "string", "enum": kinds}}
    assert parameters["limit"]["schema"]["maximum"] == 100


def test_no_schema_hides_another() -> None:
    schemas = {key: {"type": "object"} for key in ("Thing", "ThingShape", "OtherShape", "Unused")}
    paths = [{"$ref": f"#/components/schemas/{name}"} for name in ("Thing", "ThingShape", "OtherShape")]
    made = with_plain_names({"components": {"schemas": schemas}, "paths": paths})
    assert set(made["components"]["schemas"]) == {"Thing", "ThingShape", "Other"}
    assert [path["$ref"].rpartition("/")[2] for path in made["paths"]] == ["Thing", "ThingShape", "Other"]


async def test_a_view_speaks_for_itself(api: Api) -> None:
    @described("Show a thing", needs=OPEN, answers={200: "text/csv"})
    async def thing() -> Response:
        """As many lines as there are things."""
        raise NotImplementedError

    api.app.add_url_rule("/things/<thing_id>", "thing", thing)
    operation = document(api.app)["paths"]["/things/{thingId}"]["get"]
    assert operation["summary"] == "Show a thing"
    assert operation["description"] == "As many lines as there are things.\n\nOpen to everybody."
    assert list(operation["responses"]["200"]["content"]) == ["text/csv"]


def test_the_name_of_a_shape_is_no_answer() -> None:
    with pytest.raises(ValueError, match="give the type"):
        described("Show a thing", needs=OPEN, answers={200: "Thing"})


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.ids: set[str] = set()
        self.addresses: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.add(value or "")
            if name in ("href", "src", "action"):
                self.addresses.add(value or "")


async def test_the_page_shows_every_operation_and_needs_no_other_host(api: Api) -> None:
    made = await fetched(api)
    client: Any = api.app.test_client()
    response = await client.get("/docs")
    html = await response.get_data(as_text=True)
    assert response.status_code == 200
    assert response.content_type == "text/html; charset=utf-8"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    links = Links()
    links.feed(html)
    assert {
        operation["operationId"] for methods in made["paths"].values() for operation in methods.values()
    } <= links.ids
    assert links.tags.isdisjoint({"script", "link", "img", "iframe", "form"})
    assert {address for address in links.addresses if not address.startswith("#")} == {"/", "/openapi.json"}
    assert {address[1:] for address in links.addresses if address.startswith("#")} <= links.ids


class ThingShape(TypedDict):
    name: str


@pytest.mark.parametrize(
    ("answer", "status"), [({"name": "x", "secret": 1}, 200), ({"name": 1}, 200), ({}, 200), ({"name": "x"}, 202)]
)
async def test_the_client_of_these_tests_finds_an_answer_that_is_not_documented(
    api: Api, answer: Any, status: int
) -> None:
    @described("Show a thing", needs=OPEN, answers={200: ThingShape})
    async def thing() -> Response:
        return reply(answer, status)

    api.app.add_url_rule("/api/v1/thing", "thing", thing)
    with pytest.raises((AssertionError, jsonschema_rs.ValidationError)):
        await api.call("GET", "/thing")


def row(operation: Operation) -> str:
    said = operation.description
    return f"| {operation.method.upper()} | `{operation.path}` | {said.summary} | {said.needs} |"


async def test_the_list_of_endpoints_is_the_one_in_the_documentation(api: Api) -> None:
    text = (Path(__file__).parent.parent.parent / "docs" / "endpoints.md").read_text()
    written = [line for line in text.splitlines() if re.match(r"\| [A-Z]+ \|", line)]
    assert written == [row(operation) for operation in operations(api.app)]
