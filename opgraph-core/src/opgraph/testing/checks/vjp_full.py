"""Every entry of the Jacobian against differences."""

from opgraph.testing.case import Case, Failed
from opgraph.testing.check import NOTHING, Check
from opgraph.testing.jacobians import analytic_jacobian, compare, numeric_jacobian, pullback

LARGEST = 64  # elements of an input or output; what is larger is left to `vjp_probe`


class VjpFull(Check):
    """The `vjp` gives every entry of the Jacobian, each output and input apart, for known and unknown sizes."""

    name = "vjp_full"

    def on_case(self, case: Case) -> str | None:
        if not (case.differentiable and case.outputs):
            return NOTHING
        if not case.op.has_vjp():
            raise Failed("takes floats to floats but defines no vjp; if it has no derivative, return None for zero")
        if any(case.inputs[i].size > LARGEST for i in case.differentiable):
            return "too large for the full Jacobian"
        numeric = {(o, i): numeric_jacobian(case, o, i) for o in case.outputs for i in case.differentiable}
        for unknown in (False, True):
            pull = pullback(case, unknown)
            for (o, i), expected in numeric.items():
                what = f"the derivative of output {o} by input {i}" + " (sizes unknown)" * unknown
                compare(analytic_jacobian(case, o, i, pull), expected, what, case)
        return None
