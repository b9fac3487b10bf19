"""What ops refuse: the lines that every author needs, so that an op differs from a right one in one place alone."""

import numpy as np

import opgraph as og


def expect(ins, *wanted):
    """Raise unless the inputs' specs are as `wanted`: for each the kinds of dtype, and the rank or ``*``: ``"f2"``.

    Floats among the inputs have one dtype; unsigned integers alone are a key.
    """
    for spec, (*kinds, rank) in zip(ins, wanted, strict=True):
        if spec.dtype.kind not in kinds:
            raise og.DtypeError(f"takes dtypes of the kinds {', '.join(kinds)}, not {spec.dtype}; cast it first")
        if rank != "*" and spec.ndims != int(rank):
            raise og.ShapeError(f"takes {rank} dimensions, not {spec.shape}")
        if kinds == ["u"] and not spec.shape.compatible_with((4,)):
            raise og.ShapeError(f"a key has 4 elements, not {spec.shape}")
    if len({spec.dtype for spec in ins if spec.dtype.kind in "fc"}) > 1:
        raise og.DtypeError(f"takes one dtype, not {', '.join(str(spec.dtype) for spec in ins)}; cast them first")


class Real(og.Elementwise):
    """What elementwise functions of real numbers share: they refuse all others."""

    def dtypes(self, *ins):
        if any(dtype.kind != "f" for dtype in ins):
            raise og.DtypeError(f"takes real floating-point numbers, not {', '.join(map(str, ins))}; cast them first")
        return og.promote_dtypes(*ins)


class RealNotHalf(Real):
    """What those share whose constants are out of the range of float16."""

    def dtypes(self, *ins):
        if np.float16 in ins:
            raise og.DtypeError("takes float32 and float64, not float16; cast it first")
        return super().dtypes(*ins)


def refused(n=1):
    """Return the invalid sample of ops of `n` inputs that take no booleans."""
    return og.Sample([np.zeros((2, 3), bool)] * n, raises=og.DtypeError, id="booleans")


def check_index(index, n):
    """Raise unless all of an index's elements name one of `n` places."""
    if index.size and not (-n <= index.min() and index.max() < n):
        raise og.ArgumentError(f"an index is out of range for {n} elements")
