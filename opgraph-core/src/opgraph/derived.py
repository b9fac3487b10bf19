"""What is made of a graph by differentiating it, found by the structure of the graph before it is made again."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from opgraph.compiled import Compiler, StructureKey
from opgraph.errors import OpgraphError
from opgraph.executable import Executable
from opgraph.node import Node
from opgraph.op import Array
from opgraph.passes.lower import Fired, Leaves, Lowered, lower
from opgraph.spec import get_default_dtype
from opgraph.structure import Structure
from opgraph.variable import Variable


class Made(NamedTuple):
    """What was made of some nodes: fetches, updates, and what else is to be known of them, which holds no node."""

    fetches: Sequence[Node]
    updates: Mapping[Variable, Node]
    note: Any = None


Maker: TypeAlias = Callable[[Sequence[Node]], Made]


class Derived(NamedTuple):
    """What was made, compiled.

    Attributes
    ----------
    executable
    fetches
        The nodes whose values it computes; None for one that was not made, since one like it was before.
    note
    """

    executable: Executable
    fetches: Sequence[Node | None]
    note: Any


def derive(kind: Hashable, nodes: Sequence[Node], make: Maker, compiler: Compiler) -> Derived:
    """Return what `make` makes of `nodes`, compiled; it is asked once for all graphs of one structure.

    Parameters
    ----------
    kind
        Tells from each other what is made of the same nodes; it holds no node.
    nodes
        All that `make` uses but for variables, in a graph of any kind.
    make
        Holds no node either.
    """
    before = lower(nodes, {})
    key = kind, get_default_dtype(), StructureKey(before)
    recipe: _Recipe | None = compiler.derived.get(key)
    found = None if recipe is None else recipe.followed(before, nodes, make, compiler)
    if found is not None:
        return found
    made = make(nodes)
    lowered = lower(made.fetches, made.updates)
    after = StructureKey(lowered)
    executable = Executable.of_lowered(lowered, after, compiler)
    recipe = _Recipe.of(before, nodes, lowered, after, made)
    if recipe is not None:
        compiler.derived.put(key, recipe)
    return Derived(executable, made.fetches, made.note)


@dataclass(frozen=True)
class _Recipe:
    """How to get from a graph to what was made of one of the same structure, which is compiled.

    Attributes
    ----------
    key
        Of what was made.
    placeholders, streams, firing
        Which of those of the graph it has.
    constants, variables
        Which of those of the graph it has, or others: optimizers have variables of their own.
    fired
        For each variable that takes a new value: its position, which updates of the graph led to it, and
        whether one that was made did.
    fetches
        Which of the nodes of which it was made it fetches, None for others.
    note
    """

    key: StructureKey
    placeholders: Sequence[int]
    streams: Sequence[int]
    firing: Sequence[int]
    constants: Sequence[int | Array]
    variables: Sequence[int | weakref.ref[Variable]]
    fired: Sequence[tuple[int, frozenset[int], bool]]
    fetches: Sequence[int | None]
    note: Any

    @classmethod
    def of(cls, before: Leaves, nodes: Sequence[Node], after: Leaves, key: StructureKey, made: Made) -> _Recipe | None:
        """Return the way from `before` to `after`; None where that has what neither the graph nor a variable has."""
        constants = {id(array): at for at, array in enumerate(before.constants)}
        variables = _positions(before.variables)
        orders = _positions(before.orders)
        written = _positions(after.variables)
        fetched = _positions([node.identity for node in nodes])
        try:
            return cls(
                key,
                _found(after.placeholders, before.placeholders),
                _found(after.streams, before.streams),
                _found(after.firing, before.firing),
                [constants.get(id(array), array) for array in after.constants],
                [variables.get(variable, weakref.ref(variable)) for variable in after.variables],
                [
                    (
                        written[variable],
                        frozenset([orders[update] for update in updates if isinstance(update, int)]),
                        not all(isinstance(update, int) for update in updates),
                    )
                    for variable, updates in after.fired
                ],
                [fetched.get(node.identity) for node in made.fetches],
                made.note,
            )
        except KeyError:
            return None

    def followed(self, before: Lowered, nodes: Sequence[Node], make: Maker, compiler: Compiler) -> Derived | None:
        """Return what would be made of `nodes`, which lower to `before`; None where that is not kept any more."""
        compiled = compiler.known(self.key)
        variables = [before.variables[each] if isinstance(each, int) else each() for each in self.variables]
        if compiled is None or None in variables:
            return None
        known = tuple([variable for variable in variables if variable is not None])
        here = object()  # what tells the updates made here from all others
        leaves = Leaves(
            placeholders=tuple([before.placeholders[at] for at in self.placeholders]),
            constants=tuple([before.constants[each] if isinstance(each, int) else each for each in self.constants]),
            variables=known,
            streams=tuple([before.streams[at] for at in self.streams]),
            fired=tuple(
                [
                    Fired(known[at], frozenset([before.orders[order] for order in orders] + [here] * made))
                    for at, orders, made in self.fired
                ]
            ),
            orders=before.orders,
            firing=tuple([before.firing[at] for at in self.firing]),
        )
        names = _Names(nodes, make, self.key)
        fetches = [None if at is None else nodes[at] for at in self.fetches]
        return Derived(Executable(leaves, compiled, names, compiler), fetches, self.note)


def _positions(values: Sequence[Any]) -> dict[Any, int]:
    return {value: at for at, value in enumerate(values)}


def _found(values: Sequence[Any], among: Sequence[Any]) -> list[int]:
    positions = _positions(among)
    return [positions[value] for value in values]


class _Names:
    """Returns what is made of nodes, lowered: it is made after all when a message wants its names and lines.

    It returns None where that cannot be had any more: nodes are gone, or have got updates since.
    """

    def __init__(self, nodes: Sequence[Node], make: Maker, key: StructureKey) -> None:
        # weakly, since graphs keep executables; and calls, since nodes of their outputs come and go
        self._nodes = [(weakref.ref(node if node.call is None else node.call), node.index) for node in nodes]
        self._make = make
        self._key = key

    def __call__(self) -> Structure | None:
        nodes = []
        for ref, index in self._nodes:
            found = ref()
            if found is None:
                return None
            nodes.append(found if isinstance(found, Node) else found.output(index))
        try:
            made = self._make(nodes)
            lowered = lower(made.fetches, made.updates)
        except OpgraphError:  # what is missing by now is no news for whoever runs what was made before
            return None
        return lowered.structure if StructureKey(lowered) == self._key else None
