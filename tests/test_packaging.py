"""What users install: each archive, in a fresh environment outside the checkout, does the main job."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("engine", "store", "api", "peekaping")
FILES = ("pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "docs/monitors.md", "docs/channels.md")
MAIN_JOB = """
import re, subprocess, sys, time
from pathlib import Path
import peekaping
from peekaping import PeekapingClient

assert Path(peekaping.__file__).is_relative_to(sys.prefix), peekaping.__file__
assert Path(peekaping.__file__).with_name("py.typed").exists()
server = subprocess.Popen(
    [Path(sys.executable).with_name("peekaping"), "serve", "--port", "0", "--min-interval-ms", "100",
     "--admin-email", "me@example.com", "--admin-password", "correct horse battery"],
    stdout=subprocess.PIPE, text=True,
)
url = re.search("http://[0-9.:]+", server.stdout.readline())[0]
with PeekapingClient(url, email="me@example.com", password="correct horse battery") as client:
    monitor = client.monitors.create({"name": "itself", "type": "http", "url": url + "/health", "interval": 100})
    give_up = time.monotonic() + 20
    while not (beats := client.monitors.heartbeats(monitor["id"])) and time.monotonic() < give_up:
        time.sleep(0.05)
server.terminate()
server.communicate()
print(beats[-1]["status"], server.returncode)
"""


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel and the sdist, the wheel built from the sdist, as a release is."""
    source, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for folder in FOLDERS:  # with peekaping's links as links: following them is the build's job
        shutil.copytree(ROOT / folder, source / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    (source / "docs").mkdir()
    for file in FILES:
        shutil.copy(ROOT / file, source / file)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(dist), str(source))
    return dist


def run(*command: str, cwd: Path | None = None) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PEEKAPING_", "PYTHON"))}
    done = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def installed(archive: Path, folder: Path) -> Path:
    """A fresh environment with this archive; gives back its Python.

    Its dependencies are those of the environment that runs the tests, reached by a path, so that nothing is downloaded. The
    path brings no links to this checkout: `.pth` files are read in an environment's own folder only.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    site = next((folder / "lib").glob("python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    run(str(python), "-m", "pip", "install", "--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed",
        "--disable-pip-version-check", str(archive))  # fmt: skip
    return python


@pytest.mark.parametrize("pattern", ["*.whl", "*.tar.gz"])
def test_an_installed_archive_does_the_main_job(archives: Path, tmp_path: Path, pattern: str) -> None:
    (archive,) = archives.glob(pattern)
    python = installed(archive, tmp_path / "environment")
    assert run(str(python), "-c", MAIN_JOB, cwd=tmp_path) == "up 0\n"


def test_both_archives_hold_the_same_code_and_nothing_else(archives: Path) -> None:
    (wheel,), (sdist,) = archives.glob("*.whl"), archives.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        in_sdist = {re.sub("^[^/]+/", "", name) for name in archive.getnames() if name.endswith(".py")}
    in_wheel = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")}
    in_checkout = {str(path.relative_to(ROOT)) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    assert in_sdist == in_checkout
    assert in_wheel == {name if name.startswith("peekaping/") else f"peekaping/{name}" for name in in_checkout}
