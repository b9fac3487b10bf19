"""What a function allocates, counted."""

import gc
import tracemalloc
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import numpy as np


def transient_bytes(function: Callable[[], Any], calls: int = 4) -> int:
    """Return how many bytes more than before are in use at the peak of a call; the least of several calls.

    The least, since something else may allocate meanwhile. NumPy's own buffers, of at most 8192 elements where it
    walks arrays of different layouts, are made as small as it lets them be.
    """
    found = []
    size = np.setbufsize(16)
    try:
        with _tracing():
            for _ in range(calls):
                tracemalloc.reset_peak()
                before, _ = tracemalloc.get_traced_memory()
                function()
                found.append(tracemalloc.get_traced_memory()[1] - before)
    finally:
        np.setbufsize(size)
    return min(found)


def left_behind(function: Callable[[], Any], calls: int) -> tuple[int, int]:
    """Return how many more bytes are in use after `calls`, and how many objects are left to the garbage collector."""
    with _tracing():
        function()
        gc.collect()  # which also empties the interpreter's lists of objects to use again
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(calls):
            function()
        unreachable = gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    return after - before, unreachable


@contextmanager
def _tracing():
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()
        gc.enable()
