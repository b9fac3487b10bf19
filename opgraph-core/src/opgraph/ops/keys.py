"""What stands between brackets in ``x[...]``: its form as an op's attribute, and the elements that it picks."""

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from opgraph.convert import natural_array
from opgraph.errors import ArgumentError, DtypeError, ShapeError
from opgraph.node import Constant, Node
from opgraph.op import Array
from opgraph.spec import Dim, Shape, broadcast_shapes

# plain values, since attributes are hashed and saved: an int, None for a new dimension, a slice's three bounds,
# "..." for the rest, and "array" for what an input holds
Bounds: TypeAlias = tuple[int | None, int | None, int | None]
Part: TypeAlias = int | Literal["...", "array"] | Bounds | None
Key: TypeAlias = tuple[Part, ...]

WHOLE: Bounds = (None, None, None)


class Parsed(NamedTuple):
    """What a user wrote between brackets.

    Attributes
    ----------
    key
        As plain values.
    indices
        The index arrays.
    masked
        For each index array that came of a mask the mask's size there, which the dimension must have; else None.
    """

    key: Key
    indices: list[Node | Array]
    masked: list[int | None]


def parse_key(key: Any) -> Parsed:
    """Return what a user wrote between brackets as plain values, and the index arrays apart.

    A mask that is known now is, as in NumPy, an index array for each of its dimensions.

    Raises
    ------
    DtypeError
        For booleans whose number depends on data, and for what is no index.
    ArgumentError
        For a step of 0, and a second ``...``.
    """
    parts: list[Part] = []
    arrays: list[Node | Array] = []
    masked: list[int | None] = []
    for item in key if isinstance(key, tuple) else (key,):
        part = _parsed(item)
        if isinstance(part, np.ndarray) and part.dtype.kind == "b":
            arrays += part.nonzero()
            masked += part.shape
            parts += ["array"] * part.ndim
        elif isinstance(part, Node | np.ndarray):
            arrays.append(part)
            masked.append(None)
            parts.append("array")
        else:
            parts.append(part)
    _check_form(parts)
    return Parsed(tuple(parts), arrays, masked)


def _parsed(item: Any) -> Part | Node | Array:
    match item:
        case None:
            return None
        case EllipsisType():
            return "..."
        case slice():
            return (_bound(item.start), _bound(item.stop), _bound(item.step))
        case Constant() if item.dtype.kind == "b" and item.ndim:
            return item.value
        case Node():
            check_integer(item.dtype)
            return item
        case int() if not isinstance(item, bool):
            return int(item)
    array = natural_array(item)
    if not array.size and not isinstance(item, np.ndarray):
        array = array.astype(np.intp)  # an empty list has no dtype of its own
    if array.dtype.kind == "b":
        if not array.ndim:
            raise DtypeError(f"{bool(array)} is no index; x[None] adds a dimension")
        return array
    check_integer(array.dtype)
    return array if array.ndim else int(array)


def _bound(value: Any) -> int | None:
    if isinstance(value, Node):
        raise DtypeError(
            "a slice's bounds are plain integers, since its size would depend on data; "
            "og.gather takes a node: og.gather(x, start + np.arange(size))"
        )
    if value is None:
        return None
    try:
        if isinstance(value, bool | np.bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise DtypeError(f"a slice's bounds are integers or None, not {value!r}") from None


def check_integer(dtype: np.dtype[Any]) -> None:
    """Raise `DtypeError` unless `dtype` is one of integers, which alone serve as indices."""
    if dtype.kind == "b":
        raise DtypeError(
            "how many elements a boolean node picks depends on data; keep the shape and "
            "use og.where(mask, x, 0), or multiply by the mask"
        )
    if dtype.kind not in "iu":
        raise DtypeError(f"an index is an integer, not {dtype}; convert it first, with .astype(np.int64)")


def _check_form(parts: Sequence[Part]) -> None:
    if parts.count("...") > 1:
        raise ArgumentError("a key has one '...' at most")
    if any(isinstance(part, tuple) and part[2] == 0 for part in parts):
        raise ArgumentError("a slice's step cannot be 0")


def numpy_key(key: Key, indices: Sequence[Array]) -> tuple[Any, ...]:
    """Return `key` as NumPy takes it, such that it picks an array and never a scalar."""
    arrays = iter(indices)
    parts: list[Any] = [
        slice(*p) if isinstance(p, tuple) else ... if p == "..." else next(arrays) if p == "array" else p for p in key
    ]
    return tuple(parts) if "..." in key else (*parts, ...)


@dataclass(frozen=True)
class Layout:
    """How a key picks from a shape, by NumPy's rules.

    Attributes
    ----------
    parts
        The key's, with the dimension that each one takes, and a whole slice for each one that none does.
    shape
        That of what is picked.
    lead, depth
        Where in it the dimensions of the index arrays stand, and how many they are.
    """

    parts: tuple[tuple[Part, int], ...]
    shape: Shape
    lead: int
    depth: int

    def array_axes(self) -> Iterator[int]:
        """Yield the dimension that each index array takes."""
        return (axis for part, axis in self.parts if part == "array")

    def trailing(self, index: Array) -> Array:
        """Return what has the index arrays' shape such that it broadcasts against what is picked."""
        return index.reshape(index.shape + (1,) * (len(self.shape) - self.lead - self.depth))


def layout_of(key: Key, x: Shape, indices: Sequence[Shape]) -> Layout:
    """Return how `key`, with index arrays of shapes `indices`, picks from a value of shape `x`.

    Where all index arrays stand side by side, their dimensions take their place; else they come first. An
    integer among arrays counts as one.

    Raises
    ------
    ArgumentError
        For too many indices, and for an integer that is out of range.
    ShapeError
        Where the index arrays do not broadcast.
    """
    _check_form(key)
    if key.count("array") != len(indices):
        raise ArgumentError(f"the key {key} wants {key.count('array')} index arrays, not {len(indices)}")
    parts = tuple(_with_axes(key, len(x)))
    arrays = broadcast_shapes(*indices)
    fancy = [at for at, (part, _) in enumerate(parts) if part == "array" or isinstance(part, int)] if indices else []
    apart = bool(fancy) and fancy[-1] - fancy[0] >= len(fancy)
    dims: list[Dim] = []
    lead = 0
    for at, (part, axis) in enumerate(parts):
        if fancy and at == fancy[0] and not apart:
            lead = len(dims)
        if part is None:
            dims.append(1)
        elif isinstance(part, tuple):
            dims.append(_sliced(x[axis], part))
        elif isinstance(part, int):
            _check_range(part, axis, x[axis])
    return Layout(parts, Shape([*dims[:lead], *arrays, *dims[lead:]]), lead, len(arrays))


def _with_axes(key: Key, ndims: int) -> Iterator[tuple[Part, int]]:
    """Yield the parts of `key` with the dimension that each takes, whole slices where ``...`` stands."""
    taken = sum(part is not None and part != "..." for part in key)
    if taken > ndims:
        raise ArgumentError(f"{taken} indices are too many for {ndims} dimension{'s' * (ndims != 1)}")
    axis = 0
    for part in key if "..." in key else (*key, "..."):
        yield part, axis
        if part == "...":  # stays, for it separates index arrays even where it stands for nothing
            for _ in range(ndims - taken):
                yield WHOLE, axis
                axis += 1
        elif part is not None:
            axis += 1


def _sliced(size: Dim, bounds: Bounds) -> Dim:
    """Return how many of `size` elements a slice picks; of an unknown number, 0 where it never picks any."""
    if size is not None:
        return len(range(*slice(*bounds).indices(size)))
    start, stop, step = bounds[0], bounds[1], 1 if bounds[2] is None else bounds[2]
    if stop is None:
        return None
    if stop == (0 if step > 0 else -1):
        return 0
    alike = start is not None and (start < 0) == (stop < 0)
    return 0 if alike and start is not None and (start >= stop if step > 0 else start <= stop) else None


def check_indices(layout: Layout, x: Shape, indices: Sequence[Node | Array]) -> None:
    """Raise `ArgumentError` where an index array that is at hand leaves its dimension of `x`."""
    for index, axis in zip(indices, layout.array_axes(), strict=True):
        values = index.value if isinstance(index, Constant) else index
        if isinstance(values, np.ndarray) and values.size:
            _check_range(int(values.min()), axis, x[axis])
            _check_range(int(values.max()), axis, x[axis])


def check_masks(layout: Layout, x: Shape, masked: Sequence[int | None]) -> None:
    """Raise `ShapeError` where a mask has not the size of the dimension of `x` that it picks from."""
    for size, axis in zip(masked, layout.array_axes(), strict=True):
        if size is not None and x[axis] is None:
            raise ShapeError(
                f"a mask of size {size} does not pick from axis {axis}, whose size is unknown; "
                "give the positions instead, with numpy.flatnonzero(mask)"
            )
        if size is not None and size != x[axis]:
            raise ShapeError(f"a mask of size {size} does not pick from axis {axis} with size {x[axis]}")


def _check_range(index: int, axis: int, size: Dim) -> None:
    if size is not None and not -size <= index < size:
        raise ArgumentError(f"index {index} is out of range for axis {axis} with size {size}")


def fill_positions(layout: Layout, x: tuple[int, ...], indices: Sequence[Array], positions: Array) -> None:
    """Put into `positions` where in the flat value of shape `x` each element stands that is picked."""
    strides = _strides(x)
    positions[...] = layout.trailing(_array_positions(layout, x, indices))
    dim = 0
    for part, axis in layout.parts:
        if isinstance(part, int):
            positions += part % x[axis] * strides[axis]
        elif part is None or isinstance(part, tuple):
            dim += layout.depth if dim == layout.lead else 0
            if part is not None:
                along = np.arange(*slice(*part).indices(x[axis])) * strides[axis]
                positions += along.reshape(-1, *(1,) * (positions.ndim - dim - 1))
            dim += 1


def last_writers(layout: Layout, x: tuple[int, ...], indices: Sequence[Array]) -> Array:
    """Return which elements of the index arrays, broadcast, are the last ones to pick what they pick."""
    positions = _array_positions(layout, x, indices)
    last = np.zeros(positions.size, np.bool)
    _, found = np.unique(positions.reshape(-1)[::-1], return_index=True)
    last[positions.size - 1 - found] = True
    return last.reshape(positions.shape)


def _array_positions(layout: Layout, x: tuple[int, ...], indices: Sequence[Array]) -> Array:
    """Return how far the index arrays alone, broadcast, lead into the flat value of shape `x`."""
    strides = _strides(x)
    positions = np.zeros(np.broadcast_shapes(*[index.shape for index in indices]), np.intp)
    for index, axis in zip(indices, layout.array_axes(), strict=True):
        # negative ones count from the end
        positions += np.remainder(index, x[axis], dtype=np.intp, casting="same_kind") * strides[axis]
    return positions


def _strides(x: tuple[int, ...]) -> list[int]:
    """Return how many elements further the next one along each dimension stands, in row-major order."""
    strides = [1]
    for size in reversed(x[1:]):
        strides.append(strides[-1] * size)
    return strides[::-1]
