"""What a measurement ran on, and how much of the machine something else took meanwhile."""

import contextlib
import os
import platform
import resource
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def describe() -> dict[str, str]:
    """Return the commit that is checked out, the processor, the system and the version of Python."""
    return {
        "commit": _commit(),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}, {_memory()}",
        "python": platform.python_version(),
    }


class Others:
    """The part of the processors' time that other processes took since this was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter(), _busy(), _own()

    def share(self) -> float | None:
        """Return it, or ``None`` where the system does not tell; of children, those that have ended count as own."""
        start, busy_before, own_before = self._start
        busy = _busy()
        if busy is None or busy_before is None:
            return None
        others = busy - busy_before - (_own() - own_before)
        return max(0.0, others / (time.perf_counter() - start) / (os.cpu_count() or 1))


def _busy() -> float | None:
    """Return the seconds in which any processor worked, since the system started."""
    with contextlib.suppress(OSError):
        user, nice, system, _, _, *interrupts = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9])
        return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")
    return None


def _own() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + (" with changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    except (ValueError, OSError):
        return "memory unknown"
