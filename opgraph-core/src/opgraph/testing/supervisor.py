"""Having ops checked in worker processes, which they may crash or keep for ever."""

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import IO, Any

import opgraph as og
from opgraph.testing import watch
from opgraph.testing.bench import LOAD, SAMPLES, Settings, Unit, finished
from opgraph.testing.channel import Channel, has_fork, keep_output
from opgraph.testing.report import Result

DEFAULT_TIME_LIMIT = 60.0  # seconds for one check on one sample
MOST_SECONDS = 1_000_000  # more than threads can wait for
GRACE = 10.0  # seconds that a worker has to end itself when its time is up, and to start
# an op that loops for ever does so in most checks: so often it is tried again
MOST_LOST = 5


class Lost(Exception):
    """A worker is gone; the message says what it was at."""


class Closed(Exception):
    """The worker was closed meanwhile, by another thread."""


@dataclasses.dataclass(frozen=True)
class LocalOp:
    """An op that no new process would find, with the samples to check it on, or its own."""

    op_class: type[og.Op]
    samples: Iterable[og.Sample] | None = None


class Worker:
    """A worker process, started when it is first asked, and again when it was lost.

    Parameters
    ----------
    time_limit
        How many seconds an answer may take.
    local
        What it is to check; by default installed ops, by name.
    """

    def __init__(self, time_limit: float = DEFAULT_TIME_LIMIT, local: LocalOp | None = None) -> None:
        if not 0 < time_limit < MOST_SECONDS:
            raise og.ArgumentError(f"the time limit must be between 0 and {MOST_SECONDS:,} s, not {time_limit!r}")
        self.time_limit = time_limit
        self._local = local
        self._directory = tempfile.TemporaryDirectory(prefix="opgraph-check-", ignore_cleanup_errors=True)
        self._trace = os.path.join(self._directory.name, "trace")
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._requests: IO[bytes] | None = None
        self._process = 0
        self._wait: Callable[[], int] = lambda: 0
        self._closed = threading.Event()

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Return the worker's answer.

        Raises
        ------
        Lost
            Where it ended instead, or took too long.
        Closed
            Where it was closed meanwhile.
        """
        if self._requests is None:
            self._start()
        with contextlib.suppress(BrokenPipeError):
            self._send({"do": do, "seconds": self.time_limit, **request})
        try:
            answer = self._answer(self.time_limit + GRACE)
        except queue.Empty:
            self._kill()
            raise Lost(self._ending(None)) from None
        if self._closed.is_set():
            raise Closed
        if answer is None:
            raise Lost(self._ending(self._kill()))
        if "ended" in answer:
            if not has_fork():
                self._kill()
            raise Lost(self._ending(answer["ended"]))
        return answer

    def leave(self) -> None:
        """Have the op that is loaded dismissed, so that another can be."""
        if self._requests is not None:
            with contextlib.suppress(Lost, Closed):
                self.ask("close")

    def close(self) -> None:
        """End the process, whatever it is at; callable from any thread."""
        self._closed.set()
        self._kill()
        self._directory.cleanup()

    def _send(self, request: dict[str, Any]) -> None:
        if self._requests is not None:
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()

    def _answer(self, seconds: float) -> dict[str, Any] | None:
        """Return the next line that is whole, None where the worker is gone."""
        until = time.monotonic() + seconds
        while line := self._lines.get(timeout=max(0.0, until - time.monotonic())):
            try:
                answer: dict[str, Any] = json.loads(line)
                return answer
            except ValueError:
                continue  # it was ended in the middle of a line
        return None

    def _start(self) -> None:
        if self._closed.is_set():
            raise Closed
        self._lines = queue.Queue()
        answers = self._fork(self._local) if self._local is not None else self._spawn()
        threading.Thread(target=_read, args=(answers, self._lines), daemon=True).start()

    def _spawn(self) -> IO[bytes]:
        """Start a new Python; return where its answers come from."""
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "opgraph.testing.worker", self._trace],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
            start_new_session=True,  # Ctrl-C is ours, and its children go with it
        )
        assert process.stdin is not None
        assert process.stdout is not None
        self._requests = process.stdin
        self._process, self._wait = process.pid, process.wait
        return process.stdout

    def _fork(self, local: LocalOp) -> IO[bytes]:
        """Start a copy of this process; return where its answers come from."""
        from opgraph.testing import worker  # not at the top: it is run as a program, too

        (requested, requests), (answered, answers) = os.pipe(), os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # other threads are not needed in the copy
            process = os.fork()
        if process == 0:
            try:
                os.setsid()
                for theirs in (requests, answered):
                    os.close(theirs)
                keep_output()
                channel = Channel(requested, answers)
                worker.serve(channel, self._trace, lambda name: (local.op_class, local.samples))
            finally:
                os._exit(0)
        for its in (requested, answers):
            os.close(its)
        self._requests = open(requests, "wb")  # noqa: SIM115  closed in `_kill`
        self._process, self._wait = process, lambda: os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        return open(answered, "rb")

    def _kill(self) -> int:
        """End the process and those it started, if it runs; return its exit code, or the signal, negative."""
        requests, self._requests = self._requests, None
        if requests is None:
            return 0
        with contextlib.suppress(OSError):
            requests.close()
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process, signal.SIGKILL)
        else:
            os.kill(self._process, signal.SIGTERM)
        return self._wait()

    def _ending(self, code: int | None) -> str:
        """Return how the process ended: what it was at, how, and where."""
        try:
            with open(self._trace, errors="replace") as file:
                dump = file.read()
        except OSError:
            dump = ""
        method, where = watch.method_in_dump(dump)
        if code is None or dump.startswith("Timeout"):
            how = f"ran for more than {self.time_limit:g} s"
        elif code < 0:
            how = f"crashed the process: {signal.strsignal(-code)}" + (" (out of memory?)" if code == -9 else "")
        else:
            how = f"ended the process with exit code {code}"
        return f"{method or 'it'} {how}{where}"


def _read(answers: IO[bytes], lines: "queue.Queue[bytes]") -> None:
    """Pass on lines until there are no more, which an empty one tells."""
    with answers:
        for line in answers:
            lines.put(line)
    lines.put(b"")


class Supervised:
    """One op in a worker process: what there is to check, and what each check finds, whatever the op does.

    Parameters
    ----------
    op
        The name of an installed op, or the one that `worker` was made for.
    worker
        Who checks it.
    settings
        How to check it.
    """

    def __init__(self, op: str | LocalOp, worker: Worker, settings: Settings) -> None:
        self._op_class = op.op_class if isinstance(op, LocalOp) else None
        self.name = op.op_class.name if isinstance(op, LocalOp) else op
        self.composed = False  # a function of other ops, with nothing of its own to check
        self.invalid: list[str] = []  # the names of the samples that must be refused, once the units are known
        self._worker = worker
        self._settings = settings
        self._sampled = True
        self._open = False
        self._lost = 0
        self._known: dict[Unit, Result] = {}

    def units(self) -> list[Unit]:
        """Return everything there is to check, in the order in which it is done."""
        try:
            loaded = self._load()
        except Lost as lost:
            self._failed(Unit(LOAD), str(lost))
            loaded = False
        for self._sampled in (True, False) if loaded else ():
            try:
                units = self._list() if self._open else self._load() and self._list()
                return [*self._known, *(unit for unit in units or () if unit not in self._known)]
            except Lost as lost:
                self._failed(Unit(SAMPLES), str(lost))
        return list(self._known)

    def run(self, unit: Unit) -> Result:
        """Return what a check finds, if only that the op has ended the worker."""
        if unit in self._known:
            return self._known[unit]
        if self._lost >= MOST_LOST:
            return self._failed(unit, f"not run, since the op had to be started anew {MOST_LOST} times", lost=True)
        start = time.perf_counter()
        try:
            if not self._open:
                if not self._load():
                    return self._failed(unit, "not run, since the op cannot be loaded any more", lost=True)
                self._list()
            return Result(**self._ask("run", unit=unit)["result"])
        except Lost as lost:
            self._lost += 1
            return self._failed(unit, str(lost), time.perf_counter() - start, lost=True)

    def close(self) -> None:
        """Have the worker forget the op."""
        if self._open:
            self._worker.leave()
            self._open = False

    def _load(self) -> bool:
        """Have the worker load the op; return whether there is one."""
        answer = self._ask("load", op=self.name)
        self._open = True  # even where there is none: the worker waits to be told to leave
        self.composed = "composed" in answer
        for said in ["cannot be loaded: " + answer["failed"]] if "failed" in answer else answer.get("printed", ()):
            self._failed(Unit(LOAD), said)
        return "loaded" in answer

    def _list(self) -> list[Unit]:
        settings = dataclasses.asdict(self._settings)
        answer = self._ask("list", settings=settings, sampled=self._sampled)
        self.invalid = answer["invalid"]
        return [Unit(*u) for u in answer["units"]]

    def _ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Return the worker's answer; once it is lost, nobody has the op loaded."""
        try:
            return self._worker.ask(do, **request)
        except Lost:
            self._open = False
            raise

    def _failed(self, unit: Unit, detail: str, seconds: float = 0.0, **data: Any) -> Result:
        """Return, and remember, that a unit failed before there could be a result."""
        result = Result(self.name, unit.check, unit.sample, "fail", detail, data, seconds)
        self._known[unit] = finished(result, self._op_class, self._settings)
        return self._known[unit]


def checked(
    op: str | LocalOp,
    settings: Settings,
    time_limit: float = DEFAULT_TIME_LIMIT,
    started: Worker | None = None,
    sample: str | None = None,
) -> Iterator[Result]:
    """Yield what each check finds on an op, in a worker process.

    Parameters
    ----------
    op
        The name of an installed op, or one of this process.
    settings
        How to check it.
    time_limit
        How many seconds one check may take on one sample.
    started
        A worker to use, for names; by default one for this op alone.
    sample
        The only one to look at.
    """
    if isinstance(op, str) and op not in og.registry.installed():
        op = LocalOp(og.registry.get(op))
    mine = Worker(time_limit, op if isinstance(op, LocalOp) else None)
    worker = mine if started is None or isinstance(op, LocalOp) else started
    supervised = Supervised(op, worker, settings)
    try:
        units = supervised.units()
        if sample is not None and not supervised.composed:
            named = list(dict.fromkeys(unit.sample for unit in units if unit.sample))
            # without any, what is of interest is why
            units = [u for u in units if (u.sample == sample if named else u.check in (LOAD, SAMPLES))]
            if not units:
                missing = f"no {'valid ' * (sample in supervised.invalid)}sample is called {sample!r}"
                data = {"samples": named, "invalid": supervised.invalid}
                yield Result(supervised.name, SAMPLES, sample, "not applicable", missing, data)
        yield from map(supervised.run, units)
        supervised.close()
    finally:
        mine.close()


def checked_all(
    names: Sequence[str],
    settings: Settings,
    time_limit: float = DEFAULT_TIME_LIMIT,
    jobs: int = 2,
    sample: str | None = None,
    starting: Callable[[str], None] = lambda name: None,
) -> Generator[tuple[str, list[Result]], None, None]:
    """Yield the results of each op, in the order of `names`, from several workers; closed early, it ends them."""
    free: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    workers = [Worker(time_limit) for _ in range(jobs)]
    for each in workers:
        free.put(each)

    def check(name: str) -> list[Result]:
        mine = free.get()
        try:
            starting(name)
            return list(checked(name, settings, time_limit, mine, sample))
        finally:
            free.put(mine)

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        try:
            for name, future in [(name, pool.submit(check, name)) for name in names]:
                yield name, future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for each in workers:
                each.close()
