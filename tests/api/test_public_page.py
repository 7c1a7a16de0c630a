"""What the public sees of a status page, as JSON and as a web page, and when it is made anew."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest
import trio

from peekaping.api import pages, public_page
from peekaping.engine.accounting import DAY, MINUTE, Bucket
from peekaping.engine.clock import utc_ms
from peekaping.engine.records import iso
from tests.api.support import HERE, Api, assert_refused
from tests.api.test_stats import counted
from tests.api.test_status_pages import made, pushed, seen


async def titles(api: Api) -> list[str]:
    return [incident["title"] for incident in (await seen(api))["incidents"]]


async def test_everybody_sees_a_published_page(api: Api) -> None:
    shop, mail = await api.push_monitor("Shop"), await api.push_monitor("Mail")
    await pushed(api, shop, ping=234, message="secret answer")
    await made(api, description="How we are", monitors=[mail["id"], shop["id"]])
    page = await seen(api)
    assert page["title"], page["description"] == ("Our shop", "How we are")
    assert [monitor["name"] for monitor in page["monitors"]] == ["Mail", "Shop"]
    assert page["monitors"][0] == {
        "name": "Mail", "status": "pending", "responseTime": None, "uptime": {"24h": None, "7d": None, "30d": None},
    }  # fmt: skip
    assert (page["monitors"][1]["status"], page["monitors"][1]["responseTime"]) == ("up", 234)


async def test_nothing_but_what_is_meant_for_the_public_is_shown(api: Api) -> None:
    fields = {"url": "http://127.0.0.1:1/hidden", "headers": {"Authorization": "hidden"}, "retries": 1000}
    shop = (await api.call("POST", "/monitors", {"type": "http", "name": "Shop", **fields})).json
    other = await api.push_monitor("hidden")
    job = await api.push_monitor("Job")
    await pushed(api, job, "down", message="hidden")
    await api.call("POST", "/incidents", {"title": "Slow", "monitors": [shop["id"], other["id"]]})
    await api.call("POST", "/incidents", {"title": "hidden", "monitors": [other["id"]]})
    await made(api, monitors=[shop["id"], job["id"]])
    page = await seen(api)
    assert "hidden" not in str(page)
    assert "monitor-" not in str(page)
    assert set(page) == {"slug", "title", "description", "monitors", "incidents"}
    for monitor in page["monitors"]:
        assert set(monitor) == {"name", "status", "responseTime", "uptime"}
    assert {incident["title"]: incident["monitors"] for incident in page["incidents"]} == {
        "Slow": ["Shop"],
        "Job is down": ["Job"],
    }
    for incident in page["incidents"]:
        assert set(incident) == {"title", "status", "startTime", "endTime", "monitors", "updates"}


async def test_the_uptime_is_that_of_the_statistics(api: Api) -> None:
    shop = await api.push_monitor("Shop")
    await pushed(api, shop)
    await counted(api, f"/monitors/{shop['id']}/stats", 1)
    await made(api, monitors=[shop["id"]])
    assert (await seen(api))["monitors"][0]["uptime"] == {"24h": 100, "7d": 100, "30d": 100}


async def test_an_unpublished_page_is_not_there(api: Api) -> None:
    await made(api, published=False)
    assert_refused(await api.call("GET", "/status-pages/shop"), 404, "NOT_FOUND")
    await api.call("PATCH", "/status-pages/shop", {"published": True})
    assert (await seen(api))["slug"] == "shop"
    await api.call("PATCH", "/status-pages/shop", {"published": False})
    assert_refused(await api.call("GET", "/status-pages/shop"), 404, "NOT_FOUND")


async def test_whatever_a_page_shows_is_new_when_it_changes(api: Api) -> None:
    shop = await api.push_monitor("Shop")
    await made(api, monitors=[])
    assert (await seen(api))["monitors"] == []
    await api.call("PATCH", "/status-pages/shop", {"monitors": [shop["id"]]})
    await pushed(api, shop, ping=1)
    assert (await seen(api))["monitors"][0]["responseTime"] == 1
    await pushed(api, shop, ping=2)
    assert (await seen(api))["monitors"][0]["responseTime"] == 2
    await pushed(api, shop, "down")
    assert (await seen(api))["monitors"][0]["status"] == "down"
    assert await titles(api) == ["Shop is down"]
    await api.call("PATCH", f"/monitors/{shop['id']}", {"name": "Market"})
    assert await titles(api) == ["Market is down"]
    made_by_hand = await api.call("POST", "/incidents", {"title": "Fire", "monitors": [shop["id"]]})
    assert await titles(api) == ["Fire", "Market is down"]
    path = f"/incidents/{made_by_hand.json['id']}"
    await api.call("POST", f"{path}/updates", {"message": "Out", "status": "monitoring"})
    assert [update["message"] for update in (await seen(api))["incidents"][0]["updates"]] == ["Out"]
    await api.call("DELETE", path)
    await pushed(api, shop, "up")
    assert [incident["status"] for incident in (await seen(api))["incidents"]] == ["resolved"]
    await api.call("PATCH", "/status-pages/shop", {"title": "Market place"})
    assert (await seen(api))["title"] == "Market place"
    await api.call("DELETE", f"/monitors/{shop['id']}")
    assert (await seen(api))["monitors"] == (await seen(api))["incidents"] == []
    assert (await api.call("GET", "/status-pages")).json["statusPages"][0]["monitors"] == []


async def test_a_page_is_not_read_again_while_nothing_changes(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = await api.push_monitor("Shop")
    await made(api, monitors=[shop["id"]])
    reads = 0
    read = api.database.read

    async def counting(function: Any) -> Any:
        nonlocal reads
        reads += 1
        return await read(function)

    async def look() -> None:
        token = api.token
        api.token = None
        assert (await api.call("GET", "/status-pages/shop")).status == 200
        api.token = token

    api.token = None  # who is not known is not looked up either
    monkeypatch.setattr(api.database, "read", counting)
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(look)
    at_first = reads
    assert 5 <= at_first <= 8, "the page, its incidents, sums for three periods: whoever came meanwhile waited"
    await pushed(api, shop, ping=5)
    for _ in range(20):
        await look()
    assert reads == at_first + 2, "the page and its incidents, since the push was a transition"
    api.clock.ahead_ms += public_page.KEPT_MS
    for _ in range(20):
        await look()
    assert at_first + 2 + 5 <= reads <= at_first + 2 + 8, "and all once a minute"


async def test_few_pages_are_kept(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_page, "MOST_KEPT", 2)
    for slug in ("a", "b", "c", "a", "c", "b"):
        if (await api.call("GET", f"/status-pages/{slug}")).status == 404:
            await made(api, slug)
        assert (await seen(api, slug))["slug"] == slug


async def test_old_incidents_leave_the_page(api: Api) -> None:
    shop = await api.push_monitor("Shop")
    await made(api, monitors=[shop["id"]])
    ago = iso(api.clock() - 29 * DAY)
    for title, fields in (("over", {"status": "resolved", "endTime": ago}), ("lasts", {"startTime": ago})):
        await api.call("POST", "/incidents", {"title": title, "monitors": [shop["id"]], "startTime": ago, **fields})
    assert await titles(api) == ["lasts", "over"]
    api.clock.ahead_ms += 2 * DAY
    assert await titles(api) == ["lasts"]


async def html(api: Api, slug: str = "shop") -> tuple[str, Any]:
    client: Any = api.app.test_client()
    answer = await client.get(f"/status/{slug}", scope_base={"client": (HERE, 50000)})
    return await answer.get_data(as_text=True), answer


async def test_people_see_the_same_as_a_web_page(api: Api) -> None:
    shop = await api.push_monitor("Shop")
    await pushed(api, shop, ping=234)
    await made(api, monitors=[shop["id"]], description="How we are")
    text, answer = await html(api)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    for shown in ("Our shop", "How we are", "Nothing is down", "234 ms", "None in the last 30 days"):
        assert shown in text
    await pushed(api, shop, "down")
    text, _ = await html(api)
    for shown in ("1 of 1 down", "Shop is down", "investigating"):
        assert shown in text


async def test_a_web_page_says_what_is_true_of_all_together(api: Api) -> None:
    shop = await api.push_monitor("Shop")
    await made(api, monitors=[shop["id"]])
    said = re.compile(r'role="status"[^>]*>(.*?)</p>', re.DOTALL)

    async def summary() -> str:
        found = said.search((await html(api))[0])
        assert found is not None
        return found[1].strip()

    assert await summary() == "Nothing is known to be down"
    await pushed(api, shop, "up")
    assert await summary() == "Nothing is down"
    incident = (await api.call("POST", "/incidents", {"title": "Slow", "monitors": [shop["id"]]})).json["id"]
    assert await summary() == "No monitor is down, 1 incident is open"
    await api.call("POST", "/incidents", {"title": "Slower", "monitors": [shop["id"]]})
    assert await summary() == "No monitor is down, 2 incidents are open"
    await pushed(api, shop, "down")
    assert await summary() == "1 of 1 down: Shop"
    await pushed(api, shop, "up")
    for id in (incident, "incident-2"):
        await api.call("PATCH", f"/incidents/{id}", {"status": "resolved"})
    assert await summary() == "Nothing is down"
    await api.call("POST", f"/monitors/{shop['id']}/pause")
    assert await summary() == "Nothing is watched at present"
    await api.call("PATCH", "/status-pages/shop", {"monitors": []})
    assert await summary() == "No monitors are shown here yet"


async def test_a_web_page_runs_and_loads_nothing_that_somebody_wrote(api: Api) -> None:
    evil = "<script>alert(1)</script><img src=//evil.example>\"'"
    shop = await api.push_monitor(evil)
    await pushed(api, shop, "down", message=evil)
    incident = (await api.call("POST", "/incidents", {"title": evil, "monitors": [shop["id"]]})).json
    await api.call("POST", f"/incidents/{incident['id']}/updates", {"message": evil})
    await made(api, title=evil, description=evil, monitors=[shop["id"]])
    text, answer = await html(api)
    assert "<script" not in text
    assert "<img" not in text
    assert "//" not in text.replace("//evil.example", "")
    assert text.count("&lt;script&gt;") >= 6
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


async def test_a_web_page_that_is_not_published_is_not_there(api: Api) -> None:
    await made(api, published=False)
    for slug in ("shop", "nothing", "%3Cscript%3E"):
        _, answer = await html(api, slug)
        assert answer.status_code == 404


async def test_a_web_page_draws_a_bar_for_each_day(api: Api) -> None:
    shop, mail = await api.push_monitor("Shop"), await api.push_monitor("Mail")
    yesterday = utc_ms() // DAY * DAY - DAY
    await api.engine.store.roll_up(
        [
            Bucket(monitor=1, start=yesterday, up=MINUTE),
            Bucket(monitor=2, start=yesterday, up=MINUTE // 4, down=MINUTE * 3 // 4),
        ]
    )
    await made(api, monitors=[mail["id"], shop["id"]])
    text, _ = await html(api)
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert [drawing.count("M") for drawing in drawings] == [31, 30], "thirty days, and one of them down"
    assert f"{iso(yesterday)[:10]}: 25 % up</title>" in drawings[0]
    assert "title" not in drawings[1]


async def test_people_who_ask_for_a_page_that_is_not_there_get_words_and_a_way_on(api: Api) -> None:
    client: Any = api.app.test_client()
    for path in ("/status/nothing", "/nothing"):
        answer = await client.get(path, headers={"Accept": "text/html,*/*;q=0.8"}, scope_base={"client": (HERE, 50000)})
        assert answer.status_code == 404
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        text = await answer.get_data(as_text=True)
        assert "<h1>There is" in text
        assert 'href="/"' in text
    for accepts in ("application/json, text/html;q=0.1", "*/*"):
        answer = await client.get("/nothing", headers={"Accept": accepts}, scope_base={"client": (HERE, 50000)})
        assert answer.headers["Content-Type"] == "application/json"
    answer = await client.get("/api/v1/nothing", headers={"Accept": "text/html"}, scope_base={"client": (HERE, 50000)})
    assert answer.headers["Content-Type"] == "application/json"


async def test_a_web_page_is_filled_once_for_each_change_and_not_between_checks(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = await api.push_monitor("Shop")
    await made(api, monitors=[shop["id"]])
    filled, threads = pages.filled, []

    def note(*args: Any, **kwargs: Any) -> str:
        threads.append(threading.current_thread())
        return filled(*args, **kwargs)

    monkeypatch.setattr(pages, "filled", note)
    for changes in (1, 2):
        await pushed(api, shop, ping=changes)
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(html, api)
        assert len(threads) == changes
    assert threading.main_thread() not in threads
