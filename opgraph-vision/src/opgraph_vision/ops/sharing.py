"""Images shared out to threads, in parts whose number follows from shapes alone."""

from collections.abc import Callable

import opgraph as og

MOST_PARTS = 8


def parts_of(n: int, worthwhile: int) -> int:
    """Return in how many parts `n` images are done, where so many parts would each be worth a thread's while."""
    return max(min(n, worthwhile, MOST_PARTS), 1)


def part_of(n: int, parts: int, i: int) -> slice:
    """Return which of `n` images are those of part `i`."""
    return slice(i * n // parts, (i + 1) * n // parts)


def run_parts(body: Callable[[int], object], parts: int) -> None:
    """Call `body` with the number of each part, in the threads of the run."""
    if parts == 1:
        body(0)
    else:
        og.parallel_for(body, parts)


def over_images(fill: Callable[..., object], worthwhile: int, *arrays: og.Array) -> None:
    """Call `fill` with what of each of `arrays`, (N, …), belongs to a part of the images, for every part."""
    n = len(arrays[0])
    parts = parts_of(n, worthwhile)

    def body(i: int) -> None:
        images = part_of(n, parts, i)
        fill(*[array[images] for array in arrays])

    run_parts(body, parts)
