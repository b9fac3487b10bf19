"""From nodes to a structure: what a set of fetches and updates needs, numbered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from opgraph.node import Call, Constant, Key, Node, Placeholder, Update
from opgraph.op import Array
from opgraph.ops.like import EnsureShapeLike
from opgraph.spec import Spec
from opgraph.structure import Step, Structure
from opgraph.variable import Variable

SMALL_CONSTANT = 1 << 16  # bytes; larger ones are handed to every run, so that structures hold and compare small ones


@dataclass(frozen=True)
class Leaves:
    """What one graph has for a structure that other graphs may share.

    Attributes
    ----------
    placeholders, constants
        What stands behind the structure's feeds: those whose values a run is fed, then constants that are large.
    variables
        Those behind its variables.
    streams
        Of the random keys, the streams that the structure counts.
    fired
        For each of the structure's updates, in their order, what is written and why.
    orders
        Of the updates that the graph fires, oldest first, what tells them from each other.
    firing
        The calls to which the graph attached them.
    """

    placeholders: tuple[Placeholder, ...]
    constants: tuple[Array, ...]
    variables: tuple[Variable, ...]
    streams: tuple[int, ...]
    fired: tuple["Fired", ...]
    orders: tuple[int, ...]
    firing: tuple[Call, ...]


@dataclass(frozen=True)
class Lowered(Leaves):
    """A structure, with what the graph that it comes from has for it."""

    structure: Structure


class Fired(NamedTuple):
    """A variable that takes a new value, and what tells the updates that lead to it from others."""

    variable: Variable
    updates: frozenset[object]


def lower(fetches: Sequence[Node], updates: Mapping[Variable, Node]) -> Lowered:
    """Return the structure that computes `fetches`, and `updates` after those that the graph fires.

    An update added with ``graph.add_update`` fires when its call is among the ancestors of a fetch or
    of another update's value. The second update of one variable reads what the first one gave.
    """
    calls, fired = ancestors([*fetches, *updates.values()])
    builder = _Builder()
    for call in calls:
        builder.add(call)
    new_values: dict[Variable, int] = {}
    reasons: dict[Variable, set[object]] = {}
    here = object()  # what tells the updates given here from all others
    given = [(variable, value, here) for variable, value in updates.items()]
    for variable, value, reason in [*((u.variable, u.value, u.order) for u in fired), *given]:
        if variable in new_values:
            first = builder.checked(new_values[variable], variable, value)
            new_values[variable] = builder.again(value, variable, first)
        else:
            new_values[variable] = builder.number(value)
        reasons.setdefault(variable, set()).add(reason)
    pairs = tuple((builder.number(variable), value) for variable, value in new_values.items())
    structure = builder.structure(tuple(builder.number(node) for node in fetches), pairs)
    return Lowered(
        placeholders=tuple(builder.placeholders),
        constants=tuple(builder.large.values()),
        variables=tuple(builder.variables),
        streams=tuple(builder.streams),
        fired=tuple(Fired(variable, frozenset(reasons[variable])) for variable in new_values),
        orders=tuple(update.order for update in fired),
        firing=tuple(call for call in calls if call.updates),
        structure=structure,
    )


def ancestors(roots: Sequence[Node]) -> tuple[list[Call], list[Update]]:
    """Return the calls that `roots` need in creation order, and the updates that those calls fire."""
    calls: set[Call] = set()
    fired: list[Update] = []
    pending = [node.call for node in roots]
    while pending:
        call = pending.pop()
        if call is None or call in calls:
            continue
        calls.add(call)
        pending += [node.call for node in call.inputs]
        for update in call.updates:
            fired.append(update)
            pending.append(update.value.call)
    return sorted(calls, key=lambda c: c.serial), sorted(fired, key=lambda u: u.order)


class _Builder:
    """Numbers values and collects steps."""

    def __init__(self) -> None:
        self.specs: list[Spec] = []
        self.labels: dict[int, str] = {}
        self.steps: list[Step] = []
        self.numbers: dict[Node | Call, int] = {}  # of a call, that of its first output
        self.placeholders: dict[Placeholder, int] = {}
        self.variables: dict[Variable, int] = {}
        self.constants: dict[int, Array] = {}
        self.large: dict[int, Array] = {}
        self.keys: dict[int, int] = {}
        self.streams: dict[int, int] = {}
        self.regions: dict[object, int] = {}

    def number(self, node: Node) -> int:
        """Return the number of a node's value, a new one for a leaf that was not seen before."""
        if node.call is not None:
            return self.numbers[node.call] + node.index
        if node not in self.numbers:
            self.numbers[node] = number = self._new(node.spec)
            self.labels[number] = f"{node.kind} {node.name!r}"
            match node:
                case Placeholder():
                    self.placeholders[node] = number
                case Variable():
                    self.variables[node] = number
                case Constant():
                    small = node.value.nbytes <= SMALL_CONSTANT
                    (self.constants if small else self.large)[number] = node.value
                case Key():
                    self.keys[number] = self.streams.setdefault(node.stream, len(self.streams))
        return self.numbers[node]

    def add(self, call: Call) -> None:
        """Append the step of `call`."""
        inputs = tuple(self.number(node) for node in call.inputs)
        self.numbers[call] = self._step(call, inputs)[0]

    def checked(self, number: int, variable: Variable, later: Node) -> int:
        """Return the value `number` with a check, in the run, that it has the shape of `variable`."""
        checked = self._new(variable.spec)
        inputs = (number, self.number(variable))
        name, origin = f"update of {variable.name}", len(self.steps)
        self.steps.append(Step(EnsureShapeLike(), inputs, (checked,), name, later.source, origin=origin))
        return checked

    def again(self, value: Node, variable: Variable, number: int) -> int:
        """Append copies of the steps from `variable` to `value`, reading `number` in its place."""
        replaced: dict[object, int] = {variable: number}

        def renumbered(node: Node) -> int:
            return replaced[node.identity] if node.identity in replaced else self.number(node)

        for call in ancestors([value])[0]:
            if any(node.identity in replaced for node in call.inputs):
                inputs = tuple(map(renumbered, call.inputs))
                replaced.update(((call, i), n) for i, n in enumerate(self._step(call, inputs)))
        return renumbered(value)

    def structure(self, fetches: tuple[int, ...], updates: tuple[tuple[int, int], ...]) -> Structure:
        """Return what was collected."""
        return Structure(
            specs=tuple(self.specs),
            labels=self.labels,
            steps=tuple(self.steps),
            feeds=(*self.placeholders.values(), *self.large),
            variables=tuple(self.variables.values()),
            constants=self.constants,
            keys=self.keys,
            fetches=fetches,
            updates=updates,
            large=frozenset(self.large),
        )

    def _step(self, call: Call, inputs: tuple[int, ...]) -> tuple[int, ...]:
        outputs = tuple([self._new(spec) for spec in call.specs])
        region = 0 if call.region is None else self.regions.setdefault(call.region, len(self.regions) + 1)
        step = Step(
            call.op,
            inputs,
            outputs,
            call.name,
            call.source,
            title=call.title,
            gradient_of=call.gradient_of,
            recomputes=call.recomputes,
            region=region,
            origin=len(self.steps),
        )
        self.steps.append(step)
        return outputs

    def _new(self, spec: Spec) -> int:
        self.specs.append(spec)
        return len(self.specs) - 1
