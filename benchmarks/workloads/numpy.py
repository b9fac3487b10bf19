"""The floor: NumPy as one would write it by hand, into memory that is allocated once."""

import numpy as np

from workloads import SCALAR_STEPS, TINY_STEPS, Data, Task, nothing

MODULES = ("numpy",)
TILE = 1 << 15  # elements; twelve arrays of them stay in the cache


def elementwise(data: Data) -> Task:
    """Compute tile by tile, each while it is in the cache."""
    a, b, c = (data[name] for name in "abc")
    work = [np.empty(TILE, np.float32) for _ in range(4)]

    def step(number: int) -> list[np.ndarray]:
        by_a, by_b, by_c = (np.empty_like(a) for _ in range(3))
        total = 0.0
        for start in range(0, a.size, TILE):
            tile = slice(start, start + TILE)
            total += _tile(a[tile], b[tile], c[tile], by_a[tile], by_b[tile], by_c[tile], work)
        return [np.float32(total), by_a, by_b, by_c]

    return Task(nothing, step)


def _tile(
    a: np.ndarray,
    b: np.ndarray,
    c: np.ndarray,
    by_a: np.ndarray,
    by_b: np.ndarray,
    by_c: np.ndarray,
    work: list[np.ndarray],
) -> float:
    """Fill the gradients of one tile, and return its part of the sum."""
    t, s, e, u = (array[: a.size] for array in work)
    np.multiply(a, b, out=t)
    np.add(t, c, out=t)
    np.tanh(t, out=t)
    np.subtract(c, a, out=s)
    np.exp(s, out=s)
    np.add(s, 1, out=s)
    np.reciprocal(s, out=s)  # sigmoid(a - c)
    np.multiply(b, b, out=e)
    np.negative(e, out=e)
    np.exp(e, out=e)
    np.multiply(t, s, out=u)
    total = float(np.add.reduce(u)) + float(np.add.reduce(e))
    np.multiply(u, s, out=by_b)
    np.subtract(u, by_b, out=by_b)  # by a - c: t s (1 - s)
    np.multiply(t, u, out=u)
    np.subtract(s, u, out=u)  # by ab + c: s (1 - t²)
    np.subtract(u, by_b, out=by_c)
    np.multiply(u, b, out=by_a)
    np.add(by_a, by_b, out=by_a)
    np.multiply(e, b, out=by_b)
    np.multiply(by_b, -2, out=by_b)
    np.multiply(u, a, out=u)
    np.add(by_b, u, out=by_b)
    return total


def scalar(data: Data) -> Task:
    """Loop over arrays without dimensions."""
    values = list(np.empty((SCALAR_STEPS + 1, 1)))
    values = [value.reshape(()) for value in values]
    slope, gradient = np.empty(()), np.empty(())
    sin, cos, multiply, add = np.sin, np.cos, np.multiply, np.add

    def step(number: int) -> list[np.ndarray]:
        np.copyto(values[0], data["x"])
        x = values[0]
        for y in values[1:]:
            sin(x, y)
            multiply(y, 1.01, y)
            add(y, 0.1, y)
            x = y
        gradient.fill(1)
        for x in values[-2::-1]:
            multiply(gradient, 1.01, gradient)
            cos(x, slope)
            multiply(gradient, slope, gradient)
        return [values[-1].copy(), gradient.copy()]

    return Task(nothing, step)


def tiny(data: Data) -> Task:
    """Call two ufuncs over and over."""
    x, y = data["x"], np.empty_like(data["x"])
    add, tanh = np.add, np.tanh

    def step(number: int) -> list[np.ndarray]:
        y.fill(0)
        for _ in range(TINY_STEPS):
            add(y, x, y)
            tanh(y, y)
        return [y.copy()]

    return Task(nothing, step)


BUILDERS = {"elementwise": elementwise, "scalar": scalar, "tiny": tiny}
