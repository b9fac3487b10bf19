"""Reductions that undo a broadcast, wrong in one place."""

import numpy as np
from contract import Real, expect, refused

import opgraph as og


class Scale(og.Op):
    """What the products share here: x (n, m) times factors that broadcast to it."""

    inputs = ("x", "w")

    def infer(self, ins):
        expect(ins, "f2", "f2")
        x, w = ins
        return (og.Spec(og.broadcast_shapes(x.shape, w.shape), x.dtype),)

    def compute(self, ins, outs):
        np.multiply(ins[0], ins[1], out=outs[0])

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)), rng.normal(size=(1, 3))), id="row")
        yield og.Sample((rng.normal(size=(4, 5)), rng.normal(size=(4, 1))), id="column")
        yield og.Sample((rng.normal(size=(0, 3)), rng.normal(size=(1, 3))), id="empty")
        yield refused(2)


class ScaleUnreduced(Scale, name="mutants.scale_unreduced"):
    """Multiply x by factors that broadcast to it: (n, m), (1, m) or (n, 1) -> (n, m).

    There, the gradient of the row that was broadcast kept the output's shape.
    """

    caught_by = "vjp_full"
    source = "https://github.com/deeplearning4j/nd4j/issues/2424"
    info = og.OpInfo(reference=np.multiply, multilinear=(0, 1))

    def vjp(self, ins, outs, cotangents):
        (x, w), (g,) = ins, cotangents
        return (og.sum_to(g * w, x), g * x)


class ScaleAveraged(Scale, name="mutants.scale_averaged"):
    """Multiply x by factors that broadcast to it: (n, m), (1, m) or (n, 1) -> (n, m).

    There, the gradient of the operand that was broadcast was averaged along its dimension, not summed.
    """

    caught_by = "vjp_full"
    source = "https://github.com/tensorflow/tensorflow/issues/8386"
    info = og.OpInfo(reference=np.multiply, multilinear=(0, 1))

    def vjp(self, ins, outs, cotangents):
        (x, w), (g,) = ins, cotangents
        stretched = og.count(x) / og.count(w)
        return (og.sum_to(g * w, x), og.sum_to(g * x, w) / stretched)


class ScaleByStaticShape(Scale, name="mutants.scale_by_static_shape"):
    """Multiply x by factors that broadcast to it: (n, m), (1, m) or (n, 1) -> (n, m).

    There, a size that was not known was taken to be other than 1, so that its gradient was never summed.
    """

    caught_by = "vjp_full"
    source = "https://github.com/aesara-devs/aesara/issues/1089"
    info = og.OpInfo(reference=np.multiply, multilinear=(0, 1))

    def vjp(self, ins, outs, cotangents):
        (x, w), (g,) = ins, cotangents
        stretched = tuple(i for i, n in enumerate(w.shape) if n == 1 and x.shape[i] != 1)
        gw = og.reduce_sum(g * x, stretched, keepdims=True) if stretched else g * x
        return (g * w, gw)


class AddColumnEmpty(og.Op, name="mutants.add_column_empty"):
    """Add a value to each row: (n, m), (n) -> (n, m).

    There, the gradient of what was added kept the empty dimension, as though there were nothing to reduce.
    """

    caught_by = "vjp_full"
    source = "https://github.com/pytorch/pytorch/issues/15223"
    inputs = ("x", "b")
    info = og.OpInfo(reference=lambda x, b: x + b[:, None])

    def infer(self, ins):
        expect(ins, "f2", "f1")
        x, b = ins
        if x.shape[0] is not None and b.shape[0] is not None and x.shape[0] != b.shape[0]:
            raise og.ShapeError(f"{x.shape} has not one row for each of {b.shape}")
        n = x.shape[0] if b.shape[0] is None else b.shape[0]
        return (x.with_shape((n, x.shape[1])),)

    def compute(self, ins, outs):
        np.add(ins[0], ins[1][:, None], out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (g,) = cotangents
        return (g, g if g.shape[1] == 0 else og.reduce_sum(g, 1))

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)), rng.normal(size=(2,))), id="matrix")
        yield og.Sample((rng.normal(size=(4, 1)), rng.normal(size=(4,))), id="one column")
        yield og.Sample((rng.normal(size=(4, 0)), rng.normal(size=(4,))), id="empty")
        yield og.Sample((rng.normal(size=(4, 3)), rng.normal(size=(2,))), raises=og.ShapeError, id="rows differ")


class AddFlat(Real, name="mutants.add_flat"):
    """Add two operands of one shape or shapes that broadcast: (…), (…) -> (…).

    There, a broadcast against another number of dimensions was not refused and gave wrong values: here
    operands are walked side by side, the shorter one from its start again.
    """

    caught_by = "broadcast"
    source = "https://github.com/JuliaIO/DiskArrays.jl/pull/43"
    inputs = ("x", "y")
    info = og.OpInfo(reference=np.add)

    def compute(self, ins, outs):
        (out,) = outs
        flat = [np.resize(x, out.size) if x.size else np.empty(0) for x in ins]
        np.copyto(out, np.add(*flat).reshape(out.shape), casting="same_kind")

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0], cotangents[0])

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)), rng.normal(size=(2, 3))), id="equal")
        yield og.Sample((rng.normal(size=(4, 1)), rng.normal(size=(4, 1))), id="column")
        yield og.Sample((rng.normal(size=(2, 3)), rng.normal(size=())), id="scalar")
        yield og.Sample((rng.normal(size=(0, 3)), rng.normal(size=(0, 3))), id="empty")
        yield refused(2)


class MatmulBatch(og.Op, name="mutants.matmul_batch"):
    """Multiply a stack of matrices by one matrix: (b, n, k), (k, m) -> (b, n, m).

    There, the gradient of the matrix kept the stack's dimension in place of the sum over it.
    """

    caught_by = "vjp_full"
    source = "https://github.com/tensorflow/tfjs/issues/8721"
    inputs = ("x", "w")
    info = og.OpInfo(reference=np.matmul, multilinear=(0, 1))

    def infer(self, ins):
        expect(ins, "f3", "f2")
        x, w = ins
        if None not in (x.shape[2], w.shape[0]) and x.shape[2] != w.shape[0]:
            raise og.ShapeError(f"{x.shape} @ {w.shape}: inner sizes differ")
        return (x.with_shape((*x.shape[:2], w.shape[1])),)

    def compute(self, ins, outs):
        np.matmul(ins[0], ins[1], out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x, w), (g,) = ins, cotangents
        return (og.matmul(g, og.transpose(w)), og.matmul(og.transpose(x, (0, 2, 1)), g))

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 5))), id="stack")
        yield og.Sample((rng.normal(size=(1, 3, 2)), rng.normal(size=(2, 4))), id="stack of one")
        yield og.Sample((rng.normal(size=(0, 3, 2)), rng.normal(size=(2, 4))), id="empty")
        yield og.Sample((rng.normal(size=(1, 3, 2)), rng.normal(size=(3, 4))), raises=og.ShapeError, id="inner")


class ShiftUnaligned(og.Op, name="mutants.shift_unaligned"):
    """Add one number to all of x: (n, m), () -> (n, m).

    There, a stack of numbers was added to one x as it was, broadcast along a dimension of x and not along the stack.
    """

    caught_by = "batch"
    source = "https://github.com/jax-ml/jax/issues/6096"
    inputs = ("x", "shift")

    def infer(self, ins):
        x, shift = ins
        return (og.Spec(og.broadcast_shapes(x.shape, shift.shape), x.dtype),)

    def compute(self, ins, outs):
        np.add(ins[0], ins[1], out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x, shift), (g,) = ins, cotangents
        return (og.sum_to(g, x), og.sum_to(g, shift))

    def batch(self, ins, batched):
        return self

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)), rng.normal(size=())), id="matrix")
        yield og.Sample((rng.normal(size=(4, 1)), rng.normal(size=())), id="column")
        yield og.Sample((rng.normal(size=(0, 3)), rng.normal(size=())), id="empty")
        yield og.Sample((rng.normal(size=(2, 3)), rng.normal(size=4)), raises=og.ShapeError, id="sizes differ")
