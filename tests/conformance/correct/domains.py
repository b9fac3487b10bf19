"""Domains whose border is near, and kinks, ties and pieces."""

import numpy as np
from contract import Real, expect, refused

import opgraph as og


class LogNearZero(Real, name="correct.log_near_zero"):
    """Take the natural logarithm of positive numbers: (…) -> (…). Samples come within 1e-120 of 0."""

    inplace = True
    info = og.OpInfo(reference=np.log, domain=(0.0, np.inf))

    def compute(self, ins, outs):
        np.log(ins[0], out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] / ins[0],)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((10.0 ** rng.uniform(-9.0, 0.0, (2, 3)),), id="small")
        yield og.Sample((rng.uniform(1e-120, 2e-120, (4, 1)),), id="tiny")
        yield og.Sample((rng.uniform(0.5, 2.0, ()),), id="scalar")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()


class ArcsineNearOne(Real, name="correct.arcsine_near_one"):
    """Take the arc sine: (…) -> (…). Samples come within 1e-6 of 1."""

    inplace = True
    info = og.OpInfo(reference=np.arcsin, domain=(-1.0, 1.0))

    def compute(self, ins, outs):
        np.arcsin(ins[0], out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x,), (g,) = ins, cotangents
        return (g / og.sqrt((1.0 - x) * (1.0 + x)),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.uniform(-0.5, 0.5, (2, 3)),), id="middle")
        yield og.Sample((1.0 - rng.uniform(1e-6, 2e-6, (4, 1)),), id="border")
        yield og.Sample((rng.uniform(-0.5, 0.5, ()),), id="scalar")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()


class Pole(Real, name="correct.pole"):
    """Take 1 / (1 - x)**2 of numbers below 1: (…) -> (…). Samples come within 1e-4 of the pole."""

    info = og.OpInfo(reference=lambda x: 1 / (1 - x) ** 2, domain=(-np.inf, 1.0))

    def compute(self, ins, outs):
        np.divide(1, np.square(1 - ins[0]), out=outs[0], casting="same_kind")

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * outs[0] * 2.0 / (1.0 - ins[0]),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.uniform(-2.0, 0.5, (2, 3)),), id="away")
        yield og.Sample((1.0 - rng.uniform(1e-4, 2e-4, (4, 1)),), id="near")
        yield og.Sample((rng.uniform(-2.0, 0.5, ()),), id="scalar")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()


class AbsoluteAtZero(Real, name="correct.absolute_at_zero"):
    """Take the absolute value, with the derivative 0 at 0: (…) -> (…). Samples are exactly there."""

    inplace = True
    info = og.OpInfo(reference=np.abs, kinks=(0.0,))

    def compute(self, ins, outs):
        np.absolute(ins[0], out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * og.sign(ins[0]),)

    @classmethod
    def samples(cls, rng):
        x = rng.uniform(0.5, 2.0, (2, 3)) * rng.choice([-1.0, 1.0], (2, 3))
        yield og.Sample((x,), id="away")
        yield og.Sample((np.array([[0.0], [1.5], [-2.5], [0.0]]),), id="zeros")
        yield og.Sample((np.array(0.0),), id="scalar zero")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()


class HardSigmoid(Real, name="correct.hard_sigmoid"):
    """Take x / 6 + 1/2, kept between 0 and 1, with the derivative 0 at both ends: (…) -> (…)."""

    inplace = True
    info = og.OpInfo(reference=lambda x: np.clip(x / 6 + 0.5, 0, 1), kinks=(-3.0, 3.0))

    def compute(self, ins, outs):
        (y,) = outs
        np.clip(np.add(np.divide(ins[0], 6, out=y), 0.5, out=y), 0, 1, out=y)

    def vjp(self, ins, outs, cotangents):
        inside = og.less(og.abs(ins[0]), 3.0)
        return (cotangents[0] * og.cast(inside, ins[0].dtype) / 6.0,)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((np.array([[-4.5, 0.25, 1.5], [3.75, -2.25, 5.0]]),), id="away")
        yield og.Sample((np.array([[-3.0], [3.0], [0.5], [4.0]]),), id="kinks")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield og.Sample((np.array(3.0),), id="scalar kink")
        yield refused()


class Triangle(Real, name="correct.triangle"):
    """Take the distance to the next whole number, with the derivative of the piece above at kinks: (…) -> (…)."""

    info = og.OpInfo(reference=lambda x: np.abs(x - np.round(x)), kinks=tuple(k / 2 for k in range(-8, 9)))

    def compute(self, ins, outs):
        (x,) = ins
        np.absolute(x - np.round(x), out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x,), (g,) = ins, cotangents
        rising = og.less(x - og.floor(x), 0.5)
        return (g * og.where(rising, 1.0, -1.0),)

    @classmethod
    def samples(cls, rng):
        pieces = rng.integers(-8, 8, (2, 3)) / 2
        yield og.Sample((pieces + rng.uniform(0.1, 0.4, (2, 3)),), id="pieces")
        yield og.Sample((np.array([[0.5], [1.0], [-1.25], [2.2]]),), id="kinks")
        yield og.Sample((np.array(-0.3),), id="scalar")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()


class FirstGreatest(og.Op, name="correct.first_greatest"):
    """Give each row's greatest element and its least, the first of equal ones: (n, m) -> (n), (n).

    The gradient goes to the places that two hidden outputs remember.
    """

    hidden = 2
    info = og.OpInfo(reference=lambda x: (np.max(x, axis=1), np.min(x, axis=1)), tie_policy="first")

    def infer(self, ins):
        expect(ins, "f2")
        n, m = ins[0].shape
        if m == 0:
            raise og.ShapeError(f"{ins[0].shape} has no elements in a row")
        value, place = ins[0].with_shape((n,)), og.Spec((n,), np.int64)
        return (value, value, place, place)

    def compute(self, ins, outs):
        (x,), (greatest, least, high, low) = ins, outs
        np.copyto(high, np.argmax(x, axis=1))
        np.copyto(low, np.argmin(x, axis=1))
        for value, place in ((greatest, high), (least, low)):
            np.copyto(value, np.take_along_axis(x, place[:, None], axis=1)[:, 0])

    def vjp(self, ins, outs, cotangents):
        gx = None
        for g, place in zip(cotangents[:2], outs[2:], strict=True):
            if g is not None:
                part = og.apply(AtPlace(), g, place, ins[0])
                gx = part if gx is None else gx + part
        return (gx,)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.permutation(6).reshape(2, 3) * 1.0,), id="distinct")
        yield og.Sample((np.array([[1.0, 3.0, 3.0, 0.0], [2.0, 0.5, -1.0, -1.0]]),), id="ties")
        yield og.Sample((rng.normal(size=(4, 1)),), id="one column")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield og.Sample((np.zeros((3, 0)),), raises=og.ShapeError, id="of nothing")


class AtPlace(og.Op, name="correct._at_place"):
    """Put one element of each row into zeros: (n), (n) of integers, (n, m) -> (n, m)."""

    inputs = ("g", "place", "like")

    def infer(self, ins):
        return (og.Spec(ins[2].shape, ins[0].dtype),)

    def shape_only(self, n):
        return frozenset((2,))

    def compute(self, ins, outs):
        g, place, _ = ins
        outs[0][...] = 0
        np.put_along_axis(outs[0], place[:, None], g[:, None], axis=1)

    def vjp(self, ins, outs, cotangents):
        picked = og.take_along_axis(cotangents[0], og.expand_dims(ins[1], (1,)), 1)
        return (og.squeeze(picked, (1,)), None, None)


class Staircase(Real, name="correct.staircase"):
    """Round down to quarters: (…) -> (…). The gradient is zero."""

    inplace = True
    info = og.OpInfo(reference=lambda x: np.floor(4 * x) / 4, zero_gradient=(0,))

    def compute(self, ins, outs):
        (y,) = outs
        np.divide(np.floor(np.multiply(ins[0], 4, out=y), out=y), 4, out=y)

    def vjp(self, ins, outs, cotangents):
        return (None,)

    @classmethod
    def samples(cls, rng):
        for shape in ((2, 3), (4, 1), (), (0, 3)):
            yield og.Sample((rng.integers(-8, 8, shape) / 4 + rng.uniform(0.1, 0.15, shape),), id=f"{shape}")
        yield refused()
