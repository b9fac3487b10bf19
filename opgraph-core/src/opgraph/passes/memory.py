"""Memory for plans: blocks of bytes, and arrays over them."""

import numpy as np

from opgraph.op import Array
from opgraph.spec import Spec, known_shape

ALIGNMENT = 64  # a cache line, and the widest vector register


def array_over(memory: Array, offset: int, spec: Spec) -> Array:
    """Return an array of `spec` that starts `offset` bytes into `memory`."""
    return np.ndarray(known_shape(spec.shape), spec.dtype, memory, offset)


def new_memory(nbytes: int) -> Array:
    """Return uninitialized bytes whose address is a multiple of `ALIGNMENT`."""
    try:
        memory = np.empty(nbytes + ALIGNMENT, np.uint8)
    except (ValueError, OverflowError) as error:  # more bytes than an address counts
        raise MemoryError(str(error)) from None
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + nbytes]


def stand_in(spec: Spec) -> Array:
    """Return a read-only array of `spec` without memory of its own, for inputs whose data nobody reads."""
    return np.broadcast_to(np.zeros((), spec.dtype), known_shape(spec.shape))


def rounded(spec: Spec) -> int:
    """Return the bytes that a value takes in a block, at least one cache line."""
    return -(-max(spec.nbytes or 0, 1) // ALIGNMENT) * ALIGNMENT


def address(array: Array) -> int:
    """Return where the first element of an array lies."""
    address: int = array.__array_interface__["data"][0]
    return address
