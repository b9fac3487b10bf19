"""Normalisations whose gradients lack a term, and degrees of freedom."""

import numpy as np
from contract import expect, refused

import opgraph as og


def _check_row(shape):
    if shape[-1] == 0:
        raise og.ShapeError(f"{shape} has nothing to normalise")


class ScaledNorm(og.Op, name="mutants.scaled_norm"):
    """Normalise each column and scale it: (n, m), (m) -> (n, m).

    There, the gradient by the input left out the scale.
    """

    caught_by = "vjp_full"
    source = "https://github.com/denizyuret/Knet.jl/issues/288"
    inputs = ("x", "scale")
    epsilon: float = 1e-5
    info = og.OpInfo(
        reference=lambda x, scale, epsilon=1e-5: (x - x.mean(0)) / np.sqrt(x.var(0) + epsilon) * scale,
        multilinear=(1,),
    )

    def infer(self, ins):
        expect(ins, "f2", "f1")
        x, scale = ins
        if x.shape[0] == 0:
            raise og.ShapeError(f"{x.shape} has nothing to normalise")
        if None not in (x.shape[1], scale.shape[0]) and x.shape[1] != scale.shape[0]:
            raise og.ShapeError(f"{x.shape} has not one column for each of {scale.shape}")
        return (x.with_shape((x.shape[0], scale.shape[0] if x.shape[1] is None else x.shape[1])),)

    def compute(self, ins, outs):
        x, scale = ins
        np.copyto(outs[0], (x - x.mean(0)) / np.sqrt(x.var(0) + self.epsilon) * scale)

    def vjp(self, ins, outs, cotangents):
        (x, _), (g,) = ins, cotangents
        deviation = x - og.reduce_mean(x, 0)
        rise = og.rsqrt(og.reduce_mean(deviation * deviation, 0) + self.epsilon)
        normal = deviation * rise
        level = og.reduce_mean(g, 0) + normal * og.reduce_mean(g * normal, 0)
        return ((g - level) * rise, og.reduce_sum(g * normal, 0))

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(4, 1)), rng.uniform(0.5, 2.0, 1)), id="one column")
        yield og.Sample((rng.normal(size=(4, 3)), np.ones(3)), id="ones")
        yield og.Sample((rng.normal(size=(3, 2)), rng.uniform(0.5, 2.0, 2)), id="scaled")
        yield og.Sample((rng.normal(size=(3, 0)), np.zeros(0)), id="empty")
        yield og.Sample((np.zeros((0, 3)), np.ones(3)), raises=og.ShapeError, id="of nothing")
        yield og.Sample((np.zeros((2, 3)), np.ones(2)), raises=og.ShapeError, id="columns differ")


class RmsNorm(og.Op, name="mutants.rms_norm"):
    """Divide each row by its root mean square: (n, m) -> (n, m).

    There, the gradient divided by the root mean square as though that did not depend on the input.
    """

    caught_by = "vjp_full"
    source = "https://github.com/ooples/AiDotNet/pull/695"
    epsilon: float = 1e-6
    info = og.OpInfo(reference=lambda x, epsilon=1e-6: x / np.sqrt(np.mean(x * x, axis=1, keepdims=True) + epsilon))

    def infer(self, ins):
        expect(ins, "f2")
        _check_row(ins[0].shape)
        return ins

    def compute(self, ins, outs):
        (x,) = ins
        np.divide(x, np.sqrt(np.mean(x * x, axis=1, keepdims=True) + self.epsilon), out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x,), (g,) = ins, cotangents
        return (g * og.rsqrt(og.reduce_mean(x * x, 1, keepdims=True) + self.epsilon),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(1, 4)),), id="one row")
        yield og.Sample((rng.normal(size=(2, 3)),), id="matrix")
        yield og.Sample((rng.normal(size=(4, 2)),), {"epsilon": 0.1}, id="epsilon")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield og.Sample((np.zeros((3, 0)),), raises=og.ShapeError, id="of nothing")


class NormalizeEpsilon(og.Op, name="mutants.normalize_epsilon"):
    """Divide each row by its length plus epsilon: (n, m) -> (n, m).

    There, the gradient was right for an epsilon that does not count, and for no other.
    """

    caught_by = "vjp_full"
    source = "https://github.com/chainer/chainer/pull/4190"
    epsilon: float = 1e-5
    info = og.OpInfo(reference=lambda x, epsilon=1e-5: x / (np.sqrt(np.sum(x * x, axis=1, keepdims=True)) + epsilon))

    def infer(self, ins):
        expect(ins, "f2")
        return ins

    def compute(self, ins, outs):
        (x,) = ins
        np.divide(x, np.sqrt(np.sum(x * x, axis=1, keepdims=True)) + self.epsilon, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x,), (y,), (g,) = ins, outs, cotangents
        length = og.sqrt(og.reduce_sum(x * x, 1, keepdims=True)) + self.epsilon
        return ((g - y * og.reduce_sum(g * y, 1, keepdims=True)) / length,)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.uniform(0.5, 2.0, (1, 4)),), id="one row")
        yield og.Sample((rng.uniform(0.5, 2.0, (2, 3)),), id="matrix")
        yield og.Sample((rng.uniform(0.5, 2.0, (4, 2)),), {"epsilon": 0.5}, id="epsilon")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()


class LayerNormTwice(og.Op, name="mutants.layer_norm_twice"):
    """Normalise each row: (n, m) -> (n, m).

    There, a further term was added to the mean's gradient, small beside the rest for long rows.
    """

    caught_by = "vjp_full"
    source = "https://github.com/apache/mxnet/issues/1053"
    epsilon: float = 1e-5
    info = og.OpInfo(
        reference=lambda x, epsilon=1e-5: (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + epsilon)
    )

    def infer(self, ins):
        expect(ins, "f2")
        _check_row(ins[0].shape)
        return ins

    def compute(self, ins, outs):
        (x,) = ins
        np.divide(x - x.mean(1, keepdims=True), np.sqrt(x.var(1, keepdims=True) + self.epsilon), out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x,), (y,), (g,) = ins, outs, cotangents
        deviation = x - og.reduce_mean(x, 1, keepdims=True)
        rise = og.rsqrt(og.reduce_mean(deviation * deviation, 1, keepdims=True) + self.epsilon)
        tilt = og.reduce_mean(g * y, 1, keepdims=True)
        n = og.count(x, 1)
        return ((g - og.reduce_mean(g, 1, keepdims=True) - y * tilt - tilt / (n * n)) * rise,)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(1, 4)),), id="one row")
        yield og.Sample((rng.normal(size=(2, 3)),), id="matrix")
        yield og.Sample((rng.normal(size=(4, 5)),), {"epsilon": 0.1}, id="epsilon")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield og.Sample((np.zeros((3, 0)),), raises=og.ShapeError, id="of nothing")


class ResidualNorm(og.Op, name="mutants.residual_norm"):
    """Add a residual and take softplus of the sum, giving both: (…), (…) -> (…), (…).

    There, the gradient that arrives at the sum itself was sent through the function that follows, too.
    """

    caught_by = "vjp_full"
    source = "https://github.com/Dao-AILab/quack/pull/53"
    inputs = ("x", "residual")
    info = og.OpInfo(reference=lambda x, residual: (x + residual, np.logaddexp(x + residual, 0.0)))

    def infer(self, ins):
        expect(ins, "f2", "f2")
        x, residual = ins
        if not x.shape.compatible_with(residual.shape):
            raise og.ShapeError(f"{x.shape} and {residual.shape} differ")
        shape = [n if m is None else m for m, n in zip(x.shape, residual.shape, strict=True)]
        return (x.with_shape(shape), x.with_shape(shape))

    def compute(self, ins, outs):
        np.add(ins[0], ins[1], out=outs[0])
        np.logaddexp(outs[0], 0.0, out=outs[1])

    def vjp(self, ins, outs, cotangents):
        total = outs[0]
        arrived = [g for g in cotangents if g is not None]
        g = sum(arrived[1:], arrived[0]) * (og.tanh(total * 0.5) * 0.5 + 0.5)
        return (g, g)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)), rng.normal(size=(2, 3))), id="matrix")
        yield og.Sample((rng.normal(size=(4, 1)), rng.normal(size=(4, 1))), id="column")
        yield og.Sample((np.zeros((0, 3)), np.zeros((0, 3))), id="empty")
        yield og.Sample((np.zeros((2, 3)), np.zeros((2, 4))), raises=og.ShapeError, id="differ")


class StdIgnoresDdof(og.Op, name="mutants.std_ignores_ddof"):
    """Take the standard deviation of each row, with n - ddof degrees of freedom: (n, m) -> (n).

    There, `ddof` was taken and not passed on.
    """

    caught_by = "reference"
    source = "https://github.com/cupy/cupy/pull/711"
    ddof: int = 0
    info = og.OpInfo(reference=lambda x, ddof=0: np.std(x, axis=1, ddof=ddof))

    def infer(self, ins):
        expect(ins, "f2")
        (x,) = ins
        if x.shape[1] is not None and x.shape[1] <= self.ddof:
            raise og.ShapeError(f"{x.shape[1]} elements leave no freedom beside ddof={self.ddof}")
        return (x.with_shape(x.shape[:1]),)

    def compute(self, ins, outs):
        np.std(ins[0], axis=1, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x,), (y,), (g,) = ins, outs, cotangents
        rise = g / (y * (og.count(x, 1) - float(self.ddof)))
        return ((x - og.reduce_mean(x, 1, keepdims=True)) * og.expand_dims(rise, (1,)),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(1, 4)),), id="one row")
        yield og.Sample((rng.normal(size=(2, 3)),), id="biased")
        yield og.Sample((rng.normal(size=(3, 4)),), {"ddof": 1}, id="unbiased")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield og.Sample((np.zeros((3, 1)),), {"ddof": 1}, raises=og.ShapeError, id="no freedom")


class VarianceGradientBiased(og.Op, name="mutants.variance_gradient_biased"):
    """Take the unbiased variance of each row: (n, m) -> (n).

    There, one of two places that need Bessel's correction had it: here the gradient lacks it.
    """

    caught_by = "vjp_full"
    source = "https://github.com/tenstorrent/tt-metal/issues/55438"
    info = og.OpInfo(reference=lambda x: np.var(x, axis=1, ddof=1))

    def infer(self, ins):
        expect(ins, "f2")
        (x,) = ins
        if x.shape[1] is not None and x.shape[1] < 2:
            raise og.ShapeError(f"{x.shape}: two elements in a row are the least")
        return (x.with_shape(x.shape[:1]),)

    def compute(self, ins, outs):
        np.var(ins[0], axis=1, ddof=1, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x,), (g,) = ins, cotangents
        return ((x - og.reduce_mean(x, 1, keepdims=True)) * og.expand_dims(g * 2.0 / og.count(x, 1), (1,)),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)),), id="matrix")
        yield og.Sample((rng.normal(size=(1, 4)),), id="one row")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield og.Sample((np.zeros((3, 1)),), raises=og.ShapeError, id="one column")


class MovingVariance(og.Op, name="mutants.moving_variance"):
    """Centre each column, and give its unbiased variance too: (n, m) -> (n, m), (m).

    There, what the moving variance is fed with was the biased variance that normalises.
    """

    caught_by = "reference"
    source = "https://github.com/tinygrad/tinygrad/pull/807"
    info = og.OpInfo(reference=lambda x: (x - x.mean(0), x.var(0, ddof=1)))

    def infer(self, ins):
        expect(ins, "f2")
        (x,) = ins
        if x.shape[0] is not None and x.shape[0] < 2:
            raise og.ShapeError(f"{x.shape}: two rows are the least")
        return (x, x.with_shape(x.shape[1:]))

    def compute(self, ins, outs):
        (x,) = ins
        np.subtract(x, x.mean(0), out=outs[0])
        np.var(x, axis=0, out=outs[1])

    def vjp(self, ins, outs, cotangents):
        (x,), (centred, _), (g, h) = ins, outs, cotangents
        gx = None if g is None else g - og.reduce_mean(g, 0)
        if h is not None:
            spread = centred * (h * 2.0 / (og.count(x, 0) - 1.0))
            gx = spread if gx is None else gx + spread
        return (gx,)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(4, 3)),), id="matrix")
        yield og.Sample((rng.normal(size=(3, 1)),), id="one column")
        yield og.Sample((np.zeros((2, 0)),), id="empty")
        yield og.Sample((np.zeros((1, 3)),), raises=og.ShapeError, id="one row")


class SoftmaxFirst(og.Op, name="mutants.softmax_first"):
    """Take the softmax of each row: (n, k), (n, m, k) -> the same.

    There, it was taken along the last dimension of matrices, and along the first one of three, that of the batch.
    """

    caught_by = "rows"
    source = "https://github.com/pytorch/pytorch/issues/1020"

    def infer(self, ins):
        expect(ins, "f*")
        (x,) = ins
        if x.ndims not in (2, 3):
            raise og.ShapeError(f"x {x.shape} has neither 2 nor 3 dimensions")
        return (x,)

    def compute(self, ins, outs):
        (x,), (y,) = ins, outs
        if x.size:
            np.exp(x, out=y)
            y /= y.sum(1 if x.ndim == 2 else 0, keepdims=True)

    def by_rows(self, ins):
        return frozenset([0])

    def vjp(self, ins, outs, cotangents):
        (y,), (g,) = outs, cotangents
        axis = 1 if len(y.shape) == 2 else 0
        return (y * (g - og.reduce_sum(g * y, axis, keepdims=True)),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)),), id="matrix")
        yield og.Sample((rng.normal(size=(4, 2, 3)),), id="three dimensions")
        yield og.Sample((rng.normal(size=(1, 5)),), id="one row")
        yield og.Sample((rng.normal(size=(0, 3)),), id="empty")
        yield og.Sample((rng.normal(size=3),), raises=og.ShapeError, id="vector")
