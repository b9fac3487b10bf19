"""Does it pay to add the bias and apply relu to each part of a product while that part is in the cache?

Prints, for products of several sizes on one thread, the median time of the whole product with the two steps after it,
and with the product computed in parts of rows, each followed by its two steps, as ratios to the product alone.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
from threadpoolctl import threadpool_limits

SIZES = [
    # rows, inner, columns, parts
    (128, 784, 512, 2),
    (512, 512, 512, 4),
    (1024, 512, 1024, 8),
    (4096, 64, 1024, 16),
    (4096, 256, 1024, 16),
    (8192, 64, 256, 16),
    (2048, 2048, 2048, 8),
]
ROUNDS = 15


def ways(rows: int, inner: int, columns: int, parts: int) -> list[Callable[[], object]]:
    """Return the product alone, with both steps after it, and with both steps after each part of it."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(rows, inner)).astype("f4"), rng.normal(size=(inner, columns)).astype("f4")
    bias, zero, out = rng.normal(size=columns).astype("f4"), np.zeros((), "f4"), np.empty((rows, columns), "f4")
    step = -(-rows // parts)
    cut = [(x[i : i + step], out[i : i + step]) for i in range(0, rows, step)]

    def finish(y: np.ndarray) -> None:
        np.add(y, bias, y)
        np.maximum(y, zero, out=y)

    def after() -> None:
        np.dot(x, w, out)
        finish(out)

    def within() -> None:
        for part, y in cut:
            np.dot(part, w, y)
            finish(y)

    return [lambda: np.dot(x, w, out), after, within]


def main() -> None:
    """Measure and print."""
    with threadpool_limits(1):
        print("rows x inner x columns, parts: after the product, within its parts (ratios to the product alone)")
        for size in SIZES:
            functions = ways(*size)
            times: list[list[float]] = [[] for _ in functions]
            for _ in range(ROUNDS):
                for function, taken in zip(functions, times, strict=True):
                    start = time.perf_counter()
                    function()
                    taken.append(time.perf_counter() - start)
            alone, after, within = map(statistics.median, times)
            rows, inner, columns, parts = size
            print(f"{rows} x {inner} x {columns}, {parts}: {after / alone:.2f}, {within / alone:.2f}")


if __name__ == "__main__":
    main()
