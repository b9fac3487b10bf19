"""Random numbers: standard draws, and the distributions that are made of them, with gradients in their parameters.

A draw reads a key, whose value is another one in every run and the same all through one. So what a run
computes forward and backward sees one draw, whatever else is fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, SupportsIndex, TypeGuard

import numpy as np

from opgraph.build import apply, graph_of
from opgraph.convert import to_array
from opgraph.declarations import Sample
from opgraph.errors import ArgumentError, DtypeError, ShapeError
from opgraph.graph import constant_in, random_key
from opgraph.node import Node, NodeLike
from opgraph.op import Arrays, Cotangents, Nodes, Op, Rng, Specs, generator
from opgraph.ops.arithmetic import add, multiply, subtract
from opgraph.ops.compare import less
from opgraph.ops.elementwise import cast
from opgraph.ops.like import broadcast_like
from opgraph.signatures import guarded
from opgraph.spec import DtypeLike, Shape, Spec, as_dtype, get_default_dtype, known_shape, promote_dtypes


class StandardDraw(Op):
    """What draws share: a key's numbers in a fixed `shape`, or in that of `like`."""

    inputs = ("key", "*like")
    shape: tuple[int, ...] | None = None
    dtype: np.dtype = np.dtype(np.float32)

    def infer(self, ins: Specs) -> Specs:
        key, *like = ins
        if not key.shape.compatible_with((4,)) or key.dtype != np.uint64:
            raise ShapeError(f"key must be (4,) uint64, made by og.random_key(), not {key}")
        if self.dtype.char not in "efd":
            raise DtypeError(f"float16, float32 and float64 are drawn, not {self.dtype}; draw floats and convert them")
        if len(like) > 1 or (self.shape is None) != bool(like):
            raise ArgumentError("takes a shape or one node that has it, not both")
        return (Spec(like[0].shape if self.shape is None else Shape(self.shape), self.dtype),)

    def shape_only(self, n: int) -> frozenset[int]:
        return frozenset(range(1, n))

    def scratch(self, ins: Specs, outs: Specs) -> Specs:
        # NumPy draws no float16
        return (outs[0].with_dtype(np.float32),) if self.dtype == np.float16 else ()

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (None,) * len(ins)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        key = rng.integers(0, 1 << 32, 4, np.uint64)
        double = {"dtype": np.float64}
        yield Sample((key,), {"shape": (2, 3), **double}, id="shape")
        yield Sample((key,), {"shape": (), **double}, id="scalar")
        yield Sample((key, rng.normal(size=(5, 1, 2))), double, id="like")
        yield Sample((key, rng.normal(size=(0, 3))), {"dtype": np.float16}, id="empty")
        yield Sample((key[:3],), {"shape": (2, 3)}, raises=ShapeError, id="no key")
        yield Sample((key,), {"shape": (2, -3)}, raises=ShapeError, id="negative size")
        yield Sample((key,), {"shape": (2, 3), "dtype": np.int64}, raises=DtypeError, id="integers")
        yield Sample((key,), raises=ArgumentError, id="no shape")


class StandardNormal(StandardDraw, name="core._standard_normal"):
    """Draw from the normal distribution of mean 0 and standard deviation 1."""

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        drawn = scratch[0] if scratch else outs[0]
        generator(ins[0]).standard_normal(out=drawn, dtype=drawn.dtype)
        if scratch:
            np.copyto(outs[0], drawn, casting="same_kind")


class StandardUniform(StandardDraw, name="core._standard_uniform"):
    """Draw evenly from 0 to 1, where 0 is possible and 1 is not."""

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        drawn = scratch[0] if scratch else outs[0]
        generator(ins[0]).random(out=drawn, dtype=drawn.dtype)
        if scratch:
            # multiples of 2**-11, which float16 holds; rounding would reach 1
            np.multiply(drawn, 2048, out=drawn)
            np.floor(drawn, out=drawn)
            np.divide(drawn, 2048, out=outs[0], casting="same_kind")


@guarded
def random_normal(
    shape: SupportsIndex | Sequence[SupportsIndex] | None = None,
    mean: NodeLike = 0.0,
    stddev: NodeLike = 1.0,
    dtype: DtypeLike = None,
    key: Node | None = None,
    like: NodeLike | None = None,
) -> Node:
    """Draw from normal distributions: () -> `shape`. Every run draws other numbers, gradients see the same.

    Parameters
    ----------
    shape : int or sequence of int, optional
        Known in full; for one that is known in the run alone, give a `like`.
    mean, stddev : array_like or Node
        What broadcasts to the shape. Gradients flow into them, as the result is mean + stddev * draw (Kingma
        and Welling, "Auto-encoding variational Bayes", 2014, section 2.4).
    dtype
        float16, float32 or float64. Where not given that of `mean` and `stddev`, if they are arrays or nodes of
        floats, else the default float.
    key : Node, optional
        What `random_key` made, another one for each call by default. Draws of one key, distribution, dtype and
        shape are the same.
    like : array_like or Node, optional
        Has the shape to draw in place of `shape`; its values are not computed for it.

    Raises
    ------
    ArgumentError
        For both or none of `shape` and `like`, and a negative number as `stddev`.
    ShapeError
        Where `mean` or `stddev` does not broadcast to the shape.
    DtypeError
        For a dtype that is not drawn.
    """
    if _is_number(stddev) and not stddev >= 0:
        raise ArgumentError(f"stddev {stddev} is no standard deviation, which is 0 or more")
    draw = _draw(StandardNormal, shape, dtype, key, like, mean, stddev)
    return _affine(draw, stddev, mean)


@guarded
def random_uniform(
    shape: SupportsIndex | Sequence[SupportsIndex] | None = None,
    minval: NodeLike = 0.0,
    maxval: NodeLike = 1.0,
    dtype: DtypeLike = None,
    key: Node | None = None,
    like: NodeLike | None = None,
) -> Node:
    """Draw evenly from `minval` to `maxval`: () -> `shape`. Every run draws other numbers, gradients see the same.

    Parameters
    ----------
    shape : int or sequence of int, optional
        Known in full; for one that is known in the run alone, give a `like`.
    minval, maxval : array_like or Node
        What broadcasts to the shape; `maxval` is reached by rounding alone. Gradients flow into them, as the
        result is minval + (maxval - minval) * draw.
    dtype, key, like
        As for `random_normal`; the dtype that of `minval` and `maxval` by default.

    Raises
    ------
    ArgumentError
        For both or none of `shape` and `like`, and numbers where `minval` is more than `maxval`.
    ShapeError
        Where `minval` or `maxval` does not broadcast to the shape.
    DtypeError
        For a dtype that is not drawn.
    """
    if _is_number(minval) and _is_number(maxval) and not minval <= maxval:
        raise ArgumentError(f"minval {minval} is more than maxval {maxval}")
    draw = _draw(StandardUniform, shape, dtype, key, like, minval, maxval)
    if _is_number(minval) and _is_number(maxval):
        return _affine(draw, float(maxval) - float(minval), minval)
    return _affine(draw, subtract(_parameter(maxval, draw), _parameter(minval, draw)), minval)


@guarded
def random_bernoulli(
    shape: SupportsIndex | Sequence[SupportsIndex] | None = None,
    p: NodeLike = 0.5,
    dtype: DtypeLike = None,
    key: Node | None = None,
    like: NodeLike | None = None,
) -> Node:
    """Draw 1 with probability `p`, else 0: () -> `shape`. Every run draws others, gradients see the same.

    Parameters
    ----------
    shape : int or sequence of int, optional
        Known in full; for one that is known in the run alone, give a `like`.
    p : array_like or Node
        What broadcasts to the shape, from 0 to 1. No gradient flows into it.
    dtype
        Any; where not given that of `p`, if it is an array or node of floats, else the default float.
    key, like
        As for `random_normal`.

    Raises
    ------
    ArgumentError
        For both or none of `shape` and `like`, and a number `p` that is no probability.
    ShapeError
        Where `p` does not broadcast to the shape.
    """
    if _is_number(p) and not 0 <= p <= 1:
        raise ArgumentError(f"p {p} is no probability, from 0 to 1")
    chosen = _float_dtype(p) if dtype is None else as_dtype(dtype)
    # in float64 whatever the dtype, so that small probabilities are kept
    draw = _draw(StandardUniform, shape, np.float64, key, like, p)
    return cast(less(draw, float(p) if _is_number(p) else _parameter(p, draw)), chosen)


def _draw(
    draw_class: type[StandardDraw],
    shape: SupportsIndex | Sequence[SupportsIndex] | None,
    dtype: DtypeLike,
    key: Node | None,
    like: NodeLike | None,
    *parameters: NodeLike,
) -> Node:
    """Return standard draws, in the graph of the nodes among the arguments."""
    if isinstance(shape, Node) or (shape is None) == (like is None):
        raise ArgumentError("takes either a shape of known sizes or a like=x, in whose run-time shape it draws")
    static = None if shape is None else Shape(shape)
    if static is not None and not static.is_known:
        raise ShapeError(f"{static} is not known in full; give like=x, a node of that shape")
    chosen = _float_dtype(*parameters) if dtype is None else as_dtype(dtype)
    alike = () if like is None else (like,)
    if key is None:
        key = random_key(graph=graph_of(*alike, *parameters))
    return apply(draw_class(None if static is None else known_shape(static), chosen), key, *alike)


def _float_dtype(*parameters: NodeLike) -> np.dtype[Any]:
    """Return the dtype that arrays and nodes of floats among `parameters` have, or else the default float."""
    dtypes = [x.dtype for x in parameters if isinstance(x, Node | np.ndarray) and x.dtype.kind in "fc"]
    return promote_dtypes(*dtypes) if dtypes else get_default_dtype()


def _affine(draw: Node, scale: NodeLike, shift: NodeLike) -> Node:
    """Return scale * draw + shift in the dtype and shape of `draw`."""
    result = draw
    if not (_is_number(scale) and scale == 1):
        result = multiply(result, float(scale) if _is_number(scale) else _parameter(scale, draw))
    if not (_is_number(shift) and shift == 0):
        result = add(result, float(shift) if _is_number(shift) else _parameter(shift, draw))
    return result


def _parameter(value: NodeLike, draw: Node) -> Node:
    """Return `value` in the dtype and shape of `draw`."""
    node = value if isinstance(value, Node) else constant_in(draw.graph, to_array(value, draw.dtype))
    return broadcast_like(cast(node, draw.dtype), draw)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
