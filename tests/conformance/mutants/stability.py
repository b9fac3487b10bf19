"""Formulas that are right on paper, and not in floating point."""

import numpy as np
from contract import Real, expect, refused

import opgraph as og


class Softplus(Real, name="mutants.softplus"):
    """Take log(1 + exp(x)): (…) -> (…).

    There, the exponential overflowed for large numbers, whose result is the number itself.
    """

    caught_by = "reference"
    source = "https://github.com/tracel-ai/burn/issues/5373"
    inplace = True
    info = og.OpInfo(reference=lambda x: np.logaddexp(x, 0.0))

    def compute(self, ins, outs):
        (y,) = outs
        with np.errstate(over="ignore"):
            np.exp(ins[0], out=y)
            np.log(np.add(y, 1.0, out=y), out=y)

    def vjp(self, ins, outs, cotangents):
        (x,), (g,) = ins, cotangents
        return (g * (og.tanh(x * 0.5) * 0.5 + 0.5),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)),), id="matrix")
        yield og.Sample((np.array([[1000.0], [-3.0], [40.0], [0.5]]),), id="large")
        yield og.Sample((rng.normal(size=()),), id="scalar")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()


class LogSoftmaxQuotient(og.Op, name="mutants.log_softmax_quotient"):
    """Take the logarithm of the softmax of each row: (n, m) -> (n, m).

    There, the gradient divided by the softmax, which is 0 for what is far below the greatest element.
    """

    caught_by = "vjp_full"
    source = "https://github.com/FluxML/NNlib.jl/issues/68"
    info = og.OpInfo(reference=lambda x: x - np.logaddexp.reduce(x, axis=1, keepdims=True))

    def infer(self, ins):
        expect(ins, "f2")
        if ins[0].shape[1] == 0:
            raise og.ShapeError(f"{ins[0].shape} has no elements in a row")
        return ins

    def compute(self, ins, outs):
        (x,), (y,) = ins, outs
        np.subtract(x, np.max(x, axis=1, keepdims=True), out=y)
        np.subtract(y, np.log(np.sum(np.exp(y), axis=1, keepdims=True)), out=y)

    def vjp(self, ins, outs, cotangents):
        (y,), (g,) = outs, cotangents
        p = og.exp(y)
        quotient = g / p
        return (p * (quotient - og.reduce_sum(p * quotient, 1, keepdims=True)),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)),), id="matrix")
        yield og.Sample((rng.normal(size=(4, 1)),), id="one class")
        yield og.Sample((np.array([[-1047.0, -981.0, 1891.0]]),), id="extreme")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield og.Sample((np.zeros((3, 0)),), raises=og.ShapeError, id="no class")


class VarianceOfMoments(og.Op, name="mutants.variance_of_moments"):
    """Take the variance of each row: (n, m) -> (n).

    There, the square of the mean was taken from the mean of the squares, which leaves nothing in single
    precision where the mean is large.
    """

    caught_by = "precision"
    source = "https://github.com/gnuradio/volk/issues/290"
    info = og.OpInfo(reference=lambda x: np.var(x, axis=1))

    def infer(self, ins):
        expect(ins, "f2")
        if ins[0].shape[1] == 0:
            raise og.ShapeError(f"{ins[0].shape} has no elements in a row")
        return (ins[0].with_shape(ins[0].shape[:1]),)

    def compute(self, ins, outs):
        (x,), (y,) = ins, outs
        np.mean(np.square(x), axis=1, out=y)
        np.subtract(y, np.square(np.mean(x, axis=1)), out=y)

    def vjp(self, ins, outs, cotangents):
        (x,), (g,) = ins, cotangents
        n = og.count(x, 1)
        return ((x - og.reduce_mean(x, 1, keepdims=True)) * og.expand_dims(g * 2.0 / n, (1,)),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(1, 4)),), id="one row")
        yield og.Sample((rng.normal(size=(2, 3)),), id="matrix")
        yield og.Sample((rng.normal(size=(2, 4)) + 1000.0,), id="large mean")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield og.Sample((np.zeros((3, 0)),), raises=og.ShapeError, id="of nothing")


class ExpLessOne(Real, name="mutants.exp_less_one"):
    """Take exp(x) - 1, exact where x is small: (…) -> (…).

    There, the difference was taken as it stands, which loses a small x beside the 1.
    """

    caught_by = "reference"
    source = "https://github.com/tensorflow/tensor2tensor/pull/1424"
    inplace = True
    info = og.OpInfo(reference=np.expm1)

    def compute(self, ins, outs):
        np.subtract(np.exp(ins[0], out=outs[0]), 1.0, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * og.exp(ins[0]),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)),), id="matrix")
        yield og.Sample((np.array([[1e-12], [-3e-10], [2e-11], [5e-9]]),), id="small")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()


class LogOneLessExp(Real, name="mutants.log_one_less_exp"):
    """Take log(1 - exp(x)) of negative numbers: (…) -> (…).

    There, the gradient was inaccurate near 0, where 1 - exp(x) is a difference of nearly equal numbers.
    """

    caught_by = "vjp_full"
    source = "https://github.com/aesara-devs/aesara/pull/725"
    inplace = True
    info = og.OpInfo(reference=lambda x: np.log(-np.expm1(x)), domain=(-np.inf, 0.0))

    def compute(self, ins, outs):
        (y,) = outs
        np.log(np.negative(np.expm1(ins[0], out=y), out=y), out=y)

    def vjp(self, ins, outs, cotangents):
        power = og.exp(ins[0])
        return (-(cotangents[0] * power / (1.0 - power)),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.uniform(-3.0, -0.5, (2, 3)),), id="matrix")
        yield og.Sample((np.array([[-1e-11], [-3e-12], [-2e-12], [-5e-11]]),), id="near 0")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()


class PowerOfCount(Real, name="mutants.power_of_count"):
    """Raise whole numbers to a power: (…) of integers, (…) -> (…).

    There, the gradient by the exponent was NaN for the base 0, where 0 was multiplied by its logarithm.
    """

    caught_by = "vjp_full"
    source = "https://github.com/pytorch/pytorch/issues/27134"
    inputs = ("n", "x")
    floating = False
    info = og.OpInfo(reference=lambda n, x: np.float64(n) ** x)

    def dtypes(self, *ins):
        if ins[0].kind not in "iu":
            raise og.DtypeError(f"takes whole numbers, not {ins[0]}")
        return super().dtypes(*ins[1:])

    def compute(self, ins, outs):
        np.power(ins[0].astype(outs[0].dtype), ins[1], out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (n, x), (y,), (g,) = ins, outs, cotangents
        return (None, g * y * og.log(og.cast(n, x.dtype)))

    @classmethod
    def samples(cls, rng):
        yield og.Sample((np.array([[1, 2, 3], [4, 5, 2]]), rng.uniform(0.5, 2.0, (2, 3))), id="positive")
        yield og.Sample((np.array([[0], [2], [3], [0]]), rng.uniform(0.5, 2.0, (4, 1))), id="zero")
        yield og.Sample((np.zeros((0, 3), np.int64), np.zeros((1, 3))), id="empty")
        yield refused(2)


class SquareUnderLog(Real, name="mutants.square_under_log"):
    """Square each element: (…) -> (…).

    There, the logarithm of a square was rewritten as twice the logarithm, which negative numbers have none of.
    """

    caught_by = "rewrites"
    source = "https://github.com/EnzymeAD/Enzyme-JAX/pull/2576"
    inplace = True
    info = og.OpInfo(reference=np.square)

    def compute(self, ins, outs):
        np.square(ins[0], out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (2.0 * cotangents[0] * ins[0],)

    def read_by(self, reader):
        return (lambda x: 2.0 * og.log(x)) if reader.name == "core.log" else None

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)),), id="matrix")
        yield og.Sample((rng.normal(size=(4, 1)),), id="column")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()
