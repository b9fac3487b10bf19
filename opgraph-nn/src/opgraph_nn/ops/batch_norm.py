"""Batch normalization, channels last, with moving statistics for inference."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Iterable

import numpy as np

import opgraph as og
from opgraph_nn._checks import check_floats, check_number


@og.guarded
def fused_batch_norm(
    x: og.NodeLike,
    scale: og.NodeLike,
    offset: og.NodeLike,
    moving_mean: og.Variable,
    moving_variance: og.Variable,
    epsilon: float = 0.001,
    decay: float = 0.999,
    is_training: bool = True,
) -> og.Node:
    """Normalize each channel, then scale and shift it: (…, C) with four of (C,) -> (…, C).

    scale * (x - mean) / sqrt(variance + epsilon) + offset, the statistics taken over all axes but the
    last (Ioffe & Szegedy, "Batch normalization", 2015, algorithm 1).

    In training they are the batch's, the variance biased: divided by the number n of elements. A run
    that computes the result then moves the moving statistics, to decay * moving + (1 - decay) * batch,
    where the batch's variance is unbiased: divided by n - 1, or by 1 where n is 1. In inference they
    are the moving ones, which stay as they are.

    Parameters
    ----------
    x : array_like or Node, (…, C)
        Of two dimensions at least, channels last.
    scale, offset : array_like or Node, (C,)
    moving_mean, moving_variance : Variable, (C,)
        Not trainable; 0 and 1 to begin with. They keep their dtype, whatever that of `x`.
    epsilon : float
        Added to the variance; not negative.
    decay : float
        From 0 to 1.
    is_training : bool

    Raises
    ------
    ShapeError
        Where `x` has one dimension, the numbers of channels differ, or there is nothing to take
        statistics of: in the run, for unknown sizes.
    ArgumentError
        For an `epsilon` or `decay` out of range, and for moving statistics that are no variables.
    """
    x, scale, offset = og.promote(x, scale, offset, floating=True, what="fused_batch_norm")
    check_number("epsilon", epsilon, "[0, inf)")
    check_number("decay", decay, "[0, 1]")
    for name, moving in (("moving_mean", moving_mean), ("moving_variance", moving_variance)):
        if not isinstance(moving, og.Variable):
            raise og.ArgumentError(f"{name} must be a variable, not {moving!r}")
    if moving_mean is moving_variance:
        raise og.ArgumentError(f"moving_mean and moving_variance are one variable, {moving_mean!r}; make two")
    common_channels(
        x.spec,
        scale=scale.spec,
        offset=offset.spec,
        moving_mean=moving_mean.spec,
        moving_variance=moving_variance.spec,
    )
    if not is_training:
        return _normalized(x, scale, offset, moving_mean, moving_variance, epsilon)
    y, mean, variance = batch_norm(x, scale, offset, epsilon)
    n = og.count(x, range(x.ndim - 1), variance.dtype)
    unbiased = variance * (n / og.maximum(n - 1.0, 1.0))
    for moving, batch in ((moving_mean, mean), (moving_variance, unbiased)):
        moved = og.ensure_shape_like(moving, batch) * decay + og.cast(batch, moving.dtype) * (1 - decay)
        y.graph.add_update(moving, moved, when=y)
    return y


def _plain_batch_norm(x: og.Array, scale: og.Array, offset: og.Array, epsilon: float = 0.001) -> og.Arrays:
    axes = tuple(range(x.ndim - 1))
    mean, variance = x.mean(axes), x.var(axes)
    return (scale * (x - mean) / np.sqrt(variance + epsilon) + offset, mean, variance)


class BatchNorm(og.Op, name="nn.batch_norm"):
    """Normalize each channel by the batch's statistics: (…, C), (C,), (C,) -> (…, C), (C,), (C,).

    The outputs are scale * (x - mean) / sqrt(variance + epsilon) + offset, the mean, and the biased
    variance; all three have gradients. For `x` of float16 the statistics are float32.
    """

    inputs = ("x", "scale", "offset")
    info = og.OpInfo(reference=_plain_batch_norm)
    epsilon: float = 0.001

    def infer(self, ins: og.Specs) -> og.Specs:
        x, scale, offset = ins
        check_floats(*ins)
        channels = common_channels(x, scale=scale, offset=offset)
        if 0 in x.shape[:-1]:
            raise og.ShapeError(f"x {x.shape} holds no values to take statistics of")
        statistics = og.Spec(og.Shape(channels), og.wide_dtype(x.dtype))
        return (x.with_shape((*x.shape[:-1], channels)), statistics, statistics)

    def scratch(self, ins: og.Specs, outs: og.Specs) -> og.Specs:
        statistics = outs[1]
        return (statistics, statistics.with_dtype(np.promote_types(statistics.dtype, np.float64)))

    def compute(self, ins: og.Arrays, outs: og.Arrays, scratch: og.Arrays = ()) -> None:
        (x, scale, offset), (y, mean, variance), (factor, total) = ins, outs, scratch
        n = math.prod(x.shape[:-1])
        rows, centered = x.reshape(n, x.shape[-1]), y.reshape(n, y.shape[-1])
        # einsum keeps to one thread, unlike BLAS; float64 sums lose nothing over a million rows
        np.einsum("nc->c", rows, out=total, dtype=total.dtype)
        np.divide(total, n, out=mean)
        np.subtract(rows, mean, out=centered)
        np.einsum("nc,nc->c", centered, centered, out=total, dtype=total.dtype)
        np.divide(total, n, out=variance)
        np.add(variance, self.epsilon, out=factor)
        np.sqrt(factor, out=factor)
        np.divide(scale, factor, out=factor)
        np.multiply(centered, factor, out=centered)
        np.add(centered, offset, out=centered)

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        (x, scale, _), (_, mean, variance), (gy, gmean, gvariance) = ins, outs, cotangents
        axes = range(x.ndim - 1)
        x = og.cast(x, mean.dtype)
        n = og.count(x, axes)
        centered = x - mean
        gx, gscale, goffset = [], None, None
        if gy is not None:
            gy = og.cast(gy, mean.dtype)
            deviation = og.sqrt(variance + self.epsilon)
            normalized = centered / deviation
            goffset = og.reduce_sum(gy, axes)
            gscale = og.reduce_sum(gy * normalized, axes)
            gx.append((gy - (goffset + normalized * gscale) / n) * (og.cast(scale, mean.dtype) / deviation))
        if gmean is not None:
            gx.append(og.broadcast_like(gmean / n, x))
        if gvariance is not None:
            gx.append(centered * (gvariance * 2.0 / n))
        return (functools.reduce(operator.add, gx), gscale, goffset)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterable[og.Sample]:
        def batch(*shape: int) -> og.Arrays:
            return (rng.normal(size=shape), rng.uniform(0.5, 2.0, shape[-1:]), rng.normal(size=shape[-1:]))

        x, scale, offset = batch(5, 3)
        yield og.Sample((x, scale, offset), id="rows")
        yield og.Sample((x, scale, offset), {"epsilon": 0.1}, id="epsilon")
        yield og.Sample(batch(2, 3, 5, 4), id="images")
        yield og.Sample(batch(3, 2, 1), id="one channel")
        yield og.Sample(batch(3, 0), id="no channels")
        yield og.Sample((x[0], scale, offset), raises=og.ShapeError, id="one dimension")
        yield og.Sample((x, scale[:2], offset), raises=og.ShapeError, id="short scale")
        yield og.Sample((x, scale, offset[:2]), raises=og.ShapeError, id="short offset")
        yield og.Sample((rng.integers(9, size=(5, 3)), scale, offset), raises=og.DtypeError, id="integers")


@og.front_door_for(BatchNorm)
def batch_norm(
    x: og.NodeLike, scale: og.NodeLike, offset: og.NodeLike, epsilon: float = 0.001
) -> tuple[og.Node, og.Node, og.Node]:
    """Normalize each channel by the batch's statistics: (…, C), (C,), (C,) -> (…, C), (C,), (C,).

    Returns
    -------
    y, mean, variance : Node
        scale * (x - mean) / sqrt(variance + epsilon) + offset; the mean; and the biased variance. For
        `x` of float16 the last two are float32.

    Raises
    ------
    ShapeError
        Where `x` has one dimension, or the numbers of channels differ.
    ArgumentError
        For an `epsilon` that is negative or no number.
    """
    check_number("epsilon", epsilon, "[0, inf)")
    nodes = og.promote(x, scale, offset, floating=True, what="batch_norm")
    y, mean, variance = og.apply_all(og.make_op(BatchNorm, epsilon=epsilon), *nodes)
    return y, mean, variance


def common_channels(x: og.Spec, **per_channel: og.Spec) -> int | None:
    """Return the size of the last axis of `x`, which that of each (C,) value in `per_channel` may tell.

    Raises
    ------
    ShapeError
        Where `x` has no axis besides, or a value is not (C,).
    """
    if x.ndims < 2:
        raise og.ShapeError(f"x {x.shape} must have two dimensions or more, channels last")
    channels, teller = x.shape[-1], f"x {x.shape}"
    for name, spec in per_channel.items():
        if not spec.shape.compatible_with((channels,)):
            raise og.ShapeError(f"{name} {spec.shape} must be ({channels},), one value for each channel of {teller}")
        if channels is None:
            channels, teller = spec.shape[0], f"{name} {spec.shape}"
    return channels


def _normalized(
    x: og.Node, scale: og.Node, offset: og.Node, mean: og.Node, variance: og.Node, epsilon: float
) -> og.Node:
    """Return `x` normalized by given statistics, in its own dtype."""
    dtype = og.wide_dtype(x.dtype)
    # like the statistics of a batch, moving ones are not spread over several channels
    channel = og.reduce_sum(x, range(x.ndim - 1))
    mean, variance = og.ensure_shape_like(mean, channel), og.ensure_shape_like(variance, channel)
    wide, scale, offset, mean, variance = (og.cast(node, dtype) for node in (x, scale, offset, mean, variance))
    return og.cast((wide - mean) * (scale / og.sqrt(variance + epsilon)) + offset, x.dtype)
