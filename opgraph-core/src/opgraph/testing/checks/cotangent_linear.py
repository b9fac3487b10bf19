"""Gradients as functions of the cotangent."""

from collections.abc import Sequence

import numpy as np

from opgraph.testing.case import Case, Failed, real_view
from opgraph.testing.derivatives import DerivativeCheck, cotangents
from opgraph.testing.jacobians import Array, pullback, zeros

TOLERANCE = 1e-11  # of the largest of an input's gradients: sums round, in another order perhaps
SCALES = (-2.0, 2.0**-80, 2.0**80)  # tiny and huge ones show a constant that was added, or a threshold


class CotangentLinear(DerivativeCheck):
    """The `vjp` is linear in the cotangents: zero gives zero, sums give sums, the outputs' shares add up."""

    name = "cotangent_linear"

    def hold(self, case: Case) -> str | None:
        rng = case.rng(self.name)
        pull = pullback(case)
        us, vs = cotangents(rng, case), cotangents(rng, case)
        of_us, of_vs = pull(case.inputs, us), pull(case.inputs, vs)
        largest = [float(np.max(np.abs(g), initial=0.0, where=np.isfinite(g))) for g in of_us]
        for i, g in zip(
            case.differentiable, pull(case.inputs, [zeros(case.specs[o]) for o in case.outputs]), strict=True
        ):
            if g.any() and not case.info.nan_gradient:
                index = tuple(int(k) for k in np.argwhere(g)[0])
                raise Failed(f"a zero cotangent gives {g[index]:.6g} by input {i} at {index}", index=index, input=i)
        _hold_equal(
            case,
            pull(case.inputs, [u + v for u, v in zip(us, vs, strict=True)]),
            [a + b for a, b in zip(of_us, of_vs, strict=True)],
            largest,
            "a sum of cotangents gives",
            "the sum of what each gives is",
        )
        for scale in SCALES:
            _hold_equal(
                case,
                pull(case.inputs, [scale * u for u in us]),
                [scale * g for g in of_us],
                [abs(scale) * size for size in largest],
                f"{scale:.3g} times the cotangents give",
                f"{scale:.3g} times what they give is",
            )
        if len(case.outputs) > 1:
            shares = [pullback(case, outputs=[o])(case.inputs, [u]) for o, u in zip(case.outputs, us, strict=True)]
            totals = [np.sum(gs, axis=0) for gs in zip(*shares, strict=True)]
            _hold_equal(case, of_us, totals, largest, "all outputs together give", "each of them alone, added, is")
        return None


def _hold_equal(
    case: Case, found: Sequence[Array], wanted: Sequence[Array], largest: Sequence[float], what: str, other: str
) -> None:
    for i, a, b, size in zip(case.differentiable, found, wanted, largest, strict=True):
        wrong = ~(np.abs(real_view(a) - real_view(b)) <= TOLERANCE * size)
        if case.info.nan_gradient:
            wrong &= ~(np.isnan(real_view(a)) & np.isnan(real_view(b)))
        if wrong.any():
            index = tuple(int(k) for k in np.argwhere(wrong)[0])
            place = index[: a.ndim]
            raise Failed(
                f"{what} {a[place]:.10g} by input {i} at {place}, {other} {b[place]:.10g}",
                index=place,
                input=i,
                found=str(a[place]),
                expected=str(b[place]),
            )
