"""Values made from little: ranges, identity matrices, values in the shape of another, one-hot codes."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any, SupportsIndex

import numpy as np

from opgraph.ambient import get_default_graph
from opgraph.build import apply, as_node, graph_of
from opgraph.convert import natural_array, to_array
from opgraph.declarations import OpInfo, Sample
from opgraph.doors import front_door_for, make_op
from opgraph.errors import ArgumentError, DtypeError
from opgraph.graph import constant_in
from opgraph.node import Constant, Node, NodeLike
from opgraph.op import Array, Arrays, Cotangents, Nodes, Op, Rng, Specs
from opgraph.ops.like import broadcast_like
from opgraph.signatures import guarded
from opgraph.spec import DtypeLike, Spec, as_dtype, beyond_memory, get_default_dtype, normalize_axis


def _numpy_one_hot(indices: Array, *, depth: int, dtype: np.dtype[Any], axis: int) -> Array:
    return np.moveaxis(np.eye(depth, dtype=dtype)[indices], -1, axis)


class OneHot(Op, name="core.one_hot"):
    """Code integers from 0 to depth - 1 as vectors of zeros with a 1 there, which stand along `axis`."""

    inputs = ("indices",)
    info = OpInfo(reference=_numpy_one_hot)
    depth: int
    dtype: np.dtype = np.dtype(np.float32)
    axis: int = -1

    def infer(self, ins: Specs) -> Specs:
        (indices,) = ins
        if indices.dtype.kind not in "iu":
            raise DtypeError(f"indices are integers, not {indices.dtype}; use .astype(np.int64)")
        if self.depth < 0:
            raise ArgumentError(f"depth {self.depth} is negative")
        axis = normalize_axis(self.axis, indices.ndims + 1)
        return (Spec((*indices.shape[:axis], self.depth, *indices.shape[axis:]), self.dtype),)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        (indices,), (codes,) = ins, outs
        _check_range(indices, self.depth)
        codes.fill(0)
        if codes.size:
            np.put_along_axis(codes, np.expand_dims(indices, self.axis), 1, self.axis)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (None,)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        attrs = {"depth": 4, "dtype": np.float64, "axis": -1}
        yield Sample((rng.integers(4, size=(2, 3)),), attrs, id="last axis")
        yield Sample((rng.integers(4, size=(2, 3), dtype=np.uint8),), {**attrs, "axis": 0}, id="first axis")
        yield Sample((rng.integers(4, size=(2, 1)),), {**attrs, "axis": -2}, id="middle axis")
        yield Sample((np.int32(3),), {**attrs, "dtype": np.bool}, id="scalar")
        yield Sample((rng.integers(4, size=(3, 1)),), attrs, id="size 1")
        yield Sample((rng.integers(4, size=(0, 3)),), attrs, id="empty")
        yield Sample((rng.normal(size=(2, 3)),), attrs, raises=DtypeError, id="floats")
        yield Sample((rng.integers(4, size=(2, 3)),), {**attrs, "axis": 3}, raises=ArgumentError, id="axis")
        yield Sample((rng.integers(4, size=(2, 3)),), {**attrs, "depth": -1}, raises=ArgumentError, id="depth")


def _check_range(indices: Array, depth: int) -> None:
    wrong = (indices < 0) | (indices >= depth)
    if wrong.any():
        at = np.unravel_index(np.argmax(wrong), indices.shape)
        where = f" at {tuple(map(int, at))}" if at else ""
        raise ArgumentError(f"index {indices[at]}{where} is not in 0 … {depth - 1}, as depth {depth} wants")


@front_door_for(OneHot)
def one_hot(indices: NodeLike, depth: int, dtype: DtypeLike = None, axis: SupportsIndex = -1) -> Node:
    """Code integers as vectors of zeros with a 1 at their place: (…) -> (…, depth).

    Parameters
    ----------
    indices : array_like or Node of integers, (…)
        From 0 to depth - 1; Python numbers are integers here.
    depth : int
    dtype
        The default float where not given.
    axis : int
        Along which axis of the result the vectors stand.

    Raises
    ------
    ArgumentError
        For an index out of range, in the run where it is not known before, and an `axis` out of range.
    DtypeError
        For indices that are no integers.
    """
    chosen = get_default_dtype() if dtype is None else dtype
    op = make_op(OneHot, depth=depth, dtype=chosen, axis=axis)
    node = indices if isinstance(indices, Node) else as_node(natural_array(indices))
    if isinstance(node, Constant) and node.dtype.kind in "iu":
        _check_range(node.value, op.depth)
    return apply(op, node)


@guarded
def zeros_like(x: NodeLike, dtype: DtypeLike = None) -> Node:
    """Return zeros in the run-time shape of `x`, whose values are not computed for it.

    Parameters
    ----------
    dtype
        That of `x` where not given.
    """
    like = as_node(x)
    return _filled(np.zeros((), like.dtype if dtype is None else as_dtype(dtype)), like)


@guarded
def ones_like(x: NodeLike, dtype: DtypeLike = None) -> Node:
    """Return ones in the run-time shape of `x`, whose values are not computed for it.

    Parameters
    ----------
    dtype
        That of `x` where not given.
    """
    like = as_node(x)
    return _filled(np.ones((), like.dtype if dtype is None else as_dtype(dtype)), like)


@guarded
def full_like(x: NodeLike, value: NodeLike, dtype: DtypeLike = None) -> Node:
    """Return `value` in the run-time shape of `x`, whose values are not computed for it.

    Parameters
    ----------
    value : array_like or Node
        A scalar, or what else broadcasts to the shape of `x`; gradients flow into it, and none into `x`.
    dtype
        That of `x` where not given.

    Raises
    ------
    ShapeError
        Where `value` does not broadcast to the shape of `x`.
    DtypeError
        Where a number does not go into the dtype.
    """
    graph = graph_of(x, value)
    like = x if isinstance(x, Node) else constant_in(graph, to_array(x))
    chosen = like.dtype if dtype is None else as_dtype(dtype)
    node = value.astype(chosen) if isinstance(value, Node) else constant_in(graph, to_array(value, chosen))
    return broadcast_like(node, like)


def _filled(value: Array, like: Node) -> Node:
    return broadcast_like(constant_in(like.graph, value), like)


@guarded
def arange(start: float, stop: float | None = None, step: float = 1, dtype: DtypeLike = None) -> Constant:
    """Return the numbers from `start` to before `stop`, `step` apart, as a constant: () -> (n,).

    Parameters
    ----------
    start, stop, step : number
        With one of them, from 0 to before that.
    dtype
        Where not given, int64 if all are integers, else the default float. Floats are computed in float64.

    Raises
    ------
    ArgumentError
        For what is no finite real number, and a `step` of 0.
    DtypeError
        Where fractions should go into an integer dtype.
    """
    first, last = (0, start) if stop is None else (start, stop)
    bounds = [_number(first, "start"), _number(last, "stop"), _number(step, "step")]
    if bounds[2] == 0:
        raise ArgumentError("step is 0")
    integral = all(isinstance(n, int) for n in bounds)
    try:
        values = np.arange(*bounds, dtype=np.int64 if integral else np.float64)
    except (ValueError, OverflowError, MemoryError) as error:
        raise ArgumentError(f"from {first} to {last} in steps of {step}: {error}") from None
    default = np.dtype(np.int64) if integral else get_default_dtype()
    return _constant(values, default if dtype is None else as_dtype(dtype))


@guarded
def linspace(
    start: float, stop: float, num: SupportsIndex = 50, endpoint: bool = True, dtype: DtypeLike = None
) -> Constant:
    """Return `num` numbers from `start` to `stop` at equal distances, as a constant: () -> (num,).

    Parameters
    ----------
    start, stop : number
    num : int
    endpoint : bool
        Whether `stop` is the last of them, or the one after the last.
    dtype
        The default float where not given; computed in float64.

    Raises
    ------
    ArgumentError
        For what is no finite real number, and a negative `num`.
    DtypeError
        For an integer dtype.
    """
    first, last, count = _float(start, "start"), _float(stop, "stop"), _size(num, "num")
    values = _made(Spec((count,), np.float64), lambda: np.linspace(first, last, count, endpoint))
    return _constant(values, get_default_dtype() if dtype is None else as_dtype(dtype))


@guarded
def eye(n: SupportsIndex, m: SupportsIndex | None = None, k: SupportsIndex = 0, dtype: DtypeLike = None) -> Constant:
    """Return an n by m matrix with ones on its diagonal `k`, zeros elsewhere, as a constant: () -> (n, m).

    Parameters
    ----------
    n, m : int
        Rows and columns; as many of these as of those by default.
    k : int
        The ones stand at [i, i + k].
    dtype
        The default float where not given.

    Raises
    ------
    ArgumentError
        For negative sizes, and what is no integer.
    """
    rows = _size(n, "n")
    columns = rows if m is None else _size(m, "m")
    chosen = get_default_dtype() if dtype is None else as_dtype(dtype)
    offset = max(-rows, min(_integer(k, "k"), columns))
    values = _made(Spec((rows, columns), chosen), lambda: np.eye(rows, columns, offset, dtype=chosen))
    return _constant(values, chosen)


def _constant(values: Array, dtype: np.dtype[Any]) -> Constant:
    return constant_in(get_default_graph(), to_array(values, dtype))


def _made(spec: Spec, make: Callable[[], Array]) -> Array:
    """Return what `make` makes, an array of `spec`; raise `ArgumentError` where there is no memory for it."""
    try:
        return make()
    except MemoryError:
        raise ArgumentError(beyond_memory(spec)) from None


def _number(value: object, what: str) -> int | float:
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, float | np.floating) and np.isfinite(value):
        return float(value)
    raise ArgumentError(f"{what} is a finite real number, known when the graph is built, not {value!r}")


def _float(value: object, what: str) -> float:
    try:
        return float(_number(value, what))
    except OverflowError:
        raise ArgumentError(f"{what} is more than a float can hold") from None


def _integer(value: object, what: str) -> int:
    try:
        return operator.index(value)  # type: ignore[arg-type]  # it tells
    except TypeError:
        raise ArgumentError(f"{what} is an integer, known when the graph is built, not {value!r}") from None


def _size(value: object, what: str) -> int:
    size = _integer(value, what)
    if size < 0:
        raise ArgumentError(f"{what} is no size: {size} is negative")
    return size
