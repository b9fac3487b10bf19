"""Windows that slide over images: the arithmetic of shapes that convolution and pooling share.

Images are (N, height, width, channels). Each has a grid of windows, so many down and so many across.
"""

import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple, SupportsIndex, TypeAlias, get_args

import opgraph as og

Padding: TypeAlias = Literal["SAME", "VALID"]
Margins: TypeAlias = tuple[tuple[int, int], tuple[int, int]]  # ((top, bottom), (left, right))
Size: TypeAlias = int | None
Pair: TypeAlias = SupportsIndex | Sequence[SupportsIndex]
PaddingLike: TypeAlias = Padding | SupportsIndex | Sequence[Pair]


def as_pair(value: Pair) -> Sequence[SupportsIndex]:
    """Return a lone number as that for height and for width; an op's attribute checks the rest."""
    return value if isinstance(value, Iterable) else (value, value)


def as_padding(padding: PaddingLike) -> Padding | Margins:
    """Return the name of a padding as it is, and numbers of pixels as margins.

    One number goes for all four sides, one of a pair for both sides of its direction.

    Raises
    ------
    ArgumentError
        For anything else.
    """
    names: tuple[Padding, ...] = get_args(Padding)
    try:
        if isinstance(padding, str):
            return names[names.index(padding)]
        height, width = padding if isinstance(padding, Iterable) else (padding, padding)
        (top, bottom), (left, right) = as_pair(height), as_pair(width)
        return (operator.index(top), operator.index(bottom)), (operator.index(left), operator.index(right))
    except (TypeError, ValueError):
        meant = [name for name in names if str(padding).upper() == name]
        raise og.ArgumentError(
            f"padding={padding!r}: expected 'SAME', 'VALID', a number of pixels, or ((top, bottom), (left, right))"
            + (f"; did you mean {meant[0]!r}?" if meant else "")
        ) from None


def check_images(name: str, spec: og.Spec) -> None:
    """Raise where `spec` is not that of images."""
    if spec.ndims != 4:
        raise og.ShapeError(f"{name} has shape {spec.shape}; images are (N, height, width, channels)")


def count_windows(
    image: Sequence[Size],
    size: Sequence[Size],
    strides: tuple[int, int],
    padding: Padding | Margins,
    dilations: tuple[int, int] = (1, 1),
    what: str = "window",
) -> tuple[Size, Size]:
    """Return how many windows an image has, down and across; ``None`` where that is unknown.

    ``"VALID"`` takes the windows that lie inside the image, margins those inside the image with them. ``"SAME"``
    takes one for each stride that starts inside it, ``ceil(pixels / stride)``, and pads the image as far as
    they reach beyond.

    Parameters
    ----------
    image, size
        Height and width, of the image and of the window.
    dilations
        How many pixels the window's elements are apart, down and across.
    what
        How a message calls the window.

    Raises
    ------
    ArgumentError
        For strides or dilations below 1, or negative margins.
    ShapeError
        For a window without elements, or one that exceeds an image and its margins.
    """
    _check_steps(size, strides, padding, dilations, what)
    reaches = [_reach(k, d) for k, d in zip(size, dilations, strict=True)]
    if padding == "SAME":
        down, across = (None if n is None else -(-n // s) for n, s in zip(image, strides, strict=True))
        return down, across

    margins = _margins(padding)
    rooms = [None if n is None else n + sum(margin) for n, margin in zip(image, margins, strict=True)]
    if any(n is not None and k is not None and k > n for n, k in zip(rooms, reaches, strict=True)):
        dilated = "" if dilations == (1, 1) else f", dilated to {tuple(reaches)},"
        padded = "" if padding == "VALID" else f" with padding {padding}"
        raise og.ShapeError(f"{what} {tuple(size)}{dilated} exceeds image {tuple(image)}{padded}; pad x first")
    down, across = (
        None if n is None or k is None else (n - k) // s + 1 for n, k, s in zip(rooms, reaches, strides, strict=True)
    )
    return down, across


def possible_pixels(
    windows: Sequence[Size],
    size: Sequence[Size],
    strides: tuple[int, int],
    padding: Padding | Margins,
    dilations: tuple[int, int] = (1, 1),
    what: str = "window",
) -> tuple[range | None, range | None]:
    """Return the heights and the widths of images that have so many `windows`; ``None`` where those are unknown.

    Parameters and errors are those of `count_windows`.
    """
    _check_steps(size, strides, padding, dilations, what)
    if padding == "SAME":
        heights, widths = (
            None if n is None else range(max((n - 1) * s + 1, 0), n * s + 1)
            for n, s in zip(windows, strides, strict=True)
        )
        return heights, widths
    if 0 in windows:
        raise og.ShapeError(f"x has {tuple(windows)} pixels; there may be none with padding 'SAME' alone")
    reaches = [_reach(k, d) for k, d in zip(size, dilations, strict=True)]
    least = [
        None if n is None or k is None else (n - 1) * s + k - sum(margin)
        for n, k, s, margin in zip(windows, reaches, strides, _margins(padding), strict=True)
    ]
    heights, widths = (None if n is None else range(max(n, 0), n + s) for n, s in zip(least, strides, strict=True))
    return heights, widths


def _check_steps(
    size: Sequence[Size], strides: tuple[int, int], padding: Padding | Margins, dilations: tuple[int, int], what: str
) -> None:
    for name, steps in (("strides", strides), ("dilations", dilations)):
        if min(steps) < 1:
            raise og.ArgumentError(f"{name} {steps}: both must be at least 1")
    if min(map(min, _margins(padding))) < 0:
        raise og.ArgumentError(f"padding {padding}: none of it may be negative")
    if 0 in size:
        raise og.ShapeError(f"{what} {tuple(size)} has no elements")


def _margins(padding: Padding | Margins) -> Margins:
    """Return what is added around an image whatever its size."""
    return ((0, 0), (0, 0)) if isinstance(padding, str) else padding


def _reach(size: Size, dilation: int) -> Size:
    """Return how many pixels there are from a window's first element to its last."""
    return None if size is None else (size - 1) * dilation + 1


class Slide(NamedTuple):
    """One axis of an image with the windows along it: how many of each, the windows' size and stride.

    Attributes
    ----------
    dilation : int
        How many pixels the elements of a window are apart.
    before : int or None
        The margin before the image; where ``None``, the windows decide, and reach as far beyond it as after it.
    """

    pixels: int
    windows: int
    size: int
    stride: int
    dilation: int = 1
    before: int | None = None

    @property
    def reach(self) -> int:
        """From a window's first element to its last, the number of pixels."""
        return (self.size - 1) * self.dilation + 1

    @property
    def margins(self) -> tuple[int, int]:
        """How far the windows reach beyond the image, before and after it; the odd pixel is after."""
        both = (self.windows - 1) * self.stride + self.reach - self.pixels
        before = max(both, 0) // 2 if self.before is None else self.before
        return before, max(both - before, 0)

    @property
    def elements(self) -> range:
        """Those of a window's elements that may lie inside the image, of which a large window has few."""
        before = self.margins[0]
        first = -(((self.windows - 1) * self.stride - before) // self.dilation)
        last = (self.pixels - 1 + before) // self.dilation
        return range(max(first, 0), min(last + 1, self.size))

    def inside(self, element: int, windows: slice) -> tuple[slice, slice]:
        """Return which `windows` have that `element` inside the image, and the pixels on which it lies.

        The first slice counts from the start of `windows`.
        """
        lead = self.margins[0] - element * self.dilation
        first = max(windows.start, -(-lead // self.stride))
        stop = min(windows.stop, (self.pixels - 1 + lead) // self.stride + 1)
        if first >= stop:
            return slice(0), slice(0)
        pixels = slice(first * self.stride - lead, (stop - 1) * self.stride - lead + 1, self.stride)
        return slice(first - windows.start, stop - windows.start), pixels


class Tap(NamedTuple):
    """One element of the window, in all windows that have it inside the image.

    Attributes
    ----------
    element : int
        Its number in the window, in row-major order.
    windows : tuple of slice
        Those windows: an index into (N, down, across, …).
    pixels : tuple of slice
        Where the element lies in each of them: an index into (N, height, width, …).
    """

    element: int
    windows: tuple[slice, slice, slice]
    pixels: tuple[slice, slice, slice]


class Grid(NamedTuple):
    """The windows on an image, all sizes known: the two axes along which they slide."""

    vertical: Slide
    horizontal: Slide

    @classmethod
    def of(
        cls,
        images: Sequence[Size],
        windows: Sequence[Size],
        size: Sequence[Size],
        strides: tuple[int, int],
        padding: Padding | Margins = "SAME",
        dilations: tuple[int, int] = (1, 1),
    ) -> "Grid":
        """Return the grid between the shapes (N, H, W, C) of images and (N, down, across, …) of windows."""
        pixels, counts = (og.known_shape(og.Shape(shape[1:3])) for shape in (images, windows))
        before = (None, None) if isinstance(padding, str) else (margin[0] for margin in padding)
        return cls(*map(Slide, pixels, counts, og.known_shape(og.Shape(size)), strides, dilations, before))

    @property
    def rows(self) -> slice:
        """All rows of windows."""
        return slice(0, self.vertical.windows)

    @property
    def is_pointwise(self) -> bool:
        """Whether the windows are the pixels themselves."""
        return all(slide.size == slide.stride == 1 and slide.windows == slide.pixels for slide in self)

    def taps(self, rows: slice | None = None) -> Iterator[Tap]:
        """Yield the window's elements in row-major order, without those that are inside in no window.

        Of all windows, or of those of some `rows`, from whose start `Tap.windows` counts then.
        """
        across = slice(0, self.horizontal.windows)
        for i in self.vertical.elements:
            window_rows, pixel_rows = self.vertical.inside(i, rows or self.rows)
            for j in self.horizontal.elements:
                window_columns, pixel_columns = self.horizontal.inside(j, across)
                yield Tap(
                    i * self.horizontal.size + j,
                    (slice(None), window_rows, window_columns),
                    (slice(None), pixel_rows, pixel_columns),
                )
