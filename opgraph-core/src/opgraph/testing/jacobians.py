"""Derivatives of an op, analytic and numerical, as real arrays that can be compared."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

import opgraph as og
from opgraph.testing.case import Case, Failed, Inconclusive, real_view
from opgraph.testing.numeric import (
    EVERYWHERE,
    Derivative,
    Function,
    Interval,
    Sides,
    along,
    numerical_jacobian,
    size_at,
    steady_sides,
)
from opgraph.testing.patterns import guess
from opgraph.testing.verdict import Bools, Finding, judge

Array: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.float64]
Pullback: TypeAlias = Callable[[Sequence[Array], Sequence[Array]], list[Array]]

_ScalarT = TypeVar("_ScalarT", bound=np.generic)
LARGEST = 64  # elements of an input, or of all outputs, for a whole Jacobian
BETWEEN = 1e-5  # by how much a gradient at a kink may leave the two sides' derivatives, which are rougher than others


def is_small(case: Case) -> bool:
    """Whether whole Jacobians are small enough to compute."""
    outputs = sum(real_size(case.specs[o]) for o in case.outputs)
    return outputs <= 4 * LARGEST and all(case.inputs[i].size <= LARGEST for i in case.differentiable)


def real_size(spec: og.Spec) -> int:
    """Return how many real numbers a value of `spec` has."""
    return int(np.prod(og.known_shape(spec.shape), dtype=int)) * (2 if spec.dtype.kind == "c" else 1)


def pullback(case: Case, unknown: bool = False, outputs: Sequence[int] | None = None) -> Pullback:
    """Return the function from inputs, and cotangents of `outputs`, to cotangents of `case.differentiable`.

    The other outputs have no cotangent at all. By default, all of `case.outputs` have.
    """
    chosen = tuple(case.outputs if outputs is None else outputs)
    return case.remembered(("pullback", unknown, chosen), lambda: _pullback(case, unknown, chosen))


def _pullback(case: Case, unknown: bool, outputs: Sequence[int]) -> Pullback:
    with case.graph(unknown) as (nodes, found):
        ys, xs = [found[o] for o in outputs], [nodes[i] for i in case.differentiable]
        given = [og.placeholder(y.shape, dtype=y.dtype) for y in ys]
        program = og.RunTime(seed=case.seed).compile([*nodes, *given], og.vjp(ys, xs, given))
    return lambda inputs, cotangents: program(*inputs, *cotangents)


def basis(spec: og.Spec) -> list[Array]:
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


def zeros(spec: og.Spec) -> Array:
    """Return zeros of `spec`."""
    return np.zeros(og.known_shape(spec.shape), spec.dtype)


def signed(rng: np.random.Generator, shape: og.Shape | tuple[int, ...], dtype: Any) -> Array:
    """Return numbers of both signs that are neither small nor alike."""
    sizes = tuple(og.known_shape(og.Shape(shape)))
    parts = [rng.uniform(0.5, 1.5, sizes) * rng.choice([-1.0, 1.0], sizes) for _ in range(2)]
    return np.asarray(parts[0] + 1j * parts[1] if np.dtype(dtype).kind == "c" else parts[0], dtype)


def inner(a: Array, b: Array) -> tuple[float, float]:
    """Return the real inner product of two arrays, and the sum of the sizes of its terms."""
    terms = real_view(a) * real_view(b)
    return float(terms.sum()), float(np.abs(terms).sum())


def analytic_jacobians(case: Case, o: int, unknown: bool = False, alone: bool = False) -> dict[int, Floats]:
    """Return the derivatives of output `o` that the op's `vjp` gives, (outputs, …input…), by input.

    Parameters
    ----------
    alone
        Whether the other outputs have no cotangent, instead of a zero one.
    """
    key = ("analytic", o, unknown, alone)
    return case.remembered(key, lambda: _analytic_jacobians(case, o, unknown, alone))


def _analytic_jacobians(case: Case, o: int, unknown: bool, alone: bool) -> dict[int, Floats]:
    outputs = [o] if alone else case.outputs
    pull = pullback(case, unknown, outputs)
    rows: dict[int, list[Floats]] = {i: [] for i in case.differentiable}
    for cotangent in basis(case.specs[o]):
        given = [cotangent if k == o else zeros(case.specs[k]) for k in outputs]
        for i, g in zip(case.differentiable, pull(case.inputs, given), strict=True):
            rows[i].append(real_view(g))
    return {i: np.stack(row) if row else np.empty((0, *_real_shape(case, i))) for i, row in rows.items()}


def _real_shape(case: Case, i: int) -> tuple[int, ...]:
    x = case.inputs[i]
    return (*x.shape, 2) if x.dtype.kind == "c" else x.shape


def values_by(case: Case, i: int) -> Callable[[Floats], Floats]:
    """Return the real numbers of all of `case.outputs`, one after the other, as a function of those of input `i`."""
    inputs = list(case.inputs)

    def values(moved: Floats) -> Floats:
        inputs[i] = from_real(moved, case.inputs[i])
        return joined(case, case.compute(inputs))

    return values


def joined(case: Case, found: Sequence[Array]) -> Floats:
    """Return the real numbers of `case.outputs`, one output after the other."""
    return np.concatenate([real_view(found[o]).reshape(-1) for o in case.outputs])


def parted(case: Case, joint: NDArray[_ScalarT]) -> dict[int, NDArray[_ScalarT]]:
    """Return the parts of an array, along its first axis, that belong to each of `case.outputs`."""
    ends = np.cumsum([real_size(case.specs[o]) for o in case.outputs])
    return dict(zip(case.outputs, np.split(joint, ends[:-1]), strict=True))


def rounding(case: Case) -> Floats:
    """Return the units in the last place of all of `case.outputs` where they are narrower than float64, else 0."""

    def make() -> Floats:
        found = case.compute()
        units = []
        for o in case.outputs:
            limits = np.finfo(found[o].dtype)
            size = np.nan_to_num(np.abs(real_view(found[o]).reshape(-1)), posinf=0.0)
            units.append(size * float(limits.eps) if limits.bits < 64 else np.zeros_like(size))
        return np.concatenate(units)

    return case.remembered("rounding", make)


def numeric_jacobians(case: Case, i: int) -> dict[int, Derivative]:
    """Return the derivatives of each output by input `i` from differences of the kernel's values."""

    def make() -> dict[int, Derivative]:
        found = numerical_jacobian(values_by(case, i), real_view(case.inputs[i]), case.domain(i), rounding(case))
        parts = [parted(case, part) for part in found]
        return {o: Derivative(*(part[o] for part in parts)) for o in case.outputs}

    return case.remembered(("numeric", i), make)


def from_real(parts: Floats, like: Array) -> Array:
    """Return the array of the kind of `like` whose real numbers are `parts`."""
    return np.asarray(parts[..., 0] + 1j * parts[..., 1]) if like.dtype.kind == "c" else parts


def sides_at(case: Case, i: int, element: tuple[int, ...]) -> dict[int, Sides]:
    """Return what each output does on the two sides of one real number of input `i`."""
    x = real_view(case.inputs[i])
    at, (low, high) = float(x[element]), case.domain(i)
    found = steady_sides(along(values_by(case, i), x, element), size_at(x, element), (low - at, high - at))
    parts = [parted(case, part) for part in found]
    return {o: Sides(*(part[o] for part in parts)) for o in case.outputs}


def uneven_of(f: Function, x: Floats, element: tuple[int, ...], room: Interval = EVERYWHERE) -> bool:
    """Whether `f`, of how far an element of `x` is moved, has a kink or a jump there."""
    return bool(steady_sides(f, size_at(x, element), room).uneven.any())


def compare(analytic: Floats, numeric: Derivative, what: str, case: Case, o: int, i: int) -> None:
    """Raise where derivatives of output `o` by input `i` disagree, or differences are too rough to tell.

    Where the op declares kinks or ties, a gradient between the derivatives of the two sides is right there.
    """
    if analytic.shape != numeric.value.shape:
        pattern = guess(analytic, numeric.value)
        raise Failed(f"{what} has shape {analytic.shape[1:]}", pattern=pattern)
    finding = judge(analytic, numeric, nan_is_right=case.info.nan_gradient)
    if finding is None:
        return
    if case.info.kinks or case.info.tie_policy:
        finding = judge(analytic, numeric, _between_sides(analytic, finding, case, o, i), case.info.nan_gradient)
        if finding is None:
            return
    row, *element = finding.index
    sides = sides_at(case, i, tuple(element))[o]
    raise told(finding, what, analytic, numeric, sides=sides, row=row, x=case.inputs[i], y=case.specs[o])


def _between_sides(analytic: Floats, finding: Finding, case: Case, o: int, i: int) -> Bools:
    """Return where the function has a kink and the gradient lies between the derivatives of its sides."""
    columns, flat = finding.places.reshape(len(analytic), -1), analytic.reshape(len(analytic), -1)
    fine = np.zeros(flat.shape, bool)
    for k in np.flatnonzero(columns.any(axis=0)):
        place = np.unravel_index(k, analytic.shape[1:]) if analytic.ndim > 1 else ()
        sides = sides_at(case, i, tuple(int(index) for index in place))[o]
        lowest, highest = np.minimum(sides.left, sides.right), np.maximum(sides.left, sides.right)
        fine[:, k] = sides.uneven & between(flat[:, k], lowest, highest)
    return fine.reshape(analytic.shape)


def between(value: Floats, lowest: Floats, highest: Floats) -> Bools:
    """Return where gradients lie between the derivatives of the points around."""
    room = BETWEEN * np.fmax(np.abs(lowest), np.abs(highest))
    return np.asarray((lowest - room <= value) & (value <= highest + room))


def told(
    finding: Finding,
    what: str,
    analytic: Floats,
    numeric: Derivative,
    *,
    x: Array | None = None,
    y: og.Spec | None = None,
    sides: Sides | None = None,
    row: int = 0,
    hint: str = "",
) -> Failed:
    """Return the failure that tells of a finding: where, values, what is on the two sides, a guess at the pattern.

    Parameters
    ----------
    x, y
        The input, and the output, that the derivatives are of.
    sides, row
        What the outputs do on the two sides of the worst place, and the output's place.
    hint
        What else may explain it, if no pattern is seen.
    """
    data: dict[str, Any] = {
        "index": finding.index,
        "analytic": finding.analytic,
        "numeric": finding.numeric,
        "error": finding.error,
    }
    lines = [f"{what} at {_place(finding.index, y)}: {finding}"]
    if sides is not None:
        left, right, kind = float(sides.left[row]), float(sides.right[row]), sides.kind(row)
        data.update(left=left, right=right, kind=kind)
        if kind in ("kink", "jump"):
            lines.append(
                f"from the left the derivative is {left:.6g}, from the right {right:.6g}: a {kind}; move the sample "
                "away from it, or declare info.kinks or info.tie_policy"
            )
            hint = hint or "only at ties or kinks"
    if finding.kind == "wrong":
        inner_shape, parts = (x.shape, x.dtype.kind == "c") if x is not None else (analytic.shape[1:], False)
        outer = og.known_shape(y.shape) if y is not None else ()
        pattern = hint or guess(analytic, numeric.value, inner_shape, outer, parts)
        if pattern:
            data["pattern"] = pattern
    return (Failed if finding.kind == "wrong" else Inconclusive)("\n".join(lines), **data)


def _place(index: tuple[int, ...], y: og.Spec | None) -> str:
    """Return where in the Jacobian something is, in words."""
    row, *element = index
    if y is None:
        return str(tuple(element)) if element else "()"
    shape = (*og.known_shape(y.shape), 2) if y.dtype.kind == "c" else og.known_shape(y.shape)
    output = tuple(int(k) for k in np.unravel_index(row, shape)) if shape else ()
    return f"{output} by {tuple(element)}"
