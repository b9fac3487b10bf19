import math

import numpy as np
import pytest

import opgraph as og
from opgraph_nn import initializers

DENSE, CONV = (300, 200), (3, 5, 40, 60)
RANDOM = [
    initializers.TruncatedNormalInitializer,
    initializers.RandomUniformInitializer,
    initializers.RandomNormalInitializer,
    initializers.GlorotUniformInitializer,
    initializers.GlorotNormalInitializer,
    initializers.HeUniformInitializer,
    initializers.HeNormalInitializer,
    initializers.LecunUniformInitializer,
    initializers.LecunNormalInitializer,
]


def generator():
    return np.random.default_rng(5)


@pytest.mark.parametrize(
    ("initializer", "number"),
    [
        (initializers.ZerosInitializer(), 0),
        (initializers.OnesInitializer(), 1),
        (initializers.ConstantInitializer(2.5), 2.5),
    ],
)
def test_constants_fill_the_shape(initializer, number):
    assert initializer([2, 3]).tolist() == [[number] * 3] * 2


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((3, 5), (3, 5)), ((2, 4, 3, 5), (24, 40)), ((7, 3, 5), (21, 35)), ((6,), (6, 6)), ((), (1, 1))],
)
def test_fans_are_channels_times_the_receptive_field(shape, expected):
    assert initializers.fans(shape) == expected


@pytest.mark.parametrize(
    ("shape", "fan_in", "fan_out"), [(DENSE, 300, 200), (CONV, 3 * 5 * 40, 3 * 5 * 60)], ids=["dense", "conv"]
)
@pytest.mark.parametrize(
    ("initializer", "variance"),
    [
        (initializers.GlorotUniformInitializer(), lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
        (initializers.GlorotNormalInitializer(), lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
        (initializers.HeUniformInitializer(), lambda fan_in, fan_out: 2 / fan_in),
        (initializers.HeNormalInitializer(), lambda fan_in, fan_out: 2 / fan_in),
        (initializers.HeUniformInitializer(transposed=True), lambda fan_in, fan_out: 2 / fan_out),
        (initializers.HeNormalInitializer(transposed=True), lambda fan_in, fan_out: 2 / fan_out),
        (initializers.GlorotNormalInitializer(transposed=True), lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
        (initializers.LecunUniformInitializer(), lambda fan_in, fan_out: 1 / fan_in),
        (initializers.LecunNormalInitializer(), lambda fan_in, fan_out: 1 / fan_in),
    ],
)
def test_scaled_values_have_mean_zero_and_the_published_variance(initializer, variance, shape, fan_in, fan_out):
    values = initializer(shape, generator())
    expected = variance(fan_in, fan_out)
    # a normal sample's variance deviates by sqrt(2 / n) of itself, its mean by the deviation over sqrt(n)
    assert abs(values.var() / expected - 1) < 5 * math.sqrt(2 / values.size)
    assert abs(values.mean()) < 5 * math.sqrt(expected / values.size)


@pytest.mark.parametrize(
    ("initializer", "limit"),
    [
        (initializers.GlorotUniformInitializer(), math.sqrt(6 / 500)),
        (initializers.HeUniformInitializer(), math.sqrt(6 / 300)),
        (initializers.LecunUniformInitializer(), math.sqrt(3 / 300)),
        (initializers.RandomUniformInitializer(-0.25, 0.25), 0.25),
    ],
)
def test_uniform_values_fill_their_interval(initializer, limit):
    values = initializer(DENSE, generator())
    assert 0.999 * limit < np.abs(values).max() <= limit
    # a quarter of them lies in each quarter
    np.testing.assert_allclose(np.quantile(values, [0.25, 0.5, 0.75]) / limit, [-0.5, 0, 0.5], atol=0.02)


def test_normal_values_have_their_mean_and_deviation():
    values = initializers.RandomNormalInitializer(3.0, 0.5)(DENSE, generator())
    np.testing.assert_allclose([values.mean(), values.std()], [3.0, 0.5], rtol=0.01)
    assert np.abs(values - 3).max() > 1.5


def test_truncated_values_stay_within_two_deviations():
    values = initializers.TruncatedNormalInitializer(mean=3.0, stddev=0.5)(DENSE, generator())
    assert 0.995 < np.abs(values - 3).max() <= 1.0
    density, mass = math.exp(-2) / math.sqrt(2 * math.pi), math.erf(math.sqrt(2))
    deviation = 0.5 * math.sqrt(1 - 4 * density / mass)
    np.testing.assert_allclose([values.mean(), values.std()], [3.0, deviation], rtol=0.01)


@pytest.mark.parametrize("kind", [*RANDOM, initializers.OrthogonalInitializer])
def test_a_seed_gives_the_same_values_whatever_the_generator(kind):
    initializer = kind(seed=11)
    values = initializer((2, 3))
    np.testing.assert_array_equal(initializer((2, 3), generator()), values)
    np.testing.assert_array_equal(kind(seed=11)((2, 3)), values)
    assert (kind(seed=12)((2, 3)) != values).any()


@pytest.mark.parametrize("kind", [*RANDOM, initializers.OrthogonalInitializer])
def test_without_a_seed_the_generator_decides(kind):
    initializer = kind()
    np.testing.assert_array_equal(initializer((2, 3), generator()), initializer((2, 3), generator()))
    rng = generator()
    assert (initializer((2, 3), rng) != initializer((2, 3), rng)).any()
    assert (initializer((2, 3)) != initializer((2, 3))).any()


@pytest.mark.parametrize("kind", RANDOM)
@pytest.mark.parametrize("shape", [(), (0, 3), (0, 0), (4,)])
def test_small_shapes_are_no_exception(kind, shape):
    assert np.shape(kind()(shape, generator())) == shape


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (2, 3, 4, 5), (0, 3), (1, 4)])
def test_orthogonal_rows_or_columns_have_the_length_of_the_gain(shape):
    values = initializers.OrthogonalInitializer(gain=1.5)(shape, generator())
    assert values.shape == shape
    matrix = values.reshape(-1, shape[-1])
    product = matrix @ matrix.T if len(matrix) < shape[-1] else matrix.T @ matrix
    np.testing.assert_allclose(product, 2.25 * np.eye(len(product)), atol=1e-14)


def test_orthogonal_matrices_are_all_alike_probable():
    rng = generator()
    draws = np.array([initializers.OrthogonalInitializer()((3, 2), rng) for _ in range(4000)])
    # each entry has mean 0 and variance 1/3; without the signs of the factors the first would not
    np.testing.assert_allclose(draws.mean(0), 0, atol=5 * math.sqrt(1 / 3 / 4000))
    np.testing.assert_allclose((draws**2).mean(0), 1 / 3, rtol=0.1)


@pytest.mark.parametrize("shape", [(), (4,)])
def test_a_vector_is_not_orthogonal(shape):
    with pytest.raises(og.ShapeError, match="OrthogonalInitializer: .* must have two dimensions or more"):
        initializers.OrthogonalInitializer()(shape)


def test_the_names_and_signatures_of_the_graph_runtime_framework_hold():
    truncated = initializers.TruncatedNormalInitializer(mean=1.0, stddev=0.1, seed=3)
    assert abs(truncated((30, 20)).mean() - 1) < 0.02
    assert initializers.RandomUniformInitializer(minval=2.0, maxval=3.0)([4, 5]).min() >= 2
    for kind in RANDOM:
        assert kind(seed=1)([2, 3]).shape == (2, 3)


def test_variables_take_what_initializers_give(graph):
    w = og.variable((3, 2), initializers.HeNormalInitializer(seed=1), name="w")
    b = og.variable((2,), initializers.ConstantInitializer(0.1), name="b")
    graph.initialize_variables()
    expected = initializers.HeNormalInitializer(seed=1)((3, 2)).astype(np.float32)
    np.testing.assert_array_equal(w.val, expected)
    np.testing.assert_array_equal(b.val, np.full(2, 0.1, np.float32))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: initializers.RandomNormalInitializer(stddev=-1.0), r"Normal.*: stddev must be a number in \[0, inf\)"),
        (lambda: initializers.TruncatedNormalInitializer(mean="0"), r"Truncated.*: mean must be a number.*, not '0'"),
        (
            lambda: initializers.RandomUniformInitializer(1.0, 0.0),
            r"Uniform.*: maxval must be a number in \[1.0, inf\)",
        ),
        (lambda: initializers.RandomUniformInitializer("a"), r"Uniform.*: minval must be a number.*, not 'a'"),
        (lambda: initializers.HeNormalInitializer(seed=-1), "He.*: seed must be an integer from 0 or None, not -1"),
        (lambda: initializers.GlorotNormalInitializer(seed=0.5), "Glorot.*: seed must be an integer from 0 or None"),
        (lambda: initializers.OrthogonalInitializer("1"), r"Orthogonal.*: gain must be a number in .*, not '1'"),
        (lambda: initializers.ConstantInitializer([1, 2]), r"Constant.*: value must be a number.*, not \[1, 2\]"),
    ],
)
def test_arguments_out_of_range_are_named(make, message):
    with pytest.raises(og.ArgumentError, match=message) as caught:
        make()
    assert "test_initializers.py" in str(caught.value)
