"""Windows that slide over images: the arithmetic of shapes that convolution and pooling share.

Images are (N, height, width, channels). Each has a grid of windows, so many down and so many across.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple, SupportsIndex, TypeAlias

import opgraph as og

Padding: TypeAlias = Literal["SAME", "VALID"]
Size: TypeAlias = int | None
Pair: TypeAlias = SupportsIndex | Sequence[SupportsIndex]


def as_pair(value: Pair) -> Sequence[SupportsIndex]:
    """Return a lone number as that for height and for width; an op's attribute checks the rest."""
    return value if isinstance(value, Iterable) else (value, value)


def known(shape: Sequence[Size]) -> tuple[int, ...]:
    """Return the sizes of a shape that holds no unknown one, as those that a kernel works on."""
    return tuple(n for n in shape if n is not None)


def check_images(name: str, spec: og.Spec) -> None:
    """Raise where `spec` is not that of images."""
    if spec.ndims != 4:
        raise og.ShapeError(f"{name} has shape {spec.shape}; images are (N, height, width, channels)")


def count_windows(
    image: Sequence[Size], size: Sequence[Size], strides: tuple[int, int], padding: Padding, what: str = "window"
) -> tuple[Size, Size]:
    """Return how many windows an image has, down and across; ``None`` where that is unknown.

    ``"VALID"`` takes the windows that lie inside the image. ``"SAME"`` takes one for each stride that starts
    inside it, ``ceil(pixels / stride)``, and pads the image as far as they reach beyond.

    Parameters
    ----------
    image, size
        Height and width, of the image and of the window.
    what
        How a message calls the window.

    Raises
    ------
    ArgumentError
        For strides below 1.
    ShapeError
        For a window without elements, or one that exceeds an image that is not padded.
    """
    if min(strides) < 1:
        raise og.ArgumentError(f"strides {strides}: both must be at least 1")
    if 0 in size:
        raise og.ShapeError(f"{what} {tuple(size)} has no elements")
    exceeds = any(n is not None and k is not None and k > n for n, k in zip(image, size, strict=True))
    if exceeds and padding == "VALID":
        raise og.ShapeError(f"{what} {tuple(size)} exceeds image {tuple(image)}; pad x first")
    down, across = (_count(n, k, s, padding) for n, k, s in zip(image, size, strides, strict=True))
    return down, across


def _count(pixels: Size, size: Size, stride: int, padding: Padding) -> Size:
    if pixels is None:
        return None
    if padding == "SAME":
        return -(-pixels // stride)
    return None if size is None else (pixels - size) // stride + 1


class Slide(NamedTuple):
    """One axis of an image with the windows along it: how many of each, the windows' size and stride."""

    pixels: int
    windows: int
    size: int
    stride: int

    @property
    def margins(self) -> tuple[int, int]:
        """How far the windows reach beyond the image, before and after it; the odd pixel is after."""
        both = max((self.windows - 1) * self.stride + self.size - self.pixels, 0)
        return both // 2, both - both // 2

    def inside(self, element: int, windows: slice) -> tuple[slice, slice]:
        """Return which `windows` have that `element` inside the image, and the pixels on which it lies.

        The first slice counts from the start of `windows`.
        """
        lead = self.margins[0] - element
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
        cls, images: Sequence[Size], windows: Sequence[Size], size: Sequence[Size], strides: tuple[int, int]
    ) -> "Grid":
        """Return the grid between the shapes (N, H, W, C) of images and (N, down, across, …) of windows."""
        return cls(*map(Slide, known(images)[1:3], known(windows)[1:3], known(size), strides))

    @property
    def rows(self) -> slice:
        """All rows of windows."""
        return slice(0, self.vertical.windows)

    @property
    def is_pointwise(self) -> bool:
        """Whether the windows are the pixels themselves."""
        return all(slide.size == slide.stride == 1 for slide in self)

    def taps(self, rows: slice | None = None) -> Iterator[Tap]:
        """Yield the window's elements in row-major order.

        Of all windows, or of those of some `rows`, from whose start `Tap.windows` counts then.
        """
        across = slice(0, self.horizontal.windows)
        for i in range(self.vertical.size):
            window_rows, pixel_rows = self.vertical.inside(i, rows or self.rows)
            for j in range(self.horizontal.size):
                window_columns, pixel_columns = self.horizontal.inside(j, across)
                yield Tap(
                    i * self.horizontal.size + j,
                    (slice(None), window_rows, window_columns),
                    (slice(None), pixel_rows, pixel_columns),
                )
