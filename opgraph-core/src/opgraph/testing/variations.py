"""Other inputs for an op, made of those of a sample; and what the kit needs to know of shapes."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import opgraph as og
from opgraph.testing.case import Case

Array: TypeAlias = NDArray[Any]
Arrays: TypeAlias = tuple[Array, ...]
Shapes: TypeAlias = tuple[tuple[Any, ...], ...]


def shapes_of(arrays: Sequence[Array]) -> Shapes:
    """Return the arrays' shapes."""
    return tuple(x.shape for x in arrays)


def dimensions(shapes: Shapes) -> list[tuple[int, int]]:
    """Return every dimension as the number of the input and the axis."""
    return [(i, axis) for i, shape in enumerate(shapes) for axis in range(len(shape))]


def with_sizes(shapes: Shapes, sizes: Mapping[tuple[int, int], int | None]) -> Shapes:
    """Return `shapes` with other sizes in some dimensions."""
    return tuple(tuple(sizes.get((i, axis), n) for axis, n in enumerate(shape)) for i, shape in enumerate(shapes))


def inferred(op: og.Op, shapes: Shapes, dtypes: Sequence[np.dtype[Any]]) -> og.Specs | None:
    """Return what `op` infers from inputs of these shapes and dtypes, None where it refuses them."""
    try:
        return op.infer(tuple(og.Spec(og.Shape(s), d) for s, d in zip(shapes, dtypes, strict=True)))
    except og.OpgraphError:
        return None


def dtypes_of(arrays: Sequence[Array]) -> list[np.dtype[Any]]:
    """Return the arrays' dtypes."""
    return [x.dtype for x in arrays]


def reshuffled(case: Case) -> Arrays:
    """Return other inputs of the same shapes: their elements in another order, and smaller if allowed."""
    rng = case.rng("other values")
    found = []
    for i, x in enumerate(case.inputs):
        # a copy, for NumPy will not permute a read-only array, even an empty one
        other = rng.permutation(x.flatten()).reshape(x.shape)
        low, high = case.domain(i)
        with np.errstate(all="ignore"):
            smaller = np.asarray(other * 0.875, x.dtype)
        if x.dtype.kind == "c" or (x.dtype.kind == "f" and ((low < smaller) & (smaller < high)).all()):
            other = smaller
        found.append(other)
    return tuple(found)


def grown(case: Case) -> Arrays | None:
    """Return inputs some of whose sizes are larger by one, filled with the same elements; None where none goes.

    Sizes that are equal grow together, for they may have to be.
    """
    shapes, dtypes = shapes_of(case.inputs), dtypes_of(case.inputs)
    sizes = sorted({n for shape in shapes for n in shape if n > 1})
    for chosen in (sizes, *([n] for n in sizes)):
        larger = tuple(tuple(n + (n in chosen) for n in shape) for shape in shapes)
        if larger != shapes and inferred(case.op, larger, dtypes) is not None:
            return tuple(resized(x, shape) for x, shape in zip(case.inputs, larger, strict=True))
    return None


def resized(x: Array, shape: tuple[int, ...]) -> Array:
    """Return the elements of `x`, from the front and again, in another shape; zeros where it has none."""
    return np.resize(x, shape).astype(x.dtype) if x.size else np.zeros(shape, x.dtype)


def whole(case: Case, least: tuple[int, ...] = ()) -> Arrays | None:
    """Return the inputs of an `Elementwise` op broadcast to one shape; None where that is empty.

    Where it has fewer dimensions than `least`, they are filled into that.
    """
    shape = np.broadcast_shapes(*shapes_of(case.inputs))
    if 0 in shape:
        return None
    if len(shape) < len(least):
        return tuple(resized(x, least) for x in case.inputs)
    return tuple(np.array(np.broadcast_to(x, shape)) for x in case.inputs)


def subsets_of_dimensions(shapes: Shapes, most: int = 8) -> Iterator[tuple[tuple[int, int], ...]]:
    """Yield the sets of dimensions to leave unknown: all; beyond `most`, singles, pairs, whole inputs, everything."""
    dims = dimensions(shapes)
    if len(dims) <= most:
        for n in range(1, len(dims) + 1):
            yield from itertools.combinations(dims, n)
        return
    yield from itertools.combinations(dims, 1)
    yield from itertools.combinations(dims, 2)
    for i in range(len(shapes)):
        yield tuple(dim for dim in dims if dim[0] == i)
    yield tuple(dims)


def rounded_otherwise(rng: np.random.Generator, arrays: Sequence[Array]) -> Arrays:
    """Return floats moved by up to two units in their last place, and all else as it is."""
    return tuple(
        np.asarray(x * (1 + np.finfo(x.dtype).eps * rng.integers(-2, 3, x.shape)), x.dtype)
        if x.dtype.kind in "fc"
        else x
        for x in arrays
    )
