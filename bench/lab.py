"""What every scenario is given: two cores, a folder, a sense of how long to measure; and processes that end with it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

TICKS = os.sysconf("SC_CLK_TCK")
PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024
ROOT = Path(__file__).parent.parent
TICK_S = 0.5


class Unavailable(Exception):
    """Something that is not there cannot be measured; says what, and how to get it."""


class TooFewCores(Exception):
    """Nothing can be measured here."""


class Lab:
    """The conditions of a run.

    Args:
      folder: for databases and logs; each scenario should make its own names in it.
      tell: is told what is being done, for the progress shown.
      tick: is told how many seconds have passed by waiting.
    """

    def __init__(
        self, folder: Path, *, quick: bool, tell: Callable[[str], None], tick: Callable[[float], None]
    ) -> None:
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise TooFewCores(
                "two cores are needed, one for the subject and one for its target; this process may use one"
            )
        self.subject_core, self.other_core = cores[0], cores[-1]
        self.folder = folder
        self.quick = quick
        self.skipped: dict[str, str] = {}
        """What could not be measured, and why."""
        self.tell = tell
        self.tick = tick

    def pick(self, full: T, quick: T) -> T:
        """The size of something, by how long the run may take."""
        return quick if self.quick else full

    def rounds(self) -> range:
        """Subjects that are compared take turns so often."""
        return range(self.pick(5, 1))

    def wait(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            time.sleep(min(left, TICK_S))
            self.tick(min(left, TICK_S))


class Process:
    """A process that was started here."""

    def __init__(self, popen: subprocess.Popen[str]) -> None:
        self.popen = popen

    def line(self) -> str:
        """The next line it prints; empty when it has ended."""
        assert self.popen.stdout is not None
        return self.popen.stdout.readline()

    def port(self) -> int:
        """The port that it prints first.

        Raises:
          RuntimeError: it has ended instead.
        """
        if not (line := self.line()):
            raise RuntimeError(f"{self.popen.args!r} ended before it listened")
        return int(line)

    def cpu_s(self) -> float:
        """What all its threads have used, in user and system mode."""
        fields = Path(f"/proc/{self.popen.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident_kb(self) -> int:
        return int(Path(f"/proc/{self.popen.pid}/statm").read_text().split()[1]) * PAGE_KB


@contextmanager
def started(
    command: Sequence[object], core: int, log: Path, *, environment: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """Run a program on one core for the length of the block. It is ended with the block, and by the kernel when this
    process dies; what it says on stderr is shown when it ends other than well.
    """

    # Both put the program in their own place, so the process is the program. Not by `preexec_fn`: there are threads here.
    pinned = ["setpriv", "--pdeathsig", "TERM", "taskset", "--cpu-list", str(core), *map(str, command)]
    with (
        log.open("w") as errors,
        subprocess.Popen(pinned, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT) as popen,
    ):
        try:
            yield Process(popen)
        finally:
            ended = popen.poll()
            popen.terminate()
            try:
                popen.wait(10)
            except subprocess.TimeoutExpired:
                popen.kill()
            if ended not in (None, 0):
                print(f"{command[0]} ended with {ended}: {log.read_text()[-2000:]}", file=sys.stderr)


def output_of(lab: Lab, command: Sequence[object], core: int, seconds: float, log: str) -> str:
    """What a program prints that ends by itself; what it says on stderr goes to the file `log` in the lab's folder.

    Raises:
      RuntimeError: it failed, or took longer than `seconds`, and was ended.
    """
    ends = time.monotonic() + seconds
    with started(command, core, lab.folder / log) as process:
        while True:
            try:
                output, _ = process.popen.communicate(timeout=TICK_S)
                break
            except subprocess.TimeoutExpired:
                lab.tick(TICK_S)
                if time.monotonic() > ends:
                    raise RuntimeError(f"{command[0]} took longer than {seconds:g} s") from None
        if process.popen.returncode:
            raise RuntimeError(f"{command[0]} failed with exit code {process.popen.returncode}")
        return output


@contextmanager
def target(lab: Lab) -> Iterator[str]:
    """The plain HTTP target (`target.py`) on the other core; gives back its URL."""
    with started([sys.executable, "-m", "bench.target"], lab.other_core, lab.folder / "target.log") as process:
        yield f"http://127.0.0.1:{process.port()}/"


def program(name: str, package: str) -> str:
    """Where a program is.

    Raises:
      Unavailable: it is not installed.
    """
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise Unavailable(f"{name} is not installed; Debian has it in the package {package}")
    return found


def free_port() -> int:
    """A port of loopback that nobody has just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
