import gc
import math
import threading
import weakref

import numpy as np
import pytest

import opgraph as og
import opgraph_nn as nn
from opgraph_nn import optimizers

rng = np.random.default_rng(6)
W, B = rng.normal(size=(3, 2)), rng.normal(size=2)
BATCHES = [rng.normal(size=(n, 3)) for n in (4, 5, 4, 6, 4)]


EVERY = [
    optimizers.SGD(0.01),
    optimizers.SGD(0.01, momentum=0.5, nesterov=True),
    optimizers.RMSProp(0.01, momentum=0.5, centered=True),
    optimizers.Adagrad(0.01),
    optimizers.Adam(0.01),
    optimizers.AdamW(0.01),
    optimizers.AdamOptimizer(0.01),
]


def model(dtype=np.float64):
    """Return a placeholder, two variables, and the loss sum((x @ w + b)**2)."""
    x = og.placeholder((None, 3), dtype)
    w, b = og.Variable(W.astype(dtype), name="w"), og.Variable(B.astype(dtype), name="b")
    y = x @ w + b
    return x, w, b, og.reduce_sum(y * y)


def gradients(x, w, b):
    y = 2 * (x @ w + b)
    return x.T @ y, y.sum(0)


def descend(optimizer, update):
    """Run `optimizer` on the model, and the rule `update(state, g, t)` on arrays; compare what both reach.

    `state` is a dict of one variable, its value under "w", everything else absent to begin with.
    """
    x, w, b, loss = model()
    step = og.RunTime().compile([x], [loss], optimizer.minimize(loss))
    states = [{"w": W.copy()}, {"w": B.copy()}]
    for t, batch in enumerate(BATCHES, start=1):
        step(batch)
        for state, g in zip(states, gradients(batch, *(s["w"] for s in states)), strict=True):
            update(state, g, t)
        np.testing.assert_allclose(w.val, states[0]["w"], rtol=1e-11)
        np.testing.assert_allclose(b.val, states[1]["w"], rtol=1e-11)


RATES = [0.01, 0.03, 0.002, 0.0, 0.02]


def descend_at_rates(make, update):
    """Do as `descend`, with a learning rate of its own for each step: `make(rate)` and `update(state, g, t, rate)`."""
    x, w, b, loss = model()
    rate = og.placeholder((), np.float64, name="rate")
    step = og.RunTime().compile([x, rate], [loss], make(rate).minimize(loss))
    states = [{"w": W.copy()}, {"w": B.copy()}]
    for t, (batch, each) in enumerate(zip(BATCHES, RATES, strict=True), start=1):
        step(batch, each)
        for state, g in zip(states, gradients(batch, *(s["w"] for s in states)), strict=True):
            update(state, g, t, each)
        np.testing.assert_allclose(w.val, states[0]["w"], rtol=1e-11)
        np.testing.assert_allclose(b.val, states[1]["w"], rtol=1e-11)


def test_sgd_steps_down_the_gradient():
    def update(state, g, t):
        state["w"] = state["w"] - 0.01 * g

    descend(optimizers.SGD(0.01), update)


def test_sgd_with_momentum_follows_pytorch():
    # torch.optim.SGD: the first buffer is g itself, and later ones mu * buffer + g
    def update(state, g, t):
        state["v"] = g if t == 1 else 0.9 * state["v"] + g
        state["w"] = state["w"] - 0.01 * state["v"]

    descend(optimizers.SGD(0.01, momentum=0.9), update)


def test_sgd_with_nesterov_follows_pytorch():
    def update(state, g, t):
        state["v"] = g if t == 1 else 0.8 * state["v"] + g
        state["w"] = state["w"] - 0.01 * (g + 0.8 * state["v"])

    descend(optimizers.SGD(0.01, momentum=0.8, nesterov=True), update)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_with_momentum_follows_pytorch_at_changing_rates(nesterov):
    def update(state, g, t, rate):
        state["v"] = g if t == 1 else 0.9 * state["v"] + g
        state["w"] = state["w"] - rate * (g + 0.9 * state["v"] if nesterov else state["v"])

    descend_at_rates(lambda rate: optimizers.SGD(rate, 0.9, nesterov), update)
    descend_at_rates(optimizers.Nesterov if nesterov else optimizers.Momentum, update)


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.8])
@pytest.mark.parametrize("epsilon", [1e-7, 0.1])
def test_rmsprop_follows_its_definition_at_changing_rates(momentum, epsilon, centered):
    def update(state, g, t, rate):
        state["s"] = 0.9 * state.get("s", 0) + 0.1 * g**2
        state["a"] = 0.9 * state.get("a", 0) + 0.1 * g
        spread = state["s"] - state["a"] ** 2 if centered else state["s"]
        state["v"] = momentum * state.get("v", 0) + rate * g / (np.sqrt(spread) + epsilon)
        state["w"] = state["w"] - state["v"]

    descend_at_rates(lambda rate: optimizers.RMSProp(rate, 0.9, momentum, epsilon, centered), update)
    if not centered:
        descend_at_rates(
            lambda rate: optimizers.RMSPropOptimizer(alpha=rate, rho=0.9, momentum=momentum, epsilon=epsilon), update
        )


def test_centered_rmsprop_survives_a_gradient_that_stays_the_same():
    w = og.Variable(np.zeros(3, np.float32))
    loss = og.reduce_sum(w * np.array([3.0, 0.1, 0.0], np.float32))
    step = og.RunTime().compile([], [], optimizers.RMSProp(1e-3, 0.5, centered=True).minimize(loss))
    for _ in range(60):
        step()
    assert np.isfinite(w.val).all()


def test_adagrad_follows_its_definition_at_changing_rates():
    def update(state, g, t, rate):
        state["s"] = state.get("s", 0) + g**2
        state["w"] = state["w"] - rate * g / (np.sqrt(state["s"]) + 0.1)

    descend_at_rates(lambda rate: optimizers.Adagrad(rate, epsilon=0.1), update)


def test_adamw_decays_weights_apart_from_the_gradient():
    # torch.optim.AdamW: the weights shrink by rate * weight_decay before Adam's step
    def update(state, g, t, rate):
        state["m"] = 0.8 * state.get("m", 0) + 0.2 * g
        state["v"] = 0.9 * state.get("v", 0) + 0.1 * g**2
        m, v = state["m"] / (1 - 0.8**t), state["v"] / (1 - 0.9**t)
        state["w"] = state["w"] * (1 - rate * 0.3) - rate * m / (np.sqrt(v) + 0.1)

    descend_at_rates(lambda rate: optimizers.AdamW(rate, 0.8, 0.9, 0.1, weight_decay=0.3), update)


def test_adam_takes_a_rate_for_each_step():
    def update(state, g, t, rate):
        state["m"] = 0.8 * state.get("m", 0) + 0.2 * g
        state["v"] = 0.9 * state.get("v", 0) + 0.1 * g**2
        m, v = state["m"] / (1 - 0.8**t), state["v"] / (1 - 0.9**t)
        state["w"] = state["w"] - rate * m / (np.sqrt(v) + 0.1)

    descend_at_rates(lambda rate: optimizers.Adam(rate, 0.8, 0.9, 0.1), update)


def test_the_adam_of_the_graph_runtime_framework_does_not_correct_epsilon():
    def update(state, g, t, rate):
        state["m"] = 0.8 * state.get("m", 0) + 0.2 * g
        state["v"] = 0.9 * state.get("v", 0) + 0.1 * g**2
        alpha = rate * np.sqrt(1 - 0.9**t) / (1 - 0.8**t)
        state["w"] = state["w"] - alpha * state["m"] / (np.sqrt(state["v"]) + 0.1)

    descend_at_rates(lambda rate: optimizers.AdamOptimizer(alpha=rate, beta1=0.8, beta2=0.9, epsilon=0.1), update)


# an epsilon this large would show if it stood inside of the root
@pytest.mark.parametrize("epsilon", [1e-8, 0.1])
@pytest.mark.parametrize(("beta1", "beta2"), [(0.9, 0.999), (0.5, 0.7), (0.0, 0.9), (0.9, 0.0)])
def test_adam_follows_algorithm_1(beta1, beta2, epsilon):
    def update(state, g, t):
        state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
        state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g**2
        m, v = state["m"] / (1 - beta1**t), state["v"] / (1 - beta2**t)
        state["w"] = state["w"] - 0.01 * m / (np.sqrt(v) + epsilon)

    descend(optimizers.Adam(0.01, beta1, beta2, epsilon), update)


def test_adam_corrects_bias_without_loss_in_float32():
    w = og.Variable(np.zeros(2, np.float32))
    loss = og.reduce_sum(w * np.array([3.0, -0.5], np.float32))
    # float32 holds 1 - beta2 as 1.19e-7, so that a correction in float32 would be off by a tenth
    adam = optimizers.Adam(0.01, beta2=1 - 1e-7)
    og.RunTime().compile([], [], adam.minimize(loss))()
    np.testing.assert_allclose(w.val, [-0.01, 0.01], rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("optimizer", EVERY, ids=repr)
def test_updates_have_the_dtype_of_their_variables(optimizer, dtype):
    x, w, b, loss = model(dtype)
    updates = optimizer.minimize(loss)
    assert {variable: value.dtype for variable, value in updates.items()} == {v: v.dtype for v in updates}
    og.RunTime().compile([x], [loss], updates)(BATCHES[0].astype(dtype))
    assert w.val.dtype == b.val.dtype == dtype
    assert np.isfinite(w.val).all()
    assert (w.val != W.astype(dtype)).any()


def test_adam_of_float16_does_not_lose_its_epsilon():
    w = og.Variable(np.zeros(2, np.float16))
    updates = optimizers.Adam(0.5).minimize(og.reduce_sum(w * np.array([0, 1e-4], np.float16)))
    og.RunTime().compile([], [], updates)()
    np.testing.assert_allclose(w.val, [0, -0.5], rtol=1e-3)


def test_slots_are_named_after_their_variable_and_kept_apart(graph):
    _, w, b, loss = model()
    with og.name_scope("training"):
        updates = optimizers.Adam().minimize(loss)
    slots = [v for v in updates if v.slot]
    assert sorted(v.name for v in slots) == ["adam_step", "b/adam_m", "b/adam_v", "w/adam_m", "w/adam_v"]
    assert not any(v.trainable for v in slots)
    assert graph.get_variables(only_trainable=False) == [w, b]
    momentum = optimizers.SGD(0.1, momentum=0.9).minimize(loss)
    assert [v.name for v in momentum if v.slot] == ["w/sgd_momentum", "b/sgd_momentum"]
    assert set(optimizers.SGD(0.1).minimize(loss)) == {w, b}


def test_asking_again_finds_the_slots_of_before():
    x, _, _, loss = model()
    adam = optimizers.Adam(0.01)
    first = adam.minimize(loss)
    og.RunTime().compile([x], [], first)(BATCHES[0])
    again = adam.minimize(loss * 2.0)
    assert set(again) == set(first)
    assert {v.name: v for v in again}["adam_step"].val == 1
    assert not {v for v in optimizers.Adam().minimize(loss) if v.slot} & set(first)


def test_one_optimizer_counts_the_steps_of_each_graph_apart():
    adam = optimizers.Adam()
    steps = []
    for _ in range(2):
        with og.Graph().as_default_graph():
            steps += [v for v in adam.minimize(model()[-1]) if v.name == "adam_step"]
    assert len(steps) == 2
    assert steps[0].graph is not steps[1].graph


def test_slots_are_made_in_the_graph_of_the_loss():
    _, w, _, loss = model()
    with og.Graph().as_default_graph():
        updates = optimizers.Adam().minimize(loss)
    assert {node.graph for pair in updates.items() for node in pair} == {w.graph}


def test_initializing_variables_sets_slots_back_to_zero(graph):
    x, _, _, loss = model()
    updates = optimizers.Adam().minimize(loss)
    og.RunTime().compile([x], [], updates)(BATCHES[0])
    slots = [v for v in updates if v.slot]
    assert all(v.val.any() for v in slots)
    graph.initialize_variables()
    assert not any(v.val.any() for v in slots)


def test_an_optimizer_keeps_no_variable_alive():
    optimizer = optimizers.SGD(0.1, momentum=0.9)
    w = og.Variable(np.ones(2))
    optimizer.minimize(og.reduce_sum(w * w))
    alive = weakref.ref(w)
    del w
    gc.collect()
    assert alive() is None


def test_only_trainable_variables_that_count_are_changed_by_default():
    w, fixed = og.Variable(2.0, name="w"), og.Variable(3.0, name="fixed", trainable=False)
    other, count = og.Variable(5.0, name="other"), og.Variable(np.array(7), name="count")
    loss = w * fixed * count
    assert list(optimizers.SGD(0.1).minimize(loss)) == [w]
    assert list(optimizers.SGD(0.1).minimize(loss, [fixed])) == [fixed]
    del other


def test_the_elements_of_a_loss_are_summed():
    x, w, _, _ = model()
    updates = optimizers.SGD(0.5).minimize(x @ w)
    og.RunTime().compile([x], [], updates)(BATCHES[0])
    np.testing.assert_allclose(w.val, W - 0.5 * BATCHES[0].sum(0)[:, None], rtol=1e-12)


@pytest.mark.untraced
def test_a_model_behind_a_long_chain_is_trained():
    w = og.Variable(1.0)
    y = w
    for _ in range(20_000):
        y = y + 1.0
    step = og.RunTime().compile([], [y], optimizers.SGD(0.25).minimize(y))
    assert step()[0] == 20_001
    assert w.val == 0.75


def test_adam_learns_to_tell_classes_apart():
    points = np.concatenate([rng.normal(size=(50, 2)) + c for c in ([3, 0], [-3, 0], [0, 5])]).astype(np.float32)
    classes = np.repeat(np.eye(3), 50, axis=0)
    x, labels = og.placeholder((None, 2)), og.placeholder((None, 3))
    hidden = nn.initializers.HeNormalInitializer(seed=0)
    w1, w2 = og.Variable(hidden((2, 8)), dtype=np.float32), og.Variable(hidden((8, 3)), dtype=np.float32)
    logits = nn.relu(x @ w1) @ w2
    loss = og.reduce_mean(nn.softmax_cross_entropy_loss(labels, logits))
    step = og.RunTime().compile([x, labels], [loss, logits], optimizers.Adam(0.05).minimize(loss))
    losses = [step(points, classes)[0] for _ in range(100)]
    assert losses[-1] < 0.1 * losses[0]
    assert (step(points, classes)[1].argmax(1) == classes.argmax(1)).mean() > 0.97


def test_a_given_variable_that_does_not_count_raises():
    _, w, _, loss = model()
    other = og.Variable(1.0, name="other")
    message = r"minimize: <reduce_sum .*> does not depend on <variable 'other' \(\) float32>; leave it out"
    with pytest.raises(og.GradientError, match=message) as caught:
        optimizers.SGD(0.1).minimize(loss, [w, other])
    assert "test_optimizers.py" in str(caught.value)


def test_a_loss_without_trainable_variables_raises():
    x = og.placeholder((2,), name="x")
    with pytest.raises(og.GradientError, match=r"minimize: <multiply .*> depends on no trainable variable"):
        optimizers.SGD(0.1).minimize(x * 2.0)


@pytest.mark.parametrize(
    ("variables", "error", "message"),
    [
        (lambda: [og.placeholder((2,), name="x")], og.ArgumentError, "variables holds <placeholder 'x'"),
        (
            lambda: [og.Variable(np.array(3), name="n")],
            og.GradientError,
            "only floating-point and complex values have gradients",
        ),
    ],
)
def test_what_cannot_be_optimized_raises(variables, error, message):
    loss = model()[-1]
    with pytest.raises(error, match=message):
        optimizers.SGD(0.1).minimize(loss, variables())


def test_a_loss_that_is_no_node_raises():
    with pytest.raises(og.GradientError, match=r"minimize: loss must be a node, not 1.0"):
        optimizers.SGD(0.1).minimize(1.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optimizers.SGD(-0.1), r"SGD: learning_rate must be a number in \[0, inf\), not -0.1"),
        (lambda: optimizers.SGD(math.inf), r"SGD: learning_rate must be a number in \[0, inf\), not inf"),
        (lambda: optimizers.SGD("0.1"), r"SGD: learning_rate must be a number in \[0, inf\), not '0.1'"),
        (lambda: optimizers.SGD(0.1, momentum=1.0), r"SGD: momentum must be a number in \[0, 1\), not 1.0"),
        (lambda: optimizers.SGD(0.1, nesterov=True), "SGD: nesterov needs a momentum above 0"),
        (lambda: optimizers.Adam(math.nan), r"Adam: learning_rate must be a number in \[0, inf\), not nan"),
        (lambda: optimizers.Adam(beta1=1), r"Adam: beta1 must be a number in \[0, 1\), not 1"),
        (lambda: optimizers.Adam(beta2=-0.1), r"Adam: beta2 must be a number in \[0, 1\), not -0.1"),
        (lambda: optimizers.SGD(np.ones(2)), r"SGD: learning_rate must be a number in \[0, inf\), not array"),
        (
            lambda: optimizers.SGD(og.placeholder((2,), name="r")),
            r"learning_rate must be a number or a scalar floating-point node, not <placeholder 'r' \(2,\) float32>",
        ),
        (lambda: optimizers.Adam(og.placeholder((), np.int64)), "Adam: learning_rate must be a number or a scalar"),
        (lambda: optimizers.RMSProp(rho=1), r"RMSProp: rho must be a number in \[0, 1\), not 1"),
        (lambda: optimizers.RMSProp(momentum=-1), r"RMSProp: momentum must be a number in \[0, 1\), not -1"),
        (lambda: optimizers.Adagrad(epsilon=-1), r"Adagrad: epsilon must be a number in \[0, inf\), not -1"),
        (lambda: optimizers.AdamW(weight_decay="0"), r"AdamW: weight_decay must be a number in \[0, inf\), not '0'"),
        (lambda: optimizers.AdamOptimizer(alpha=-1), r"AdamOptimizer: alpha must be a number in \[0, inf\), not -1"),
        (lambda: optimizers.Adam(epsilon=True), r"Adam: epsilon must be a number in \[0, inf\), not True"),
    ],
)
def test_arguments_out_of_range_are_named(make, message):
    with pytest.raises(og.ArgumentError, match=message) as caught:
        make()
    assert "test_optimizers.py" in str(caught.value)


def test_an_optimizer_keeps_no_graph_alive():
    optimizer = optimizers.Adam()
    graphs = []
    for _ in range(5):
        with og.Graph().as_default_graph() as graph:
            w = og.variable((3,), lambda shape, rng: np.ones(shape), name="w")
            optimizer.minimize(og.reduce_sum(w * w))
        graphs.append(weakref.ref(graph))
        del graph, w
    gc.collect()
    assert [ref() for ref in graphs] == [None] * 5


def test_a_variable_keeps_no_optimizer_s_slots_alive():
    w = og.Variable(np.ones(3), name="w")
    for _ in range(5):
        optimizers.Adam().minimize(og.reduce_sum(w * w))
    gc.collect()
    assert len(w.slots) == 0
    assert [v.name for v in w.graph.get_variables(only_trainable=False)] == ["w"]


def test_one_variable_where_several_belong_is_pointed_out():
    w = og.Variable(np.ones(3), name="w")
    with pytest.raises(og.ArgumentError, match=r"variables is a list of variables; write \[w\]"):
        optimizers.SGD(0.1).minimize(og.reduce_sum(w * w), w)


def test_threads_that_share_an_optimizer_share_its_slots():
    w = og.Variable(np.ones(3), name="w")
    losses = [og.reduce_sum(w * w) for _ in range(8)]
    optimizer = optimizers.Adam()
    barrier = threading.Barrier(8)
    found = []

    def work(loss):
        barrier.wait()
        found.append({v for v in optimizer.minimize(loss) if v is not w})

    threads = [threading.Thread(target=work, args=(loss,)) for loss in losses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [found[0]] * 8


def test_a_learning_rate_may_be_a_schedule():
    w = og.Variable(0.0, name="w")
    count = og.Variable(0.0, name="count", trainable=False)
    updates = optimizers.SGD(1.0 / (count + 1.0)).minimize(w)
    step = og.RunTime().compile([], [w], updates | {count: count + 1.0})
    assert [float(step()[0]) for _ in range(4)] == [0, -1, -1.5, pytest.approx(-1.5 - 1 / 3)]


def test_a_rate_of_another_dtype_leaves_the_variables_theirs():
    w = og.Variable(np.ones(2, np.float32))
    for rate in (np.float64(0.5), og.Variable(np.array(0.5), trainable=False)):
        assert optimizers.SGD(rate).minimize(og.reduce_sum(w))[w].dtype == np.float32


def test_a_rate_of_another_graph_is_named():
    with og.Graph().as_default_graph():
        rate = og.placeholder((), name="rate")
    loss = model()[-1]
    message = r"minimize: learning_rate <placeholder 'rate' \(\) float32> is a node of another graph"
    with pytest.raises(og.GraphError, match=message):
        optimizers.SGD(rate).minimize(loss)


def test_an_optimizer_does_not_change():
    optimizer = optimizers.Adam(0.1)
    with pytest.raises(AttributeError, match="learning_rate"):
        optimizer.learning_rate = 0.2


def test_complex_variables_raise():
    w = og.Variable(np.ones(2) * 1j, name="w")
    with pytest.raises(og.DtypeError, match=r"minimize: <variable 'w' .*> is no floating-point variable"):
        optimizers.SGD(0.1).minimize(og.real(og.reduce_sum(w)))


def test_a_variable_that_two_optimizers_change_has_slots_of_both():
    x, w, _, loss = model()
    first, second = optimizers.Adam(0.1), optimizers.Adam(0.2)
    steps = [og.RunTime().compile([x], [], each.minimize(loss, [w])) for each in (first, second)]
    for step in (*steps, *steps):
        step(BATCHES[0])
    names = ["adam_step", "adam_step_1", "w/adam_m", "w/adam_m_1", "w/adam_v", "w/adam_v_1"]
    slots = {v.name: v for each in (first, second) for v in each.minimize(loss, [w]) if v.slot}
    assert sorted(slots) == names
    assert slots["adam_step"].val == slots["adam_step_1"].val == 2
    assert (slots["w/adam_m"].val != slots["w/adam_m_1"].val).all()


def test_given_gradients_are_stepped_down():
    w = og.Variable(np.array([1.0, 2.0]), name="w")
    b = og.Variable(np.array(3.0, np.float32), name="b")
    updates = optimizers.SGD(0.5).updates({w: [2.0, 4.0], b: og.constant(np.array(1.0))})
    assert [value.dtype for value in updates.values()] == [np.float64, np.float32]
    og.RunTime().compile([], [], updates)()
    assert w.val.tolist() == [0, 0]
    assert b.val == 2.5
    assert optimizers.SGD(0.5).updates({}) == {}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda w: {"w": w}, og.ArgumentError, "updates: gradients are keyed by variables, not by 'w'"),
        (lambda w: {w: np.ones(3)}, og.ShapeError, r"updates: a gradient of shape \(3,\) does not fit <variable 'w'"),
        (lambda w: {w: np.ones(2) * 1j}, og.DtypeError, "complex128 does not go into float64"),
        (lambda w: {og.Variable(np.array(1), name="n"): 1}, og.DtypeError, "'n' .* is no floating-point variable"),
    ],
)
def test_gradients_that_fit_no_variable_are_named(make, error, message):
    w = og.Variable(np.ones(2), name="w")
    with pytest.raises(error, match=message) as caught:
        optimizers.SGD(0.1).updates(make(w))
    assert "test_optimizers.py" in str(caught.value)


def given_gradients():
    found = {"a": np.array([[3.0, -7.0], [0.5, 2.0]]), "b": np.array([-4.0], np.float32)}
    return found, {name: og.constant(g) for name, g in found.items()}


def test_clipping_by_value_moves_each_element_into_the_interval():
    arrays, nodes = given_gradients()
    clipped = optimizers.clip_by_value(nodes, -1, 2)
    for name, value in zip(clipped, og.RunTime().run(list(clipped.values())), strict=True):
        np.testing.assert_array_equal(value, np.clip(arrays[name], -1, 2))
        assert value.dtype == arrays[name].dtype
    nan = optimizers.clip_by_value({"a": og.constant(np.array([np.nan, np.inf]))}, 0, 1)["a"]
    np.testing.assert_array_equal(og.RunTime().run(nan), [np.nan, 1])


@pytest.mark.parametrize("max_norm", [1e-3, 5.0, 8.0, 100.0])
def test_clipping_by_global_norm_scales_all_gradients_alike(max_norm):
    arrays, nodes = given_gradients()
    norm = math.sqrt(sum(float(v) ** 2 for g in arrays.values() for v in g.ravel()))
    np.testing.assert_allclose(og.RunTime().run(optimizers.global_norm(nodes)), norm, rtol=1e-14)
    clipped = optimizers.clip_by_global_norm(nodes, max_norm)
    for name, value in zip(clipped, og.RunTime().run(list(clipped.values())), strict=True):
        np.testing.assert_allclose(value, arrays[name] * min(1, max_norm / norm), rtol=1e-6)
        assert value.dtype == arrays[name].dtype


def test_gradients_that_explode_are_clipped_without_overflow():
    for dtype, size in ((np.float16, 6e4), (np.float32, 1e30)):
        g = np.full(8, size, dtype)
        [clipped] = optimizers.clip_by_global_norm({"g": og.constant(g)}, 1.0).values()
        value = og.RunTime().run(clipped)
        assert value.dtype == dtype
        np.testing.assert_allclose(value, 1 / math.sqrt(8), rtol=1e-3)


def test_a_gradient_of_nan_makes_all_nan_rather_than_pass_unclipped():
    nodes = {"a": og.constant(np.array([np.nan])), "b": og.constant(np.array([2.0]))}
    assert np.isnan(og.RunTime().run(list(optimizers.clip_by_global_norm(nodes, 1.0).values()))).all()


def test_nothing_to_clip_is_nothing():
    assert optimizers.clip_by_global_norm({}, 1.0) == {}
    assert og.RunTime().run(optimizers.global_norm({})) == 0


def test_bounds_of_clipping_are_checked():
    with pytest.raises(og.ArgumentError, match=r"clip_by_value: high must be a number in \[1.0, inf\], not 0"):
        optimizers.clip_by_value({}, 1, 0)
    with pytest.raises(og.ArgumentError, match=r"clip_by_global_norm: max_norm must be a number in \(0, inf\), not 0"):
        optimizers.clip_by_global_norm({}, 0)


def test_clipped_gradients_train():
    x, w, _, loss = model()
    clipped = optimizers.clip_by_global_norm(optimizers.gradients(loss, [w]), 0.5)
    og.RunTime().compile([x], [], optimizers.SGD(1.0).updates(clipped))(BATCHES[0])
    np.testing.assert_allclose(np.linalg.norm(w.val - W), 0.5, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda sgd, w: sgd.minimize(w * 1.0, 3), "minimize: variables is a list of variables, not 3"),
        (lambda sgd, w: sgd.updates([w]), "updates: gradients are a mapping from variables"),
        (lambda sgd, w: sgd.apply_gradients(3), r"apply_gradients: takes pairs \(gradient, variable\), not 3"),
    ],
)
def test_what_is_no_collection_is_refused(call, message):
    with pytest.raises(og.ArgumentError, match=message) as caught:
        call(optimizers.SGD(0.1), og.Variable(1.0, name="w"))
    assert "at test_optimizers.py" in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: optimizers.Adam(lr=0.1),
            "Adam: got an unexpected keyword argument 'lr'; did you mean 'learning_rate'?",
        ),
        (
            lambda: optimizers.AdamOptimizer(lr=0.1),
            "did you mean 'alpha'?\n  AdamOptimizer(alpha: float | Node = 0.001",
        ),
        (
            lambda: optimizers.Momentum(),
            "Momentum: missing a required argument: 'learning_rate'\n  Momentum(learning_rate",
        ),
    ],
)
def test_a_wrong_keyword_says_what_there_is(make, message):
    with pytest.raises(og.ArgumentError) as caught:
        make()
    assert message in str(caught.value)
    assert "at test_optimizers.py" in str(caught.value)


def test_a_wrong_call_of_a_method_says_the_user_s_line():
    w = og.Variable(1.0, name="w")
    with pytest.raises(og.ArgumentError, match="minimize: got an unexpected keyword argument 'vars'") as caught:
        optimizers.SGD(0.1).minimize(w * 1.0, vars=[w])
    assert caught.value.notes[-1].startswith("at test_optimizers.py")
