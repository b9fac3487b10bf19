"""From a structure and its sizes to a plan: every step with its arrays."""

import functools
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from opgraph.build import contract
from opgraph.errors import KernelError, OpgraphError, placing
from opgraph.op import Array, Kernel
from opgraph.passes.blocks import TILE, blocks_of
from opgraph.passes.buffers import Lifetimes, assign_joined_buffers, find_lifetimes, find_reuse
from opgraph.passes.calls import CallMaker, KernelChoice, Work, is_reduction, shape_of_parts
from opgraph.passes.chosen import check_kernel
from opgraph.passes.commit import find_commits
from opgraph.passes.fuse import alone, computes, fuse
from opgraph.passes.memory import array_over, new_memory, rounded
from opgraph.passes.order import order
from opgraph.passes.views import find_views, set_views
from opgraph.plan import (
    Arena,
    Block,
    Blueprint,
    Environment,
    Group,
    Plan,
    Rebinding,
    Run,
    Section,
    read_only,
    results_nbytes,
)
from opgraph.spec import Spec, known_shape
from opgraph.structure import Step, Structure

SMALL_FEED = 1 << 16  # bytes
LARGE_RESULT = 1 << 19
REDUCES = 64  # times smaller is what is made of the blocks of a group, part by part
LARGE_PRODUCT = 1 << 22  # beyond the caches; benchmarks/epilogue.py measures from where on it pays to work by rows
THIN_PRODUCT = 256  # operations for each element
CALLS_AT_ONCE = 1 << 12  # of all threads that share a group, which take 0.1 s to make


@dataclass(frozen=True)
class Layout:
    """What a plan may do for speed.

    Attributes
    ----------
    batch
        Compute at once what is computed many times over on small values.
    order
        Run early what takes no room in memory.
    fuse
        Work on chains of steps block by block.
    inplace
        Write values over others that nobody needs any more.
    commit
        Write variables where they are.
    tile
        How many elements a block has, about.
    threads
        How many threads share the blocks.
    """

    batch: bool = True
    order: bool = True
    fuse: bool = True
    inplace: bool = True
    commit: bool = True
    tile: int = TILE
    threads: int = 1


def bind(
    structure: Structure,
    specs: Sequence[Spec],
    variables: Sequence[Array],
    choose: KernelChoice,
    layout: Layout,
) -> Plan:
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
        return _Binder(structure, specs, variables, choose, layout).plan()
    except MemoryError:
        largest = max([*structure.labels, *structure.makers], key=lambda value: specs[value].nbytes or 0)
        maker = structure.maker(largest)
        detail = f"the buffers take more memory than there is; the largest is {structure.describe(largest, specs)}"
        raise KernelError(detail).located("plan", source=maker.source if maker else None) from None


class _Binder:
    """Groups the steps, lays out the memory, and has the calls over it made."""

    def __init__(
        self,
        structure: Structure,
        specs: Sequence[Spec],
        variables: Sequence[Array],
        choose: KernelChoice,
        layout: Layout,
    ) -> None:
        self.structure, self.owners, self.offsets, self.joined = find_views(structure, specs, layout.inplace)
        if layout.order:
            self.structure = order(self.structure, specs, self.owners)
        self.specs = specs
        self.choose = choose
        self.layout = layout
        self.storages = dict(zip(self.structure.variables, variables, strict=True))
        # a small value is copied for less than it takes to bind to another one's memory
        self.copied = {v for v in self.structure.feeds if (specs[v].nbytes or 0) <= SMALL_FEED}
        self.feeds = frozenset(self.structure.feeds) - self.copied
        self.passing = {value for value in range(len(specs)) if self._lies_in(value, self.feeds)}
        self.arrays: Environment = [None] * len(specs)
        self.writable: dict[int, Array] = {}
        self.kernels: dict[int, Kernel] = {}  # by the step's first output
        self.feed_views: list[tuple[Run, Step]] = []

    def plan(self) -> Plan:
        """Return the plan."""
        groups = self._groups()
        commits = self._commits(groups)
        ordinary = [group for at, group in enumerate(groups) if at not in commits]
        last = [groups[at] for at in commits]
        targets = {value: variable for made in commits.values() for value, variable in made.items()}
        lifetimes = find_lifetimes(self.structure, [*ordinary, *last], self.owners)
        made = {v: at for at, group in enumerate([*ordinary, *last]) for step in group.steps for v in step.outputs}
        for part in itertools.chain.from_iterable(self.joined.values()):
            lifetimes.setdefault(part, (made[part], made[part]))  # it has its place, though nobody may look there
        for value in targets:
            del lifetimes[value]
        reduced = {step.outputs[0] for group in groups for step in group.steps if is_reduction(step, group)}
        returned = self._returned(lifetimes) - reduced
        self.passing |= returned
        for value in returned:
            del lifetimes[value]
        outside = lifetimes.keys() | targets.keys() | returned
        # what a step reads as a whole, which works by rows, is not written over while there are rows to do
        by_rows = [s.inputs for g in groups if g.shape for s in g.steps if self.kernels[s.outputs[0]].rows is not None]
        fixed = frozenset().union(*self.joined.values(), *by_rows)
        reuse = {}
        if self.layout.inplace:
            reuse = find_reuse(ordinary, self.specs, self.owners, lifetimes, fixed, self.kernels)
        arena = assign_joined_buffers(self.specs, lifetimes, reuse, self.joined.values())
        self._lay_out(arena, targets)
        staging = self._staging(targets)
        maker = CallMaker(
            self.specs, self.arrays, self.writable, self.passing, self.kernels, self._kernel, self.layout.tile
        )
        works = [maker.work(group, outside, self.layout.inplace) for group in ordinary + last]
        shared = [work.worth_sharing for work in works]
        room = max((work.nbytes for work in works), default=0)
        memories = [new_memory(room) for _ in range(self.layout.threads if any(shared) else 1)]

        rebindings: list[Rebinding] = []
        calls, makers = _bound_calls(maker, works[: len(ordinary)], shared, memories, rebindings)
        writers = memories if any(shared[len(ordinary) :]) else memories[:1]
        writes = _bound_writes(maker, works[len(ordinary) :], writers, rebindings)
        return Plan(
            structure=self.structure,
            specs=self.specs,
            groups=[*ordinary, *last],
            calls=calls,
            makers=makers,
            commits=writes,
            staged=[at for at, (_, value) in enumerate(self.structure.updates) if value not in targets],
            copied={value: self.writable[value] for value in self.copied},
            feed_views=self.feed_views,
            rebindings=rebindings,
            arrays=self.arrays,
            passing=self.passing,
            returned=returned,
            staging=staging,
            threads=self.layout.threads,
            nbytes=arena.nbytes
            + sum(memory.nbytes for memory in memories)
            + sum(work.nbytes_of_parts for work in works)
            + sum(array.nbytes for array in staging.values())
            + results_nbytes(self.specs[v] for v in self.structure.fetches),
            blueprint=Blueprint(
                kernels=self.kernels,
                blocks=[len(work.blocks) for work in works],
                threads=[len(memories) if share else 1 for share in shared[: len(ordinary)]]
                + [len(writers)] * len(last),
                owners=self.owners,
                arena=arena,
                reuse=reuse,
                targets=targets,
            ),
        )

    def _returned(self, lifetimes: Lifetimes) -> set[int]:
        """Return the large values that are made in the memory that is handed out, and not copied into it."""
        shown = frozenset().union(*self.owners.values())
        written = {value for _, value in self.structure.updates}
        return {
            value
            for value in self.structure.fetches
            if value in lifetimes
            and value not in shown
            and value not in written
            and (self.specs[value].nbytes or 0) >= LARGE_RESULT
            and self.layout.inplace
        }

    def _groups(self) -> list[Group]:
        """Choose a kernel for each step that computes something, and return which steps run together."""
        steps = self.structure.steps
        fusable, reducing, leading = set(), set(), set()
        for at, step in enumerate(steps):
            if computes(step, self.owners):
                kernel = self._kernel(step, [self.specs[v] for v in step.inputs], [self.specs[v] for v in step.outputs])
                self.kernels[step.outputs[0]] = kernel
                if kernel.blocks:
                    fusable.add(at)
                elif kernel.combine is not None and self._reduces(step):
                    reducing.add(at)
                elif kernel.rows is not None and self._is_thin(step):
                    leading.add(at)
        if self.layout.fuse:
            return fuse(self.structure, self.specs, self.owners, fusable, reducing, leading)
        return alone(self.structure, self.owners)

    def _reduces(self, step: Step) -> bool:
        """Whether what `step` makes of blocks is small beside these."""
        x = self.specs[step.inputs[0]]
        shape = shape_of_parts(step, x, blocks_of(known_shape(x.shape), self.layout.tile))
        return REDUCES * math.prod(shape) <= (x.shape.size or 0)

    def _is_thin(self, step: Step) -> bool:
        """Whether to make what `step` makes takes not much longer than to write it to memory and to read it again."""
        ins, outs = (tuple([self.specs[v] for v in values]) for values in (step.inputs, step.outputs))
        if len(outs) > 1 or len(step.reads()) < len(ins) or (outs[0].nbytes or 0) < LARGE_PRODUCT:
            return False
        (out,) = outs
        row = math.prod(known_shape(out.shape)[1:])
        with placing(step.what, step.source), contract("flops"):
            return row <= self.layout.tile and step.op.flops(ins, outs) <= THIN_PRODUCT * (out.shape.size or 0)

    def _commits(self, groups: Sequence[Group]) -> dict[int, dict[int, int]]:
        if not self.layout.commit:
            return {}
        lifetimes = find_lifetimes(self.structure, groups, self.owners)

        def cannot_fail(step: Step) -> bool:
            ufunc = self.kernels[step.outputs[0]].ufunc
            of_floats = all(self.specs[v].dtype.kind in "fc" for v in step.outputs)  # powers of integers may raise
            return ufunc is not None and getattr(np, ufunc.__name__, None) is ufunc and of_floats

        return find_commits(self.structure, groups, self.owners, lifetimes, self.kernels, cannot_fail)

    def _kernel(self, step: Step, ins: Iterable[Spec], outs: Iterable[Spec]) -> Kernel:
        """Return the kernel of `step`, with an error of the op's or the kernel set's own placed."""
        ins, outs = tuple(ins), tuple(outs)
        try:
            with contract("scratch, by_rows or kernel factory"):
                kernel = self.choose(step.op, ins, outs)
            check_kernel(step.op, kernel, ins, outs)
        except OpgraphError as error:
            raise error.located(step.what, source=step.source) from error.__cause__
        return kernel

    def _lay_out(self, arena: Arena, targets: Mapping[int, int]) -> None:
        """Make the arrays of all values but those that live within blocks alone."""
        memory = new_memory(arena.nbytes)
        self.writable = {v: array_over(memory, offset, self.specs[v]) for v, offset in arena.offsets.items()}
        self.writable.update((value, self.storages[variable]) for value, variable in targets.items())
        self.writable.update((v, array_over(new_memory(rounded(self.specs[v])), 0, self.specs[v])) for v in self.copied)
        for value, array in [*self.storages.items(), *self.structure.constants.items(), *self.writable.items()]:
            self.arrays[value] = read_only(array)
        for value in self.structure.keys:
            self.arrays[value] = np.empty(4, np.uint64)
        for value, parts in self.joined.items():
            self.arrays[value] = read_only(array_over(memory, arena.offsets[parts[0]], self.specs[value]))
        for step in self.structure.steps:
            if step.run and step.outputs[0] in self.owners and step.op.has_view():
                if self._lies_in(step.outputs[0], self.feeds):
                    self.feed_views.append((self._feed_view(step), step))
                elif all(self.arrays[step.inputs[i]] is not None for i in step.reads()):
                    with placing(step.what, step.source):
                        set_views(step, self.specs, self.arrays)
                # or else it shows what lives within blocks alone, and only its shape is read

    def _feed_view(self, step: Step) -> Run:
        """Return what puts the views that `step` makes of what a run feeds among the arrays."""
        if not all(value in self.offsets for value in step.outputs):
            return functools.partial(set_views, step, self.specs, self.arrays)
        views = []
        for value in step.outputs:
            (owner,) = self.owners[value]
            views.append((value, owner, known_shape(self.specs[value].shape), *self.offsets[value]))
        return functools.partial(_show, views, [self.specs[v].dtype for v in step.outputs], self.arrays)

    def _staging(self, targets: Mapping[int, int]) -> dict[int, Array]:
        """Return memory for new values that a variable or a feed holds, which a write could change or a caller has."""
        outside = self.feeds | self.storages.keys()
        return {
            value: array_over(new_memory(rounded(self.specs[value])), 0, self.specs[value])
            for _, value in self.structure.updates
            if value not in targets and self._lies_in(value, outside)
        }

    def _lies_in(self, value: int, leaves: frozenset[int]) -> bool:
        return not leaves.isdisjoint(self.owners.get(value, (value,)))


def _bound_calls(
    maker: CallMaker,
    works: Sequence[Work],
    shared: Sequence[bool],
    memories: Sequence[Array],
    rebindings: list[Rebinding],
) -> tuple[list[Run], list[Step]]:
    """Return the calls of groups, and the step that each belongs to."""
    calls: list[Run] = []
    makers: list[Step] = []
    for work, share in zip(works, shared, strict=False):
        if share and len(memories) > 1:
            calls.append(_section(maker, work, memories))
            makers.append(work.group.steps[0])
        else:
            for block in work.blocks:
                maker.append(calls, rebindings, work, block, memories[0])
                makers += work.group.steps
        for call, step in maker.combining(work):
            calls.append(call)
            makers.append(step)
    return calls, makers


def _bound_writes(
    maker: CallMaker, works: Sequence[Work], memories: Sequence[Array], rebindings: list[Rebinding]
) -> list[list[list[Run]]]:
    """Return, for each thread, the calls of each block of the groups that write variables where they are."""
    writes: list[list[list[Run]]] = [[] for _ in memories]
    for own, memory in zip(writes, memories, strict=True):
        for work in works:
            for block in work.blocks:
                own.append([])
                maker.append(own[-1], rebindings, work, block, memory)
    return writes


def _section(maker: CallMaker, work: Work, memories: Sequence[Array]) -> Section:
    """Return what has threads share the blocks of `work`, each with a memory of its own."""

    def made(worker: int, at: int) -> Block:
        block = Block([], [])
        maker.append(block.calls, block.rebindings, work, work.blocks[at], memories[worker])
        return block

    # who has many threads would wait long for calls of which most are made by none of them
    at_once = len(memories) * len(work.blocks) * len(work.group.steps) <= CALLS_AT_ONCE
    workers: list[list[Block | None]] = [
        [made(worker, at) if at_once or not worker else None for at in range(len(work.blocks))]
        for worker in range(len(memories))
    ]
    return Section(work.group.steps, workers, made)


def _show(views: Sequence[tuple[int, int, Any, int, Any]], dtypes: Sequence[Any], arrays: Environment) -> None:
    """Put views of what is fed, which is contiguous, among the arrays."""
    for (value, owner, shape, offset, strides), dtype in zip(views, dtypes, strict=True):
        arrays[value] = np.ndarray(shape, dtype, arrays[owner], offset, strides)
