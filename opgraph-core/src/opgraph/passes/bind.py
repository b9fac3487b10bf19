"""From a structure and its sizes to a plan: every step with its arrays."""

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from opgraph.build import contract
from opgraph.errors import KernelError, OpgraphError
from opgraph.op import Array, Kernel, Op, Specs
from opgraph.passes.buffers import (
    array_over,
    assign_buffers,
    checked_view,
    find_lifetimes,
    find_owners,
    find_views,
    new_memory,
    rounded,
    stand_in,
)
from opgraph.plan import Environment, Instruction, Plan, Step, Structure, read_only
from opgraph.spec import Spec

KernelChoice: TypeAlias = Callable[[Op, Specs, Specs], Kernel]


def bind(structure: Structure, specs: Sequence[Spec], variables: Sequence[Array], choose: KernelChoice) -> Plan:
    """Return the plan of `structure` for the sizes in `specs`.

    Parameters
    ----------
    variables
        The variables' own memory, in the structure's order.
    choose
        Returns an op's kernel, given the specs of what goes in and what comes out.

    Raises
    ------
    KernelError
        Where an op's own methods fail, or the buffers do not fit into memory.
    """
    try:
        return _bound(structure, specs, variables, choose)
    except MemoryError:
        largest = max(range(len(specs)), key=lambda value: specs[value].nbytes or 0)
        maker = structure.maker(largest)
        detail = f"the buffers take more memory than there is; the largest is {structure.describe(largest, specs)}"
        raise KernelError(detail).located("plan", source=maker.source if maker else None) from None


def _bound(structure: Structure, specs: Sequence[Spec], variables: Sequence[Array], choose: KernelChoice) -> Plan:
    owners = find_owners(structure, find_views(structure, specs))
    arena = assign_buffers(specs, find_lifetimes(structure, owners))
    memory = new_memory(arena.nbytes)
    arrays: Environment = [None] * len(specs)
    for value, offset in arena.offsets.items():
        arrays[value] = array_over(memory, offset, specs[value])
    for value, array in [*zip(structure.variables, variables, strict=True), *structure.constants.items()]:
        arrays[value] = read_only(array)
    for value in structure.keys:
        arrays[value] = np.empty(4, np.uint64)

    def lies_in(value: int, leaves: set[int]) -> bool:
        return not leaves.isdisjoint(owners.get(value, (value,)))

    feeds = set(structure.feeds)
    passing = {value for value in range(len(specs)) if lies_in(value, feeds)}
    outside = feeds | set(structure.variables)
    staging = {
        v: array_over(new_memory(rounded(specs[v])), 0, specs[v]) for _, v in structure.updates if lies_in(v, outside)
    }

    kernels = {at: _kernel(step, specs, choose) for at, step in enumerate(structure.steps) if _computes(step, owners)}
    scratch = new_memory(max((sum(map(rounded, k.scratch)) for k in kernels.values()), default=0))
    instructions = []
    for at, step in enumerate(structure.steps):
        if at in kernels:
            instructions.append(_computation(step, specs, arrays, passing, kernels[at], scratch))
            for value in step.outputs:
                arrays[value] = read_only(arrays[value])  # for all kernels but the one that fills it
        elif step.run and lies_in(step.outputs[0], feeds):
            instructions.append(_feed_view(step, specs, arrays))
        elif step.run:
            _set_views(step, specs, arrays)
    nbytes = arena.nbytes + scratch.nbytes + sum(a.nbytes for a in staging.values())
    return Plan(structure, specs, instructions, arrays, passing, staging, nbytes)


def _computes(step: Step, owners: Mapping[int, object]) -> bool:
    return step.run and step.outputs[0] not in owners


def _kernel(step: Step, specs: Sequence[Spec], choose: KernelChoice) -> Kernel:
    """Return the kernel of `step`, with an error of the op's or the kernel set's own placed."""
    try:
        with contract("scratch or kernel factory"):
            kernel = choose(step.op, tuple([specs[v] for v in step.inputs]), tuple([specs[v] for v in step.outputs]))
        if not isinstance(kernel, Kernel):
            raise KernelError(f"its kernel factory returned {kernel!r}, not a Kernel or None")
        if not isinstance(kernel.scratch, tuple) or not all(isinstance(s, Spec) for s in kernel.scratch):
            raise KernelError(f"its scratch returned {kernel.scratch!r}, not a tuple of Specs")
    except OpgraphError as error:
        raise error.located(step.op.short_name(), source=step.source) from error.__cause__
    return kernel


def _computation(
    step: Step, specs: Sequence[Spec], arrays: Environment, passing: set[int], kernel: Kernel, memory: Array
) -> Instruction:
    """Return the instruction that calls `kernel`, its arrays bound but for those that pass through."""
    rest: list[tuple[Array, ...]] = [tuple(arrays[v] for v in step.outputs)]
    if kernel.scratch:
        starts = itertools.accumulate(map(rounded, kernel.scratch), initial=0)
        rest.append(tuple(array_over(memory, at, spec) for at, spec in zip(starts, kernel.scratch, strict=False)))
    ins = _inputs(step, specs, arrays)
    changing = [(i, v) for i, v in enumerate(step.inputs) if v in passing and i not in _unread(step)]
    if not changing:
        return Instruction(functools.partial(kernel.run, tuple(ins), *rest), step)

    def run() -> object:
        given = ins.copy()  # what a run feeds is not kept, whether it fails or not
        for i, value in changing:
            given[i] = arrays[value]
        returned: object = kernel.run(tuple(given), *rest)
        return returned

    return Instruction(run, step)


def _feed_view(step: Step, specs: Sequence[Spec], arrays: Environment) -> Instruction:
    """Return the instruction that views what was fed, since every run feeds other memory."""
    return Instruction(functools.partial(_set_views, step, specs, arrays), step)


def _set_views(step: Step, specs: Sequence[Spec], arrays: Environment) -> None:
    views = checked_view(step, tuple(_inputs(step, specs, arrays)), specs)
    if views is None:
        raise KernelError("its view returned None where it gave a view of the same layout before")
    for value, view in zip(step.outputs, views, strict=True):
        arrays[value] = view


def _inputs(step: Step, specs: Sequence[Spec], arrays: Environment) -> list[Any]:
    unread = _unread(step)
    return [stand_in(specs[v]) if i in unread else arrays[v] for i, v in enumerate(step.inputs)]


def _unread(step: Step) -> frozenset[int]:
    return step.op.shape_only(len(step.inputs))
