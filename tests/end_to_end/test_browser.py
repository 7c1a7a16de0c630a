"""What a real browser makes of the pages, and of the API when a page elsewhere uses it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from tests.end_to_end.support import Process, Server, login, python_http_server

# No sandbox: root has none in a container.
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
WIDE, PHONE = 1280, 390

LIST_MONITORS = """
const [url, token, done] = arguments;
fetch(url + "/api/v1/monitors", {headers: {Authorization: "Bearer " + token}})
  .then(answer => answer.json())
  .then(answer => done(answer.monitors.map(monitor => monitor.name)))
  .catch(error => done(String(error)));
"""
LISTEN = """
const [url, token, push, done] = arguments;
const socket = new WebSocket(url.replace("http", "ws") + "/ws");
const seen = [];
socket.onopen = () => socket.send(JSON.stringify({type: "auth", token: token}));
socket.onmessage = event => {
  const message = JSON.parse(event.data);
  seen.push(message.type);
  if (message.type === "auth_ok") fetch(url + push, {method: "POST"});
  if (message.type === "monitor_status") done(seen.concat(message.data.newStatus));
};
socket.onclose = event => done(["closed"]);
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in (*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with Chrome(options, ChromeService("/usr/bin/chromedriver")) as browser:
        browser.set_script_timeout(20)
        yield browser


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Process]:
    """Another origin, with a page."""
    target = python_http_server(tmp_path)
    target.start()
    yield target
    target.stop()


def fill(server: Server) -> None:
    """One of everything that a status page shows, with the longest words somebody could use."""
    with server.client() as client:
        shop = client.monitors.create({"type": "push", "name": "Shop"})
        odd = client.monitors.create({"type": "push", "name": "<b>odd</b>" + "x" * 80})
        client.push(shop["pushId"])
        client.push(odd["pushId"], status="down", message="y" * 200)
        trouble = client.incidents.create({"title": "z" * 120, "monitors": [shop["id"]]})
        client.incidents.add_update(trouble["id"], "w" * 300, status="identified")
        monitors = [shop["id"], odd["id"]]
        client.status_pages.create({"slug": "home", "title": "Home", "published": True, "monitors": monitors})


@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_every_page_shows_as_it_is_meant_to(browser: Chrome, server: Server, width: int) -> None:
    fill(server)
    metrics: dict[str, Any] = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    for path in ("/", "/docs", "/status/home", "/status/nothing"):
        browser.get(server.url + path)
        log = browser.get_log("browser")  # type: ignore[no-untyped-call]
        complaints = [entry["message"] for entry in log if "404" not in entry["message"]]
        assert complaints == [], path
        assert browser.title, path
        style = browser.execute_script("return getComputedStyle(document.body).fontFamily")
        assert "sans-serif" in style, f"{path}: the policy keeps its styles out"
        shown, wanted = browser.execute_script(
            "return [document.documentElement.clientWidth, document.documentElement.scrollWidth]"
        )
        assert wanted <= shown, f"{path} is {wanted} wide, and scrolls to the side"
        loaded = browser.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
        assert all(url.startswith(server.url) for url in loaded), path


def test_a_page_of_an_allowed_origin_lists_monitors_and_hears_events(
    browser: Chrome, tmp_path: Path, elsewhere: Process
) -> None:
    server = Server(tmp_path)
    server.start(PEEKAPING_ALLOWED_ORIGINS=elsewhere.url.rstrip("/"))
    with server.client() as client:
        push = client.monitors.create({"type": "push", "name": "job"})["pushId"]
    browser.get(elsewhere.url)
    assert browser.execute_async_script(LIST_MONITORS, server.url, login(server)) == ["job"]
    seen = browser.execute_async_script(LISTEN, server.url, login(server), f"/api/v1/push/{push}")
    assert seen == ["auth_ok", "heartbeat", "monitor_status", "up"]
    server.end(signal.SIGTERM)


def test_a_page_of_any_other_origin_gets_nothing(browser: Chrome, server: Server, elsewhere: Process) -> None:
    browser.get(elsewhere.url)
    assert "Failed to fetch" in browser.execute_async_script(LIST_MONITORS, server.url, login(server))
    assert browser.execute_async_script(LISTEN, server.url, login(server), "/api/v1/push/x") == ["closed"]
