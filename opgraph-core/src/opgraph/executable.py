"""What runs: a structure with its variables, and a plan for each of the shapes that were last fed."""

import collections
import functools
import operator
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeAlias, cast

import numpy as np

from opgraph.collection import collection_paused
from opgraph.convert import to_array
from opgraph.errors import FeedError, GraphError, OpgraphError, ShapeError, user_source
from opgraph.graph import Graph
from opgraph.node import Node, Placeholder, describe
from opgraph.op import Array, Elementwise, Kernel, Op, Specs
from opgraph.passes.bind import Layout, bind
from opgraph.passes.lower import Fired, lower
from opgraph.passes.memory import stand_in
from opgraph.passes.specialize import specialize
from opgraph.plan import Plan, Run, Structure
from opgraph.spec import Shape, Spec
from opgraph.stopwatch import Stopwatch, Watcher, clock
from opgraph.threads import run_blocks
from opgraph.variable import Variable, uninitialized

PLAN_CACHE_BYTES = 1 << 30  # of the buffers of one program's plans

KernelSet: TypeAlias = Mapping[str, Callable[..., Any]]
Receiver: TypeAlias = Callable[[Fired, Array], None]


@dataclass(frozen=True)
class Settings:
    """What a run time decides for everything that it runs."""

    seed: int
    check_finite: bool
    passes: Sequence[Callable[[Structure], Structure]]
    kernel_sets: Sequence[KernelSet]
    layout: Layout
    watchers: list[Watcher] = field(default_factory=list, compare=False)  # of the runs of this run time, for a while


class Executable:
    """A set of fetches and updates, compiled; it holds no nodes but placeholders and variables.

    Attributes
    ----------
    placeholders, variables
        Those that it needs, in the order in which the structure numbers them.
    fired
        For each update, the variable that it writes and what led to it.
    lengths
        How many steps the structure had before the passes, and after each.
    """

    def __init__(self, fetches: Sequence[Node], updates: Mapping[Variable, Node], settings: Settings) -> None:
        with collection_paused():
            lowered = lower(fetches, updates)
            self.structure = lowered.structure
            self.lengths = [len(self.structure.steps)]
            for apply_pass in settings.passes:
                self.structure = apply_pass(self.structure)
                self.lengths.append(len(self.structure.steps))
        self.placeholders = lowered.placeholders
        self.variables = lowered.variables
        self.fired = lowered.fired
        self._firing = [weakref.ref(call) for call in lowered.firing]
        self._settings = settings
        self._choose_kernel = functools.partial(_choose_kernel, settings.kernel_sets)
        self._storages = [v.storage for v in self.variables]
        # one run at a time: of all that share variables, or of this alone
        self._lock: Any = self.variables[0].graph.state_lock if self.variables else threading.RLock()
        numbers = dict(zip(self.structure.variables, self._storages, strict=True))
        read = self.structure.read
        self._read = [storage for value, storage in numbers.items() if value in read]
        self._plans: collections.OrderedDict[object, Plan] = collections.OrderedDict()
        self._plan_bytes = 0

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
        if self._lock._is_owned():
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
        watchers = self._settings.watchers
        stopwatch = Stopwatch(watchers) if watchers else None
        plan = self._plan(feeds, at_once)
        if stopwatch is not None:
            stopwatch.start(self, plan)
        try:
            values = plan.run(feeds, self._settings.seed, step, self._settings.check_finite, stopwatch)
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
        with self._lock:
            return self._plan(feeds, True)

    def _plan(self, feeds: Sequence[Array], at_once: bool) -> Plan:
        """Return the plan for the feeds' shapes, bound now where there is none; the caller holds the lock.

        Parameters
        ----------
        at_once
            Whether all variables take their new values when the run ends, and may be written in place.
        """
        signature = (at_once, *[array.shape for array in feeds])
        plan = self._plans.get(signature)
        if plan is None:
            plan = self._bound(feeds, at_once)
            self._plans[signature] = plan
            self._plan_bytes += plan.nbytes
        self._plans.move_to_end(signature)
        while len(self._plans) > 1 and self._plan_bytes > PLAN_CACHE_BYTES:
            self._plan_bytes -= self._plans.popitem(last=False)[1].nbytes
        return plan

    def _bound(self, feeds: Sequence[Array], at_once: bool) -> Plan:
        """Return a new plan for the feeds' shapes."""
        layout = replace(self._settings.layout, commit=self._settings.layout.commit and at_once)
        with collection_paused():
            specs = specialize(self.structure, [Spec(Shape(a.shape), a.dtype) for a in feeds])
            return bind(self.structure, specs, [s.array for s in self._storages], self._choose_kernel, layout)


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


def _choose_kernel(kernel_sets: Sequence[KernelSet], op: Op, ins: Specs, outs: Specs) -> Kernel:
    """Return the kernel of the first set that has one for `op`, or the op's own."""
    for kernels in kernel_sets:
        kernel = kernels[op.name](op, ins, outs) if op.name in kernels else None
        if kernel is not None:
            return cast(Kernel, kernel)
    if isinstance(op, Elementwise):
        ufunc = op.ufunc if type(op).compute is Elementwise.compute else None
        return Kernel(op.compute, op.scratch(ins, outs), blocks=True, ufunc=ufunc)
    bind = None if type(op).bind is Op.bind else op.bind
    return Kernel(op.compute, op.scratch(ins, outs), bind=bind)


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
        array = np.asarray(to_array(value, placeholder.dtype), order="C")
        if not placeholder.shape.compatible_with(array.shape):
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
