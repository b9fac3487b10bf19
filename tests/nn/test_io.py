"""A network with dropout, batch normalization and Adam goes on from a file as if it had never stopped."""

import subprocess
import sys

import numpy as np
import pytest

import opgraph as og
from opgraph_nn import dropout, fused_batch_norm, initializers, optimizers, relu, softmax_cross_entropy_loss

CLASSES = 10


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    """Each test works in a directory of its own."""
    monkeypatch.chdir(tmp_path)


def batches(count):
    """Return images of ten digits, noisy ones, with their labels."""
    rng = np.random.default_rng(8)
    digits = rng.uniform(size=(CLASSES, 64))
    labels = rng.integers(CLASSES, size=(count, 32))
    return [(digits[t] + rng.normal(0, 0.3, (32, 64)), np.eye(CLASSES)[t]) for t in labels]


def build():
    """Return the placeholders, the loss of training, the logits of inference, and what a step changes."""
    x, t = og.placeholder((None, 64), name="images"), og.placeholder((None, CLASSES), name="labels")
    w = og.variable((64, 16), initializers.HeNormalInitializer(), name="w")
    u = og.variable((16, CLASSES), initializers.GlorotUniformInitializer(), name="u")
    scale = og.variable((16,), initializers.OnesInitializer(), name="scale")
    offset = og.variable((16,), initializers.ZerosInitializer(), name="offset")
    mean = og.variable((16,), initializers.ZerosInitializer(), name="mean", trainable=False)
    variance = og.variable((16,), initializers.OnesInitializer(), name="variance", trainable=False)

    def model(is_training):
        y = fused_batch_norm(x @ w, scale, offset, mean, variance, decay=0.9, is_training=is_training)
        return dropout(relu(y), rate=0.3, is_training=is_training) @ u

    loss = og.reduce_mean(softmax_cross_entropy_loss(t, model(True)))
    optimizer = optimizers.Adam(0.01)
    return x, t, loss, model(False), optimizer.minimize(loss), optimizer


def train(step, data):
    return [step(*batch)[0].tobytes().hex() for batch in data]


IN_A_NEW_PROCESS = """
import sys
import numpy as np
import opgraph as og

loaded = og.load_graph("model")
x, t = loaded.inputs["images"], loaded.inputs["labels"]
data = np.load("data.npz")
runtime = og.RunTime(seed=5)
print(runtime.run(loaded.outputs["logits"], {x: data["x"][0]}).tobytes().hex())
step = runtime.compile([x, t], [loaded.outputs["loss"]], loaded.updates)
for batch in zip(data["x"], data["t"]):
    print(step(*batch)[0].tobytes().hex())
print(loaded.graph.save_variables("after"))
"""


def test_a_loaded_network_trains_on_bit_by_bit_in_another_process():
    graph = og.get_default_graph()
    x, t, loss, logits, updates, _ = build()
    graph.initialize_variables(seed=0)
    data = batches(12)
    losses = train(og.RunTime(seed=5).compile([x, t], [loss], updates), data)
    assert np.frombuffer(bytes.fromhex(losses[-1]), np.float32) < np.frombuffer(bytes.fromhex(losses[0]), np.float32)
    og.save_graph("model", {"loss": loss, "logits": logits}, updates)
    np.savez("data.npz", x=[x for x, _ in data], t=[t for _, t in data])

    done = subprocess.run([sys.executable, "-c", IN_A_NEW_PROCESS], capture_output=True, text=True, timeout=120)
    runtime = og.RunTime(seed=5)
    expected = [runtime.run(logits, {x: data[0][0]}).tobytes().hex()]
    expected += train(runtime.compile([x, t], [loss], updates), data)
    assert done.stdout.split() == [*expected, "after.npz"], done.stderr
    # the variables, moving statistics and moments are the same afterwards, too
    with np.load("after.npz") as after:
        variables = {v.name: v.val for v in [*updates, *graph.get_variables(only_trainable=False)]}
        assert sorted(after) == sorted(variables)
        assert all(after[name].tobytes() == value.tobytes() for name, value in variables.items())


def test_training_goes_on_from_values_in_the_graph_that_the_builder_makes_again():
    data = batches(6)
    x, t, loss, _, updates, optimizer = build()
    og.get_default_graph().initialize_variables(seed=0)
    train(og.RunTime(seed=1).compile([x, t], [loss], updates), data)
    path = og.save_variables("state")
    ahead = train(og.RunTime(seed=2).compile([x, t], [loss], updates), data)
    assert optimizer is not None  # the slots live for as long as it does
    with og.Graph().as_default_graph() as graph:
        x, t, loss, _, updates, optimizer = build()
        assert graph.load_variables(path) == ((), ())
        assert train(og.RunTime(seed=2).compile([x, t], [loss], updates), data) == ahead


def test_an_optimizer_made_for_a_loaded_graph_finds_its_slots_in_a_file_of_values():
    data = batches(6)
    x, t, loss, logits, updates, optimizer = build()
    og.get_default_graph().initialize_variables(seed=0)
    train(og.RunTime(seed=1).compile([x, t], [loss], updates), data)
    og.save_variables("state")
    og.save_graph("model", {"loss": loss, "logits": logits})
    ahead = train(og.RunTime(seed=2).compile([x, t], [loss], updates), data)
    assert optimizer is not None
    loaded = og.load_graph("model")
    optimizer = optimizers.Adam(0.01)
    updates = optimizer.minimize(loaded.outputs["loss"])
    assert loaded.graph.load_variables("state") == ((), ())
    inputs = [loaded.inputs["images"], loaded.inputs["labels"]]
    assert train(og.RunTime(seed=2).compile(inputs, [loaded.outputs["loss"]], updates), data) == ahead


def test_a_graph_for_inference_loads_values_without_the_optimizers():
    x, _, _, logits, updates, optimizer = build()
    og.get_default_graph().initialize_variables(seed=0)
    path = og.save_variables("state")
    expected = og.RunTime().run(logits, {x: batches(1)[0][0]})
    assert len(updates) == 13
    assert optimizer is not None
    with og.Graph().as_default_graph() as graph:
        x, _, _, logits, updates, optimizer = build()
        del updates, optimizer
        missing, extra = graph.load_variables(path)
        assert (missing, len(extra), extra[:2]) == ((), 9, ("adam_step", "offset/adam_m"))
        np.testing.assert_array_equal(og.RunTime().run(logits, {x: batches(1)[0][0]}), expected)
