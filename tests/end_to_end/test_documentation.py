"""What the documentation shows works as it stands there: commands and programs are taken from it and run."""

from __future__ import annotations

import html
import json
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import httpx

from tests.end_to_end.support import PASSWORD, Server, environment, free_port

ROOT = Path(__file__).parent.parent.parent
SHOWN_ADDRESS = "127.0.0.1:8383"


def shown(language: str, containing: str, document: str = "README.md") -> str:
    """The one code block of a language that contains this text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    (block,) = (code for code in blocks if containing in code)
    assert isinstance(block, str)
    return block


def here(code: str, server: Server) -> str:
    return code.replace(SHOWN_ADDRESS, f"127.0.0.1:{server.port}")


def run(command: list[str]) -> str:
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_quick_start(server: Server) -> None:
    output = run(["bash", "-eu", "-c", here(shown("bash", "auth/login"), server)])
    monitor, end = json.JSONDecoder().raw_decode(output)
    history = json.loads(output[end:])
    assert monitor["name"] == "itself"
    assert [(beat["monitorId"], beat["status"]) for beat in history["heartbeats"]] == [(monitor["id"], "up")]


def test_what_the_page_of_the_server_shows(server: Server) -> None:
    text = httpx.get(f"{server.url}/").text
    assert server.url in text
    blocks = [html.unescape(block) for block in re.findall(r"<pre>\n(.*?)</pre>", text, re.DOTALL)]
    blocks = [
        block.replace("the password", PASSWORD).replace("https://example.com", f"{server.url}/health")
        for block in blocks
    ]
    *commands, program = blocks
    assert '"slug":"home"' in run(["bash", "-eu", "-c", "".join(commands)])
    run([sys.executable, "-W", "error", "-c", program.replace('"home"', '"from-python"')])
    for slug in ("home", "from-python"):
        assert "My website" in httpx.get(f"{server.url}/status/{slug}").text


def test_an_alert_and_a_status_page_follow_the_quick_start(server: Server) -> None:
    steps = [shown("bash", text) for text in ("auth/login", "HTTPServer", "status-pages")]
    code = here("".join(steps), server).replace("9000", str(free_port()))
    output = run(["bash", "-eu", "-c", code + "\nkill %1"])
    assert '{"success":true,"message":"200 OK"}' in output
    told = output[output.index('{"event":"monitor.down"') :]
    assert '"message":"disk full"' in told
    page = httpx.get(f"{server.url}/status/home").text
    assert "itself" in page
    assert "backup is down" in page


def test_the_variables_of_the_quick_start_make_the_user_who_logs_in() -> None:
    block = shown("bash", "make run")
    assert "PEEKAPING_ADMIN_EMAIL=me@example.com" in block
    assert "PEEKAPING_ADMIN_PASSWORD='correct horse battery'" in block


def test_the_client(server: Server) -> None:
    code = here(shown("python", "import PeekapingClient"), server)
    assert "'My website'" in run([sys.executable, "-c", code + "\nprint(client.monitors.list())\nclient.close()"])


def test_the_page_of_the_sdk(server: Server, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "sdk.md").read_text()
    code = here("".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL)), server)
    code = code.replace("backup.csv", str(tmp_path / "backup.csv")).replace(
        "127.0.0.1:9000", f"127.0.0.1:{free_port()}"
    )
    printed = re.findall(r"```\n\n((?:    .*\n)+)", text)
    assert run([sys.executable, "-W", "error", "-c", code]) == textwrap.dedent("".join(printed))
    assert (tmp_path / "backup.csv").read_text().count("\n") == 3


def test_the_live_events(server: Server) -> None:
    code = here(shown("python", "client.events()"), server)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "connected {}\n"
        with server.client() as client:
            created = client.monitors.create({"type": "http", "name": "itself", "url": f"{server.url}/health"})
        assert created["id"] in process.stdout.readline()
        process.send_signal(signal.SIGKILL)


def test_the_embedded_engine(server: Server) -> None:
    lines = run([sys.executable, "-c", here(shown("python", "Engine.open()"), server)]).splitlines()
    assert lines == ["Shop is up: OK"] * 3 + ["3 checks, 100.00 % up"]


def test_the_embedded_engine_on_a_file(tmp_path: Path) -> None:
    code = shown("python", "SqliteStore", "docs/embedding.md").replace("monitors.db", str(tmp_path / "monitors.db"))
    expected = "{'name': ['Name is required'], 'url': ['URL is required']}\nmonitor-1 Shop pending\n"
    assert run([sys.executable, "-c", code]) == expected


def test_links_lead_somewhere() -> None:
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    missing = [
        f"{document.name}: {link}"
        for document in documents
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())
        if not (document.parent / link).exists()
    ]
    assert missing == []
