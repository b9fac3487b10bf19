"""Garbage collection is put off while a graph is compiled, and goes on after, whatever comes in between."""

import gc
import signal
import threading
import types

import numpy as np
import pytest

import opgraph as og
from opgraph import collection


def doubled(n):
    with og.Graph().as_default_graph():
        return og.RunTime(threads=1).run(og.constant(np.ones(n)) * 2).tolist()


class Interrupted:
    """A lock at which an interrupt arrives when it is taken for the n-th time."""

    def __init__(self, n):
        self.left = n
        self.lock = threading.RLock()

    def __enter__(self):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        self.lock.acquire()

    def __exit__(self, *_):
        self.lock.release()


@pytest.mark.parametrize("n", [1, 2])
def test_an_interrupt_while_compiling_leaves_collection_on(monkeypatch, n):
    assert gc.isenabled()
    monkeypatch.setattr(collection, "_lock", Interrupted(n))
    with pytest.raises(KeyboardInterrupt):
        doubled(3)
    assert gc.isenabled()
    assert doubled(4) == [2.0] * 4
    assert gc.isenabled()


def test_what_an_interrupt_leaves_behind_goes_with_the_next_pause():
    with collection.collection_paused():
        assert not gc.isenabled()
    collection._hold(threading.get_ident())
    assert not gc.isenabled()
    doubled(5)
    assert gc.isenabled()


def test_pauses_in_several_threads_end_with_the_last():
    entered, leave = threading.Event(), threading.Event()

    def other():
        with collection.collection_paused():
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=other)
    thread.start()
    assert entered.wait(60)
    with collection.collection_paused():
        pass
    assert not gc.isenabled()
    leave.set()
    thread.join()
    assert gc.isenabled()


@pytest.mark.parametrize("when", ["disable", "enable"])
def test_a_signal_handler_may_compile_while_collection_is_put_off(monkeypatch, when):
    found = []
    before = signal.signal(signal.SIGINT, lambda *_: found.append(doubled(3)))

    def signalled(name):
        def call():
            getattr(gc, name)()
            if name == when and not found:
                found.append("handler")
                signal.raise_signal(signal.SIGINT)

        return call

    stand_in = types.SimpleNamespace(isenabled=gc.isenabled, disable=signalled("disable"), enable=signalled("enable"))
    monkeypatch.setattr(collection, "gc", stand_in)
    try:
        assert doubled(4) == [2.0] * 4
    finally:
        signal.signal(signal.SIGINT, before)
    assert found == ["handler", [2.0] * 3]
    assert gc.isenabled()
