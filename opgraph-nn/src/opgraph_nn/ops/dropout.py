"""Dropout, with a mask that one run's forward and backward computations share."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

import opgraph as og
from opgraph_nn._checks import check_floats, check_number


@og.guarded
def dropout(x: og.NodeLike, rate: float, is_training: bool = True) -> og.Node:
    """Zero each element with probability `rate` and scale the others by 1 / (1 - rate): (…) -> (…).

    Every run draws another mask; all that one run computes, gradients included, shares it. (Srivastava
    et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014, scaled in
    training rather than after.)

    Parameters
    ----------
    x : array_like or Node, (…)
        Integers become the default float.
    rate : float
        From 0 to 1; 1 gives zeros.
    is_training : bool
        Whether to drop anything. If not, or if `rate` is 0, the result is `x` itself.

    Raises
    ------
    ArgumentError
        Where `rate` is no number from 0 to 1.
    """
    probability = check_number("rate", rate, "[0, 1]")
    (node,) = og.promote(x, floating=True, what="dropout")
    if not is_training or probability == 0:
        return node
    return node * og.apply(DropoutMask(probability), og.random_key(graph=node.graph), node)


class DropoutMask(og.Op, name="nn._dropout_mask"):
    """Draw the factors of dropout in the shape of `like`: 0 with probability `rate`, else 1 / (1 - rate)."""

    inputs = ("key", "like")
    rate: float

    def infer(self, ins: og.Specs) -> og.Specs:
        key, like = ins
        check_floats(like)
        if not key.shape.compatible_with((4,)) or key.dtype != np.uint64:
            raise og.ShapeError(f"key must be (4,) uint64, made by og.random_key(), not {key}")
        return (like,)

    def shape_only(self, n: int) -> frozenset[int]:
        return frozenset({1})

    def scratch(self, ins: og.Specs, outs: og.Specs) -> og.Specs:
        return (outs[0].with_dtype(np.float32),)

    def compute(self, ins: og.Arrays, outs: og.Arrays, scratch: og.Arrays = ()) -> None:
        (key, _), (mask,), (uniform,) = ins, outs, scratch
        og.generator(key).random(out=uniform, dtype=np.float32)
        np.greater_equal(uniform, self.rate, out=mask)
        # at rate 1 all is 0 already; 1 / (1 - rate) may overflow in float16, and 0 * inf is NaN
        np.divide(mask, 1 - self.rate or 1, out=mask)

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        return (None, None)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterable[og.Sample]:
        key = rng.integers(0, 1 << 32, 4, np.uint64)
        yield og.Sample((key, rng.normal(size=(2, 3))), {"rate": 0.5}, id="half")
        yield og.Sample((key, rng.normal(size=(5, 1, 2))), {"rate": 0.1}, id="tenth")
        yield og.Sample((key, rng.normal(size=())), {"rate": 1}, id="all")
        yield og.Sample((key, rng.normal(size=(0, 3))), {"rate": 0.5}, id="empty")
        yield og.Sample((key[:3], rng.normal(size=(5, 2))), {"rate": 0.5}, raises=og.ShapeError, id="no key")
        yield og.Sample((key, rng.integers(9, size=(2, 3))), {"rate": 0.5}, raises=og.DtypeError, id="integers")
