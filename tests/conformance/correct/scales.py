"""Scales: tiny, huge, steep, flat, unequal, cancelling."""

import numpy as np
from contract import Real, RealNotHalf, expect, refused

import opgraph as og


class Function(Real):
    """What the functions of one operand share here; samples lie in `between`."""

    between = (-2.0, 2.0)

    @classmethod
    def samples(cls, rng):
        for shape in ((2, 3), (), (4, 1), (0, 3)):
            yield og.Sample((rng.uniform(*cls.between, shape),), id=f"{len(shape)}-d {shape}")
        yield refused()


class TripleTiny(Function, name="correct.triple_tiny"):
    """Multiply by 3: (…) -> (…). Samples are of the size of 1e-160."""

    between = (-2e-160, 2e-160)
    inplace = True
    info = og.OpInfo(reference=lambda x: 3 * x, multilinear=(0,))

    def compute(self, ins, outs):
        np.multiply(ins[0], 3, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * 3.0,)


class SineHuge(Function, name="correct.sine_huge"):
    """Take the sine of x / 1e160, times 1e160: (…) -> (…). Samples are of the size of 1e160."""

    between = (-2e160, 2e160)
    info = og.OpInfo(reference=lambda x: np.sin(x / 1e160) * 1e160)

    def compute(self, ins, outs):
        (x,), (y,) = ins, outs
        if x.dtype == np.float64:
            np.multiply(np.sin(np.divide(x, 1e160, out=y), out=y), 1e160, out=y)
        else:
            # so far from 1e160, the sine is its argument
            np.copyto(y, x)

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * og.cos(ins[0] * 1e-160),)


class Steep(RealNotHalf, name="correct.steep"):
    """Take the hyperbolic tangent of a million times x: (…) -> (…)."""

    between = (-2e-6, 2e-6)
    inplace = True
    info = og.OpInfo(reference=lambda x: np.tanh(1e6 * x))

    def compute(self, ins, outs):
        np.tanh(np.multiply(ins[0], 1e6, out=outs[0]), out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * (1.0 - outs[0]) * (1.0 + outs[0]) * 1e6,)

    @classmethod
    def samples(cls, rng):
        return Function.samples.__func__(cls, rng)


class Oscillating(Function, name="correct.oscillating"):
    """Take the sine of thirty times x: (…) -> (…)."""

    inplace = True
    info = og.OpInfo(reference=lambda x: np.sin(30 * x))

    def compute(self, ins, outs):
        np.sin(np.multiply(ins[0], 30, out=outs[0]), out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * og.cos(ins[0] * 30.0) * 30.0,)


class GaussTail(Function, name="correct.gauss_tail"):
    """Take exp(-x**2 / 2): (…) -> (…). Samples reach down to 1e-174."""

    between = (3.0, 28.0)
    info = og.OpInfo(reference=lambda x: np.exp(-x * x / 2))

    def compute(self, ins, outs):
        (x,), (y,) = ins, outs
        np.exp(np.multiply(np.multiply(x, x, out=y), -0.5, out=y), out=y)

    def vjp(self, ins, outs, cotangents):
        return (-(cotangents[0] * ins[0] * outs[0]),)


class Versine(Function, name="correct.versine"):
    """Take (1 - cos(x)) / x**2, 1/2 at 0, without cancellation: (…) -> (…)."""

    info = og.OpInfo(reference=lambda x: np.sinc(x / (2 * np.pi)) ** 2 / 2)

    def compute(self, ins, outs):
        half = np.divide(ins[0], 2)
        small = np.abs(half) < 1e-4
        ratio = np.sin(half) / np.where(small, 1, half)
        # the series, whose next term is below 1e-18
        np.copyto(outs[0], np.where(small, 1 - half * half / 6, ratio) ** 2 / 2, casting="same_kind")

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * og.apply(VersineSlope(), ins[0]),)

    @classmethod
    def samples(cls, rng):
        yield from super().samples(rng)
        yield og.Sample((np.array([0.0, 1e-9, -1e-5, 1e-3]),), id="near 0")
        yield refused()


class VersineSlope(Real, name="correct._versine_slope"):
    """Take the derivative of (1 - cos(x)) / x**2: the series near 0, whose terms fall fast."""

    def compute(self, ins, outs):
        (x,) = ins
        near = np.abs(x) < 1.0
        away = np.where(near, 1.0, x)
        square = np.where(near, x * x, 0)
        # the sum of (-1)**k 2k x**(2k-1) / (2k+2)!
        series = np.zeros_like(square)
        for k in range(9, 0, -1):
            factorial = np.prod(np.arange(1.0, 2 * k + 3))
            series = series * square + (-1) ** k * 2 * k / factorial
        direct = np.sin(away) / away**2 - 2 * (1 - np.cos(away)) / away**3
        np.copyto(outs[0], np.where(near, series * x, direct), casting="same_kind")

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * og.apply(VersineCurvature(), ins[0]),)


class VersineCurvature(Real, name="correct._versine_curvature"):
    """Take the second derivative of (1 - cos(x)) / x**2."""

    def compute(self, ins, outs):
        (x,) = ins
        near = np.abs(x) < 1.0
        away = np.where(near, 1.0, x)
        square = np.where(near, x * x, 0)
        series = np.zeros_like(square)
        for k in range(9, 0, -1):
            factorial = np.prod(np.arange(1.0, 2 * k + 3))
            series = series * square + (-1) ** k * 2 * k * (2 * k - 1) / factorial
        direct = np.cos(away) / away**2 - 4 * np.sin(away) / away**3 + 6 * (1 - np.cos(away)) / away**4
        np.copyto(outs[0], np.where(near, series, direct), casting="same_kind")


class Chebyshev(Function, name="correct.chebyshev"):
    """Take the Chebyshev polynomial of a degree: (…) -> (…), by the recurrence."""

    between = (-0.95, 0.95)
    degree: int = 9
    info = og.OpInfo(reference=lambda x, degree=9: np.polynomial.Chebyshev.basis(degree)(x))

    def compute(self, ins, outs):
        (x,) = ins
        before, now = np.ones_like(x), x
        for _ in range(self.degree - 1):
            before, now = now, 2 * x * now - before
        np.copyto(outs[0], now if self.degree else before)

    def vjp(self, ins, outs, cotangents):
        (x,), (g,) = ins, cotangents
        # n U_(n-1), from the polynomials of the second kind
        before, now = x * 0.0 + 1.0, x * 2.0
        for _ in range(self.degree - 2):
            before, now = now, x * 2.0 * now - before
        return (g * now * float(self.degree),)

    @classmethod
    def samples(cls, rng):
        yield from super().samples(rng)
        yield og.Sample((rng.uniform(-0.9, 0.9, (3, 2)),), {"degree": 4}, id="even")
        yield refused()


class Cube(Function, name="correct.cube"):
    """Raise to the third power: (…) -> (…). Both derivatives are 0 at 0, where a sample is."""

    info = og.OpInfo(reference=lambda x: x**3)

    def compute(self, ins, outs):
        np.multiply(ins[0], np.square(ins[0]), out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * ins[0] * ins[0] * 3.0,)

    @classmethod
    def samples(cls, rng):
        yield from super().samples(rng)
        yield og.Sample((np.array([0.0, 1.5, 0.0, -0.5]),), id="zeros")
        yield refused()


class Unequal(Real, name="correct.unequal"):
    """Take x * y + z: (…), (…), (…) -> (…). Samples are of the sizes of 1e8, 1e-8 and 1e-3."""

    inputs = ("x", "y", "z")
    info = og.OpInfo(reference=lambda x, y, z: x * y + z, multilinear=())

    def compute(self, ins, outs):
        x, y, z = ins
        np.copyto(outs[0], x * y + z)

    def vjp(self, ins, outs, cotangents):
        (x, y, _), (g,) = ins, cotangents
        return (g * y, g * x, g)

    @classmethod
    def samples(cls, rng):
        def of_size(size, shape):
            return size * rng.uniform(0.5, 2.0, shape) * rng.choice([-1.0, 1.0], shape)

        yield og.Sample((of_size(1e8, (2, 3)), of_size(1e-8, (2, 3)), of_size(1e-3, (2, 3))), id="matrix")
        yield og.Sample((of_size(1e8, (4, 1)), of_size(1e-8, (3,)), of_size(1e-3, ())), id="broadcast")
        yield og.Sample((np.zeros((0, 3)), np.ones((1, 3)), np.ones(3)), id="empty")
        yield refused(3)


class MixedScales(og.Op, name="correct.mixed_scales"):
    """Take the length of a vector without overflow: (n) -> (). Its elements span twelve orders of magnitude."""

    info = og.OpInfo(reference=lambda x: np.max(np.abs(x)) * np.linalg.norm(x / np.max(np.abs(x))))

    def infer(self, ins):
        expect(ins, "f1")
        if ins[0].shape[0] == 0:
            raise og.ShapeError("the length of nothing has no derivative")
        return (ins[0].with_shape(()),)

    def compute(self, ins, outs):
        (x,) = ins
        greatest = np.max(np.abs(x))
        outs[0][...] = greatest and greatest * np.linalg.norm(x / greatest)

    def vjp(self, ins, outs, cotangents):
        return (ins[0] / outs[0] * cotangents[0],)

    @classmethod
    def samples(cls, rng):
        signs = rng.choice([-1.0, 1.0], 4)
        yield og.Sample((signs * rng.uniform(0.5, 2.0, 4) * np.array([1e-6, 1.0, 1e3, 1e6]),), id="spread")
        yield og.Sample((rng.uniform(0.5, 2.0, 3),), id="alike")
        yield og.Sample((rng.uniform(0.5, 2.0, 1),), id="one")
        yield og.Sample((np.zeros(0),), raises=og.ShapeError, id="empty")
