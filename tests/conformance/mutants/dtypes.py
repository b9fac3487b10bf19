"""Promotion and overflow, wrong in one place."""

import numpy as np
from contract import Real, expect, refused

import opgraph as og


class HalfMean(og.Op, name="mutants.half_mean"):
    """Average each row: (n, m) -> (n).

    There, a mean in half precision overflowed where the sum did.
    """

    caught_by = "reference"
    source = "https://github.com/tracel-ai/burn/issues/4770"
    info = og.OpInfo(reference=lambda x: np.mean(x, axis=1), multilinear=(0,))

    def infer(self, ins):
        expect(ins, "f2")
        (x,) = ins
        if x.dtype.kind != "f":
            raise og.DtypeError(f"takes floating-point numbers, not {x.dtype}")
        if x.shape[1] == 0:
            raise og.ShapeError(f"{x.shape} has no elements in a row")
        return (x.with_shape(x.shape[:1]),)

    def compute(self, ins, outs):
        (x,), (y,) = ins, outs
        with np.errstate(over="ignore"):
            np.add.reduce(x, axis=1, dtype=x.dtype, out=y)
        np.divide(y, y.dtype.type(x.shape[1]), out=y)

    def vjp(self, ins, outs, cotangents):
        (x,), (g,) = ins, cotangents
        return (og.broadcast_like(og.expand_dims(g / og.cast(og.count(x, 1), g.dtype), (1,)), x),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(1, 4)),), id="one row")
        yield og.Sample((rng.normal(size=(2, 3)),), id="matrix")
        yield og.Sample((np.full((2, 100), 1000.0, np.float16),), id="half")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield og.Sample((np.zeros((3, 0)),), raises=og.ShapeError, id="of nothing")
        yield og.Sample((np.ones((2, 3), np.int64),), raises=og.DtypeError, id="integers")


class SumOfBytes(og.Op, name="mutants.sum_of_bytes"):
    """Sum each row, whole numbers without overflow: (n, m) -> (n), int64 of integers.

    There, a sum of narrow integers wrapped around.
    """

    caught_by = "reference"
    source = "https://github.com/scipp/scipp/pull/3965"
    info = og.OpInfo(
        reference=lambda x: np.sum(x, axis=1, dtype=np.int64 if x.dtype.kind == "i" else x.dtype), multilinear=(0,)
    )

    def infer(self, ins):
        expect(ins, "fi2")
        (x,) = ins
        return (og.Spec(x.shape[:1], np.int64 if x.dtype.kind == "i" else x.dtype),)

    def compute(self, ins, outs):
        (x,) = ins
        np.copyto(outs[0], np.add.reduce(x, axis=1, dtype=x.dtype))

    def vjp(self, ins, outs, cotangents):
        return (og.broadcast_like(og.expand_dims(cotangents[0], (1,)), ins[0]),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)),), id="floats")
        yield og.Sample((rng.integers(-99, 99, (4, 1)),), id="integers")
        yield og.Sample((np.full((2, 3), 100, np.int8),), id="bytes")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()


class LeakyUpcast(Real, name="mutants.leaky_upcast"):
    """Multiply negative numbers by a hundredth: (…) -> (…).

    There, a constant in double precision made the result double, whatever the input was.
    """

    caught_by = "precision"
    source = "https://github.com/Lasagne/Lasagne/issues/677"
    info = og.OpInfo(reference=lambda x: np.where(x > 0, x, 0.01 * x), kinks=(0.0,))

    def dtypes(self, *ins):
        return np.result_type(super().dtypes(*ins), np.float64(0.01).dtype)

    def compute(self, ins, outs):
        (x,), (y,) = ins, outs
        np.multiply(x, 0.01, out=y)
        np.copyto(y, x, where=x > 0)

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * og.where(og.greater(ins[0], 0.0), 1.0, 0.01),)

    @classmethod
    def samples(cls, rng):
        x = rng.uniform(0.5, 2.0, (2, 3)) * rng.choice([-1.0, 1.0], (2, 3))
        yield og.Sample((x,), id="matrix")
        yield og.Sample((x[:, :1],), id="column")
        yield og.Sample((x[0, 0],), id="scalar")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()


class GradientInSingle(Real, name="mutants.gradient_in_single"):
    """Take the logistic function: (…) -> (…).

    There, the backward pass did not come in the input's dtype: here it passes through single precision.
    """

    caught_by = "second_order"
    source = "https://github.com/chainer/chainer/issues/684"
    info = og.OpInfo(reference=lambda x: 1 / (1 + np.exp(-x)))

    def compute(self, ins, outs):
        (y,) = outs
        np.tanh(np.multiply(ins[0], 0.5, out=y), out=y)
        np.add(np.multiply(y, 0.5, out=y), 0.5, out=y)

    def vjp(self, ins, outs, cotangents):
        (y,), (g,) = outs, cotangents
        single = og.cast(y, np.float32)
        return (g * og.cast(single * (1.0 - single), y.dtype),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)),), id="matrix")
        yield og.Sample((rng.normal(size=(4, 1)),), id="column")
        yield og.Sample((rng.normal(size=()),), id="scalar")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()
