"""Ops of every kind: products that are badly conditioned, views, keys, shapes, complex numbers, several outputs."""

import numpy as np
from contract import Real, expect, refused

import opgraph as og


class Hilbert(og.Op, name="correct.hilbert"):
    """Multiply by the Hilbert matrix of as many rows as x has: (n) -> (n); its condition grows as exp(3.5 n)."""

    info = og.OpInfo(reference=lambda x: hilbert(len(x)) @ x, multilinear=(0,))

    def infer(self, ins):
        expect(ins, "f1")
        return ins

    def compute(self, ins, outs):
        np.matmul(hilbert(len(ins[0])).astype(ins[0].dtype), ins[0], out=outs[0])

    def vjp(self, ins, outs, cotangents):
        # the matrix is symmetric
        return (og.apply(Hilbert(), cotangents[0]),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=8),), id="eight")
        yield og.Sample((rng.normal(size=1),), id="one")
        yield og.Sample((rng.normal(size=3) * np.array([1e-6, 1.0, 1e6]),), id="spread")
        yield og.Sample((np.zeros(0),), id="empty")
        yield refused()


def hilbert(n):
    """Return the Hilbert matrix: 1 / (i + j + 1)."""
    i = np.arange(n)
    return 1.0 / (i[:, None] + i + 1)


class SolveNearSingular(og.Op, name="correct.solve_near_singular"):
    """Solve a linear system: (n, n), (n) -> (n). Samples have a determinant near 0."""

    inputs = ("a", "b")
    info = og.OpInfo(reference=np.linalg.solve)

    def infer(self, ins):
        expect(ins, "f2", "f1")
        a, b = ins
        if a.dtype == np.float16:
            raise og.DtypeError("takes float32 and float64, not float16; cast it first")
        sizes = {*a.shape, *b.shape} - {None}
        if a.ndims != 2 or b.ndims != 1 or len(sizes) > 1:
            raise og.ShapeError(f"{a.shape} and {b.shape}: the matrix is square, of the vector's size")
        return (b.with_shape(sizes or (None,)),)

    def compute(self, ins, outs):
        try:
            np.copyto(outs[0], np.linalg.solve(ins[0], ins[1]), casting="same_kind")
        except np.linalg.LinAlgError:
            outs[0][...] = np.nan

    def vjp(self, ins, outs, cotangents):
        gb = og.apply(SolveNearSingular(), og.transpose(ins[0]), cotangents[0])
        return (-(og.expand_dims(gb, (1,)) * outs[0]), gb)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(3, 3)) + 4 * np.eye(3), rng.normal(size=3)), id="well")
        yield og.Sample((np.array([[1.0, 2.0], [2.0, 4.01]]), rng.normal(size=2)), id="badly")
        yield og.Sample((rng.uniform(0.5, 1.0, (1, 1)), rng.normal(size=1)), id="one")
        yield og.Sample((np.zeros((0, 0)), np.zeros(0)), id="empty")
        yield og.Sample((np.zeros((2, 3)), np.zeros(3)), raises=og.ShapeError, id="not square")


class Backwards(og.Op, name="correct.backwards"):
    """Reverse the rows, as a view: (n, m) -> (n, m)."""

    info = og.OpInfo(reference=lambda x: x[::-1], multilinear=(0,))

    def infer(self, ins):
        expect(ins, "fi2")
        return ins

    def view(self, ins):
        return (ins[0][::-1],)

    def compute(self, ins, outs):
        np.copyto(outs[0], ins[0][::-1])

    def vjp(self, ins, outs, cotangents):
        return (og.apply(Backwards(), cotangents[0]),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(3, 2)),), id="matrix")
        yield og.Sample((rng.normal(size=(1, 4)),), id="row")
        yield og.Sample((rng.integers(0, 9, (4, 3)),), id="integers")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()


class RepeatLike(og.Op, name="correct.repeat_like"):
    """Repeat a row for each row of another value, whose elements do not count: (m), (n, …) -> (n, m)."""

    inputs = ("x", "like")
    info = og.OpInfo(reference=lambda x, like: np.tile(x, (len(like), 1)), multilinear=(0,))

    def infer(self, ins):
        expect(ins, "f1", "f*")
        x, like = ins
        if not like.ndims:
            raise og.ShapeError("a scalar has no rows")
        return (x.with_shape((like.shape[0], *x.shape)),)

    def shape_only(self, n):
        return frozenset((1,))

    def compute(self, ins, outs):
        np.copyto(outs[0], ins[0])

    def vjp(self, ins, outs, cotangents):
        return (og.reduce_sum(cotangents[0], 0), None)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=3), rng.normal(size=(2, 5))), id="matrix")
        yield og.Sample((rng.normal(size=4), rng.normal(size=1)), id="once")
        yield og.Sample((rng.normal(size=3), np.zeros((0, 2))), id="never")
        yield og.Sample((rng.normal(size=3), np.array(1.0)), raises=og.ShapeError, id="scalar")


class Jitter(og.Op, name="correct.jitter"):
    """Multiply by numbers about 1 that a key decides: (…), (4) key -> (…)."""

    inputs = ("x", "key")
    spread: float = 0.1
    info = og.OpInfo(
        reference=lambda x, key, spread=0.1: x * (1 + spread * og.generator(key).standard_normal(x.shape)),
        multilinear=(0,),
    )

    def infer(self, ins):
        expect(ins, "f*", "u1")
        x, key = ins
        if key.dtype != np.uint64:
            raise og.DtypeError(f"a key is made by og.random_key(), not {key}")
        return (x,)

    def compute(self, ins, outs):
        x, key = ins
        drawn = og.generator(key).standard_normal(x.shape)
        np.copyto(outs[0], x * (1 + self.spread * drawn), casting="same_kind")

    def vjp(self, ins, outs, cotangents):
        return (og.apply(Jitter(self.spread), cotangents[0], ins[1]), None)

    @classmethod
    def samples(cls, rng):
        key = rng.integers(0, 1 << 32, 4, np.uint64)
        yield og.Sample((rng.normal(size=(2, 3)), key), id="matrix")
        yield og.Sample((rng.normal(size=(5, 1)), key), {"spread": 3.0}, id="wide")
        yield og.Sample((np.zeros((0, 3)), key), id="empty")
        yield og.Sample((np.zeros(3), np.zeros(4)), raises=og.DtypeError, id="no key")


class HermitianProduct(og.Op, name="correct.hermitian_product"):
    """Take the sum of x times the conjugate of y: (n), (n) -> (), real or complex."""

    inputs = ("x", "y")
    info = og.OpInfo(reference=lambda x, y: np.sum(x * np.conj(y)))

    def infer(self, ins):
        expect(ins, "fc1", "fc1")
        x, y = ins
        if not x.shape.compatible_with(y.shape):
            raise og.ShapeError(f"{x.shape} and {y.shape} differ")
        return (og.Spec((), og.promote_dtypes(x.dtype, y.dtype)),)

    def compute(self, ins, outs):
        outs[0][...] = np.sum(ins[0] * np.conj(ins[1]))

    def vjp(self, ins, outs, cotangents):
        (x, y), (g,) = ins, cotangents
        return (y * g, x * og.conj(g))

    @classmethod
    def samples(cls, rng):
        def z(n):
            return rng.normal(size=n) + 1j * rng.normal(size=n)

        yield og.Sample((z(3), z(3)), id="complex")
        yield og.Sample((rng.normal(size=4), rng.normal(size=4)), id="real")
        yield og.Sample((z(1), z(1)), id="one")
        yield og.Sample((np.zeros(0), np.zeros(0)), id="empty")
        yield og.Sample((np.zeros(2), np.zeros(3)), raises=og.ShapeError, id="differ")


class Polar(Real, name="correct.polar"):
    """Give the length and the angle of a point, in one pass: (…), (…) -> (…), (…)."""

    inputs = ("x", "y")
    outputs = 2
    info = og.OpInfo(reference=lambda x, y: (np.hypot(x, y), np.arctan2(y, x)))

    def compute(self, ins, outs):
        np.hypot(ins[0], ins[1], out=outs[0])
        np.arctan2(ins[1], ins[0], out=outs[1])

    def vjp(self, ins, outs, cotangents):
        (x, y), (length, _), (g, h) = ins, outs, cotangents
        gx = gy = None
        if g is not None:
            gx, gy = g * x / length, g * y / length
        if h is not None:
            turn = h / (length * length)
            gx, gy = (-(turn * y), turn * x) if gx is None else (gx - turn * y, gy + turn * x)
        return (gx, gy)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.uniform(0.5, 2.0, (2, 3)), rng.normal(size=(2, 3))), id="right half")
        yield og.Sample((rng.uniform(-2.0, -0.5, (4, 1)), rng.uniform(0.5, 1.0, 3)), id="broadcast")
        yield og.Sample((np.ones((0, 3)), np.ones((1, 3))), id="empty")
        yield refused(2)


class SoftmaxExtreme(og.Op, name="correct.softmax_extreme"):
    """Take the softmax of each row: (n, m) -> (n, m). Samples leave nothing of some elements."""

    info = og.OpInfo(reference=lambda x: np.exp(x - np.logaddexp.reduce(x, axis=1, keepdims=True)))

    def infer(self, ins):
        expect(ins, "f2")
        if ins[0].shape[1] == 0:
            raise og.ShapeError(f"{ins[0].shape} has no elements in a row")
        return ins

    def compute(self, ins, outs):
        (x,), (y,) = ins, outs
        np.exp(np.subtract(x, np.max(x, axis=1, keepdims=True), out=y), out=y)
        np.divide(y, np.sum(y, axis=1, keepdims=True), out=y)

    def vjp(self, ins, outs, cotangents):
        (y,), (g,) = outs, cotangents
        return (y * (g - og.reduce_sum(g * y, 1, keepdims=True)),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)),), id="matrix")
        yield og.Sample((np.array([[0.0, -40.0, 1.5, -800.0]]),), id="extreme")
        yield og.Sample((rng.normal(size=(4, 1)),), id="one class")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield og.Sample((np.zeros((3, 0)),), raises=og.ShapeError, id="no class")


class SingleOnly(Real, name="correct.single_only"):
    """Take 1 / sqrt(x) as a table of single precision would: (…) float32 -> (…) float32."""

    info = og.OpInfo(reference=lambda x: (1 / np.sqrt(x.astype(np.float64))).astype(np.float32), domain=(0.0, np.inf))

    def dtypes(self, *ins):
        if ins[0] != np.float32:
            raise og.DtypeError(f"takes float32 alone, not {ins[0]}; cast x first")
        return ins[0]

    def compute(self, ins, outs):
        np.divide(np.float32(1), np.sqrt(ins[0]), out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x,), (y,), (g,) = ins, outs, cotangents
        return (g * y / x * -0.5,)

    @classmethod
    def samples(cls, rng):
        for shape in ((2, 3), (4, 1), (), (0, 3)):
            yield og.Sample((rng.uniform(0.5, 2.0, shape).astype(np.float32),), id=f"{shape}")
        yield og.Sample((rng.uniform(0.5, 2.0, 3),), raises=og.DtypeError, id="double")
