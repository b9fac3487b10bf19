"""What an op makes of rows."""

import opgraph as og
from opgraph.testing.agreement import expect_same
from opgraph.testing.case import Case
from opgraph.testing.check import NOTHING, Check


class Rows(Check):
    """Where the op says by `by_rows` that its outputs are made row by row, they are, of each range of rows."""

    name = "rows"

    def on_case(self, case: Case) -> str | None:
        specs = tuple(og.Spec(og.Shape(x.shape), x.dtype) for x in case.inputs)
        by_rows = case.op.by_rows(specs)
        if by_rows is None:
            return NOTHING
        expected = case.compute()
        count = expected[0].shape[0]
        for rows in (slice(0, 1), slice(1, count), slice(count // 2, count)):
            cut = [x[rows] if i in by_rows else x for i, x in enumerate(case.inputs)]
            wanted = [y[rows] for y in expected]
            expect_same(case.compute(cut), wanted, f"of rows {rows.start} to {rows.stop}, the value", rounding=True)
        return None
