"""Which groups may write variables where they are, when all that can fail is over."""

from collections.abc import Callable, Mapping, Sequence

from opgraph.op import Kernel
from opgraph.passes.buffers import Lifetimes, Owners, works_in_place
from opgraph.plan import Group
from opgraph.structure import Step, Structure


def find_commits(
    structure: Structure,
    groups: Sequence[Group],
    owners: Owners,
    lifetimes: Lifetimes,
    kernels: Mapping[int, Kernel],
    cannot_fail: Callable[[Step], bool],
) -> dict[int, dict[int, int]]:
    """Return the groups, by position, that make new values of variables and nothing else: the variable by the value.

    Such a group can run last and write the variables' own memory, block by block. Within it each block is
    read for the last time before it is written, and it reads no variable that is written by anything else.

    Parameters
    ----------
    cannot_fail
        Whether a step is one call, written in C, that raises nothing.
    """
    updated = {variable for variable, _ in structure.updates}
    return {
        at: targets
        for at, targets in _candidates(structure, groups, owners, lifetimes).items()
        if all(map(cannot_fail, groups[at].steps))
        and _read(groups[at], owners).isdisjoint(updated.difference(targets.values()))
        and _reads_before_writing(groups[at], targets, owners, kernels)
    }


def _candidates(
    structure: Structure, groups: Sequence[Group], owners: Owners, lifetimes: Lifetimes
) -> dict[int, dict[int, int]]:
    """Return the groups all of whose results go into one variable each, and nowhere else."""
    targets: dict[int, int] = {}
    elsewhere = {owner for value in structure.fetches for owner in owners.get(value, (value,))}
    for variable, value in structure.updates:
        if value in targets:
            elsewhere.add(value)
        targets[value] = variable
    for at, group in enumerate(groups):
        elsewhere.update(v for v in _read(group, owners) if v in lifetimes and lifetimes[v][0] != at)
    elsewhere.update(owner for value in targets for owner in owners.get(value, ()))
    results: dict[int, list[int]] = {}
    for value, (made, _) in lifetimes.items():
        results.setdefault(made, []).append(value)
    return {
        at: {value: targets[value] for value in made}
        for at, made in results.items()
        if groups[at].shape is not None and all(v in targets and v not in elsewhere for v in made)
    }


def _reads_before_writing(
    group: Group, targets: Mapping[int, int], owners: Owners, kernels: Mapping[int, Kernel]
) -> bool:
    """Whether no step reads a variable's old value after the step that makes the new one."""
    written: set[int] = set()
    for step in group.steps:
        new = {targets[v] for v in step.outputs if v in targets}
        for i in step.reads():
            read = owners.get(step.inputs[i], {step.inputs[i]})
            if not read.isdisjoint(written) or (not read.isdisjoint(new) and not works_in_place(step, kernels)):
                return False
            if step.inputs[i] in owners and not read.isdisjoint(targets.values()):
                return False
        written |= new
    return True


def _read(group: Group, owners: Owners) -> set[int]:
    """Return the values whose memory the steps read."""
    read = {step.inputs[i] for step in group.steps for i in step.reads()}
    return {owner for value in read for owner in owners.get(value, (value,))}
