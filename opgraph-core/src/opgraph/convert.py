"""From what users hand over, numbers, lists and arrays, to arrays of a known dtype."""

import sys
from typing import Any

import numpy as np

from opgraph.errors import DtypeError, NoValueError, OpgraphError, ShapeError
from opgraph.op import Array
from opgraph.spec import Shape, Spec, as_dtype, beyond_memory, get_default_dtype, how_to_convert, promote_dtypes

_PYTHON_NUMBERS = {bool, int, float, complex}
NUMBERS = "values are booleans, integers, floats or complex numbers"


def is_weak(value: Any) -> bool:
    """Whether `value` is a Python number or list, which takes the dtype of what it meets."""
    return type(value) in _PYTHON_NUMBERS or isinstance(value, list | tuple)


def to_array(value: Any, dtype: np.dtype[Any] | None = None) -> Array:
    """Return `value` as an array, possibly over the same memory.

    Parameters
    ----------
    value
        An array keeps its dtype; Python numbers, and lists of them, become the default float, booleans
        stay boolean.
    dtype
        What to convert to instead. A float takes integers and floats, an integer takes integers alone.

    Raises
    ------
    DtypeError
        For strings, objects and dates, for a conversion that would lose a fraction, an imaginary part
        or a sign, and for a number out of the dtype's range.
    ShapeError
        For lists of unequal lengths.
    """
    array = natural_array(value, large=True)
    if dtype is not None:
        return cast_checked(array, dtype)
    if is_weak(value):
        return cast_checked(array, weak_dtype(array.dtype.kind))
    return array


def weak_dtype(kind: str, *others: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype that a Python number of `kind` takes among operands of dtypes `others`.

    Follows NEP 50 (Python numbers are weak) but for the default float in place of float64. `kind` may be ``"O"``,
    that of integers which `natural_array` leaves as they are.
    """
    common = promote_dtypes(*others) if others else None
    if kind == "c":
        return np.result_type(common if common is not None and common.kind in "fc" else get_default_dtype(), 1j)
    if kind == "f":
        return common if common is not None and common.kind in "fc" else get_default_dtype()
    if kind in "iuO":
        if common is None:
            return get_default_dtype()
        return common if common.kind != "b" else np.dtype(np.int64)
    return common if common is not None else np.dtype(np.bool)


def cast_checked(array: Array, dtype: np.dtype[Any]) -> Array:
    """Return `array` in `dtype`; raise `DtypeError` where that would change what it says."""
    if array.dtype == dtype:
        return array
    if array.dtype.kind == "O":
        if dtype.kind in "biu":
            raise DtypeError(f"{_short(_largest(array))} is out of the range of {dtype}")
        return _cast_large(array, dtype)
    if not np.can_cast(array.dtype, dtype, "same_kind") and not _fits_unsigned(array, dtype):
        raise DtypeError(f"{array.dtype} does not go into {dtype}; {how_to_convert(array.dtype, dtype)}")
    if dtype.kind in "iu" and array.size:
        info = np.iinfo(dtype)
        low, high = array.min(), array.max()
        if int(low) < info.min or int(high) > info.max:
            raise DtypeError(f"{low if int(low) < info.min else high} is out of the range of {dtype}")
    try:
        with np.errstate(over="raise"):
            return array.astype(dtype)
    except FloatingPointError:
        largest = np.abs(array[np.isfinite(array)]).max()
        raise DtypeError(f"{largest} is out of the range of {dtype}") from None
    except MemoryError:
        raise ShapeError(beyond_memory(Spec(Shape(array.shape), dtype))) from None


def contiguous(array: Array, copy: bool | None = None) -> Array:
    """Return `array` as its elements in row-major order; a copy where it is not that, or where `copy` says so."""
    try:
        return np.array(array, order="C", copy=copy)
    except MemoryError:
        raise ShapeError(beyond_memory(Spec(Shape(array.shape), array.dtype))) from None


def _cast_large(array: Array, dtype: np.dtype[Any]) -> Array:
    """Return Python's integers, some of them too large for every integer dtype, in a floating or complex one."""
    try:
        return cast_checked(array.astype(np.promote_types(dtype, np.float64)), dtype)
    except (OverflowError, DtypeError):
        raise DtypeError(f"{_short(_largest(array))} is out of the range of {dtype}") from None


def _largest(array: Array) -> Any:
    return max(array.flat, key=abs)


def _fits_unsigned(array: Array, dtype: np.dtype[Any]) -> bool:
    # NumPy calls int64 to uint8 unsafe; the range check that follows decides
    return array.dtype.kind in "iu" and dtype.kind == "u"


def natural_array(value: Any, large: bool = False) -> Array:
    """Return `value` with the dtype that NumPy gives it, in the machine's byte order.

    Parameters
    ----------
    large
        Whether Python's integers may stay what they are where one is too large for every integer dtype: in an array
        of objects, for `cast_checked`.
    """
    if value is None:
        raise DtypeError(
            f"{NUMBERS}, not None; x.shape has None for an unknown size, og.count(x, axis) is its node; "
            "in a vjp None is the cotangent of an output that nothing reads, leave its term out"
        )
    if "numpy.ma" in sys.modules and isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise DtypeError("a masked array would lose its mask; give what to put there, with .filled(…)")
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError) as error:
        raise ShapeError(f"a {type(value).__name__} that is no array: {error}") from None
    except NoValueError as error:
        if isinstance(value, list | tuple):
            detail = f"a {type(value).__name__} that holds a node is no array; og.stack makes a node of it"
            raise NoValueError(detail, *error.notes) from None
        raise
    except OpgraphError:
        raise
    except TypeError as error:
        raise DtypeError(f"a {type(value).__name__} that is no array: {error}") from None
    if array.dtype.kind == "O" and is_weak(value) and {type(each) for each in array.flat} <= _PYTHON_NUMBERS:
        kinds = {type(each) for each in array.flat}
        if complex in kinds or float in kinds:
            return _cast_large(array, np.dtype(np.complex128 if complex in kinds else np.float64))
        if large:
            return array
        raise DtypeError(f"{_short(_largest(array))} is out of the range of every integer dtype")
    if array.dtype.kind not in "biufc":
        kind = {"U": "strings", "S": "bytes", "O": "Python objects"}.get(array.dtype.kind, str(array.dtype))
        raise DtypeError(f"{NUMBERS}, not {kind}: {_short(value)}")
    native = as_dtype(array.dtype)
    return array if array.dtype == native and array.dtype.isnative else array.astype(native)


def _short(value: Any) -> str:
    try:
        text = repr(value).replace("\n", " ")
    except ValueError:  # Python does not write integers of more than 4300 digits
        return f"an integer of {value.bit_length()} bits" if isinstance(value, int) else f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."
