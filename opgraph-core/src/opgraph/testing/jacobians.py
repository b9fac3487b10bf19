"""Derivatives of an op, analytic and numerical, as real matrices that can be compared."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import opgraph as og
from opgraph.testing.case import Case, Failed, Inconclusive, real_view
from opgraph.testing.numeric import Derivative, numerical_jacobian

RELATIVE_TOLERANCE = 1e-7  # a wrong formula is off by a good part of the value, rounding by far less
TRUSTED_ERROR = 1e-3
FLOOR = 1e-12  # of the largest derivative; what cancels to less is rounding

Pullback: TypeAlias = Callable[[Sequence[NDArray[Any]], Sequence[NDArray[Any]]], list[NDArray[Any]]]


def pullback(case: Case, unknown: bool = False) -> Pullback:
    """Return the function from inputs, and cotangents of `case.outputs`, to cotangents of `case.differentiable`."""
    with case.graph(unknown) as (nodes, outputs):
        ys, xs = [outputs[o] for o in case.outputs], [nodes[i] for i in case.differentiable]
        given = [og.placeholder(y.shape, dtype=y.dtype) for y in ys]
        program = og.RunTime(seed=case.seed).compile([*nodes, *given], og.vjp(ys, xs, given))
    return lambda inputs, cotangents: program(*inputs, *cotangents)


def basis(spec: og.Spec) -> list[NDArray[Any]]:
    """Return the arrays of `spec` that pick one real number each out of a value: as many as it has."""
    shape = og.known_shape(spec.shape)
    units = [1.0] if spec.dtype.kind == "f" else [1.0, 1j]
    found = []
    for index in np.ndindex(shape):
        for unit in units:
            array = np.zeros(shape, spec.dtype)
            array[index] = unit
            found.append(array)
    return found


def analytic_jacobian(case: Case, o: int, i: int, pull: Pullback) -> NDArray[np.float64]:
    """Return the derivatives of output `o` by input `i` that the op's `vjp` gives: (outputs, …input…)."""
    zeros = [np.zeros(og.known_shape(case.specs[k].shape), case.specs[k].dtype) for k in case.outputs]
    rows = []
    for cotangent in basis(case.specs[o]):
        given = [cotangent if k == o else zero for k, zero in zip(case.outputs, zeros, strict=True)]
        rows.append(real_view(pull(case.inputs, given)[case.differentiable.index(i)]))
    x = real_view(case.inputs[i])
    return np.stack(rows) if rows else np.empty((0, *x.shape))


def numeric_jacobian(case: Case, o: int, i: int) -> Derivative:
    """Return the derivatives of output `o` by input `i` from differences of the kernel's values."""
    inputs = list(case.inputs)

    def values(moved: NDArray[np.float64]) -> NDArray[np.float64]:
        inputs[i] = complex_from(moved) if case.inputs[i].dtype.kind == "c" else moved
        return real_view(case.compute(inputs)[o]).reshape(-1)

    return numerical_jacobian(values, real_view(case.inputs[i]), case.domain(i))


def complex_from(parts: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Return the complex numbers whose parts lie along the last axis."""
    return np.asarray(parts[..., 0] + 1j * parts[..., 1])


def compare(analytic: NDArray[np.float64], numeric: Derivative, what: str, case: Case) -> None:
    """Raise where derivatives disagree, or differences are too rough to tell.

    For each element, the difference may be 4 times the estimated error, 1e-7 of the larger of the two, and 1e-12 of
    the largest of all; the estimated error may be a thousandth of the value, or what rounding makes of 0.
    """
    value, error, noise = numeric
    if analytic.shape != value.shape:
        raise Failed(f"{what} has shape {analytic.shape}, differences have {value.shape}")
    if not value.size:
        return
    size = np.maximum(np.abs(analytic), np.abs(value))
    largest = float(np.nanmax(size, initial=0.0))
    off = np.abs(analytic - value)
    wrong = ~(off <= 4 * error + RELATIVE_TOLERANCE * size + FLOOR * largest)
    # rounding in what is 0 is no reason to doubt; a hundred times more than one unit comes of the extrapolation
    trusted = np.maximum(TRUSTED_ERROR * np.maximum(size, TRUSTED_ERROR * largest), 100 * noise)
    rough = ~(error <= trusted)
    for mask, kind in ((wrong & ~rough, Failed), (rough, Inconclusive)):
        if mask.any():
            excess = np.where(mask, np.where(np.isfinite(off), off, np.inf), -1.0)
            worst = tuple(int(k) for k in np.unravel_index(np.argmax(excess), excess.shape))
            raise kind(
                f"{what} at {worst}: the gradient says {analytic[worst]:.10g}, differences {value[worst]:.10g} "
                f"± {error[worst]:.1g}; {np.count_nonzero(mask)} of {mask.size} are off",
                index=worst,
                analytic=float(analytic[worst]),
                numeric=float(value[worst]),
                error=float(error[worst]),
            )
