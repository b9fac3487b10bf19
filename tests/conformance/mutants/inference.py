"""Static inference with sizes that are not known, wrong in one place; empty inputs."""

import numpy as np
from contract import expect, refused

import opgraph as og


class BroadcastCollapsed(og.Op, name="mutants.broadcast_collapsed"):
    """Add two operands that broadcast: (…), (…) -> (…).

    There, the static shape of a broadcast took the 1 where it had to take what stands beside it: here beside a
    size that is not known.
    """

    caught_by = "infer"
    source = "https://github.com/google/XNNPACK/pull/10650"
    inputs = ("x", "y")
    info = og.OpInfo(reference=np.add)

    def infer(self, ins):
        expect(ins, "f2", "f2")
        x, y = ins
        if x.ndims != y.ndims:
            raise og.ShapeError(f"{x.shape} and {y.shape} have not as many dimensions")
        return (x.with_shape(map(self.joined, x.shape, y.shape)),)

    def joined(self, m, n):
        if m is None or n is None:
            return n if m is None else m
        if 1 not in (m, n) and m != n:
            raise og.ShapeError(f"{m} and {n} do not broadcast")
        return n if m == 1 else m

    def compute(self, ins, outs):
        np.add(ins[0], ins[1], out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (og.sum_to(cotangents[0], ins[0]), og.sum_to(cotangents[0], ins[1]))

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)), rng.normal(size=(2, 3))), id="equal")
        yield og.Sample((rng.normal(size=(2, 3)), rng.normal(size=(1, 3))), id="row")
        yield og.Sample((np.zeros((0, 3)), np.ones((0, 1))), id="empty")
        yield og.Sample((np.zeros((2, 3)), np.ones((4, 3))), raises=og.ShapeError, id="differ")


class BroadcastByMaximum(og.Op, name="mutants.broadcast_by_maximum"):
    """Multiply two vectors of one size, or of size 1: (n), (n) -> (n).

    There, sizes were broadcast by taking the greater one, where 1 has to give way to 0.
    """

    caught_by = "reference"
    source = "https://github.com/pymc-devs/pytensor/issues/564"
    inputs = ("x", "y")
    info = og.OpInfo(reference=np.multiply, multilinear=(0, 1))

    def infer(self, ins):
        expect(ins, "f1", "f1")
        (m,), (n,) = ins[0].shape, ins[1].shape
        if None in (m, n):
            return (ins[0].with_shape((None,)),)
        if 1 not in (m, n) and m != n:
            raise og.ShapeError(f"{m} and {n} do not broadcast")
        return (ins[0].with_shape((max(m, n),)),)

    def compute(self, ins, outs):
        np.multiply(ins[0], ins[1], out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x, y), (g,) = ins, cotangents
        return (og.sum_to(g * y, x), og.sum_to(g * x, y))

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=3), rng.normal(size=3)), id="equal")
        yield og.Sample((rng.normal(size=4), rng.normal(size=1)), id="one")
        yield og.Sample((np.zeros(0), np.ones(1)), id="empty")
        yield og.Sample((np.zeros(2), np.ones(3)), raises=og.ShapeError, id="differ")


class JoinedAsOne(og.Op, name="mutants.joined_as_one"):
    """Join two vectors: (n), (m) -> (n + m).

    There, a size that was not known counted as 1 in the inference.
    """

    caught_by = "infer"
    source = "https://github.com/Samsung/ONE/pull/15184"
    inputs = ("x", "y")
    info = og.OpInfo(reference=lambda x, y: np.concatenate([x, y]), multilinear=())

    def infer(self, ins):
        expect(ins, "f1", "f1")
        n, m = (1 if spec.shape[0] is None else spec.shape[0] for spec in ins)
        if ins[0].shape[0] is None and ins[1].shape[0] is None:
            return (ins[0].with_shape((None,)),)
        return (ins[0].with_shape((n + m,)),)

    def compute(self, ins, outs):
        np.concatenate(ins, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return og.split_like(cotangents[0], list(ins), 0)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=2), rng.normal(size=3)), id="two")
        yield og.Sample((rng.normal(size=1), rng.normal(size=4)), id="one")
        yield og.Sample((np.zeros(0), np.ones(3)), id="empty")
        yield refused(2)


class Squeezed(og.Op, name="mutants.squeezed"):
    """Drop the first dimension where its size is 1: (1, n) -> (n), else (m, n) -> (m, n).

    There, a size that was not known was taken to be other than 1.
    """

    caught_by = "infer"
    source = "https://github.com/aesara-devs/aesara/pull/941"
    info = og.OpInfo(reference=lambda x: x[0] if len(x) == 1 else x, multilinear=(0,))

    def infer(self, ins):
        expect(ins, "f2")
        (x,) = ins
        return (x.with_shape(x.shape[1:]) if x.shape[0] == 1 else x,)

    def compute(self, ins, outs):
        np.copyto(outs[0], ins[0].reshape(outs[0].shape))

    def vjp(self, ins, outs, cotangents):
        return (og.reshape_like(cotangents[0], ins[0]),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)),), id="matrix")
        yield og.Sample((rng.normal(size=(1, 4)),), id="row")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()


class CheckedLate(og.Op, name="mutants.checked_late"):
    """Multiply two vectors element by element: (n), (n) -> (n).

    There, sizes that are known to differ passed when the graph was built, and failed when it ran.
    """

    caught_by = "errors"
    source = "https://github.com/pymc-devs/pytensor/issues/892"
    inputs = ("x", "y")
    info = og.OpInfo(reference=np.multiply, multilinear=(0, 1))

    def infer(self, ins):
        expect(ins, "f1", "f1")
        x, y = ins
        return (y if x.shape[0] is None else x,)

    def compute(self, ins, outs):
        x, y = ins
        if x.shape != y.shape:
            raise og.ShapeError(f"{x.shape} and {y.shape} differ")
        np.multiply(x, y, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x, y), (g,) = ins, cotangents
        return (g * y, g * x)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=3), rng.normal(size=3)), id="three")
        yield og.Sample((rng.normal(size=1), rng.normal(size=1)), id="one")
        yield og.Sample((np.zeros(0), np.ones(0)), id="empty")
        yield og.Sample((np.zeros(2), np.ones(3)), raises=og.ShapeError, id="differ")


class CumsumOfNothing(og.Op, name="mutants.cumsum_of_nothing"):
    """Sum what has come along the last axis: (…, n) -> (…, n).

    There, the backward pass took a last element that an empty dimension has not.
    """

    caught_by = "purity"
    source = "https://github.com/pytorch/pytorch/issues/31515"
    info = og.OpInfo(reference=lambda x: np.cumsum(x, axis=-1), multilinear=(0,))

    def infer(self, ins):
        expect(ins, "f2")
        return ins

    def compute(self, ins, outs):
        np.cumsum(ins[0], axis=-1, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (og.apply(SumOfRest(), cotangents[0]),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)),), id="matrix")
        yield og.Sample((rng.normal(size=(4, 1)),), id="column")
        yield og.Sample((np.zeros((0, 3)),), id="no rows")
        yield og.Sample((np.zeros((2, 0)),), id="no columns")
        yield refused()


class SumOfRest(og.Op, name="mutants._sum_of_rest"):
    """Sum what is still to come, the whole less what came before."""

    def infer(self, ins):
        return ins

    def compute(self, ins, outs):
        (g,) = ins
        came = np.cumsum(g, axis=-1)
        whole = np.take(came, [came.shape[-1] - 1], axis=-1)
        np.copyto(outs[0], whole - came + g)

    def vjp(self, ins, outs, cotangents):
        return (og.apply(CumsumOfNothing(), cotangents[0]),)


class GreatestOfNone(og.Op, name="mutants.greatest_of_none"):
    """Find how far elements lie below the greatest: (…) -> (…).

    There, an extreme of no elements raised where there was nothing to do.
    """

    caught_by = "reference"
    source = "https://github.com/pytorch/pytorch/pull/52565"
    info = og.OpInfo(reference=lambda x: x - np.max(x, initial=-np.inf), tie_policy="first")

    def infer(self, ins):
        expect(ins, "f2")
        return ins

    def compute(self, ins, outs):
        np.subtract(ins[0], np.max(ins[0]), out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (y,), (g,) = outs, cotangents
        return (g - og.equal(y, 0.0) * og.reduce_sum(g),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((np.array([[0.5, 3.0, -1.5], [2.0, -0.25, 1.0]]),), id="matrix")
        yield og.Sample((np.array([[0.5], [-3.0], [1.5], [2.0]]),), id="column")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()
