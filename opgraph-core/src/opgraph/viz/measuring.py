"""From what a stopwatch noted to how long each step of a plan took."""

import collections
import weakref
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from opgraph.executable import Executable
from opgraph.plan import Plan, Section
from opgraph.stopwatch import Stopwatch
from opgraph.structure import Step
from opgraph.viz.instruction import Instruction, Part, instructions, source_lines

PHASES = ("instructions", "compile", "feeds", "fetches", "commit", "python")


class Ran(NamedTuple):
    """When a part of an instruction ran, by their positions, and in which thread; all of it where `part` is None."""

    instruction: int
    part: int | None
    began: int
    ended: int
    thread: int


class MeasuredPlan:
    """How long the runs of one plan took.

    Attributes
    ----------
    label
        What it computes, and of what sizes.
    shown
        For each part of each instruction, and for all of it under None, its name and what a trace says of it.
    runs, nanoseconds
        How many there were, and how long they took together.
    calls
        How often each instruction ran.
    spent
        The nanoseconds of each part of each instruction. What threads shared counts as long as all of it took,
        divided among the parts as their calls took time.
    """

    def __init__(self, number: int, executable: Executable, plan: Plan) -> None:
        structure = executable.named(plan.structure)
        self.number = number
        self.plan = weakref.ref(plan)
        self.instructions = instructions(plan, structure)
        fed = zip(executable.placeholders, structure.feeds, strict=False)
        sizes = ", ".join(f"{p.name} {plan.specs[value]}" for p, value in fed)
        fetched = ", ".join(map(structure.name, structure.fetches))
        self.label = f"[{fetched}]" + (f" of {sizes}" if sizes else "")
        self.shown = [_shown(number, each) for each in self.instructions]
        self.runs = 0
        self.nanoseconds = 0
        self.calls = [0] * len(plan.groups)
        self.spent = [[0.0] * len(group.steps) for group in plan.groups]
        self._places = {
            step.outputs[0]: (at, part) for at, group in enumerate(plan.groups) for part, step in enumerate(group.steps)
        }
        self._committing = [at for at, each in enumerate(self.instructions) if each.commits for _ in range(each.blocks)]

    def add(self, stopwatch: Stopwatch) -> tuple[dict[str, float], list[Ran]]:
        """Add a run; return the nanoseconds that it spent with each of `PHASES`, and what ran when."""
        ran = [Ran(*self._place(what), *when) for what, *when in stopwatch.timings]
        steps = [each for each in ran if each.part is not None]
        committed = [each for notes in stopwatch.stamps for each in self._committed(notes)]
        for at in {each.instruction for each in (*ran, *committed)}:
            self.calls[at] += 1

        # of what threads share: how long it took by the clock, for each nanosecond of a thread
        in_threads = collections.Counter[int]()
        for each in steps:
            in_threads[each.instruction] += each.ended - each.began
        shared = {each.instruction: each.ended - each.began for each in ran if each.part is None}
        scales = {at: by_clock / max(in_threads[at], 1) for at, by_clock in shared.items()}
        commit = max((r.ended for r in committed), default=0) - min((r.began for r in committed), default=0)
        scale = commit / max(sum(each.ended - each.began for each in committed), 1)
        total = sum(self._spend(each, scales.get(each.instruction, 1.0)) for each in steps)
        total += sum(self._spend(each, scale) for each in committed)
        self.runs += 1
        self.nanoseconds += stopwatch.ended - stopwatch.began

        calls = [each for each in ran if each.part is None or each.instruction not in shared]
        returned = stopwatch.ended if stopwatch.returned is None else stopwatch.returned
        first = min((each.began for each in calls), default=returned)
        last = max((each.ended for each in calls if stopwatch.returned is not None), default=returned)
        phases = {
            "instructions": total,
            "compile": stopwatch.ready - stopwatch.began,
            "feeds": first - stopwatch.ready,
            "fetches": returned - last,
            "commit": stopwatch.ended - returned - commit,
            "python": last - first - sum(each.ended - each.began for each in calls),
        }
        return phases, ran + committed

    def _place(self, what: Step | Section) -> tuple[int, int | None]:
        """Return the positions of an instruction and of a part in it, None for all of it."""
        if isinstance(what, Section):
            return self._places[what.steps[0].outputs[0]][0], None
        return self._places[what.outputs[0]]

    def _spend(self, each: Ran, scale: float) -> float:
        """Add what a part took, and return it."""
        spent = (each.ended - each.began) * scale
        self.spent[each.instruction][each.part or 0] += spent
        return spent

    def _committed(self, notes: Sequence[Any]) -> Iterator[Ran]:
        """Yield what one thread wrote in place, from its stamps."""
        at, part, began = 0, -1, 0
        for note in notes:
            if isinstance(note, int):
                at, part = self._committing[note], -1
            else:
                now, thread = note
                if part >= 0:
                    yield Ran(at, part, began, now, thread)
                part, began = part + 1, now


def _shown(plan: int, instruction: Instruction) -> dict[int | None, tuple[str, dict[str, object]]]:
    def said(*parts: Part) -> tuple[str, dict[str, object]]:
        lines = source_lines(dict.fromkeys(part.source for part in parts if part.source is not None))
        return ", ".join(part.name for part in parts), {
            "plan": plan,
            "instruction": instruction.number,
            "line": lines,
        }

    return {None: said(*instruction.parts), **{at: said(part) for at, part in enumerate(instruction.parts)}}
