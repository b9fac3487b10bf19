"""Gradients of large inputs against differences along random directions, and of single elements."""

import itertools

import numpy as np

from opgraph.testing.case import Case, Inconclusive, real_view
from opgraph.testing.derivatives import DerivativeCheck, blocks, cotangents, derivative_in, named, tangents, uneven_in
from opgraph.testing.jacobians import Array, inner, is_small, pullback, rounding, told, values_by
from opgraph.testing.numeric import EPS, UNITS, Derivative, along, derivative_along, size_of
from opgraph.testing.verdict import TRUSTED_ERROR, Bools, judge

PROJECTIONS = 2  # random ones for each block of inputs, by each ladder of steps
MOST_ELEMENTS = 24  # of one input, looked at one by one
UNTRUSTED = 0.25  # of the outputs may be near a kink, and are left out


class VjpProbe(DerivativeCheck):
    """Where inputs are large, the `vjp` agrees with differences along random directions and at borders and centre."""

    name = "vjp_probe"

    def hold(self, case: Case) -> str | None:
        if is_small(case):
            return "small enough for the full Jacobian"
        rng = case.rng(self.name)
        for block in blocks(case):
            for relative in (False, True) * PROJECTIONS:
                _hold_projection(case, block, relative, rng)
        for i in case.differentiable:
            _hold_elements(case, i, rng)
        return None


def _hold_projection(case: Case, block: list[int], relative: bool, rng: np.random.Generator) -> None:
    """Compare <u, J t>, of differences, with <transposed(J) u, t>."""
    direction = tangents(rng, case, block, relative)
    us = cotangents(rng, case)
    value = error = noise = 0.0
    found, uneven = derivative_in(case, direction), uneven_in(case, direction)
    for o, u in zip(case.outputs, us, strict=True):
        bad = _untrusted(found[o], uneven[o], f"output {o} along {named(block)}")
        slope, rough, unit = (np.where(bad, 0.0, part) for part in found[o])
        _without(u, bad)
        parts = real_view(u).reshape(-1)
        value += float(np.sum(parts * slope))
        error += float(np.sum(np.abs(parts) * rough))
        # what cancels in this sum is as good as noise
        noise += float(np.sum(np.abs(parts) * (unit + EPS * np.abs(slope))))
    pulled = pullback(case)(case.inputs, us)
    product, terms = (sum(part) for part in zip(*map(inner, pulled, direction), strict=True))
    numeric = Derivative(*(np.array([part]) for part in (value, error + EPS * terms, noise + EPS * terms)))
    analytic = np.array([product])
    finding = judge(analytic, numeric)
    if finding is not None:
        ladder = "relative to each element" if relative else "of one size"
        what = f"the derivative of a random combination of the outputs by {named(block)}, along random steps {ladder},"
        raise told(finding, what, analytic[None], Derivative(*(part[None] for part in numeric)), hint="")


def _untrusted(found: Derivative, uneven: Bools, what: str) -> Bools:
    """Return which derivatives are at a kink or too rough; raise where they are too many."""
    size = np.abs(found.value)
    scale = float(np.max(size, initial=0.0, where=np.isfinite(size)))
    bad = uneven | ~(
        found.error <= np.maximum(TRUSTED_ERROR * np.maximum(size, TRUSTED_ERROR * scale), UNITS * found.noise)
    )
    if bad.sum() > UNTRUSTED * bad.size:
        raise Inconclusive(f"{what}: differences are too rough at {int(bad.sum())} of {bad.size} elements")
    return bad


def _without(u: Array, bad: Bools) -> None:
    """Set to zero those of the real numbers of `u` that are marked."""
    if u.dtype.kind == "c":
        u.reshape(-1).view(np.float64)[bad] = 0.0
    else:
        u.reshape(-1)[bad] = 0.0


def _hold_elements(case: Case, i: int, rng: np.random.Generator) -> None:
    """Compare the derivatives of a random combination of the outputs by single elements of input `i`."""
    x = real_view(case.inputs[i])
    elements = [
        (*index, *tail)
        for index in _telling(case.inputs[i].shape)
        for tail in np.ndindex(x.shape[case.inputs[i].ndim :])
    ]
    us = cotangents(rng, case)
    weights = np.concatenate([real_view(u).reshape(-1) for u in us])
    pulled = real_view(pullback(case)(case.inputs, us)[case.differentiable.index(i)])
    scale = size_of(x)
    analytic, parts = [], []
    for element in elements:
        at, (low, high) = float(x[element]), case.domain(i)
        steps = sorted({scale, abs(at) or scale})
        slope, rough, unit = derivative_along(
            along(values_by(case, i), x, element), steps, (low - at, high - at), rounding(case)
        )
        sizes = np.abs(weights)
        parts.append((np.sum(weights * slope), np.sum(sizes * rough), np.sum(sizes * (unit + EPS * np.abs(slope)))))
        analytic.append(pulled[element])
    if not elements:
        return
    found, numeric = np.array([analytic]), Derivative(*(np.array([part]) for part in zip(*parts, strict=True)))
    finding = judge(found, numeric)
    if finding is not None:
        wrong = [elements[k] for k in np.flatnonzero(finding.places[0])]
        border = [_is_border(element, case.inputs[i].shape) for element in wrong]
        hint = "only at the border" if all(border) and len(wrong) < len(elements) else ""
        what = f"the derivative of a random combination of the outputs by input {i} at {elements[finding.index[1]]}"
        raise told(finding, what, found, numeric, hint=hint)


def _telling(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return indices of corners, edges, what is next to them, and the centre: the corners and the centre first."""
    if 0 in shape:
        return []
    ends = itertools.product(*[(0, size - 1) for size in shape])
    centre = tuple(size // 2 for size in shape)
    edges = [
        tuple(end if axis == k else middle for k, middle in enumerate(centre))
        for axis, size in enumerate(shape)
        for end in (0, min(1, size - 1), max(size - 2, 0), size - 1)
    ]
    # equal ones once, in this order
    found = list(dict.fromkeys([centre, *itertools.islice(ends, 8), *edges]))
    return found[:MOST_ELEMENTS]


def _is_border(element: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return any(size > 2 and k in (0, size - 1) for k, size in zip(element, shape, strict=False))
