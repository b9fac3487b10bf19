"""What a kernel must be that a plan is made with."""

from collections.abc import Callable

import numpy as np

from opgraph.errors import KernelError
from opgraph.op import Kernel, Op, Specs
from opgraph.spec import Spec


def check_kernel(op: Op, kernel: object, ins: Specs, outs: Specs) -> None:
    """Raise `KernelError` where `kernel`, chosen for `op` on these specs, is none, or what it says of itself is wrong.

    Whether it computes what it should is for the conformance kit to find out.
    """
    if not isinstance(kernel, Kernel):
        raise KernelError(f"its kernel factory returned {kernel!r}, not a Kernel or None")
    if not isinstance(kernel.scratch, tuple) or not all(isinstance(s, Spec) for s in kernel.scratch):
        raise KernelError(f"its scratch returned {kernel.scratch!r}, not a tuple of Specs")
    of_a_set = "its kernel factory returned a Kernel whose"
    if not callable(kernel.run):
        raise KernelError(f"{of_a_set} run is {kernel.run!r}, not a function (ins, outs)")
    if kernel.bind is not None and not callable(kernel.bind):
        raise KernelError(f"{of_a_set} bind is {kernel.bind!r}, not a function (ins, outs)")
    if kernel.ufunc is not None and not isinstance(kernel.ufunc, np.ufunc):
        raise KernelError(f"{of_a_set} ufunc is {kernel.ufunc!r}, not a NumPy ufunc")
    if kernel.combine is not None:
        if op.combine is None:
            raise KernelError(f"{of_a_set} combine is {kernel.combine!r}, but the op has none")
        if len(outs) != 1:
            raise KernelError(f"combine is for an op of one input and one output, and its infer returned {len(outs)}")
    if kernel.rows is not None:
        own: Callable[..., object] = op.compute
        _check_rows("its by_rows returned" if kernel.run == own else f"{of_a_set} rows is", kernel.rows, ins, outs)


def _check_rows(which: str, rows: object, ins: Specs, outs: Specs) -> None:
    """Raise where `rows` does not tell inputs that have as many rows as the outputs."""
    if not isinstance(rows, frozenset) or not rows or not rows <= frozenset(range(len(ins))):
        wanted = f"None or a frozenset of some of its {len(ins)} inputs' numbers, such as frozenset({{0}})"
        raise KernelError(f"{which} {rows!r}, not {wanted}")
    counts = {spec.shape[:1] for spec in outs}
    for i in sorted(rows):
        if counts != {ins[i].shape[:1]} or not ins[i].ndims:
            raise KernelError(
                f"{which} {rows!r}, but input {i} of shape {ins[i].shape} has not the rows of the outputs, "
                f"{', '.join(str(spec.shape) for spec in outs)}"
            )
