"""From what a stopwatch noted to how long each step of a plan took."""

import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from opgraph.executable import Executable
from opgraph.plan import Plan, Section
from opgraph.stopwatch import Stopwatch, Timing
from opgraph.viz.instruction import instructions

PHASES = ("instructions", "compile", "feeds", "fetches", "commit", "python")


@dataclass(frozen=True)
class Placed:
    """When a part of an instruction ran, by their positions; all of it where `part` is None."""

    instruction: int
    part: int | None
    timing: Timing


class MeasuredPlan:
    """How long the runs of one plan took.

    Attributes
    ----------
    label
        What it computes, and of what sizes.
    runs, nanoseconds
        How many there were, and how long they took together.
    calls
        How often each instruction ran.
    spent
        The nanoseconds of each part of each instruction. What threads shared counts as long as all of it took,
        divided among the parts as their calls took time.
    """

    def __init__(self, number: int, executable: Executable, plan: Plan) -> None:
        structure = executable.structure
        self.number = number
        self.plan = weakref.ref(plan)
        self.instructions = instructions(plan, structure)
        fed = zip(executable.placeholders, structure.feeds, strict=False)
        sizes = ", ".join(f"{p.name} {plan.specs[value]}" for p, value in fed)
        fetched = ", ".join(map(structure.name, structure.fetches))
        self.label = f"[{fetched}]" + (f" of {sizes}" if sizes else "")
        self.runs = 0
        self.nanoseconds = 0
        self.calls = [0] * len(plan.groups)
        self.spent = [[0.0] * len(group.steps) for group in plan.groups]
        self._places = {
            step.outputs[0]: (at, part) for at, group in enumerate(plan.groups) for part, step in enumerate(group.steps)
        }
        self._committing = [at for at, each in enumerate(self.instructions) if each.commits for _ in range(each.blocks)]

    def add(self, stopwatch: Stopwatch) -> tuple[dict[str, float], list[Placed]]:
        """Add a run; return the nanoseconds that it spent with each of `PHASES`, and what ran when."""
        placed = [self._placed(timing) for timing in stopwatch.timings]
        shared = {each.instruction: each for each in placed if each.part is None}
        steps = [each for each in placed if each.part is not None]
        committed = [each for notes in stopwatch.stamps for each in self._committed(notes)]
        for at in {each.instruction for each in (*placed, *committed)}:
            self.calls[at] += 1
        scales = {
            at: _spread(whole.timing) / max(sum(_spread(each.timing) for each in steps if each.instruction == at), 1)
            for at, whole in shared.items()
        }
        commit = _from_first_to_last(committed)
        for at in {each.instruction for each in committed}:
            scales[at] = commit / max(sum(_spread(each.timing) for each in committed), 1)
        total = 0.0
        for each in (*steps, *committed):
            spent = _spread(each.timing) * scales.get(each.instruction, 1.0)
            self.spent[each.instruction][each.part or 0] += spent
            total += spent
        self.runs += 1
        self.nanoseconds += stopwatch.ended - stopwatch.began

        # a run that failed returned nothing
        returned = stopwatch.returned if stopwatch.returned > stopwatch.ready else stopwatch.ended
        calls = [each for each in placed if each.part is None or each.instruction not in shared]
        first = min((each.timing.began for each in calls), default=returned)
        last = max((each.timing.ended for each in calls), default=returned)
        phases = {
            "instructions": total,
            "compile": stopwatch.ready - stopwatch.began,
            "feeds": first - stopwatch.ready,
            "fetches": returned - last,
            "commit": stopwatch.ended - returned - commit,
            "python": last - first - sum(_spread(each.timing) for each in calls),
        }
        return phases, [*placed, *committed]

    def _placed(self, timing: Timing) -> Placed:
        if isinstance(timing.what, Section):
            return Placed(self._places[timing.what.steps[0].outputs[0]][0], None, timing)
        return Placed(*self._places[timing.what.outputs[0]], timing)

    def _committed(self, notes: Sequence[Any]) -> Iterator[Placed]:
        """Yield what one thread wrote in place, from its stamps."""
        at, part, began = 0, -1, 0
        for note in notes:
            if isinstance(note, int):
                at, part = self._committing[note], -1
            else:
                now, thread = note
                if part >= 0:
                    yield Placed(at, part, Timing(None, began, now, thread))
                part, began = part + 1, now


def _spread(timing: Timing) -> int:
    return timing.ended - timing.began


def _from_first_to_last(placed: Sequence[Placed]) -> int:
    if not placed:
        return 0
    return max(each.timing.ended for each in placed) - min(each.timing.began for each in placed)
