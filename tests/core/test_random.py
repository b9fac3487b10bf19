"""Random draws: reproducible, one per run, with gradients in their parameters."""

import subprocess
import sys

import numpy as np
import pytest

import opgraph as og

N = 200_000


def run(nodes, feeds=None, seed=0):
    return og.RunTime(seed=seed).run(nodes, feeds)


def test_moments_are_those_of_the_distributions():
    normal, uniform, bernoulli = run(
        [og.random_normal(N, 3.0, 2.0), og.random_uniform((N,), -1, 3), og.random_bernoulli([N], 0.3)], seed=1
    )
    # five standard errors of mean and variance
    assert abs(normal.mean() - 3) < 5 * 2 / np.sqrt(N)
    assert abs(normal.var() - 4) < 5 * 4 * np.sqrt(2 / N)
    assert abs(uniform.mean() - 1) < 5 * np.sqrt(16 / 12 / N)
    assert abs(uniform.var() - 16 / 12) < 5 * 16 * np.sqrt(1 / 180 / N)
    assert uniform.min() >= -1
    assert uniform.max() <= 3
    assert set(np.unique(bernoulli)) == {0, 1}
    assert abs(bernoulli.mean() - 0.3) < 5 * np.sqrt(0.21 / N)


@pytest.mark.parametrize("draw", [og.random_normal, og.random_uniform, og.random_bernoulli])
def test_one_seed_gives_the_same_numbers_whatever_else_is_fetched(draw):
    first, second = draw((5, 7)), draw((5, 7))
    alone = run(second, seed=3)
    both = run([first * 2.0, second, first], seed=3)
    np.testing.assert_array_equal(both[1], alone)
    assert (both[1] != both[2]).any()
    assert (run(second, seed=4) != alone).any()
    with og.Graph().as_default_graph():
        again = [draw((5, 7)), draw((5, 7))][1]
    np.testing.assert_array_equal(run(again, seed=3), alone)


def test_every_run_draws_other_numbers_and_a_reset_starts_over():
    x, rt = og.random_normal((4,)), og.RunTime(seed=0)
    first, second = rt.run(x), rt.run(x)
    assert (first != second).all()
    rt.reset(step=0)
    np.testing.assert_array_equal(rt.run(x), first)


def test_draws_of_one_key_are_the_same():
    key = og.random_key()
    x, y, z = og.random_normal((4,), key=key), og.random_normal((4,), mean=1, key=key), og.random_normal((4,))
    a, b, c = run([x, y, z])
    np.testing.assert_allclose(a + 1, b, rtol=1e-6)
    assert (a != c).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_dtype_is_drawn_in_its_own_precision(dtype):
    normal, uniform = run([og.random_normal((1000,), dtype=dtype), og.random_uniform((40_000,), dtype=dtype)])
    assert normal.dtype == uniform.dtype == dtype
    assert uniform.min() >= 0
    assert uniform.max() < 1  # in float16 too
    # float64 draws have more digits than float32 holds
    assert ((normal.astype(np.float32) == normal).all()) == (dtype != np.float64)


def test_the_dtype_is_that_of_the_parameters_or_the_default_float():
    mean = og.placeholder((3,), dtype=np.float64)
    assert og.random_normal((2, 3), mean).dtype == np.float64
    assert og.random_normal((2, 3), mean, dtype=np.float32).dtype == np.float32
    assert og.random_normal((2, 3), np.float64(0.5)).dtype == np.float32
    assert og.random_uniform((3,), np.zeros(3, np.float16), 2).dtype == np.float16
    assert og.random_uniform((3,), np.zeros(3, int), 2).dtype == np.float32
    assert og.random_bernoulli((3,), dtype=bool).dtype == np.bool
    assert og.random_bernoulli((3,)).dtype == np.float32
    og.set_default_dtype(np.float64)
    assert og.random_normal((3,)).dtype == np.float64


def test_gradients_of_the_parameters_are_those_of_an_affine_map_of_the_draw():
    mean, stddev = og.placeholder((3,), dtype=np.float64), og.placeholder((None, 1), dtype=np.float64)
    x = og.random_normal((2, 3), mean, stddev)
    data = {mean: np.array([1.0, 2, 3]), stddev: np.array([[2.0], [5]])}
    value, gm, gs = run([x, *og.grad(og.reduce_sum(x * x), [mean, stddev])], data)
    draw = (value - data[mean]) / data[stddev]
    np.testing.assert_allclose(gm, (2 * value).sum(0), rtol=1e-12)
    np.testing.assert_allclose(gs, (2 * value * draw).sum(1, keepdims=True), rtol=1e-12)

    low, high = (og.placeholder((), dtype=np.float64) for _ in range(2))
    y = og.random_uniform((4,), low, high)
    value, gl, gh = run([y, *og.grad(y, [low, high])], {low: 1.0, high: 3.0})
    np.testing.assert_allclose(gh, ((value - 1) / 2).sum(), rtol=1e-12)
    np.testing.assert_allclose(gl, (1 - (value - 1) / 2).sum(), rtol=1e-12)


def test_like_gives_the_run_time_shape_without_its_values():
    x = og.placeholder((None, 3))
    draws = [
        og.random_normal(like=x),
        og.random_uniform(like=x, minval=1.0, maxval=x * 0 + 2),
        og.random_bernoulli(like=x),
    ]
    assert [d.shape for d in draws] == [(None, 3)] * 3
    found = run(draws, {x: np.ones((5, 3))})
    assert [f.shape for f in found] == [(5, 3)] * 3
    assert ((found[1] >= 1) & (found[1] < 2)).all()
    assert og.random_normal((2,), og.placeholder((None,))).shape == (2,)
    unread = og.apply(og.random_normal(like=x).call.op, og.random_key(), x).call.op.shape_only(2)
    assert unread == {1}


def test_a_parameter_that_turns_out_larger_than_the_shape_is_refused():
    mean = og.placeholder((None, 3), name="mean")
    x = og.random_normal((1, 3), mean)
    with pytest.raises(og.ShapeError, match=r"\(2, 3\) does not broadcast to \(1, 3\)"):
        run(x, {mean: np.ones((2, 3))})
    with pytest.raises(og.ShapeError, match=r"\(2, 3\) does not broadcast to \(3,\)"):
        og.random_normal((3,), np.ones((2, 3)))


def test_probabilities_at_the_ends_are_certain_and_small_ones_not_lost():
    p = og.placeholder((3,), dtype=np.float64)
    found = run(og.random_bernoulli((1000, 3), p), {p: [0.0, 1.0, 0.5]})
    assert found[:, 0].max() == 0
    assert found[:, 1].min() == 1
    assert 0.3 < found[:, 2].mean() < 0.7
    # float32 draws are 0 once in 2**24 times, a thousand times as often
    op = og.random_bernoulli((2,), 1e-11).inputs[0].inputs[0].call.op
    assert op.dtype == np.float64
    with pytest.raises(og.GradientError, match="does not depend"):
        og.grad(og.random_bernoulli((1000, 3), p), p)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: og.random_normal((2,), stddev=-1), og.ArgumentError, "random_normal: stddev -1 is no standard dev"),
        (lambda: og.random_normal((2,), stddev=np.nan), og.ArgumentError, "stddev nan"),
        (lambda: og.random_normal((2,), "x"), og.DtypeError, "random_normal: values are .*, not strings"),
        (lambda: og.random_uniform((2,), 2, 1), og.ArgumentError, "random_uniform: minval 2 is more than maxval 1"),
        (lambda: og.random_bernoulli((2,), 1.5), og.ArgumentError, "random_bernoulli: p 1.5 is no probability"),
        (lambda: og.random_normal(), og.ArgumentError, "takes either a shape of known sizes or a like=x"),
        (lambda: og.random_normal((2,), like=np.ones(2)), og.ArgumentError, "takes either a shape"),
        (lambda: og.random_normal(og.constant([2.0])), og.ArgumentError, "takes either a shape"),
        (lambda: og.random_normal((None, 3)), og.ShapeError, r"\(None, 3\) is not known in full; give like=x"),
        (lambda: og.random_normal((-2,)), og.ShapeError, "a size cannot be negative"),
        (lambda: og.random_normal((2,), dtype=int), og.DtypeError, "float16, float32 and float64 are drawn, not int64"),
        (lambda: og.random_normal((2,), np.ones(2) * 1j), og.DtypeError, "not complex128; draw floats and convert"),
        (lambda: og.random_normal((2,), key=og.constant([1.0])), og.ShapeError, "key must be .* made by og.random_key"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(build, error, message):
    with pytest.raises(error, match=message) as caught:
        build()
    assert "test_random.py" in str(caught.value)


def test_the_draw_lives_in_the_graph_of_its_parameters():
    with og.Graph().as_default_graph() as other:
        mean = og.placeholder((3,))
    assert og.random_normal((2, 3), mean).graph is other
    assert og.random_uniform((3,), 0.0, mean).graph is other
    assert og.random_bernoulli(like=mean).graph is other


def test_building_a_draw_does_not_import_numpy_random():
    code = "import sys, opgraph as og; og.random_normal((2,)); og.generator; print('numpy.random' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
