"""What an op makes of rows."""

from typing import Any

import opgraph as og
from opgraph.testing import watch
from opgraph.testing.agreement import expect_same
from opgraph.testing.case import Case, Failed
from opgraph.testing.check import NOTHING, Check


class Rows(Check):
    """Where the op says by `by_rows` that its outputs are made row by row, they are, of each range of rows."""

    name = "rows"

    def on_case(self, case: Case) -> str | None:
        specs = tuple(og.Spec(og.Shape(x.shape), x.dtype) for x in case.inputs)
        by_rows: Any = case.op.by_rows(specs)
        if by_rows is None:
            return NOTHING
        n = len(case.inputs)
        if not isinstance(by_rows, frozenset) or not by_rows <= frozenset(range(n)):
            raise Failed(f"by_rows returns {by_rows!r}, not a frozenset of some of the numbers of {n} inputs, or None")
        expected = case.compute()
        lengths = {array.shape[:1] for array in (*expected, *(case.inputs[i] for i in by_rows))}
        if len(lengths) > 1 or () in lengths:
            raise Failed(
                f"by_rows returns {by_rows!r}, but these inputs and the outputs have no first dimension in common: "
                f"{', '.join(str(x.shape) for x in case.inputs)} -> {', '.join(str(y.shape) for y in expected)}"
            )
        ((count,),) = lengths
        for rows in (slice(0, 1), slice(1, count), slice(count // 2, count)):
            cut = [x[rows] if i in by_rows else x for i, x in enumerate(case.inputs)]
            wanted = [y[rows] for y in expected]
            where = f"of rows {rows.start} to {rows.stop}"
            try:
                found = case.compute(cut)
            except Exception as error:  # an op may raise anything
                raise Failed(f"by_rows returns {by_rows!r}, but {where}, {watch.explained(error)}") from error
            expect_same(found, wanted, f"{where}, the value", rounding=True)
        return None
