"""What an op makes of stacks."""

import itertools
from typing import Any

import numpy as np

import opgraph as og
from opgraph.testing import watch
from opgraph.testing.agreement import expect_same
from opgraph.testing.case import Case, Failed
from opgraph.testing.check import NOTHING, Check
from opgraph.testing.variations import reshuffled


class Batch(Check):
    """Of stacks of inputs, the op that `batch` returns makes stacks of what the op itself makes of the entries."""

    name = "batch"

    def on_case(self, case: Case) -> str | None:
        if type(case.op).batch is og.Op.batch or not case.inputs:
            return NOTHING
        other = reshuffled(case)
        try:
            case.compute(other)
        except og.OpgraphError:
            return "the same elements in another order are refused"
        n = len(case.inputs)
        specs = tuple(og.Spec(og.Shape(x.shape), x.dtype) for x in case.inputs)
        reason: str | None = NOTHING
        for size in range(1, n + 1):
            for which in itertools.combinations(range(n), size):
                larger: Any = case.op.batch(specs, frozenset(which))
                if not isinstance(larger, og.Op | None):
                    raise Failed(f"batch returns {larger!r} for stacks of the inputs {which}, not an op or None")
                if larger is not None:
                    _compare(case, larger, which, [case.inputs, other, other])
                    reason = None
        return reason


def _compare(case: Case, larger: og.Op, which: tuple[int, ...], entries: list[tuple[og.Array, ...]]) -> None:
    """Compare what `larger` makes of stacks with what the op makes of entries that differ in the inputs `which`."""
    given = [[entry[i] if i in which else x for i, x in enumerate(case.inputs)] for entry in entries]
    expected = [np.stack(values) for values in zip(*map(case.compute, given), strict=True)]
    stacked = [np.stack([entry[i] for entry in entries]) if i in which else x for i, x in enumerate(case.inputs)]
    named = ", ".join(map(str, which))
    try:
        found = Case(larger, tuple(stacked), case.name, case.seed).compute()
    except Exception as error:  # an op may raise anything
        raise Failed(f"batch returns {larger!r}, but of stacks of input {named}, {watch.explained(error)}") from error
    expect_same(found, expected, f"of stacks of input {named}, {larger!r} gives a value that", rounding=True)
