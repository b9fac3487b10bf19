"""Narrow floats against float64."""

from collections.abc import Sequence

import numpy as np

import opgraph as og
from opgraph.testing.case import Case, Failed, real_view
from opgraph.testing.check import NOTHING
from opgraph.testing.derivatives import DerivativeCheck, cotangents
from opgraph.testing.jacobians import Array, Pullback, is_small, numeric_jacobians, pullback

NARROW = {np.dtype(np.float64): np.dtype(np.float32), np.dtype(np.complex128): np.dtype(np.complex64)}
HALF = {np.dtype(np.float64): np.dtype(np.float16)}
WOBBLES = 6  # how often inputs are moved by a unit in their last place, to see what that does to a gradient
# units in the last place: an op makes a few roundings, its gradient is made of several ops; what depends on the
# inputs' last place is measured and added
UNITS = 32.0


class Precision(DerivativeCheck):
    """In float32, and float16 where the op takes it, values and gradients are those of float64 but for rounding."""

    name = "precision"

    def on_case(self, case: Case) -> str | None:
        if not any(x.dtype in NARROW for i, x in enumerate(case.inputs) if i not in case.unread):
            return NOTHING
        return self.hold(case)

    def hold(self, case: Case) -> str | None:
        looked = 0
        for dtypes in (NARROW, HALF):
            narrow = narrowed(case, dtypes)
            if narrow is None:
                continue
            # the same values, exactly, in more digits
            wide = case.with_inputs([x.astype(y.dtype) for x, y in zip(narrow.inputs, case.inputs, strict=True)])
            looked += 1
            if dtypes is NARROW:
                _hold_dtypes(narrow)
            unit = _eps(next(iter(dtypes.values())))
            _hold_values(narrow, wide, case, unit)
            if case.has_gradient:
                _hold_gradients(narrow, wide, case, unit)
        return None if looked else NOTHING


def narrowed(case: Case, dtypes: dict[np.dtype, np.dtype]) -> Case | None:
    """Return the op in narrower dtypes, or ``None`` if it takes none such."""
    if any(x.dtype.kind in "fc" and x.dtype not in dtypes for x in case.inputs):
        return None
    chosen = [value for value in case.op.attributes().values() if isinstance(value, np.dtype)]
    if any(dtype.kind in "fc" and dtype not in dtypes for dtype in chosen):
        return None  # the op is told to be wider
    attrs = {
        key: dtypes.get(value, value) if isinstance(value, np.dtype) else value
        for key, value in case.op.attributes().items()
    }
    with np.errstate(all="ignore"):
        inputs = [x.astype(dtypes.get(x.dtype, x.dtype)) for x in case.inputs]
    if not all(np.isfinite(x).all() for x in inputs if x.dtype.kind in "fc"):
        return None
    for i, x in enumerate(inputs):
        low, high = case.domain(i)
        if x.dtype.kind == "f" and not ((low < x) & (x < high)).all():  # rounded out of where it may be
            return None
    try:
        narrow = Case(type(case.op)(**attrs), tuple(inputs), case.name, case.seed, case.attrs)
        narrow.specs  # noqa: B018  # raises where the dtype is refused
    except og.OpgraphError:
        return None
    return narrow


def _hold_dtypes(narrow: Case) -> None:
    """Raise where an output is of double precision, though no input and no attribute is."""
    for o in narrow.outputs:
        if narrow.specs[o].dtype in NARROW:
            given = ", ".join(str(x.dtype) for x in narrow.inputs)
            raise Failed(
                f"output {o} is {narrow.specs[o].dtype} for inputs of {given}; it should be no wider: a constant of "
                "double precision may have widened it",
                output=o,
            )


def _hold_values(narrow: Case, wide: Case, case: Case, unit: float) -> None:
    found, wanted = narrow.compute(), wide.compute()
    rooms = (
        [unit * _conditioned(case, o, wanted[o]) for o in wide.outputs]
        if is_small(case)
        else _moved(wide, wanted, unit)
    )
    for o, room in zip(wide.outputs, rooms, strict=True):
        if found[o].dtype != wanted[o].dtype:
            _hold(found[o], wanted[o], room, unit, f"output {o}")


def _conditioned(case: Case, o: int, value: Array) -> Array:
    """Return what inputs that are off by a part of themselves do to an output: that part of the sum of |J| |x|."""
    total = np.zeros(value.shape)
    for i in case.differentiable:
        slopes = numeric_jacobians(case, i)[o].value
        terms = np.abs(slopes) * np.abs(real_view(case.inputs[i]))
        per_row = np.nansum(terms, axis=tuple(range(1, terms.ndim)))
        if value.dtype.kind == "c":
            per_row = per_row.reshape(-1, 2).sum(axis=-1)
        total += per_row.reshape(value.shape)
    return total


def _moved(wide: Case, wanted: Sequence[Array], unit: float) -> list[Array]:
    """Return the same, of `wide.outputs`, where the Jacobian is too large: what moved inputs do to them at most."""
    rng = wide.rng("precision of values")
    total = [np.zeros(wanted[o].shape) for o in wide.outputs]
    for _ in range(WOBBLES):
        near = wide.compute(
            [_wobbled(rng, x, unit) if i in wide.differentiable else x for i, x in enumerate(wide.inputs)]
        )
        with np.errstate(all="ignore"):
            total = [np.fmax(room, np.abs(near[o] - wanted[o])) for o, room in zip(wide.outputs, total, strict=True)]
    return total


def _hold_gradients(narrow: Case, wide: Case, case: Case, unit: float) -> None:
    rng = wide.rng("precision")
    specs = narrow.specs
    us = [u.astype(specs[o].dtype) for o, u in zip(wide.outputs, cotangents(rng, wide), strict=True)]
    wider = [u.astype(wide.specs[o].dtype) for o, u in zip(wide.outputs, us, strict=True)]
    pull = pullback(case)
    wanted = pull(wide.inputs, wider)
    pulled = _narrow_pullback(narrow, wide.differentiable)(narrow.inputs, us)
    moved = [np.zeros(g.shape) for g in wanted]
    for _ in range(WOBBLES):
        inputs = [x if i not in wide.differentiable else _wobbled(rng, x, unit) for i, x in enumerate(wide.inputs)]
        for total, g, near in zip(moved, wanted, pull(inputs, [_wobbled(rng, u, unit) for u in wider]), strict=True):
            with np.errstate(all="ignore"):
                np.fmax(total, np.abs(near - g), out=total)
    for i, found, g, room in zip(wide.differentiable, pulled, wanted, moved, strict=True):
        if found.dtype != narrow.inputs[i].dtype:
            raise Failed(
                f"the gradient by input {i} is {found.dtype} for an input of {narrow.inputs[i].dtype}", input=i
            )
        # a slope such as s * (1 - s) cancels where it is small beside the others
        with np.errstate(all="ignore"):
            room += unit / 4.0 * float(np.max(np.abs(g), initial=0.0, where=np.isfinite(g)))
        _hold(found, g, room, unit, f"the gradient by input {i}")


def _narrow_pullback(narrow: Case, inputs: Sequence[int]) -> Pullback:
    with narrow.graph() as (nodes, found):
        ys = [found[o] for o in narrow.outputs]
        given = [og.placeholder(y.shape, dtype=y.dtype) for y in ys]
        program = og.RunTime(seed=narrow.seed).compile([*nodes, *given], og.vjp(ys, [nodes[i] for i in inputs], given))
    return lambda at, us: program(*at, *us)


def _wobbled(rng: np.random.Generator, x: Array, unit: float) -> Array:
    # not all by the same amount: two terms that cancel would do so again as often as their signs agree
    return np.asarray(x * (1.0 + unit * rng.standard_normal(x.shape)))


def _eps(dtype: np.dtype) -> float:
    return float(np.finfo(dtype).eps)


def _hold(found: Array, wanted: Array, room: Array, unit: float, what: str) -> None:
    """Raise where a narrow value is off by more than its own rounding and that of what it depends on."""
    limits = np.finfo(found.dtype)
    with np.errstate(all="ignore"):
        size = np.abs(wanted)
        allowed = UNITS * (unit * size + room) + float(limits.tiny)
        distance = np.abs(found.astype(wanted.dtype) - wanted)
        representable = size < 0.25 * float(limits.max)
        wrong = np.where(np.isfinite(wanted), ~(distance <= allowed) & representable, False)
        wrong |= np.isnan(wanted) & ~np.isnan(found)
    if wrong.any():
        worst = np.unravel_index(
            np.argmax(np.where(wrong, np.nan_to_num(distance / allowed, nan=np.inf), -1.0)), wrong.shape
        )
        index = tuple(int(k) for k in worst)
        raise Failed(
            f"{what} at {index} is {found[index]:.9g} in {found.dtype}, {wanted[index]:.9g} in {wanted.dtype} on the "
            f"same values; rounding explains {float(np.broadcast_to(allowed, wrong.shape)[index]):.2g}; "
            f"{int(wrong.sum())} of {wrong.size} are off",
            index=index,
            found=str(found[index]),
            expected=str(wanted[index]),
            pattern=f"only in {found.dtype}",
        )
