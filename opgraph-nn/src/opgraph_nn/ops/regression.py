"""Losses of regression, the norm that regularizes, and the density that both come from."""

from __future__ import annotations

import math

import opgraph as og
from opgraph_nn._checks import check_number, float_dtype, paired


@og.guarded
def mse_loss(predictions: og.NodeLike, targets: og.NodeLike) -> og.Node:
    """Average the squares of the differences: (…), (…) -> ().

    The mean over all elements, as its name says; ``og.squared_difference`` gives one value for each.

    Parameters
    ----------
    predictions, targets : array_like or Node, (…)
        Of one shape, or one of them a scalar. Both have gradients.

    Raises
    ------
    ShapeError
        Where the shapes differ; for unknown sizes, in the run.
    """
    predictions, targets = paired("mse_loss", predictions=predictions, targets=targets)
    difference = _widened(predictions - targets)
    return og.cast(og.reduce_mean(og.square(difference)), predictions.dtype)


@og.guarded
def huber_loss(predictions: og.NodeLike, targets: og.NodeLike, delta: float = 1.0) -> og.Node:
    """Square small differences and grow linearly with large ones: (…), (…) -> (…).

    d**2 / 2 where the difference d is from -delta to delta, else delta * (abs(d) - delta / 2) (Huber,
    "Robust estimation of a location parameter", 1964). One loss for each element.

    Parameters
    ----------
    predictions, targets : array_like or Node, (…)
        Of one shape, or one of them a scalar. Both have gradients.
    delta : float
        Above 0.

    Raises
    ------
    ShapeError
        Where the shapes differ; for unknown sizes, in the run.
    ArgumentError
        Where `delta` is no positive number.
    """
    delta = check_number("delta", delta, "(0, inf)")
    predictions, targets = paired("huber_loss", predictions=predictions, targets=targets)
    d = predictions - targets
    clipped = og.clip(d, -delta, delta)
    return clipped * (d - clipped * 0.5)


@og.guarded
def l2norm(x: og.NodeLike, scalar: og.NodeLike = 1.0) -> og.Node:
    """Take half of the sum of the squares, times `scalar`: (…) -> (). No root is taken.

    What weight decay adds to a loss; its gradient is scalar * x.

    Parameters
    ----------
    x : array_like or Node, (…)
        Integers become the default float.
    scalar : number or Node, ()

    Raises
    ------
    ShapeError
        Where `scalar` is none.
    """
    (node,) = og.promote(x, floating=True, what="l2norm", graph=og.graph_of(x, scalar))
    float_dtype(node.dtype)
    wide = _widened(node)
    half, factor = og.promote(og.reduce_sum(og.square(wide)) * 0.5, scalar, what="l2norm")
    if factor.ndim:
        raise og.ShapeError(f"scalar has shape {factor.shape}, which is no scalar's")
    return og.cast(half * factor, node.dtype)


@og.guarded
def normal_log_density(x: og.NodeLike, mean: og.NodeLike = 0.0, stddev: og.NodeLike = 1.0) -> og.Node:
    """Take the logarithm of the normal density at each element: (…) -> (…). All three broadcast.

    -((x - mean) / stddev)**2 / 2 - log(stddev) - log(2 * pi) / 2.

    Parameters
    ----------
    x, mean, stddev : array_like or Node, (…)
        The standard deviation is above 0. All have gradients.
    """
    x, mean, stddev = og.promote(x, mean, stddev, floating=True, what="normal_log_density")
    float_dtype(x.dtype)
    z = (x - mean) / stddev
    return og.square(z) * -0.5 - og.log(stddev) - 0.5 * math.log(2 * math.pi)


@og.guarded
def normal_density(x: og.NodeLike, mean: og.NodeLike = 0.0, stddev: og.NodeLike = 1.0) -> og.Node:
    """Take the normal density at each element: (…) -> (…). All three broadcast.

    exp(-((x - mean) / stddev)**2 / 2) / (stddev * sqrt(2 * pi)). Where its logarithm is wanted,
    `normal_log_density` does not underflow.

    Parameters
    ----------
    x, mean, stddev : array_like or Node, (…)
        The standard deviation is above 0. All have gradients.
    """
    nodes = og.promote(x, mean, stddev, floating=True, what="normal_density")
    return og.exp(normal_log_density(*nodes))


def _widened(x: og.Node) -> og.Node:
    """Return `x` in float32 where it is float16, whose squares end at 65504."""
    return og.cast(x, og.wide_dtype(x.dtype))
