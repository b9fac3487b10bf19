"""Instructions: the groups of steps of a plan, in the order in which they run, and what each costs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from opgraph.build import contract
from opgraph.errors import KernelError, OpgraphError, Source
from opgraph.op import Array, Kernel, Op
from opgraph.plan import Group, Plan, Step
from opgraph.spec import Spec


@dataclass(frozen=True)
class Instruction:
    """Steps that run together.

    Attributes
    ----------
    number
        Counted from 1, in the order of execution.
    steps
        The calls that they come from, by name, with their ops where the name does not say them.
    outputs
        What it makes for others: each value's spec.
    kernels
        Of each step: ``"ufunc"``, called directly; ``"own"``, the op's; ``"set"``, a kernel set's.
    blocks, threads
        Into how many parts the work is cut, and how many threads share them.
    bytes_read, bytes_written
        Of values that outlive the instruction, or were there before; each counts once.
    flops
        Arithmetic operations, as the ops estimate them.
    buffers
        Where the outputs lie: ``"arena 64"`` (bytes from its start), ``"over x"``, ``"variable w"``.
    within
        How many values live within one block alone.
    sources
        The user's lines.
    commits
        Whether it runs last, when all that can fail is over, since it writes variables where they are.
    """

    number: int
    steps: tuple[str, ...]
    outputs: tuple[Spec, ...]
    kernels: tuple[str, ...]
    blocks: int
    threads: int
    bytes_read: int
    bytes_written: int
    flops: int
    buffers: tuple[str, ...]
    within: int
    sources: tuple[Source, ...]
    commits: bool


def instructions(plan: Plan) -> list[Instruction]:
    """Return what a run of `plan` does.

    Raises
    ------
    KernelError
        Where an op's own `flops` fails.
    """
    return [_instruction(plan, at, group) for at, group in enumerate(plan.groups)]


def flops_of(step: Step, specs: Sequence[Spec]) -> int:
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


def source_lines(sources: Iterable[Source]) -> str:
    """Return lines of files in short: ``train.py:3, 5``."""
    lines: dict[str, list[int]] = {}
    for source in sources:
        lines.setdefault(source.file, []).append(source.line)
    return "; ".join(f"{file}:{', '.join(map(str, sorted(found)))}" for file, found in lines.items())


def _instruction(plan: Plan, at: int, group: Group) -> Instruction:
    blueprint, specs = plan.blueprint, plan.specs
    made = [value for step in group.steps for value in step.outputs]
    outputs = [v for v in made if v in blueprint.arena.offsets or v in blueprint.targets]
    read = {step.inputs[i] for step in group.steps for i in step.reads()}.difference(made)
    sources = dict.fromkeys(step.source for step in group.steps if step.source is not None)
    return Instruction(
        number=at + 1,
        steps=tuple(map(_name, group.steps)),
        outputs=tuple([specs[v] for v in outputs]),
        kernels=tuple([_kind(blueprint.kernels[step.outputs[0]], step.op) for step in group.steps]),
        blocks=blueprint.blocks[at],
        threads=min(blueprint.threads[at], blueprint.blocks[at]),
        bytes_read=sum(_extent(plan.arrays[v], specs[v]) for v in read),
        bytes_written=sum(specs[v].nbytes or 0 for v in outputs),
        flops=sum(flops_of(step, specs) for step in group.steps),
        buffers=tuple([_place(plan, v) for v in outputs]),
        within=len(made) - len(outputs),
        sources=tuple(sources),
        commits=any(v in blueprint.targets for v in outputs),
    )


def _name(step: Step) -> str:
    op = step.op.short_name()
    return step.name if step.name.rpartition("/")[2].startswith(op) else f"{op} '{step.name}'"


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


def _place(plan: Plan, value: int) -> str:
    blueprint, structure = plan.blueprint, plan.structure
    if value in blueprint.targets:
        return structure.labels[blueprint.targets[value]]
    if value in blueprint.reuse:
        return f"over {structure.name(blueprint.reuse[value])}"
    return f"arena {blueprint.arena.offsets[value]}"
