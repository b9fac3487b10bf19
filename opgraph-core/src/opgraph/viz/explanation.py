"""What `RunTime.explain` shows: what a graph became, and what a run of it does."""

from collections.abc import Sequence
from dataclasses import dataclass

from opgraph.compiled import Settings
from opgraph.executable import Executable
from opgraph.op import Array
from opgraph.passes import GRAPH_PASSES, PLAN_PASSES
from opgraph.plan import Plan, results_nbytes
from opgraph.viz.instruction import Instruction, instructions, source_lines
from opgraph.viz.table import Column, Report, Table, counted, listed, quantity


@dataclass(frozen=True)
class Explanation(Report):
    """What a graph became on its way to being run, and what a run does; `str` shows it as a table.

    `rich.print` and notebooks show it, too. Bytes and operations are estimates from shapes, not measured.

    Attributes
    ----------
    calls
        How many calls of ops the fetches and updates need.
    passes
        What each pass on the graph did: by how many it changed the number of steps.
    plan_passes
        The passes that laid out the plan.
    steps
        How many steps the passes left.
    computed
        How many of these run; the others are views, or give nothing but their shapes.
    instructions
        In the order of execution.
    arena, scratch, staging
        Bytes of the values that outlive their instructions, of those that live within blocks and of work
        space, and of new values that wait to be copied into variables.
    returned
        Bytes of the arrays that a run returns; of large ones, a plan keeps the last two, to use their memory again.
    in_place, copied
        The names of the variables that are written where they are, and of those that a new value is copied into.
    threads, tile
        How many threads share the work, and how many elements a block has, about.
    """

    calls: int
    passes: dict[str, int]
    plan_passes: tuple[str, ...]
    steps: int
    computed: int
    instructions: tuple[Instruction, ...]
    arena: int
    scratch: int
    staging: int
    returned: int
    in_place: tuple[str, ...]
    copied: tuple[str, ...]
    threads: int
    tile: int

    @classmethod
    def of(cls, executable: Executable, feeds: Sequence[Array], settings: Settings) -> "Explanation":
        """Return the explanation of a run on arrays of these shapes, by its very plan.

        Raises
        ------
        KernelError
            Where an op's own methods fail.
        """
        plan = executable.plan(feeds)
        lengths = executable.lengths
        staging = sum(array.nbytes for array in plan.staging.values())
        arena = plan.blueprint.arena.nbytes
        results = results_nbytes(plan.specs[value] for value in plan.structure.fetches)
        copied = {executable.fired[at].variable.name for at in plan.staged}
        names = {apply_pass: name for name, apply_pass in GRAPH_PASSES.items()}
        layout = settings.layout
        return cls(
            calls=lengths[0],
            passes={
                names[apply_pass]: after - before
                for apply_pass, before, after in zip(settings.passes, lengths, lengths[1:], strict=False)
            },
            plan_passes=tuple([name for name in PLAN_PASSES if getattr(layout, name)]),
            steps=lengths[-1],
            computed=sum(len(group.steps) for group in plan.groups),
            instructions=instructions(plan, executable.named(plan.structure)),
            arena=arena,
            scratch=plan.nbytes - arena - staging - results,
            staging=staging,
            returned=_returned(plan),
            in_place=tuple([f.variable.name for f in executable.fired if f.variable.name not in copied]),
            copied=tuple([f.variable.name for f in executable.fired if f.variable.name in copied]),
            threads=layout.threads,
            tile=layout.tile,
        )

    @property
    def nbytes(self) -> int:
        """The most that the plan's memory comes to, without feeds, variables and what a run returns."""
        return self.arena + self.scratch + self.staging

    @property
    def flops(self) -> int:
        """Arithmetic operations of a run."""
        return sum(each.flops for each in self.instructions)

    @property
    def bytes_read(self) -> int:
        """Bytes that all instructions read."""
        return sum(each.bytes_read for each in self.instructions)

    @property
    def bytes_written(self) -> int:
        """Bytes that all instructions write."""
        return sum(each.bytes_written for each in self.instructions)

    def summary(self) -> list[str]:
        """Return the lines above the table."""
        rest = self.steps - self.computed
        without = f" ({self.computed:,} run; of {rest:,} only the shape is wanted, or a view)" if rest else ""
        passes = [f"{name} {change:+d}" if change else name for name, change in self.passes.items()]
        lines = [
            f"{counted(self.calls, 'call')} in the graph -> {counted(self.steps, 'step')} after the passes{without} -> "
            f"{counted(len(self.instructions), 'instruction')}",
            f"passes: {', '.join([*passes, *self.plan_passes]) or 'none'}",
            f"memory: {quantity(self.nbytes, 'B')} at the peak (arena {quantity(self.arena, 'B')}, "
            f"blocks and work space {quantity(self.scratch, 'B')}, staging {quantity(self.staging, 'B')}); "
            f"returned: {quantity(self.returned, 'B')}",
        ]
        if self.in_place or self.copied:
            said = [
                f"{len(names)} {how} ({listed(names)})"
                for names, how in [(self.in_place, "written in place"), (self.copied, "copied")]
                if names
            ]
            lines.append(f"variables: {', '.join(said)}")
        lines.append(
            f"a run: {quantity(self.flops, 'flop')}, {quantity(self.bytes_read, 'B')} read, "
            f"{quantity(self.bytes_written, 'B')} written; {counted(self.threads, 'thread')}, "
            f"blocks of {counted(self.tile, 'element')}"
        )
        return lines

    def tables(self) -> list[tuple[str, Table]]:
        """Return the table of the instructions."""
        return [("", Table(_COLUMNS, list(map(_row, self.instructions))))] if self.instructions else []

    __str__ = Report.__str__


_COLUMNS = [
    Column("#", right=True),
    Column("runs", width=36),
    Column("makes", width=24),
    Column("kernel", width=8),
    Column("blocks", right=True),
    Column("threads", right=True),
    Column("read", right=True),
    Column("written", right=True),
    Column("flop", right=True),
    Column("buffer", width=24),
    Column("line", width=24),
]


def _row(each: Instruction) -> list[str]:
    within = [f"{each.within} within the block"] if each.within else []
    return [
        str(each.number),
        ", ".join(each.steps),
        _grouped(list(map(str, each.outputs)), "; "),
        _grouped(list(each.kernels), ", "),
        str(each.blocks),
        str(each.threads),
        quantity(each.bytes_read, "B"),
        quantity(each.bytes_written, "B"),
        quantity(each.flops),
        "; ".join([*each.buffers, *within]),
        source_lines(each.sources),
    ]


def _grouped(texts: list[str], separator: str) -> str:
    """Return the texts, each once with how often it stands there."""
    return separator.join(f"{texts.count(t)} {t}" if texts.count(t) > 1 else t for t in dict.fromkeys(texts))


def _returned(plan: Plan) -> int:
    return sum(plan.specs[value].nbytes or 0 for value in plan.structure.fetches)
