"""Garbage collection, put off while much is made at once that all stays."""

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from opgraph.locks import new_lock

_lock = new_lock()
_holders: set[int] = set()  # threads: what an interrupt may leave of one goes with its next pause
_was_enabled = False


@contextmanager
def collection_paused() -> Iterator[None]:
    """Have Python collect no cycles within a ``with``, in any thread; what is referred to no more goes as ever.

    A graph or plan of many thousand objects, none of them garbage, is looked through again and again while it
    is made, which takes as long as making it.
    """
    holder = threading.get_ident()
    try:
        _hold(holder)
        yield
    finally:
        try:
            _release(holder)
        except BaseException:  # a signal may interrupt
            _release(holder)
            raise


def _hold(holder: int) -> None:
    global _was_enabled
    with _lock:
        if not _holders:
            _was_enabled = gc.isenabled()
        _holders.add(holder)
        gc.disable()


def _release(holder: int) -> None:
    with _lock:
        # enabled first: a signal handler that compiles something in between finds it as it was
        if _was_enabled and _holders <= {holder}:
            gc.enable()
        _holders.discard(holder)


def _after_fork() -> None:
    """Forget the pauses of threads that are not there any more."""
    gone = _holders - {threading.get_ident()}
    _holders.difference_update(gone)
    if gone and not _holders and _was_enabled:
        gc.enable()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
