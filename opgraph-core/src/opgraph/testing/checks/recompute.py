"""Computing once more what a gradient needs."""

from collections.abc import Sequence

import numpy as np

import opgraph as og
from opgraph.testing.agreement import expect_same
from opgraph.testing.case import Case
from opgraph.testing.check import NOTHING, Check
from opgraph.testing.programs import values_and_gradients


class Recompute(Check):
    """Under `og.checkpoint`, values and gradients are the same bit by bit; complex ones to rounding."""

    name = "recompute"

    def on_case(self, case: Case) -> str | None:
        if not case.has_gradient:
            return NOTHING

        def build(nodes: Sequence[og.Node]) -> Sequence[og.Node]:
            copies = [og.where(np.True_, node, node) for node in nodes]
            outputs = og.apply_all(case.op, *copies)
            # a square's gradient reads the values, which are computed once more then
            return tuple(y * y if o in case.outputs else y for o, y in enumerate(outputs))

        kept = values_and_gradients(case, build, False, og.RunTime(seed=case.seed))
        again = values_and_gradients(case, og.checkpoint(build), False, og.RunTime(seed=case.seed))
        # NumPy 2.0 multiplies complex numbers with another last bit where arrays lie next to each other
        rounding = any(x.dtype.kind == "c" for x in case.inputs)
        what = "recomputed for the gradient, the value or gradient"
        expect_same(again(case.inputs), kept(case.inputs), what, rounding)
        return None
