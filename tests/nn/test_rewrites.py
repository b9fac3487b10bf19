import numpy as np
import pytest

import opgraph as og

PLAIN = og.RunTime(passes=())


def both(build, values):
    x = og.placeholder((None, 3), dtype=np.float64)
    y = build(x)
    return og.RunTime().run(y, {x: values}), PLAIN.run(y, {x: values})


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(
    ("function", "logarithm"),
    [(lambda x, axis: og.sigmoid(x), lambda x, axis: og.log_sigmoid(x)), (og.softmax, og.log_softmax)],
    ids=["sigmoid", "softmax"],
)
def test_the_logarithm_of_what_underflows_is_finite(function, logarithm, axis):
    far = np.array([[-1000.0, 0.0, 1000.0], [3.0, 2.0, 1.0]])
    found, plain = both(lambda x: og.log(function(x, axis)), far)
    assert np.isneginf(plain).any()
    expected, _ = both(lambda x: logarithm(x, axis), far)
    np.testing.assert_array_equal(found, expected)
    near, plain = both(lambda x: og.log(function(x, axis)), far / 500)
    np.testing.assert_allclose(near, plain, rtol=1e-12)


def test_other_functions_of_them_stay():
    values = np.array([[-1.0, 0.0, 2.0]])
    for build in (
        lambda x: og.log2(og.sigmoid(x)),
        lambda x: og.exp(og.softmax(x)),
        lambda x: og.log(1 - og.softmax(x)),
    ):
        np.testing.assert_array_equal(*both(build, values))
