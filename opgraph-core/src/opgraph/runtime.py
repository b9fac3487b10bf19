"""Execution: feeds in, values out."""

import collections
import functools
import itertools
import os
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast, overload

import numpy as np

from opgraph.convert import to_array
from opgraph.errors import (
    ArgumentError,
    FeedError,
    GraphError,
    OpgraphError,
    ShapeError,
    did_you_mean,
    placing,
    user_source,
)
from opgraph.graph import Graph, Variable, as_update, in_one_call, uninitialized, write_all
from opgraph.node import Node, NodeLike, Placeholder, above, describe
from opgraph.op import Array, Kernel, Op, Rng, Specs
from opgraph.passes import GRAPH_PASSES
from opgraph.passes.bind import bind
from opgraph.passes.lower import lower
from opgraph.passes.specialize import specialize
from opgraph.plan import Plan
from opgraph.registry import default_kernels, get_kernels
from opgraph.spec import Shape, Spec

PLAN_CACHE_BYTES = 1 << 30  # of the buffers of one program's plans
EXECUTABLE_CACHE_SIZE = 64  # sets of fetches of one graph that a run time remembers


class RunTime:
    """Executes graphs: owns the random seed, the choice of kernels, and what was compiled.

    Parameters
    ----------
    kernels : sequence of str
        Names of installed kernel sets, the first that has a kernel for an op provides it.
    threads : int, optional
        How many threads may work on a run. Plans run on the calling thread at present; BLAS keeps its own.
    seed : int, optional
        Of all random keys; drawn from the system where not given. Runs are numbered from 0, so one seed
        gives the same numbers again.
    check_finite : bool
        Whether to raise `NonFiniteError` at the first value that goes NaN or infinite.
    passes : sequence of str, optional
        The graph passes to apply, by name; all of them by default.
    tile : int, optional
        How many elements a tile holds. Plans work on whole arrays at present.

    Notes
    -----
    Several threads may use one; results are as if they had come one after the other.
    """

    def __init__(
        self,
        kernels: Sequence[str] = (),
        threads: int | None = None,
        seed: int | None = None,
        check_finite: bool = False,
        passes: Sequence[str] | None = None,
        tile: int | None = None,
    ) -> None:
        with placing("RunTime", user_source()):
            for name, value in [("threads", threads), ("tile", tile)]:
                if value is not None and (type(value) is not int or value < 1):
                    raise ArgumentError(f"{name} is a positive integer or None, not {value!r}")
            if seed is not None and (not isinstance(seed, int | np.integer) or not 0 <= seed < 1 << 128):
                raise ArgumentError(f"seed is an integer from 0 to 2**128 - 1 or None, not {seed!r}")
            unknown = [name for name in passes or () if name not in GRAPH_PASSES]
            if unknown:
                raise ArgumentError(f"no pass is named {unknown[0]!r}" + did_you_mean(unknown[0], GRAPH_PASSES))
            if isinstance(kernels, str):
                raise ArgumentError(f"kernels is a sequence of names; write ({kernels!r},)")
            self._kernel_sets = [get_kernels(name) for name in kernels or default_kernels()]
        self.seed = int.from_bytes(os.urandom(8), "little") if seed is None else int(seed)
        self.check_finite = bool(check_finite)
        self._passes = [GRAPH_PASSES[name] for name in (GRAPH_PASSES if passes is None else passes)]
        self._steps = itertools.count()
        self._lock = threading.RLock()  # a signal handler may come back in

    def reset(self) -> None:
        """Start over: the next run is numbered 0 again, and so draws the numbers of the first one."""
        self._steps = itertools.count()

    @overload
    def run(self, fetches: Node, feeds: Mapping[Any, Any] | None = None) -> Array: ...
    @overload
    def run(self, fetches: Sequence[Node], feeds: Mapping[Any, Any] | None = None) -> list[Array]: ...
    def run(self, fetches: Node | Sequence[Node], feeds: Mapping[Any, Any] | None = None) -> Array | list[Array]:
        """Return the values of `fetches`, an array for a node and a list for a sequence.

        Parameters
        ----------
        fetches
            Nodes of one graph. Updates that the graph attached to their ancestors take effect.
        feeds
            Values by placeholder; those that the fetches don't need are left alone.

        Returns
        -------
        array or list of arrays
            Fresh, writable, contiguous; they share memory with nothing.

        Raises
        ------
        FeedError
            For a feed that is no placeholder of the graph, one that is missing or whose value does not fit.
        ShapeError
            Where sizes that were unknown turn out not to go together.
        UninitializedError
            Where a variable has no value yet.
        KernelError, NonFiniteError
            Where a kernel fails. Variables stay as they were, whichever error it is.
        """
        with placing("run", user_source()):
            nodes = (
                [fetches] if isinstance(fetches, Node) else _as_list(fetches, "fetches", "a node or a list of nodes")
            )
            if not nodes:
                return []
            _check_nodes(nodes)
            executable = self._remembered(nodes)
            values = executable.run(_feeds(feeds, executable.placeholders, nodes[0].graph), self)
        return values[0] if isinstance(fetches, Node) else values

    def compile(
        self,
        inputs: Sequence[Placeholder],
        fetches: Sequence[Node],
        updates: Mapping[Variable, NodeLike] | None = None,
    ) -> "Program":
        """Return a `Program` that takes the values of `inputs` and returns those of `fetches`.

        Parameters
        ----------
        inputs
            Placeholders, in the order in which the program takes their values.
        fetches
            Nodes.
        updates
            New values by variable, which every call of the program puts in, all at once.

        Raises
        ------
        FeedError
            Where an input is no placeholder, stands there twice, or one that is needed is missing.
        ShapeError, DtypeError, GraphError
            Where a new value does not fit its variable.
        """
        with placing("compile", user_source()):
            nodes = _as_list(fetches, "fetches", "a list of nodes")
            inputs = _as_list(inputs, "inputs", "a list of placeholders")
            changed = _checked_updates(updates or {})
            _check_inputs(inputs)
            _check_nodes([*nodes, *changed, *inputs])
            program = Program(self, nodes, changed, inputs)
            missing = [p for p in program.placeholders if p not in set(inputs)]
            if missing:
                raise FeedError(f"inputs lack {', '.join(map(describe, missing))}, which the fetches need")
        return program

    def _remembered(self, nodes: list[Node]) -> "_Executable":
        """Return what computes `nodes`, a new one where these very nodes were not fetched before."""
        with self._lock:
            return self._executable_for(nodes)

    def _executable_for(self, nodes: list[Node]) -> "_Executable":
        graph = nodes[0].graph
        version = graph.update_count
        # kept by the graph, which what it computes keeps alive: kept here, neither would ever be freed
        known = graph.executables.setdefault(self, {})
        found = known.get((tuple(map(weakref.ref, nodes)), version))
        if found is None:

            def forget(_: object) -> None:
                known.pop(key, None)

            key = tuple([weakref.ref(node, forget) for node in nodes]), version
            stale = [k for k in list(known) if k[1] != version]
            for old in stale or list(known)[: -EXECUTABLE_CACHE_SIZE + 1]:
                known.pop(old, None)
            found = known[key] = _Executable(nodes, {}, self)
        return cast(_Executable, found)


class Program:
    """A compiled set of fetches and updates, called with arrays.

    Plans are kept for the shapes that were last seen, within a bound on their memory.

    Attributes
    ----------
    placeholders : tuple of Placeholder
        Those whose values the fetches or updates need.
    variables : tuple of Variable
        Those that are read or written.
    """

    def __init__(
        self,
        runtime: RunTime,
        fetches: Sequence[Node],
        updates: Mapping[Variable, Node],
        inputs: Sequence[Placeholder],
    ) -> None:
        self._runtime = runtime
        self._executable = _Executable(fetches, updates, runtime)
        self._inputs = tuple(inputs)
        self.placeholders = self._executable.placeholders
        self.variables = self._executable.variables

    def __call__(self, *values: Any) -> list[Array]:
        """Run on the values of the inputs; returns fresh arrays and raises what `RunTime.run` does."""
        if len(values) != len(self._inputs):
            names = ", ".join(repr(p.name) for p in self._inputs)
            raise FeedError(f"takes {len(self._inputs)} values ({names}), got {len(values)}").located(
                "program", source=user_source()
            )
        given = {p: _fed(p, value) for p, value in zip(self._inputs, values, strict=True)}
        return self._executable.run([given[p] for p in self.placeholders], self._runtime)

    def __repr__(self) -> str:
        structure = self._executable.structure
        return (
            f"<Program of {len(structure.steps)} calls: {len(self._inputs)} inputs, "
            f"{len(structure.fetches)} fetches, {len(structure.updates)} updates>"
        )


class _Executable:
    """A structure with its variables, and a plan for each of the shapes that were last fed."""

    def __init__(self, fetches: Sequence[Node], updates: Mapping[Variable, Node], runtime: RunTime) -> None:
        lowered = lower(fetches, updates)
        self.structure = lowered.structure
        for apply_pass in runtime._passes:
            self.structure = apply_pass(self.structure)
        self.placeholders = lowered.placeholders
        self.variables = lowered.variables
        self._choose_kernel = functools.partial(_choose_kernel, runtime._kernel_sets)
        self._storages = [v.storage for v in self.variables]
        # one run at a time: of all that share variables, or of this alone
        self._lock: Any = self.variables[0].graph.state_lock if self.variables else threading.RLock()
        numbers = dict(zip(self.structure.variables, self._storages, strict=True))
        read = self.structure.read
        self._read = [storage for value, storage in numbers.items() if value in read]
        self._written = [numbers[variable] for variable, _ in self.structure.updates]
        self._plans: collections.OrderedDict[object, Plan] = collections.OrderedDict()
        self._plan_bytes = 0

    def run(self, feeds: Sequence[Array], runtime: RunTime) -> list[Array]:
        """Run on contiguous arrays of the placeholders' dtypes, in their order, and commit the updates."""
        # the lock lets its owner in again, so that a kernel may look at a variable; threading.Condition asks so too
        if self._lock._is_owned():
            detail = "a signal handler or kernel runs what reads or writes the variables of a run that is not over"
            raise GraphError(detail, str(user_source() or ""))
        # nothing but a call in here: where a signal interrupts a comprehension written straight into a with,
        # Python 3.13 leaves the with without releasing the lock
        with self._lock:
            return self._run(feeds, runtime)

    def _run(self, feeds: Sequence[Array], runtime: RunTime) -> list[Array]:
        missing = [storage.label for storage in self._read if not storage.initialized]
        if missing:
            raise uninitialized(missing, user_source())
        plan = self._plan(feeds)
        values = plan.run(feeds, runtime.seed, next(runtime._steps), runtime.check_finite)
        write_all([storage.array for storage in self._written], plan.new_values())
        in_one_call(setattr, self._written, itertools.repeat("initialized"), itertools.repeat(True))
        return values

    def _plan(self, feeds: Sequence[Array]) -> Plan:
        """Return the plan for the feeds' shapes, bound now where there is none; the caller holds the lock."""
        signature = tuple([array.shape for array in feeds])
        plan = self._plans.get(signature)
        if plan is None:
            specs = specialize(self.structure, [Spec(Shape(a.shape), a.dtype) for a in feeds])
            plan = bind(self.structure, specs, [s.array for s in self._storages], self._choose_kernel)
            self._plans[signature] = plan
            self._plan_bytes += plan.nbytes
        self._plans.move_to_end(signature)
        while len(self._plans) > 1 and self._plan_bytes > PLAN_CACHE_BYTES:
            self._plan_bytes -= self._plans.popitem(last=False)[1].nbytes
        return plan


def _choose_kernel(kernel_sets: Sequence[Mapping[str, Any]], op: Op, ins: Specs, outs: Specs) -> Kernel:
    """Return the kernel of the first set that has one for `op`, or the op's own."""
    for kernels in kernel_sets:
        kernel = kernels[op.name](op, ins, outs) if op.name in kernels else None
        if kernel is not None:
            return cast(Kernel, kernel)
    return Kernel(op.compute, op.scratch(ins, outs))


def generator(key: Array) -> Rng:
    """Return the NumPy generator that a key's value stands for: one value, one sequence.

    Parameters
    ----------
    key : array, (4,) uint64
        The run's seed in two words, the key's stream and the run's step, which drive Philox (Salmon et
        al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
    """
    return np.random.Generator(np.random.Philox(key=key[:2], counter=[0, 0, key[2], key[3]]))


def _check_nodes(nodes: Sequence[Node]) -> None:
    for node in nodes:
        if not isinstance(node, Node):
            raise GraphError(f"fetches are nodes, not {_shown(node)}")
        if node.call is not None and node.index >= node.call.visible:
            raise GraphError(f"{describe(node)} is a hidden output, which is not fetched")
        if node.graph is not nodes[0].graph:
            raise GraphError(f"{describe(node)} is a node of another graph than {describe(nodes[0])}")


def _check_inputs(inputs: Sequence[Placeholder]) -> None:
    for node in inputs:
        if not isinstance(node, Placeholder):
            raise FeedError(f"inputs are placeholders, not {_shown(node)}")
        if list(inputs).count(node) > 1:
            raise FeedError(f"{describe(node)} stands twice among the inputs")


def _as_list(given: Any, what: str, wanted: str) -> list[Any]:
    if isinstance(given, Node):
        raise FeedError(f"{what} is {wanted}; write [{given.name}] for the one node {describe(given)}")
    if not isinstance(given, Iterable):
        raise FeedError(f"{what} is {wanted}, not {given!r}")
    return list(given)


def _checked_updates(updates: Mapping[Variable, NodeLike]) -> dict[Variable, Node]:
    for variable in updates:
        if not isinstance(variable, Variable):
            raise GraphError(f"updates are keyed by variables, not by {_shown(variable)}")
    return {variable: as_update(variable, value) for variable, value in updates.items()}


def _feeds(feeds: Mapping[Any, Any] | None, needed: Sequence[Placeholder], graph: Graph) -> list[Array]:
    """Return the arrays for the placeholders `needed`."""
    feeds = {} if feeds is None else feeds
    if not isinstance(feeds, Mapping):
        raise FeedError(f"feeds are a mapping from placeholders to values, not a {type(feeds).__name__}")
    for key in feeds:
        if not isinstance(key, Placeholder):
            raise FeedError(f"feeds are keyed by placeholders, not by {_shown(key)}")
        if key.graph is not graph:
            raise FeedError(f"{describe(key)} is a placeholder of another graph")
    missing = [p for p in needed if p not in feeds]
    if missing:
        raise FeedError(f"no value is fed for {', '.join(map(describe, missing))}").located(
            "run", source=missing[0].source
        )
    return [_fed(p, feeds[p]) for p in needed]


def _fed(placeholder: Placeholder, value: Any) -> Array:
    """Return `value` as a contiguous array of the placeholder's dtype; over the same memory if it can be."""
    try:
        array = np.asarray(to_array(value, placeholder.dtype), order="C")
        if not placeholder.shape.compatible_with(array.shape):
            raise ShapeError(f"a value of shape {array.shape} does not fit {placeholder.shape}")
    except OpgraphError as error:
        raise error.located(f"feed of {describe(placeholder)}", source=placeholder.source) from error.__cause__
    return array


def _shown(value: Any) -> str:
    return describe(value) if isinstance(value, Node) else repr(value)


above.make_runtime = RunTime
