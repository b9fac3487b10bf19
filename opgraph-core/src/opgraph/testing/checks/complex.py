"""Ops that take complex numbers."""

import numpy as np

import opgraph as og
from opgraph.testing import watch
from opgraph.testing.case import Case, Failed, real_view
from opgraph.testing.check import NOTHING
from opgraph.testing.derivatives import DerivativeCheck, blocks, cotangents, derivative_in, tangents, uneven_in
from opgraph.testing.jacobians import Array, analytic_jacobians, compare, is_small, numeric_jacobians, pullback, told
from opgraph.testing.numeric import Derivative
from opgraph.testing.verdict import judge

ANGLE = 0.5  # numbers are turned by at most so much, which keeps them off the branch cuts of what takes positive ones
REFUSING = 'refuse them: refuses = "c" in an Elementwise op, DtypeError from infer in any other'
ROUNDING = 1e-12  # of the largest value: complex arithmetic takes other steps


class Complex(DerivativeCheck):
    """On complex numbers, where the op takes them, the `vjp` agrees with differences, and on real ones with itself."""

    name = "complex"

    def hold(self, case: Case) -> str | None:
        reals = [i for i in case.differentiable if case.inputs[i].dtype.kind == "f"]
        if not reals or not is_small(case):
            return NOTHING
        embedded = case.with_inputs([x + 0j if i in reals else x for i, x in enumerate(case.inputs)])
        try:
            embedded.specs  # noqa: B018  # raises where complex numbers are refused
        except og.OpgraphError:
            return "takes no complex numbers"
        try:
            _hold_embedded(case, embedded)
        except Failed:
            raise
        # a kernel that was not written for complex numbers may raise anything
        except Exception as error:
            raise Failed(
                f"infer lets complex numbers in, but then {watch.explained(error)}\n"
                f"if they have no meaning here, {REFUSING}",
                raised=type(error).__name__,
            ) from error
        if not embedded.outputs:
            return NOTHING
        rng = case.rng(self.name)
        turned = [
            x * np.exp(1j * rng.uniform(0.1, ANGLE, x.shape) * rng.choice([-1.0, 1.0], x.shape)) if i in reals else x
            for i, x in enumerate(case.inputs)
        ]
        moved = case.with_inputs(turned)
        if not all(np.isfinite(part).all() for part in moved.compute() if part.dtype.kind in "fc"):
            return NOTHING
        for block in blocks(moved):
            for part in (1.0, 1j, None):
                direction = tangents(rng, moved, block)
                if part is not None:  # the real or the imaginary parts alone
                    direction = [np.asarray(part * t.real, t.dtype) if t.dtype.kind == "c" else t for t in direction]
                try:
                    _hold_along(moved, direction)
                except Failed as failure:
                    raise _with_ways_out(failure) from None
        return None


def _with_ways_out(failure: Failed) -> Failed:
    """Return a failure of a gradient that says what an author may do about it."""
    if failure.verdict == "fail":
        failure.detail += (
            "\nwhere complex numbers have a meaning, vjp multiplies the cotangent by og.conj(…) of a derivative; "
            f"where they have none, {REFUSING}"
        )
    return failure


def _hold_along(case: Case, direction: list[Array]) -> None:
    """Compare derivatives along a direction; where they disagree, tell by single elements."""
    ts = [real_view(t) for t in direction]
    for o, numeric in derivative_in(case, direction).items():
        slopes = analytic_jacobians(case, o)
        products = [slopes[i] * t for i, t in zip(case.differentiable, ts, strict=True)]
        analytic = np.sum([part.sum(axis=tuple(range(1, part.ndim))) for part in products], axis=0)
        finding = judge(analytic, numeric, uneven_in(case, direction)[o], case.info.nan_gradient)
        if finding is None:
            continue
        what = f"on complex numbers, the derivative of output {o} by the parts of "
        for i in case.differentiable:
            compare(slopes[i], numeric_jacobians(case, i)[o], f"{what}input {i}", case, o, i)
        shaped = Derivative(*(part[None] for part in numeric))
        raise told(finding, f"{what}all inputs, along a random step,", analytic[None], shaped)


def _hold_embedded(case: Case, embedded: Case) -> None:
    """Hold values and gradients at complex numbers that are real to those at the real numbers."""
    found, wanted = embedded.compute(), case.compute()
    for o in case.outputs:
        _hold_equal(found[o], wanted[o], f"output {o}")
    shared = [o for o in case.outputs if o in embedded.outputs]
    us = cotangents(case.rng("embedded"), case)
    given = [u.astype(embedded.specs[o].dtype) for o, u in zip(case.outputs, us, strict=True) if o in shared]
    pulled = pullback(embedded, outputs=shared)(embedded.inputs, given)
    expected = pullback(case, outputs=shared)(
        case.inputs, [u for o, u in zip(case.outputs, us, strict=True) if o in shared]
    )
    for i, a, b in zip(case.differentiable, pulled, expected, strict=True):
        _hold_equal(a.real, b.real, f"the real part of the gradient by input {i}")


def _hold_equal(found: np.ndarray, wanted: np.ndarray, what: str) -> None:
    a, b = (real_view(part + 0j) for part in (found, wanted))
    wrong = ~((np.abs(a - b) <= ROUNDING * float(np.abs(b).max(initial=0.0))) | (np.isnan(a) & np.isnan(b)) | (a == b))
    if wrong.any():
        index = tuple(int(k) for k in np.argwhere(wrong)[0])[: found.ndim]
        raise Failed(
            f"{what} at {index} is {found[index]:.10g} for real numbers given as complex, else {wanted[index]:.10g}",
            index=index,
            found=str(found[index]),
            expected=str(wanted[index]),
        )
