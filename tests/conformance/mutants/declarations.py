"""Serialization, attributes that are clipped, registration, documentation and samples, wrong in one place."""

import numpy as np
from contract import Real, expect, refused

import opgraph as og


class Plain(Real):
    """What the functions share here."""

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.uniform(0.5, 2.0, (2, 3)),), id="matrix")
        yield og.Sample((rng.uniform(0.5, 2.0, (4, 1)),), {"alpha": 0.25}, id="alpha")
        yield og.Sample((rng.uniform(0.5, 2.0, ()),), id="scalar")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()


class Scaled(Plain):
    """What the multiples share here: x times `alpha`."""

    inplace = True
    alpha: float = 2.0
    info = og.OpInfo(reference=lambda x, alpha=2.0: alpha * x, multilinear=(0,))

    def compute(self, ins, outs):
        np.multiply(ins[0], self.alpha, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * self.alpha,)


class PickledBare(Scaled, name="mutants.pickled_bare"):
    """Multiply by alpha: (…) -> (…).

    There, an attribute was missing after an object had been pickled and unpickled.
    """

    caught_by = "pickle"
    source = "https://github.com/ParmEd/ParmEd/issues/618"

    def __reduce__(self):
        return (type(self), ())


class SavedBare(Plain, name="mutants.saved_bare"):
    """Multiply by alpha: (…) -> (…).

    There, a pooling lost one of its flags when it was written to a file, so that it divided by another number
    when it was read again: here alpha is no attribute that anything but the op knows of.
    """

    caught_by = "save_load"
    source = "https://github.com/sonos/tract/pull/2654"
    inplace = True
    info = og.OpInfo(reference=lambda x, alpha=2.0: alpha * x, multilinear=(0,))

    def __init__(self, alpha=2.0):
        object.__setattr__(self, "alpha", float(alpha))

    def compute(self, ins, outs):
        np.multiply(ins[0], self.alpha, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * self.alpha,)


class SavedUnderOther(Scaled, name="mutants.saved_under_other"):
    """Multiply by alpha: (…) -> (…).

    There, what was saved had another name than the argument that it came from.
    """

    caught_by = "save_load"
    source = "https://github.com/xiph/LPCNet/issues/191"

    def attributes(self):
        return {"units": self.alpha}


class Curve:
    """A curve that is compared by identity."""

    def __init__(self, slope):
        self.slope = slope


class ByCurve(Real, name="mutants.by_curve"):
    """Multiply by a curve's slope: (…) -> (…).

    There, what a layer had been made with was not written to the file at all.
    """

    caught_by = "save_load"
    source = "https://github.com/xcsf-dev/xcsf/issues/10"
    inplace = True
    curve: Curve = Curve(2.0)
    info = og.OpInfo(reference=lambda x, curve=None: x * (curve.slope if curve else 2.0), multilinear=(0,))

    def compute(self, ins, outs):
        np.multiply(ins[0], self.curve.slope, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * self.curve.slope,)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)),), id="matrix")
        yield og.Sample((rng.normal(size=(4, 1)),), {"curve": Curve(0.5)}, id="flat")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()


class PoolClipped(og.Op, name="mutants.pool_clipped"):
    """Sum each window of k neighbours: (n) -> (n - k + 1).

    There, a window larger than the picture was accepted when the model was built.
    """

    caught_by = "errors"
    source = "https://github.com/keras-team/keras/pull/22418"
    k: int = 2
    info = og.OpInfo(reference=lambda x, k=2: np.convolve(x, np.ones(k), "valid"), multilinear=(0,))

    def infer(self, ins):
        expect(ins, "f1")
        (n,) = ins[0].shape
        if self.k < 1:
            raise og.ArgumentError(f"k={self.k} is not positive")
        return (ins[0].with_shape((None if n is None else n - min(self.k, n) + 1,)),)

    def compute(self, ins, outs):
        (x,), (y,) = ins, outs
        k = min(self.k, len(x))
        y[...] = 0
        for i in range(k):
            y += x[i : i + len(y)]

    def vjp(self, ins, outs, cotangents):
        (g,) = cotangents
        padded = og.concat([np.zeros(self.k - 1), g, np.zeros(self.k - 1)], 0)
        return (og.apply(PoolClipped(self.k), og.cast(padded, g.dtype)),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=5),), id="five")
        yield og.Sample((rng.normal(size=3),), {"k": 3}, id="one window")
        yield og.Sample((rng.normal(size=1),), {"k": 1}, id="one element")
        yield og.Sample((rng.normal(size=2),), {"k": 3}, raises=og.ShapeError, id="too large")
        yield og.Sample((rng.normal(size=2),), {"k": 0}, raises=og.ArgumentError, id="none")


class PadsIgnored(og.Op, name="mutants.pads_ignored"):
    """Put zeros before and after: (n) -> (n + 2 k).

    There, negative padding was accepted and ignored.
    """

    caught_by = "errors"
    source = "https://github.com/ml-explore/mlx/pull/4101"
    k: int = 1
    info = og.OpInfo(reference=lambda x, k=1: np.pad(x, k), multilinear=(0,))

    def infer(self, ins):
        expect(ins, "f1")
        (n,) = ins[0].shape
        return (ins[0].with_shape((None if n is None else n + 2 * max(self.k, 0),)),)

    def compute(self, ins, outs):
        k = max(self.k, 0)
        outs[0][...] = 0
        outs[0][k : k + len(ins[0])] = ins[0]

    def vjp(self, ins, outs, cotangents):
        (g,) = cotangents
        k = max(self.k, 0)
        return (g[k:-k] if k else g,)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=5),), id="five")
        yield og.Sample((rng.normal(size=3),), {"k": 2}, id="two")
        yield og.Sample((rng.normal(size=1),), {"k": 0}, id="none")
        yield og.Sample((np.zeros(0),), id="empty")
        yield og.Sample((rng.normal(size=3),), {"k": -1}, raises=og.ArgumentError, id="negative")


class RateClipped(Plain, name="mutants.rate_clipped"):
    """Multiply by a rate from 0 to 1: (…) -> (…).

    There, a number that is out of range was clipped to what is valid, without a word.
    """

    caught_by = "errors"
    source = "https://github.com/rinusser/UEFIStarter/issues/27"
    inplace = True
    alpha: float = 0.5
    info = og.OpInfo(reference=lambda x, alpha=0.5: alpha * x, multilinear=(0,))

    def compute(self, ins, outs):
        np.multiply(ins[0], min(max(self.alpha, 0.0), 1.0), out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * min(max(self.alpha, 0.0), 1.0),)

    @classmethod
    def samples(cls, rng):
        yield from super().samples(rng)
        yield og.Sample((rng.normal(size=3),), {"alpha": -0.5}, raises=og.ArgumentError, id="negative")
        yield og.Sample((rng.normal(size=3),), {"alpha": 1.5}, raises=og.ArgumentError, id="above 1")


class RegisteredInOtherCase(Scaled, name="mutants.registered_in_other_case"):
    """Multiply by alpha: (…) -> (…).

    There, a gradient was registered for a name in another case than the op's.
    """

    caught_by = "registered"
    source = "https://github.com/bytedance/byteps/pull/378"
    entry = ("mutants.RegisteredInOtherCase", "RegisteredInOtherCase")


class RegisteredLayer(Scaled, name="mutants.registered_layer"):
    """Multiply by alpha: (…) -> (…).

    There, the registration named the layer in place of the op.
    """

    caught_by = "registered"
    source = "https://github.com/ehw-fit/tf-approximate/issues/9"
    entry = ("mutants.registered_layer", "Scaled")


class OtherDefault(Scaled, name="mutants.other_default"):
    """Multiply by alpha: (…) -> (…).

    There, an argument's default was not the one that was meant.
    """

    caught_by = "documented"
    source = "https://github.com/tensorflow/text/pull/935"


@og.front_door_for(OtherDefault)
def other_default(x, alpha=0.5):
    """Multiply by alpha: (…) -> (…)."""
    return og.apply(OtherDefault(alpha), *og.promote(x, floating=True))


class ShapesUnsaid(og.Op, name="mutants.shapes_unsaid"):
    """Sum the pairs of neighbours.

    There, the example in the documentation did not tell which of two meanings holds: here nothing tells whether
    the last one has a neighbour.
    """

    caught_by = "documented"
    source = "https://github.com/onnx/onnx/pull/7701"
    info = og.OpInfo(reference=lambda x: x + np.roll(x, -1), multilinear=(0,))

    def infer(self, ins):
        expect(ins, "f1")
        if ins[0].ndims != 1:
            raise og.ShapeError(f"{ins[0].shape} is no vector")
        return ins

    def compute(self, ins, outs):
        np.add(ins[0], np.roll(ins[0], -1), out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (g,) = cotangents
        return (g + og.roll(g, 1, 0),)

    @classmethod
    def samples(cls, rng):
        for size in (3, 1, 0):
            yield og.Sample((rng.normal(size=size),), id=str(size))
        yield refused()


class SquareAlone(og.Op, name="mutants.square_alone"):
    """Multiply a matrix by the transpose of another: (n, k), (m, k) -> (n, m).

    There, all tests had square pictures and kernels, and a gradient was wrong for the others.
    """

    caught_by = "samples"
    source = "https://github.com/Maratyszcza/NNPACK/issues/15"
    inputs = ("x", "y")
    info = og.OpInfo(reference=lambda x, y: x @ y.T, multilinear=(0, 1))

    def infer(self, ins):
        expect(ins, "f2", "f2")
        x, y = ins
        if None not in (x.shape[1], y.shape[1]) and x.shape[1] != y.shape[1]:
            raise og.ShapeError(f"{x.shape} and {y.shape}: the sizes of k differ")
        return (x.with_shape((x.shape[0], y.shape[0])),)

    def compute(self, ins, outs):
        np.matmul(ins[0], ins[1].T, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x, y), (g,) = ins, cotangents
        return (og.matmul(g, y), og.matmul(og.transpose(g), x))

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(3, 3)), rng.normal(size=(3, 3))), id="square")
        yield og.Sample((rng.normal(size=(2, 2)), rng.normal(size=(2, 2))), id="smaller")
        yield og.Sample((rng.normal(size=(4, 4)), rng.normal(size=(4, 4))), id="larger")


class NoSamples(Scaled, name="mutants.no_samples"):
    """Multiply by alpha: (…) -> (…).

    There, the gradient of an op was wrong for long, as no test took it.
    """

    caught_by = "samples"
    source = "https://github.com/tensorflow/tensorflow/issues/4859"

    @classmethod
    def samples(cls, rng):
        return ()
