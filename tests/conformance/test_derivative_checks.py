"""Each check of derivatives catches a small op that is wrong in its way, and passes the same op where it is right."""

import numpy as np
import pytest

import opgraph as og
from opgraph.testing import check_op

EVERY = (
    "vjp_full",
    "vjp_probe",
    "second_order",
    "jvp",
    "adjoint",
    "cotangent_linear",
    "exact_int",
    "kink",
    "precision",
    "complex",
)
X = np.array([[0.7, -1.3, 0.4], [1.1, 0.2, -0.6]])
rng = np.random.default_rng(0)


def failures(op_class, *inputs, checks=EVERY, seed=0, **attrs):
    """Return what the checks find on one sample, by check."""
    report = check_op(op_class, samples=[og.Sample(inputs, attrs)], checks=checks, seed=seed)
    return {result.check: result for result in report.failures}


class Real(og.Elementwise):
    """What has no meaning for complex numbers."""

    def dtypes(self, *ins):
        if any(dtype.kind == "c" for dtype in ins):
            raise og.DtypeError("takes real numbers only")
        return ins[0]


class Cube(Real, name="test.cube"):
    """x ** 3; its first and second derivatives may be off by a factor, its kernel by a term."""

    first: float = 1.0
    second: float = 1.0
    ripple: float = 0.0

    def compute(self, ins, outs):
        (x,), (y,) = ins, outs
        np.power(x, 3, out=y)
        if self.ripple:
            y += self.ripple * np.sin(1e9 * x)

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * og.apply(Square(self.second), ins[0]) * (3.0 * self.first),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((X,))


class Square(og.Elementwise, name="test.square"):
    """x ** 2, whose derivative may be off by a factor."""

    factor: float = 1.0

    def compute(self, ins, outs):
        np.square(ins[0], out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * og.conj(ins[0]) * (2.0 * self.factor),)


def test_a_right_op_passes_every_check():
    assert not failures(Cube, X)
    assert not failures(Square, X)


@pytest.mark.parametrize("scale", [1e-100, 1e-50, 1e50, 1e100])
def test_the_scale_of_the_inputs_is_no_reason_to_accuse(scale):
    assert not failures(Square, X * scale)


def test_a_wrong_factor_is_found_and_named():
    found = failures(Cube, X, first=2.0)
    assert found["vjp_full"].status == "fail"
    assert found["vjp_full"].data["pattern"].startswith("a constant factor of 2")
    assert str(found["vjp_full"]).count("a constant factor of 2") == 1
    assert "\n  it looks like this: a constant factor of 2" in str(found["vjp_full"])
    assert {"jvp", "vjp_full"} <= set(found)
    assert set(failures(Cube, X, first=1.000001)) >= {"vjp_full", "jvp"}


def test_a_wrong_second_order_is_found_where_the_first_is_right():
    assert set(failures(Cube, X, second=1.001)) >= {"second_order"}
    assert "vjp_full" not in failures(Cube, X, second=1.0)


def test_values_too_rough_for_differences_are_inconclusive():
    found = failures(Cube, X, ripple=1e-3)
    assert found["vjp_full"].status == "inconclusive"


def test_a_failure_names_the_place_and_both_values_and_shrinks_the_input():
    class Border(og.Op, name="test.border"):
        """Double each element, with a gradient that forgets the last."""

        def infer(self, ins):
            return ins

        def compute(self, ins, outs):
            np.multiply(ins[0], 2.0, out=outs[0])

        def vjp(self, ins, outs, cotangents):
            (g,) = cotangents
            return (og.concat([g[:-1] * 2.0, g[-1:] * 0.0], 0),)

    result = failures(Border, rng.normal(size=9))["vjp_full"]
    assert result.data["index"] == [8, 8]
    assert (result.data["analytic"], result.data["numeric"]) == (0.0, pytest.approx(2.0))
    assert result.data["error"] < 1e-9
    assert (result.data["left"], result.data["right"]) == (pytest.approx(2.0), pytest.approx(2.0))
    assert result.data["kind"] == "smooth"
    assert result.data["pattern"].startswith("only at the border: the last along axis 0")
    assert " on float64[1] [" in result.data["smallest"]


def test_an_undeclared_kink_at_a_sample_is_called_one():
    class Magnitude(Real, name="test.magnitude"):
        """The absolute value, with the derivative of the right side at 0."""

        def compute(self, ins, outs):
            np.abs(ins[0], out=outs[0])

        def vjp(self, ins, outs, cotangents):
            return (og.where(og.less(ins[0], 0.0), -cotangents[0], cotangents[0]),)

    at_zero = np.array([0.5, 0.0, -1.0])
    found = failures(Magnitude, at_zero)["vjp_full"]
    assert "from the left the derivative is -1, from the right 1: a kink" in found.detail
    assert found.data["pattern"] == "only at ties or kinks"
    Magnitude.info = og.OpInfo(kinks=(0.0,))
    assert not failures(Magnitude, at_zero)


class Rectifier(Real, name="test.rectifier"):
    """The positive part, with a given slope at 0."""

    info = og.OpInfo(kinks=(0.0,))
    at_zero: float = 0.0

    def compute(self, ins, outs):
        np.maximum(ins[0], 0, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x,), (g,) = ins, cotangents
        return (og.where(og.greater(x, 0.0), g, og.where(og.equal(x, 0.0), g * self.at_zero, 0.0)),)


@pytest.mark.parametrize(("slope", "right"), [(0.0, True), (0.5, True), (1.0, True), (1.5, False), (-0.1, False)])
def test_the_gradient_at_a_kink_lies_between_those_of_its_sides(slope, right):
    found = failures(Rectifier, X, at_zero=slope)
    assert bool(found) is not right
    if not right:
        assert set(found) == {"kink"}
        assert found["kink"].data["pattern"] == "only at kinks"
        assert found["kink"].data["kind"] == "kink"


def test_a_jump_has_the_gradient_of_its_branches():
    class Stair(Real, name="test.stair"):
        """The integer below."""

        info = og.OpInfo(kinks=(0.0, 1.0), zero_gradient=(0,))
        at_jumps: float = 0.0

        def compute(self, ins, outs):
            np.floor(ins[0], out=outs[0])

        def vjp(self, ins, outs, cotangents):
            (x,), (g,) = ins, cotangents
            return (og.where(og.equal(x, 1.0), g * self.at_jumps, 0.0),)

    assert not failures(Stair, X)
    found = failures(Stair, X, at_jumps=3.0)
    assert found["kink"].data["kind"] == "jump"


class Greatest(og.Op, name="test.greatest"):
    """The greatest of each row; equal ones share as `policy` says."""

    info = og.OpInfo(tie_policy="split")
    share: str = "split"

    def infer(self, ins):
        if ins[0].dtype.kind == "c":
            raise og.DtypeError("takes real numbers only")
        return (og.Spec(ins[0].shape[:1], ins[0].dtype),)

    def compute(self, ins, outs):
        np.max(ins[0], axis=1, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x,), (y,), (g,) = ins, outs, cotangents
        tops = og.cast(og.equal(x, og.expand_dims(y, 1)), x.dtype)
        if self.share == "split":
            tops = tops / og.reduce_sum(tops, 1, keepdims=True)
        elif self.share == "first":
            tops = tops * og.cast(og.equal(og.cumsum(tops, 1), 1.0), x.dtype)
        elif self.share == "last":
            rest = og.reduce_sum(tops, 1, keepdims=True) - og.cumsum(tops, 1)
            tops = tops * og.cast(og.equal(rest, 0.0), x.dtype)
        return (tops * og.expand_dims(g, 1),)


class FirstGreatest(Greatest, name="test.first_greatest"):
    """The greatest of each row, declared to belong to the first."""

    info = og.OpInfo(tie_policy="first")


@pytest.mark.parametrize(
    ("op_class", "share", "says"),
    [
        (Greatest, "split", None),
        (Greatest, "first", "share alike"),
        (Greatest, "all", "in all, where it should be 1"),
        (FirstGreatest, "first", None),
        (FirstGreatest, "split", "the first has it all"),
        (FirstGreatest, "last", "the first has it all"),
        (FirstGreatest, "all", "in all, where it should be 1"),
    ],
)
def test_ties_share_as_is_declared(op_class, share, says):
    found = failures(op_class, X, share=share)
    if says is None:
        assert not found
    else:
        assert set(found) == {"kink"}
        assert says in found["kink"].detail
        assert found["kink"].data["pattern"] == "only at ties"


def test_ties_among_samples_are_no_reason_to_accuse():
    tied = np.array([[1.0, 1.0, 0.5], [0.2, 0.7, 0.7]])
    assert not failures(Greatest, tied)
    assert not failures(FirstGreatest, tied, share="first")


def test_a_gradient_that_is_always_zero_must_be_declared():
    class Zero(og.Elementwise, name="test.zero"):
        """Nothing of anything."""

        def compute(self, ins, outs):
            outs[0].fill(0.0)

        def vjp(self, ins, outs, cotangents):
            return (None,)

        @classmethod
        def samples(cls, rng):
            yield og.Sample((X,))

    [found] = check_op(Zero, checks=["vjp_full"]).failures
    assert "declare OpInfo(zero_gradient=(0,))" in found.detail
    Zero.info = og.OpInfo(zero_gradient=(0,))
    assert check_op(Zero, checks=EVERY).ok
    Cube.info = og.OpInfo(zero_gradient=(0,))
    try:
        assert "not zero, though" in failures(Cube, X)["vjp_full"].detail
    finally:
        Cube.info = None


def test_nan_must_be_declared():
    class Logarithm(Real, name="test.logarithm"):
        """The logarithm, with the gradient of what is no number."""

        def compute(self, ins, outs):
            np.log(ins[0], out=outs[0])

        def vjp(self, ins, outs, cotangents):
            return (og.where(og.less(ins[0], 0.0), np.nan, cotangents[0] / ins[0]),)

    x = np.array([2.0, -1.0])
    assert failures(Logarithm, x, checks=["vjp_full"])["vjp_full"].status == "fail"
    assert failures(Logarithm, x[1:], checks=["vjp_full"])["vjp_full"].status == "inconclusive"
    Logarithm.info = og.OpInfo(nan_gradient=True)
    assert not failures(Logarithm, x, checks=["vjp_full", "second_order", "jvp", "cotangent_linear"])


def test_an_output_alone_is_differentiated_too():
    class Both(og.Op, name="test.both"):
        """x and 2 x, with a gradient that forgets one where the other has none."""

        def infer(self, ins):
            return ins * 2

        def compute(self, ins, outs):
            np.copyto(outs[0], ins[0])
            np.multiply(ins[0], 2.0, out=outs[1])

        def vjp(self, ins, outs, cotangents):
            a, b = cotangents
            return (None if a is None else a if b is None else a + b * 2.0,)

    found = failures(Both, X)
    assert "(the other outputs without cotangent)" in found["vjp_full"].detail
    assert "it is right with zero cotangents" in found["vjp_full"].detail
    assert "cotangent_linear" in found


def test_hidden_outputs_serve_the_gradient():
    class Pick(og.Op, name="test.pick"):
        """The greatest of a vector; a hidden output remembers its place."""

        hidden = 1
        late: bool = False

        def infer(self, ins):
            return (og.Spec((), ins[0].dtype), og.Spec((), np.int64))

        def compute(self, ins, outs):
            outs[1][...] = np.argmax(ins[0])
            outs[0][...] = ins[0][outs[1]]
            if self.late:
                outs[1][...] = 0

        def vjp(self, ins, outs, cotangents):
            return (cotangents[0] * og.one_hot(outs[1], ins[0].shape[0], dtype=ins[0].dtype),)

    x = np.array([0.3, 1.2, -0.5])
    known = ["jvp", "cotangent_linear", "second_order"]
    assert not failures(Pick, x, checks=known)
    assert set(failures(Pick, x, checks=known, late=True)) >= {"jvp"}


def test_sizes_that_are_unknown_when_the_gradient_is_built_are_tried():
    class Mean(og.Op, name="test.mean"):
        """The mean of a vector, whose gradient guesses a size that it is not told."""

        def infer(self, ins):
            return (og.Spec((), ins[0].dtype),)

        def compute(self, ins, outs):
            np.mean(ins[0], out=outs[0])

        def vjp(self, ins, outs, cotangents):
            size = ins[0].shape[0]
            return (og.broadcast_like(cotangents[0] / float(size or 1), ins[0]),)

    result = failures(Mean, rng.normal(size=5))["vjp_full"]
    assert "(sizes unknown)" in result.detail
    assert result.data["pattern"] == "a constant factor of 5 (size 5)"


class Blur(og.Op, name="test.blur"):
    """Each element and half its right neighbour; `wrong` says what its gradient forgets."""

    info = og.OpInfo(multilinear=(0,))
    wrong: str = ""

    def infer(self, ins):
        return ins

    def compute(self, ins, outs):
        (x,), (y,) = ins, outs
        np.copyto(y, x)
        y[:, :-1] += 0.5 * x[:, 1:]

    def vjp(self, ins, outs, cotangents):
        (g,) = cotangents
        shifted = og.concat([g[:, :1] * 0.0, g[:, :-1] * 0.5], 1)
        if self.wrong == "corner":
            shifted = og.concat([shifted[:, :-1], shifted[:, -1:] * 0.0], 1)
        if self.wrong == "bias":
            return (g + shifted + 1e-9,)
        if self.wrong == "clipped":
            return (og.minimum(g, 1.0) + shifted,)
        return (g + shifted,)


LARGE = rng.normal(size=(13, 17))


def test_large_inputs_are_probed():
    assert not failures(Blur, LARGE)
    found = failures(Blur, LARGE, wrong="corner", checks=["vjp_probe"])
    assert found["vjp_probe"].status == "fail"
    assert not failures(Cube, LARGE)
    assert "vjp_probe" in failures(Cube, LARGE, first=1.00001)


def test_probing_gets_by_with_kinks_nearby():
    assert not failures(Rectifier, rng.normal(size=(40, 50)), checks=["vjp_probe", "jvp"])


def test_a_probe_tells_the_border():
    class Framed(og.Elementwise, name="test.framed"):
        """The sine, whose gradient is off in the first column."""

        def compute(self, ins, outs):
            np.sin(ins[0], out=outs[0])

        def vjp(self, ins, outs, cotangents):
            g = cotangents[0] * og.cos(ins[0])
            return (og.concat([g[:, :1] * 1.01, g[:, 1:]], 1),)

    found = failures(Framed, LARGE, checks=["vjp_probe"])["vjp_probe"]
    assert found.status == "fail"


@pytest.mark.parametrize("wrong", ["bias", "clipped"])
def test_the_gradient_is_linear_in_the_cotangent(wrong):
    assert "cotangent_linear" in failures(Blur, X, wrong=wrong)
    assert not failures(Blur, X)


def test_a_constant_in_the_gradient_is_found_however_small():
    result = failures(Blur, X, wrong="bias", checks=["cotangent_linear"])["cotangent_linear"]
    assert "a zero cotangent gives 1e-09" in result.detail


class Weigh(og.Op, name="test.weigh"):
    """A matrix times a vector, in a working precision, with a term that is not linear."""

    inputs = ("a", "x")
    info = og.OpInfo(multilinear=(0, 1))
    narrow: bool = False
    constant: float = 0.0
    transposed: bool = False

    def infer(self, ins):
        a, x = ins
        if None not in (a.shape[1], x.shape[0]) and a.shape[1] != x.shape[0]:
            raise og.ShapeError("sizes differ")
        return (og.Spec(a.shape[:1], og.promote_dtypes(a.dtype, x.dtype)),)

    def compute(self, ins, outs):
        a, x = ins
        if self.narrow:
            a, x = (v.astype(np.complex64 if v.dtype.kind == "c" else np.float32) for v in ins)
        np.copyto(outs[0], a @ x + self.constant)

    def vjp(self, ins, outs, cotangents):
        (a, x), (g,) = ins, cotangents
        outer = og.expand_dims(g, 1) * og.expand_dims(og.conj(x), 0)
        if self.transposed:
            outer = og.reshape_like(og.expand_dims(og.conj(x), 1) * og.expand_dims(g, 0), a)
        return (outer, og.matmul(og.transpose(og.conj(a)), og.expand_dims(g, 1))[:, 0])


def test_linear_ops_are_exact_on_integers():
    inputs = rng.normal(size=(2, 3)), rng.normal(size=3)
    assert not failures(Weigh, *inputs)
    assert "to the last bit" in failures(Weigh, *inputs, narrow=True)["exact_int"].detail
    assert "f(0)" in failures(Weigh, *inputs, constant=1.0, checks=["exact_int"])["exact_int"].detail.replace(
        "f(a)", "f(0)"
    )
    assert "exact_int" in failures(Weigh, *inputs, transposed=True)
    assert "transposed" in failures(Weigh, *inputs, transposed=True)["vjp_full"].data["pattern"]


def test_linear_ops_whose_coefficients_are_no_integers_are_exact_to_rounding():
    class Mean(og.Op, name="test.thirds"):
        """The mean of a vector."""

        info = og.OpInfo(multilinear=(0,))

        def infer(self, ins):
            return (og.Spec((), ins[0].dtype),)

        def compute(self, ins, outs):
            np.mean(ins[0], out=outs[0])

        def vjp(self, ins, outs, cotangents):
            return (og.broadcast_like(cotangents[0] / og.count(ins[0]), ins[0]),)

    assert not failures(Mean, rng.normal(size=3))


def test_the_two_products_with_the_jacobian_belong_to_one_matrix():
    class Forward(og.Op, name="test.forward"):
        """Twice x, whose gradient's own gradient is another."""

        factor: float = 2.0

        def infer(self, ins):
            return ins

        def compute(self, ins, outs):
            np.multiply(ins[0], self.factor, out=outs[0])

        def vjp(self, ins, outs, cotangents):
            return (og.apply(Backward(), cotangents[0]),)

    class Backward(og.Op, name="test.backward"):
        """Twice x, with a gradient of three times."""

        def infer(self, ins):
            return ins

        def compute(self, ins, outs):
            np.multiply(ins[0], 2.0, out=outs[0])

        def vjp(self, ins, outs, cotangents):
            return (cotangents[0] * 3.0,)

    found = failures(Forward, X)
    assert set(found) == {"adjoint", "jvp", "second_order"}
    assert "is not its transposed" in found["adjoint"].detail


def test_mixed_second_derivatives_are_symmetric():
    class Field(og.Op, name="test.field"):
        """A field, given out as the gradient of nothing: (y, -x)."""

        def infer(self, ins):
            return (og.Spec((), ins[0].dtype),)

        def compute(self, ins, outs):
            np.sum(ins[0], out=outs[0])

        def vjp(self, ins, outs, cotangents):
            (x,) = ins
            return (cotangents[0] * og.concat([x[1:], -x[:1]], 0),)

    found = failures(Field, np.array([0.3, 0.8]), checks=["second_order"])["second_order"]
    assert "depend on their order" in found.detail


@pytest.mark.parametrize("values", [[[0.13], [0.1]], [[0.4], [-1.1]], [[1.0], [1.001]], [[1e6], [1e6 + 1]]])
def test_second_derivatives_whose_terms_cancel_to_nothing_are_symmetric_but_for_rounding(values):
    # the standard deviation of two numbers is half of how far they are apart
    for seed in range(5):
        report = check_op("core.reduce_std", samples=[og.Sample((values,))], checks=["second_order"], seed=seed)
        assert not any("depend on their order" in failure.detail for failure in report.failures), str(report)


class Smoothed(og.Op, name="test.smoothed"):
    """Add to each element a part of the next, and of the first to the last: (n,) -> (n,)."""

    ends: float = 0.5

    def infer(self, ins):
        return ins

    def compute(self, ins, outs):
        np.add(ins[0], 0.5 * np.roll(ins[0], -1), out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (g,) = cotangents
        return (g + og.concat([self.ends * g[-1:], 0.5 * g[:-1]], 0),)


@pytest.mark.parametrize("dtype", [float, complex])
def test_a_large_gradient_that_is_wrong_at_its_ends_is_told_by_place(dtype):
    x = rng.normal(size=500).astype(dtype)
    assert failures(Smoothed, x, checks=["vjp_probe"]) == {}
    found = failures(Smoothed, x, checks=["vjp_probe"], ends=0.25)["vjp_probe"]
    assert found.status == "fail"
    (element,) = check_op(
        Smoothed, samples=[og.Sample((x * [1, *[0] * 499],), {"ends": 0.25})], checks=["vjp_probe"]
    ).failures
    assert element.status == "fail"


def test_a_large_input_at_whose_elements_differences_are_too_rough_is_inconclusive():
    class Ripples(og.Elementwise, name="test.ripples"):
        """Add fast ripples: x + sin(1e9 x) / 1e3."""

        def compute(self, ins, outs):
            np.add(ins[0], 1e-3 * np.sin(1e9 * ins[0]), out=outs[0])

        def vjp(self, ins, outs, cotangents):
            return (cotangents[0] * (1 + 1e6 * og.cos(1e9 * ins[0])),)

    found = failures(Ripples, rng.normal(size=500), checks=["vjp_probe"])["vjp_probe"]
    assert found.status == "inconclusive"
    assert "too rough at" in found.detail


def test_single_precision_of_terms_that_cancel_is_excused_wherever_that_happens():
    class Differences(og.Op, name="test.differences"):
        """Subtract thirds of neighbours: (n,) -> (n - 1,)."""

        def infer(self, ins):
            return (ins[0].with_shape((ins[0].shape[0] and ins[0].shape[0] - 1,)),)

        def compute(self, ins, outs):
            thirds = ins[0] / 3
            np.subtract(thirds[1:], thirds[:-1], out=outs[0])

        def vjp(self, ins, outs, cotangents):
            (g,) = cotangents
            return (og.concat([-g[:1], g[:-1] - g[1:], g[-1:]], 0) / 3,)

    for seed in range(5):
        x = np.random.default_rng(seed).uniform(1.0, 1.1, 2000)
        assert failures(Differences, x, checks=["precision"], seed=seed) == {}


class Stable(og.Elementwise, name="test.stable"):
    """log(1 + exp(x)), computed well or badly."""

    way: str = "good"

    def dtypes(self, *ins):
        if ins[0].kind == "c":
            raise og.DtypeError("real numbers only")
        return ins[0] if self.way != "wide" else np.dtype(np.float64)

    def compute(self, ins, outs):
        (x,), (y,) = ins, outs
        if self.way == "overflow":
            np.copyto(y, np.log(1 + np.exp(x)))
        elif self.way == "cancel":
            np.copyto(y, (np.logaddexp(x, x.dtype.type(0)) + x.dtype.type(1e4)) - x.dtype.type(1e4))
        else:
            np.copyto(y, np.logaddexp(x, x.dtype.type(0)))

    def vjp(self, ins, outs, cotangents):
        g = og.cast(cotangents[0], ins[0].dtype) / (1.0 + og.exp(-ins[0]))
        return (g * 1.0000001 if self.way == "gradient" and ins[0].dtype == np.float32 else g,)


def test_narrow_floats_lose_no_more_than_rounding():
    x = np.array([0.5, -3.0, 40.0])
    assert not failures(Stable, x)
    lost = failures(Stable, x, way="cancel", checks=["precision"])["precision"]
    assert lost.data["pattern"] == "only in float32"
    assert "precision" in failures(Stable, np.array([0.5, 100.0]), way="overflow")
    assert "no wider" in failures(Stable, x, way="wide")["precision"].detail


def test_float16_is_tried_where_an_op_takes_it():
    found = failures(Stable, np.array([0.5, 12.0]), way="overflow", checks=["precision"])
    assert found["precision"].data["pattern"] == "only in float16"


class Bilinear(og.Elementwise, name="test.bilinear"):
    """x * y, with or without the conjugate in its gradient."""

    inputs = ("x", "y")
    conjugate: bool = True

    def compute(self, ins, outs):
        np.multiply(*ins, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        turn = og.conj if self.conjugate else (lambda node: node)
        (x, y), (g,) = ins, cotangents
        return (g * turn(y), g * turn(x))


def test_a_missing_conjugate_is_found_on_samples_that_are_real():
    assert not failures(Bilinear, X, X[0])
    found = failures(Bilinear, X, X[0], conjugate=False)
    assert set(found) == {"complex"}
    assert "conjugate" in found["complex"].data["pattern"]
    assert "vjp multiplies the cotangent by og.conj(…)" in found["complex"].detail
    assert 'refuse them: refuses = "c" in an Elementwise op' in found["complex"].detail


def test_a_kernel_that_rounds_is_not_said_to_have_a_kink():
    class Narrow(Real, name="test.narrow"):
        """The cosine, with the precision of float32."""

        def compute(self, ins, outs):
            outs[0][...] = np.cos(ins[0].astype(np.float32))

        def vjp(self, ins, outs, cotangents):
            return (-cotangents[0] * og.sin(ins[0]),)

    for x in (X, 1.01 * X):
        assert "kink" not in str(failures(Narrow, x)["vjp_full"])


def test_complex_numbers_that_are_real_give_what_real_ones_give():
    class Half(og.Elementwise, name="test.half_complex"):
        """The identity, which halves complex numbers."""

        def compute(self, ins, outs):
            np.multiply(ins[0], 0.5 if ins[0].dtype.kind == "c" else 1.0, out=outs[0])

        def vjp(self, ins, outs, cotangents):
            return (cotangents[0] * (0.5 if ins[0].dtype.kind == "c" else 1.0),)

    assert "given as complex" in failures(Half, X)["complex"].detail


def test_ops_that_cannot_do_with_complex_numbers_say_so():
    class Floor(og.Elementwise, name="test.floor"):
        """The integer below, of whatever comes."""

        info = og.OpInfo(zero_gradient=(0,))

        def compute(self, ins, outs):
            np.floor(ins[0], out=outs[0])

        def vjp(self, ins, outs, cotangents):
            return (None,)

    said = failures(Floor, X)["complex"].detail
    assert (
        "lets complex numbers in, but then compute of test.floor raises TypeError: ufunc 'floor' not supported" in said
    )
    assert 'if they have no meaning here, refuse them: refuses = "c" in' in said

    class Refusing(Floor, name="test.refusing"):
        """The integer below, of a real number."""

        refuses = "c"

    assert failures(Refusing, X) == {}


def test_domains_are_kept_to():
    class Picky(Real, name="test.picky"):
        """The square root, which refuses what is not positive."""

        info = og.OpInfo(domain=(0.0, np.inf))

        def compute(self, ins, outs):
            assert (ins[0] > 0).all()
            np.sqrt(ins[0], out=outs[0])

        def vjp(self, ins, outs, cotangents):
            return (cotangents[0] * 0.5 / outs[0],)

    assert not failures(Picky, np.array([1e-8, 0.3, 5.0]))


def test_findings_are_the_same_with_the_same_seed():
    first, again = (failures(Cube, LARGE, first=1.01, seed=3) for _ in range(2))
    assert {k: v.detail for k, v in first.items()} == {k: v.detail for k, v in again.items()}
