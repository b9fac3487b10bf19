"""Transposes and contractions, wrong in one place."""

import numpy as np
from contract import expect, refused

import opgraph as og


class PermuteAgain(og.Op, name="mutants.permute_again"):
    """Permute three dimensions: (a, b, c) -> the same sizes in the order of `axes`.

    There, permuting back was wrong for the orders that are not their own inverses.
    """

    caught_by = "vjp_full"
    source = "https://github.com/webonnx/wonnx/issues/112"
    axes: tuple[int, int, int] = (2, 1, 0)
    info = og.OpInfo(reference=lambda x, axes=(2, 1, 0): np.transpose(x, axes), multilinear=(0,))

    def infer(self, ins):
        expect(ins, "f3")
        if sorted(self.axes) != [0, 1, 2]:
            raise og.ArgumentError(f"axes {self.axes} do not name 0, 1 and 2 once each")
        return (ins[0].with_shape(ins[0].shape[a] for a in self.axes),)

    def compute(self, ins, outs):
        np.copyto(outs[0], ins[0].transpose(self.axes))

    def vjp(self, ins, outs, cotangents):
        return (og.transpose(cotangents[0], self.axes),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3, 4)),), id="reversed")
        yield og.Sample((rng.normal(size=(2, 1, 3)),), {"axes": (1, 0, 2)}, id="swapped")
        yield og.Sample((rng.normal(size=(4, 2, 3)),), {"axes": (1, 2, 0)}, id="rotated")
        yield og.Sample((rng.normal(size=(2, 0, 3)),), id="empty")
        yield og.Sample((rng.normal(size=(2, 1, 3)),), {"axes": (1, 1, 2)}, raises=og.ArgumentError, id="twice")


class ContractNaked(og.Op, name="mutants.contract_naked"):
    """Contract as einsum "ij,jk->k" does: (i, j), (j, k) -> (k).

    There, gradients of contractions were wrong for an index that only one operand has and that is summed:
    here the first operand is averaged over it for the second one's gradient.
    """

    caught_by = "exact_int"
    source = "https://github.com/LinjianMa/AutoHOOT/issues/69"
    inputs = ("x", "y")
    info = og.OpInfo(reference=lambda x, y: np.einsum("ij,jk->k", x, y), multilinear=(0, 1))

    def infer(self, ins):
        expect(ins, "f2", "f2")
        x, y = ins
        if None not in (x.shape[1], y.shape[0]) and x.shape[1] != y.shape[0]:
            raise og.ShapeError(f"{x.shape}, {y.shape}: the sizes of j differ")
        return (x.with_shape(y.shape[1:]),)

    def compute(self, ins, outs):
        np.einsum("ij,jk->k", ins[0], ins[1], out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x, y), (g,) = ins, cotangents
        row = og.matmul(y, g)
        column = og.reduce_mean(x, 0)
        return (og.broadcast_like(row, x), og.expand_dims(column, (1,)) * g)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)), rng.normal(size=(3, 4))), id="matrices")
        yield og.Sample((rng.normal(size=(5, 1)), rng.normal(size=(1, 2))), id="outer")
        yield og.Sample((rng.normal(size=(2, 3)), rng.normal(size=(3, 0))), id="empty")
        yield og.Sample((rng.normal(size=(2, 3)), rng.normal(size=(2, 4))), raises=og.ShapeError, id="inner")


class QuadraticForm(og.Op, name="mutants.quadratic_form"):
    """Take x A x: (n), (n, n) -> ().

    There, the gradient was given as though the matrix were symmetric.
    """

    caught_by = "vjp_full"
    source = "https://github.com/distillpub/post--momentum/issues/76"
    inputs = ("x", "a")
    info = og.OpInfo(reference=lambda x, a: x @ a @ x, multilinear=(1,))

    def infer(self, ins):
        expect(ins, "f1", "f2")
        x, a = ins
        sizes = {*x.shape, *a.shape} - {None}
        if len(sizes) > 1:
            raise og.ShapeError(f"{x.shape} and {a.shape}: the matrix is square, of the vector's size")
        return (x.with_shape(()),)

    def compute(self, ins, outs):
        x, a = ins
        outs[0][...] = x @ a @ x

    def vjp(self, ins, outs, cotangents):
        (x, a), (g,) = ins, cotangents
        return (og.matmul(a, x) * 2.0 * g, og.expand_dims(x, (1,)) * x * g)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=3), rng.normal(size=(3, 3))), id="three")
        yield og.Sample((rng.normal(size=1), rng.normal(size=(1, 1))), id="one")
        yield og.Sample((rng.normal(size=0), rng.normal(size=(0, 0))), id="empty")
        yield og.Sample((rng.normal(size=3), rng.normal(size=(3, 2))), raises=og.ShapeError, id="not square")


class BilinearComplex(og.Op, name="mutants.bilinear_complex"):
    """Multiply matrices, real or complex: (n, k), (k, m) -> (n, m).

    There, the gradient of a product of complex matrices lacked the conjugate.
    """

    caught_by = "complex"
    source = "https://github.com/tensorflow/tensorflow/issues/4859"
    inputs = ("x", "y")
    info = og.OpInfo(reference=np.matmul, multilinear=(0, 1))

    def infer(self, ins):
        expect(ins, "fc2", "fc2")
        x, y = ins
        if None not in (x.shape[1], y.shape[0]) and x.shape[1] != y.shape[0]:
            raise og.ShapeError(f"{x.shape} @ {y.shape}: inner sizes differ")
        return (og.Spec((x.shape[0], y.shape[1]), og.promote_dtypes(x.dtype, y.dtype)),)

    def compute(self, ins, outs):
        np.matmul(ins[0], ins[1], out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x, y), (g,) = ins, cotangents
        return (og.matmul(g, og.transpose(y)), og.matmul(og.transpose(x), g))

    @classmethod
    def samples(cls, rng):
        def z(*shape):
            return rng.normal(size=shape) + 1j * rng.normal(size=shape)

        yield og.Sample((rng.normal(size=(2, 3)), rng.normal(size=(3, 4))), id="real")
        yield og.Sample((z(2, 1), z(1, 3)), id="complex")
        yield og.Sample((rng.normal(size=(0, 3)), rng.normal(size=(3, 2))), id="empty")
        yield og.Sample((rng.normal(size=(2, 3)), rng.normal(size=(2, 4))), raises=og.ShapeError, id="inner")


class AbsConjugated(og.Elementwise, name="mutants.abs_conjugated"):
    """Take the absolute value: (…) -> (…), real.

    There, the gradient of the absolute value was the conjugate of what the same function gave when written
    with real and imaginary parts.
    """

    caught_by = "complex"
    source = "https://github.com/jax-ml/jax/issues/979"
    info = og.OpInfo(reference=np.abs, kinks=(0.0,))

    def dtypes(self, *ins):
        if ins[0].kind not in "fc":
            raise og.DtypeError(f"takes floating-point numbers, not {ins[0]}")
        return og.real_dtype(ins[0])

    def compute(self, ins, outs):
        np.absolute(ins[0], out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x,), (y,), (g,) = ins, outs, cotangents
        return (g * og.conj(x) / y,)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.uniform(0.5, 2.0, (2, 3)) * rng.choice([-1.0, 1.0], (2, 3)),), id="real")
        yield og.Sample((rng.uniform(0.5, 2.0, (4, 1)) + 1j * rng.uniform(0.5, 2.0, (4, 1)),), id="complex")
        yield og.Sample((rng.normal(size=(0, 3)) + 1j,), id="empty")
        yield refused()
