"""The smallest inputs on which a check still fails."""

from collections.abc import Callable, Iterator

import numpy as np

import opgraph as og
from opgraph.testing.case import Case, Failed

MOST_TRIES = 10  # each runs the check once more


def smallest_failing(check: Callable[[Case], str | None], case: Case) -> Case:
    """Return a case of the same op on slices of the same inputs that `check` fails as well, as small as is found.

    Every size that occurs is lowered wherever it occurs, for equal sizes mostly belong together, then on one
    axis alone. What the op refuses is passed over. Greedy, and bounded.
    """
    tries = MOST_TRIES
    found = case
    progress = True
    while progress:
        progress = False
        for smaller in _smaller(found):
            if tries == 0:
                return found
            try:
                smaller.specs  # noqa: B018  # what cannot be inferred is no try
            # an op may raise anything
            except Exception:
                continue
            tries -= 1
            if _fails(check, smaller):
                found, progress = smaller, True
                break
    return found


def _fails(check: Callable[[Case], str | None], case: Case) -> bool:
    try:
        check(case)
    except Failed as failure:
        return failure.verdict == "fail"
    # on a smaller input, another error is another story
    except Exception:
        return False
    return False


def _smaller(case: Case) -> Iterator[Case]:
    """Yield cases on slices of the inputs, the smallest first."""
    sizes = sorted({size for x in case.inputs for size in x.shape if size > 1}, reverse=True)
    for size in sizes:
        for less in sorted({1, 2, size // 2, size - 1} - {0, size}):
            if less < size:
                yield case.with_inputs(
                    [x[tuple(slice(less if n == size else n) for n in x.shape)] for x in case.inputs]
                )
    for position, x in enumerate(case.inputs):
        for axis, size in enumerate(x.shape):
            if size > 1:
                inputs = list(case.inputs)
                inputs[position] = np.take(x, range(size // 2), axis)
                yield case.with_inputs(inputs)


def described(case: Case) -> str:
    """Return the op and its inputs as a line that can be run."""
    inputs = ", ".join(_literal(x) for x in case.inputs)
    return f"{case.op!r} on {inputs}"


def _literal(x: "og.Array") -> str:
    shown = np.array2string(x, separator=", ", threshold=64, max_line_width=10_000).replace("\n", "")
    return f"{shown} ({x.dtype}, shape {x.shape})" if x.size else f"nothing ({x.dtype}, shape {x.shape})"
