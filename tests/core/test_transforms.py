"""Products with Jacobians and Hessians, and recomputation."""

import numpy as np
import pytest

import opgraph as og
from opgraph.testing import check_grads

rng = np.random.default_rng(7)
A = rng.normal(size=(3, 2))
AT = rng.normal(size=2)


def test_value_and_grad_gives_what_grad_gives():
    x = og.placeholder((2,), dtype=np.float64)
    y, (g,) = og.value_and_grad(og.reduce_sum(x * x), [x])
    value, gradient = og.RunTime().run([y, g], {x: AT})
    np.testing.assert_allclose(value, (AT**2).sum(), rtol=1e-15)
    np.testing.assert_allclose(gradient, 2 * AT, rtol=1e-15)


@pytest.mark.parametrize("size", [2, None])
def test_products_with_the_jacobian_of_a_linear_map_are_products_with_its_matrix(size):
    x = og.placeholder((size, 1), dtype=np.float64)
    y = og.constant(A) @ x
    u, t = rng.normal(size=(3, 1)), rng.normal(size=(2, 1))
    back, along = og.RunTime().run([og.vjp(y, x, u), og.jvp(y, x, t)], {x: AT[:, None]})
    np.testing.assert_allclose(back, A.T @ u, rtol=1e-14)
    np.testing.assert_allclose(along, A @ t, rtol=1e-14)


def test_jvp_sums_over_inputs_and_takes_several_outputs():
    x, w = og.placeholder((), dtype=np.float64), og.placeholder((), dtype=np.float64)
    outputs = [x * w, og.exp(x), w * w]
    found = og.RunTime().run(og.jvp(outputs, [x, w], [2.0, 3.0]), {x: 0.5, w: 4.0})
    np.testing.assert_allclose(found, [2 * 4 + 3 * 0.5, 2 * np.exp(0.5), 2 * 4 * 3], rtol=1e-15)


def test_vjp_sums_over_outputs():
    x = og.placeholder((2,), dtype=np.float64)
    g = og.vjp([x * x, og.exp(x)], x, [np.array([1.0, 2.0]), np.array([3.0, -1.0])])
    expected = np.array([1.0, 2.0]) * 2 * AT + np.array([3.0, -1.0]) * np.exp(AT)
    np.testing.assert_allclose(og.RunTime().run(g, {x: AT}), expected, rtol=1e-15)


def test_jvp_does_not_run_what_only_the_cotangent_is_for():
    x = og.placeholder((2,), dtype=np.float64)
    program = og.RunTime().compile([x], [og.jvp(og.tanh(x), x, np.ones(2))])
    np.testing.assert_allclose(program(AT)[0], 1 - np.tanh(AT) ** 2, rtol=1e-14)
    assert len(program._executable.structure.steps) < 8


def test_hvp_is_the_product_with_the_hessian():
    x = og.placeholder((2,), dtype=np.float64)
    y = og.reduce_sum(og.exp(x)) + og.reduce_sum(x) * og.reduce_sum(x * x)
    v = np.array([0.3, -1.5])
    s, ones = AT.sum(), np.ones(2)
    hessian = np.diag(np.exp(AT)) + 2 * np.outer(ones, AT) + 2 * np.outer(AT, ones) + 2 * s * np.eye(2)
    np.testing.assert_allclose(og.RunTime().run(og.hvp(y, x, v), {x: AT}), hessian @ v, rtol=1e-14)


def test_hvp_takes_several_inputs():
    x, w = og.placeholder((), dtype=np.float64), og.placeholder((), dtype=np.float64)
    found = og.RunTime().run(og.hvp(x * x * w, [x, w], [2.0, 5.0]), {x: 3.0, w: 4.0})
    np.testing.assert_allclose(found, [2 * 4 * 2 + 2 * 3 * 5, 2 * 3 * 2], rtol=1e-15)


@pytest.mark.parametrize("rows", [3, 1], ids=["more outputs than inputs", "more inputs than outputs"])
def test_the_jacobian_of_a_linear_map_is_its_matrix(rows):
    x = og.placeholder((2,), dtype=np.float64)
    y = og.constant(A[:rows]) @ x
    found = og.jacobian(y, x)
    assert found.shape == (rows, 2)
    np.testing.assert_allclose(og.RunTime().run(found, {x: AT}), A[:rows], rtol=1e-15)


def test_a_jacobian_has_the_axes_of_the_output_before_those_of_the_input():
    x, w = og.placeholder((2, 1), dtype=np.float64), og.placeholder((), dtype=np.float64)
    y = og.exp(x * w) * og.constant(rng.normal(size=(1, 4)))
    found = og.jacobian(y, [x, w])
    assert [j.shape for j in found] == [(2, 4, 2, 1), (2, 4)]
    data = {x: AT[:, None], w: 0.7}
    by_x, by_w, value = og.RunTime().run([*found, y], data)
    np.testing.assert_allclose(by_x[..., 0], 0.7 * value[:, :, None] * np.eye(2)[:, None], rtol=1e-14)
    np.testing.assert_allclose(by_w, value * AT[:, None], rtol=1e-14)


def test_a_jacobian_of_nothing_or_by_what_does_not_matter_is_empty_or_zero():
    x, w = og.placeholder((2,), dtype=np.float64), og.placeholder((0,), dtype=np.float64)
    empty, zero = og.RunTime().run([og.jacobian(og.exp(w), x), og.jacobian(og.exp(x), w)], {x: AT, w: []})
    assert empty.shape == (0, 2)
    assert zero.shape == (2, 0)
    assert og.RunTime().run(og.jacobian(x * 0.0, x), {x: AT}).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_the_hessian_is_the_matrix_of_second_derivatives():
    x = og.placeholder((2,), dtype=np.float64)
    y = og.reduce_sum(og.exp(x)) + x[0] * x[1] * x[1]
    a, b = AT
    expected = np.array([[np.exp(a), 2 * b], [2 * b, np.exp(b) + 2 * a]])
    np.testing.assert_allclose(og.RunTime().run(og.hessian(y, x), {x: AT}), expected, rtol=1e-14)


def test_the_hessian_by_several_inputs_has_a_block_for_each_two():
    x, w = og.placeholder((2,), dtype=np.float64), og.placeholder((), dtype=np.float64)
    blocks = og.hessian(og.reduce_sum(x * x) * w * w, [x, w])
    assert [[block.shape for block in row] for row in blocks] == [[(2, 2), (2,)], [(2,), ()]]
    found = og.RunTime().run([block for row in blocks for block in row], {x: AT, w: 3.0})
    for value, wanted in zip(found, [18 * np.eye(2), 12 * AT, 12 * AT, 2 * AT @ AT], strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-14)


def test_matrices_need_known_sizes_and_real_values():
    x = og.placeholder((None,), dtype=np.float64, name="x")
    with pytest.raises(og.ShapeError, match=r"jacobian: x is .* \(None,\) float64; the sizes of both .*og.vjp"):
        og.jacobian(og.exp(x), x)
    z = og.placeholder((), dtype=np.complex64, name="z")
    with pytest.raises(og.GradientError, match="hessian: x is placeholder 'z' .*; take the parts of complex values"):
        og.hessian(og.real(z * z), z)


def test_products_with_complex_jacobians_are_adjoint():
    z = og.placeholder((2,), dtype=np.complex128)
    y = og.exp(z) * og.conj(z)
    at, t, u = (rng.normal(size=2) + 1j * rng.normal(size=2) for _ in range(3))
    along, back = og.RunTime().run([og.jvp(y, z, t), og.vjp(y, z, u)], {z: at})
    np.testing.assert_allclose(along, np.exp(at) * np.conj(at) * t + np.exp(at) * np.conj(t), rtol=1e-14)
    np.testing.assert_allclose(np.vdot(u, along).real, np.vdot(back, t).real, rtol=1e-14)


def test_what_does_not_depend_gives_zeros():
    x, w = og.placeholder((2,), dtype=np.float64), og.placeholder((3,), dtype=np.float64)
    rt = og.RunTime()
    assert rt.run(og.jvp(og.exp(w), x, np.ones(2)), {x: AT, w: np.ones(3)}).tolist() == [0.0, 0.0, 0.0]
    assert rt.run(og.vjp(og.exp(w), x, np.ones(3)), {x: AT, w: np.ones(3)}).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda x: og.vjp(x, x, [np.ones(2)] * 2), r"vjp: cotangent of shape \(2, 2\) for placeholder 'x'"),
        (lambda x: og.vjp([x, x], x, [np.ones(2)]), "vjp: cotangents must be as many as .*, 2, not 1"),
        (lambda x: og.jvp(x, x, np.ones(3)), r"jvp: tangent of shape \(3,\) for placeholder 'x'"),
        (lambda x: og.jvp(og.exp(x), x, np.ones(2) * 1j), "jvp: tangent is complex128 for placeholder 'x'"),
        (lambda x: og.hvp(og.reduce_sum(x * x), x, np.ones(3)), r"hvp: vector of shape \(3,\) for placeholder 'x'"),
        (lambda x: og.jvp([], x, np.ones(3)), "jvp: ys must hold a node at least"),
        (lambda x: og.vjp("y", x, np.ones(3)), "vjp: ys are nodes, not 'y'"),
        (lambda x: og.hvp(x, x, np.ones(2)), r"hvp: y must be a real scalar, not placeholder 'x' \(2,\)"),
    ],
)
def test_bad_arguments_name_the_function_and_the_line(build, message):
    x = og.placeholder((2,), name="x", dtype=np.float64)
    with pytest.raises(og.GradientError, match=message) as caught:
        build(x)
    assert "test_transforms.py" in str(caught.value)


def test_identity_passes_the_gradient_and_stop_gradient_does_not():
    x = og.placeholder((2,), dtype=np.float64)
    y = og.identity(x) * og.stop_gradient(x)
    assert og.identity(x) is not x
    value, g = og.RunTime().run([y, og.grad(y, x)], {x: AT})
    np.testing.assert_array_equal(value, AT * AT)
    np.testing.assert_array_equal(g, AT)


def test_a_gradient_that_is_stopped_altogether_is_zero():
    x = og.placeholder((2,))
    assert og.RunTime().run(og.grad(og.stop_gradient(x) * 2.0, x), {x: [1, 2]}).tolist() == [0, 0]


def block(x, w):
    return og.tanh(og.exp(x * w) + x)


def test_checkpoint_changes_no_bit_of_values_and_gradients():
    x, w = og.placeholder((None, 3), dtype=np.float64), og.Variable(rng.normal(size=3))
    plain = block(block(x, w), w)
    again = og.checkpoint(block)(og.checkpoint(block)(x, w), w)
    rt = og.RunTime()
    at = rng.normal(size=(2, 3))
    expected = rt.run([plain, *og.grad(plain, [x, w])], {x: at})
    found = rt.run([again, *og.grad(again, [x, w])], {x: at})
    for value, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(value, wanted)
    check_grads(again, [x, w], {x: at}, order=2)


def test_checkpoint_takes_a_function():
    with pytest.raises(og.ArgumentError, match=r"^checkpoint: takes a function of nodes, not 3\n  at test_transforms"):
        og.checkpoint(3)


def test_checkpoint_keeps_less_memory_for_the_gradient():
    def deep(x, wrap):
        for _ in range(6):
            x = wrap(lambda x: og.tanh(og.exp(og.tanh(og.exp(x)))))(x)
        return og.reduce_sum(x)

    sizes = []
    for wrap in (lambda f: f, og.checkpoint):
        with og.Graph().as_default_graph():
            x = og.placeholder((1000,), dtype=np.float64)
            program = og.RunTime().compile([x], [og.grad(deep(x, wrap), x)])
            program(np.zeros(1000))
            (plan,) = program._executable._plans.values()
            sizes.append(plan.nbytes)
    assert sizes[1] < 0.6 * sizes[0]


class Noise(og.Op, name="tests.noise"):
    """n + x n with a random n, which its gradient tells: draws that differ would show."""

    inputs = ("x", "key")

    def infer(self, ins):
        return (ins[0],)

    def compute(self, ins, outs):
        noise = og.generator(ins[1]).normal(size=ins[0].shape)
        np.add(noise, ins[0] * noise, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * outs[0] / (1.0 + ins[0]), None)


def test_recomputation_draws_the_same_numbers_and_fires_no_update_twice():
    x = og.placeholder((50,), dtype=np.float64)
    count = og.Variable(0.0, name="count", trainable=False)

    @og.checkpoint
    def noisy(x):
        y = og.exp(og.apply(Noise(), x, og.random_key()))
        y.graph.add_update(count, count + 1.0, when=y)
        return y

    y = noisy(x)
    value, g = og.RunTime(seed=3).run([y, og.grad(y, x)], {x: np.zeros(50)})
    np.testing.assert_allclose(g, value * np.log(value), rtol=1e-12)  # exp(n + x n) by x at 0
    assert count.val == 1.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: og.jvp(x, x, None), "jvp: tangents must hold values, not None"),
        (lambda x: og.vjp([x], [x], [None]), "vjp: cotangents must hold values, not None"),
        (lambda x: og.jvp(x, [x], 3), "jvp: tangents must be a sequence, one for each of the nodes, not 3"),
        (lambda x: og.vjp([x], x, x), "vjp: cotangents must be a sequence"),
        (lambda x: og.vjp(None, x, x), "vjp: ys are nodes, not None"),
        (lambda x: og.hvp(og.reduce_sum(x), 3, x), "hvp: xs are nodes, not 3"),
    ],
)
def test_what_is_missing_in_a_product_is_named(call, message):
    with pytest.raises(og.GradientError, match=message) as caught:
        call(og.placeholder((2,), name="x"))
    assert "at test_transforms.py" in str(caught.value)
