"""Steps of training that run at once: optimize, compute_gradients, apply_gradients."""

import gc
import threading
import weakref

import numpy as np
import pytest

import opgraph as og
import opgraph_nn as nn
from opgraph_nn import optimizers

rng = np.random.default_rng(7)
DATA = rng.normal(size=(5, 3))


def model():
    x = og.placeholder((None, 3), np.float64, name="x")
    w = og.Variable(np.arange(6.0).reshape(3, 2), name="w")
    b = og.Variable(np.array([0.5, -0.5]), name="b")
    return x, w, b, og.reduce_sum((x @ w + b) * (x @ w + b))


def nodes_made(function):
    """Return how many nodes and calls `function` makes."""
    before = og.placeholder(()).serial
    function()
    return og.placeholder(()).serial - before - 1


def test_optimize_takes_the_step_that_a_program_of_minimize_takes():
    x, w, b, loss = model()
    step = og.RunTime().compile([x], [loss], optimizers.Adam(0.1).minimize(loss))
    expected = [step(DATA)[0] for _ in range(3)]
    reached = w.val, b.val
    w.set_val(np.arange(6.0).reshape(3, 2))
    b.set_val([0.5, -0.5])
    adam = optimizers.Adam(0.1)
    assert [adam.optimize(loss, {x: DATA}) for _ in range(3)] == expected
    np.testing.assert_array_equal(w.val, reached[0])
    np.testing.assert_array_equal(b.val, reached[1])


def test_computed_gradients_applied_are_one_step():
    x, w, b, loss = model()
    adam = optimizers.AdamOptimizer(alpha=0.1)
    for _ in range(3):
        pairs = adam.compute_gradients(loss, {x: DATA})
        assert [variable for _, variable in pairs] == [w, b]
        y = 2 * (DATA @ w.val + b.val)
        np.testing.assert_allclose(pairs[0][0], DATA.T @ y, rtol=1e-12)
        np.testing.assert_allclose(pairs[1][0], y.sum(0), rtol=1e-12)
        adam.apply_gradients(pairs)
    reached = w.val, b.val
    w.set_val(np.arange(6.0).reshape(3, 2))
    b.set_val([0.5, -0.5])
    other = optimizers.AdamOptimizer(alpha=0.1)
    for _ in range(3):
        other.optimize(loss, {x: DATA})
    np.testing.assert_allclose(w.val, reached[0], rtol=1e-14)
    np.testing.assert_allclose(b.val, reached[1], rtol=1e-14)


def test_only_the_variables_of_the_list_change():
    x, w, b, loss = model()
    sgd = optimizers.GradientDescentOptimizer(alpha=0.1)
    sgd.optimize(loss, {x: DATA}, var_list=[b])
    assert (w.val == np.arange(6.0).reshape(3, 2)).all()
    assert (b.val != [0.5, -0.5]).all()
    assert [v for _, v in sgd.compute_gradients(loss, {x: DATA}, [b])] == [b]


def test_a_variable_that_is_frozen_between_two_steps_stays():
    x, w, b, loss = model()
    sgd = optimizers.SGD(0.1)
    sgd.optimize(loss, {x: DATA})
    w.trainable = False
    before = w.val, b.val
    sgd.optimize(loss, {x: DATA})
    np.testing.assert_array_equal(w.val, before[0])
    assert (b.val != before[1]).all()


def test_steps_build_nothing_after_the_first():
    x, _, _, loss = model()
    adam = optimizers.Adam(0.1)

    def steps():
        adam.optimize(loss, {x: DATA})
        adam.apply_gradients(adam.compute_gradients(loss, {x: DATA}))

    assert nodes_made(steps) > 50
    assert nodes_made(steps) == 0
    assert nodes_made(lambda: adam.optimize(loss, {x: DATA[:2]})) == 0


def test_feeds_may_hold_placeholders_that_the_objective_does_not_need():
    x, _, _, loss = model()
    other = og.placeholder((None,), name="other")
    sgd = optimizers.SGD(0.01)
    first = sgd.optimize(loss, {x: DATA, other: [1.0]})
    assert sgd.optimize(loss, {other: [2.0], x: DATA}) < first
    assert sgd.optimize(loss, {x: DATA}) < first


def test_steps_run_in_the_run_time_of_the_graph(graph):
    x = og.placeholder((None, 3), np.float64)
    w = og.Variable(np.ones(3), name="w")
    loss = og.reduce_sum(nn.dropout(x * w, 0.5))
    found = []
    for _ in range(2):
        graph.set_runtime(og.RunTime(seed=4))
        w.set_val(np.ones(3))
        optimizer = optimizers.SGD(0.1)
        found += [[optimizer.optimize(loss, {x: DATA}).tolist() for _ in range(3)]]
    assert found[0] == found[1]
    assert len(set(found[0])) == 3


def test_a_step_of_one_optimizer_follows_a_change_of_the_run_time(graph):
    x, _, _, loss = model()
    sgd = optimizers.SGD(0.01)
    sgd.optimize(loss, {x: DATA})
    graph.set_runtime(og.RunTime(check_finite=True))
    with pytest.raises(og.NonFiniteError):
        sgd.optimize(loss, {x: DATA * np.nan})


def test_updates_that_were_attached_meanwhile_are_committed(graph):
    x, _, _, loss = model()
    count = og.Variable(np.array(0), name="count", trainable=False)
    sgd = optimizers.SGD(0.01)
    sgd.optimize(loss, {x: DATA})
    graph.add_update(count, count + 1, when=loss)
    sgd.optimize(loss, {x: DATA})
    assert count.val == 1


def test_a_step_moves_the_statistics_of_batch_normalization():
    x = og.placeholder((None, 3), np.float64)
    scale, offset = og.Variable(np.ones(3)), og.Variable(np.zeros(3))
    mean, variance = og.Variable(np.zeros(3), trainable=False), og.Variable(np.ones(3), trainable=False)
    y = nn.fused_batch_norm(x, scale, offset, mean, variance, decay=0.5)
    optimizers.SGD(0.1).optimize(og.reduce_sum(y), {x: DATA})
    np.testing.assert_allclose(mean.val, 0.5 * DATA.mean(0), rtol=1e-12)
    np.testing.assert_allclose(offset.val, -0.5, rtol=1e-12)


def test_a_failed_step_changes_nothing():
    x, w, _, loss = model()
    adam = optimizers.Adam()
    adam.optimize(loss, {x: DATA})
    before = w.val
    with pytest.raises(og.ShapeError, match=r"does not fit \(None, 3\)"):
        adam.optimize(loss, {x: np.ones((2, 4))})
    np.testing.assert_array_equal(w.val, before)


def test_float16_variables_take_gradients_of_more_precision():
    w = og.Variable(np.ones(2, np.float16), name="w")
    optimizers.SGD(1e4).apply_gradients([(np.array([1e-8, 0.0]), w)])
    np.testing.assert_allclose(w.val, [1 - 1e-4, 1], rtol=1e-3)
    assert w.val.dtype == np.float16


def test_an_objective_that_is_dropped_takes_its_step_along():
    x = og.placeholder((None, 3), np.float64)
    w = og.Variable(np.ones((3, 1)), name="w")
    adam = optimizers.Adam()
    for _ in range(3):
        loss = og.reduce_sum(og.exp(x @ w))
        adam.optimize(loss, {x: DATA})
        adam.compute_gradients(loss, {x: DATA})
    alive = weakref.ref(loss)
    del loss
    gc.collect()
    assert alive() is None
    assert len(w.graph.executables[adam]) == 0


def test_an_optimizer_that_took_steps_keeps_no_graph_alive():
    adam = optimizers.Adam()
    graphs = []
    for _ in range(3):
        with og.Graph().as_default_graph() as graph:
            w = og.variable((3,), lambda shape, rng: np.ones(shape), name="w")
            graph.initialize_variables()
            adam.optimize(og.reduce_sum(w * w))
            adam.optimize(w)
            adam.apply_gradients([(np.ones(3), w)])
        graphs.append(weakref.ref(graph))
        del graph, w
    gc.collect()
    assert [ref() for ref in graphs] == [None] * 3


def test_the_number_of_steps_that_are_remembered_is_bounded(graph):
    x, _, _, loss = model()
    sgd = optimizers.SGD(0.0)
    losses = [loss * float(i) for i in range(20)]
    for each in losses:
        sgd.optimize(each, {x: DATA})
    assert len(graph.executables[sgd]) == 16


def test_threads_take_their_steps_one_after_the_other():
    x, w, _, loss = model()
    sgd = optimizers.SGD(1e-3)
    threads = [threading.Thread(target=lambda: [sgd.optimize(loss, {x: DATA}) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reached = w.val
    x, w, _, loss = model()
    for _ in range(80):
        sgd.optimize(loss, {x: DATA})
    np.testing.assert_allclose(reached, w.val, rtol=1e-12)


@pytest.mark.parametrize(
    ("pairs", "error", "message"),
    [
        (lambda w, b: [(w, np.ones((3, 2)))], og.ArgumentError, r"takes pairs \(gradient, variable\), not \(<variable"),
        (lambda w, b: [w], og.ArgumentError, r"takes pairs \(gradient, variable\), not <variable 'w'"),
        (lambda w, b: [], og.ArgumentError, "was given none"),
        (lambda w, b: [(np.ones(2), b)] * 2, og.ArgumentError, "<variable 'b' .*> has two gradients; add them"),
        (lambda w, b: [(np.ones(3), b)], og.ShapeError, r"a value of shape \(3,\) does not fit \(2,\)"),
        (lambda w, b: [(np.ones(2) * 1j, b)], og.DtypeError, "complex128 does not go into float64"),
        (lambda w, b: [(None, b)], og.DtypeError, "numbers, not None"),
    ],
)
def test_pairs_that_do_not_fit_are_named(pairs, error, message):
    _, w, b, _ = model()
    with pytest.raises(error, match=message) as caught:
        optimizers.SGD(0.1).apply_gradients(pairs(w, b))
    assert "test_training.py" in str(caught.value)


@pytest.mark.parametrize("method", ["optimize", "compute_gradients"])
def test_what_cannot_be_optimized_is_named(method):
    x, _, _, loss = model()
    function = getattr(optimizers.SGD(0.1), method)
    with pytest.raises(og.FeedError, match="placeholder 'x'"):
        function(loss)
    with pytest.raises(og.FeedError, match="feeds are a mapping from placeholders to values, not a list"):
        function(loss, [DATA])
    with pytest.raises(og.FeedError, match="by placeholders, not by 'x'"):
        function(loss, {"x": DATA})
    with pytest.raises(og.GradientError, match=f"{method}: loss must be a node, not 1.0"):
        function(1.0, {x: DATA})
    with pytest.raises(og.GradientError, match=f"^{method}: .* depends on no trainable variable"):
        function(x * 2.0, {x: DATA})
    other = og.Variable(1.0, name="other")
    with pytest.raises(og.GradientError, match="does not depend on <variable 'other'"):
        function(loss, {x: DATA}, [other])


def test_gradients_stop_where_the_cycle_says_and_only_there(graph):
    x = og.placeholder((), name="x", dtype=np.float64)
    w, v = og.Variable(np.array(2.0), name="w"), og.Variable(np.array(3.0), name="v")
    loss = og.exp(x * w) * v
    sgd = optimizers.SGD(0.1)
    data = {x: 0.5}
    assert len(sgd.compute_gradients(loss, data, [w, v])) == 2
    with graph.get_runtime().forward_backward_cycle(grad_stopped_nodes=[loss.inputs[0]]):
        [(gradient, _)] = sgd.compute_gradients(loss, data, [v])
        np.testing.assert_allclose(gradient, np.exp(1.0))
        with pytest.raises(og.GradientError, match="does not depend on"):
            sgd.compute_gradients(loss, data, [w])
        assert loss.forward() == sgd.optimize(loss, var_list=[v])
        assert v.val == 3.0
    np.testing.assert_allclose(v.val, 3.0 - 0.1 * np.exp(1.0))


def rebuilt(w, b):
    x = og.placeholder((None, 3), np.float64, name="x")
    return x, og.reduce_sum(og.square(x @ w + b))


@pytest.mark.parametrize("rate", [0.1, "node"])
def test_a_loss_that_is_built_again_is_not_differentiated_again(graph, rate):
    w, b = og.Variable(np.arange(6.0).reshape(3, 2), name="w"), og.Variable(np.array([0.5, -0.5]), name="b")
    rate = og.Variable(0.1, name="rate", trainable=False) * 1.0 if rate == "node" else rate
    x, loss = rebuilt(w, b)
    adam, other = optimizers.Adam(rate), optimizers.Adam(rate)
    expected = [adam.optimize(loss, {x: DATA}) for _ in range(4)]
    reached = w.val, b.val
    w.set_val(np.arange(6.0).reshape(3, 2))
    b.set_val([0.5, -0.5])
    found, made = [], []
    for _ in range(4):
        x, loss = rebuilt(w, b)
        made.append(nodes_made(lambda x=x, loss=loss: found.append(other.optimize(loss, {x: DATA}))))
    assert found == expected
    np.testing.assert_array_equal(w.val, reached[0])
    np.testing.assert_array_equal(b.val, reached[1])
    assert made[0] > 50
    assert made[1:] == [0, 0, 0]


def test_gradients_of_a_loss_that_is_built_again_are_those_of_its_variables():
    w, b = og.Variable(np.arange(6.0).reshape(3, 2), name="w"), og.Variable(np.array([0.5, -0.5]), name="b")
    og.Variable(np.ones(2), name="unused")
    sgd = optimizers.SGD(0.1)
    for chosen in (None, [b], None, [b], [b, w]):
        x, loss = rebuilt(w, b)
        pairs = sgd.compute_gradients(loss, {x: DATA}, chosen)
        assert [variable for _, variable in pairs] == (chosen or [w, b])
        y = 2 * (DATA @ w.val + b.val)
        expected = {w: DATA.T @ y, b: y.sum(0)}
        for gradient, variable in pairs:
            np.testing.assert_allclose(gradient, expected[variable], rtol=1e-12)


def test_two_optimizers_of_a_loss_that_is_built_again_keep_their_own_state():
    w, b = og.Variable(np.zeros((3, 2)), name="w"), og.Variable(np.zeros(2), name="b")
    slow, fast = optimizers.SGD(1e-3), optimizers.SGD(1e-1)
    for optimizer in (slow, fast, slow, fast):
        w.set_val(np.ones((3, 2)))
        x, loss = rebuilt(w, b)
        expected = w.val - optimizer.learning_rate * (DATA.T @ (2 * (DATA @ w.val + b.val)))
        optimizer.optimize(loss, {x: DATA})
        np.testing.assert_allclose(w.val, expected, rtol=1e-12)


def test_an_optimizer_of_losses_that_are_built_again_is_freed_with_its_slots():
    w, b = og.Variable(np.ones((3, 2)), name="w"), og.Variable(np.zeros(2), name="b")
    adam = optimizers.Adam(0.1)
    for _ in range(2):
        x, loss = rebuilt(w, b)
        adam.optimize(loss, {x: DATA})
    slots = [weakref.ref(slot) for slot in w.slots[adam].values()]
    assert len(slots) == 2
    del adam, x, loss
    w.graph.get_runtime().reset()
    gc.collect()
    assert [slot() for slot in slots] == [None, None]
    x, loss = rebuilt(w, b)
    optimizers.Adam(0.1).optimize(loss, {x: DATA})
