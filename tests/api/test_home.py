"""/, for who opens the server in a browser, and the icon."""

from __future__ import annotations

from importlib.metadata import version

import httpx
import pytest

from tests.api.support import Api, serving
from tests.api.test_openapi import Links


async def home(api: Api, **headers: str) -> tuple[str, Links]:
    api.token = None
    answer = await api.call("GET", "/", prefix="", headers=headers)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    text, links = answer.json.decode(), Links()
    links.feed(text)
    return text, links


async def test_it_says_what_this_is_and_leads_on(api: Api) -> None:
    text, links = await home(api)
    assert "An uptime monitor" in text
    assert version("peekaping") in text
    assert links.addresses == {"/docs", "/openapi.json", "/health"}
    for address in links.addresses:
        assert (await api.call("GET", address, prefix="")).status == 200


async def test_it_loads_nothing_and_lists_no_status_page(api: Api) -> None:
    page = {"slug": "our-shop", "title": "Our shop", "published": True}
    assert (await api.call("POST", "/status-pages", page)).status == 201
    text, links = await home(api)
    assert "shop" not in text.lower()
    assert links.tags.isdisjoint({"script", "link", "img", "iframe", "form"})


async def test_what_it_shows_is_of_the_address_it_was_asked_at(api: Api) -> None:
    text, _ = await home(api, Host="monitor.example.com:9000")
    assert "API=http://monitor.example.com:9000/api/v1" in text
    text, _ = await home(api, Host="monitor.example.com", **{"X-Forwarded-Proto": "https"})
    assert "API=https://monitor.example.com/api/v1" in text


@pytest.mark.parametrize("host", ['"><script>alert(1)</script>', "a b", "", "shop:http", "x/y", "["])
async def test_a_host_that_is_none_is_not_shown_but_the_address_that_was_reached(api: Api, host: str) -> None:
    async with serving(api) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        answer = await client.get("/", headers={"Host": host, "X-Forwarded-Proto": "https"})
        assert answer.status_code == 200
        assert f"API=http://127.0.0.1:{port}/api/v1" in answer.text
        assert "<script" not in answer.text


async def test_browsers_find_an_icon(api: Api) -> None:
    api.token = None
    answer = await api.call("GET", "/favicon.ico", prefix="")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "image/svg+xml"
    assert answer.json.startswith(b"<svg")
