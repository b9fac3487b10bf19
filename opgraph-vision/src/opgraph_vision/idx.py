"""Files of the idx format, in which MNIST and its successors are published."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import opgraph as og

PathLike: TypeAlias = str | os.PathLike[str]

_GZIP = b"\x1f\x8b"
_DTYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(np.uint8),
    0x09: np.dtype(np.int8),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_MOST_DIMENSIONS = 64  # of an array in NumPy
_CHUNK = 1 << 20


class DatasetError(og.OpgraphError, ValueError):
    """A file that does not hold the data that it should."""


@og.guarded
def read_idx(path: PathLike) -> NDArray[Any]:
    """Read an array from a file of the idx format, which may be compressed by gzip.

    Returns
    -------
    array
        New, writable, in the machine's byte order; uint8, int8, int16, int32, float32 or float64.

    Raises
    ------
    DatasetError
        Where the file is of another format, or shorter or longer than it says, or damaged.
    FileError
        Where it cannot be opened; `MissingFileError` where it is not there.
    ArgumentError
        For what is no name of a file.

    Notes
    -----
    Two zero bytes, one for the type and one for the number of dimensions; each dimension's size, four bytes; then the
    elements, row-major. The highest byte comes first. Y. LeCun, C. Cortes, C. Burges, "The MNIST database of
    handwritten digits".
    """
    return read_array(path)


def read_array(path: PathLike) -> NDArray[Any]:
    """Return what `read_idx` does."""
    try:
        name = os.fspath(path)  # a number would be a file that is open already
    except TypeError:
        raise og.ArgumentError(f"path is a string or a path, not {path!r}") from None
    try:
        with open(name, "rb") as file:
            if file.peek(2)[:2] != _GZIP:
                return _parse(file)
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _parse(unpacked)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DatasetError(f"{name}: its compression is damaged: {error}") from None
    except DatasetError as error:
        raise DatasetError(f"{name}: {error.detail}") from None
    except FileNotFoundError as error:
        raise og.MissingFileError(f"{name!r} does not exist") from error
    except OSError as error:
        raise og.FileError(f"{name!r} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise og.ArgumentError(f"{name!r} is no name of a file: {error}") from None


def _parse(file: IO[bytes] | gzip.GzipFile) -> NDArray[Any]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES or magic[3] > _MOST_DIMENSIONS:
        raise DatasetError(
            f"is no idx file; it starts with {magic.hex(' ') or 'nothing'} where that has 00 00, a type from 08 to 0e "
            "and the number of dimensions"
        )
    dtype, ndims = _DTYPES[magic[2]], magic[3]
    sizes = file.read(4 * ndims)
    if len(sizes) < 4 * ndims:
        raise DatasetError(f"ends in its header, where the sizes of {ndims} dimensions stand")
    shape = tuple(np.frombuffer(sizes, ">u4").tolist())
    length = math.prod(shape) * dtype.itemsize
    data = _read_at_most(file, length + 1)
    if len(data) != length or math.prod(max(n, 1) for n in shape) > np.iinfo(np.intp).max // dtype.itemsize:
        held = f"more than {length}" if len(data) > length else str(len(data))
        raise DatasetError(f"holds {held} bytes of data, and {shape} of {dtype.name} take {length}")
    return np.frombuffer(data, dtype).astype(dtype.newbyteorder("="), copy=False).reshape(shape)


def _read_at_most(file: IO[bytes] | gzip.GzipFile, length: int) -> bytearray:
    """Return so many bytes, or those there are; memory is taken for those alone, whatever a header says."""
    data = bytearray()
    while chunk := file.read(min(length - len(data), _CHUNK)):
        data += chunk
    return data
