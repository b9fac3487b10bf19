"""Graphs of one structure share what it was compiled to: what counts as one, whose lines errors name, what is kept."""

import gc
import threading
import tracemalloc
import weakref
from dataclasses import replace

import numpy as np
import pytest
from random_graphs import RandomGraph, seeds

import opgraph as og
from opgraph.compiled import StructureKey
from opgraph.passes import GRAPH_PASSES
from opgraph.passes.lower import lower
from opgraph.recent import Alive, Recent

DATA = np.arange(6.0).reshape(2, 3)


class Raises(og.Elementwise, name="test.raises"):
    """A kernel that fails where an element is negative."""

    def compute(self, ins, outs):
        if (ins[0] < 0).any():
            raise ValueError("negative")
        np.copyto(outs[0], ins[0])


def fetched(rt, build, data=DATA):
    """Return a function that builds a graph anew, of one placeholder, and runs it."""

    def run():
        x = og.placeholder((None, 3), np.float64)
        return rt.run(build(x), {x: data})

    return run


def test_a_graph_that_is_built_again_is_not_compiled_again():
    rt, w = og.RunTime(), og.Variable(np.ones((3, 2)), name="w")

    def step():
        x = og.placeholder((None, 3), np.float64)
        loss = og.reduce_sum(og.square(x @ w + 0.5))
        return rt.run([loss, og.grad(loss, w)], {x: DATA})

    results = [step() for _ in range(4)]
    w.set_val(np.zeros((3, 2)))
    changed = step()
    info = rt.cache_info()
    assert (info.misses, info.hits, info.structures) == (1, 4, 1)
    assert (info.plan_misses, info.plan_hits, info.plans) == (1, 4, 1)
    y = DATA @ np.ones((3, 2)) + 0.5
    for loss, gradient in results:
        np.testing.assert_allclose(loss, (y**2).sum())
        np.testing.assert_allclose(gradient, DATA.T @ (2 * y))
    np.testing.assert_allclose(changed[0], 4 * 0.25)


def test_graphs_of_two_graph_objects_share_a_structure_without_variables():
    rt = og.RunTime()
    results = []
    for _ in range(3):
        with og.Graph().as_default_graph():
            results.append(fetched(rt, lambda x: og.exp(x) * 2.0)())
    assert rt.cache_info().misses == 1
    for result in results:
        np.testing.assert_array_equal(result, np.exp(DATA) * 2.0)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lambda x: x * 2.0, lambda x: x * 3.0),
        (lambda x: x * 0.0, lambda x: x * -0.0),
        (lambda x: og.sin(x), lambda x: og.cos(x)),
        (lambda x: og.clip(x, 0.0, 1.0), lambda x: og.clip(x, 0.0, 2.0)),
        (lambda x: og.reduce_sum(x, axis=0), lambda x: og.reduce_sum(x, axis=1)),
        (lambda x: x - x * x, lambda x: x * x - x),
        (lambda x: [x + 1.0, x + 2.0], lambda x: [x + 2.0, x + 1.0]),
        (lambda x: og.cast(x, np.float32), lambda x: og.cast(x, np.int64)),
        (lambda x: x + np.ones(3), lambda x: x + np.ones((1, 3))),
        (lambda x: x + np.zeros((2, 1)), lambda x: x + og.constant(np.zeros((2, 1), np.float32))),
        (lambda x: og.random_normal((3,)) + x, lambda x: og.random_normal((3,), stddev=2.0) + x),
    ],
)
def test_graphs_that_compute_something_else_are_compiled_apart(first, second):
    rt, alone = og.RunTime(seed=0), og.RunTime(seed=0)
    fetched(rt, first)()
    rt.reset(step=0)
    results = []
    for runtime in (rt, alone):
        with og.Graph().as_default_graph():
            results.append(fetched(runtime, second)())
    np.testing.assert_array_equal(*results)
    assert rt.cache_info().misses == 2


def test_large_constants_are_part_of_a_run_and_not_of_the_structure():
    rt = og.RunTime()
    for level in (1.0, 2.0):
        large = np.full((200, 300), level)
        x = og.placeholder((200, 300), np.float64)
        np.testing.assert_array_equal(rt.run(x * og.constant(large), {x: large}), large**2)
    assert rt.cache_info().misses == 1


def test_large_constants_are_bound_for_the_graph_that_was_compiled_and_handed_over_by_those_like_it():
    rt, x = og.RunTime(), og.placeholder((200, 300), np.float64)
    data = np.ones((200, 300))

    def program(level):
        return rt.compile([x], [x * og.constant(np.full((200, 300), level))])

    first = program(2.0)
    first(data)
    (plan,) = first._executable._plans.values()
    assert len(plan.structure.constants) == 1
    others = [program(level) for level in (3.0, 4.0)]
    for level, each in zip((2.0, 3.0, 4.0, 2.0), [first, *others, first], strict=True):
        assert (each(data)[0] == level).all()
    assert (rt.cache_info().misses, rt.cache_info().plans) == (1, 2)
    kept = rt.cache_info().nbytes
    del first, plan, each
    assert rt.cache_info().plans == 1
    assert rt.cache_info().nbytes < kept - data.nbytes
    assert (program(5.0)(data)[0] == 5.0).all()
    assert rt.cache_info().plan_misses == 2
    rt.clear_cache()
    assert (others[0](data)[0] == 3.0).all()


def test_a_large_constant_may_hold_what_is_not_finite_where_a_run_checks():
    large = np.full((200, 300), -np.inf)
    x = og.placeholder((200, 300), np.float64)
    found = og.RunTime(check_finite=True).run(og.maximum(x, og.constant(large)), {x: np.zeros((200, 300))})
    assert (found == 0).all()


def test_a_variable_is_part_of_the_structure_by_its_memory_and_not_by_its_name():
    rt = og.RunTime()
    v, w = og.Variable(np.ones(3), name="v"), og.Variable(np.zeros(3), name="w")
    assert rt.run(v * 2.0).tolist() == [2, 2, 2]
    assert rt.run(w * 2.0).tolist() == [0, 0, 0]
    assert rt.run(v * 2.0).tolist() == [2, 2, 2]
    assert rt.cache_info().misses == 2


def test_updates_are_part_of_the_structure():
    rt, count = og.RunTime(), og.Variable(np.array(0), name="count")

    def step(amount):
        x = og.placeholder((), np.float64)
        y = x * 2.0
        if amount:
            count.graph.add_update(count, count + amount, when=y)
        return rt.run(y, {x: 1.0})

    for amount in (1, 0, 5, 1, 0, 5):
        step(amount)
    assert count.val == 12
    assert rt.cache_info().misses == 3


def test_keys_of_a_graph_built_again_draw_their_own_numbers():
    rt = og.RunTime(seed=3)

    def build():
        a, b = og.random_normal((4,)), og.random_normal((4,))
        return [a, b]

    rounds = []
    for _ in range(2):
        with og.Graph().as_default_graph():
            build()  # so that streams differ from those of a graph of its own
            nodes = build()
            rt.reset(step=0)
            shared = rt.run(nodes)
            for array, alone in zip(shared, og.RunTime(seed=3).run(nodes), strict=True):
                np.testing.assert_array_equal(array, alone)
            rounds.append(shared)
            rt.reset(step=0)
            other = rt.run(build())
        assert not np.array_equal(shared[0], shared[1])
        assert not np.array_equal(shared[0], other[0])
    np.testing.assert_array_equal(*rounds)
    assert rt.cache_info().misses == 1


def test_one_key_read_twice_is_not_two_keys():
    rt = og.RunTime(seed=0)

    def ratio(same):
        first = og.random_uniform((3,))
        second = first if same else og.random_uniform((3,))
        return rt.run(og.stack([first * 1.0, second * 2.0]))

    for same in (True, False, True, False):
        a, b = ratio(same)
        assert np.array_equal(a * 2, b) == same
    assert rt.cache_info().misses == 2


def test_recomputation_is_part_of_the_structure():
    rt = og.RunTime()

    def gradient(function):
        x = og.placeholder((3,), np.float64)
        y = og.reduce_sum(og.exp(function(og.exp(x)) * 0.1))
        return rt.run(og.grad(y, x), {x: np.ones(3)})

    plain = gradient(og.tanh)
    np.testing.assert_array_equal(gradient(og.checkpoint(og.tanh)), plain)
    assert rt.cache_info().misses == 2
    gradient(og.checkpoint(og.tanh))
    assert rt.cache_info().misses == 2


def test_an_error_names_the_nodes_and_the_line_of_the_graph_that_is_run():
    rt = og.RunTime()

    def at_first(x):
        return og.apply(Raises(), x * 2.0)

    def at_second(x):
        with og.name_scope("later"):
            return og.apply(Raises(), x * 2.0)  # this line

    fetched(rt, at_first)()
    with pytest.raises(og.KernelError) as caught:
        fetched(rt, at_second, -DATA)()
    assert rt.cache_info().misses == 1
    assert "multiply 'later/multiply'" in str(caught.value)
    assert "# this line" in str(caught.value)
    with pytest.raises(og.KernelError, match=r"multiply 'multiply_1'.*\n.*Raises\(\), x \* 2.0\)$"):
        fetched(rt, at_first, -DATA)()


def test_an_error_of_shapes_names_the_line_of_the_graph_that_is_run():
    rt = og.RunTime()

    def build(name):
        x, y = og.placeholder((None,), name=name), og.placeholder((None,))
        return x, y, x + y

    x, y, z = build("x")
    rt.run(z, {x: [1, 2], y: [3, 4]})
    x, y, z = build("other")
    with pytest.raises(og.ShapeError, match="placeholder 'other' "):
        rt.run(z, {x: [1, 2], y: [3, 4, 5]})
    assert rt.cache_info().misses == 1


def test_a_value_that_is_not_finite_is_named_as_in_the_graph_that_is_run():
    rt = og.RunTime(check_finite=True)
    fetched(rt, og.log, DATA + 1.0)()
    with og.name_scope("second"), pytest.raises(og.NonFiniteError, match="'second/log' went infinite"):
        fetched(rt, og.log)()
    with og.name_scope("third"), pytest.raises(og.NonFiniteError, match="'third/placeholder' .* is already NaN"):
        fetched(rt, og.log, DATA * np.nan)()


def passed(structure):
    for graph_pass in GRAPH_PASSES.values():
        structure = graph_pass(structure)
    return structure


@pytest.mark.parametrize("seed", seeds()[::5])
def test_names_put_in_after_the_passes_are_those_put_in_before(seed):
    graph = RandomGraph(seed, exact=False)
    structure = lower(graph.fetches, graph.updates).structure
    steps = tuple([replace(step, name=f"{step.name} of another", source=None) for step in structure.steps])
    labels = {value: f"{label} of another" for value, label in structure.labels.items()}
    other = replace(structure, steps=steps, labels=labels)
    found, expected = passed(structure).named_by(other), passed(other)
    assert found.steps == expected.steps
    assert (found.labels, found.folded) == (expected.labels, expected.folded)


@pytest.mark.parametrize("seed", seeds()[::5])
def test_random_graphs_have_the_key_of_themselves_and_of_no_other(seed):
    def key(seed):
        graph = RandomGraph(seed, exact=False)
        return graph, StructureKey(lower(graph.fetches, graph.updates))

    (_, one), (graph, other) = key(seed), key(seed)
    assert one._parts == other._parts
    assert (one == other) == (not lower(graph.fetches, graph.updates).variables)  # which are others
    assert other == StructureKey(lower(graph.fetches, graph.updates))
    assert hash(other) == hash(StructureKey(lower(graph.fetches, graph.updates)))
    assert one._parts != key(seed + 1)[1]._parts
    assert other != StructureKey(lower(graph.fetches[1:], graph.updates))


def test_a_program_and_its_structure_go_by_the_names_of_its_own_graph():
    rt = og.RunTime()

    def program(name):
        x = og.placeholder((None, 3), name=name)
        return rt.compile([x], [og.exp(x * np.float32(2) * np.float32(3))])

    assert repr(program("a")) == "<Program (a) -> [exp]; calls: 3>"
    assert repr(program("b")) == "<Program (b) -> [exp_1]; calls: 3>"
    assert rt.cache_info().misses == 1


def test_programs_of_one_structure_share_plans_and_not_results():
    rt, w = og.RunTime(), og.Variable(np.ones(3), name="w")

    def program():
        x = og.placeholder((None, 3), np.float64)
        return rt.compile([x], [x * w], {w: w + 1.0})

    first, second = program(), program()
    (a,), (b,) = first(DATA), second(DATA)
    np.testing.assert_array_equal(a, DATA)
    np.testing.assert_array_equal(b, DATA * 2)
    assert rt.cache_info().plans == 1


def test_a_variable_that_nobody_uses_any_more_is_freed_with_the_plans_over_it():
    rt = og.RunTime()
    v = og.Variable(np.ones(200_000), name="v")
    rt.run(v * 2.0)
    assert rt.cache_info().nbytes > v.val.nbytes
    gc.collect()
    gc.disable()
    try:
        gone = weakref.ref(v.storage)
        del v
        assert gone() is None
        assert rt.cache_info().structures == rt.cache_info().nbytes == 0
    finally:
        gc.enable()


def test_a_new_variable_in_the_memory_of_one_that_is_gone_is_another_one():
    rt = og.RunTime()
    for i in range(50):
        v = og.Variable(np.full(3, float(i)))
        assert rt.run(v * 2.0).tolist() == [2.0 * i] * 3


def test_a_run_time_is_freed_with_what_it_compiled_without_the_garbage_collector():
    rt = og.RunTime()
    fetched(rt, lambda x: og.exp(x) * 2.0)()
    gone = weakref.ref(rt.compiler)
    gc.collect()
    gc.disable()
    try:
        del rt
        assert gone() is None
    finally:
        gc.enable()


def test_clearing_the_cache_lets_go_of_everything_and_programs_go_on():
    rt, x = og.RunTime(), og.placeholder((None, 3), np.float64)
    program = rt.compile([x], [og.exp(x)])
    program(DATA)
    fetched(rt, lambda x: x + 1.0)()
    rt.clear_cache()
    info = rt.cache_info()
    assert (info.structures, info.plans, info.hits, info.misses, info.plan_hits) == (0, 0, 0, 0, 0)
    np.testing.assert_array_equal(program(DATA)[0], np.exp(DATA))
    np.testing.assert_array_equal(fetched(rt, lambda x: x + 1.0)(), DATA + 1.0)
    assert rt.cache_info()[:6] == (0, 1, 1, 0, 2, 2)


def test_structures_are_bounded_in_number(monkeypatch):
    monkeypatch.setattr("opgraph.compiled.STRUCTURES_KEPT", 5)
    rt = og.RunTime()
    for i in range(20):
        fetched(rt, lambda x, i=i: x + float(i % 10))()
        fetched(rt, lambda x: x * 2.0)()  # always asked for lately
    info = rt.cache_info()
    assert info.structures == 5
    assert (info.hits, info.misses) == (19, 21)


def test_structures_are_bounded_in_bytes(monkeypatch):
    monkeypatch.setattr("opgraph.compiled.PLAN_CACHE_BYTES", 1_000_000)
    rt = og.RunTime()
    for i in range(10):
        x = og.placeholder((30_000,), np.float64)
        rt.run(og.exp(og.exp(x) + float(i)), {x: np.zeros(30_000)})
        assert rt.cache_info().nbytes < 1_000_000
    assert 1 <= rt.cache_info().plans < 10


def test_old_structures_go_where_they_take_half_of_the_bytes(monkeypatch):
    monkeypatch.setattr("opgraph.compiled.PLAN_CACHE_BYTES", 100_000)
    rt = og.RunTime(passes=())
    for i in range(10):
        fetched(rt, lambda x, i=i: x * og.constant(np.full(3000, float(i)))[:3])()
    assert rt.cache_info().structures == 1


def sorted_columns(i, n):
    """Return a program over about 1.6 MB for 200 rows."""
    x = og.placeholder((None, 1000), np.float64)
    return x, og.reduce_sum(og.tanh(og.sort(x, 0) * float(i)), 0), np.ones((n, 1000))


def test_plans_of_functions_and_of_fetches_that_are_remembered_are_bounded_in_bytes(monkeypatch):
    monkeypatch.setattr("opgraph.compiled.PLAN_CACHE_BYTES", 8 << 20)
    rt = og.RunTime(threads=1)
    traced = og.function(lambda x: og.reduce_sum(og.tanh(og.sort(x, 0) * 2.0), 0), runtime=rt)
    remembered = [sorted_columns(i, 200) for i in range(10)]
    for n, (x, y, data) in enumerate(remembered):
        assert traced(np.ones((200 + n, 1000))).shape == rt.run(y, {x: data}).shape == (1000,)
        assert rt.cache_info().nbytes <= 8 << 20
    info = rt.cache_info()
    assert (info.misses, info.plan_misses) == (20, 20)
    assert 2 <= info.plans < 10
    traced(np.ones((209, 1000)))
    rt.run(remembered[-1][1], {remembered[-1][0]: remembered[-1][2]})
    assert rt.cache_info().plan_misses == 20  # those that were used last are there
    traced(np.ones((200, 1000)))
    assert rt.cache_info().plan_misses == 21


def test_a_plan_that_a_thread_runs_may_go_and_is_used_to_the_end(monkeypatch):
    monkeypatch.setattr("opgraph.compiled.PLAN_CACHE_BYTES", 1 << 20)
    rt = og.RunTime(threads=1)
    entered, leave = threading.Event(), threading.Event()

    class Waits(og.Elementwise, name="test.waits"):
        def compute(self, ins, outs):
            entered.set()
            assert leave.wait(60)
            np.copyto(outs[0], ins[0])

    x = og.placeholder((None, 3), np.float64)
    slow, found = rt.compile([x], [og.apply(Waits(), x) * 2.0]), []
    thread = threading.Thread(target=lambda: found.extend(slow(DATA)))
    thread.start()
    assert entered.wait(60)
    for i in range(3):
        y, z, data = sorted_columns(i, 200)
        rt.run(z, {y: data})
    assert rt.cache_info().plans == 1
    leave.set()
    thread.join()
    np.testing.assert_array_equal(found[0], DATA * 2)


class Kept:
    """Something that may be referred to weakly."""


def test_what_is_kept_may_change_while_it_is_looked_at():
    alive, kept = Alive(), [Kept() for _ in range(5)]
    for each in kept:
        alive.add(each)
    seen = []
    for each in alive:
        seen.append(each)
        kept.append(Kept())
        alive.add(kept[-1])
        alive.add(kept[0])
    assert len(seen) == 5
    assert len(list(alive)) == 10
    del seen, each, kept[2:]
    assert list(alive) == kept
    recent = Recent()
    for i in range(5):
        recent.put(i, i)
    for i in recent.values():
        recent.put(i + 10, i)
        recent.pop(i)
    assert recent.keys() == [10, 11, 12, 13, 14]


@pytest.mark.untraced
def test_three_hundred_batch_sizes_take_bounded_memory(monkeypatch):
    monkeypatch.setattr("opgraph.compiled.PLAN_CACHE_BYTES", 2_000_000)
    w = og.Variable(np.ones((50, 50), np.float32), name="w")
    x = og.placeholder((None, 50))
    h = og.tanh(og.tanh(x @ w) @ w)
    loss = og.reduce_mean(og.square(h))
    program = og.RunTime().compile([x], [loss], {w: w - 0.1 * og.grad(loss, w)})
    sizes = []
    tracemalloc.start()
    try:
        for n in range(1, 301):
            program(np.ones((n, 50), np.float32))
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    # Python's table of strings, some megabytes after many tests, may be made anew meanwhile; 300 plans take 76 MB
    assert max(sizes) < 2 * 2_000_000 + 8_000_000
    assert np.isfinite(program(np.ones((7, 50), np.float32))[0])


def test_threads_that_build_one_structure_get_their_own_results():
    rt, w = og.RunTime(), og.Variable(np.ones((3, 2)), name="w")
    found, failures = {}, []

    def work(i):
        try:
            with w.graph.as_default_graph():
                for _ in range(10):
                    data = DATA + i
                    found[i] = fetched(rt, lambda x: og.exp((x @ w) * 0.01), data)()
                    np.testing.assert_allclose(found[i], np.exp((data @ np.ones((3, 2))) * 0.01))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(found) == list(range(6))
    assert rt.cache_info().structures == 1


class Odd(og.Elementwise, name="test.odd"):
    """A function whose gradient's kernel fails where an element is negative."""

    def compute(self, ins, outs):
        np.copyto(outs[0], ins[0])

    def vjp(self, ins, outs, cotangents):
        return (og.apply(Raises(), ins[0]) * cotangents[0],)


def nodes_made(function, *args):
    """Return how many nodes and calls `function` makes."""
    before = og.placeholder(()).serial
    function(*args)
    return og.placeholder(()).serial - before - 1


@pytest.fixture
def rt(graph):
    graph.set_runtime(og.RunTime(seed=0))
    return graph.get_runtime()


def product(w):
    x = og.placeholder((None, 3), np.float64, name="x")
    return x, og.reduce_sum(og.sin(x @ w))


def test_backward_builds_no_gradients_of_a_graph_like_one_before(rt):
    w = og.Variable(np.ones((3, 2)), name="w")
    made = []
    for data in (DATA, DATA + 1.0, DATA[:1]):
        x, y = product(w)
        made.append(nodes_made(y.backward, {x: data}))
        np.testing.assert_allclose(rt.get_bwval(w), data.T @ np.cos(data @ np.ones((3, 2))), rtol=1e-12)
        np.testing.assert_allclose(rt.get_bwval(x), np.cos(data @ np.ones((3, 2))) @ np.ones((2, 3)), rtol=1e-12)
        np.testing.assert_allclose(rt.get_fwval(y), np.sin(data @ np.ones((3, 2))).sum(), rtol=1e-12)
        assert rt.get_bwval(y) == 1.0
    assert made[0] > 0
    assert made[1:] == [0, 0]


def has_gradient(rt, node):
    try:
        rt.get_bwval(node)
    except og.GraphError:
        return False
    return True


def test_backward_of_a_graph_built_again_heeds_what_flows_in_and_where_to(rt):
    w = og.Variable(np.ones((3, 2)), name="w")

    def check(scale, chosen, stop):
        x, y = product(w)
        z = y * 1.0
        if stop:
            rt.stop_grad(x)
        z.backward({x: DATA}, bwval=scale, wrt={"w": w, "both": [w, y], "none": None}[chosen])
        np.testing.assert_allclose(rt.get_bwval(w), scale * (DATA.T @ np.cos(DATA @ np.ones((3, 2)))), rtol=1e-12)
        found = [has_gradient(rt, node) for node in (x, y, z)]
        rt.reset()
        return found

    for _ in range(2):
        assert check(2.0, "w", False) == [False, False, False]
        assert check(3.0, "both", False) == [False, True, False]
        assert check(4.0, "none", False) == [True, True, True]
    assert rt.cache_info().misses == 3


def test_an_error_in_gradients_that_were_not_built_names_the_line_of_the_graph_that_is_run(rt):
    def first(x):
        return og.reduce_sum(og.apply(Odd(), x))

    def second(x):
        return og.reduce_sum(og.apply(Odd(), x))  # this line

    for build in (first, second):
        x = og.placeholder((None, 3), np.float64, name=build.__name__)
        y = build(x)
        y.backward({x: DATA})
        known = rt.cache_info().misses
    assert known == 1
    with pytest.raises(og.KernelError) as caught:
        y.backward({x: -DATA})
    assert "placeholder 'second'" in str(caught.value)
    assert str(caught.value).endswith("# this line")
    assert rt.cache_info().misses == 1


def test_an_update_fires_once_in_forward_and_backward_of_each_graph_built_again(rt):
    count = og.Variable(np.array(0), name="count")
    for i in range(3):
        x = og.placeholder((None, 3), np.float64)
        y = og.reduce_sum(og.exp(x))
        y.graph.add_update(count, count + 1, when=y)
        feeds = {x: DATA}
        y.forward(feeds)
        y.backward(feeds)
        assert count.val == i + 1
        with rt.forward_backward_cycle():
            y.backward({x: DATA})
            y.forward({x: DATA})
        count.set_val(i + 1)


def test_backward_draws_the_numbers_of_the_graph_that_is_run(rt):
    def build():
        x = og.placeholder((5,), np.float64)
        mask = og.random_uniform((5,), dtype=np.float64)
        return x, mask, og.reduce_sum(x * mask)

    for _ in range(3):
        x, mask, y = build()
        with rt.forward_backward_cycle():
            y.backward({x: np.ones(5)})
            np.testing.assert_array_equal(rt.get_bwval(x), mask.forward())


def test_what_is_derived_keeps_no_graph_alive(rt):
    runtime = og.RunTime()
    graphs = []
    for _ in range(3):
        with og.Graph().as_default_graph() as graph:
            graph.set_runtime(runtime)
            w = og.Variable(np.ones((3, 2)))
            x, y = product(w)
            y.backward({x: DATA})
            runtime.reset()
        graphs.append(weakref.ref(graph))
        del graph, w, x, y
    gc.collect()
    assert [ref() for ref in graphs] == [None] * 3
    assert runtime.cache_info().structures == 0


def test_clearing_the_cache_forgets_what_was_derived(rt):
    w = og.Variable(np.ones((3, 2)), name="w")
    for _ in range(2):
        x, y = product(w)
        assert nodes_made(y.backward, {x: DATA}) > 0
        rt.clear_cache()


def test_compile_derived_asks_once_for_graphs_of_one_structure(rt):
    asked = []

    def double(nodes):
        asked.append(len(nodes))
        return [nodes[0] * 2.0, nodes[0]], {}, "note"

    for data in (DATA, DATA + 1):
        x = og.placeholder((None, 3), np.float64, name="x")
        y = og.exp(x)
        program, note = rt.compile_derived("double", [y], double)
        np.testing.assert_array_equal(program(data), [np.exp(data) * 2, np.exp(data)])
        program.feed({x: data})
        np.testing.assert_array_equal(rt.get_fwval(y), np.exp(data))
        assert note == "note"
    assert asked == [1]


def descending(rt, w, op=og.square):
    """Return a loss, and a program that takes a step down from it, found by the structure from the second time on."""

    def make(nodes):
        return [nodes[0]], {w: w - 0.1 * og.grad(nodes[0], w)}, None

    x = og.placeholder((None, 3), np.float64, name="x")
    loss = og.reduce_sum(op(og.identity(og.identity(x * w) * 1.0) * 1.0) * 1.0)
    return loss, rt.compile_derived("step", [loss], make)[0]


def test_a_derived_program_whose_nodes_are_gone_goes_by_the_names_that_are_known():
    rt, w = og.RunTime(), og.Variable(np.ones(3), name="w")
    first, second = (descending(rt, w, lambda x: og.apply(Odd(), x))[1] for _ in range(2))
    gc.collect()
    assert "updates w" in repr(first)
    assert repr(second) == repr(first).replace("(x)", "(x_1)")
    steps = [each.steps for each in first.explain((2, 3)).instructions]
    assert [each.steps for each in second.explain((2, 3)).instructions] == steps
    with pytest.raises(og.KernelError, match=r"^test.raises: its kernel raised .*\n.*\n.*test_structure_cache"):
        second(-DATA)
    with rt.profile() as profile:
        second(DATA)
    assert profile.runs == 1


def test_a_derived_program_keeps_the_names_that_it_had_when_its_graph_gets_updates():
    rt, w, n = og.RunTime(passes=()), og.Variable(np.ones(3), name="w"), og.Variable(np.zeros(()), name="n")
    _, first = descending(rt, w)
    loss, second = descending(rt, w)

    def steps(program):
        # names of the second graph's calls differ from those of the first one's in nothing but numbers
        return [name.rstrip("_0123456789") for i in program.explain((2, 3)).instructions for name in i.steps]

    before = steps(second)
    assert before == steps(first)
    og.sin(n)
    loss.graph.add_update(n, og.cos(n) + 1.0, when=loss)
    assert steps(second) == before


def test_compile_derived_refuses_what_is_no_node(rt):
    with pytest.raises(og.GraphError, match="compile_derived: nodes holds nodes, not 3"):
        rt.compile_derived("kind", [3], lambda nodes: ([], {}, None))
