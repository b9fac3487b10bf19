"""Locks that signal handlers may come back into, and that a forked process finds free."""

import os
import threading
from typing import Any

from opgraph.recent import Alive

_locks: Alive[Any] = Alive()


def new_lock() -> Any:
    """Return a reentrant lock; what another thread holds when the process forks, nobody does in the child."""
    lock = threading.RLock()
    _locks.add(lock)
    return lock


def _after_fork() -> None:
    """Free what threads held that are not there any more."""
    for lock in _locks:
        if not lock._is_owned():
            lock._at_fork_reinit()  # as the standard library does with its own


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
