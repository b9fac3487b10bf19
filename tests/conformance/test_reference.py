"""The check that holds values against a reference."""

import numpy as np
import pytest

import opgraph as og
from opgraph.testing import check_op


def said(reference, x, compute=lambda x, y: np.floor(x, out=y)):
    """Return what the check says of an op with this reference, nothing if it holds."""

    class Held(og.Elementwise, name="test.held"):
        """Do what `compute` does: (…) -> (…)."""

        floating = False
        info = og.OpInfo(reference=reference)

        def compute(self, ins, outs):
            compute(ins[0], outs[0])

    report = check_op(Held, samples=[og.Sample((x,))], checks=["reference"])
    return "; ".join(failure.detail for failure in report.failures)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (lambda x: (np.floor(x), x), "the reference gives 2 values, the op 1"),
        (lambda x: np.floor(x).sum(), r"output 0 has shape (2, 3), the reference's has ()"),
        (lambda x: np.floor(x) + (x > 4), "output 0 at (1, 2) is 5.0, the reference says 6.0"),
        (lambda x: np.floor(x) * (1 + 1e-11), "output 0 at (0, 1) is 1.0, the reference says"),
    ],
)
def test_what_differs_from_the_reference_is_told(reference, message):
    x = np.arange(6.0).reshape(2, 3)
    assert said(np.floor, x) == ""
    assert message in said(reference, x)


def test_integers_agree_exactly():
    x = np.array([2**30, 3])
    assert said(lambda x: x**2, x, lambda x, y: np.square(x, out=y)) == ""
    assert "at (0,) is 1152921504606846976, the reference says 1152921504606846977" in said(
        lambda x: x**2 + (x > 3), x, lambda x, y: np.square(x, out=y)
    )


@pytest.mark.parametrize("x", [0.1, 0.37, 0.04, 5.3, 1e9 + 0.1])
def test_where_the_reference_s_terms_cancel_its_rounding_is_not_held_against_the_op(x):
    # in real numbers all of them are 0, and some are not in floating-point numbers
    assert said(lambda x: x - np.log(np.exp(x % 30)) - x // 30 * 30, np.array([x]), lambda x, y: y.fill(0)) == ""


def test_a_jump_of_the_reference_is_no_rounding():
    assert "is 2.0, the reference says 3.0" in said(np.floor, np.array([3.0]), lambda x, y: y.fill(2))
