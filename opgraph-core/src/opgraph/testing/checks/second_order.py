"""The gradient of the gradient against differences of the gradient."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import opgraph as og
from opgraph.testing.case import Case, real_view
from opgraph.testing.check import NOTHING, Check
from opgraph.testing.jacobians import compare, complex_from
from opgraph.testing.numeric import EVERYWHERE, numerical_jacobian

Array: TypeAlias = NDArray[Any]


class SecondOrder(Check):
    """The gradient of a random combination of the gradient's values, by every input and every cotangent."""

    name = "second_order"

    def on_case(self, case: Case) -> str | None:
        if not case.has_gradient:
            return NOTHING
        rng = case.rng(self.name)
        with case.graph() as (nodes, outputs):
            ys, xs = [outputs[o] for o in case.outputs], [nodes[i] for i in case.differentiable]
            us = [og.placeholder(y.shape, dtype=y.dtype) for y in ys]
            firsts = og.vjp(ys, xs, us)
            weights = [signed(rng, g.spec) for g in firsts]
            seconds = og.vjp(firsts, [*xs, *us], weights)
            runtime = og.RunTime(seed=case.seed)
            first = runtime.compile([*nodes, *us], firsts)
            second = runtime.compile([*nodes, *us], seconds)
        at = [*case.inputs, *(signed(rng, y.spec) for y in ys)]
        names = [f"input {i}" for i in case.differentiable] + [f"the cotangent of output {o}" for o in case.outputs]
        where = [*case.differentiable, *range(len(case.inputs), len(at))]
        for position, name, found in zip(where, names, second(*at), strict=True):
            moved = list(at)

            def combined(parts: Array, k: int = position, moved: list[Array] = moved) -> Array:
                moved[k] = complex_from(parts) if at[k].dtype.kind == "c" else parts
                gradients = first(*moved)
                return np.array([sum(_inner(g, w) for g, w in zip(gradients, weights, strict=True))])

            domain = case.domain(position) if position < len(case.inputs) else EVERYWHERE
            numeric = numerical_jacobian(combined, real_view(at[position]), domain)
            compare(real_view(found)[None], numeric, f"the second derivative by {name}", case)
        return None


def _inner(g: Array, w: Array) -> float:
    """Return the inner product of two arrays, real ones or of numbers as pairs of real ones."""
    return float(np.sum(np.real(g * np.conj(w))))


def signed(rng: np.random.Generator, spec: og.Spec) -> Array:
    """Return numbers of both signs that are neither small nor alike."""
    shape = og.known_shape(spec.shape)
    parts = [rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape) for _ in range(2)]
    return np.asarray(parts[0] + 1j * parts[1] if spec.dtype.kind == "c" else parts[0])
