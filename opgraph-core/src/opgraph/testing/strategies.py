"""Hypothesis strategies for testing ops: shapes, arrays, axes, and convolutions with everything unequal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import opgraph as og
from opgraph.testing.extra import missing

try:
    from hypothesis import strategies as st
except ImportError as error:
    raise missing("opgraph.testing.strategies", error) from error

Shape = tuple[int, ...]

SPECIAL = (0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0)


def shapes(min_rank: int = 0, max_rank: int = 4, min_size: int = 0, max_size: int = 5) -> st.SearchStrategy[Shape]:
    """Draw shapes. By default that includes 0-d, sizes of 1, and empty ones."""
    return st.lists(st.integers(min_size, max_size), min_size=min_rank, max_size=max_rank).map(tuple)


def distinct_shapes(rank: int, min_size: int = 2, max_size: int = 7) -> st.SearchStrategy[Shape]:
    """Draw shapes in which no two sizes are equal, so that no axis passes for another."""
    sizes = st.integers(min_size, max_size)
    return st.lists(sizes, min_size=rank, max_size=rank, unique=True).map(tuple)


@st.composite
def broadcastable(
    draw: st.DrawFn, count: int = 2, max_rank: int = 4, min_size: int = 0, max_size: int = 5
) -> tuple[Shape, ...]:
    """Draw `count` shapes that broadcast against each other: axes are missing, or 1, in any of them."""
    result = draw(shapes(0, max_rank, min_size, max_size))
    found = []
    for _ in range(count):
        rank = draw(st.integers(0, len(result)))
        kept = result[len(result) - rank :]
        found.append(tuple(1 if draw(st.booleans()) else size for size in kept))
    return tuple(found)


@st.composite
def arrays(
    draw: st.DrawFn,
    spec: og.Spec,
    *,
    low: float = -10.0,
    high: float = 10.0,
    away_from: Sequence[float] = (),
    clearance: float = 0.05,
    special: bool = False,
) -> NDArray[Any]:
    """Draw arrays of a spec's dtype and shape, unknown sizes being drawn too.

    Parameters
    ----------
    spec
        Of the arrays.
    low, high
        The open interval of their values, of both parts where they are complex; for booleans it has no meaning.
    away_from
        Values that no element comes closer to than `clearance`: the op's kinks.
    clearance
        How far is away.
    special
        Whether zeros of both signs, infinities, NaN and ones may be among the values of a float array, too.
    """
    shape = tuple(draw(st.integers(0, 5)) if size is None else size for size in spec.shape)
    count = int(np.prod(shape))
    if spec.dtype.kind == "b":
        values: list[Any] = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    elif spec.dtype.kind in "iu":
        info = np.iinfo(spec.dtype)
        bounds = max(int(np.floor(low)) + 1, int(info.min)), min(int(np.ceil(high)) - 1, int(info.max))
        values = draw(st.lists(st.integers(*bounds), min_size=count, max_size=count))
    else:
        parts = _floats(spec.dtype, low, high, away_from, clearance, special)
        element = st.builds(complex, parts, parts) if spec.dtype.kind == "c" else parts
        values = draw(st.lists(element, min_size=count, max_size=count))
    with np.errstate(all="ignore"):
        return np.array(values, spec.dtype).reshape(shape)


def _floats(
    dtype: np.dtype[Any], low: float, high: float, away_from: Sequence[float], clearance: float, special: bool
) -> st.SearchStrategy[Any]:
    bits = 8 * dtype.itemsize // (2 if dtype.kind == "c" else 1)
    width: Literal[16, 32, 64] = 16 if bits == 16 else 32 if bits == 32 else 64
    edges = np.dtype(f"f{width // 8}").type([low, high]).tolist()
    inside = st.floats(*edges, width=width, allow_subnormal=False, exclude_min=True, exclude_max=True)
    away = inside.filter(lambda x: all(abs(x - kink) >= clearance for kink in away_from))
    return st.one_of(away, st.sampled_from(SPECIAL)) if special else away


def axes(rank: int, *, valid: bool = True) -> st.SearchStrategy[tuple[int, ...]]:
    """Draw axes of an array: negative ones too, none twice. Invalid ones are out of range, or one is there twice."""
    known = st.integers(-rank, rank - 1) if rank else st.nothing()
    if valid:
        return st.lists(known, max_size=rank, unique_by=lambda axis: axis % rank).map(tuple)
    beyond = st.one_of(st.integers(rank, rank + 3), st.integers(-rank - 4, -rank - 1))
    outside = st.tuples(st.lists(known, max_size=rank), beyond).map(lambda drawn: (*drawn[0], drawn[1]))
    if not rank:
        return outside
    twice = known.flatmap(lambda axis: st.sampled_from([(axis, axis), (axis % rank, axis % rank - rank)]))
    return st.one_of(outside, twice)


@dataclass(frozen=True)
class Convolution:
    """The shapes and attributes of a convolution of images, as `convolutions` draws them.

    Attributes
    ----------
    images
        (batch, height, width, channels).
    kernel
        (height, width, channels, filters).
    strides, dilations
        For height and width.
    padding
        ``"SAME"``, ``"VALID"``, or what to add before and after, for height and width.
    """

    images: tuple[int, int, int, int]
    kernel: tuple[int, int, int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    padding: Literal["SAME", "VALID"] | tuple[tuple[int, int], tuple[int, int]]

    @property
    def window(self) -> tuple[int, int]:
        """How many pixels the dilated kernel spans."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel[:2], self.dilations, strict=True))  # type: ignore[return-value]  # two


@st.composite
def convolutions(
    draw: st.DrawFn, *, max_size: int = 7, empty: bool = True, explicit_padding: bool = True, valid: bool = True
) -> Convolution:
    """Draw convolutions that confuse height with width wherever code does.

    Kernels are mostly not square, strides and dilations mostly unequal, paddings asymmetric; strides skip
    pixels that no window covers; windows fill the image exactly, or consist of one pixel.

    Parameters
    ----------
    max_size
        Of the images' height and width.
    empty
        Whether there may be no images, or none in height or width where the padding makes up for it.
    explicit_padding
        Whether paddings may be numbers.
    valid
        Whether every window fits into its padded image. If not, those with ``"VALID"`` padding may not.
    """
    height, width = draw(st.tuples(*[st.integers(0 if empty else 1, max_size)] * 2))
    kernel = draw(st.tuples(*[st.integers(1, 4)] * 2))
    strides = draw(st.tuples(*[st.integers(1, 5)] * 2))
    dilations = draw(st.tuples(*[st.integers(1, 3)] * 2))
    channels, filters = draw(st.tuples(*[st.integers(1, 3)] * 2))
    batch = draw(st.integers(0 if empty else 1, 3))
    named: list[Any] = ["SAME", "VALID"]
    padding: Any = draw(st.sampled_from([*named, "explicit"] if explicit_padding else named))
    if padding == "explicit":
        padding = tuple(draw(st.tuples(*[st.integers(0, 3)] * 2)) for _ in range(2))
    images = (batch, height, width, channels)
    drawn = Convolution(images, (*kernel, channels, filters), strides, dilations, padding)
    if not valid or padding == "SAME":
        return drawn
    added = (0, 0) if padding == "VALID" else tuple(map(sum, padding))
    fitting = [max(size, span - more) for size, span, more in zip((height, width), drawn.window, added, strict=True)]
    return Convolution((batch, fitting[0], fitting[1], channels), drawn.kernel, strides, dilations, padding)
