"""A long search around a sample: other sizes, other values, until a check fails; then the smallest that does."""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opgraph.testing import smallest
from opgraph.testing.case import Case, Failed
from opgraph.testing.check import Check
from opgraph.testing.extra import missing

try:
    import hypothesis
    from hypothesis import strategies as st
except ImportError as error:
    raise missing("--thorough", error) from error

EXAMPLES = 10  # for each check on each sample: a thousand or so for an op
LARGEST_SIZE = 6
CLEARANCE = 0.05  # of values from kinks, so that differences do not reach across
MOST_ELEMENTS = 64  # of one input; what is larger, `vjp_full` passes over


def search(check: Check, case: Case) -> None:
    """Raise `Failed` with the smallest case near `case` on which `check` fails, if one is found."""
    seed = zlib.crc32(f"{case.seed} {case.op!r} {case.name} {check.name}".encode())

    found: list[Case] = []  # the last one is the smallest

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        verbosity=hypothesis.Verbosity.quiet,
        report_multiple_bugs=False,
    )
    @hypothesis.given(nearby_cases(case))
    def attempt(near: Case) -> None:
        try:
            check.on_case(near)
        except Failed as failure:
            # a kink may lie close to any values but the declared ones
            hypothesis.assume(failure.verdict == "fail")
            found.append(near)
            raise

    try:
        attempt()
    except Failed as failure:
        data = {**failure.data, "smallest": smallest.described(smallest.failing(check, found[-1]))}
        raise Failed(f"{failure.detail}\nfound by a search around this sample", **data) from None


@st.composite
def nearby_cases(draw: st.DrawFn, case: Case) -> Case:
    """Draw the op on other inputs: equal sizes changed alike, where it accepts that; values within the domain."""
    changed = draw(st.fixed_dictionaries({size: _sizes(size) for size in smallest.sizes(case)}))
    sized = smallest.resized(case, changed) if changed else case
    if sized is None or max((x.size for x in sized.inputs), default=0) > max(
        MOST_ELEMENTS, *(x.size for x in case.inputs)
    ):
        sized = case
    # drawn as three numbers and not one by one: a failure depends on how far, hardly ever on which
    amount = draw(st.sampled_from([0.1, 0.5, 2.0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    kinks = case.op.info.kinks if case.op.info is not None else ()
    moved = [_moved(x, amount, case.domain(i), kinks, rng) for i, x in enumerate(sized.inputs)]
    return case.with_inputs(moved) if smallest.accepted(case, moved) else sized


def _sizes(size: int) -> st.SearchStrategy[int]:
    """Return small sizes, or the same."""
    return st.one_of(st.integers(1, LARGEST_SIZE), st.just(size))


def _moved(
    x: NDArray[Any], amount: float, domain: tuple[float, float], kinks: Sequence[float], rng: np.random.Generator
) -> NDArray[Any]:
    """Return floats moved by up to `amount` of their size, but not out of the domain nor close to a kink."""
    if x.dtype.kind not in "fc":
        return x
    with np.errstate(all="ignore"):
        moved = np.asarray(x * (1.0 + amount * rng.uniform(-1.0, 1.0, x.shape)))
    if x.dtype.kind == "c":
        return moved.astype(x.dtype)
    allowed = (moved > domain[0]) & (moved < domain[1])
    for kink in kinks:
        allowed &= np.abs(moved - kink) > CLEARANCE
    return np.where(allowed, moved, x).astype(x.dtype)
