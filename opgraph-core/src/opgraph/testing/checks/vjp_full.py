"""Every entry of the Jacobian against differences."""

import numpy as np

import opgraph as og
from opgraph.testing.case import Case, Failed
from opgraph.testing.check import NOTHING
from opgraph.testing.declared import declared_samples
from opgraph.testing.derivatives import DerivativeCheck
from opgraph.testing.jacobians import analytic_jacobians, compare, is_small, numeric_jacobians
from opgraph.testing.numeric import UNITS, Derivative


class VjpFull(DerivativeCheck):
    """The `vjp` gives every entry of the Jacobian, each output and input apart, for known and unknown sizes."""

    name = "vjp_full"

    def on_op(self, op_class: type[og.Op], seed: int) -> str | None:
        """Hold that a Jacobian which is zero in all samples is declared, and no other is."""
        if not op_class.has_vjp():
            return NOTHING
        declared = (op_class.info or og.OpInfo()).zero_gradient
        seen: dict[int, bool] = {}
        for sample in declared_samples(op_class, seed):
            if sample.raises is not None:
                continue
            case = Case.of(op_class, sample, sample.id, seed)
            for i in case.differentiable if case.outputs and is_small(case) else ():
                if (
                    seen.get(i) is not False
                    and case.inputs[i].size
                    and any(case.specs[o].shape.size for o in case.outputs)
                ):
                    seen[i] = all(_is_zero(part) for part in numeric_jacobians(case, i).values())
        if not seen:
            return NOTHING
        for i, zero in seen.items():
            if zero and i not in declared:
                raise Failed(
                    f"every derivative by input {i} is zero in all samples, which shows nothing; if it should be, "
                    f"declare OpInfo(zero_gradient=({i},)), else add a sample where it is not",
                    input=i,
                )
        return None

    def on_case(self, case: Case) -> str | None:
        if case.differentiable and case.outputs and not case.op.has_vjp():
            raise Failed("takes floats to floats but defines no vjp; if it has no derivative, return None for zero")
        return super().on_case(case)

    def hold(self, case: Case) -> str | None:
        if not is_small(case):
            return "too large for the full Jacobian"
        for unknown in (False, True):
            for alone in (False, True) if len(case.outputs) > 1 else (False,):
                for o in case.outputs:
                    _hold_output(case, o, unknown, alone)
        return None


def _hold_output(case: Case, o: int, unknown: bool, alone: bool) -> None:
    notes = " (sizes unknown)" * unknown + " (the other outputs without cotangent)" * alone
    right: list[int] = []
    for i, analytic in analytic_jacobians(case, o, unknown, alone).items():
        what = f"the derivative of output {o} by input {i}" + notes
        numeric = numeric_jacobians(case, i)[o]
        if i in case.info.zero_gradient and analytic.any():
            raise Failed(f"{what} is not zero, though info.zero_gradient declares it", input=i)
        try:
            compare(analytic, numeric, what, case, o, i)
        except Failed as failure:
            failure.data.update(output=o, input=i, unknown=unknown, alone=alone)
            # what was right with known sizes, or with zeros for the other outputs, tells where to look
            if unknown or alone:
                failure.detail += "\nit is right" + " with known sizes" * unknown + " with zero cotangents" * alone
            if right:
                failure.detail += f"\nby input {', '.join(map(str, right))} it is right"
            raise
        right.append(i)


def _is_zero(found: Derivative) -> bool:
    return bool((np.abs(found.value) <= np.maximum(UNITS * found.noise, 4.0 * found.error)).all())
