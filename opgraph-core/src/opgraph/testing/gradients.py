"""A graph's gradients held against finite differences."""

import functools
import operator
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

import opgraph as og
from opgraph.testing.case import real_view
from opgraph.testing.jacobians import from_real, inner, signed
from opgraph.testing.numeric import (
    EPS,
    Floats,
    Function,
    along,
    numerical_jacobian,
    size_at,
    steady_sides,
)
from opgraph.testing.patterns import guess
from opgraph.testing.verdict import judge

Feeds = Mapping[og.Placeholder, Any]


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
        Where a gradient is wrong, or the differences cannot tell: they are too rough, or there is a kink.
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
    cotangent = signed(rng, _run(runtime, y, feeds).shape, y.dtype)
    gradients = og.grad(y, wrt, cotangent, unconnected="zeros")
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

        def projected(parts: Floats) -> Floats:
            move(from_real(parts, at))
            return np.array([inner(_run(runtime, y, feeds), cotangent)[0]])

        # what rounding makes of a sum is measured by its terms
        rounding = EPS * inner(_run(runtime, y, feeds), cotangent)[1]
        x0 = real_view(at)
        numeric = numerical_jacobian(projected, x0, rounding=rounding)
        assert analytic.shape == at.shape, f"{where}: shape {analytic.shape} for an input of shape {at.shape}"
        found = real_view(analytic)[None]
        finding = judge(found, numeric)
        if finding is None:
            return
        element = finding.index[1:]
        break_there = _break_at(along(projected, x0, element), size_at(x0, element))
    place = f"at {element[: at.ndim]} and {finding.count} of {found.size} elements, under a random cotangent"
    if break_there:
        raise AssertionError(
            f"{where} cannot be checked {place}: there is {break_there}, and the gradient says "
            f"{finding.analytic + 0.0:.6g}; move the point away from there"
        )
    pattern = guess(found, numeric.value, at.shape, parts=at.dtype.kind == "c") if finding.kind == "wrong" else ""
    raise AssertionError(
        f"{where} is {finding.kind} {place}: gradient {finding.analytic:.10g}, differences "
        f"{finding.numeric:.10g} ± {finding.error:.1g}" + (f"; it looks like this: {pattern}" if pattern else "")
    )


def _break_at(f: Function, scale: float) -> str:
    """Return in words what is at 0 where the function `f` is smooth on both sides of it alone, else nothing."""
    sides = steady_sides(f, scale)
    if not sides.uneven[0]:
        return ""
    return (
        f"a {sides.kind(0)}, where the derivative is {sides.left[0]:.6g} from below and {sides.right[0]:.6g} from above"
    )


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
