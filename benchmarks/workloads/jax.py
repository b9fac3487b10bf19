"""JAX, each step compiled whole."""

import jax
import jax.numpy as jnp

from workloads import SCALAR_STEPS, Data, Task, nothing

MODULES = ("jax", "jaxlib")


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


BUILDERS = {"elementwise": elementwise, "scalar": scalar}
