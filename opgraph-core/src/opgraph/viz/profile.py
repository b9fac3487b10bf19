"""What `RunTime.profile` gives: how long runs took, by instruction and by the user's line."""

import os
import threading
from dataclasses import dataclass

from opgraph.errors import Source
from opgraph.executable import Executable
from opgraph.locks import new_lock
from opgraph.plan import Plan
from opgraph.stopwatch import Stopwatch, clock
from opgraph.viz.instruction import Instruction, source_lines
from opgraph.viz.measuring import PHASES, MeasuredPlan
from opgraph.viz.table import Column, Report, Table, counted, duration, quantity
from opgraph.viz.trace import Trace

ROWS = 40  # of a table as it is printed


@dataclass(frozen=True)
class Measured:
    """How long something took in all runs.

    Attributes
    ----------
    calls
        How many times it ran.
    seconds
        By the clock: what threads share counts once.
    share
        Of the time of all runs.
    flops, nbytes
        Arithmetic operations, and bytes read and written, of all its calls; estimated from shapes.
    """

    calls: int
    seconds: float
    share: float
    flops: int
    nbytes: int

    @property
    def flops_per_second(self) -> float:
        """Arithmetic operations in a second."""
        return self.flops / self.seconds if self.seconds else 0.0

    @property
    def bytes_per_second(self) -> float:
        """Bytes read and written in a second."""
        return self.nbytes / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class MeasuredInstruction(Measured):
    """How long an `instruction` took, of the plan with the number `plan`."""

    plan: int
    instruction: Instruction


@dataclass(frozen=True)
class MeasuredLine(Measured):
    """How long the steps took that come from `source`, a line of the user's; None where there is none."""

    source: Source | None


class Profile(Report):
    """How long runs took; `str` shows it as tables, the slowest first.

    `rich.print` and notebooks show it, too. It may be read while runs are still measured. An instruction that fails is
    not counted; where a run checks for values that are not finite, looking at them counts as part of the instruction.
    """

    def __init__(self) -> None:
        self._lock = new_lock()  # a signal handler may run something, too
        self._began = clock()
        self._ended: int | None = None
        self._phases = dict.fromkeys(PHASES, 0.0)
        self._plans: list[MeasuredPlan] = []
        self._latest: dict[int, MeasuredPlan] = {}  # by the plan's identity, which another one may have had before
        self._trace = Trace()

    def begin(self, executable: Executable, plan: Plan) -> None:
        """Learn what is about to run; for the run time."""
        with self._lock:
            measured = self._latest.get(id(plan))
            if measured is None or measured.plan() is not plan:
                self._latest[id(plan)] = measured = MeasuredPlan(len(self._plans) + 1, executable, plan)
                self._plans.append(measured)

    def end(self, plan: Plan, stopwatch: Stopwatch) -> None:
        """Learn how long it took; for the run time."""
        with self._lock:
            if self._ended is not None:
                return
            measured = self._latest[id(plan)]
            phases, ran = measured.add(stopwatch)
            for what, spent in phases.items():
                self._phases[what] += spent
            note = self._trace.note
            note(f"plan {measured.number}", "run", stopwatch.began, stopwatch.ended, stopwatch.thread, {})
            for at, part, began, ended, thread in ran:
                name, said = measured.shown[at][part]
                note(name, "instruction" if part is None else "step", began, ended, thread, said)

    def spent(self, what: str, began: int, ended: int) -> None:
        """Learn how long something took that comes before a run; for the run time."""
        with self._lock:
            if self._ended is None:
                self._phases[what] += ended - began
                self._trace.note(what, "phase", began, ended, threading.get_ident(), {})

    def close(self) -> None:
        """Measure no more; for the run time."""
        with self._lock:
            if self._ended is None:
                self._ended = clock()
                self._trace.name_threads()

    @property
    def runs(self) -> int:
        """How many runs ended, in whichever way."""
        with self._lock:
            return sum(each.runs for each in self._plans)

    @property
    def elapsed(self) -> float:
        """Seconds from the beginning to the end, or to now."""
        return ((clock() if self._ended is None else self._ended) - self._began) * 1e-9

    @property
    def seconds(self) -> float:
        """Seconds of all runs and what comes before them; more than `elapsed` where runs went side by side."""
        return sum(self.phases.values())

    @property
    def phases(self) -> dict[str, float]:
        """Seconds of `seconds` by what they were spent with.

        ``"instructions"``; ``"compile"``, from nodes to plans; ``"feeds"``, converting and binding what is fed;
        ``"fetches"``, copying what is returned, or waits to be written; ``"commit"``, copying into variables;
        ``"python"``, between the instructions.
        """
        with self._lock:
            return {what: spent * 1e-9 for what, spent in self._phases.items()}

    @property
    def instructions(self) -> list[MeasuredInstruction]:
        """How long each instruction took, in the order of plans and execution."""
        with self._lock:
            total = self.seconds
            return [
                MeasuredInstruction(
                    calls=calls,
                    seconds=sum(spent) * 1e-9,
                    share=_share(sum(spent) * 1e-9, total),
                    flops=each.flops * calls,
                    nbytes=(each.bytes_read + each.bytes_written) * calls,
                    plan=plan.number,
                    instruction=each,
                )
                for plan in self._plans
                for each, calls, spent in zip(plan.instructions, plan.calls, plan.spent, strict=True)
            ]

    @property
    def lines(self) -> list[MeasuredLine]:
        """How long the steps of each of the user's lines took, the slowest first; `calls` counts those of steps."""
        found: dict[Source | None, list[MeasuredLine]] = {}
        with self._lock:
            total = self.seconds
            for plan in self._plans:
                for each, calls, spent in zip(plan.instructions, plan.calls, plan.spent, strict=True):
                    for part, nanoseconds in zip(each.parts, spent, strict=True):
                        nbytes = (part.bytes_read + part.bytes_written) * calls
                        line = MeasuredLine(calls, nanoseconds * 1e-9, 0.0, part.flops * calls, nbytes, part.source)
                        found.setdefault(part.source, []).append(line)
        lines = [_together(parts, total) for parts in found.values()]
        return sorted(lines, key=lambda line: -line.seconds)

    def to_chrome_trace(self, path: str | os.PathLike[str]) -> str:
        """Write what ran when, in which thread, as JSON for Perfetto or ``chrome://tracing``; return the path.

        It holds the first 200,000 events: runs, steps, and what comes before runs.

        Raises
        ------
        FileError
            Where the file cannot be written.
        """
        with self._lock:
            return self._trace.write(path, self._began)

    def summary(self) -> list[str]:
        """Return the lines above the tables."""
        total = self.seconds
        shown = {"python": "Python"}
        phases = [
            f"{shown.get(what, what)} {duration(spent)} ({_share(spent, total):.1%})"
            for what, spent in sorted(self.phases.items(), key=lambda phase: -phase[1])
            if spent
        ]
        return [
            f"{counted(self.runs, 'run')} of {counted(len(self._plans), 'plan')}: {duration(total)}, "
            f"and {duration(max(self.elapsed - total, 0.0))} outside of runs",
            ", ".join(phases) or "nothing ran",
        ]

    def tables(self) -> list[tuple[str, Table]]:
        """Return the tables of plans, where there are several, of instructions and of lines."""
        found = []
        with self._lock:
            several = len(self._plans) > 1
            if several:
                rows = [[str(p.number), p.label, str(p.runs), duration(p.nanoseconds * 1e-9)] for p in self._plans]
                found.append((_title("plans", len(rows)), Table(_PLANS, rows[:ROWS])))
        measured = sorted([each for each in self.instructions if each.calls], key=lambda each: -each.seconds)
        lines = [line for line in self.lines if line.calls]
        if measured:
            rows = [_instruction_row(each, several) for each in measured[:ROWS]]
            found.append((_title("instructions", len(measured)), Table(_INSTRUCTIONS, rows)))
            found.append((_title("lines", len(lines)), Table(_LINES, list(map(_line_row, lines[:ROWS])))))
        return found


_PLANS = [Column("#", right=True), Column("computes", width=80), Column("runs", right=True), Column("time", right=True)]

_TIMES = [
    Column("calls", right=True),
    Column("time", right=True),
    Column("share", right=True),
    Column("each", right=True),
    Column("flop/s", right=True),
    Column("B/s", right=True),
]

_INSTRUCTIONS = [
    Column("#", right=True),
    Column("runs", width=48),
    *_TIMES,
    Column("threads", right=True),
    Column("line", width=24),
]

_LINES = [Column("line", width=72), *_TIMES]


def _instruction_row(measured: MeasuredInstruction, several: bool) -> list[str]:
    each = measured.instruction
    number = f"{measured.plan}.{each.number}" if several else str(each.number)
    return [number, ", ".join(each.steps), *_times(measured), str(each.threads), source_lines(each.sources)]


def _line_row(line: MeasuredLine) -> list[str]:
    return ["elsewhere" if line.source is None else str(line.source).removeprefix("at "), *_times(line)]


def _times(measured: Measured) -> list[str]:
    return [
        str(measured.calls),
        duration(measured.seconds),
        f"{measured.share:.1%}",
        duration(measured.seconds / max(measured.calls, 1)),
        quantity(measured.flops_per_second),
        quantity(measured.bytes_per_second),
    ]


def _title(what: str, n: int) -> str:
    return what if n <= ROWS else f"{what}: {ROWS} of {n:,}"


def _together(lines: list[MeasuredLine], total: float) -> MeasuredLine:
    seconds = sum(line.seconds for line in lines)
    return MeasuredLine(
        calls=sum(line.calls for line in lines),
        seconds=seconds,
        share=_share(seconds, total),
        flops=sum(line.flops for line in lines),
        nbytes=sum(line.nbytes for line in lines),
        source=lines[0].source,
    )


def _share(part: float, total: float) -> float:
    return part / total if total else 0.0
