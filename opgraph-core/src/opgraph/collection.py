"""Garbage collection, put off while much is made at once that all stays."""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_holders: set[object] = set()
_was_enabled = False


@contextmanager
def collection_paused() -> Iterator[None]:
    """Have Python collect no cycles within a ``with``, in any thread; what is referred to no more goes as ever.

    A graph or plan of many thousand objects, none of them garbage, is looked through again and again while it
    is made, which takes as long as making it.
    """
    holder = object()
    try:
        _hold(holder)
        yield
    finally:
        _release(holder)


def _hold(holder: object) -> None:
    global _was_enabled
    with _lock:
        if not _holders:
            _was_enabled = gc.isenabled()
        _holders.add(holder)
        gc.disable()


def _release(holder: object) -> None:
    with _lock:
        _holders.discard(holder)
        if not _holders and _was_enabled:
            gc.enable()
