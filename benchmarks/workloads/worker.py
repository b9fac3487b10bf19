"""One library on one workload in a process of its own, and the parent's end of the pipe to it.

The process is ``python -m workloads.worker LIBRARY WORKLOAD DATA THREADS``, with lines of JSON both ways.
"""

import contextlib
import importlib
import json
import os
import resource
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from workloads import Task

BENCHMARKS = Path(__file__).parents[1]
PATIENCE = 300  # seconds for one answer; PyTensor compiles for long
# for processors on which old builds of OpenBLAS went wrong; they slow a current one
SLOWING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
THREAD_COUNTS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class Failure(Exception):
    """A worker that answered with an error, or not at all."""


class Worker:
    """A process that has built a workload and does slices of it on demand; idle in between.

    Attributes
    ----------
    built
        What it said of itself when it was ready; ``{"missing": name}`` where a module is not installed.
    """

    def __init__(self, library: str, workload: str, data: Path, threads: int, keep_coretype: bool = False) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "workloads.worker", library, workload, str(data), str(threads)],
            cwd=BENCHMARKS,
            env=_environment(threads, () if keep_coretype else SLOWING),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            self.built = self._answer()
        except BaseException:
            self.close()
            raise

    def run(self, steps: int) -> list[float]:
        """Return the seconds that each step took, from the initial values on."""
        times: list[float] = self._ask({"run": steps})["times"]
        return times

    def finish(self, results: Path) -> int:
        """Write the results of the last step to `results`, and return the bytes of memory above the imports."""
        found: int = self._ask({"finish": str(results)})["memory"]
        return found

    def close(self) -> None:
        """End the process, if it has not ended."""
        self._process.kill()
        with self._process:  # closes the pipes, and waits
            pass

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            print(json.dumps(command), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise Failure("the process has ended") from None
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
            raise Failure(f"no answer in {PATIENCE} s")
        line = self._process.stdout.readline()
        if not line:
            raise Failure(f"the process ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Failure(answer["error"])
        return answer


def _environment(threads: int, without: Sequence[str]) -> dict[str, str]:
    """Return the environment of a worker, the same for every library."""
    # modules are compiled once for whoever installs them, and not by the process that is timed
    kept = {name: value for name, value in os.environ.items() if name not in (*without, "PYTHONDONTWRITEBYTECODE")}
    paths = [os.path.abspath(path) for path in kept.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {
        **kept,
        **dict.fromkeys(THREAD_COUNTS, str(threads)),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONHASHSEED": "0",
        "JAX_PLATFORMS": "cpu",
    }


def main() -> None:
    """Import the library, build the workload, and do what standard input says."""
    library, workload, path, threads = sys.argv[1:]
    # what a library prints goes elsewhere than the answers
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)

        def answer(**words: Any) -> None:
            print(json.dumps(words), file=answers, flush=True)

        if hasattr(os, "sched_setaffinity"):  # XLA takes as many threads as it sees processors
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(threads)])
        try:
            _serve(library, workload, path, int(threads), answer)
        except Exception as error:  # whatever a library raises is told, and spoils its own row alone
            answer(error=f"{type(error).__name__}: {str(error).strip()}".splitlines()[0][:300])


def _serve(library: str, workload: str, path: str, threads: int, answer: Any) -> None:
    try:
        implementation = importlib.import_module(f"workloads.{library}")
    except ModuleNotFoundError as error:
        answer(missing=error.name)
        return
    if workload not in implementation.BUILDERS:
        answer(missing=workload)
        return
    if hasattr(implementation, "set_threads"):
        implementation.set_threads(threads)
    with np.load(path) as file:
        data = dict(file)
    blas = _blas()
    _forget_peak()
    before = _peak()
    start = time.perf_counter()
    task: Task = implementation.BUILDERS[workload](data)
    task.reset()
    results = task.step(0)
    first = time.perf_counter() - start
    answer(versions={name: version(name) for name in implementation.MODULES}, blas=blas, first=first)
    for line in sys.stdin:
        command = json.loads(line)
        if "run" in command:
            task.reset()
            times = []
            for number in range(command["run"]):
                start = time.perf_counter()
                results = task.step(number)
                times.append(time.perf_counter() - start)
            answer(times=times)
        else:
            memory = _peak() - before
            np.savez(command["finish"], *map(np.asarray, results))
            answer(memory=memory)


def _blas() -> list[str]:
    """Return which BLAS libraries are loaded, with the kernels that they chose and their threads."""
    from threadpoolctl import threadpool_info

    return [
        f"{found['internal_api']} {found.get('version') or ''} {found.get('architecture', '')} "
        f"{found['num_threads']} threads".replace("  ", " ")
        for found in threadpool_info()
        if found["user_api"] == "blas"
    ]


def _forget_peak() -> None:
    """Let the peak of memory begin at what is in use now, where the system can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """Return the largest number of bytes that were in memory so far."""
    with contextlib.suppress(OSError):
        lines: Mapping[str, str] = dict(
            line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines()
        )
        return int(lines["VmHWM"].split()[0]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    main()
