"""Values against those of a reference."""

import numpy as np

from opgraph.testing.case import Case, Failed
from opgraph.testing.check import NOTHING, Check

TOLERANCE = {2: 2e-3, 4: 2e-6, 8: 1e-12}  # relative, by the bytes of a real number


class Reference(Check):
    """The kernel gives the values of the reference implementation that the op declares, in its dtype and shape."""

    name = "reference"

    def on_case(self, case: Case) -> str | None:
        reference = case.op.info.reference if case.op.info is not None else None
        if reference is None:
            return NOTHING
        with np.errstate(all="ignore"):
            expected = reference(*case.inputs, **case.attrs)
        expected = expected if isinstance(expected, tuple) else (expected,)
        found = case.compute()[: case.visible]
        if len(expected) != len(found):
            raise Failed(f"the reference gives {len(expected)} values, the op {len(found)}")
        for o, (value, wanted) in enumerate(zip(found, map(np.asarray, expected), strict=True)):
            if value.shape != wanted.shape:
                raise Failed(f"output {o} has shape {value.shape}, the reference's has {wanted.shape}")
            if value.dtype.kind in "fc":
                itemsize = value.dtype.itemsize // (2 if value.dtype.kind == "c" else 1)
                tolerance = TOLERANCE.get(itemsize, 1e-12)
                scale = np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0)
                same = np.isclose(value, wanted, rtol=tolerance, atol=tolerance * 1e-2 * scale, equal_nan=True)
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
