"""Values against those of a reference."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from opgraph.testing.case import Case, Failed
from opgraph.testing.check import NOTHING, Check
from opgraph.testing.numeric import size_of
from opgraph.testing.variations import rounded_otherwise

Array: TypeAlias = NDArray[Any]

TOLERANCE = {2: 2e-3, 4: 2e-6, 8: 1e-12}  # relative, by the bytes of a real number
NEARBY = 8  # points at which only rounding differs


class Reference(Check):
    """The kernel gives the values of the reference implementation that the op declares, in its dtype and shape."""

    name = "reference"

    def on_case(self, case: Case) -> str | None:
        reference = case.op.info.reference if case.op.info is not None else None
        if reference is None:
            return NOTHING
        expected = _values(reference, case, case.inputs)
        found = case.compute()[: case.visible]
        if len(expected) != len(found):
            raise Failed(f"the reference gives {len(expected)} values, the op {len(found)}")
        for o, (value, wanted) in enumerate(zip(found, expected, strict=True)):
            if value.shape != wanted.shape:
                raise Failed(f"output {o} has shape {value.shape}, the reference's has {wanted.shape}")
            if value.dtype.kind in "fc":
                itemsize = value.dtype.itemsize // (2 if value.dtype.kind == "c" else 1)
                tolerance = TOLERANCE.get(itemsize, 1e-12)
                scale = np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0)
                same = np.isclose(value, wanted, rtol=tolerance, atol=tolerance * 1e-2 * scale, equal_nan=True)
                if not same.all():
                    same |= np.abs(value - wanted) <= _rounding(reference, case, o, tolerance)
            else:
                same = np.asarray(value == wanted)
            if not same.all():
                worst = tuple(int(k) for k in np.unravel_index(np.argmin(same), same.shape))
                raise Failed(
                    f"output {o} at {worst} is {value[worst]}, the reference says {wanted[worst]}",
                    index=worst,
                    found=str(value[worst]),
                    expected=str(wanted[worst]),
                )
        return None


def _values(reference: Callable[..., Any], case: Case, inputs: Sequence[Array]) -> list[Array]:
    with np.errstate(all="ignore"):
        expected = reference(*inputs, **case.attrs)
    return [np.asarray(value) for value in (expected if isinstance(expected, tuple) else (expected,))]


def _rounding(reference: Callable[..., Any], case: Case, o: int, tolerance: float) -> Array:
    """Return what rounding alone may leave where terms cancel: by how much the reference differs at the next floats."""
    rng = case.rng("reference")
    wanted = _values(reference, case, case.inputs)[o]
    noise = np.zeros(wanted.shape)
    with np.errstate(all="ignore"):
        for _ in range(NEARBY):
            near = _values(reference, case, rounded_otherwise(rng, case.inputs))[o]
            noise = np.fmax(noise, np.abs(near - wanted))
    # what is more is a jump
    most = tolerance * max((size_of(x) for x in case.inputs if x.dtype.kind in "fc"), default=0.0)
    return np.minimum(4 * noise, most)
