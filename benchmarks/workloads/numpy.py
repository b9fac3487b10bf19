"""The floor: NumPy as one would write it by hand, into memory that is allocated once."""

import numpy as np

from workloads import (
    BATCH,
    HIDDEN,
    LAYERS,
    SCALAR_STEPS,
    SEQUENCES,
    TINY_STEPS,
    UNROLLED,
    VOCABULARY,
    Data,
    Task,
    nothing,
    parameter_names,
)
from workloads.adam import Adam

MODULES = ("numpy",)
TILE = 1 << 15  # elements; twelve arrays of them stay in the cache


def mlp(data: Data) -> Task:
    """Go through the layers there and back."""
    state = _State(data)
    hs = [np.empty((BATCH, size), np.float32) for size in LAYERS]
    gs = [np.empty((BATCH, size), np.float32) for size in LAYERS]
    mask = [np.empty((BATCH, size), bool) for size in LAYERS]
    row = np.empty((BATCH, 1), np.float32)
    every = np.arange(BATCH)

    def step(number: int) -> list[np.ndarray]:
        p, g, inputs, labels = state.take(number)
        hs[0] = inputs
        for i in range(3):
            np.matmul(hs[i], p[f"w{i}"], out=hs[i + 1])
            np.add(hs[i + 1], p[f"b{i}"], out=hs[i + 1])
            if i < 2:
                np.maximum(hs[i + 1], 0, out=hs[i + 1])
        loss = _cross_entropy(hs[3], labels, gs[3], row, every)
        for i in (2, 1, 0):
            np.matmul(hs[i].T, gs[i + 1], out=g[f"w{i}"])
            np.add.reduce(gs[i + 1], axis=0, out=g[f"b{i}"])
            if i:
                np.matmul(gs[i + 1], p[f"w{i}"].T, out=gs[i])
                np.greater(hs[i], 0, out=mask[i])
                np.multiply(gs[i], mask[i], out=gs[i])
        state.adam.step(list(g.values()))
        return [loss]

    return Task(state.reset, step)


def rnn(data: Data) -> Task:
    """Go through the sequences there and back."""
    state = _State(data)
    hs = np.zeros((UNROLLED + 1, SEQUENCES, HIDDEN), np.float32)
    g_logits = np.empty((UNROLLED, SEQUENCES, VOCABULARY), np.float32)
    logits = np.empty((SEQUENCES, VOCABULARY), np.float32)
    work, g_h, pre = (np.empty((SEQUENCES, HIDDEN), np.float32) for _ in range(3))
    row = np.empty((SEQUENCES, 1), np.float32)
    every = np.arange(SEQUENCES)
    part = {name: np.empty_like(data[name]) for name in parameter_names(data)}

    def step(number: int) -> list[np.ndarray]:
        p, g, inputs, labels = state.take(number)
        total = np.float32(0)
        for t in range(UNROLLED):
            h = hs[t + 1]
            np.matmul(inputs[t], p["wxh"], out=h)
            np.matmul(hs[t], p["whh"], out=work)
            np.add(h, work, out=h)
            np.add(h, p["bh"], out=h)
            np.tanh(h, out=h)
            np.matmul(h, p["why"], out=logits)
            np.add(logits, p["by"], out=logits)
            total += _cross_entropy(logits, labels[t], g_logits[t], row, every)
        np.divide(g_logits, UNROLLED, out=g_logits)
        for gradient in g.values():
            gradient.fill(0)
        g_h.fill(0)
        for t in reversed(range(UNROLLED)):
            h, g_y = hs[t + 1], g_logits[t]
            np.matmul(g_y, p["why"].T, out=work)
            np.add(g_h, work, out=g_h)
            np.multiply(h, h, out=pre)
            np.subtract(1, pre, out=pre)
            np.multiply(pre, g_h, out=pre)
            np.matmul(pre, p["whh"].T, out=g_h)
            for name, left, right in (("why", h, g_y), ("wxh", inputs[t], pre), ("whh", hs[t], pre)):
                np.matmul(left.T, right, out=part[name])
            for name, back in (("by", g_y), ("bh", pre)):
                np.add.reduce(back, axis=0, out=part[name])
            for name, gradient in g.items():
                np.add(gradient, part[name], out=gradient)
        state.adam.step(list(g.values()))
        return [np.float32(total / UNROLLED)]

    return Task(state.reset, step)


class _State:
    """The parameters, memory for their gradients, and the optimizer."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._parameters = {name: np.empty_like(data[name]) for name in parameter_names(data)}
        self._gradients = {name: np.empty_like(data[name]) for name in parameter_names(data)}

    def reset(self) -> None:
        for name, parameter in self._parameters.items():
            np.copyto(parameter, self._data[name])
        self.adam = Adam(list(self._parameters.values()))

    def take(self, number: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Return the parameters, their gradients and a batch."""
        inputs, labels = self._data["inputs"], self._data["labels"]
        return self._parameters, self._gradients, inputs[number % len(inputs)], labels[number % len(labels)]


def _cross_entropy(
    logits: np.ndarray, labels: np.ndarray, gradient: np.ndarray, row: np.ndarray, every: np.ndarray
) -> np.ndarray:
    """Return the mean loss, and fill its gradient."""
    np.max(logits, axis=1, out=row, keepdims=True)
    np.subtract(logits, row, out=logits)
    np.exp(logits, out=gradient)
    np.add.reduce(gradient, axis=1, out=row, keepdims=True)
    np.divide(gradient, row, out=gradient)
    loss = (np.log(row[:, 0]) - logits[every, labels]).mean(dtype=np.float32)
    gradient[every, labels] -= 1
    np.divide(gradient, len(labels), out=gradient)
    return loss


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


BUILDERS = {"mlp": mlp, "rnn": rnn, "elementwise": elementwise, "scalar": scalar, "tiny": tiny}
