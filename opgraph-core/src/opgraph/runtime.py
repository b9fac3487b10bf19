"""Execution: feeds in, values out."""

import collections
import itertools
import operator
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
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
from opgraph.graph import Graph, Variable, as_update, uninitialized
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
            self._kernel_sets = [get_kernels(name) for name in kernels or default_kernels()]
        self.seed = int.from_bytes(os.urandom(8), "little") if seed is None else int(seed)
        self.check_finite = bool(check_finite)
        self._passes = [GRAPH_PASSES[name] for name in (GRAPH_PASSES if passes is None else passes)]
        self._steps = itertools.count()
        self._programs: weakref.WeakKeyDictionary[Node, dict[Any, Program]] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

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
            Values by placeholder; those that the fetches don't need are checked and left.

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
        nodes = [fetches] if isinstance(fetches, Node) else list(fetches)
        if not nodes:
            return []
        with placing("run", user_source()):
            _check_nodes(nodes)
            program = self._remembered(nodes)
            values = program.run_with(_feeds(feeds or {}, program.placeholders, nodes[0].graph))
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
            nodes = list(fetches)
            changed = _checked_updates(updates or {})
            _check_nodes([*nodes, *changed])
            _check_inputs(inputs)
            program = Program(self, nodes, changed, inputs)
            missing = [p for p in program.placeholders if p not in set(inputs)]
            if missing:
                raise FeedError(f"inputs lack {', '.join(map(describe, missing))}, which the fetches need")
        return program

    def _remembered(self, nodes: list[Node]) -> "Program":
        """Return the program of `nodes`, a new one where these very nodes were not fetched before."""
        refs = tuple(map(weakref.ref, nodes))
        key = (refs, nodes[0].graph.update_count)
        with self._lock:
            programs = self._programs.setdefault(nodes[0], {})
            if key not in programs:
                for other in [k for k in programs if any(ref() is None for ref in k[0])]:
                    del programs[other]
                programs[key] = Program(self, nodes, {}, ())
            return programs[key]

    def _choose_kernel(self, op: Op, ins: Specs, outs: Specs) -> Kernel:
        for kernels in self._kernel_sets:
            kernel = kernels[op.name](op, ins, outs) if op.name in kernels else None
            if kernel is not None:
                return cast(Kernel, kernel)
        return Kernel(op.compute, op.scratch(ins, outs))


class Program:
    """A compiled set of fetches and updates, called with arrays.

    Plans are kept for the shapes that were last seen, within a bound on their memory.

    Attributes
    ----------
    placeholders : tuple of Placeholder
        Those whose values the fetches need.
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
        lowered = lower(fetches, updates)
        structure = lowered.structure
        for apply_pass in runtime._passes:
            structure = apply_pass(structure)
        self.placeholders = lowered.placeholders
        self.variables = lowered.variables
        self._inputs = tuple(inputs)
        self._runtime = runtime
        self._structure = structure
        self._storages = [v.storage for v in self.variables]
        self._state_lock = self.variables[0].graph.state_lock if self.variables else threading.RLock()
        numbers = dict(zip(structure.variables, self._storages, strict=True))
        self._written = [numbers[variable].array for variable, _ in structure.updates]
        self._plans: collections.OrderedDict[object, tuple[Plan, threading.Lock]] = collections.OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, *values: Any) -> list[Array]:
        """Run on the values of the inputs; returns fresh arrays and raises what `RunTime.run` does."""
        if len(values) != len(self._inputs):
            names = ", ".join(repr(p.name) for p in self._inputs)
            raise FeedError(f"takes {len(self._inputs)} values ({names}), got {len(values)}").located(
                "program", source=user_source()
            )
        given = dict(zip(self._inputs, values, strict=True))
        return self.run_with([_fed(placeholder, given[placeholder]) for placeholder in self.placeholders])

    def __repr__(self) -> str:
        return (
            f"<Program of {len(self._structure.steps)} calls: {len(self._inputs)} inputs, "
            f"{len(self._structure.fetches)} fetches, {len(self._structure.updates)} updates>"
        )

    def run_with(self, feeds: Sequence[Array]) -> list[Array]:
        """Run on contiguous arrays of the placeholders' dtypes, in their order."""
        plan, lock = self._plan(feeds)
        with self._state_lock, lock:
            missing = [storage.label for storage in self._storages if not storage.initialized]
            if missing:
                raise uninitialized(missing, user_source())
            runtime = self._runtime
            values = plan.run(feeds, runtime.seed, next(runtime._steps), runtime.check_finite)
            _write_all(self._written, plan.new_values())
        return values

    def _plan(self, feeds: Sequence[Array]) -> tuple[Plan, threading.Lock]:
        """Return the plan for the feeds' shapes with its lock, bound now where there is none."""
        signature = tuple(array.shape for array in feeds)
        with self._lock:
            if signature not in self._plans:
                specs = specialize(self._structure, [Spec(Shape(a.shape), a.dtype) for a in feeds])
                arrays = [storage.array for storage in self._storages]
                plan = bind(self._structure, specs, arrays, self._runtime._choose_kernel)
                self._plans[signature] = plan, threading.Lock()
            self._plans.move_to_end(signature)
            while len(self._plans) > 1 and sum(p.nbytes for p, _ in self._plans.values()) > PLAN_CACHE_BYTES:
                self._plans.popitem(last=False)
            return self._plans[signature]


def _write_all(targets: Sequence[Array], values: Sequence[Array]) -> None:
    """Copy each of `values` into its target, interrupted by no signal."""
    # the handlers of signals run between bytecodes, and this loop is one call into C
    collections.deque(map(_set_item, targets, itertools.repeat(...), values), maxlen=0)


_set_item: Any = operator.setitem  # its overloads have no room for an Ellipsis


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
        if node.graph is not nodes[0].graph:
            raise GraphError(f"{describe(node)} is a node of another graph than {describe(nodes[0])}")


def _check_inputs(inputs: Sequence[Placeholder]) -> None:
    for node in inputs:
        if not isinstance(node, Placeholder):
            raise FeedError(f"inputs are placeholders, not {_shown(node)}")
        if list(inputs).count(node) > 1:
            raise FeedError(f"{describe(node)} stands twice among the inputs")


def _checked_updates(updates: Mapping[Variable, NodeLike]) -> dict[Variable, Node]:
    for variable in updates:
        if not isinstance(variable, Variable):
            raise GraphError(f"updates are keyed by variables, not by {_shown(variable)}")
    return {variable: as_update(variable, value) for variable, value in updates.items()}


def _feeds(feeds: Mapping[Any, Any], needed: Sequence[Placeholder], graph: Graph) -> list[Array]:
    """Return the arrays for the placeholders `needed`."""
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
