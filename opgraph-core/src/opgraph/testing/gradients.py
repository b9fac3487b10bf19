"""A graph's gradients held against finite differences."""

import functools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

import opgraph as og
from opgraph.testing.numeric import numerical_gradient

Feeds = Mapping[og.Placeholder, Any]

# a wrong formula is off by a good part of the value, rounding by far less than this
RELATIVE_TOLERANCE = 1e-7
TRUSTED_ERROR = 1e-3


def check_grads(
    y: og.Node,
    wrt: og.Placeholder | og.Variable | Sequence[og.Placeholder | og.Variable],
    feeds: Feeds | None = None,
    order: int = 2,
    *,
    seed: int = 0,
) -> None:
    """Check the gradients of `y` against finite differences, to an order.

    The gradient is taken with a random cotangent, so that no two errors cancel and no axis passes for
    another. Each order differentiates what the one before gave.

    Parameters
    ----------
    y : Node
        Of any shape.
    wrt : Placeholder or Variable, or a sequence of them
        Of dtype float64 or complex128; the others among the feeds are held fixed.
    feeds : mapping
        Values by placeholder.
    order : int
        How many times to differentiate.
    seed : int
        Of the cotangents and of the graph's random keys.

    Raises
    ------
    AssertionError
        Where a gradient is wrong, or the differences are too rough to tell: at a kink, say.
    ArgumentError
        Where an entry of `wrt` has another dtype, since differences in less precision prove nothing.

    Notes
    -----
    For complex values the convention is PyTorch's: the gradient of a real y by a + ib is ∂y/∂a + i ∂y/∂b.
    """
    if isinstance(wrt, og.Node):
        wrt = [wrt]
    for x in wrt:
        if x.dtype not in (np.float64, np.complex128):
            raise og.ArgumentError(f"check_grads: {x!r} must be float64 or complex128")
    rng = np.random.default_rng(seed)
    runtime = og.RunTime(seed=seed)
    fed = {p: np.array(value) for p, value in (feeds or {}).items()}
    _check_order(y, list(wrt), fed, order, rng, runtime, f"{y!r}")


def _check_order(
    y: og.Node,
    wrt: list[og.Placeholder | og.Variable],
    feeds: dict[og.Placeholder, NDArray[Any]],
    order: int,
    rng: np.random.Generator,
    runtime: og.RunTime,
    path: str,
) -> None:
    """Check the gradients of `y`, then those of each of them with one order less."""
    cotangent = _signed(rng, _run(runtime, y, feeds).shape)
    if y.dtype.kind == "c":
        cotangent = cotangent + 1j * _signed(rng, cotangent.shape)
    gradients = og.grad(y, wrt, cotangent.astype(y.dtype), unconnected="zeros")
    for x, gradient in zip(wrt, gradients, strict=True):
        where = f"d({path})/d{x.name}"
        _compare(y, x, _run(runtime, gradient, feeds), cotangent, feeds, runtime, where)
        if order > 1:
            _check_order(gradient, wrt, feeds, order - 1, rng, runtime, where)


def _compare(
    y: og.Node,
    x: og.Placeholder | og.Variable,
    analytic: NDArray[Any],
    cotangent: NDArray[Any],
    feeds: dict[og.Placeholder, NDArray[Any]],
    runtime: og.RunTime,
    where: str,
) -> None:
    with _moving(x, feeds) as (at, move):

        def projected(value: NDArray[Any]) -> float:
            move(value)
            return float(np.sum(np.real(_run(runtime, y, feeds) * np.conj(cotangent))))

        numeric, error, *_ = _by_parts(projected, at) if x.dtype.kind == "c" else numerical_gradient(projected, at)
        # what the gradient would be of something that doubles; where it is 0, rounding is all there is to see
        natural = abs(projected(at)) / (np.max(np.abs(at), initial=0.0) or 1.0)
    assert analytic.shape == numeric.shape, f"{where}: shape {analytic.shape} for an input of shape {numeric.shape}"
    if not numeric.size:
        return
    size = np.maximum(np.abs(analytic), np.abs(numeric))
    largest = np.max(size)
    allowed = 4 * error + RELATIVE_TOLERANCE * size + 1e-12 * max(largest, natural)
    wrong = ~(np.abs(analytic - numeric) <= allowed)
    rough = ~(error <= TRUSTED_ERROR * np.maximum(size, 1e-3 * largest)) & (error > 1e-9 * natural)
    for mask, verdict in [(wrong, "wrong"), (rough, "inconclusive")]:
        if mask.any():
            excess = np.where(mask, np.abs(analytic - numeric) - allowed, -np.inf)
            worst = np.unravel_index(np.argmax(excess), excess.shape)
            raise AssertionError(
                f"{where} is {verdict} at {tuple(map(int, worst))} and {np.count_nonzero(mask)} of {mask.size} "
                f"elements, under a random cotangent: gradient {analytic[worst]:.10g}, "
                f"differences {numeric[worst]:.10g} ± {error[worst]:.1g}"
            )


def _signed(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return numbers that are neither small nor alike, of both signs."""
    return np.asarray(rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape))


def _by_parts(f: Callable[[NDArray[Any]], float], z: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return the derivative of `f` by complex `z`, ∂f/∂a + i ∂f/∂b, and the error that each may have."""

    def of_parts(parts: NDArray[np.float64]) -> float:
        return f(parts[0] + 1j * parts[1])

    value, error, _ = numerical_gradient(of_parts, np.stack([z.real, z.imag]))
    return value[0] + 1j * value[1], np.hypot(error[0], error[1])


@contextmanager
def _moving(x: og.Placeholder | og.Variable, feeds: dict[og.Placeholder, NDArray[Any]]) -> Iterator[Any]:
    """Give the value of `x` and a function that changes it, until the end of the ``with``."""
    if isinstance(x, og.Variable):
        at = x.val
        move = x.set_val
    else:
        at = np.array(feeds[x], x.dtype)
        move = functools.partial(operator.setitem, feeds, x)
    try:
        yield at, move
    finally:
        move(at)


def _run(runtime: og.RunTime, node: og.Node, feeds: Feeds) -> NDArray[Any]:
    runtime.reset(step=0)  # every run draws the same random numbers
    return runtime.run(node, feeds)
