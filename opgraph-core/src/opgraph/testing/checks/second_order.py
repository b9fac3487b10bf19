"""The gradient of the gradient against differences of the gradient."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import opgraph as og
from opgraph.testing.case import Case, Failed, real_view
from opgraph.testing.derivatives import DerivativeCheck, cotangents, room_along, tangents
from opgraph.testing.jacobians import LARGEST, Array, from_real, inner, signed, told, uneven_of
from opgraph.testing.numeric import EPS, EVERYWHERE, Derivative, Floats, along, derivative_along, numerical_jacobian
from opgraph.testing.variations import rounded_otherwise
from opgraph.testing.verdict import Bools, judge

SYMMETRY = 1e-9  # of the sum of the terms' sizes; the two sides are computed in different ways
NEARBY = 8  # points at which only rounding differs


class SecondOrder(DerivativeCheck):
    """The gradient's own gradient agrees with differences, by each input and cotangent; mixed ones are symmetric."""

    name = "second_order"

    def hold(self, case: Case) -> str | None:
        rng = case.rng(self.name)
        first, second = _programs(case)
        us = cotangents(rng, case)
        weights = [signed(rng, case.inputs[i].shape, case.inputs[i].dtype) for i in case.differentiable]
        at = [*case.inputs, *us]
        names = [f"input {i}" for i in case.differentiable] + [f"the cotangent of output {o}" for o in case.outputs]
        where = [*case.differentiable, *range(len(case.inputs), len(at))]
        found = second(*at, *weights)
        for position, name, analytic in zip(where, names, found, strict=True):
            what = f"the second derivative, of a random combination of the gradients by {name},"
            _hold(case, first, at, weights, position, analytic, what)
        _hold_symmetry(case, second, at, rng)
        return None


def _programs(case: Case) -> tuple[Any, Any]:
    """Return the programs from inputs and cotangents to gradients, and with weights to those of their combination."""

    def make() -> tuple[Any, Any]:
        with case.graph() as (nodes, outputs):
            ys, xs = [outputs[o] for o in case.outputs], [nodes[i] for i in case.differentiable]
            us = [og.placeholder(y.shape, dtype=y.dtype) for y in ys]
            firsts = og.vjp(ys, xs, us)
            weights = [og.placeholder(g.shape, dtype=g.dtype) for g in firsts]
            seconds = og.vjp(firsts, [*xs, *us], weights)
            runtime = og.RunTime(seed=case.seed)
            return runtime.compile([*nodes, *us], firsts), runtime.compile([*nodes, *us, *weights], seconds)

    return case.remembered("second_order", make)


def _hold(
    case: Case, first: Any, at: list[Array], weights: list[Array], position: int, found: Array, what: str
) -> None:
    """Compare derivatives by one of the inputs or cotangents with differences of <weights, gradients>."""
    moved, like = list(at), at[position]
    start = real_view(like)

    def gradients(parts: Floats) -> Floats:
        moved[position] = from_real(parts, like)
        return np.concatenate([real_view(g).reshape(-1) for g in first(*moved)])

    flat = np.concatenate([real_view(w).reshape(-1) for w in weights])

    def combined(parts: Floats) -> Floats:
        return np.array([gradients(parts) @ flat])

    if case.info.nan_gradient and not np.isfinite(combined(start)).all():
        return  # one NaN among the gradients makes their combination NaN, which tells nothing
    # what rounding makes of a sum is measured by its terms
    rounding = EPS * sum(inner(g, w)[1] for g, w in zip(first(*at), weights, strict=True))
    of_input = position < len(case.inputs)
    analytic = real_view(found)[None]
    if like.size <= LARGEST:
        domain = case.domain(position) if of_input else EVERYWHERE
        numeric = numerical_jacobian(combined, start, domain, rounding)
    else:
        rng = case.rng(what)
        direction = signed(rng, like.shape, like.dtype)
        room = EVERYWHERE
        if of_input:
            block = [position]
            direction = tangents(rng, case, block)[case.differentiable.index(position)]
            room = room_along(
                case, [direction if i == position else np.zeros_like(case.inputs[i]) for i in case.differentiable]
            )
        slope = real_view(direction)
        numeric = derivative_along(lambda step: combined(start + step * slope), [0.1, 1.0], room, rounding)
        product, terms = inner(found, direction)
        analytic = np.array([product])
        numeric = Derivative(numeric.value, numeric.error + EPS * terms, numeric.noise + EPS * terms)
        what += " along a random direction"
    finding = judge(analytic, numeric, nan_is_right=case.info.nan_gradient)
    if finding is not None and (case.info.kinks or case.info.tie_policy) and like.size <= LARGEST:
        excused = _at_kinks(gradients, start, finding.places)
        finding = judge(analytic, numeric, excused, case.info.nan_gradient)
    if finding is not None:
        if analytic.ndim == 1:
            analytic, numeric = analytic[None], Derivative(*(part[None] for part in numeric))
        raise told(finding, what, analytic, numeric, x=like if like.size <= LARGEST else None)


def _at_kinks(gradients: Callable[[Floats], Floats], start: Floats, places: Bools) -> Bools:
    """Return which of `places` are at a kink or a jump of any of the gradients."""
    fine = np.zeros(places.shape, bool)
    for element in np.argwhere(places[0]):
        place = tuple(int(k) for k in element)
        fine[(0, *place)] = uneven_of(along(gradients, start, place), start, place)
    return fine


def _hold_symmetry(case: Case, second: Any, at: list[Array], rng: np.random.Generator) -> None:
    """Compare <s, H t> with <t, H s>, for the matrix H of the second derivatives of <cotangents, outputs>."""
    s, t = ([signed(rng, case.inputs[i].shape, case.inputs[i].dtype) for i in case.differentiable] for _ in range(2))
    number = len(case.differentiable)

    def sides(at: Sequence[Array]) -> tuple[float, float, float]:
        of_t, of_s = second(*at, *t)[:number], second(*at, *s)[:number]
        left, right = ([inner(*pair) for pair in zip(*lists, strict=True)] for lists in ((s, of_t), (t, of_s)))
        (a, size_a), (b, size_b) = ((sum(p[0] for p in pairs), sum(p[1] for p in pairs)) for pairs in (left, right))
        return a, b, max(size_a, size_b)

    a, b, size = sides(at)
    if abs(a - b) <= SYMMETRY * size or (case.info.nan_gradient and np.isnan(a)):
        return
    # where H is 0 because its terms cancel, both sides are rounding, which is another at the next floats
    noise = 0.0
    for _ in range(NEARBY):
        near_a, near_b, _ = sides(rounded_otherwise(rng, at))
        noise = max(noise, abs((near_a - near_b) - (a - b)))
    if abs(a - b) <= 4 * noise:
        return
    raise Failed(
        f"mixed second derivatives depend on their order: <s, H t> is {a:.12g}, <t, H s> is {b:.12g}",
        pattern="the gradient is not that of any function: it is wrong itself, or its own gradient is",
    )
