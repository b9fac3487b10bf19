"""What a program leaves behind: memory, and time as graphs grow."""

import contextlib
import gc
import sys
import tracemalloc
import weakref

import numpy as np
import pytest

import opgraph as og


def rebuild(rt, v, data):
    x = og.placeholder((None, 50), name="x")
    h = og.tanh(x @ og.constant(np.ones((50, 50), np.float32)) + v)
    loss = og.reduce_mean(h * h)
    key = og.random_key()
    gradient = og.grad(loss, v)
    loss.graph.add_update(v, v - 0.1 * gradient, when=loss)
    rt.run([loss, gradient, key], {x: data})
    return loss, gradient


def test_a_hundred_rebuilt_graphs_leave_memory_flat():
    rt = og.RunTime(seed=0)
    v = og.Variable(np.zeros(50, np.float32), name="v")
    data = np.ones((20, 50), np.float32)
    sizes = []
    tracemalloc.start()
    try:
        for i in range(120):
            rebuild(rt, v, data)
            if i % 50 == 19:
                gc.collect()
                sizes.append(tracemalloc.get_traced_memory()[0])
        held = rebuild(rt, v, data)
        one_graph = tracemalloc.get_traced_memory()[0] - sizes[-1]
    finally:
        tracemalloc.stop()
    assert held is not None
    assert sizes[-1] - sizes[0] < one_graph


def test_a_dropped_graph_is_freed_without_the_garbage_collector():
    x = og.placeholder((1000, 100), name="x")
    rt = og.RunTime()
    rt.run(og.exp(x) * 2.0, {x: np.ones((1000, 100))})
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(10):
            rt.run(og.exp(x) * og.constant(np.ones((1000, 100))), {x: np.ones((1000, 100))})
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    # the program of the last fetch waits for the next one: a constant of 0.8 MB and buffers of 2 MB
    assert held < 3_000_000


@pytest.mark.parametrize("fetch", ["v", "v first", "x first"])
def test_a_run_time_keeps_no_graph_alive(fetch):
    rt = og.RunTime()
    graphs = []
    for _ in range(5):
        with og.Graph().as_default_graph() as graph:
            v, x = og.Variable(np.ones(3)), og.placeholder((3,), dtype=np.float64)
            y = v * x
            rt.run({"v": v, "v first": [v, y], "x first": [x, y]}[fetch], {x: np.ones(3)})
        graphs.append(weakref.ref(graph))
        del graph, v, x, y
    gc.collect()
    assert [ref() for ref in graphs] == [None] * 5


@pytest.mark.untraced
def test_a_chain_of_50_000_calls_builds_differentiates_and_runs():
    n = 50_000
    x = og.placeholder((), dtype=np.float64)
    y = x
    for _ in range(n // 2):
        y = og.tanh(y) * 1.01
    value, slope = og.RunTime().run([y, og.grad(y, x)], {x: 0.5})
    expected, expected_slope = 0.5, 1.0
    for _ in range(n // 2):
        t = np.tanh(expected)
        expected, expected_slope = t * 1.01, expected_slope * (1 - t * t) * 1.01
    np.testing.assert_allclose([value, slope], [expected, expected_slope], rtol=1e-9, atol=1e-300)


def calls_made(n):
    """Return how many Python functions are called to build, differentiate, compile and run a chain."""
    count = 0

    def profile(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    with og.Graph().as_default_graph():
        x = og.placeholder((), dtype=np.float64)
        sys.setprofile(profile)
        try:
            y = x
            for _ in range(n):
                y = og.tanh(y) * 1.01
            og.RunTime().compile([x], [y, og.grad(y, x)])(0.5)
        finally:
            sys.setprofile(None)
    return count


def test_work_grows_with_the_graph_and_no_faster():
    calls_made(10)
    assert calls_made(2_000) <= 10.1 * calls_made(200)


def test_a_node_whose_compilation_failed_goes_without_a_complaint(monkeypatch):
    complaints = []
    monkeypatch.setattr("sys.unraisablehook", complaints.append)
    gc.disable()
    try:
        rt, x = og.RunTime(), og.constant(1.0)
        rt.run(x)
        y = x * 2.0
        with monkeypatch.context() as patched:
            patched.setattr("opgraph.runtime.Executable.of", lambda *_: 1 / 0)
            with contextlib.suppress(ZeroDivisionError):
                rt.run(y)
        del y
    finally:
        gc.enable()
    assert complaints == []


def test_garbage_collection_goes_on_after_compiling_and_is_left_off_where_it_was():
    x = og.placeholder((), np.float64)
    y = og.exp(x)
    for enabled in (True, False):
        (gc.enable if enabled else gc.disable)()
        try:
            og.RunTime().run([y, og.grad(y, x)], {x: 1.0})
            with pytest.raises(og.OpgraphError):
                og.RunTime().compile([x], [y, og.placeholder((), name="other")])
            assert gc.isenabled() is enabled
        finally:
            gc.enable()
