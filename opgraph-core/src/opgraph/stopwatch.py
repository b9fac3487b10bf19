"""How long a run takes, and what in it, for those who want to know."""

import functools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeAlias

Call: TypeAlias = Callable[[], object]

clock = time.perf_counter_ns


class Watcher(Protocol):
    """Who wants to know how long runs take."""

    def begin(self, executable: Any, plan: Any) -> None:
        """Learn what is about to run; may raise, since nothing has run yet."""

    def end(self, plan: Any, stopwatch: "Stopwatch") -> None:
        """Learn how long it took, or what took how long until it failed."""

    def spent(self, what: str, began: int, ended: int) -> None:
        """Learn how long something took that belongs to no plan."""


class Stopwatch:
    """Notes when what began and ended in one run.

    Attributes
    ----------
    timings
        In the order in which they ended: what was timed, when it began and ended by `clock`, and in which thread.
    stamps
        For each thread that wrote variables in place, the numbers of the blocks, each before the times at which
        its calls began, with the thread; after them the time at which the last one ended.
    began, ready, returned, ended
        When the run asked for its plan, when it had it, when the values were there, None where it failed before, and
        when all was over. The first two leave out what the watchers took in between.
    """

    def __init__(self, watchers: Sequence[Watcher]) -> None:
        self.watchers = tuple(watchers)
        self.timings: list[tuple[Any, int, int, int]] = []
        self.stamps: list[list[Any]] = []
        self.thread = threading.get_ident()
        self.began = self.ready = self.ended = clock()
        self.returned: int | None = None

    def start(self, executable: Any, plan: Any) -> None:
        """Note that the plan is there, and tell the watchers."""
        compiled = clock() - self.began
        for watcher in self.watchers:
            watcher.begin(executable, plan)
        self.ready = clock()
        self.began = self.ready - compiled

    def note(self, what: object, began: int) -> None:
        """Note that something ended that this thread began then."""
        self.timings.append((what, began, clock(), threading.get_ident()))

    def stamped(self, workers: Sequence[Sequence[Sequence[Call]]]) -> list[list[list[Call]]]:
        """Return the calls of each block of each worker with others in between that note the time.

        These are written in C like those that they stand between, so that no signal handler runs there.
        """
        found = []
        for blocks in workers:
            notes: list[Any] = []
            times = map(notes.append, zip(iter(clock, None), iter(threading.get_ident, None), strict=False))
            stamp = functools.partial(next, times)
            found.append(
                [
                    [functools.partial(notes.append, at), stamp, *(each for call in calls for each in (call, stamp))]
                    for at, calls in enumerate(blocks)
                ]
            )
            self.stamps.append(notes)
        return found

    def stop(self, plan: Any) -> None:
        """Note that the run is over, and tell the watchers."""
        self.ended = clock()
        for watcher in self.watchers:
            watcher.end(plan, self)


@contextmanager
def spending(watchers: Sequence[Watcher], what: str) -> Iterator[None]:
    """Tell `watchers` how long a ``with`` takes."""
    began = clock()
    try:
        yield
    finally:
        ended = clock()
        for watcher in tuple(watchers):
            watcher.spent(what, began, ended)
