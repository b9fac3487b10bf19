"""The two products with the Jacobian against each other."""

import numpy as np

from opgraph.testing.case import Case, Failed
from opgraph.testing.derivatives import DerivativeCheck, blocks, compiled_jvp, cotangents, named, tangents
from opgraph.testing.jacobians import inner, pullback
from opgraph.testing.verdict import FLOOR

TOLERANCE = 1e-10  # of the sum of the terms' sizes; both sides round in the same few operations, and many terms cancel


class Adjoint(DerivativeCheck):
    """`og.jvp` and `og.vjp` are products with one matrix and its transposed: <J t, u> equals <t, transposed(J) u>."""

    name = "adjoint"

    def hold(self, case: Case) -> str | None:
        rng = case.rng(self.name)
        push = compiled_jvp(case)
        for unknown in (False, True):
            pull = pullback(case, unknown)
            for block in blocks(case):
                direction, us = tangents(rng, case, block), cotangents(rng, case)
                pushed, pulled = push(*case.inputs, *direction), pull(case.inputs, us)
                left, right = _product(pushed, us), _product(direction, pulled)
                allowed = TOLERANCE * max(left[1], right[1]) + FLOOR * np.finfo(np.float64).tiny
                if not abs(left[0] - right[0]) <= allowed:
                    notes = " (sizes unknown)" * unknown
                    raise Failed(
                        f"by {named(block)}{notes}: <J t, u> is {left[0]:.15g}, <t, transposed(J) u> {right[0]:.15g}; "
                        "the gradient's own gradient by its cotangent, which jvp takes, is not its transposed",
                        pushed=left[0],
                        pulled=right[0],
                        block=block,
                    )
        return None


def _product(a: list[np.ndarray], b: list[np.ndarray]) -> tuple[float, float]:
    """Return the inner product of two lists of arrays, and the sum of the sizes of its terms."""
    pairs = [inner(*pair) for pair in zip(a, b, strict=True)]
    return sum(p[0] for p in pairs), sum(p[1] for p in pairs)
