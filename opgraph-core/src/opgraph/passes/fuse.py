"""Which steps run together: those that work element by element on one shape, block by block."""

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from opgraph.plan import Group
from opgraph.spec import Shape, Spec
from opgraph.structure import Step, Structure

Need = tuple[float, "_Open | None"]

LOOKED_BACK = 4  # steps, to see what a step waits for
SUMS_UP = 8  # times smaller than what it reads is what a step makes that may wait for it


def fuse(
    structure: Structure,
    specs: Sequence[Spec],
    owners: Mapping[int, frozenset[int]],
    fusable: Set[int],
    reducing: Set[int],
    leading: Set[int],
) -> list[Group]:
    """Return the steps that compute something in groups, in an order in which they can run.

    A step joins the group that first needs what it makes, or else one of its shape that runs later, before
    anything needs what the step makes. So an intermediate value lives for the length of a block, and an operand is
    read once for all that is done with it. What reduces a value goes into the group that makes it; where it does
    not work on blocks, it runs after a group of that shape, so that the value may be made there. What is made by rows
    goes into the group that first needs it.

    Parameters
    ----------
    owners
        Of each value that is a view, those whose memory it may lie in.
    fusable
        The positions of the steps that may work on blocks; the others stand alone.
    reducing
        The positions of those that may reduce a value block by block.
    leading
        The positions of those that may make one by rows, a block at a time, of values that are there.
    """
    return _Fusion(structure, specs, owners, fusable, reducing, leading).groups()


def alone(structure: Structure, owners: Mapping[int, frozenset[int]]) -> list[Group]:
    """Return each step that computes something as a group of its own."""
    return [Group((step,)) for step in structure.steps if computes(step, owners)]


def computes(step: Step, owners: Mapping[int, object]) -> bool:
    """Whether `step` fills memory, and neither views some nor serves for its shape alone."""
    return step.run and step.outputs[0] not in owners


@dataclass(eq=False, slots=True)
class _Open:
    """A group that still grows, from its last step to its first; it runs where its last step stands."""

    time: float
    shape: Shape | None
    steps: list[Step] = field(default_factory=list)


class _Fusion:
    """Goes through the steps from the last to the first, so that all that needs a value is placed before it."""

    def __init__(
        self,
        structure: Structure,
        specs: Sequence[Spec],
        owners: Mapping[int, frozenset[int]],
        fusable: Set[int],
        reducing: Set[int],
        leading: Set[int],
    ) -> None:
        self.structure = structure
        self.specs = specs
        self.owners = owners
        self.fusable = fusable
        self.reducing = reducing
        self.leading = leading
        self.updated = {value for _, value in structure.updates}
        self.waiting: dict[int, list[Step]] = {}  # for each value, what reduces it in the group that makes it
        # not those of the structure, which would keep them for as long as the plan
        self.makers = {value: step for step in structure.steps for value in step.outputs}
        self.opened: list[_Open] = []
        self.earliest = _Open(math.inf, None)  # of those opened, the one that runs first
        self.latest: dict[Shape, _Open] = {}  # of each shape, the group opened last, which runs first
        self.first_need: dict[int, Need] = {}
        self.last_need: dict[int, float] = dict.fromkeys(structure.results, math.inf)
        # what need not wait for a group: it is there anyway, or may join the group itself
        self.given = {*structure.feeds, *structure.variables, *structure.constants}
        self.fusable_shapes = {value: specs[value].shape for at in fusable for value in structure.steps[at].outputs}

    def groups(self) -> list[Group]:
        for at in range(len(self.structure.steps) - 1, -1, -1):
            step = self.structure.steps[at]
            if computes(step, self.owners):
                if not (self._waits(at, step) or self._leads(at, step)):
                    self._place(at, step)
            elif step.run:
                self._look_through(step)
        return [Group(tuple(reversed(g.steps)), g.shape) for g in sorted(self.opened, key=lambda g: g.time)]

    def _place(self, at: int, step: Step) -> None:
        shape = self.specs[step.outputs[0]].shape if at in self.fusable else None
        group = None if shape is None else self._group_for(step, shape)
        if group is None:
            group = _Open(at if shape is not None else self._time_for(at, step), shape)
            self.opened.append(group)
            if group.time < self.earliest.time:
                self.earliest = group
            if shape is not None:
                self.latest[shape] = group
        for value in step.outputs:
            group.steps += self.waiting.pop(value, ())
        group.steps.append(step)
        for i in step.reads():
            self._need(step.inputs[i], group.time, group)

    def _waits(self, at: int, step: Step) -> bool:
        """Whether `step` goes into the group that makes what it reduces, before anything needs what it makes."""
        if at not in self.reducing or step.inputs[0] not in self.fusable_shapes:
            return False
        (value,), (made,) = step.inputs, step.outputs
        time, _ = self.first_need.get(made, (math.inf, None))
        dead = time == math.inf and made not in self.structure.results
        if dead:
            return False
        self._need(value, time, None)
        self.waiting.setdefault(value, []).append(step)
        return True

    def _leads(self, at: int, step: Step) -> bool:
        """Whether `step` goes into the group that first needs what it makes, which no variable waits for."""
        if at not in self.leading:
            return False
        (value,) = step.outputs
        spec = self.specs[value]
        _, group = self.first_need.get(value, (math.inf, None))
        if group is None or group.shape != spec.shape or self._waiting(step, group, LOOKED_BACK) > (spec.nbytes or 0):
            return False
        if any(not self.updated.isdisjoint(other.outputs) for other in group.steps):
            return False  # which is written in place by steps that cannot fail
        group.steps.append(step)
        for i in step.reads():
            self._need(step.inputs[i], group.time, None)
        return True

    def _group_for(self, step: Step, shape: Shape) -> _Open | None:
        """Return the open group that `step` joins, if any."""
        needs = [self.first_need.get(v, (math.inf, None)) for v in step.outputs]
        time = min(when for when, _ in needs)
        first = [group for when, group in needs if when == time]
        group = first[0] if len(set(map(id, first))) == 1 else None
        # what is needed there would be kept till then otherwise; and what is needed elsewhere must not wait in vain
        kept = sum(self.specs[v].nbytes or 0 for v in step.outputs)
        if group is None or group.shape != shape:
            group, kept = self.latest.get(shape), 0
            if group is None or group.time >= time:
                return None
        # before the earliest of all groups nothing else runs
        return group if group is self.earliest or self._waiting(step, group, LOOKED_BACK) <= kept else None

    def _time_for(self, at: int, step: Step) -> float:
        """Return when a step runs that stands alone: in its place, or after a group that can make what it sums up.

        But nothing else may wait for that group.
        """
        reads = step.reads()
        shape = self.fusable_shapes.get(step.inputs[reads[0]]) if len(reads) == 1 else None
        if shape is None or shape not in self.latest:
            return at
        size = sum(self.specs[v].nbytes or 0 for v in step.outputs)
        after = self.latest[shape].time
        before = min(self.first_need.get(v, (math.inf, None))[0] for v in step.outputs)
        time = after + 0.5 if before == math.inf else (after + before) / 2
        sums_up = SUMS_UP * size <= (self.specs[step.inputs[reads[0]]].nbytes or 0)
        if not (sums_up and at < after < time < before):
            return at
        maker = self.makers[step.inputs[reads[0]]]
        return time if not self._waiting(maker, self.latest[shape], LOOKED_BACK) else at

    def _waiting(self, step: Step, group: _Open, depth: int) -> int:
        """Return how many bytes wait for the group, if `step` runs in it, that nothing else keeps for so long."""
        waiting = 0
        for value in {v for i in step.reads() for v in self.owners.get(step.inputs[i], (step.inputs[i],))}:
            if value in self.given or self.last_need.get(value, -1) >= group.time:
                continue
            nbytes = self.specs[value].nbytes or 0
            if self.fusable_shapes.get(value) == group.shape:  # it may run there as well
                before = self._waiting(self.makers[value], group, depth - 1) if depth else 0
                nbytes = min(nbytes, before)
            waiting += nbytes
        return waiting

    def _look_through(self, view: Step) -> None:
        """Need what a view shows when the view is needed; but no group may hold it back for its own blocks."""
        times = [self.first_need[v][0] for v in view.outputs if v in self.first_need]
        if times:
            for i in view.reads():
                self._need(view.inputs[i], min(times), None)

    def _need(self, value: int, time: float, group: _Open | None) -> None:
        before = self.first_need.get(value, (math.inf, None))
        if time < before[0]:
            self.first_need[value] = time, group
        elif time == before[0] and group is None:
            self.first_need[value] = time, None
        for owner in self.owners.get(value, (value,)):
            self.last_need[owner] = max(time, self.last_need.get(owner, -1))
