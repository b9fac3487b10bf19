"""What is known of a value before it is computed: its static shape and its dtype."""

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, SupportsIndex, TypeAlias, overload

import numpy as np

from opgraph.errors import ArgumentError, DtypeError, ShapeError

Dim: TypeAlias = int | None
ShapeLike: TypeAlias = Iterable[SupportsIndex | None]
DtypeLike: TypeAlias = Any
Axes: TypeAlias = SupportsIndex | Sequence[SupportsIndex] | None

MAX_NDIMS = 64  # NumPy's NPY_MAXDIMS, which it does not export
MAX_SIZE = MAX_NBYTES = int(np.iinfo(np.intp).max)


class Shape(tuple[Dim, ...]):
    """A static shape: a tuple of sizes, ``None`` where a size is unknown until run time.

    ``Shape(None, 3)`` and ``Shape((None, 3))`` are the same; equal to the plain tuple ``(None, 3)``.

    Raises
    ------
    ShapeError
        For a size that is negative or no integer.
    """

    __slots__ = ()

    def __new__(cls, *dims: ShapeLike | SupportsIndex | None) -> "Shape":
        if len(dims) == 1 and isinstance(dims[0], Iterable):
            if type(dims[0]) is Shape:
                return dims[0]
            sizes = unwrapped(dims[0])
            dims = tuple(sizes) if isinstance(sizes, Iterable) else (sizes,)
        return super().__new__(cls, map(_size, dims))

    @property
    def ndims(self) -> int:
        """The number of dimensions, which is always known."""
        return len(self)

    @property
    def ndim(self) -> int:
        """The number of dimensions, by NumPy's name."""
        return len(self)

    @property
    def is_known(self) -> bool:
        """Whether every size is known."""
        return None not in self

    @property
    def size(self) -> int | None:
        """The number of elements, ``None`` where a size is unknown."""
        known = [n for n in self if n is not None]
        return math.prod(known) if len(known) == len(self) else None

    def compatible_with(self, other: ShapeLike) -> bool:
        """Whether one array could have both shapes."""
        other = Shape(other)
        return len(self) == len(other) and all(
            m is None or n is None or m == n for m, n in zip(self, other, strict=True)
        )

    def __repr__(self) -> str:
        return f"Shape({', '.join(map(str, self))})"

    def __str__(self) -> str:
        return str(tuple(self))

    @overload
    def __getitem__(self, key: SupportsIndex) -> Dim: ...
    @overload
    def __getitem__(self, key: slice) -> "Shape": ...
    def __getitem__(self, key: SupportsIndex | slice) -> "Dim | Shape":
        part = super().__getitem__(key)
        return _trusted(part) if isinstance(part, tuple) else part

    def __add__(self, other: tuple[Any, ...]) -> "Shape":
        return Shape(tuple(self) + tuple(other))

    def __radd__(self, other: tuple[Any, ...]) -> "Shape":
        return Shape(tuple(other) + tuple(self))

    def __getnewargs__(self) -> tuple[tuple[Dim, ...]]:
        return (tuple(self),)


def _size(dim: Any) -> Dim:
    if dim is None or (type(dim) is int and 0 <= dim <= MAX_SIZE):
        return dim
    if isinstance(dim, bool | np.bool):
        raise ShapeError(f"a size is an integer or None, not {dim!r}")
    try:
        size = operator.index(dim)
    except TypeError:
        raise ShapeError(f"a size is an integer or None, not {dim!r}") from None
    if size < 0:
        raise ShapeError(f"a size cannot be negative, not even {size}; write None for an unknown one")
    if size > MAX_SIZE:
        raise ShapeError(f"size {size} is more than an array can have")
    return size


def _trusted(dims: Iterable[Dim]) -> Shape:
    return tuple.__new__(Shape, dims)


class _SpecFields(NamedTuple):
    shape: Shape
    dtype: np.dtype[Any]


class Spec(_SpecFields):
    """A static shape with a dtype; prints as ``(None, 3) float32``.

    Raises
    ------
    ShapeError, DtypeError
        For what is no shape, or no dtype of numbers; for more dimensions or bytes than an array can have.
    """

    __slots__ = ()

    def __new__(cls, shape: ShapeLike, dtype: DtypeLike) -> "Spec":
        if type(shape) is not Shape:
            shape = Shape(shape)
        if not isinstance(dtype, np.dtype) or dtype.kind not in "biufc":
            dtype = as_dtype(dtype)
        if len(shape) > MAX_NDIMS:
            raise ShapeError(f"{len(shape)} dimensions are more than the {MAX_NDIMS} that an array can have")
        # as NumPy counts: an empty dimension does not make up for the others
        if math.prod([n for n in shape if n]) * dtype.itemsize > MAX_NBYTES:
            raise ShapeError(f"{shape} {dtype} is more than an array can hold")
        return super().__new__(cls, shape, dtype)

    def __repr__(self) -> str:
        return f"{self.shape} {self.dtype}"

    @property
    def ndims(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def ndim(self) -> int:
        """The number of dimensions, by NumPy's name."""
        return len(self.shape)

    @property
    def nbytes(self) -> int | None:
        """The bytes that a value takes, ``None`` where a size is unknown."""
        size = self.shape.size
        return None if size is None else size * self.dtype.itemsize

    def with_shape(self, shape: ShapeLike) -> "Spec":
        """Return the same dtype in another shape."""
        return Spec(Shape(shape), self.dtype)

    def with_dtype(self, dtype: DtypeLike) -> "Spec":
        """Return the same shape in another dtype."""
        return Spec(self.shape, as_dtype(dtype))

    def admits(self, other: "Spec") -> bool:
        """Whether a value that `other` describes may be one that this describes."""
        return self.dtype == other.dtype and self.shape.compatible_with(other.shape)


def known_shape(shape: Shape) -> tuple[int, ...]:
    """Return `shape` as a plain tuple of ints; raise `ShapeError` where a size is unknown."""
    known = tuple(n for n in shape if n is not None)
    if len(known) < len(shape):
        raise ShapeError(f"{shape} is not known in full")
    return known


def spec_of(value: Any) -> Spec:
    """Return the spec of anything that has a shape and a dtype: an array, a scalar, a node."""
    return Spec(Shape(value.shape), value.dtype)


def broadcast_shapes(*shapes: Shape) -> Shape:
    """Return the shape to which all `shapes` broadcast, by NumPy's rules.

    Next to an unknown size, 1 leaves it unknown and any other size decides it: an unknown size may
    turn out to be 1.

    Raises
    ------
    ShapeError
        Where two known sizes differ and neither is 1.
    """
    if shapes and all(s is shapes[0] or s == shapes[0] for s in shapes):
        return shapes[0]
    ndims = max((len(s) for s in shapes), default=0)
    result: list[Dim] = []
    for axis in range(-ndims, 0):
        sizes = {s[axis] for s in shapes if len(s) >= -axis} - {1}
        known = sizes - {None}
        if len(known) > 1:
            raise ShapeError(f"{' and '.join(map(str, shapes))} do not broadcast: axis {axis} differs")
        result.append(known.pop() if known else None if sizes else 1)
    return _trusted(result)


def check_broadcasts(small: Shape, large: Shape) -> None:
    """Raise `ShapeError` unless a value of shape `small` may broadcast to the shape `large` as it is."""
    lead = len(large) - len(small)
    if lead < 0 or any(m not in (1, None, n) and n is not None for m, n in zip(small, large[lead:], strict=True)):
        raise ShapeError(f"{small} does not broadcast to {large}")


def merge_shapes(*shapes: Shape) -> Shape:
    """Return what is known of a value that has all of `shapes`, of which there is at least one.

    Raises
    ------
    ShapeError
        Where two of them differ.
    """
    merged = shapes[0]
    for shape in shapes[1:]:
        if shape is not merged and shape != merged:
            if not shape.compatible_with(merged):
                raise ShapeError(f"{merged} and {shape} differ")
            merged = _trusted(m if n is None else n for m, n in zip(merged, shape, strict=True))
    return merged


def normalize_axis(axis: SupportsIndex, ndims: int, what: str = "axis") -> int:
    """Return `axis` counted from the front; raise `ArgumentError` where it is out of range."""
    try:
        index = operator.index(axis)
    except TypeError:
        raise ArgumentError(f"{what} is an integer, not {axis!r}") from None
    if not -ndims <= index < ndims:
        raise ArgumentError(f"{what} {index} is out of range for {ndims} dimensions")
    return index % ndims


def normalize_axes(axes: Axes, ndims: int, what: str = "axis") -> tuple[int, ...]:
    """Return `axes` as a sorted tuple counted from the front; ``None`` means all of them.

    Parameters
    ----------
    axes
        One or several, negative ones counted from the back.
    ndims
        How many dimensions there are.
    what
        What a message calls them.

    Raises
    ------
    ArgumentError
        Where one is out of range or stands there twice.
    """
    if axes is None:
        return tuple(range(ndims))
    result = sorted(normalize_axis(a, ndims, what) for a in listed_axes(axes))
    if len(set(result)) < len(result):
        raise ArgumentError(f"{what} {axes!r} names a dimension twice")
    return tuple(result)


def listed_axes(axes: SupportsIndex | Iterable[SupportsIndex]) -> tuple[SupportsIndex, ...]:
    """Return one axis or several as a tuple, unchecked: what an op's attribute takes."""
    axes = unwrapped(axes)
    return tuple(axes) if isinstance(axes, Iterable) else (axes,)


def unwrapped(value: Any) -> Any:
    """Return the scalar in an array without dimensions, which only seems iterable; anything else as it is."""
    return value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value


def reduced_shape(shape: Shape, axes: tuple[int, ...], keepdims: bool = False) -> Shape:
    """Return `shape` after a reduction over `axes`.

    Parameters
    ----------
    shape
        Of the input, with or without unknown sizes.
    axes
        As `normalize_axes` returns them: counted from the front. ``None`` and negative ones are for that to resolve.
    keepdims
        Whether `axes` stay, with size 1.
    """
    if keepdims:
        return _trusted(1 if i in axes else n for i, n in enumerate(shape))
    return _trusted(n for i, n in enumerate(shape) if i not in axes)


_default_dtype: np.dtype[Any] = np.dtype(np.float32)


def set_default_dtype(dtype: DtypeLike) -> None:
    """Set the dtype that Python numbers and lists take, in the whole process.

    Raises
    ------
    DtypeError
        Where `dtype` is no floating-point one.
    """
    global _default_dtype
    chosen = as_dtype(dtype)
    if chosen.kind != "f":
        raise DtypeError(f"set_default_dtype: {chosen} is no floating-point dtype")
    _default_dtype = chosen


def get_default_dtype() -> np.dtype[Any]:
    """Return the dtype that Python numbers and lists take: ``float32`` unless set otherwise."""
    return _default_dtype


def as_dtype(dtype: DtypeLike) -> np.dtype[Any]:
    """Return a boolean, integer, floating or complex dtype in the machine's byte order.

    Raises
    ------
    DtypeError
        For anything else: strings, objects, dates, records; and for ``None``.
    """
    if dtype is None:
        raise DtypeError("a dtype is needed, not None")
    try:
        result: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        raise DtypeError(f"{dtype!r} is no dtype") from None
    if result.kind not in "biufc":
        raise DtypeError(f"values are booleans, integers, floats or complex numbers, not {result}")
    return result if result.isnative else result.newbyteorder("=")  # another object, where one would do


def how_to_convert(dtype: np.dtype[Any], wanted: np.dtype[Any]) -> str:
    """Return what a message says to do about a value of `dtype` that does not go into `wanted`."""
    if dtype.kind == "c" and wanted.kind != "c":
        return "take its real part first, with og.real"
    return f"convert it first, with .astype({str(wanted)!r})"


def is_differentiable(dtype: np.dtype[Any]) -> bool:
    """Whether values of `dtype` have gradients: floating-point and complex ones do."""
    return dtype.kind in "fc"


def real_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of the parts of a complex one; any other as it is."""
    return np.dtype(f"f{dtype.itemsize // 2}") if dtype.kind == "c" else dtype


def wide_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype to compute in: float32 for float16, which ends at 65504, else `dtype`."""
    return np.dtype(np.float32) if dtype == np.float16 else dtype


def beyond_memory(spec: Spec) -> str:
    """Return what an error says of a value that there is no memory for."""
    return f"{spec} takes {spec.nbytes} bytes, more memory than there is"


def total_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of sums and products of `dtype`, as in NumPy: 64 bits for booleans and smaller integers."""
    return np.dtype({"b": np.int64, "i": np.int64, "u": np.uint64}.get(dtype.kind, dtype))


def widened(spec: Spec) -> tuple[Spec, ...]:
    """Return the work space in which to accumulate `spec` where its own dtype is too narrow for that, else none."""
    wide = wide_dtype(spec.dtype)
    return () if wide == spec.dtype else (spec.with_dtype(wide),)


def promote_dtypes(*dtypes: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype that operands of `dtypes` share: NumPy's, but an int takes a float's as it is.

    ``int64`` with ``float32`` is ``float32`` here, where NumPy widens to ``float64``.
    """
    if all(d is dtypes[0] for d in dtypes):
        return dtypes[0]
    inexact = [d for d in dtypes if d.kind in "fc"]
    return np.result_type(*(inexact or dtypes))
