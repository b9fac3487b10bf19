import numpy as np
import pytest

import opgraph as og
import opgraph_nn as nn
from opgraph.testing import check_grads

rng = np.random.default_rng(4)
SHAPES = [(6, 3), (5, 2, 3), (2, 4, 5, 3)]
SCALE, OFFSET = np.array([0.5, 2.0, -1.5]), np.array([0.3, -1.0, 4.0])


def moving_statistics(channels=3, dtype=np.float64):
    return (
        og.Variable(np.zeros(channels, dtype), name="moving_mean", trainable=False),
        og.Variable(np.ones(channels, dtype), name="moving_variance", trainable=False),
    )


def columns(x):
    """Return the values of each channel, as a list of lists."""
    channels = [[] for _ in range(x.shape[-1])]
    for index in np.ndindex(x.shape):
        channels[index[-1]].append(float(x[index]))
    return channels


def slow_moments(x, ddof):
    means = [sum(c) / len(c) for c in columns(x)]
    squares = [sum((v - m) ** 2 for v in c) for c, m in zip(columns(x), means, strict=True)]
    return means, [s / (len(c) - ddof) for s, c in zip(squares, columns(x), strict=True)]


def slow_batch_norm(x, epsilon):
    means, variances = slow_moments(x, ddof=0)
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        c = index[-1]
        y[index] = SCALE[c] * (x[index] - means[c]) / (variances[c] + epsilon) ** 0.5 + OFFSET[c]
    return y


@pytest.mark.parametrize("shape", SHAPES)
def test_each_channel_is_normalized_over_all_other_axes(shape):
    data = rng.normal(size=shape) * 3 + 1
    x = og.placeholder((None,) * len(shape), np.float64)
    y = nn.fused_batch_norm(x, SCALE, OFFSET, *moving_statistics(), epsilon=0.01)
    np.testing.assert_allclose(og.RunTime().run(y, {x: data}), slow_batch_norm(data, 0.01), rtol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_moving_statistics_follow_the_unbiased_moments_of_each_run(shape):
    x = og.placeholder((None, *shape[1:]), np.float64)
    mean, variance = moving_statistics()
    y = nn.fused_batch_norm(x, SCALE, OFFSET, mean, variance, decay=0.9)
    runtime, expected_mean, expected_variance = og.RunTime(), np.zeros(3), np.ones(3)
    for rows in (2, 5, 3):
        data = rng.normal(size=(rows, *shape[1:])) + 2
        runtime.run(y, {x: data})
        batch_mean, batch_variance = slow_moments(data, ddof=1)
        expected_mean = 0.9 * expected_mean + 0.1 * np.array(batch_mean)
        expected_variance = 0.9 * expected_variance + 0.1 * np.array(batch_variance)
    np.testing.assert_allclose(mean.val, expected_mean, rtol=1e-12)
    np.testing.assert_allclose(variance.val, expected_variance, rtol=1e-12)


def test_a_single_element_moves_the_variance_by_the_biased_one_which_is_zero():
    x = og.placeholder((None, 3), np.float64)
    mean, variance = moving_statistics()
    y = og.RunTime().run(nn.fused_batch_norm(x, SCALE, OFFSET, mean, variance, decay=0.75), {x: [[1.0, 2.0, 3.0]]})
    np.testing.assert_allclose(y, [OFFSET])
    assert mean.val.tolist() == [0.25, 0.5, 0.75]
    assert variance.val.tolist() == [0.75, 0.75, 0.75]


def test_a_layer_applied_twice_moves_its_statistics_twice_in_order():
    x, z = og.placeholder((None, 3), np.float64), og.placeholder((None, 3), np.float64)
    mean, variance = moving_statistics()
    both = [nn.fused_batch_norm(node, SCALE, OFFSET, mean, variance, decay=0.9) for node in (x, z)]
    first, second = rng.normal(size=(4, 3)), rng.normal(size=(5, 3))
    og.RunTime().run(both, {x: first, z: second})
    np.testing.assert_allclose(mean.val, 0.09 * first.mean(0) + 0.1 * second.mean(0), rtol=1e-12)
    expected = 0.81 + 0.09 * first.var(0, ddof=1) + 0.1 * second.var(0, ddof=1)
    np.testing.assert_allclose(variance.val, expected, rtol=1e-12)


def test_nothing_moves_when_the_result_is_not_fetched():
    x = og.placeholder((None, 3), np.float64)
    mean, variance = moving_statistics()
    y = nn.fused_batch_norm(x, SCALE, OFFSET, mean, variance)
    og.RunTime().run(x * 2.0, {x: np.ones((2, 3))})
    assert (mean.val == 0).all()
    assert (variance.val == 1).all()
    del y


def test_inference_uses_the_moving_statistics_and_leaves_them():
    x = og.placeholder((None, 3), np.float64)
    mean, variance = moving_statistics()
    mean.set_val([1.0, 2.0, 3.0])
    variance.set_val([0.25, 4.0, 1.0])
    y = nn.fused_batch_norm(x, SCALE, OFFSET, mean, variance, epsilon=0.0, is_training=False)
    value = og.RunTime().run(y, {x: [[2.0, 2.0, 2.0], [0.0, 6.0, 3.0]]})
    np.testing.assert_allclose(value, [[1.3, -1.0, 5.5], [-0.7, 3.0, 4.0]], rtol=1e-14)
    assert mean.val.tolist() == [1, 2, 3]
    assert variance.val.tolist() == [0.25, 4, 1]


def test_a_training_step_moves_the_statistics_along_with_the_weights():
    x = og.placeholder((None, 3), np.float64)
    scale, offset = og.Variable(SCALE, name="scale"), og.Variable(OFFSET, name="offset")
    mean, variance = moving_statistics()
    y = nn.fused_batch_norm(x, scale, offset, mean, variance, decay=0.5)
    step = og.RunTime().compile([x], [y], nn.optimizers.SGD(0.1).minimize(og.reduce_sum(y)))
    data = rng.normal(size=(4, 3))
    step(data)
    np.testing.assert_allclose(offset.val, OFFSET - 0.4, rtol=1e-12)
    np.testing.assert_allclose(mean.val, 0.5 * data.mean(0), rtol=1e-12)


def test_gradients_of_training_agree_with_finite_differences_through_second_order():
    x = og.placeholder((None, None, 3), np.float64)
    scale, offset = og.placeholder((3,), np.float64), og.placeholder((None,), np.float64)
    y = nn.fused_batch_norm(x, scale, offset, *moving_statistics())
    check_grads(y, [x, scale, offset], {x: rng.normal(size=(2, 4, 3)), scale: SCALE, offset: OFFSET})


def test_gradients_of_inference_agree_with_finite_differences_through_second_order():
    x = og.placeholder((None, 3), np.float64)
    scale, offset = og.placeholder((3,), np.float64), og.placeholder((3,), np.float64)
    mean, variance = moving_statistics()
    y = nn.fused_batch_norm(x, scale, offset, mean, variance, is_training=False)
    check_grads(y, [x, scale, offset, mean, variance], {x: rng.normal(size=(4, 3)), scale: SCALE, offset: OFFSET})


def test_the_outputs_of_batch_norm_may_all_be_differentiated_at_once():
    x = og.placeholder((None, 3), np.float64)
    scale, offset = og.placeholder((3,), np.float64), og.placeholder((3,), np.float64)
    y, mean, variance = nn.batch_norm(x, scale, offset, epsilon=0.1)
    feeds = {x: rng.normal(size=(5, 3)), scale: SCALE, offset: OFFSET}
    check_grads(y * variance + mean * mean * y, [x, scale, offset], feeds)


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_keep_their_dtype_and_moving_statistics_theirs(dtype, is_training):
    x = og.placeholder((None, 3), dtype)
    scale = og.Variable(SCALE.astype(dtype))
    mean, variance = moving_statistics(dtype=np.float32)
    y = nn.fused_batch_norm(x, scale, OFFSET.astype(dtype), mean, variance, is_training=is_training)
    found = og.RunTime().run([y, *og.grad(y, [x, scale])], {x: rng.normal(size=(4, 3)).astype(dtype)})
    assert [value.dtype for value in found] == [dtype] * 3
    assert mean.val.dtype == variance.val.dtype == np.float32


def test_float32_far_from_zero_loses_no_more_than_its_inputs_did():
    data = (rng.normal(size=(20_000, 3)) + 1e4).astype(np.float32)
    x = og.placeholder((None, 3))
    found = og.RunTime().run(list(nn.batch_norm(x, np.ones(3, np.float32), np.zeros(3, np.float32))), {x: data})
    exact = data.astype(np.float64)
    y = (exact - exact.mean(0)) / np.sqrt(exact.var(0) + 0.001)
    # the mean itself is rounded to a multiple of 2**-10
    for value, expected in zip(found, (y, exact.mean(0), exact.var(0)), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-3)


def test_float16_counts_more_elements_than_it_can_hold():
    data = rng.normal(size=(70_000, 1)).astype(np.float16)
    x = og.placeholder((None, 1), np.float16)
    y, mean, variance = nn.batch_norm(x, np.ones(1, np.float16), np.zeros(1, np.float16))
    gradient = og.grad(y * y * y, x)
    value, *moments, g = og.RunTime().run([y, mean, variance, gradient], {x: data})
    exact = data.astype(np.float64)
    normal = (exact - exact.mean()) / np.sqrt(exact.var() + 0.001)
    np.testing.assert_allclose(np.ravel(moments), [exact.mean(), exact.var()], rtol=1e-2, atol=1e-4)
    np.testing.assert_allclose(value, normal, rtol=1e-2, atol=1e-3)
    up = 3 * normal**2
    expected = (up - up.mean() - normal * (up * normal).mean()) / np.sqrt(exact.var() + 0.001)
    np.testing.assert_allclose(g, expected, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("scale", r"scale \(2,\) must be \(3,\), one value for each channel of x \(None, 3\)"),
        ("offset", r"offset \(2,\) must be \(3,\), one value for each channel of x \(None, 3\)"),
        ("moving_mean", r"moving_mean \(2,\) must be \(3,\), one value for each channel of x \(None, 3\)"),
        ("moving_variance", r"moving_variance \(2,\) must be \(3,\), one value for each channel of x \(None, 3\)"),
    ],
)
@pytest.mark.parametrize("is_training", [True, False])
def test_a_wrong_number_of_channels_is_named(name, message, is_training):
    given = {"scale": np.ones(3), "offset": np.ones(3)}
    given |= {"moving_mean": og.Variable(np.ones(3)), "moving_variance": og.Variable(np.ones(3))}
    given[name] = og.Variable(np.ones(2))
    with pytest.raises(og.ShapeError, match=f"fused_batch_norm: {message}") as caught:
        nn.fused_batch_norm(og.placeholder((None, 3)), **given, is_training=is_training)
    assert "test_batch_norm.py" in str(caught.value)


def test_channels_that_are_unknown_until_the_run_are_checked_then():
    x = og.placeholder((None, None), np.float64)
    y = nn.fused_batch_norm(x, SCALE, OFFSET, *moving_statistics())
    assert y.shape == (None, 3)
    with pytest.raises(og.ShapeError, match=r"batch_norm: scale \(3,\) must be \(2,\)"):
        og.RunTime().run(y, {x: np.ones((5, 2))})


def test_a_vector_has_no_batch():
    with pytest.raises(og.ShapeError, match=r"x \(3,\) must have two dimensions or more, channels last"):
        nn.fused_batch_norm(og.placeholder((3,)), SCALE, OFFSET, *moving_statistics())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": -1e-3}, r"epsilon must be a number in \[0, inf\), not -0.001"),
        ({"decay": 1.1}, r"decay must be a number in \[0, 1\], not 1.1"),
        ({"moving_mean": np.ones(3)}, r"moving_mean must be a variable, not array\(\[1., 1., 1.\]\)"),
    ],
)
def test_arguments_out_of_range_are_named(options, message):
    mean, variance = moving_statistics()
    given = {"moving_mean": mean, "moving_variance": variance} | options
    with pytest.raises(og.ArgumentError, match=f"fused_batch_norm: {message}"):
        nn.fused_batch_norm(og.placeholder((None, 3)), SCALE, OFFSET, **given)


def test_an_empty_batch_is_refused_and_leaves_the_moving_statistics():
    x = og.placeholder((None, 3), dtype=np.float64, name="x")
    mean, variance = og.Variable(np.zeros(3), name="mean"), og.Variable(np.ones(3), name="variance")
    y = nn.fused_batch_norm(x, np.ones(3), np.zeros(3), mean, variance)
    with pytest.raises(og.ShapeError, match=r"batch_norm: x \(0, 3\) holds no values to take statistics of"):
        og.RunTime().run(y, {x: np.ones((0, 3))})
    assert (mean.val.tolist(), variance.val.tolist()) == ([0.0] * 3, [1.0] * 3)


@pytest.mark.parametrize("is_training", [True, False])
def test_moving_statistics_are_not_spread_over_channels_unknown_until_the_run(is_training):
    x = og.placeholder((None, None), dtype=np.float64, name="x")
    scale = og.placeholder((None,), dtype=np.float64, name="scale")
    mean, variance = og.Variable(np.zeros(3), name="mean"), og.Variable(np.ones(3), name="variance")
    y = nn.fused_batch_norm(x, scale, scale, mean, variance, is_training=is_training)
    with pytest.raises(og.ShapeError):
        og.RunTime().run(y, {x: np.arange(4.0)[:, None], scale: np.ones(1)})
    assert (mean.val.tolist(), variance.val.tolist()) == ([0.0] * 3, [1.0] * 3)
    og.RunTime().run(y, {x: np.ones((4, 3)), scale: np.ones(3)})


@pytest.mark.parametrize("epsilon", [-0.1, np.nan, np.inf, "x"])
def test_an_epsilon_that_would_give_nan_is_refused(epsilon):
    with pytest.raises(og.ArgumentError, match=r"batch_norm: epsilon must be a number in \[0, inf\)"):
        nn.batch_norm(np.ones((2, 3)), np.ones(3), np.ones(3), epsilon=epsilon)


def test_one_variable_for_both_moving_statistics_is_refused():
    v = og.Variable(np.zeros(3), name="v")
    with pytest.raises(og.ArgumentError, match="moving_mean and moving_variance are one variable"):
        nn.fused_batch_norm(np.ones((2, 3)), np.ones(3), np.ones(3), v, v)
