"""Traces: what ran when, and in which thread, in the Trace Event Format of Chrome, which Perfetto reads."""

import json
import os
import threading

from opgraph.errors import FileError, user_source

EVENTS = 200_000  # that a trace holds


class Trace:
    """Events in the order in which they were noted, the first `EVENTS` of them."""

    def __init__(self) -> None:
        self._events: list[tuple[str, str, int, int, int, dict[str, object]]] = []
        self._left_out = 0
        self._threads: dict[int, str] = {}

    def note(self, name: str, category: str, began: int, ended: int, thread: int, said: dict[str, object]) -> None:
        """Add an event that began and ended at these nanoseconds, with what is `said` of it."""
        if len(self._events) < EVENTS:
            self._events.append((name, category, began, ended, thread, said))
        else:
            self._left_out += 1

    def name_threads(self) -> None:
        """Note the names of all threads that there are."""
        self._threads |= {thread.ident: thread.name for thread in threading.enumerate() if thread.ident is not None}

    def write(self, path: str | os.PathLike[str], origin: int) -> str:
        """Write the events to `path`, which is returned; their times count from `origin`.

        Raises
        ------
        FileError
            Where the file cannot be written.
        """
        self.name_threads()
        pid = os.getpid()
        seen = {thread for *_, thread, _ in self._events}
        events: list[dict[str, object]] = [
            {"name": "thread_name", "ph": "M", "pid": pid, "tid": thread, "args": {"name": name}}
            for thread, name in self._threads.items()
            if thread in seen
        ]
        events += [
            {
                "name": name,
                "cat": category,
                "ph": "X",
                "ts": (began - origin) / 1000,  # microseconds
                "dur": (ended - began) / 1000,
                "pid": pid,
                "tid": thread,
                "args": said,
            }
            for name, category, began, ended, thread, said in self._events
        ]
        trace = {"traceEvents": events, "displayTimeUnit": "ms", "otherData": {"events left out": self._left_out}}
        path = os.fspath(path)
        try:
            with open(path, "w", encoding="utf-8") as file:
                json.dump(trace, file)
        except OSError as error:
            detail = f"cannot write {path!r}: {error.strerror or error}"
            raise FileError(detail).located("to_chrome_trace", source=user_source()) from error
        return path
