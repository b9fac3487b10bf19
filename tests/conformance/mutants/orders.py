"""Cotangents that are not passed on, and second order wrong while the first is right."""

import numpy as np
from contract import Real, check_index, expect, refused

import opgraph as og


class Smooth(Real):
    """What the functions share here: values that lie anywhere."""

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)),), id="matrix")
        yield og.Sample((rng.normal(size=(4, 1)),), id="column")
        yield og.Sample((rng.normal(size=()),), id="scalar")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()


class ScoresIgnored(Smooth, name="mutants.scores_ignored"):
    """Take the exponential: (…) -> (…).

    There, the backward pass gave the derivative without multiplying it by the gradient that came in.
    """

    caught_by = "cotangent_linear"
    source = "https://github.com/k2-fsa/k2/issues/341"
    info = og.OpInfo(reference=np.exp)

    def compute(self, ins, outs):
        np.exp(ins[0], out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (outs[0],)


class GradientClipped(Smooth, name="mutants.gradient_clipped"):
    """Take the sine: (…) -> (…).

    There, the backward pass clipped gradients, so that they were right as long as they were small.
    """

    caught_by = "cotangent_linear"
    source = "https://github.com/qixianbiao/RNN/issues/2"
    info = og.OpInfo(reference=np.sin)

    def compute(self, ins, outs):
        np.sin(ins[0], out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (og.clip(cotangents[0] * og.cos(ins[0]), -1.0, 1.0),)


class BothNeeded(og.Op, name="mutants.both_needed"):
    """Give sine and cosine: (…) -> (…), (…).

    There, the backward pass failed where only one of the outputs had been used.
    """

    caught_by = "cotangent_linear"
    source = "https://github.com/chelsea0x3b/dfdx/issues/303"
    info = og.OpInfo(reference=lambda x: (np.sin(x), np.cos(x)))

    def infer(self, ins):
        expect(ins, "f*")
        return (ins[0], ins[0])

    def compute(self, ins, outs):
        np.sin(ins[0], out=outs[0])
        np.cos(ins[0], out=outs[1])

    def vjp(self, ins, outs, cotangents):
        (sine, cosine), (g, h) = outs, cotangents
        return (g * cosine - h * sine,)

    @classmethod
    def samples(cls, rng):
        return Smooth.samples.__func__(cls, rng)


class TooManyReturned(Real, name="mutants.too_many_returned"):
    """Raise to the power of `exponent`: (…) -> (…).

    There, the backward pass returned as many gradients as the forward pass had arguments of another version.
    """

    caught_by = "vjp_full"
    source = "https://github.com/BobMcDear/attorch/issues/13"
    exponent: float = 2.0
    info = og.OpInfo(reference=lambda x, exponent=2.0: x**exponent, domain=(0.0, np.inf))

    def compute(self, ins, outs):
        np.power(ins[0], self.exponent, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * self.exponent * og.power(ins[0], self.exponent - 1.0), None)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.uniform(0.5, 2.0, (2, 3)),), id="matrix")
        yield og.Sample((rng.uniform(0.5, 2.0, (4, 1)),), {"exponent": -0.5}, id="root")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()


class CrossEntropy(og.Op, name="mutants.cross_entropy"):
    """Give the cross entropy of logits and its gradient: (n, c), (n, c) -> (n), (n, c).

    There, the gradient that arrived at the second output was ignored, so that second derivatives lacked a
    part.
    """

    caught_by = "vjp_full"
    source = "https://github.com/tensorflow/tensorflow/issues/7403"
    inputs = ("logits", "labels")
    info = og.OpInfo(
        reference=lambda x, t: (
            np.sum(t, 1) * np.logaddexp.reduce(x, axis=1) - np.sum(t * x, axis=1),
            np.exp(x - np.logaddexp.reduce(x, axis=1, keepdims=True)) * np.sum(t, 1, keepdims=True) - t,
        ),
        multilinear=(1,),
    )

    def infer(self, ins):
        expect(ins, "f2", "f2")
        x, t = ins
        if not x.shape.compatible_with(t.shape):
            raise og.ShapeError(f"{x.shape} and {t.shape} differ")
        shape = [n if m is None else m for m, n in zip(x.shape, t.shape, strict=True)]
        if shape[1] == 0:
            raise og.ShapeError(f"{x.shape} has no classes")
        return (x.with_shape(shape[:1]), x.with_shape(shape))

    def compute(self, ins, outs):
        x, t = ins
        shifted = x - np.max(x, axis=1, keepdims=True)
        total = np.sum(np.exp(shifted), axis=1, keepdims=True)
        weight = np.sum(t, axis=1, keepdims=True)
        np.copyto(outs[0], (weight * np.log(total))[:, 0] - np.sum(t * shifted, axis=1))
        np.copyto(outs[1], np.exp(shifted) / total * weight - t)

    def vjp(self, ins, outs, cotangents):
        (x, _), (_, rise), (g, _) = ins, outs, cotangents
        if g is None:
            return (None, None)
        g = og.expand_dims(g, (1,))
        return (g * rise, g * (og.reduce_logsumexp(x, 1, keepdims=True) - x))

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)), rng.dirichlet(np.ones(3), 2)), id="distributions")
        yield og.Sample((rng.normal(size=(4, 1)), np.ones((4, 1))), id="one class")
        yield og.Sample((np.zeros((0, 3)), np.zeros((0, 3))), id="empty")
        yield og.Sample((np.zeros((2, 3)), np.zeros((2, 4))), raises=og.ShapeError, id="differ")


class LogSecond(Real, name="mutants.log_second"):
    """Take the natural logarithm: (…) -> (…).

    There, the gradient's gradient was given for the wrong one of its operands: what arrives at the first
    order's cotangent got nothing.
    """

    caught_by = "jvp"
    source = "https://github.com/apache/mxnet/pull/15120"
    info = og.OpInfo(reference=np.log, domain=(0.0, np.inf))

    def compute(self, ins, outs):
        np.log(ins[0], out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (og.apply(LogBack(), cotangents[0], ins[0]),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.uniform(0.5, 2.0, (2, 3)),), id="matrix")
        yield og.Sample((rng.uniform(0.5, 2.0, (4, 1)),), id="column")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()


class LogBack(og.Op, name="mutants._log_back"):
    """Divide the cotangent by x."""

    inputs = ("g", "x")

    def infer(self, ins):
        return (ins[0],)

    def compute(self, ins, outs):
        np.divide(ins[0], ins[1], out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (g, x), (h,) = ins, cotangents
        return (None, -(h * g / (x * x)))


class PickDetached(og.Op, name="mutants.pick_detached"):
    """Square the elements at an index: (n), (k) of integers -> (k).

    There, gradients of functions that select had no gradient themselves where they had one.
    """

    caught_by = "second_order"
    source = "https://github.com/pytorch/pytorch/issues/1712"
    inputs = ("x", "index")
    info = og.OpInfo(reference=lambda x, index: x[index] ** 2)

    def infer(self, ins):
        expect(ins, "f1", "iu1")
        x, index = ins
        if index.dtype.kind not in "iu":
            raise og.DtypeError(f"an index is an integer, not {index.dtype}")
        return (x.with_shape(index.shape),)

    def compute(self, ins, outs):
        check_index(ins[1], len(ins[0]))
        np.square(ins[0][ins[1]], out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x, index), (g,) = ins, cotangents
        picked = og.stop_gradient(og.gather(x, index, 0))
        return (og.scatter_add(og.zeros_like(x), index, g * picked * 2.0), None)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=4), np.array([3, 0])), id="two")
        yield og.Sample((rng.normal(size=1), np.array([0])), id="one")
        yield og.Sample((rng.normal(size=3), np.zeros(0, np.int64)), id="none")
        yield og.Sample((rng.normal(size=3), np.zeros(1)), raises=og.DtypeError, id="float index")


class ProductTwoZeros(og.Op, name="mutants.product_two_zeros"):
    """Multiply all elements: (n) -> ().

    There, the second derivatives of a product were taken to be 0 where it has two factors that are 0.
    """

    caught_by = "second_order"
    source = "https://github.com/pytorch/pytorch/issues/106789"
    info = og.OpInfo(reference=np.prod)

    def infer(self, ins):
        expect(ins, "f1")
        return (ins[0].with_shape(()),)

    def compute(self, ins, outs):
        np.prod(ins[0], out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * og.apply(OthersProduct(), ins[0]),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.uniform(0.5, 2.0, 3),), id="three")
        yield og.Sample((np.array([2.0, 0.0, 3.0, 0.0]),), id="two zeros")
        yield og.Sample((rng.normal(size=1),), id="one")
        yield og.Sample((np.zeros(0),), id="empty")
        yield refused()


class OthersProduct(og.Op, name="mutants._others_product"):
    """Multiply, for each element, all others: (n) -> (n)."""

    def infer(self, ins):
        return ins

    def compute(self, ins, outs):
        (x,) = ins
        for i in range(len(x)):
            outs[0][i] = np.prod(np.delete(x, i))

    def vjp(self, ins, outs, cotangents):
        (x,), (y,), (g,) = ins, outs, cotangents
        zero = og.equal(x, 0.0)
        quotient = og.where(zero, 0.0, 1.0 / og.where(zero, 1.0, x))
        weighted = g * y
        return ((og.reduce_sum(weighted) - weighted) * quotient,)


class LogisticSecond(Smooth, name="mutants.logistic_second"):
    """Take the logistic function: (…) -> (…).

    There, one of the terms was missing in what a gradient of gradients needs: here the first derivative takes
    the value for a constant.
    """

    caught_by = "second_order"
    source = "https://github.com/lab-cosmo/sphericart/issues/59"
    info = og.OpInfo(reference=lambda x: 1 / (1 + np.exp(-x)))

    def compute(self, ins, outs):
        (y,) = outs
        np.tanh(np.multiply(ins[0], 0.5, out=y), out=y)
        np.add(np.multiply(y, 0.5, out=y), 0.5, out=y)

    def vjp(self, ins, outs, cotangents):
        (y,), (g,) = outs, cotangents
        return (g * y * (1.0 - og.stop_gradient(y)),)
