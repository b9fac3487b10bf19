"""Stale caches, mutation, false promises, aliasing, layouts and blocks."""

import ctypes

import numpy as np
from contract import Real, expect, refused

import opgraph as og


class Shaped(og.Op):
    """What the ops share here whose output is like their input."""

    def infer(self, ins):
        expect(ins, "f*")
        return (ins[0],)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)),), id="matrix")
        yield og.Sample((rng.normal(size=(4, 1)),), id="column")
        yield og.Sample((rng.normal(size=5),), id="vector")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()


_squashed = {}


class SquashCached(Shaped, name="mutants.squash_cached"):
    """Take the hyperbolic tangent: (…) -> (…).

    There, the backward pass read what the first pass had cached, whatever had been computed since.
    """

    caught_by = "stale"
    source = "https://github.com/apache/mxnet/issues/14340"
    info = og.OpInfo(reference=np.tanh)

    def compute(self, ins, outs):
        np.tanh(ins[0], out=outs[0])
        _squashed[outs[0].shape] = outs[0].copy()

    def vjp(self, ins, outs, cotangents):
        return (og.apply(SquashBack(), cotangents[0], ins[0]),)


class SquashBack(og.Op, name="mutants._squash_back"):
    """Multiply by the derivative at what was computed last."""

    inputs = ("g", "x")

    def infer(self, ins):
        return (ins[0],)

    def compute(self, ins, outs):
        y = _squashed.get(ins[1].shape)
        y = np.tanh(ins[1]) if y is None else y
        np.multiply(ins[0], 1 - y * y, out=outs[0], casting="same_kind")

    def vjp(self, ins, outs, cotangents):
        (g, x), (h,) = ins, cotangents
        y = og.tanh(x)
        slope = 1.0 - y * y
        return (h * slope, h * g * y * slope * -2.0)


_largest = {}


class ShiftCached(Shaped, name="mutants.shift_cached"):
    """Subtract the greatest element: (…) -> (…).

    There, what had been computed for one call stayed in a cache and served the next one.
    """

    caught_by = "stale"
    source = "https://github.com/pystiche/pystiche/pull/471"
    info = og.OpInfo(reference=lambda x: x - np.max(x, initial=-np.inf), tie_policy="first")

    def compute(self, ins, outs):
        (x,) = ins
        if x.size:
            where = (x.ctypes.data, x.shape)
            np.subtract(x, _largest.setdefault(where, x.max()), out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (y,), (g,) = outs, cotangents
        return (g - og.equal(y, 0.0) * og.reduce_sum(g),)


class TransposedOnce(og.Op, name="mutants.transposed_once"):
    """Transpose: (n, m) -> (m, n).

    There, the op did not say truly whether its output was its input's memory: here the view is a copy.
    """

    caught_by = "stale"
    source = "https://github.com/Theano/Theano/pull/888"
    info = og.OpInfo(reference=np.transpose, multilinear=(0,))

    def infer(self, ins):
        expect(ins, "f2")
        n, m = ins[0].shape
        return (ins[0].with_shape((m, n)),)

    def view(self, ins):
        return (np.ascontiguousarray(ins[0].T),)

    def compute(self, ins, outs):
        np.copyto(outs[0], ins[0].T)

    def vjp(self, ins, outs, cotangents):
        return (og.transpose(cotangents[0]),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)),), id="matrix")
        yield og.Sample((rng.normal(size=(4, 1)),), id="column")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()


class IdentityOfReal(og.Elementwise, name="mutants.identity_of_real"):
    """Round down to whole numbers: (…) -> (…).

    There, the output of a function that had nothing to do for its dtype was declared a view, and was none: here
    the view gives the input, though it need not be whole.
    """

    caught_by = "compiled"
    source = "https://github.com/Theano/Theano/pull/1832"
    floating = False
    info = og.OpInfo(reference=lambda x: np.floor(x).astype(x.dtype))

    def dtypes(self, *ins):
        if ins[0].kind not in "iuf":
            raise og.DtypeError(f"takes real numbers, not {ins[0]}")
        return ins[0]

    def view(self, ins):
        return ins if ins[0].dtype.kind in "iuf" and ins[0].dtype.itemsize >= 4 else None

    def compute(self, ins, outs):
        np.floor(ins[0], out=outs[0], casting="unsafe")

    def vjp(self, ins, outs, cotangents):
        return (None,)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.integers(-9, 9, (2, 3)),), id="integers")
        yield og.Sample((rng.integers(-9, 9, (4, 1)) + 0.5,), id="floats")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()


def write_zero_mean(x):
    """Centre `x` where it is, as a routine in C does that was given its address."""
    centred = np.ascontiguousarray(x - x.mean()) if x.size else x
    if x.flags.c_contiguous and x.size:
        ctypes.memmove(x.ctypes.data, centred.ctypes.data, x.nbytes)


class CentreInput(Shaped, name="mutants.centre_input"):
    """Subtract the mean: (…) -> (…).

    There, a kernel wrote its result into the memory of its input, which something else still had to read.
    """

    caught_by = "purity"
    source = "https://github.com/linkedin/Liger-Kernel/issues/254"
    info = og.OpInfo(reference=lambda x: x - x.mean() if x.size else x, multilinear=(0,))

    def compute(self, ins, outs):
        (x,), (y,) = ins, outs
        np.subtract(x, x.mean() if x.size else 0, out=y)
        write_zero_mean(x)

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] - og.reduce_mean(cotangents[0]),)


class CentreCotangent(Shaped, name="mutants.centre_cotangent"):
    """Subtract the mean: (…) -> (…).

    There, a backward pass changed the gradient that it was given.
    """

    caught_by = "purity"
    source = "https://github.com/pytorch/pytorch/issues/81417"
    info = og.OpInfo(reference=lambda x: x - x.mean() if x.size else x, multilinear=(0,))

    def compute(self, ins, outs):
        (x,), (y,) = ins, outs
        np.subtract(x, x.mean() if x.size else 0, out=y)

    def vjp(self, ins, outs, cotangents):
        return (og.apply(CentreInput(), cotangents[0]),)


class SwishInPlace(Real, name="mutants.swish_in_place"):
    """Multiply x by its logistic function: (…) -> (…).

    There, a result was wrong where its memory was an operand's, and nothing said so.
    """

    caught_by = "purity"
    source = "https://github.com/numpy/numpy/issues/8440"
    inplace = True
    info = og.OpInfo(reference=lambda x: x / (1 + np.exp(-x)))

    def compute(self, ins, outs):
        (x,), (y,) = ins, outs
        np.tanh(np.multiply(x, 0.5, out=y), out=y)
        np.add(np.multiply(y, 0.5, out=y), 0.5, out=y)
        np.multiply(x, y, out=y)

    def vjp(self, ins, outs, cotangents):
        (x,), (g,) = ins, cotangents
        share = og.tanh(x * 0.5) * 0.5 + 0.5
        return (g * share * (1.0 + x * (1.0 - share)),)

    @classmethod
    def samples(cls, rng):
        yield from Shaped.samples.__func__(cls, rng)
        yield refused()


class ChooseInPlace(Real, name="mutants.choose_in_place"):
    """Take the mean of two where they have one sign, else 0: (…), (…) -> (…).

    There, an operation into the memory of one of its operands was accepted and gave garbage.
    """

    caught_by = "purity"
    source = "https://github.com/pytorch/pytorch/issues/8308"
    inputs = ("x", "y")
    inplace = True
    info = og.OpInfo(reference=lambda x, y: np.where(x * y > 0, (x + y) / 2, 0.0))

    def compute(self, ins, outs):
        (x, y), (out,) = ins, outs
        np.divide(np.add(x, y, out=out), 2, out=out)
        np.copyto(out, 0, where=x * y <= 0)

    def vjp(self, ins, outs, cotangents):
        (x, y), (g,) = ins, cotangents
        half = g * og.greater(x * y, 0.0) * 0.5
        return (half, half)

    @classmethod
    def samples(cls, rng):
        x, y = (rng.uniform(0.5, 2.0, (2, 3)) * rng.choice([-1.0, 1.0], (2, 3)) for _ in range(2))
        yield og.Sample((x, y), id="matrix")
        yield og.Sample((x[:, :1], y[:1, :]), id="broadcast")
        yield og.Sample((x[0, 0], y[0, 0]), id="scalar")
        yield og.Sample((np.zeros((0, 3)), np.ones((1, 3))), id="empty")
        yield refused(2)


class RatioUnfilled(Real, name="mutants.ratio_unfilled"):
    """Divide x by y, 0 where y is 0: (…), (…) -> (…).

    There, some of the output was not written, and held what had been in its memory.
    """

    caught_by = "purity"
    source = "https://github.com/pytorch/FBGEMM/pull/5054"
    inputs = ("x", "y")
    info = og.OpInfo(
        reference=lambda x, y: np.divide(x, y, out=np.zeros(np.broadcast_shapes(x.shape, y.shape)), where=y != 0)
    )

    def compute(self, ins, outs):
        np.divide(ins[0], ins[1], out=outs[0], where=ins[1] != 0)

    def vjp(self, ins, outs, cotangents):
        (x, y), (g,) = ins, cotangents
        zero = og.equal(y, 0.0)
        share = og.where(zero, 0.0, g / og.where(zero, 1.0, y))
        return (share, og.where(zero, 0.0, -(share * x / og.where(zero, 1.0, y))))

    @classmethod
    def samples(cls, rng):
        x = rng.uniform(0.5, 2.0, (2, 3))
        yield og.Sample((x, rng.uniform(0.5, 2.0, (2, 3))), id="matrix")
        yield og.Sample((x, np.array([2.0, 1.0, 0.5])), id="broadcast")
        yield og.Sample((np.array([1.5, -2.0]), np.array([2.0, 0.0])), id="a zero")
        yield og.Sample((np.zeros((0, 3)), np.ones((1, 3))), id="empty")
        yield refused(2)


class DotUnfilled(og.Op, name="mutants.dot_unfilled"):
    """Multiply a matrix by a vector: (n, k), (k) -> (n).

    There, the product over nothing was left as its memory was.
    """

    caught_by = "reference"
    source = "https://github.com/Theano/Theano/issues/3217"
    inputs = ("a", "x")
    info = og.OpInfo(reference=np.matmul, multilinear=(0, 1))

    def infer(self, ins):
        expect(ins, "f2", "f1")
        a, x = ins
        if None not in (a.shape[1], x.shape[0]) and a.shape[1] != x.shape[0]:
            raise og.ShapeError(f"{a.shape} @ {x.shape}: inner sizes differ")
        return (a.with_shape(a.shape[:1]),)

    def compute(self, ins, outs):
        if ins[0].size:
            np.matmul(ins[0], ins[1], out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (a, x), (g,) = ins, cotangents
        return (og.expand_dims(g, (1,)) * x, og.matmul(g, a))

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)), rng.normal(size=3)), id="matrix")
        yield og.Sample((rng.normal(size=(4, 1)), rng.normal(size=1)), id="column")
        yield og.Sample((np.zeros((4, 0)), np.zeros(0)), id="of nothing")
        yield og.Sample((np.zeros((2, 3)), np.zeros(2)), raises=og.ShapeError, id="inner")


class RowsByStride(og.Op, name="mutants.rows_by_stride"):
    """Sum each row: (n, m) -> (n).

    There, a kernel took the rows of a matrix to lie one after the other, whatever their strides.
    """

    caught_by = "layout"
    source = "https://github.com/NVIDIA/TransformerEngine/issues/2734"
    info = og.OpInfo(reference=lambda x: np.sum(x, axis=1), multilinear=(0,))

    def infer(self, ins):
        expect(ins, "f2")
        return (ins[0].with_shape(ins[0].shape[:1]),)

    def compute(self, ins, outs):
        (x,) = ins
        np.sum(x.ravel(order="K").reshape(x.shape), axis=1, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (og.broadcast_like(og.expand_dims(cotangents[0], (1,)), ins[0]),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)),), id="matrix")
        yield og.Sample((rng.normal(size=(4, 1)),), id="column")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()


class CentredBlock(Real, name="mutants.centred_block"):
    """Divide by the greatest absolute value of all: (…) -> (…).

    There, the result of an operation on tiles was other than that on the whole: here each tile has a greatest
    value of its own.
    """

    caught_by = "purity"
    source = "https://github.com/iree-org/iree/issues/19343"
    info = og.OpInfo(reference=lambda x: x / np.max(np.abs(x), initial=1.0))

    def compute(self, ins, outs):
        np.divide(ins[0], np.max(np.abs(ins[0]), initial=1.0), out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x,), (g,) = ins, cotangents
        size = og.abs(x)
        # where the samples are, the greatest value is that of one element, above 1
        greatest = og.maximum(og.reduce_max(og.concat([og.reshape(size, (-1,)), np.ones(1)], 0)), 1.0)
        chosen = og.equal(size, greatest) * og.sign(x)
        return (g / greatest - chosen * og.reduce_sum(g * x) / (greatest * greatest),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((np.array([[0.5, 3.0, -1.5], [2.0, -0.25, 1.0]]),), id="matrix")
        yield og.Sample((np.array([[0.5], [-3.0], [1.5], [2.0]]),), id="column")
        yield og.Sample((np.array(2.5),), id="scalar")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()


class RampTiled(Real, name="mutants.ramp_tiled"):
    """Add to each row its number: (n, …) -> (n, …).

    There, a tiled kernel wrote other elements than its tile's: here each tile counts its rows from 0.
    """

    caught_by = "purity"
    source = "https://github.com/floneum/kalosm/pull/459"
    inplace = True
    info = og.OpInfo(reference=lambda x: x + np.arange(len(x)).reshape(-1, *(1,) * (x.ndim - 1)))

    def infer(self, ins):
        if not ins[0].ndims:
            raise og.ShapeError("a scalar has no rows")
        return super().infer(ins)

    def compute(self, ins, outs):
        (x,) = ins
        rows = np.arange(len(x), dtype=x.dtype).reshape(-1, *(1,) * (x.ndim - 1))
        np.add(x, rows, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0],)

    @classmethod
    def samples(cls, rng):
        yield from Shaped.samples.__func__(cls, rng)
        yield og.Sample((np.array(1.0),), raises=og.ShapeError, id="scalar")


class TailForgotten(Shaped, name="mutants.tail_forgotten"):
    """Take the sine: (…) -> (…).

    There, kernels were wrong for sizes that are no multiple of a vector's: here the gradient of what is left
    after the last whole vector of 64 is that of the vector before.
    """

    caught_by = "vjp_probe"
    source = "https://github.com/ooples/AiDotNet.Tensors/pull/994"
    info = og.OpInfo(reference=np.sin)

    def compute(self, ins, outs):
        np.sin(ins[0], out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (og.apply(CosineOf64(), cotangents[0], ins[0]),)

    @classmethod
    def samples(cls, rng):
        yield from super().samples(rng)
        yield og.Sample((rng.normal(size=(9, 50)),), id="large")
        yield refused()


class CosineOf64(og.Op, name="mutants._cosine_of_64"):
    """Multiply by the cosine, 64 elements at a time."""

    inputs = ("g", "x")

    def infer(self, ins):
        return (ins[0],)

    def compute(self, ins, outs):
        cosine = np.cos(ins[1]).ravel()
        rest = cosine.size % 64
        if cosine.size > 64 and rest:
            cosine[-rest:] = cosine[-rest - 64 : -64]
        np.multiply(ins[0], cosine.reshape(ins[1].shape), out=outs[0], casting="same_kind")

    def vjp(self, ins, outs, cotangents):
        (g, x), (h,) = ins, cotangents
        return (h * og.cos(x), -(h * g * og.sin(x)))


class FirstOfRow(Real, name="mutants.first_of_row"):
    """Square each element: (…) -> (…).

    There, a value without dimensions was not taken where one with dimensions was.
    """

    caught_by = "layout"
    source = "https://github.com/tenstorrent/tt-metal/issues/16254"
    info = og.OpInfo(reference=np.square)

    def compute(self, ins, outs):
        (x,), (y,) = ins, outs
        for i in range(len(x)):
            y[i] = x[i] * x[i]

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * ins[0] * 2.0,)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)),), id="matrix")
        yield og.Sample((rng.normal(size=(4, 1)),), id="column")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()
