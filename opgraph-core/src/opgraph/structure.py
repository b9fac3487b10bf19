"""A graph without nodes: what the passes work on, and plans are made of.

It holds ops and specs, so it keeps no graph alive. Values are numbered; a step names the values it reads and makes by
their numbers.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from opgraph.build import input_names
from opgraph.errors import Source
from opgraph.op import Array, Op
from opgraph.spec import Spec


@dataclass(frozen=True, slots=True)
class Step:
    """One application of an op to numbered values.

    Attributes
    ----------
    op
        What is applied.
    inputs, outputs
        The numbers of the values that it reads and makes.
    name, source
        Those of the call that it comes from, for messages.
    run
        False where only the shapes of its outputs are wanted.
    recomputes
        Whether a gradient computes here again what was computed before.
    region
        Tells apart the steps that a gradient computes again by the function they belong to; 0 for all others.
    title, gradient_of
        Those of the call; where another op stands in the place of what was written, its title is what that was.
    origin
        Which step it was, or was made in the place of, when the graph was lowered.
    members
        Those that it does at once, in whose place it stands, or whose outputs it takes apart.
    """

    op: Op
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    name: str
    source: Source | None
    run: bool = True
    title: str = ""
    gradient_of: str = ""
    recomputes: bool = False
    region: int = 0
    origin: int = 0
    members: tuple["Step", ...] = ()

    @property
    def what(self) -> str:
        """What messages call it."""
        return self.title or self.op.short_name()

    def reads(self) -> Sequence[int]:
        """Return the positions of the inputs whose data the op reads, and not their shape alone."""
        if type(self.op).shape_only is Op.shape_only:
            return range(len(self.inputs))
        unread = self.op.shape_only(len(self.inputs))
        return [i for i in range(len(self.inputs)) if i not in unread]

    def reading(self, replaced: Mapping[int, int]) -> "Step":
        """Return the step as it reads other values in the place of those that are `replaced`."""
        if replaced.keys().isdisjoint(self.inputs):
            return self
        inputs = tuple([replaced.get(value, value) for value in self.inputs])
        members = tuple([member.reading(replaced) for member in self.members])
        return self.replaced_by(self.op, inputs, self.outputs, members)

    def replaced_by(
        self, op: Op, inputs: tuple[int, ...], outputs: tuple[int, ...], members: tuple["Step", ...] = ()
    ) -> "Step":
        """Return a step that stands where this one stood, for messages and for those who share what it computes."""
        # which dataclasses.replace would do, in three times the time
        return Step(
            op=op,
            inputs=inputs,
            outputs=outputs,
            name=self.name,
            source=self.source,
            run=self.run,
            title=self.title if type(op) is type(self.op) else self.what,
            gradient_of=self.gradient_of,
            recomputes=self.recomputes,
            region=self.region,
            origin=self.origin,
            members=members,
        )

    def named_by(self, steps: Sequence["Step"]) -> "Step":
        """Return the step under the name and line of its like among the `steps` that another graph was lowered to."""
        other = steps[self.origin]
        title = other.title if type(other.op) is type(self.op) else other.what
        members = tuple([member.named_by(steps) for member in self.members])
        told = replace(self, name=other.name, source=other.source, title=title, gradient_of=other.gradient_of)
        return replace(told, members=members) if members else told


@dataclass(frozen=True)
class Structure:
    """A graph without nodes: numbered values and, in creation order, the steps between them.

    Graphs that differ in names and lines alone share what one structure is compiled to; `named_by` gives it the
    names and lines of another one of them.

    Attributes
    ----------
    specs
        The static spec of each value, by number.
    labels
        What a message calls each value that no step makes.
    steps
        In an order in which they can run.
    feeds, variables
        The values that a run is handed, in the order in which it is handed them.
    constants
        The values that never change.
    keys
        The values that seed random numbers, with the positions of their streams among those that a run is handed.
    fetches
        The values that a run returns.
    updates
        Pairs of a variable's value and the value that it takes.
    large
        Those of the feeds that are constants, too large to be held here.
    folded
        Of the constants, those that a step made which needs not be run any more, with that step.
    """

    specs: tuple[Spec, ...]
    labels: Mapping[int, str]
    steps: tuple[Step, ...]
    feeds: tuple[int, ...]
    variables: tuple[int, ...]
    constants: Mapping[int, Array]
    keys: Mapping[int, int]
    fetches: tuple[int, ...]
    updates: tuple[tuple[int, int], ...]
    large: frozenset[int] = frozenset()
    folded: Mapping[int, Step] = field(default_factory=dict)

    def named_by(self, lowered: "Structure | None") -> "Structure":
        """Return the structure under the names and lines of `lowered`, whose like it was made of; as it is for None."""
        if lowered is None:
            return self
        steps = tuple([step.named_by(lowered.steps) for step in self.steps])
        folded = {value: step.named_by(lowered.steps) for value, step in self.folded.items()}
        return replace(self, steps=steps, folded=folded, labels={**self.labels, **lowered.labels})

    def holding(self, constants: Sequence[Array]) -> "Structure":
        """Return the structure with large constants of its own, which no run is handed then."""
        fed = len(self.feeds) - len(self.large)
        held = dict(zip(self.feeds[fed:], constants, strict=True))
        return replace(self, feeds=self.feeds[:fed], constants={**self.constants, **held}, large=frozenset())

    def rewritten(self, steps: Iterable[Step], replaced: Mapping[int, int], **fields: Any) -> "Structure":
        """Return the structure with other `steps`, and with the values that are `replaced` by others.

        Parameters
        ----------
        steps
            They read those others already.
        fields
            What else changes.
        """
        fetches = tuple([replaced.get(value, value) for value in self.fetches])
        updates = tuple([(variable, replaced.get(value, value)) for variable, value in self.updates])
        return replace(self, steps=tuple(steps), fetches=fetches, updates=updates, **fields)

    def name(self, value: int) -> str:
        """Return the name of the call that makes a value, or what a message calls one that is there before."""
        step = self._told_by(value)
        return step.name if step else self.labels[value]

    def describe(self, value: int, specs: Sequence[Spec], arrays: Sequence[Array | None] = ()) -> str:
        """Return what a message calls a value, with its range where arrays are at hand."""
        step = self._told_by(value)
        label = f"{step.what} {step.name!r}" if step else self.labels[value]
        return f"{label} {specs[value]}{_range(arrays[value]) if arrays else ''}"

    def describe_inputs(self, step: Step, specs: Sequence[Spec], arrays: Sequence[Array | None] = ()) -> str:
        """Return the inputs of a step by name, as a message lists them."""
        names = input_names(step.op, len(step.inputs))
        # the memory of what is not read may hold something else by now
        shown = [arrays if i in step.reads() else () for i in range(len(names))]
        described = [self.describe(v, specs, some) for v, some in zip(step.inputs, shown, strict=True)]
        return "; ".join(f"{name}: {text}" for name, text in zip(names, described, strict=True))

    def _told_by(self, value: int) -> Step | None:
        """Return the step whose name a value has in messages, None for one that is there before."""
        step = self.maker(value) or self.folded.get(value)
        members = () if step is None else step.members
        return next((member for member in members if value in member.outputs), step)

    def maker(self, value: int) -> Step | None:
        """Return the step that makes a value, None for one that is there before."""
        return self.makers.get(value)

    @cached_property
    def makers(self) -> Mapping[int, Step]:
        """The step that makes each value, but for those that are there before."""
        return {value: step for step in self.steps for value in step.outputs}

    @property
    def read(self) -> set[int]:
        """The values whose data a step or a result reads, and not their shapes alone."""
        return self.results.union(*[[step.inputs[i] for i in step.reads()] for step in self.steps if step.run])

    @property
    def results(self) -> set[int]:
        """The values that outlive the steps: those fetched and those that variables take."""
        return {*self.fetches, *(value for _, value in self.updates)}


def _range(array: Array | None) -> str:
    """Return the range of an array's finite values, and how many of them are not."""
    if array is None or not array.size or array.dtype.kind not in "iuf":
        return ""
    finite = array[np.isfinite(array)]
    shown = f" in [{finite.min():.6g}, {finite.max():.6g}]" if finite.size else ""
    return shown + (f" but for {array.size - finite.size} NaN or infinite" if finite.size < array.size else "")
