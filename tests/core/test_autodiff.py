import numpy as np
import pytest

import opgraph as og
from opgraph.testing import check_grads, numerical_gradient


def scalar(name):
    return og.placeholder((), dtype=np.float64, name=name)


@pytest.mark.parametrize("at", [-1.3, 0.0, 0.4, 2.1])
def test_four_derivatives_of_tanh_match_their_closed_forms(at):
    x = scalar("x")
    nodes = [og.tanh(x)]
    for _ in range(4):
        nodes.append(og.grad(nodes[-1], x))
    t = np.tanh(at)
    s = 1 - t**2
    expected = [t, s, -2 * t * s, 2 * s * (3 * t**2 - 1), 8 * t * s * (2 - 3 * t**2)]
    np.testing.assert_allclose(og.RunTime().run(nodes, {x: at}), expected, rtol=0, atol=1e-10)


def test_a_sequence_gives_a_list_and_a_node_a_node():
    x, y = scalar("x"), scalar("y")
    z = x * y + og.exp(x + 3.0)
    grads = og.grad(z, (x, y))
    assert isinstance(grads, list)
    np.testing.assert_allclose(og.RunTime().run(grads, {x: 3.0, y: 4.0}), [4 + np.exp(6), 3.0])
    assert isinstance(og.grad(z, x), og.Node)


def test_a_value_used_several_times_collects_all_its_gradients():
    x = scalar("x")
    y = x * x * x + x
    assert og.RunTime().run(og.grad(y, x), {x: 2.0}) == 13.0


def test_gradients_reach_nodes_on_the_way_and_what_lies_behind_them():
    x = scalar("x")
    h = x * 3.0
    y = h * h
    assert [float(v) for v in og.RunTime().run(og.grad(y, [h, x, y]), {x: 2.0})] == [12.0, 36.0, 1.0]


def test_the_cotangent_weights_the_outputs():
    x = og.placeholder((2,), dtype=np.float64)
    y = x * x
    rt = og.RunTime()
    assert rt.run(og.grad(y, x), {x: [1.0, 2.0]}).tolist() == [2.0, 4.0]
    assert rt.run(og.grad(y, x, [10.0, 1.0]), {x: [1.0, 2.0]}).tolist() == [20.0, 4.0]
    c = og.placeholder((2,), dtype=np.float64)
    assert rt.run(og.grad(y, x, c), {x: [1.0, 2.0], c: [0.0, 1.0]}).tolist() == [0.0, 4.0]
    with pytest.raises(og.GradientError, match=r"cotangent of shape \(3,\) for multiply 'multiply' \(2,\) float64"):
        og.grad(y, x, np.ones(3))


def test_nothing_flows_back_through_a_stopped_node():
    x = scalar("x")
    h = x * 3.0
    y = h * x
    rt = og.RunTime()
    assert rt.run(og.grad(y, x, stopped=[h]), {x: 2.0}) == 6.0
    assert rt.run(og.grad(y, x), {x: 2.0}) == 12.0
    # what arrives at a stopped node is still to be had
    assert [float(v) for v in rt.run(og.grad(y, [h, x], stopped=[h]), {x: 2.0})] == [2.0, 6.0]


def test_an_unconnected_input_raises_or_gives_zeros_or_none():
    x, other = scalar("x"), og.placeholder((None, 3), name="other")
    y = x * 2.0
    with pytest.raises(
        og.GradientError, match="multiply 'multiply' .* does not depend on placeholder 'other'"
    ) as caught:
        og.grad(y, [x, other])
    assert "og.grad(y, [x, other])" in str(caught.value)
    zeros = og.grad(y, other, unconnected="zeros")
    assert og.RunTime().run(zeros, {other: np.ones((2, 3))}).tolist() == [[0.0] * 3] * 2
    assert zeros.dtype == np.float32
    assert og.grad(y, [other], unconnected="none") == [None]
    with pytest.raises(og.ArgumentError, match="unconnected='zero' is none of 'raise', 'zeros', 'none'"):
        og.grad(y, x, unconnected="zero")


def test_integers_have_no_gradients():
    i = og.placeholder((2,), dtype=np.int64, name="i")
    x = og.placeholder((2,), name="x")
    with pytest.raises(og.GradientError, match=r"x is placeholder 'i' \(2,\) int64; only floating-point"):
        og.grad(x * i, [x, i])
    with pytest.raises(og.GradientError, match="y is add 'add' .* int64; only floating-point"):
        og.grad(i + i, x)
    with pytest.raises(og.GradientError, match="xs must hold nodes, not 'x'"):
        og.grad(x * 2.0, ["x"])


def test_nothing_flows_through_integers():
    x = og.placeholder((2,), name="x")
    y = x.astype(np.int32).astype(np.float32) * 2.0
    with pytest.raises(og.GradientError, match="does not depend on"):
        og.grad(y, x)


def test_a_gradient_is_cast_to_its_input_s_dtype():
    x = og.placeholder((2,), dtype=np.float32)
    y = x.astype(np.float64) * np.array([2.0, 3.0])
    assert y.dtype == np.float64
    assert og.grad(y, x).dtype == np.float32


def test_nodes_of_two_graphs_have_no_gradient():
    x = scalar("x")
    with og.Graph().as_default_graph():
        y = scalar("y") * 2.0
    with pytest.raises(og.GradientError, match="placeholder 'x' .* is a node of another graph than multiply"):
        og.grad(y, x)


class Double(og.Elementwise, name="test.double"):
    """Twice x, with a gradient of the test's choice."""

    result: str = "good"

    def compute(self, ins, outs):
        np.multiply(ins[0], 2, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (g,) = cotangents
        match self.result:
            case "good":
                return (g * 2.0,)
            case "array":
                return (np.ones(2),)
            case "too many":
                return (g, g)
            case "raises":
                raise ZeroDivisionError("by the test")
            case "shape error":
                return (g @ g.reshape(1, 2),)
        return g


class Opaque(og.Elementwise, name="test.opaque"):
    """An op without a gradient."""

    def compute(self, ins, outs):
        np.sign(ins[0], out=outs[0])


def test_an_op_without_a_vjp_is_named():
    x = og.placeholder((2,), name="x")
    y = og.apply(Opaque(), x) * 2.0
    with pytest.raises(og.GradientError) as caught:
        og.grad(y, x)
    lines = str(caught.value).splitlines()
    assert lines[0] == "test.opaque: has no gradient: its op defines no vjp"
    assert lines[1] == "  x: placeholder 'x' (2,) float32"
    assert lines[2].endswith("y = og.apply(Opaque(), x) * 2.0")


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("array", "its vjp returned a ndarray where a node or None belongs"),
        ("too many", r"its vjp returned \(.*\), not a tuple of 1"),
        ("raises", "its vjp raised ZeroDivisionError: by the test"),
        ("bare", "its vjp returned <.*>, not a tuple of 1"),
    ],
)
def test_a_vjp_that_breaks_its_contract_is_named(result, message):
    x = og.placeholder((2,), name="x")
    y = og.apply(Double(result), x)
    with pytest.raises(og.GradientError, match=message) as caught:
        og.grad(y, x)
    assert "test.double" in str(caught.value)
    assert "y = og.apply(Double(result), x)" in str(caught.value)


def test_a_vjp_of_the_wrong_shape_is_refused():
    class Wrong(og.Op, name="test.wrong"):
        """Sum over the first axis, with the gradient left as it is."""

        def infer(self, ins):
            return (ins[0].with_shape(ins[0].shape[1:]),)

        def compute(self, ins, outs):
            np.sum(ins[0], 0, out=outs[0])

        def vjp(self, ins, outs, cotangents):
            return cotangents

    x = og.placeholder((2, 3))
    with pytest.raises(og.GradientError, match=r"its vjp returned shape \(3,\) for an input of shape \(2, 3\)"):
        og.grad(og.apply(Wrong(), x), x)


def test_a_hidden_output_takes_no_cotangent():
    class Halves(og.Op, name="test.halves"):
        """x / 2, with a hidden copy of it that its gradient misuses."""

        hidden = 1

        def infer(self, ins):
            return (ins[0], ins[0])

        def compute(self, ins, outs):
            outs[0][...] = outs[1][...] = ins[0] / 2

        def vjp(self, ins, outs, cotangents):
            return (cotangents[0] * outs[1],)

    x = og.placeholder((2,))
    first = og.grad(og.apply(Halves(), x), x)
    with pytest.raises(og.GradientError, match="a hidden output received a cotangent: the vjp of what reads it"):
        og.grad(first, x)


def test_an_error_in_a_gradient_names_the_line_of_what_it_differentiates():
    x = og.placeholder((2,), name="x")
    y = og.apply(Double("shape error"), x)
    z = y * 1.0
    message = "matmul: .*inner sizes 2 and 1 differ, in the vjp of test.double"
    with pytest.raises(og.ShapeError, match=message) as caught:
        og.grad(z, x)
    assert 'y = og.apply(Double("shape error"), x)' in str(caught.value)
    assert z.source is not None


def test_gradient_nodes_carry_the_line_of_the_node_they_differentiate():
    x = og.placeholder((2,))
    y = og.exp(x)
    gradient = og.grad(y * 2.0, x)
    assert gradient.source == y.source


def test_call_vjp_gives_one_call_s_cotangents():
    x, y = og.placeholder((2, 3), dtype=np.float64), og.placeholder((3,), dtype=np.float64)
    z = x * y
    gx, gy = og.autodiff.call_vjp(z.call, [og.constant(np.ones((2, 3)))])
    values = og.RunTime().run([gx, gy], {x: np.arange(6.0).reshape(2, 3), y: [1.0, 2.0, 3.0]})
    assert values[0].tolist() == [[1.0, 2.0, 3.0]] * 2
    assert values[1].tolist() == [3.0, 5.0, 7.0]


@pytest.mark.parametrize(
    ("f", "derivative", "at"),
    [
        (np.sin, np.cos, 1.0),
        (np.exp, np.exp, -3.0),
        (np.log, lambda x: 1 / x, 1e-3),
        (lambda x: x**5, lambda x: 5 * x**4, 100.0),
        (lambda x: 7.0 + 0 * x, lambda x: 0.0, 2.0),
        (lambda x: 1e12 * x, lambda x: 1e12, 0.0),
    ],
)
def test_numerical_derivatives_are_as_exact_as_they_say(f, derivative, at):
    value, error, _ = numerical_gradient(lambda x: float(f(x[0])), np.array([at]))
    assert abs(value[0] - derivative(at)) <= 4 * error[0] + 1e-9 * abs(derivative(at))
    assert error[0] <= 1e-6 * max(abs(derivative(at)), 1e-6)


class Flawed(og.Elementwise, name="test.flawed"):
    """x ** 3, whose first or second derivative is off."""

    first: float = 3.0
    second: float = 2.0

    def compute(self, ins, outs):
        np.power(ins[0], 3, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * og.apply(FlawedSquare(self.second), ins[0]) * self.first,)


class FlawedSquare(og.Elementwise, name="test.flawed_square"):
    """x ** 2, whose derivative is off."""

    factor: float = 2.0

    def compute(self, ins, outs):
        np.square(ins[0], out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * ins[0] * self.factor,)


def test_check_grads_passes_what_is_right_and_catches_what_is_wrong_to_its_order():
    x = og.placeholder((None, 2), dtype=np.float64, name="x")
    feeds = {x: np.array([[0.5, -1.0], [2.0, 0.3], [0.1, -0.7]])}
    check_grads(og.apply(Flawed(), x), [x], feeds)
    with pytest.raises(AssertionError, match=r"d\(<test\.flawed .*>\)/dx is wrong at \(\d, \d\) and 6 of 6"):
        check_grads(og.apply(Flawed(first=3.00001), x), [x], feeds, order=1)
    check_grads(og.apply(Flawed(second=2.00001), x), [x], feeds, order=1)
    with pytest.raises(AssertionError, match=r"d\(d\(<test\.flawed .*>\)/dx\)/dx is wrong"):
        check_grads(og.apply(Flawed(second=2.00001), x), [x], feeds, order=2)


def test_check_grads_does_not_trust_what_is_too_rough():
    class Noisy(og.Elementwise, name="test.noisy"):
        """x with ripples far below any step, and the gradient without them."""

        def compute(self, ins, outs):
            np.add(ins[0], 1e-3 * np.sin(1e9 * ins[0]), out=outs[0])

        def vjp(self, ins, outs, cotangents):
            return cotangents

    x = og.placeholder((2,), dtype=np.float64)
    with pytest.raises(AssertionError, match="is inconclusive"):
        check_grads(og.apply(Noisy(), x), [x], {x: [0.4, 1.0]}, order=1)


def ramp(x):
    """Return x where it is positive, else 0, and so its gradient at 0."""
    return og.where(x > 0, x, 0.0)


@pytest.mark.parametrize(
    ("function", "at", "order", "says"),
    [
        (ramp, [0.0, 0.0], 2, "there is a kink, where the derivative is .* and the gradient says 0; move the point"),
        (lambda x: ramp(x - 0.5), [2.0, 0.5], 1, r"^d\(<where.*/dx cannot be checked at \(1,\) and 1 of 2 .* kink"),
        (lambda x: ramp(x) * x, [0.0, 2.0], 2, r"^d\(d\(.*cannot be checked at \(0,\).* there is a kink"),
        (lambda x: og.where(x < 1, x, 2 * x), [1.0, 0.5], 1, "there is a jump"),
        (og.abs, [1.0, 0.0], 2, r"^d\(d\(.*there is a jump"),  # the first gradient is what differences give
    ],
)
def test_check_grads_tells_a_kink_or_a_jump_from_a_wrong_gradient(function, at, order, says):
    x = og.placeholder((2,), dtype=np.float64, name="x")
    with pytest.raises(AssertionError, match=says):
        check_grads(function(x), [x], {x: at}, order)


def test_check_grads_puts_a_variable_back_when_the_run_fails():
    class Picky(og.Elementwise, name="test.picky"):
        """x, but only where it was first."""

        def compute(self, ins, outs):
            if ins[0][0] != 0.5:
                raise ValueError("moved")
            np.copyto(outs[0], ins[0])

        def vjp(self, ins, outs, cotangents):
            return cotangents

    v = og.Variable(np.array([0.5, 2.0]), name="v")
    with pytest.raises(og.KernelError, match="moved"):
        check_grads(og.apply(Picky(), v), [v])
    assert v.val.tolist() == [0.5, 2.0]


def test_check_grads_moves_variables_and_puts_them_back():
    v = og.Variable(np.array([0.5, 2.0]), name="v")
    check_grads(og.exp(v) * v, [v])
    assert v.val.tolist() == [0.5, 2.0]


def test_check_grads_wants_float64():
    x = og.placeholder((2,))
    with pytest.raises(og.ArgumentError, match="must be float64"):
        check_grads(og.exp(x), [x], {x: [1.0, 2.0]})


class Stair(og.Elementwise, name="test.stair"):
    """The integer below x, whose gradient is zero."""

    def compute(self, ins, outs):
        np.floor(ins[0], out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (None,)


def test_a_gradient_that_is_zero_is_not_one_that_does_not_exist():
    x, other = og.placeholder((2,), name="x"), og.placeholder((2,), name="other")
    y = og.apply(Stair(), x) * 2.0 + other
    assert og.RunTime().run(og.grad(y, x), {x: [1.5, 2.5]}).tolist() == [0.0, 0.0]
    gx, go = og.grad(y * x, [x, other])
    found = og.RunTime().run([gx, go], {x: [1.5, 2.5], other: [10.0, 20.0]})
    assert [g.tolist() for g in found] == [[12.0, 24.0], [1.5, 2.5]]
    unrelated = og.placeholder((2,), name="unrelated")
    with pytest.raises(og.GradientError, match="does not depend on placeholder 'unrelated'"):
        og.grad(y, [x, unrelated])
    with pytest.raises(og.GradientError, match="does not depend on placeholder 'x'"):
        og.grad(og.broadcast_like(other, x), x)
    with pytest.raises(og.GradientError, match="does not depend on placeholder 'x'"):
        og.grad(y, [x], stopped=[y.inputs[0]])


def test_a_cotangent_must_have_the_run_time_shape():
    x = og.placeholder((None,), dtype=np.float64, name="x")
    a = og.Variable(np.array([5.0]))
    rt = og.RunTime()
    gradient = og.grad(x * a, a, cotangent=np.ones(3))
    assert rt.run(gradient, {x: [1.0, 2.0, 3.0]}).tolist() == [6.0]
    for size in (1, 2):
        with pytest.raises(og.ShapeError, match=r"x has shape \(3,\) where that of like is wanted"):
            rt.run(gradient, {x: np.ones(size)})
    with pytest.raises(og.ShapeError, match=r"x has shape \(1,\) where that of like is wanted"):
        rt.run(og.grad(x * a, a, cotangent=[1.0]), {x: np.ones(3)})


def test_a_cotangent_or_a_stopped_node_of_another_graph_is_refused():
    x = scalar("x")
    with og.Graph().as_default_graph():
        foreign = scalar("foreign")
    with pytest.raises(og.GradientError, match="cotangent placeholder 'foreign' .* is a node of another graph"):
        og.grad(x * x, x, cotangent=foreign)
    with pytest.raises(og.GradientError, match="placeholder 'foreign' .* is a node of another graph"):
        og.grad(x * x, x, stopped=[foreign])
    with pytest.raises(og.GradientError, match="cotangent is complex128"):
        og.grad(x * x, x, cotangent=og.constant(np.array(1j)))


def test_one_node_where_several_belong_is_pointed_out():
    x = scalar("x")
    with pytest.raises(og.GradientError, match="stopped must be a sequence of nodes, not <placeholder 'x'"):
        og.grad(x * x, x, stopped=x)
    with pytest.raises(og.GradientError, match="xs must be a sequence of nodes, not 5"):
        og.grad(x * x, 5)


def test_the_gradient_of_a_float16_mean_does_not_overflow():
    x = og.placeholder((None,), dtype=np.float16)
    mean = og.reduce_mean(x)
    value, gradient = og.RunTime().run([mean, og.grad(mean, x)], {x: np.ones(70_000, np.float16)})
    assert value == 1.0
    assert value.dtype == gradient.dtype == np.float16
    assert gradient[0] == np.float16(1 / 70_000)
    assert og.RunTime().run(mean, {x: np.full(30_000, 3.0)}) == 3.0


def test_gradients_by_complex_numbers_point_where_a_real_value_rises_most():
    z = og.placeholder((2,), dtype=np.complex128)
    at = np.array([1.0 + 2.0j, -0.5 + 0.25j])
    rt = og.RunTime()
    # |z|² = a² + b² has the gradient 2a + 2ib
    np.testing.assert_allclose(rt.run(og.grad(og.real(z * og.conj(z)), z), {z: at}), 2 * at, rtol=1e-15)
    # of a holomorphic f it is the conjugate of f' times the cotangent
    gradient = og.grad(og.exp(z), z, np.array([1.0j, 2.0]))
    np.testing.assert_allclose(rt.run(gradient, {z: at}), np.conj(np.exp(at)) * [1j, 2])


def test_a_real_input_of_a_complex_function_has_a_real_gradient():
    x = og.placeholder((2,), dtype=np.float64)
    y = og.exp(x * 1j)
    (g,) = og.grad(og.imag(y), [x])
    assert g.dtype == np.float64
    np.testing.assert_allclose(og.RunTime().run(g, {x: [0.5, 2.0]}), np.cos([0.5, 2.0]), rtol=1e-15)


def test_every_complex_arithmetic_agrees_with_finite_differences():
    rng = np.random.default_rng(3)

    def draw(*shape):
        return rng.normal(size=shape) + 1j * rng.normal(size=shape)

    z, w = og.placeholder((None, 2), dtype=np.complex128), og.placeholder((2, 4), dtype=np.complex128)
    x = og.placeholder((2,), dtype=np.float64)
    y = og.tanh(z * x / 3.0) @ og.sqrt(w) - og.log(og.reduce_mean(w, 0))
    check_grads(y, [z, w, x], {z: draw(3, 2), w: draw(2, 4), x: rng.normal(size=2)}, order=2)


def test_a_complex_value_needs_a_cotangent():
    z = og.placeholder((), dtype=np.complex64, name="z")
    with pytest.raises(og.GradientError, match="multiply 'multiply' .* complex64 is complex; give its cotangent"):
        og.grad(z * z, z)
    with pytest.raises(og.DtypeError, match=r"complex64 does not go into float32; take og.real\(x\)"):
        og.cast(z, np.float32)
