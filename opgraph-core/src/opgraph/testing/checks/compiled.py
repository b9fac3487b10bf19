"""What run times make of an op, against its own kernel."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import opgraph as og
from opgraph.testing.agreement import expect_same
from opgraph.testing.case import Case, Failed, frozen
from opgraph.testing.check import Check

Array: TypeAlias = NDArray[Any]

RUNTIMES: tuple[dict[str, Any], ...] = ({}, {"passes": ()}, {"tile": 2})


class Compiled(Check):
    """Compiled alone or among others, with passes or without, whole or in blocks, the op gives what its kernel does."""

    name = "compiled"

    def on_case(self, case: Case) -> str | None:
        # to rounding where sums may be taken in another order, and where NumPy 2.0 multiplies complex numbers with
        # another last bit, for arrays that lie next to each other; kernels of a set may round as they like
        rounding = not isinstance(case.op, og.Elementwise) or any(x.dtype.kind == "c" for x in case.inputs)
        rounding |= bool(og.registry.default_kernels())
        for options in RUNTIMES:
            runtime = og.RunTime(seed=case.seed, **options)
            how = "".join(f" with {name}={value}" for name, value in options.items())
            _check_alone(case, runtime, how, rounding)
            _check_between(case, runtime, how, rounding)
        return None


def _check_alone(case: Case, runtime: og.RunTime, how: str, rounding: bool) -> None:
    expected = case.compute()[: case.visible]
    for unknown in (False, True):
        with case.graph(unknown) as (nodes, outputs):
            program = runtime.compile(nodes, [*outputs, *outputs])
        inputs = [np.array(x) for x in case.inputs]
        found = program(*inputs)
        expect_same(
            found[: len(outputs)], expected, f"compiled{how}{' for unknown sizes' * unknown}, the value", rounding
        )
        _check_ownership(found, inputs)
        for value in (*found, *inputs):
            value.fill(0)  # what the caller does with them is no concern of the next run
        again = program(*case.inputs)
        expect_same(again[: len(outputs)], expected, f"compiled{how}, called again, the value", rounding)


def _check_ownership(found: list[Array], inputs: list[Array]) -> None:
    """Raise unless every fetched array is the caller's own."""
    for o, value in enumerate(found):
        if not (value.flags.writeable and value.flags.c_contiguous and value.flags.owndata):
            raise Failed(f"fetch {o} is not a writable C-contiguous array of its own:\n{value.flags}")
        for other in (*found[:o], *inputs):
            if np.may_share_memory(value, other):
                raise Failed(f"fetch {o} shares memory with another fetch or a feed")


def _check_between(case: Case, runtime: og.RunTime, how: str, rounding: bool) -> None:
    """Raise where the values differ once inputs are views of buffers, and outputs are viewed and read again."""
    laid = [frozen(np.array(np.transpose(x), order="C")).T for x in case.inputs]
    expected = case.compute(laid)[: case.visible]
    with og.Graph().as_default_graph():
        nodes = [og.placeholder(x.T.shape, dtype=x.dtype) for x in laid]
        outputs = og.apply_all(case.op, *[og.transpose(_copied(_copied(node))) for node in nodes])
        fetches = [node for y in outputs for node in (og.transpose(y), _copied(og.transpose(y)), y)]
        found = runtime.compile(nodes, fetches)(*[np.array(x.T) for x in laid])
    turned = [array for y in expected for array in (y.T, y.T, y)]
    expect_same(found, turned, f"compiled{how} between views and copies, the value", rounding)


def _copied(node: og.Node) -> og.Node:
    """Return the same values in another buffer."""
    return og.where(np.True_, node, node)
