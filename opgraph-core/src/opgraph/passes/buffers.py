"""How long each value's memory is needed, which values take over that of others, and where all of it lies."""

import itertools
from collections.abc import Iterable, Mapping, Sequence, Set

from opgraph.op import Elementwise, Kernel
from opgraph.passes.memory import ALIGNMENT, rounded
from opgraph.plan import Arena, Group
from opgraph.spec import Spec
from opgraph.structure import Step, Structure

Owners = Mapping[int, frozenset[int]]
Lifetimes = dict[int, tuple[int, int]]


def find_lifetimes(structure: Structure, groups: Sequence[Group], owners: Owners) -> Lifetimes:
    """Return the first and the last group that need each value, of those needed after the group that makes them.

    What only its own group reads, block by block, is left out.
    """
    made: dict[int, int] = {}
    lifetimes: Lifetimes = {}

    def use(value: int, at: int) -> None:
        for owner in owners.get(value, (value,)):
            if owner in made and (owner != value or made[owner] != at or groups[at].shape is None):
                lifetimes[owner] = (made[owner], at)

    for at, group in enumerate(groups):
        for step in group.steps:
            for i in step.reads():
                use(step.inputs[i], at)
            for value in step.outputs:
                made[value] = at
                if group.shape is None:
                    lifetimes[value] = (at, at)
    for value in structure.results:
        use(value, len(groups))
    return lifetimes


def find_local_lifetimes(group: Group, outside: Iterable[int]) -> Lifetimes:
    """Return the first and the last step, by position in `group`, that need each value not needed `outside`."""
    lifetimes: Lifetimes = {}
    for at, step in enumerate(group.steps):
        for i in step.reads():
            value = step.inputs[i]
            if value in lifetimes:
                lifetimes[value] = (lifetimes[value][0], at)
        lifetimes.update((value, (at, at)) for value in step.outputs if value not in outside)
    return lifetimes


def find_reuse(
    groups: Sequence[Group],
    specs: Sequence[Spec],
    owners: Owners,
    lifetimes: Lifetimes,
    fixed: Set[int],
    kernels: Mapping[int, Kernel],
) -> dict[int, int]:
    """Return values that are written over one that dies in their group, with that one.

    Blocks lie alike in both, and whoever reads the old value in the group does so before, or in the very step
    that writes, if its kernel is right in place. Values that are `fixed` to a place of their own are left alone.
    """
    reuse: dict[int, int] = {}
    for at, group in enumerate(groups):
        if group.shape is None:
            continue
        dying: dict[int, int] = {}  # with the last step that reads them
        shown: set[int] = set()
        for position, step in enumerate(group.steps):
            for i in step.reads():
                value = step.inputs[i]
                shown.update(owners.get(value, ()))
                if value in lifetimes and value not in fixed and lifetimes[value][0] < at == lifetimes[value][1]:
                    dying[value] = position
        for position, step in enumerate(group.steps):
            target = step.outputs[0]
            if specs[target].shape != group.shape or group.shape.size == 1:  # see find_local_reuse
                continue
            if target in lifetimes and target not in fixed:
                donor = next(
                    (
                        value
                        for value, last in dying.items()
                        if specs[value] == specs[target]
                        and value not in shown
                        and (last < position or (last == position and works_in_place(step, kernels)))
                    ),
                    None,
                )
                if donor is not None:
                    del dying[donor]
                    reuse[target] = donor
    return reuse


def find_local_reuse(
    group: Group, specs: Sequence[Spec], lifetimes: Lifetimes, kernels: Mapping[int, Kernel]
) -> dict[int, int]:
    """Return the values of `group` that a step may write over one that it is the last to read, with that one.

    But for single elements: NumPy takes them to overlap, and copies first, which makes a call three times as long.
    """
    reuse: dict[int, int] = {}
    for at, step in enumerate(group.steps):
        target = step.outputs[0]
        if target in lifetimes and works_in_place(step, kernels) and specs[target].shape.size != 1:
            for value in step.inputs:
                if value in lifetimes and lifetimes[value][1] == at and specs[value] == specs[target]:
                    reuse[target] = value
                    break
    return reuse


def works_in_place(step: Step, kernels: Mapping[int, Kernel]) -> bool:
    """Whether the first output of `step` may lie where one of its inputs does: an op promises it of its own kernel."""
    op = step.op
    if not isinstance(op, Elementwise) or not op.inplace or len(step.outputs) > 1:
        return False
    kernel = kernels[step.outputs[0]]
    return kernel.ufunc is not None or kernel.run == op.compute


def assign_joined_buffers(
    specs: Sequence[Spec], lifetimes: Lifetimes, reuse: Mapping[int, int], joined: Iterable[Sequence[int]]
) -> Arena:
    """Return offsets as `assign_buffers` does, where some values lie one directly after the other."""
    sizes = {value: rounded(specs[value]) for value in lifetimes}
    merged = dict(lifetimes)
    behind: dict[int, tuple[int, int]] = {}
    for parts in joined:
        first, last = zip(*[merged.pop(part) for part in parts], strict=True)
        merged[parts[0]] = min(first), max(last)
        ends = list(itertools.accumulate(specs[part].nbytes or 0 for part in parts))
        behind.update((part, (parts[0], end)) for part, end in zip(parts[1:], ends, strict=False))
        sizes[parts[0]] = -(-ends[-1] // ALIGNMENT) * ALIGNMENT
    arena = assign_buffers(sizes, merged, reuse)
    offsets = {value: arena.offsets[head] + start for value, (head, start) in behind.items()}
    return Arena({**arena.offsets, **offsets}, arena.nbytes)


def assign_buffers(sizes: Mapping[int, int], lifetimes: Lifetimes, reuse: Mapping[int, int]) -> Arena:
    """Return offsets such that values whose lifetimes meet do not overlap, the block kept small.

    First fit, in the order in which the values are made.

    Parameters
    ----------
    sizes
        Bytes by value.
    reuse
        Values that lie where another one did, which ends as they begin.
    """
    heirs: dict[int, int] = {}
    merged = dict(lifetimes)
    for value, donor in reuse.items():
        root = heirs.get(donor, donor)
        heirs[value] = root
        merged[root] = (merged[root][0], merged.pop(value)[1])
    offsets: dict[int, int] = {}
    free: list[tuple[int, int]] = []  # (offset, nbytes), by offset
    top = 0
    ending: dict[int, list[int]] = {}
    for value, (_, last) in merged.items():
        ending.setdefault(last, []).append(value)
    done = -1
    for value, (first, _) in sorted(merged.items(), key=lambda item: item[1][0]):
        for at in range(done + 1, first):
            for dead in ending.get(at, ()):
                _release(free, offsets[dead], sizes[dead])
        done = max(done, first - 1)
        nbytes = sizes[value]
        found = next((i for i, (_, room) in enumerate(free) if room >= nbytes), None)
        if found is None:
            offsets[value] = top
            top += nbytes
        else:
            offset, room = free.pop(found)
            offsets[value] = offset
            if room > nbytes:
                free.insert(found, (offset + nbytes, room - nbytes))
    offsets.update((value, offsets[root]) for value, root in heirs.items())
    return Arena(offsets, top)


def _release(free: list[tuple[int, int]], offset: int, nbytes: int) -> None:
    """Put a block back, joined with the free ones at its sides."""
    at = next((i for i, (start, _) in enumerate(free) if start > offset), len(free))
    if at < len(free) and offset + nbytes == free[at][0]:
        nbytes += free.pop(at)[1]
    if at and sum(free[at - 1]) == offset:
        offset, nbytes = free[at - 1][0], nbytes + free.pop(at - 1)[1]
        at -= 1
    free.insert(at, (offset, nbytes))
