"""What the checks of derivatives have in common: directions, and derivatives along them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

import opgraph as og
from opgraph.testing.case import Case, real_view
from opgraph.testing.check import NOTHING, Check
from opgraph.testing.jacobians import Array, Floats, from_real, joined, parted, real_size, rounding, signed
from opgraph.testing.numeric import (
    EVERYWHERE,
    NEGLIGIBLE,
    Derivative,
    Function,
    Interval,
    derivative_along,
    sides_along,
    size_of,
)
from opgraph.testing.verdict import Bools


class DerivativeCheck(Check):
    """A check of samples that have a gradient. A subclass defines `hold`."""

    def on_case(self, case: Case) -> str | None:
        if not case.has_gradient:
            return NOTHING
        return self.hold(case)

    def hold(self, case: Case) -> str | None:
        """Raise what is wrong; return a reason if nothing can be said."""
        raise NotImplementedError


def tangents(rng: np.random.Generator, case: Case, block: Sequence[int], relative: bool = False) -> list[Array]:
    """Return a direction for each of `case.differentiable`: signed random numbers, zero outside of `block`.

    Parameters
    ----------
    relative
        Whether each number is relative to the element of the input, instead of to the largest of them.
    """
    found = []
    for i in case.differentiable:
        x = case.inputs[i]
        t = signed(rng, x.shape, x.dtype)
        size = np.where(np.abs(x) > NEGLIGIBLE, np.abs(x), size_of(x)) if relative else size_of(x)
        found.append(np.asarray(t * size) if i in block else np.zeros_like(t))
    return found


def derivative_in(case: Case, direction: Sequence[Array]) -> dict[int, Derivative]:
    """Return the derivatives of each output along a direction, one tangent for each of `case.differentiable`."""
    if not any(t.any() for t in direction):  # of nothing, no difference is made, even of what is not finite
        flat = {o: np.zeros(real_size(case.specs[o])) for o in case.outputs}
        return {o: Derivative(nought, nought, nought) for o, nought in flat.items()}
    found = derivative_along(values_in(case, direction), [0.1, 1.0], room_along(case, direction), rounding(case))
    parts = [parted(case, part) for part in found]
    return {o: Derivative(*(part[o] for part in parts)) for o in case.outputs}


def uneven_in(case: Case, direction: Sequence[Array]) -> dict[int, Bools]:
    """Return where outputs have a kink or a jump along a direction, if the op declares that it has such."""
    if not (case.info.kinks or case.info.tie_policy):
        return {o: np.zeros(real_size(case.specs[o]), bool) for o in case.outputs}
    return parted(case, sides_along(values_in(case, direction), 1.0, room_along(case, direction)).uneven)


def values_in(case: Case, direction: Sequence[Array]) -> Function:
    """Return the values of all of `case.outputs` as a function of how far one goes along a direction."""
    xs = [real_view(case.inputs[i]) for i in case.differentiable]
    ts = [real_view(t) for t in direction]

    def values(step: float) -> Floats:
        inputs = list(case.inputs)
        for i, x, t in zip(case.differentiable, xs, ts, strict=True):
            inputs[i] = from_real(x + step * t, case.inputs[i])
        return joined(case, case.compute(inputs))

    return values


def room_along(case: Case, direction: Sequence[Array]) -> Interval:
    """Return how far one can go along a direction, and back, until an element leaves its domain."""
    low, high = EVERYWHERE
    for i, t in zip(case.differentiable, direction, strict=True):
        if t.dtype.kind == "c" or not t.any():
            continue
        ends = case.domain(i)
        with np.errstate(all="ignore"):
            reach = [np.where(t == 0, np.inf, (end - case.inputs[i]) / t) for end in ends]
        for part in reach:
            high = min(high, float(np.min(part, initial=np.inf, where=part > 0)))
            low = max(low, float(np.max(part, initial=-np.inf, where=part < 0)))
    return low, high


def blocks(case: Case) -> list[list[int]]:
    """Return the inputs to differentiate by: each alone, and all together."""
    singles = [[i] for i in case.differentiable]
    return [*singles, list(case.differentiable)] if len(singles) > 1 else singles


def cotangents(rng: np.random.Generator, case: Case) -> list[Array]:
    """Return signed random cotangents for each of `case.outputs`."""
    return [signed(rng, case.specs[o].shape, case.specs[o].dtype) for o in case.outputs]


def named(block: Sequence[int]) -> str:
    """Return inputs in words."""
    return f"input {block[0]}" if len(block) == 1 else "inputs " + ", ".join(map(str, block))


def compiled_jvp(case: Case) -> Any:
    """Return the program from inputs, and tangents of `case.differentiable`, to tangents of `case.outputs`."""

    def make() -> Any:
        with case.graph() as (nodes, found):
            ys, xs = [found[o] for o in case.outputs], [nodes[i] for i in case.differentiable]
            given = [og.placeholder(x.shape, dtype=x.dtype) for x in xs]
            return og.RunTime(seed=case.seed).compile([*nodes, *given], og.jvp(ys, xs, given))

    return case.remembered("jvp", make)
