"""Derivatives along a direction against differences."""

import dataclasses

import numpy as np

from opgraph.testing.case import Case, real_view
from opgraph.testing.derivatives import DerivativeCheck, blocks, compiled_jvp, derivative_in, named, tangents, uneven_in
from opgraph.testing.jacobians import told
from opgraph.testing.numeric import Derivative
from opgraph.testing.verdict import judge


class Jvp(DerivativeCheck):
    """`og.jvp` gives the derivative of every output along random directions, each input alone and all together."""

    name = "jvp"

    def hold(self, case: Case) -> str | None:
        rng = case.rng(self.name)
        program = compiled_jvp(case)
        for block in blocks(case):
            direction = tangents(rng, case, block)
            found = program(*case.inputs, *direction)
            for o, value, numeric in zip(case.outputs, found, derivative_in(case, direction).values(), strict=True):
                analytic = real_view(value)
                finding = judge(analytic.reshape(-1), numeric, nan_is_right=case.info.nan_gradient)
                if finding is not None:  # what it does at kinks is another check's
                    excused = uneven_in(case, direction)[o]
                    finding = judge(analytic.reshape(-1), numeric, excused, case.info.nan_gradient)
                if finding is not None:
                    shaped = Derivative(*(part.reshape(analytic.shape)[None] for part in numeric))
                    finding = dataclasses.replace(
                        finding,
                        index=tuple(map(int, np.unravel_index(finding.index[0], analytic.shape))),
                        places=finding.places.reshape(analytic.shape),
                    )
                    what = f"the derivative of output {o} along a random step of {named(block)}"
                    raise told(finding, what, analytic[None], shaped)
        return None
