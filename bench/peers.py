"""What is measured beside us. Client libraries get an environment each, made from one pinned requirement; blackbox_exporter,
wrk, nginx and openssl come from the system. One that is not there is skipped, and the report says so.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec

from bench.lab import ROOT, Lab, Process, Unavailable, free_port, output_of, program, started

ENVIRONMENTS = ROOT / ".venv-bench"
LIBRARIES = {
    "httpx": ("httpx==0.28.1", "trio==0.35.0"),
    "httpcore": ("httpcore[trio]==1.0.9", "trio==0.35.0"),
    "asks": ("asks==3.0.0",),
    "aiohttp": ("aiohttp==3.14.5",),
}
INSTALL_WITHIN_S = 300

_IN_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
_BLACKBOX = "modules: {http_2xx: {prober: http, timeout: 5s, http: {preferred_ip_protocol: ip4}}}\n"


class Wrk(msgspec.Struct, frozen=True):
    """What wrk counted."""

    requests: int
    refused: int
    """Answers with another status than 2xx and 3xx."""
    seconds: float
    p50_ms: float
    """What half of the answers took at most; `p99_ms` 99 % of them."""
    p99_ms: float


def library(lab: Lab, name: str) -> Path:
    """The interpreter of a library's environment, made where there is none.

    Raises:
      Unavailable: it cannot be made, for want of a package index as a rule.
    """
    folder = ENVIRONMENTS / name
    python, made = folder / "bin" / "python", folder / "requirement"
    requirements = LIBRARIES[name]
    if made.exists() and made.read_text().split() == list(requirements):
        return python
    lab.tell(f"making the environment of {name}")
    ENVIRONMENTS.mkdir(exist_ok=True)
    (ENVIRONMENTS / ".gitignore").write_text("*\n")
    make = [sys.executable, "-m", "venv", "--clear", str(folder)]
    install = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", *requirements]
    try:
        for command in (make, install):
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_WITHIN_S)
    except subprocess.SubprocessError as error:
        said = str(getattr(error, "stderr", None) or error).strip().splitlines()
        raise Unavailable(f"no environment for {name}: {said[-1] if said else error}") from error
    made.write_text("\n".join(requirements))
    return python


def cost_of(lab: Lab, name: str, python: Path, url: str, count: int) -> float:
    """CPU microseconds of one GET with a new connection, made by this library."""
    return _cost(lab, name, [python, ROOT / "bench" / "worker.py", name, url, str(count)], count)


def bare_cost(lab: Lab, url: str, count: int) -> float:
    """The same of `bare.py`."""
    return _cost(lab, "bare", [sys.executable, "-m", "bench.bare", url, str(count)], count)


def _cost(lab: Lab, name: str, command: Sequence[object], count: int) -> float:
    lab.tell(name)
    answer = msgspec.json.decode(output_of(lab, command, lab.subject_core, 120, f"{name}.log"))
    if answer["good"] < count:
        raise RuntimeError(f"{name}: {answer['good']} of {count} requests were answered")
    return float(answer["cpuUs"])


@contextmanager
def blackbox(lab: Lab, url: str) -> Iterator[tuple[Process, str]]:
    """blackbox_exporter, and where it probes `url`."""
    command = program("prometheus-blackbox-exporter", "prometheus-blackbox-exporter")
    config = lab.folder / "blackbox.yml"
    config.write_text(_BLACKBOX)
    port = free_port()
    arguments = [f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    with started([command, *arguments], lab.subject_core, lab.folder / "blackbox.log") as process:
        asking = f"http://127.0.0.1:{port}/probe?module=http_2xx&target={url}"
        answer = _first_answer(lab, asking)
        if "probe_success 1" not in answer:
            raise RuntimeError(f"blackbox_exporter cannot probe the target: {answer[-500:]}")
        yield process, asking


def wrk(lab: Lab, url: str, connections: int, seconds: float, script: Path | None = None) -> Wrk:
    """Ask as fast as it answers, over kept connections, from the other core."""
    command = [
        program("wrk", "wrk"),
        "-t1",
        f"-c{connections}",
        f"-d{round(seconds)}s",
        "--timeout",
        "10s",
        "--latency",
    ]
    scripted = [] if script is None else ["-s", str(script)]
    output = output_of(lab, [*command, *scripted, url], lab.other_core, seconds + 30, "wrk.log")
    total = re.search(r"(\d+) requests in ([\d.]+)(m?s)", output)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    if total is None:
        raise RuntimeError(f"wrk said nothing useful: {output}")
    took = {
        share: float(time) * _IN_MS[unit] for share, time, unit in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)\b", output)
    }
    return Wrk(int(total[1]), int(refused[1]) if refused else 0, seconds, took["50"], took["99"])


def _first_answer(lab: Lab, url: str) -> str:
    for _ in range(100):
        try:
            return httpx.get(url, timeout=10).text
        except httpx.ConnectError:
            lab.wait(0.1)
    raise RuntimeError(f"nobody answers at {url}")
