"""Values with a border around them: of a constant, or of what lies inside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

from opgraph.build import apply, as_node_fitting, graph_of, promote
from opgraph.convert import natural_array
from opgraph.declarations import OpInfo, Sample
from opgraph.doors import front_door_for, make_op
from opgraph.errors import ArgumentError, DtypeError, ShapeError, did_you_mean
from opgraph.node import Constant, Node, NodeLike
from opgraph.op import Array, Arrays, Cotangents, Nodes, Op, Rng, Specs
from opgraph.ops.index import GetItem, SetAt
from opgraph.ops.keys import Key, numpy_key
from opgraph.ops.reduce import reduce_sum
from opgraph.spec import Shape, wide_dtype

Paddings: TypeAlias = tuple[tuple[int, int], ...]
Border: TypeAlias = Literal["reflect", "symmetric", "edge"]


class Pad(Op, name="core.pad"):
    """Put a border of `constant_value`, a scalar, around `x`: so many before and after it along each axis."""

    inputs = ("x", "constant_value")
    paddings: Paddings

    def infer(self, ins: Specs) -> Specs:
        x, value = ins
        if value.ndims:
            raise ShapeError(f"constant_value is a scalar, not of shape {value.shape}")
        if value.dtype != x.dtype:
            raise DtypeError(f"constant_value is {value.dtype} where x is {x.dtype}; convert it first")
        return (x.with_shape(_padded(x.shape, self.paddings)),)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        (x, value), (y,) = ins, outs
        np.copyto(y, value)
        np.copyto(y[numpy_key(_inside(self.paddings), ())], x)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (g,), key = cotangents, _inside(self.paddings)
        border = None
        if not isinstance(ins[1], Constant):
            border = reduce_sum(apply(SetAt(key=key), g, np.zeros((), g.dtype)))
        return (apply(GetItem(key=key), g), border)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        value = rng.normal(size=())
        yield Sample((rng.normal(size=(2, 3)), value), {"paddings": ((1, 0), (0, 2))}, id="matrix")
        yield Sample((rng.normal(size=(3, 1)), value), {"paddings": ((0, 0), (2, 1))}, id="one")
        yield Sample((rng.normal(size=(0, 2)), value), {"paddings": ((1, 2), (0, 0))}, id="empty")
        yield Sample((rng.normal(size=()), value), {"paddings": ()}, id="scalar")
        yield Sample((rng.normal(size=(2, 3)), value), {"paddings": ((1, 0),)}, raises=ArgumentError, id="too few")
        yield Sample((rng.normal(size=(2,)), value), {"paddings": ((-1, 0),)}, raises=ArgumentError, id="negative")
        yield Sample((rng.normal(size=(2,)), value), {"paddings": ((0, 2**62),)}, raises=ShapeError, id="too large")
        yield Sample((rng.normal(size=(2,)),) * 2, {"paddings": ((1, 0),)}, raises=ShapeError, id="no scalar")


class PadBorder(Op, name="core._pad_border"):
    """Put a border around `x` that repeats what lies inside.

    "reflect" mirrors it at the outermost elements, "symmetric" at their outer sides, "edge" repeats them.
    """

    info = OpInfo(reference=lambda x, paddings, mode: np.pad(x, paddings or 0, mode), multilinear=(0,))
    paddings: Paddings
    mode: Border

    @classmethod
    def short_name(cls) -> str:
        return "pad"  # its front door

    def infer(self, ins: Specs) -> Specs:
        (x,) = ins
        shape = _padded(x.shape, self.paddings)
        _check_width(x.shape, self.paddings, self.mode)
        return (x.with_shape(shape),)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        (x,), (y,) = ins, outs
        np.copyto(y[numpy_key(_inside(self.paddings), ())], x)
        for border, source in _borders(y, self.paddings, self.mode):
            np.copyto(border, source)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (apply(FoldBorder(paddings=self.paddings, mode=self.mode), cotangents[0]),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        for mode in get_args(Border):
            yield Sample((rng.normal(size=(2, 3)),), {"paddings": ((1, 0), (1, 2)), "mode": mode}, id=mode)
            yield Sample((rng.normal(size=(4, 1)),), {"paddings": ((3, 2), (0, 0)), "mode": mode}, id=f"{mode} wide")
            yield Sample((rng.normal(size=(0, 2)),), {"paddings": ((0, 0), (1, 0)), "mode": mode}, id=f"{mode} empty")
        yield Sample((rng.normal(size=()),), {"paddings": (), "mode": "edge"}, id="scalar")
        yield Sample((rng.normal(size=(3,)),), {"paddings": ((3, 0),), "mode": "reflect"}, raises=ShapeError)
        yield Sample((rng.normal(size=(3,)),), {"paddings": ((0, 4),), "mode": "symmetric"}, raises=ShapeError)
        yield Sample((rng.normal(size=(0,)),), {"paddings": ((0, 1),), "mode": "edge"}, raises=ShapeError)
        yield Sample((rng.normal(size=(3,)),), {"paddings": ((-1, 0),), "mode": "edge"}, raises=ArgumentError)


class FoldBorder(Op, name="core._fold_border"):
    """Add the border of `x` to what it repeats, and take it away: the gradient of `PadBorder`."""

    info = OpInfo(multilinear=(0,))
    paddings: Paddings
    mode: Border

    def infer(self, ins: Specs) -> Specs:
        (x,) = ins
        _padded(x.shape, self.paddings)
        widths = [low + high for low, high in self.paddings]
        if any(n is not None and n < width for n, width in zip(x.shape, widths, strict=True)):
            raise ShapeError(f"{x.shape} is less than its border, {self.paddings}")
        shape = Shape([None if n is None else n - width for n, width in zip(x.shape, widths, strict=True)])
        _check_width(shape, self.paddings, self.mode)
        return (x.with_shape(shape),)

    def scratch(self, ins: Specs, outs: Specs) -> Specs:
        return (ins[0].with_dtype(wide_dtype(ins[0].dtype)),)

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        (x,), (y,), (work,) = ins, outs, scratch
        np.copyto(work, x)
        for border, source in reversed(list(_borders(work, self.paddings, self.mode))):
            if border.shape != source.shape:
                border = np.add.reduce(border, axis=_differing(border, source), dtype=border.dtype, keepdims=True)
            np.add(source, border, out=source)
        np.copyto(y, work[numpy_key(_inside(self.paddings), ())], casting="same_kind")

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (apply(PadBorder(paddings=self.paddings, mode=self.mode), cotangents[0]),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        for mode in get_args(Border):
            yield Sample((rng.normal(size=(3, 6)),), {"paddings": ((1, 0), (1, 2)), "mode": mode}, id=mode)
            yield Sample((rng.normal(size=(9, 1)),), {"paddings": ((3, 2), (0, 0)), "mode": mode}, id=f"{mode} wide")
            yield Sample((rng.normal(size=(0, 3)),), {"paddings": ((0, 0), (1, 0)), "mode": mode}, id=f"{mode} empty")
        yield Sample((rng.normal(size=(2,)),), {"paddings": ((1, 2),), "mode": "edge"}, raises=ShapeError)
        yield Sample((rng.normal(size=(5,)),), {"paddings": ((3, 0),), "mode": "reflect"}, raises=ShapeError)


def _padded(x: Shape, paddings: Paddings) -> Shape:
    if len(paddings) != len(x):
        raise ArgumentError(f"paddings {paddings} are for {len(paddings)} axes, and x has {len(x)}")
    if any(width < 0 for pair in paddings for width in pair):
        raise ArgumentError(f"paddings {paddings} cannot be negative; x[...] takes elements away")
    return Shape([None if n is None else n + sum(pair) for n, pair in zip(x, paddings, strict=True)])


def _check_width(x: Shape, paddings: Paddings, mode: Border) -> None:
    """Raise `ShapeError` where `x` has less to repeat than the border is wide."""
    for axis, (n, pair) in enumerate(zip(x, paddings, strict=True)):
        most = n if n is None or mode == "symmetric" else n - 1 if mode == "reflect" else n and max(pair)
        if most is not None and max(pair) > max(most, 0):
            raise ShapeError(f"{mode} cannot put {pair} around axis {axis} of size {n}: {max(most, 0)} at most")


def _inside(paddings: Paddings) -> Key:
    """Return the key of what the border surrounds."""
    return tuple((low, -high or None, None) for low, high in paddings)


def _borders(y: Array, paddings: Paddings, mode: Border) -> Iterator[tuple[Array, Array]]:
    """Yield parts of the border with what each repeats, as views.

    Axis by axis, along all of those done before; so that corners repeat what is there by then.
    """
    inside: list[Any] = list(numpy_key(_inside(paddings), ()))[:-1]
    for axis, (low, high) in enumerate(paddings):
        part = np.moveaxis(y[(*[slice(None)] * (axis + 1), *inside[axis + 1 :], ...)], axis, 0)
        end = len(part) - high
        skipped = 1 if mode == "reflect" else 0  # the outermost elements stand for themselves
        if low:
            last = low + skipped
            yield part[:low], part[low : low + 1] if mode == "edge" else part[last : last + low][::-1]
        if high:
            last = end - skipped
            yield part[end:], part[end - 1 : end] if mode == "edge" else part[last - high : last][::-1]


def _differing(x: Array, y: Array) -> tuple[int, ...]:
    return tuple(i for i, (m, n) in enumerate(zip(x.shape, y.shape, strict=True)) if m != n)


@front_door_for(Pad)
def pad(
    x: NodeLike,
    paddings: ArrayLike,
    constant_value: NodeLike = 0,
    mode: Literal["constant", "reflect", "symmetric", "edge"] = "constant",
) -> Node:
    """Put a border around `x`: (n, k), paddings [[1, 2], [0, 3]] -> (n + 3, k + 3).

    Parameters
    ----------
    x : array_like or Node
    paddings : int or array_like of int
        How many elements before and after `x` along each axis: (ndim, 2), or what broadcasts to it, so that one
        pair, or one number, holds for all axes.
    constant_value : scalar or Node
        What the border is made of in mode "constant". It is cast to the dtype of `x`.
    mode : {"constant", "reflect", "symmetric", "edge"}
        "reflect" mirrors `x` at its outermost elements, which do not come twice, "symmetric" at their outer
        sides, "edge" repeats them.

    Raises
    ------
    ArgumentError
        For negative paddings, or ones that do not fit the number of dimensions; for an unknown mode.
    ShapeError
        Where "reflect" or "symmetric" would need more elements than there are along an axis, or "edge" some
        where there are none; for unknown sizes, in the run.
    DtypeError
        Where `constant_value` would lose a fraction in the dtype of `x`.
    """
    graph = graph_of(x, constant_value)
    (node,) = promote(x, what="pad", graph=graph)
    if isinstance(constant_value, str):
        raise ArgumentError(f"constant_value is a number, not {constant_value!r}; write mode={constant_value!r}")
    modes = ("constant", *get_args(Border))
    if not isinstance(mode, str) or mode not in modes:
        raise ArgumentError(f"mode={mode!r} is none of {', '.join(modes)}" + did_you_mean(str(mode), modes))
    pairs = _pairs(paddings, node.ndim)
    if mode != "constant":
        return apply(make_op(PadBorder, paddings=pairs, mode=mode), node)
    if type(constant_value) is int and constant_value == 0:
        constant_value = np.zeros((), node.dtype)  # there is a 0 in every dtype, booleans too
    value = as_node_fitting(constant_value, node.dtype, graph)
    return apply(make_op(Pad, paddings=pairs), node, value)


def _pairs(paddings: ArrayLike, ndims: int) -> list[tuple[int, int]]:
    """Return `paddings` as a pair for each of `ndims` axes."""
    widths = natural_array(paddings)
    if widths.size and widths.dtype.kind not in "iu":
        raise DtypeError(f"paddings are integers, not {widths.dtype}")
    if not ndims and not widths.size:
        return []  # a scalar's paddings may be written so
    try:
        return [(int(low), int(high)) for low, high in np.broadcast_to(widths, (ndims, 2))]
    except ValueError:
        detail = f"paddings of shape {widths.shape} are no [{ndims}, 2] array, and do not broadcast to one"
        raise ArgumentError(detail) from None
