"""Instructions: the groups of steps of a plan, in the order in which they run, and what each costs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from opgraph.build import contract
from opgraph.errors import KernelError, OpgraphError, Source
from opgraph.op import Array, Kernel, Op
from opgraph.plan import Group, Plan
from opgraph.spec import Spec
from opgraph.structure import Step, Structure


@dataclass(frozen=True)
class Part:
    """One step of an instruction.

    Attributes
    ----------
    name
        That of the call that it comes from, with the op where the name does not say it.
    kernel
        ``"ufunc"``, called directly; ``"own"``, the op's; ``"set"``, a kernel set's.
    bytes_read
        Of what it reads from outside of the instruction, if it is the first to do so.
    bytes_written
        Of what it makes for others than the instruction itself.
    flops
        Arithmetic operations, as the op estimates them.
    source
        The user's line.
    """

    name: str
    kernel: str
    bytes_read: int
    bytes_written: int
    flops: int
    source: Source | None


@dataclass(frozen=True)
class Instruction:
    """Steps that run together.

    Attributes
    ----------
    number
        Counted from 1, in the order of execution.
    parts
        The steps.
    outputs
        What it makes for others: each value's spec.
    blocks, threads
        Into how many parts the work is cut, and how many threads share them.
    buffers
        Where the outputs lie: ``"arena 64"`` (bytes from its start), ``"over x"``, ``"variable 'w'"``, ``"returned"``
        for what is made in the very array that a run returns.
    within
        How many values live within one block alone.
    commits
        Whether it runs last, when all that can fail is over, since it writes variables where they are.
    """

    number: int
    parts: tuple[Part, ...]
    outputs: tuple[Spec, ...]
    blocks: int
    threads: int
    buffers: tuple[str, ...]
    within: int
    commits: bool

    @property
    def steps(self) -> tuple[str, ...]:
        """The names of the parts."""
        return tuple(part.name for part in self.parts)

    @property
    def kernels(self) -> tuple[str, ...]:
        """The kernels of the parts."""
        return tuple(part.kernel for part in self.parts)

    @property
    def bytes_read(self) -> int:
        """Bytes of the values that it reads and did not make; each counts once."""
        return sum(part.bytes_read for part in self.parts)

    @property
    def bytes_written(self) -> int:
        """Bytes of its outputs."""
        return sum(part.bytes_written for part in self.parts)

    @property
    def flops(self) -> int:
        """Arithmetic operations, as the ops estimate them."""
        return sum(part.flops for part in self.parts)

    @property
    def sources(self) -> tuple[Source, ...]:
        """The user's lines, each once."""
        return tuple(dict.fromkeys(part.source for part in self.parts if part.source is not None))


def instructions(plan: Plan, structure: Structure) -> tuple[Instruction, ...]:
    """Return what a run of `plan` does.

    Parameters
    ----------
    structure
        What the plan was made of; it has the names and lines to show.

    Raises
    ------
    KernelError
        Where an op's own `flops` fails.
    """
    return tuple([_instruction(plan, structure, at, group) for at, group in enumerate(plan.groups)])


def source_lines(sources: Iterable[Source]) -> str:
    """Return lines of files in short: ``train.py:3, 5``."""
    lines: dict[str, list[int]] = {}
    for source in sources:
        lines.setdefault(source.file, []).append(source.line)
    return "; ".join(f"{file}:{', '.join(map(str, sorted(found)))}" for file, found in lines.items())


def _instruction(plan: Plan, structure: Structure, at: int, group: Group) -> Instruction:
    blueprint = plan.blueprint
    made = [value for step in group.steps for value in step.outputs]
    outputs = [v for v in made if v in blueprint.arena.offsets or v in blueprint.targets or v in plan.returned]
    parts = []
    seen = set(made)
    for step in group.steps:
        read = {step.inputs[i] for i in step.reads()} - seen
        seen |= read
        shown = structure.maker(step.outputs[0]) or step
        parts.append(
            Part(
                name=_name(shown),
                kernel=_kind(blueprint.kernels[step.outputs[0]], step.op),
                bytes_read=sum(_extent(plan.arrays[v], plan.specs[v]) for v in read),
                bytes_written=sum(plan.specs[v].nbytes or 0 for v in outputs if v in step.outputs),
                flops=_flops(shown, plan.specs),
                source=shown.source,
            )
        )
    return Instruction(
        number=at + 1,
        parts=tuple(parts),
        outputs=tuple([plan.specs[v] for v in outputs]),
        blocks=blueprint.blocks[at],
        threads=min(blueprint.threads[at], blueprint.blocks[at]),
        buffers=tuple([_place(plan, structure, v) for v in outputs]),
        within=len(made) - len(outputs),
        commits=any(v in blueprint.targets for v in outputs),
    )


def _name(step: Step) -> str:
    local = step.op.name.partition(".")[2].removeprefix("_")  # what calls are named after
    return step.name if step.name.rpartition("/")[2].startswith(local) else f"{step.op.short_name()} '{step.name}'"


def _kind(kernel: Kernel, op: Op) -> str:
    if kernel.run != op.compute:
        return "set"
    return "own" if kernel.ufunc is None else "ufunc"


def _extent(array: Array | None, spec: Spec) -> int:
    """Return how many bytes there are to read of a value, which may be a view that repeats them."""
    if array is None:  # fed
        return spec.nbytes or 0
    size = array.itemsize
    for n, stride in zip(array.shape, array.strides, strict=True):
        size *= n if stride or not n else 1
    return size


def _flops(step: Step, specs: Sequence[Spec]) -> int:
    """Return how many operations a step takes, as its op estimates them."""
    ins, outs = (tuple([specs[v] for v in values]) for values in (step.inputs, step.outputs))
    try:
        with contract("flops"):
            flops = step.op.flops(ins, outs)
        if not isinstance(flops, int) or flops < 0:
            raise KernelError(f"its flops returned {flops!r}, not a number of operations from 0")
    except OpgraphError as error:
        raise error.located(step.what, source=step.source) from error.__cause__
    return flops


def _place(plan: Plan, structure: Structure, value: int) -> str:
    blueprint = plan.blueprint
    if value in blueprint.targets:
        return structure.labels[blueprint.targets[value]]
    if value in plan.returned:
        return "returned"
    if value in blueprint.reuse:
        return f"over {structure.name(blueprint.reuse[value])}"
    return f"arena {blueprint.arena.offsets[value]}"
