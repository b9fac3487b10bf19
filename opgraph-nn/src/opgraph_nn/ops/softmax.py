"""Softmax along an axis, and its logarithm."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

import numpy as np

import opgraph as og
from opgraph_nn._checks import check_floats


class AlongAxis(og.Op):
    """What softmax and its logarithm share: one `axis`, along which they normalize."""

    axis: int = -1

    def infer(self, ins: og.Specs) -> og.Specs:
        check_floats(*ins)
        og.normalize_axes(self.axis, ins[0].ndims)
        return ins

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterable[og.Sample]:
        yield og.Sample((rng.normal(size=(5,)),), id="vector")
        yield og.Sample((rng.normal(size=(2, 3)),), id="rows")
        yield og.Sample((rng.normal(size=(2, 3, 1)),), {"axis": 1}, id="middle")
        yield og.Sample((rng.normal(size=(0, 3)),), id="no rows")
        yield og.Sample((rng.normal(size=(2, 3)),), {"axis": 2}, raises=og.ArgumentError, id="no such axis")
        yield og.Sample((rng.normal(size=()),), raises=og.ArgumentError, id="scalar")
        yield og.Sample((rng.integers(0, 9, (2, 3)),), raises=og.DtypeError, id="integers")


class Softmax(AlongAxis, name="nn.softmax"):
    """Normalize exponentials along `axis`: exp(x) / sum(exp(x)), without overflow."""

    info = og.OpInfo(reference=lambda x, axis=-1: np.exp(x) / np.sum(np.exp(x), axis, keepdims=True))

    def scratch(self, ins: og.Specs, outs: og.Specs) -> og.Specs:
        return (reduced(ins[0], self.axis),)

    def compute(self, ins: og.Arrays, outs: og.Arrays, scratch: og.Arrays = ()) -> None:
        (x,), (y,), (column,) = ins, outs, scratch
        np.maximum.reduce(x, axis=self.axis, out=column, keepdims=True, initial=-np.inf)
        np.subtract(x, column, y)
        np.exp(y, y)
        np.add.reduce(y, axis=self.axis, out=column, keepdims=True)
        np.divide(y, column, y)

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        (y,), (g,) = outs, cotangents
        return (y * (g - og.reduce_sum(g * y, self.axis, keepdims=True)),)

    def read_by(self, reader: og.Op) -> Callable[..., og.Node] | None:
        return functools.partial(log_softmax, axis=self.axis) if reader.name == "core.log" else None


class LogSoftmax(AlongAxis, name="nn.log_softmax"):
    """Take the logarithm of softmax along `axis`: x - log(sum(exp(x))), without overflow."""

    info = og.OpInfo(reference=lambda x, axis=-1: x - np.log(np.sum(np.exp(x), axis, keepdims=True)))

    def scratch(self, ins: og.Specs, outs: og.Specs) -> og.Specs:
        return (reduced(ins[0], self.axis), ins[0])

    def compute(self, ins: og.Arrays, outs: og.Arrays, scratch: og.Arrays = ()) -> None:
        (x,), (y,), (column, exponentials) = ins, outs, scratch
        np.maximum.reduce(x, axis=self.axis, out=column, keepdims=True, initial=-np.inf)
        np.subtract(x, column, y)
        np.exp(y, exponentials)
        np.add.reduce(exponentials, axis=self.axis, out=column, keepdims=True)
        np.log(column, column)
        np.subtract(y, column, y)

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        (y,), (g,) = outs, cotangents
        return (g - og.exp(y) * og.reduce_sum(g, self.axis, keepdims=True),)


def reduced(x: og.Spec, axis: int) -> og.Spec:
    """Return `x` with size 1 along `axis`, in float32 for float16, where a sum soon ends at 65504."""
    shape = og.reduced_shape(x.shape, og.normalize_axes(axis, x.ndims), keepdims=True)
    return og.Spec(shape, og.wide_dtype(x.dtype))


@og.front_door_for(Softmax)
def softmax(x: og.NodeLike, axis: int = -1) -> og.Node:
    """Normalize exponentials along `axis`: exp(x) / sum(exp(x)), without overflow.

    Integers give the default float.

    Raises
    ------
    ArgumentError
        For an axis out of range, as any is for a scalar.
    """
    (node,) = og.promote(x, floating=True, what="softmax")
    return og.apply(og.make_op(Softmax, axis=axis), node)


@og.front_door_for(LogSoftmax)
def log_softmax(x: og.NodeLike, axis: int = -1) -> og.Node:
    """Take the logarithm of softmax along `axis`: x - log(sum(exp(x))), without overflow.

    Integers give the default float.

    Raises
    ------
    ArgumentError
        For an axis out of range, as any is for a scalar.
    """
    (node,) = og.promote(x, floating=True, what="log_softmax")
    return og.apply(og.make_op(LogSoftmax, axis=axis), node)
