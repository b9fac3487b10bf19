"""Which values share memory, how long each block of it is needed, and where it lies."""

from collections.abc import Mapping, Sequence

import numpy as np

from opgraph.build import contract
from opgraph.errors import KernelError, OpgraphError
from opgraph.op import Array, Arrays
from opgraph.plan import Arena, Step, Structure
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


def checked_view(step: Step, ins: Arrays, specs: Sequence[Spec]) -> Arrays | None:
    """Return the outputs of `step` as views of `ins`, or ``None`` where they must be computed."""
    try:
        return _checked_view(step, ins, specs)
    except OpgraphError as error:
        raise error.located(step.op.short_name(), source=step.source) from error.__cause__


def _checked_view(step: Step, ins: Arrays, specs: Sequence[Spec]) -> Arrays | None:
    with contract("view"):
        views = step.op.view(ins)
    if views is not None:
        found = [(v.shape, v.dtype) if isinstance(v, np.ndarray) else type(v) for v in views]
        if found != [(specs[value].shape, specs[value].dtype) for value in step.outputs]:
            said = [specs[value] for value in step.outputs]
            raise KernelError(f"its view returned {found} where infer said {said}")
        if not all(v.size == 0 or any(np.may_share_memory(v, x) for x in ins) for v in views):
            raise KernelError("its view returned memory of its own; return None to have the outputs computed")
    return views


def find_views(structure: Structure, specs: Sequence[Spec]) -> dict[int, tuple[int, ...]]:
    """Return the values that are views, each with the values whose memory it may lie in.

    The ops are asked with stand-ins laid out as the real arrays will be: contiguous, or views of that.
    """
    memory = new_memory(max((rounded(spec) for spec in specs), default=0))
    arrays: dict[int, Array] = {}
    views: dict[int, tuple[int, ...]] = {}
    for step in structure.steps:
        if not (step.run and step.op.has_view()):
            continue
        unread = step.op.shape_only(len(step.inputs))
        for value in step.inputs:
            if value not in arrays:
                arrays[value] = array_over(memory, 0, specs[value])
        found = checked_view(
            step,
            tuple(stand_in(specs[v]) if i in unread else arrays[v] for i, v in enumerate(step.inputs)),
            specs,
        )
        if found is None:
            continue
        owners = tuple(v for i, v in enumerate(step.inputs) if i not in unread)
        for value, array in zip(step.outputs, found, strict=True):
            arrays[value] = array
            views[value] = owners
    return views


def find_owners(structure: Structure, views: Mapping[int, tuple[int, ...]]) -> dict[int, frozenset[int]]:
    """Return the values whose memory each value may lie in, at the end of its chain of views."""
    owners: dict[int, frozenset[int]] = {}
    for step in structure.steps:
        for value in step.outputs:
            if value in views:
                owners[value] = frozenset().union(*(owners.get(v, frozenset({v})) for v in views[value]))
    return owners


def find_lifetimes(structure: Structure, owners: Mapping[int, frozenset[int]]) -> dict[int, tuple[int, int]]:
    """Return, for every value that a step computes into memory, the first and last step that need it."""
    end = len(structure.steps)
    lifetimes: dict[int, tuple[int, int]] = {}

    def use(value: int, at: int) -> None:
        for owner in owners.get(value, (value,)):
            if owner in lifetimes:
                lifetimes[owner] = (lifetimes[owner][0], at)

    for at, step in enumerate(structure.steps):
        if step.run:
            unread = step.op.shape_only(len(step.inputs))
            for i, value in enumerate(step.inputs):
                if i not in unread:
                    use(value, at)
            lifetimes.update((value, (at, at)) for value in step.outputs if value not in owners)
    for value in structure.results:
        use(value, end)
    return lifetimes


def assign_buffers(specs: Sequence[Spec], lifetimes: Mapping[int, tuple[int, int]]) -> Arena:
    """Return offsets such that values whose lifetimes meet do not overlap, the block kept small.

    First fit, in the order in which the values are made.
    """
    offsets: dict[int, int] = {}
    free: list[tuple[int, int]] = []  # (offset, nbytes), by offset
    top = 0
    ending: dict[int, list[int]] = {}
    for value, (_, last) in lifetimes.items():
        ending.setdefault(last, []).append(value)
    done = -1
    for value, (first, _) in sorted(lifetimes.items(), key=lambda item: item[1][0]):
        for at in range(done + 1, first):
            for dead in ending.get(at, ()):
                _release(free, offsets[dead], rounded(specs[dead]))
        done = max(done, first - 1)
        nbytes = rounded(specs[value])
        found = next((i for i, (_, room) in enumerate(free) if room >= nbytes), None)
        if found is None:
            offsets[value] = top
            top += nbytes
        else:
            offset, room = free.pop(found)
            offsets[value] = offset
            if room > nbytes:
                free.insert(found, (offset + nbytes, room - nbytes))
    return Arena(offsets, top)


def rounded(spec: Spec) -> int:
    """Return the bytes that a value takes in a block, at least one cache line."""
    return -(-max(spec.nbytes or 0, 1) // ALIGNMENT) * ALIGNMENT


def _release(free: list[tuple[int, int]], offset: int, nbytes: int) -> None:
    """Put a block back, joined with the free ones at its sides."""
    at = next((i for i, (start, _) in enumerate(free) if start > offset), len(free))
    if at < len(free) and offset + nbytes == free[at][0]:
        nbytes += free.pop(at)[1]
    if at and sum(free[at - 1]) == offset:
        offset, nbytes = free[at - 1][0], nbytes + free.pop(at - 1)[1]
        at -= 1
    free.insert(at, (offset, nbytes))
