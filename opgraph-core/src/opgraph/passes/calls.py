"""Calls: kernels with their arrays bound, for each block of each group of steps."""

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from opgraph.errors import KernelError, raised
from opgraph.op import Array, Arrays, Kernel, Op, Specs
from opgraph.passes.blocks import Block, blocks_of, part_of, spec_of_part
from opgraph.passes.buffers import assign_buffers, find_local_lifetimes, find_local_reuse
from opgraph.passes.memory import address, array_over, rounded, stand_in
from opgraph.plan import Environment, Group, Rebinding, Run, read_only
from opgraph.spec import Spec, known_shape, normalize_axes
from opgraph.structure import Step

KernelChoice: TypeAlias = Callable[[Op, Specs, Specs], Kernel]

WORTH_SHARING = 1 << 18  # elements times steps: less is done before a helper wakes


@dataclass(frozen=True)
class Work:
    """A group with its blocks, and where the values that live within one of them lie in a worker's memory.

    Attributes
    ----------
    offsets
        In bytes, by value; the work space of the kernel at position `n` goes by ``-n - 1``.
    parts
        Of each value that the group reduces, what its blocks have given: one entry for each block, along the axes
        that are cut. Where those stay, it is the value itself.
    """

    group: Group
    blocks: Sequence[Block]
    offsets: Mapping[int, int]
    nbytes: int
    parts: Mapping[int, Array]

    @property
    def nbytes_of_parts(self) -> int:
        """What the parts take that are not where the value is."""
        return sum(parts.nbytes for parts in self.parts.values() if parts.base is None)

    @property
    def worth_sharing(self) -> bool:
        """Whether threads that share the blocks gain more than it costs to wake them."""
        size = 0 if self.group.shape is None else self.group.shape.size or 0
        return len(self.blocks) > 1 and size * len(self.group.steps) >= WORTH_SHARING


class CallMaker:
    """Makes the calls of one plan.

    Parameters
    ----------
    arrays, writable
        Each value's array, but for those that live within blocks alone; and those of them that steps fill.
    passing
        The values whose arrays come with each run.
    kernels
        Each step's kernel, by its first output.
    choose
        Returns a step's kernel for a block of other sizes.
    tile
        How many elements a block has, about.
    """

    def __init__(
        self,
        specs: Sequence[Spec],
        arrays: Environment,
        writable: Mapping[int, Array],
        passing: Set[int],
        kernels: Mapping[int, Kernel],
        choose: Callable[[Step, Iterable[Spec], Iterable[Spec]], Kernel],
        tile: int,
    ) -> None:
        self.specs = specs
        self.arrays = arrays
        self.writable = writable
        self.passing = passing
        self.kernels = kernels
        self.choose = choose
        self.tile = tile

    def work(self, group: Group, outside: Set[int], inplace: bool) -> Work:
        """Return how `group` is cut into blocks, and what these need; values needed `outside` have their memory."""
        blocks: Sequence[Block] = [()] if group.shape is None else blocks_of(known_shape(group.shape), self.tile)
        lifetimes = find_local_lifetimes(group, outside)
        reuses = inplace and group.shape is not None
        reuse = find_local_reuse(group, self.specs, lifetimes, self.kernels) if reuses else {}
        sizes = {value: rounded(self._spec(value, group, blocks[0])) for value in lifetimes}
        for at, step in enumerate(group.steps):
            if self.kernels[step.outputs[0]].scratch:
                # a block at the edge is smaller, but nobody says that it wants less
                kernels = [self._kernel(step, group, block) for block in (blocks[0], blocks[-1])]
                lifetimes[-at - 1] = at, at
                sizes[-at - 1] = max(sum(map(rounded, kernel.scratch)) for kernel in kernels)
        arena = assign_buffers(sizes, lifetimes, reuse)
        parts = {s.outputs[0]: self._parts(s, blocks) for s in group.steps if is_reduction(s, group)}
        return Work(group, blocks, arena.offsets, arena.nbytes, parts)

    def combining(self, work: Work) -> Iterator[tuple[Run, Step]]:
        """Yield the calls that follow the group's blocks, each with its step: they combine what the blocks gave."""
        for step in work.group.steps:
            if is_reduction(step, work.group):
                (value,), parts = step.outputs, work.parts[step.outputs[0]]
                out = self.writable[value]
                if parts.size > out.size:
                    op: Any = step.op
                    reduce = self.kernels[value].combine.reduce  # type: ignore[union-attr]  # it has one
                    yield (
                        functools.partial(
                            reduce, read_only(parts), axis=op.axes, dtype=out.dtype, out=out, keepdims=op.keepdims
                        ),
                        step,
                    )

    def _parts(self, step: Step, blocks: Sequence[Block]) -> Array:
        """Return memory for what `step` makes of blocks."""
        (value,) = step.outputs
        shape = shape_of_parts(step, self.specs[step.inputs[0]], blocks)
        out = self.writable[value]
        return out.reshape(shape) if math.prod(shape) == out.size else np.empty(shape, out.dtype)

    def append(self, calls: list[Run], rebindings: list[Rebinding], work: Work, block: Block, memory: Array) -> None:
        """Append the calls that make up a block to others, and how those are made that touch what comes with a run.

        Parameters
        ----------
        memory
            For the values that live within the block.
        """
        cut = _Cut(self, work, block, memory)
        for at, step in enumerate(work.group.steps):
            reduces = is_reduction(step, work.group)
            outs = [cut.reduced(step)] if reduces else [cut.output(value) for value in step.outputs]
            kernel = self._reducing(step, work.group, block) if reduces else self._kernel(step, work.group, block)
            rest: tuple[Arrays, ...] = (cut.scratch(at, kernel.scratch),) if kernel.scratch else ()
            reads = step.reads()
            if kernel.rows is None or work.group.shape is None:
                parts = [cut.part(v) for v in step.inputs]
                ins = [cut.input(v) if i in reads else cut.stand_in(v) for i, v in enumerate(step.inputs)]
            else:
                parts = [block[:1] if i in kernel.rows else () for i in range(len(step.inputs))]
                ins = [cut.rows(v, part) for v, part in zip(step.inputs, parts, strict=True)]
            given = [(i, v, parts[i]) for i, v in enumerate(step.inputs) if i in reads and v in self.passing]
            filled = [(i, v, cut.part(v)) for i, v in enumerate(step.outputs) if v in self.passing]
            if given or filled:
                make = functools.partial(_rebound, step, kernel, ins, outs, rest, given, filled, self.arrays)
                rebindings.append(Rebinding(calls, len(calls), make))
                calls.append(_unbound)
            else:
                calls.append(_bound(step, kernel, ins, outs, rest))

    def _reducing(self, step: Step, group: Group, block: Block) -> Kernel:
        """Return the kernel that reduces a block, and keeps the dimensions."""
        kept = type(step.op)(**{**step.op.attributes(), "keepdims": True})
        x = self._spec(step.inputs[0], group, block)
        (out,) = kept.infer((x,))
        return self.choose(step.replaced_by(kept, step.inputs, step.outputs), [x], [out])

    def _kernel(self, step: Step, group: Group, block: Block) -> Kernel:
        """Return the kernel of `step` for a block."""
        kernel = self.kernels[step.outputs[0]]
        if not (kernel.scratch and block):
            return kernel
        specs = [[self._spec(v, group, block) for v in values] for values in (step.inputs, step.outputs)]
        return self.choose(step, *specs)

    def _spec(self, value: int, group: Group, block: Block) -> Spec:
        """Return the spec of the part of a value that belongs to a block."""
        spec = self.specs[value]
        return spec_of_part(spec, part_of(known_shape(spec.shape), len(group.shape or ()), block)) if block else spec


class _Cut:
    """The parts of values that belong to one block, each made once."""

    def __init__(self, maker: CallMaker, work: Work, block: Block, memory: Array) -> None:
        self.maker = maker
        self.work = work
        self.block = block
        self.memory = memory
        self.ndims = len(work.group.shape or ())
        self.made: dict[int, Array] = {}

    def output(self, value: int) -> Array | None:
        """Return memory for what a step makes, ``None`` where it comes with each run."""
        if value in self.maker.passing:
            return None
        if value in self.work.offsets:
            spec = self.maker._spec(value, self.work.group, self.block)
            array = array_over(self.memory, self.work.offsets[value], spec)
            self.made[value] = read_only(array)
            return array
        return self._cut(value, self.maker.writable[value])

    def input(self, value: int) -> Array | None:
        """Return what a step reads, ``None`` for what comes with each run."""
        if value not in self.made:
            if value in self.maker.passing:
                return None
            self.made[value] = self._cut(value, self.maker.arrays[value])
        return self.made[value]

    def rows(self, value: int, part: Block) -> Array | None:
        """Return the rows of a value, or all of it, that a step reads which works by rows."""
        array: Array | None = self.maker.arrays[value]
        return array if array is None or not part else array[part]

    def reduced(self, step: Step) -> Array:
        """Return memory for what the block is reduced to."""
        parts = self.work.parts[step.outputs[0]]
        axes = _reduced_axes(step, parts.ndim)
        # a block's number along an axis follows from where it begins: all but the last are alike
        lengths = [r.stop - r.start for r in self.work.blocks[0]]
        chosen = [
            slice(r.start // n, r.start // n + 1) if axis in axes else r
            for axis, (r, n) in enumerate(zip(self.block, lengths, strict=True))
        ]
        array: Array = parts[tuple(chosen)] if chosen else parts
        return array

    def stand_in(self, value: int) -> Array:
        """Return an array without data for a step that reads its shape alone."""
        return stand_in(self.maker._spec(value, self.work.group, self.block))

    def scratch(self, at: int, specs: Specs) -> Arrays:
        """Return the work space of the kernel at position `at`."""
        starts = itertools.accumulate(map(rounded, specs), initial=self.work.offsets[-at - 1])
        return tuple([array_over(self.memory, start, spec) for start, spec in zip(starts, specs, strict=False)])

    def part(self, value: int) -> Block:
        """Return the slices of a value that the block takes."""
        return part_of(known_shape(self.maker.specs[value].shape), self.ndims, self.block)

    def _cut(self, value: int, array: Array) -> Array:
        return array[self.part(value)] if self.block and array.ndim else array


def is_reduction(step: Step, group: Group) -> bool:
    """Whether `step` reduces what its group makes, block by block."""
    return group.shape is not None and step.op.combine is not None


def shape_of_parts(step: Step, x: Spec, blocks: Sequence[Block]) -> list[int]:
    """Return the shape of what `step` makes of the blocks of `x`: along axes that go, an entry for each range."""
    axes = _reduced_axes(step, x.ndims)
    shape = list(known_shape(x.shape))
    for axis in axes:
        shape[axis] = len({block[axis].start for block in blocks}) if axis < len(blocks[0]) else 1
    return shape


def _reduced_axes(step: Step, ndims: int) -> tuple[int, ...]:
    op: Any = step.op
    return normalize_axes(op.axes, ndims)


def _bound(step: Step, kernel: Kernel, ins: Sequence[Any], outs: Sequence[Any], rest: tuple[Arrays, ...]) -> Run:
    """Return a call of `kernel`, the one of `step`, with these arrays."""
    if kernel.ufunc is not None:
        ins = [_the_same(x, outs) for x in ins]
    if kernel.ufunc in (np.maximum, np.minimum):  # which want their outputs by keyword
        return functools.partial(kernel.ufunc, *ins, out=tuple(outs))
    if kernel.ufunc is not None:
        return functools.partial(kernel.ufunc, *ins, *outs)  # which takes half as long
    if kernel.bind is not None and not rest:
        try:
            call = kernel.bind(tuple(ins), tuple(outs))
        except Exception as error:
            raise KernelError(f"its bind raised {raised(error)}").located(step.what, source=step.source) from error
        if call is not None and not callable(call):
            detail = f"its bind returned {call!r}, not a function or None"
            raise KernelError(detail).located(step.what, source=step.source)
        if call is not None:
            return call
    return functools.partial(kernel.run, tuple(ins), tuple(outs), *rest)


def _the_same(x: Any, outs: Sequence[Any]) -> Any:
    """Return that one of `outs` which has the memory of `x`: NumPy sees at once then that they overlap in order."""
    for out in outs:
        if (x.shape, x.strides, x.dtype) == (out.shape, out.strides, out.dtype) and address(x) == address(out):
            return out
    return x


def _rebound(
    step: Step,
    kernel: Kernel,
    ins: Sequence[Array | None],
    outs: Sequence[Array | None],
    rest: tuple[Arrays, ...],
    given: Sequence[tuple[int, int, Block]],
    filled: Sequence[tuple[int, int, Block]],
    arrays: Environment,
) -> Run:
    """Return a call of `kernel` in which parts of what comes with a run stand where `given` and `filled` say."""
    read, made = list(ins), list(outs)
    for i, value, part in given:
        read[i] = arrays[value][part] if part else arrays[value]
    for i, value, part in filled:
        made[i] = arrays[value][part] if part else arrays[value]
    return _bound(step, kernel, read, made, rest)


def _unbound() -> None:
    """Stand where a call is to be made that touches what comes with a run."""
    raise KernelError("what a run feeds is not there")
