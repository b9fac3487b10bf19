"""JAX, each step compiled whole."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from workloads import (
    BETA1,
    BETA2,
    EPSILON,
    LEARNING_RATE,
    SCALAR_STEPS,
    UNROLLED,
    Data,
    Task,
    nothing,
    parameter_names,
)

Parameters = dict[str, jax.Array]

MODULES = ("jax", "jaxlib")


def mlp(data: Data) -> Task:
    """Compile the step of training."""

    def loss(p: Parameters, inputs: jax.Array, labels: jax.Array) -> jax.Array:
        h = jax.nn.relu(inputs @ p["w0"] + p["b0"])
        h = jax.nn.relu(h @ p["w1"] + p["b1"])
        return _cross_entropy(h @ p["w2"] + p["b2"], labels)

    return _training(data, loss)


def rnn(data: Data) -> Task:
    """Compile the step of training, its loop unrolled."""

    def loss(p: Parameters, inputs: jax.Array, labels: jax.Array) -> jax.Array:
        h = jnp.zeros((inputs.shape[1], p["bh"].size), jnp.float32)
        total = jnp.zeros((), jnp.float32)
        for t in range(UNROLLED):
            h = jnp.tanh(inputs[t] @ p["wxh"] + h @ p["whh"] + p["bh"])
            total += _cross_entropy(h @ p["why"] + p["by"], labels[t])
        return total / UNROLLED

    return _training(data, loss)


def _cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)
    return -chosen.mean()


def _training(data: Data, loss_of: Callable[[Parameters, jax.Array, jax.Array], jax.Array]) -> Task:
    batches = [
        (jnp.asarray(inputs), jnp.asarray(labels))
        for inputs, labels in zip(data["inputs"], data["labels"], strict=True)
    ]
    state: tuple[Parameters, Parameters, Parameters, jax.Array]

    def train(
        p: Parameters, m: Parameters, v: Parameters, t: jax.Array, inputs: jax.Array, labels: jax.Array
    ) -> tuple[jax.Array, tuple[Parameters, Parameters, Parameters, jax.Array]]:
        loss, g = jax.value_and_grad(loss_of)(p, inputs, labels)
        t = t + 1
        m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, g)
        v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, g)
        rate, root = LEARNING_RATE / (1 - BETA1**t), jnp.sqrt(1 - BETA2**t)
        p = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) / root + EPSILON), p, m, v)
        return loss, (p, m, v, t)

    compiled = jax.jit(train, donate_argnums=(0, 1, 2, 3))

    def reset() -> None:
        nonlocal state
        p = {name: jnp.array(data[name]) for name in parameter_names(data)}
        state = p, jax.tree.map(jnp.zeros_like, p), jax.tree.map(jnp.zeros_like, p), jnp.zeros((), jnp.float32)

    def step(number: int) -> list[jax.Array]:
        nonlocal state
        loss, state = compiled(*state, *batches[number % len(batches)])
        jax.block_until_ready(state)
        return [loss]

    return Task(reset, step)


def elementwise(data: Data) -> Task:
    """Compile the value with its gradients."""

    @jax.jit
    def compute(a: jax.Array, b: jax.Array, c: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        def value(a: jax.Array, b: jax.Array, c: jax.Array) -> jax.Array:
            return (jnp.tanh(a * b + c) * jax.nn.sigmoid(a - c) + jnp.exp(-jnp.square(b))).sum()

        return jax.value_and_grad(value, (0, 1, 2))(a, b, c)

    arrays = [jnp.asarray(data[name]) for name in "abc"]

    def step(number: int) -> list[jax.Array]:
        y, gradients = jax.block_until_ready(compute(*arrays))
        return [y, *gradients]

    return Task(nothing, step)


def scalar(data: Data) -> Task:
    """Compile the chain with its gradient."""
    jax.config.update("jax_enable_x64", True)

    def value(x: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, SCALAR_STEPS, lambda _, y: jnp.sin(y) * 1.01 + 0.1, x)

    compute = jax.jit(jax.value_and_grad(value))
    x = jnp.asarray(data["x"])
    return Task(nothing, lambda number: jax.block_until_ready(compute(x)))


BUILDERS = {"mlp": mlp, "rnn": rnn, "elementwise": elementwise, "scalar": scalar}
