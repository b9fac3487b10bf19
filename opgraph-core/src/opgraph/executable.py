"""What runs: a graph with what its structure is compiled to."""

import functools
import operator
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from opgraph.compiled import Compiled, Compiler, Settings, StructureKey
from opgraph.convert import NUMBERS, contiguous, to_array
from opgraph.errors import DtypeError, FeedError, GraphError, NoValueError, OpgraphError, ShapeError, user_source
from opgraph.graph import Graph
from opgraph.node import Node, Placeholder, describe
from opgraph.op import Array
from opgraph.passes.lower import Fired, Leaves, Lowered, lower
from opgraph.passes.memory import stand_in
from opgraph.plan import Plan, Run
from opgraph.spec import Shape
from opgraph.stopwatch import Stopwatch, clock
from opgraph.structure import Structure
from opgraph.threads import is_held, run_blocks, unless_held
from opgraph.variable import Variable, uninitialized

Receiver: TypeAlias = Callable[[Fired, Array], None]


class Executable:
    """A set of fetches and updates of one graph, compiled; it holds no nodes but placeholders and variables.

    Parameters
    ----------
    leaves
        What the graph has for the structure.
    compiled
        What that was compiled to, perhaps for another graph.
    names
        Returns the structure as it was lowered, with the names and lines of this graph, or None where nobody knows
        them any more.

    Attributes
    ----------
    placeholders, variables
        Those that it needs, in the order in which the structure numbers them.
    fired
        For each update, the variable that it writes and what led to it.
    lengths
        How many steps the structure had before the passes, and after each.
    """

    def __init__(
        self, leaves: Leaves, compiled: Compiled, names: Callable[[], Structure | None], compiler: Compiler
    ) -> None:
        self.placeholders = leaves.placeholders
        self.variables = leaves.variables
        self.fired = leaves.fired
        self._firing = [weakref.ref(call) for call in leaves.firing]
        self._leaves = replace(leaves, firing=())  # which would keep the graph alive
        self._compiled = compiled
        self._plans = compiled.plans_for(leaves)
        self._compiler = compiler
        self._names = names
        self._storages = [v.storage for v in self.variables]
        self._read = [self._storages[at] for at in compiled.read]
        self._lock = compiled.lock

    @classmethod
    def of(cls, fetches: Sequence[Node], updates: Mapping[Variable, Node], compiler: Compiler) -> "Executable":
        """Return what computes `fetches` and `updates`."""
        lowered = lower(fetches, updates)
        return cls.of_lowered(lowered, StructureKey(lowered), compiler)

    @classmethod
    def of_lowered(cls, lowered: Lowered, key: StructureKey, compiler: Compiler) -> "Executable":
        """Return what runs `lowered`, which has `key`."""
        structure = lowered.structure
        return cls(lowered, compiler.compile(lowered, key), lambda: structure, compiler)

    @property
    def settings(self) -> Settings:
        """Those of the run time."""
        return self._compiler.settings

    @property
    def structure(self) -> Structure:
        """What is run, under the names and lines of this graph."""
        return self.named(self._compiled.structure)

    def named(self, structure: Structure) -> Structure:
        """Return what was made of the structure under the names and lines of this graph."""
        return structure.named_by(self._names())

    @property
    def lengths(self) -> list[int]:
        """How many steps the structure had before the passes, and after each."""
        return self._compiled.lengths

    @property
    def firing(self) -> list[Node]:
        """A node of each call to which the graph attached an update that this fires, of those that live."""
        calls = [ref() for ref in self._firing]
        return [call.output(0) for call in calls if call is not None]

    def run(
        self,
        feeds: Sequence[Array],
        step: int,
        receive: Receiver | None = None,
        done: Mapping[Variable, frozenset[object]] = MappingProxyType({}),
    ) -> list[Array]:
        """Run on contiguous arrays of the placeholders' dtypes, in their order.

        Parameters
        ----------
        feeds
            Not kept.
        step
            The number of the run, which random numbers depend on.
        receive
            Is handed what led to each update, and the new value, in memory that the next run writes; where
            there is none, the variables take their new values at once.
        done
            The updates that an earlier run of the same step made already.
        """
        # the lock lets its owner in again, so that a kernel may look at a variable; threading.Condition asks so too
        if is_held(self._lock):
            detail = "a signal handler or kernel runs what reads or writes the variables of a run that is not over"
            raise GraphError(detail, str(user_source() or ""))
        # nothing but a call in here: where a signal interrupts a comprehension written straight into a with,
        # Python 3.13 leaves the with without releasing the lock
        with self._lock:
            return self._run(feeds, step, receive, done)

    def _run(
        self,
        feeds: Sequence[Array],
        step: int,
        receive: Receiver | None,
        done: Mapping[Variable, frozenset[object]],
    ) -> list[Array]:
        missing = [storage.label for storage in self._read if not storage.initialized]
        if missing:
            raise uninitialized(missing, user_source())
        written = [f.variable for f in self.fired]
        at_once = not written or (receive is None and done.keys().isdisjoint(written))
        watchers = self.settings.watchers
        stopwatch = Stopwatch(watchers) if watchers else None
        plan = self._plan(feeds, at_once)
        if stopwatch is not None:
            stopwatch.start(self, plan)
        try:
            values = plan.run(
                [*feeds, *self._leaves.constants] if plan.structure.large else feeds,
                self.settings.seed,
                step,
                self.settings.check_finite,
                stopwatch,
                self._leaves.streams,
                self._names,
            )
            blocks = plan.commits
            if stopwatch is not None:
                blocks = stopwatch.stamped(blocks)
                stopwatch.returned = clock()
            news = zip([self.fired[at] for at in plan.staged], plan.new_values(), strict=True)
            if receive is not None:
                for fired, value in news:
                    receive(fired, value)
                return values
            wanted = [(f.variable, value) for f, value in news if not f.updates <= done.get(f.variable, frozenset())]
            with np.errstate(all="ignore"):
                commit([variable for variable, _ in wanted], [value for _, value in wanted], blocks, written)
            return values
        finally:
            plan.release()
            if stopwatch is not None:
                stopwatch.stop(plan)

    def plan(self, feeds: Sequence[Array]) -> Plan:
        """Return the plan of a run on arrays of these shapes and dtypes; their values are not looked at."""
        with unless_held(self._lock):
            return self._plan(feeds, True)

    def _plan(self, feeds: Sequence[Array], at_once: bool) -> Plan:
        """Return the plan for the feeds' shapes; the caller holds the lock."""
        signature = (at_once, *[array.shape for array in feeds])
        plan = self._compiled.known_plan(self._plans, signature)
        if plan is None:
            plan = self._compiled.new_plan(self._plans, signature, self._leaves, lambda: self.structure)
            self._compiler.make_room()
        return plan


def commit(
    variables: Sequence[Variable],
    values: Sequence[Array],
    blocks: Sequence[Sequence[Sequence[Run]]] = ((),),
    written: Sequence[Variable] = (),
) -> None:
    """Copy `values` into `variables`, all or none of them; the caller holds the lock of their graph.

    Parameters
    ----------
    blocks
        For each thread, calls that write more variables where they are.
    written
        These.
    """
    storages = [variable.storage for variable in variables]
    copies = [
        functools.partial(operator.setitem, s.array, ..., value) for s, value in zip(storages, values, strict=True)
    ]
    marks = [functools.partial(setattr, v.storage, "initialized", True) for v in (*variables, *written)]
    run_blocks(blocks, [*copies, *marks])


def fed_arrays(
    feeds: Mapping[Any, Any] | None,
    needed: Sequence[Placeholder],
    graph: Graph | None,
    known: Mapping[Placeholder, Array] = MappingProxyType({}),
) -> list[Array]:
    """Return the arrays for the placeholders `needed`: from `feeds`, or what is `known` already.

    Raises
    ------
    FeedError
        For a key of `feeds` that is no placeholder of `graph`, and for a placeholder without a value.
    ShapeError, DtypeError
        For a value that does not fit.
    """
    feeds = fed_keys(feeds, graph)
    missing = [p for p in needed if p not in feeds and p not in known]
    if missing:
        detail = f"no value is fed for {', '.join(map(describe, missing))}"
        raise FeedError(detail).located("run", _run_at(), missing[0].source)
    return [fed(p, feeds[p]) if p in feeds else known[p] for p in needed]


def fed_keys(feeds: Mapping[Any, Any] | None, graph: Graph | None) -> Mapping[Placeholder, Any]:
    """Return `feeds`, whose keys are placeholders of `graph`; raise `FeedError` for any other."""
    feeds = {} if feeds is None else feeds
    if not isinstance(feeds, Mapping):
        raise FeedError(f"feeds are a mapping from placeholders to values, not a {type(feeds).__name__}")
    for key in feeds:
        if not isinstance(key, Placeholder):
            raise FeedError(f"feeds are keyed by placeholders, not by {shown(key)}")
        if graph is not None and key.graph is not graph:
            raise FeedError(f"{describe(key)} is a placeholder of another graph")
    return feeds


def stand_ins(feeds: Mapping[Any, Any] | None, needed: Sequence[Placeholder], graph: Graph | None) -> list[Array]:
    """Return arrays without data for the placeholders `needed`, of the shapes that `feeds` or they themselves say.

    Parameters
    ----------
    feeds
        As `fed_arrays` takes them, or shapes: tuples of integers.

    Raises
    ------
    FeedError
        For a placeholder of unknown sizes that is not fed; and as `fed_arrays` does.
    ShapeError, DtypeError
        For a value or shape that does not fit.
    """
    given = fed_keys(feeds, graph)
    missing = [p for p in needed if p not in given and not p.shape.is_known]
    if missing:
        detail = f"sizes are unknown of {', '.join(map(describe, missing))}; feed values or shapes, tuples of integers"
        raise FeedError(detail).located("explain", _run_at(), missing[0].source)
    return [stand_in(p.spec.with_shape(_shape_of(p, given[p]) if p in given else p.shape)) for p in needed]


def _shape_of(placeholder: Placeholder, given: Any) -> Shape:
    """Return the shape of a value for `placeholder`, which may be the shape itself."""
    if not (isinstance(given, tuple) and all(isinstance(n, int | np.integer | None) for n in given)):
        return Shape(fed(placeholder, given).shape)
    try:
        shape = Shape(given)
        if not shape.is_known or not placeholder.shape.compatible_with(shape):
            raise ShapeError(f"the shape {shape} does not fit {placeholder.shape}, or leaves sizes unknown")
    except ShapeError as error:
        raise error.located(f"feed of {describe(placeholder)}", _run_at(), placeholder.source) from None
    return shape


def fed(placeholder: Placeholder, value: Any) -> Array:
    """Return `value` as a contiguous array of the placeholder's dtype; over the same memory if it can be."""
    try:
        if value is None:
            raise DtypeError(f"{NUMBERS}, not None")
        if isinstance(value, Node):
            detail = f"{describe(value)} has no value before it is run; feed an array, or use the node in the graph"
            raise NoValueError(detail)
        array = contiguous(to_array(value, placeholder.dtype))
        if array.shape != placeholder.shape and not placeholder.shape.compatible_with(array.shape):
            raise ShapeError(f"a value of shape {array.shape} does not fit {placeholder.shape}")
    except OpgraphError as error:
        what = f"feed of {describe(placeholder)}"
        raise error.located(what, _run_at(), placeholder.source) from error.__cause__
    return array


def _run_at() -> str:
    """Return the user's line that runs, for a message that ends with the placeholder's."""
    source = user_source()
    return f"run {source}" if source else ""


def shown(value: Any) -> str:
    """Return what a message calls `value`, be it a node or anything else."""
    return describe(value) if isinstance(value, Node) else repr(value)
