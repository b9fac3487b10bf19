"""The feed-and-run interface: forward, backward, and the cycles that hold them together."""

import asyncio
import threading

import numpy as np
import pytest

import opgraph as og
import opgraph.cycle


@pytest.fixture
def rt(graph):
    rt = og.RunTime(seed=0)
    graph.set_runtime(rt)
    return rt


def adding():
    a, b = og.placeholder((2, 3), name="a"), og.placeholder((2, 3), name="b")
    return a, b, og.add(a, b)


def test_the_first_program_of_the_graph_runtime_framework(rt):
    a, b, c = adding()
    feed_dict = {a: [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], b: [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]}
    c_val = c.forward(feed_dict)
    c.backward(feed_dict, bwval=[[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    assert c_val.tolist() == [[1, 2, 3], [3, 4, 5]]
    assert rt.get_bwval(a.name).tolist() == [[1, 1, 1], [1, 1, 1]]
    assert rt.get_bwval(b.name).tolist() == [[1, 1, 1], [1, 1, 1]]
    assert rt.get_fwval(a.name).tolist() == feed_dict[a]
    assert rt.get_fwval(c.name).tolist() == c_val.tolist()


def test_backward_gives_gradients_of_everything_that_flows_in(rt):
    x = og.placeholder((2,), name="x", dtype=np.float64)
    w = og.Variable(np.array([2.0, 3.0]), name="w")
    h = x * w
    y = og.exp(h)
    at = np.array([0.5, -1.0])
    y.backward({x: at}, bwval=[1.0, 10.0])
    g = np.exp(at * [2, 3]) * [1, 10]
    np.testing.assert_allclose(rt.get_bwval(y.name), [1, 10])
    np.testing.assert_allclose(rt.get_bwval(h.name), g, rtol=1e-15)
    np.testing.assert_allclose(rt.get_bwval("x"), g * [2, 3], rtol=1e-15)
    np.testing.assert_allclose(rt.get_bwval("w"), g * at, rtol=1e-15)


def test_a_name_that_no_node_has_is_told(rt):
    a, b, c = adding()
    _, second = og.split(og.exp(a), (1, 2), axis=1)
    y = og.reduce_sum(c) + og.reduce_sum(second)
    y.backward({a: np.ones((2, 3)), b: np.zeros((2, 3))})
    for read, what in ((rt.get_bwval, "get_bwval"), (rt.get_fwval, "get_fwval")):
        with pytest.raises(
            og.GraphError, match=rf"^{what}: no node is named 'no_such_name' in the graph\n  at test_cycles"
        ):
            read("no_such_name")
    with pytest.raises(
        og.GraphError, match=r"^get_bwval: no node is named 'reduce_smu' in the graph; did you mean 'reduce_sum'\?"
    ):
        rt.get_bwval("reduce_smu")
    with pytest.raises(og.GraphError, match="no gradient of 'split' is remembered"):
        rt.get_bwval("split")
    assert rt.get_bwval("split:1").tolist() == [[1, 1], [1, 1]]


def test_backward_by_some_nodes_gives_theirs_alone_until_the_next(rt):
    a, b, c = adding()
    feeds = {a: np.ones((2, 3)), b: np.zeros((2, 3))}
    (c * c).backward(feeds, wrt=[a])
    assert rt.get_bwval("a").tolist() == [[2, 2, 2], [2, 2, 2]]
    with pytest.raises(og.GraphError, match=r"get_bwval: no gradient of 'b' is remembered") as caught:
        rt.get_bwval("b")
    assert "test_cycles.py" in str(caught.value)
    c.backward(feeds, wrt=b)
    with pytest.raises(og.GraphError, match="no gradient of 'a'"):
        rt.get_bwval("a")
    with pytest.raises(og.GradientError, match=r"backward: placeholder 'a' .* does not depend on placeholder 'b'"):
        a.backward(feeds, wrt=b)


def test_what_is_read_back_can_be_written_to_without_harm(rt):
    a, b, c = adding()
    feeds = {a: np.ones((2, 3)), b: np.zeros((2, 3))}
    c.forward(feeds)[...] = 7
    c.backward(feeds)
    rt.get_bwval("a")[...] = 7
    rt.get_fwval(c.name)[...] = 7
    assert rt.get_fwval(c.name).max() == rt.get_bwval("a").max() == 1


@pytest.mark.parametrize(
    ("bwval", "error", "message"),
    [
        (np.ones((3, 2)), og.ShapeError, r"feed of placeholder 'bwval of add' .*\(3, 2\) does not fit \(2, 3\)"),
        ("ones", og.DtypeError, "bwval of add"),
    ],
)
def test_a_bwval_that_does_not_fit_is_refused(rt, bwval, error, message):
    a, b, c = adding()
    with pytest.raises(error, match=message):
        c.backward({a: np.ones((2, 3)), b: np.zeros((2, 3))}, bwval)


def test_a_graph_without_a_run_time_gets_one():
    a, b, c = adding()
    c.backward({a: np.ones((2, 3)), b: np.zeros((2, 3))})
    assert c.graph.get_runtime().get_bwval("a").sum() == 6


def noisy(x):
    """x times random numbers, as an op that tells draws apart."""
    return og.apply(Noise(), x, og.random_key(graph=x.graph))


class Noise(og.Op, name="tests.cycle_noise"):
    """x * n with a random n."""

    inputs = ("x", "key")

    def infer(self, ins):
        return (ins[0],)

    def compute(self, ins, outs):
        np.multiply(ins[0], og.generator(ins[1]).normal(size=ins[0].shape), out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (og.apply(Noise(), cotangents[0], ins[1]), None)


def test_backward_continues_the_step_of_a_forward_with_the_same_feed_dict(rt):
    x = og.placeholder((40,), name="x")
    y = noisy(x)
    feed_dict = {x: np.ones(40)}
    value = y.forward(feed_dict)
    y.backward(feed_dict)
    np.testing.assert_array_equal(rt.get_bwval("x"), value)
    y.backward(dict(feed_dict))
    assert (rt.get_bwval("x") != value).any()
    assert (y.forward(feed_dict) != value).any()


def test_a_backward_that_continues_a_step_fires_no_update_again(rt):
    x = og.placeholder((), name="x")
    count = og.Variable(0.0, name="count", trainable=False)
    y = og.exp(x)
    y.graph.add_update(count, count + 1.0, when=y)
    feed_dict = {x: 1.0}
    y.forward(feed_dict)
    y.backward(feed_dict)
    assert count.val == 1
    y.backward({x: 1.0})
    assert count.val == 2


def test_a_cycle_is_one_step(rt):
    x = og.placeholder((40,), name="x")
    y = noisy(x)
    seen = []
    for _ in range(2):
        with rt.forward_backward_cycle():
            value = y.forward({x: np.ones(40)})
            (y * 2.0).backward({x: np.ones(40)})
            np.testing.assert_array_equal(rt.get_bwval("x"), 2 * value)
            seen.append(value)
    assert (seen[0] != seen[1]).any()
    with pytest.raises(og.GraphError, match="no gradient of 'x' is remembered: the cycle in which .* has ended"):
        rt.get_bwval("x")


def test_nodes_serve_as_well_as_names(rt):
    a, b, c = adding()
    (c * c).backward({a: np.ones((2, 3)), b: np.zeros((2, 3))})
    np.testing.assert_array_equal(rt.get_bwval(a), rt.get_bwval("a"))
    np.testing.assert_array_equal(rt.get_fwval(a), rt.get_fwval("a"))
    with og.Graph().as_default_graph():
        other = og.placeholder((2, 3), name="a")
    for get in (rt.get_bwval, rt.get_fwval):
        with pytest.raises(og.GraphError, match="placeholder 'a' .* is a node of another graph than what was run"):
            get(other)
        with pytest.raises(og.GraphError, match="takes a node or its name, not 3"):
            get(3)


def test_why_there_is_no_gradient(rt):
    a, b, c = adding()
    feeds = {a: np.ones((2, 3)), b: np.zeros((2, 3))}
    with pytest.raises(og.GraphError, match="no gradient of 'a' is remembered: backward was not called"):
        rt.get_bwval(a)
    with pytest.raises(
        og.GraphError, match="no value of 'c' is remembered: forward was not called for it, nor was it fed"
    ):
        rt.get_fwval("c")
    (c * c).backward(feeds, wrt=[a])
    with pytest.raises(
        og.GraphError, match="called for multiply .*, which it does not flow into, or which wrt left out"
    ):
        rt.get_bwval(b)
    rt.stop_grad(c)
    (c * c).backward(feeds)
    with pytest.raises(og.GraphError, match="which it does not flow into, or only through what stops gradients"):
        rt.get_bwval(b)


def test_updates_fire_once_at_the_end_of_a_cycle(rt):
    x = og.placeholder((), name="x")
    count = og.Variable(0.0, name="count", trainable=False)
    y = og.exp(x)
    y.graph.add_update(count, count + 1.0, when=y)
    with rt.forward_backward_cycle():
        y.forward({x: 1.0})
        y.backward({x: 1.0})
        (y * 2.0).forward()
        assert count.val == 0
    assert count.val == 1


def test_updates_of_a_cycle_that_fails_are_dropped(rt):
    x = og.placeholder((), name="x")
    count = og.Variable(0.0, name="count", trainable=False)
    y = og.exp(x)
    y.graph.add_update(count, count + 1.0, when=y)

    def failing():
        with rt.forward_backward_cycle():
            y.forward({x: 1.0})
            raise KeyError("of the user's")

    with pytest.raises(KeyError):
        failing()
    assert count.val == 0
    y.forward({x: 1.0})
    assert count.val == 1


def test_updates_of_one_variable_that_two_calls_fired_follow_each_other(rt):
    x = og.placeholder((), name="x")
    w = og.Variable(1.0, name="w", trainable=False)
    real, fake = og.exp(x), og.tanh(x)
    real.graph.add_update(w, w * 2.0, when=real)
    real.graph.add_update(w, w + 3.0, when=fake)
    with rt.forward_backward_cycle():
        fake.forward({x: 1.0})
        real.forward({x: 1.0})
        (real + fake).forward()
    assert w.val == 5  # in the order in which they were added


def test_a_program_in_a_cycle_commits_at_its_end(rt):
    x = og.placeholder((2,), name="x", dtype=np.float64)
    w = og.Variable(np.array([1.0, 2.0]), name="w")
    loss = og.reduce_sum(x * w)
    program = rt.compile(None, [loss], updates={w: w - og.grad(loss, w)})
    with rt.forward_backward_cycle():
        assert program.feed({x: [3.0, 4.0]}) == [11.0]
        assert loss.forward() == 11.0
        assert program.feed() == [11.0]
        assert w.val.tolist() == [1.0, 2.0]
    assert w.val.tolist() == [-2.0, -2.0]
    assert program.feed({x: [1.0, 1.0]}) == [-4.0]
    assert w.val.tolist() == [-3.0, -3.0]
    assert program([1.0, 1.0]) == [-6.0]


def test_two_programs_cannot_give_a_variable_two_values_in_one_cycle(rt):
    w = og.Variable(1.0, name="w")
    first, second = (rt.compile(None, [], updates={w: w + step}) for step in (1.0, 2.0))
    with rt.forward_backward_cycle():
        first.feed()
        with pytest.raises(og.GraphError, match=r"variable 'w' .* takes two different new values in one cycle"):
            second.feed()
    assert w.val == 2


def test_another_value_for_a_placeholder_in_a_cycle_is_refused(rt):
    a, b, c = adding()
    ones, nans = np.ones((2, 3)), np.full((2, 3), np.nan)
    with rt.forward_backward_cycle():
        c.forward({a: ones, b: nans})
        c.backward({a: ones.copy(), b: nans.copy()})
        ones[0, 0] = 7
        for again in (lambda: c.forward({a: ones, b: nans}), lambda: c.backward({a: ones})):
            with pytest.raises(og.FeedError, match="placeholder 'a' .* had another value earlier in this cycle"):
                again()


def test_in_a_cycle_what_was_fed_need_not_be_fed_again(rt):
    a, b, c = adding()
    with rt.forward_backward_cycle():
        c.forward({a: np.ones((2, 3)), b: np.ones((2, 3))})
        assert (c * a).forward().sum() == 12
    with pytest.raises(og.FeedError, match="no value is fed for placeholder 'a'"):
        c.forward()


def test_feeds_may_hold_what_the_node_does_not_need(rt):
    a, b, _ = adding()
    assert og.exp(a).forward({a: np.zeros((2, 3)), b: np.ones((2, 3))}).sum() == 6


def test_gradients_stop_at_the_nodes_that_a_cycle_names(rt):
    x = og.placeholder((), name="x")
    h = og.exp(x)
    y = h * x
    with rt.forward_backward_cycle(grad_stopped_nodes=[h]):
        assert rt.grad_stopped(h)
        y.backward({x: 2.0})
        np.testing.assert_allclose(rt.get_bwval("x"), np.exp(2.0), rtol=1e-6)
    assert not rt.grad_stopped(h)
    y.backward({x: 2.0})
    np.testing.assert_allclose(rt.get_bwval("x"), 3 * np.exp(2.0), rtol=1e-6)
    rt.stop_grad(h)
    y.backward({x: 2.0})
    np.testing.assert_allclose(rt.get_bwval("x"), np.exp(2.0), rtol=1e-6)
    rt.reset()
    assert not rt.grad_stopped(h)


def test_what_stops_gradients_is_not_taken_for_what_they_are_by(rt):
    x, w = og.placeholder((), name="x"), og.placeholder((), name="w")
    y = x * w
    y.backward({x: 2.0, w: 3.0}, wrt=[x, w])
    with rt.forward_backward_cycle(grad_stopped_nodes=[w]):
        y.backward({x: 2.0, w: 3.0}, wrt=[x])
        assert rt.get_bwval("x") == 3
        with pytest.raises(og.GraphError, match="no gradient of 'w'"):
            rt.get_bwval("w")


def test_cycles_do_not_nest_but_those_of_two_run_times_do(rt):
    other = og.RunTime()
    with og.Graph().as_default_graph() as graph:
        graph.set_runtime(other)
        w = og.Variable(2.0)
        z = w * 2.0
        graph.add_update(w, w + 1.0, when=z)
    a, b, c = adding()
    with rt.forward_backward_cycle(), other.forward_backward_cycle():
        assert z.forward() == 4
        c.forward({a: np.ones((2, 3)), b: np.ones((2, 3))})
        with pytest.raises(og.GraphError, match="a cycle of this run time is open already"):
            rt.forward_backward_cycle().__enter__()
        assert z.forward() == 4
    assert z.forward() == 6


def test_reset_does_not_repeat_random_numbers_unless_asked(rt):
    x = og.placeholder((40,), name="x")
    y = noisy(x)
    first = y.forward({x: np.ones(40)})
    rt.reset()
    assert (y.forward({x: np.ones(40)}) != first).any()
    rt.reset(step=0)
    np.testing.assert_array_equal(y.forward({x: np.ones(40)}), first)


def test_threads_and_tasks_have_cycles_of_their_own(rt):
    a, b, c = adding()
    feeds = {a: np.ones((2, 3)), b: np.ones((2, 3))}
    trouble = []

    def work(scale):
        try:
            with rt.forward_backward_cycle():
                c.backward(feeds, bwval=np.full((2, 3), scale))
                barrier.wait(10)
                assert rt.get_bwval("a").max() == scale
        except Exception as error:
            trouble.append(error)

    barrier = threading.Barrier(2)
    threads = [threading.Thread(target=work, args=(scale,)) for scale in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert trouble == []

    async def task(scale):
        with rt.forward_backward_cycle():
            c.backward(feeds, bwval=np.full((2, 3), scale))
            await asyncio.sleep(0)
            return rt.get_bwval("a").max()

    async def both():
        return await asyncio.gather(task(4), task(5))

    assert asyncio.run(both()) == [4, 5]


def test_backward_is_compiled_once_and_dropped_with_its_node(graph, rt):
    a, b, c = adding()
    feeds = {a: np.ones((2, 3)), b: np.ones((2, 3))}
    for _ in range(3):
        c.backward(feeds)
        c.forward(feeds)
    assert len(graph.executables[rt]) == 2
    rt.reset()
    del c
    assert len(graph.executables[rt]) == 0


def test_integers_and_complex_values_say_why_they_have_no_backward(rt):
    n = og.placeholder((), dtype=np.int64, name="n")
    with pytest.raises(og.GradientError, match="only floating-point and complex values have gradients"):
        (n + n).backward({n: 1})
    z = og.placeholder((), dtype=np.complex64, name="z")
    with pytest.raises(og.GradientError, match="is complex; give bwval"):
        (z * z).backward({z: 1})
    (z * z).backward({z: 1j}, bwval=1.0)
    assert rt.get_bwval("z") == -2j


class Picky(og.Elementwise, name="test.picky"):
    """Copy x, which must not start with a number above 5."""

    def compute(self, ins, outs):
        if ins[0].flat[0] > 5:
            raise ValueError("above 5")
        np.copyto(outs[0], ins[0])


def test_a_call_that_fails_in_a_cycle_leaves_nothing_behind(rt):
    x, v = og.placeholder((None,), name="x"), og.Variable(1.0, name="v")
    y = og.apply(Picky(), x)
    y.graph.add_update(v, v + 1.0, when=y)
    with rt.forward_backward_cycle():
        with pytest.raises(og.KernelError, match="above 5"):
            y.forward({x: [7.0]})
        with pytest.raises(og.GraphError, match="no value of 'x' is remembered"):
            rt.get_fwval("x")
        assert y.forward({x: [2.0]}).tolist() == [2.0]
    assert v.val == 2.0


def test_a_value_that_one_of_several_feeds_contradicts_feeds_none_of_them(rt):
    a, b, c = adding()
    ones = np.ones((2, 3))
    with rt.forward_backward_cycle():
        (b * 2.0).forward({b: ones})
        with pytest.raises(og.FeedError, match="'b' .* had another value earlier in this cycle"):
            c.forward({a: ones, b: 2 * ones})
        assert c.forward({a: 3 * ones}).tolist() == (4 * ones).tolist()


def test_a_cycle_names_the_user_s_line(rt):
    x = og.placeholder((2,), name="x")
    nested = pytest.raises(og.GraphError, match="cycles do not nest")
    with rt.forward_backward_cycle(), nested as caught, rt.forward_backward_cycle():
        pass
    assert "at test_cycles.py" in str(caught.value)
    for wrong, message in [(x, r"write \[x\]"), (3, "not 3"), ("y", "holds nodes, not 'y'")]:
        with pytest.raises(og.OpgraphError, match=message) as caught, rt.forward_backward_cycle(wrong):
            pass
        assert "at test_cycles.py" in str(caught.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rt, x: rt.get_bwval(x), "^get_bwval: no gradient of 'x' is remembered"),
        (lambda rt, x: rt.get_fwval([]), r"^get_fwval: takes a node or its name, not \[\]"),
        (lambda rt, x: rt.backward(x, {x: [1, 2]}, wrt=3), "backward: wrt is a list of nodes, not 3"),
        (lambda rt, x: rt.backward(x, {x: [1, 2]}, wrt="y"), "backward: wrt holds nodes, not 'y'"),
        (lambda rt, x: rt.reset(step=-1), "reset: step is an integer from 0 or None, not -1"),
        (lambda rt, x: rt.reset(step=1 << 70), "reset: step is an integer from 0"),
        (lambda rt, x: x.graph.set_runtime("rt"), "set_runtime: 'rt' is no run time"),
    ],
)
def test_what_is_no_node_or_number_is_refused(rt, call, message):
    with pytest.raises(og.OpgraphError, match=message) as caught:
        call(rt, og.placeholder((2,), name="x"))
    assert "at test_cycles.py" in str(caught.value)


def test_an_interrupt_as_a_cycle_opens_leaves_none_open(rt, monkeypatch):
    class Interrupting:
        """The variable that holds the open cycle, interrupted when it has been set to one."""

        def __getattr__(self, name):
            return getattr(opgraph.cycle.current, name)

        def set(self, cycle):
            opgraph.cycle.current.set(cycle)
            if cycle is not None:
                raise KeyboardInterrupt

    monkeypatch.setattr("opgraph.runtime.current", Interrupting())
    with pytest.raises(KeyboardInterrupt), rt.forward_backward_cycle():
        pass
    monkeypatch.undo()
    with rt.forward_backward_cycle():
        pass
