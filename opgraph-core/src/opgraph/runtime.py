"""Execution: feeds in, values out."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import threading
import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

import numpy as np
from numpy.typing import ArrayLike

from opgraph.backward import Backward
from opgraph.compiled import CacheInfo, Compiler, Settings
from opgraph.cycle import Cycle, current, named, open_cycle
from opgraph.derived import Made, derive
from opgraph.errors import ArgumentError, FeedError, GradientError, GraphError, did_you_mean, placing, user_source
from opgraph.executable import Executable, fed, fed_arrays, shown, stand_ins
from opgraph.graph import Graph, as_update
from opgraph.locks import new_lock
from opgraph.node import Node, NodeLike, Placeholder, above, describe
from opgraph.op import Array
from opgraph.passes import GRAPH_PASSES, PLAN_PASSES
from opgraph.passes.bind import Layout
from opgraph.passes.blocks import TILE
from opgraph.registry import default_kernels, get_kernels
from opgraph.signatures import guarded
from opgraph.stopwatch import spending
from opgraph.threads import available_cores
from opgraph.variable import Variable

if TYPE_CHECKING:
    from opgraph.viz import Explanation, Profile

EXECUTABLE_CACHE_SIZE = 64  # sets of fetches of one graph that a run time remembers

_T = TypeVar("_T")


class RunTime:
    """Executes graphs: owns the random seed, the choice of kernels, and what was compiled.

    Parameters
    ----------
    kernels : sequence of str
        Names of installed kernel sets, the first that has a kernel for an op provides it.
    threads : int, optional
        How many threads share the work of a run, the calling one among them; as many as there are cores by
        default. BLAS has one thread in a run: what is worth sharing is shared by the run's own.
    seed : int, optional
        Of all random keys; drawn from the system where not given. Runs are numbered from 0, so one seed
        gives the same numbers again.
    check_finite : bool
        Whether to raise `NonFiniteError` at the first value that goes NaN or infinite.
    passes : sequence of str, optional
        The compiler's passes to apply, by name; all of them by default.
    tile : int, optional
        How many elements a block of element-by-element work has, about. Results do not depend on it, nor on
        `threads`, but for the rounding of sums.

    Notes
    -----
    Several threads may use one; results are as if they had come one after the other.
    """

    @guarded
    def __init__(
        self,
        kernels: Sequence[str] = (),
        threads: int | None = None,
        seed: int | None = None,
        check_finite: bool = False,
        passes: Sequence[str] | None = None,
        tile: int | None = None,
    ) -> None:
        for name, value in [("threads", threads), ("tile", tile)]:
            if value is not None and (type(value) is not int or value < 1):
                raise ArgumentError(f"{name} is a positive integer or None, not {value!r}")
        if not isinstance(check_finite, bool | np.bool):
            raise ArgumentError(f"check_finite is True or False, not {check_finite!r}")
        if seed is not None and (not isinstance(seed, int | np.integer) or not 0 <= seed < 1 << 128):
            raise ArgumentError(f"seed is an integer from 0 to 2**128 - 1 or None, not {seed!r}")
        _check_names("kernels", kernels)
        _check_names("passes", passes or ())
        known = [*GRAPH_PASSES, *PLAN_PASSES]
        unknown = [name for name in passes or () if name not in known]
        if unknown:
            raise ArgumentError(f"no pass is named {unknown[0]!r}" + did_you_mean(unknown[0], known))
        kernel_sets = [get_kernels(name) for name in kernels or default_kernels()]
        self.settings = Settings(
            seed=int.from_bytes(os.urandom(8), "little") if seed is None else int(seed),
            check_finite=bool(check_finite),
            passes=[GRAPH_PASSES[name] for name in GRAPH_PASSES if passes is None or name in passes],
            kernel_sets=kernel_sets,
            layout=Layout(
                **{name: not check_finite and (passes is None or name in passes) for name in PLAN_PASSES},
                tile=tile or TILE,
                threads=threads or available_cores(),
            ),
        )
        self.compiler = Compiler(self.settings)
        self._steps = itertools.count()
        self._lock = new_lock()
        self._local = _Local()

    def __repr__(self) -> str:
        return f"<RunTime with seed {self.seed}>"

    @property
    def seed(self) -> int:
        """The seed of all random keys."""
        return self.settings.seed

    def reset(self, step: int | None = None) -> None:
        """Forget what `forward` and `backward` left behind in this thread, and the nodes that stop gradients.

        Parameters
        ----------
        step
            Number the next run so: with 0, runs draw the random numbers of the first ones again.
        """
        if step is not None and (type(step) is not int or not 0 <= step < 1 << 63):
            raise ArgumentError(f"step is an integer from 0 or None, not {step!r}").located(
                "reset", source=user_source()
            )
        self._local.last = None
        self._local.feed_dict = None
        self._local.ended = ""
        self._local.stopped = {}
        if step is not None:
            self._steps = itertools.count(step)

    def next_step(self) -> int:
        """Return the number of a run that begins."""
        return next(self._steps)

    def cache_info(self) -> CacheInfo:
        """Return what is kept of what was compiled, and how often it served.

        Graphs of one structure share what that was compiled to: a graph that is built again in every step, with the
        same variables, is compiled once. Kept are the structures that were asked for last, and the plans for the
        shapes that each was fed last, within a gigabyte.
        """
        return self.compiler.info()

    def clear_cache(self) -> None:
        """Let go of all that was compiled; programs and graphs that are run again make new plans."""
        self.compiler.clear()

    @overload
    def run(self, fetches: Node, feeds: Mapping[Any, Any] | None = None) -> Array: ...
    @overload
    def run(self, fetches: Sequence[Node], feeds: Mapping[Any, Any] | None = None) -> list[Array]: ...
    @guarded
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
        nodes = [fetches] if isinstance(fetches, Node) else _as_list(fetches, "fetches", "a node or a list of nodes")
        if not nodes:
            return []
        _check_nodes(nodes)
        executable = self._executable(nodes)
        with self._spending("feeds"):
            arrays = fed_arrays(feeds, executable.placeholders, nodes[0].graph)
        values = executable.run(arrays, next(self._steps))
        return values[0] if isinstance(fetches, Node) else values

    @guarded
    def explain(
        self,
        fetches: Node | Sequence[Node],
        feeds: Mapping[Any, Any] | None = None,
        updates: Mapping[Variable, NodeLike] | None = None,
    ) -> Explanation:
        """Return what a run of `fetches` would do, instruction by instruction; print it.

        Compiles as a run does, and keeps the plan for one; runs nothing.

        Parameters
        ----------
        fetches
            Nodes of one graph.
        feeds
            For placeholders with unknown sizes, a value or its shape, a tuple of integers.
        updates
            New values by variable, as `compile` takes them.

        Raises
        ------
        FeedError
            Where a placeholder that is needed has unknown sizes, and is not fed.
        ShapeError, KernelError
            What a run would raise before it begins.
        """
        nodes = [fetches] if isinstance(fetches, Node) else _as_list(fetches, "fetches", "a node or a list of nodes")
        changed = _checked_updates(updates or {})
        together = [*nodes, *changed]
        _check_nodes(together)
        executable = self._executable(nodes) if nodes and not changed else Executable.of(nodes, changed, self.compiler)
        arrays = stand_ins(feeds, executable.placeholders, together[0].graph if together else None)
        return _viz().Explanation.of(executable, arrays, self.settings)  # type: ignore[no-any-return]  # the layer above

    @guarded
    def compile(
        self,
        inputs: Sequence[Placeholder] | None,
        fetches: Sequence[Node],
        updates: Mapping[Variable, NodeLike] | None = None,
    ) -> Program:
        """Return a `Program` that takes the values of `inputs` and returns those of `fetches`.

        Parameters
        ----------
        inputs
            Placeholders, in the order in which the program takes their values; where ``None``, those that are
            needed, in the order of `Program.placeholders`.
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
        nodes = _as_list(fetches, "fetches", "a list of nodes")
        chosen = None if inputs is None else _as_list(inputs, "inputs", "a list of placeholders")
        changed = _checked_updates(updates or {})
        _check_inputs(chosen or [])
        _check_nodes([*nodes, *changed, *(chosen or [])])
        with self._spending("compile"):
            program = Program(self, Executable.of(nodes, changed, self.compiler), chosen, nodes)
        missing = [p for p in program.placeholders if p not in set(program.inputs)]
        if missing:
            raise FeedError(f"inputs lack {', '.join(map(describe, missing))}, which the fetches need")
        return program

    @guarded
    def compile_derived(
        self,
        kind: Hashable,
        nodes: Sequence[Node],
        make: Callable[[Sequence[Node]], tuple[Sequence[Node], Mapping[Variable, NodeLike], Any]],
    ) -> tuple[Program, Any]:
        """Return a program of what `make` makes of `nodes`, such as their gradients, and its note about that.

        Where what it makes of a graph of the same structure is kept, compiled, it is not asked again: so optimizers
        differentiate a loss once that is built again in every step.

        Parameters
        ----------
        kind
            Tells from each other what is made of the same nodes.
        nodes
            All nodes that `make` uses but for variables; of one graph.
        make
            Takes nodes such as these and returns fetches, updates by variable, and a note, anything that says more
            about them. What it makes follows from the structure of the nodes and from `kind` alone. Neither it, nor
            `kind`, nor the note may hold a node or what lives as long as the graph.

        Returns
        -------
        program
            Takes the placeholders that are needed, as those of `compile` with ``inputs=None``.
        note
        """
        listed = _as_nodes(nodes, "nodes")
        _check_nodes(listed)

        def made(given: Sequence[Node]) -> Made:
            fetches, updates, note = make(given)
            return Made(_as_nodes(fetches, "fetches"), _checked_updates(updates), note)

        with self._spending("compile"):
            found = derive(kind, listed, made, self.compiler)
        return Program(self, found.executable, fetches=found.fetches), found.note

    @guarded
    def forward(self, node: Node, feed_dict: Mapping[Any, Any] | None = None) -> Array:
        """Return the value of `node`, and remember it; see `Node.forward`."""
        _check_nodes([node])
        cycle = open_cycle(self)
        if cycle is None:
            cycle = self._begin(feed_dict)
        elif node.identity in cycle.values:
            cycle.feed({p: fed(p, feed_dict[p]) for p in cycle.feeds if feed_dict and p in feed_dict})
            return cycle.values[node.identity].copy()
        (value,) = self._advance(self._executable([node]), feed_dict, node.graph, cycle)
        cycle.computed(node, value)
        return value

    @guarded
    def backward(
        self,
        node: Node,
        feed_dict: Mapping[Any, Any] | None = None,
        bwval: ArrayLike | None = None,
        wrt: Node | Sequence[Node] | None = None,
    ) -> None:
        """Compute the gradients of `node`, to be read with `get_bwval`; see `Node.backward`."""
        _check_nodes([node])
        if bwval is None and node.dtype.kind == "c":
            raise GradientError(f"{describe(node)} is complex; give bwval, the gradient that flows in")
        chosen = None if wrt is None else [wrt] if isinstance(wrt, Node) else _as_nodes(wrt, "wrt")
        stopped = self.stopped
        kind = "backward", bwval is None, None if chosen is None else len(chosen)
        found = self._remembered(
            kind,
            [node, *(chosen or []), *stopped],
            lambda: Backward.of(node, chosen, stopped, bwval is None, self.compiler),
        )
        cycle = open_cycle(self) or self._continued(feed_dict, found.executable) or self._begin(feed_dict)
        given = {} if found.cotangent is None else {found.cotangent: fed(found.cotangent, bwval)}
        value, *gradients = self._advance(found.executable, feed_dict, node.graph, cycle, given)
        cycle.computed(node, value)
        cycle.backward = dict(zip(found.names, gradients, strict=True))
        cycle.differentiated, cycle.chosen = node, chosen is not None

    @guarded
    def get_fwval(self, node: Node | str) -> Array:
        """Return the value of a node that `forward` computed or that was fed, in the present cycle or the last run.

        Parameters
        ----------
        node
            The node, or its name.
        """
        record = self._record()
        why = "forward was not called for it, nor was it fed"
        return named(record.forward, _checked_key(node, record), "value", self._local.ended or why)

    @guarded
    def get_bwval(self, node: Node | str) -> Array:
        """Return the gradient that the last `backward`, in the present cycle where one is open, left for a node.

        Parameters
        ----------
        node
            The node, or its name.
        """
        record = self._record()
        why = "backward was not called"
        if record.differentiated is not None:
            stops = ", or only through what stops gradients" if self._stopped() else ""
            why = f"backward was called for {describe(record.differentiated)}, which it does not flow into{stops}"
            why += ", or which wrt left out" if record.chosen else ""
        return named(record.backward, _checked_key(node, record), "gradient", self._local.ended or why)

    @guarded
    def stop_grad(self, node: Node) -> None:
        """Let `backward` and optimizers carry no gradient through `node`, until the cycle ends or `reset`."""
        _check_nodes([node])
        self._stopped()[node.identity] = node

    def grad_stopped(self, node: Node) -> bool:
        """Whether `node` stops gradients in the present cycle."""
        return isinstance(node, Node) and node.identity in self._stopped()

    @property
    def stopped(self) -> list[Node]:
        """The nodes that stop gradients in the present cycle."""
        return list(self._stopped().values())

    @contextlib.contextmanager
    @guarded
    def profile(self) -> Iterator[Profile]:
        """Measure all runs of this run time in a ``with``, in whichever threads; print what it gives.

        Without one open, runs are as fast as ever; with one, each instruction takes some microseconds more.
        Several may be open, each measures all.
        """
        profile: Profile = _viz().Profile()
        try:
            self.settings.watchers.append(profile)
            yield profile
        finally:
            if profile in self.settings.watchers:
                self.settings.watchers.remove(profile)
            profile.close()

    @contextlib.contextmanager
    @guarded
    def forward_backward_cycle(self, grad_stopped_nodes: Iterable[Node] | None = None) -> Iterator[RunTime]:
        """Make one step of all feed-and-run calls in a ``with``: `forward`, `backward`, and those of optimizers.

        They share their feeds and random numbers, compute a value once, and see the variables as they were
        before. All updates take effect together when the cycle ends, each once however often it fired; when
        it ends by an exception, none does. A cycle belongs to its thread or async task.

        Parameters
        ----------
        grad_stopped_nodes
            Through which no gradient flows in this cycle.

        Raises
        ------
        GraphError
            Where a cycle of this run time is open already.
        """
        with placing("forward_backward_cycle", user_source()):
            if open_cycle(self) is not None:
                raise GraphError("a cycle of this run time is open already; cycles do not nest")
            stopped = [] if grad_stopped_nodes is None else _as_nodes(grad_stopped_nodes, "grad_stopped_nodes")
            _check_nodes(stopped)
        self._local.ended = ""
        cycle = Cycle(self, next(self._steps), current.get(), [*self.stopped, *stopped])
        try:
            current.set(cycle)  # in here, since a signal may interrupt as soon as it is done
            yield self
            cycle.commit()
        finally:
            current.set(cycle.outer)
            self._local.ended = "the cycle in which it may have been computed has ended"

    def _advance(
        self,
        executable: Executable,
        feed_dict: Mapping[Any, Any] | None,
        graph: Graph | None,
        cycle: Cycle,
        given: Mapping[Placeholder, Array] = MappingProxyType({}),
    ) -> list[Array]:
        """Run `executable` as part of `cycle`; the updates wait for the end of one that is open."""
        needed = executable.placeholders
        with self._spending("feeds"):
            arrays = fed_arrays(feed_dict, needed, graph, {**cycle.feeds, **given})
        values = {p: array for p, array in zip(needed, arrays, strict=True) if p not in given}
        if cycle is not open_cycle(self):
            found = executable.run(arrays, cycle.step, done=cycle.done)
            cycle.finished(executable.fired, values)
            return found
        with cycle.unless_it_fails():
            cycle.feed(values)
            found = executable.run(arrays, cycle.step, cycle.receive)
            for node in executable.firing:
                cycle.firing[node.identity] = node
            if cycle.torn:
                # both updates are made by one run, in the order in which they were added
                with self._spending("compile"):
                    together = Executable.of(list(cycle.firing.values()), {}, self.compiler)
                together.run([cycle.feeds[p] for p in together.placeholders], cycle.step, cycle.receive)
                cycle.torn.clear()
        return found

    def _executable(self, nodes: list[Node]) -> Executable:
        """Return what computes `nodes`, a new one where these very nodes were not fetched before."""
        return self._remembered("fetches", nodes, lambda: Executable.of(nodes, {}, self.compiler))

    def _remembered(self, kind: object, nodes: list[Node], make: Callable[[], _T]) -> _T:
        """Return what `make` returned when it was last called for `nodes`, or does now."""
        with self._lock:
            return self._remembered_or_made(kind, nodes, make)

    def _remembered_or_made(self, kind: object, nodes: list[Node], make: Callable[[], _T]) -> _T:
        graph = nodes[0].graph
        version = graph.update_count
        # kept by the graph, which what it computes keeps alive: kept here, neither would ever be freed
        known = graph.executables.setdefault(self, {})
        found = known.get((kind, tuple(map(weakref.ref, nodes)), version))
        if found is None:
            with self._spending("compile"):
                found = make()

            def forget(_: object) -> None:
                known.pop(key, None)

            key = kind, tuple([weakref.ref(node, forget) for node in nodes]), version
            stale = [k for k in list(known) if k[2] != version]
            for old in stale or list(known)[: -EXECUTABLE_CACHE_SIZE + 1]:
                known.pop(old, None)
            known[key] = found
        return cast(_T, found)

    def _spending(self, what: str) -> contextlib.AbstractContextManager[None]:
        """Return a context manager that tells those who watch how long its ``with`` takes."""
        return spending(self.settings.watchers, what) if self.settings.watchers else _UNWATCHED

    def _begin(self, feed_dict: Mapping[Any, Any] | None) -> Cycle:
        """Return a step of its own for a call outside of a cycle."""
        self._local.feed_dict = feed_dict
        self._local.ended = ""
        self._local.last = Cycle(self, next(self._steps))
        return self._local.last

    def _continued(self, feed_dict: Mapping[Any, Any] | None, executable: Executable) -> Cycle | None:
        """Return the step of the last call, where it was handed the same `feed_dict` and fired no part of an update."""
        last = self._local.last
        if last is None or feed_dict is None or feed_dict is not self._local.feed_dict:
            return None
        overlaps = [(fired.updates, last.done.get(fired.variable, frozenset())) for fired in executable.fired]
        return last if all(new <= done or new.isdisjoint(done) for new, done in overlaps) else None

    def _record(self) -> Cycle:
        return open_cycle(self) or self._local.last or Cycle(self, 0)

    def _stopped(self) -> dict[Any, Node]:
        cycle = open_cycle(self)
        return self._local.stopped if cycle is None else cycle.stopped


_UNWATCHED = contextlib.nullcontext()


class Program:
    """A compiled set of fetches and updates, called with arrays.

    Plans are kept for the shapes that were last seen, within a bound on their memory.

    Attributes
    ----------
    inputs : tuple of Placeholder
        Those whose values a call takes, in this order.
    placeholders : tuple of Placeholder
        Those whose values the fetches or updates need.
    variables : tuple of Variable
        Those that are read or written.
    """

    def __init__(
        self,
        runtime: RunTime,
        executable: Executable,
        inputs: Sequence[Placeholder] | None = None,
        fetches: Iterable[Node | None] = (),
    ) -> None:
        self._runtime = runtime
        self._executable = executable
        self._fetches = [None if node is None else weakref.ref(node) for node in fetches]
        self.placeholders = executable.placeholders
        self.variables = executable.variables
        self.inputs = self.placeholders if inputs is None else tuple(inputs)

    @guarded
    def __call__(self, *values: Any) -> list[Array]:
        """Run on the values of the inputs; returns fresh arrays and raises what `RunTime.run` does."""
        if len(values) != len(self.inputs):
            names = ", ".join(repr(p.name) for p in self.inputs)
            raise FeedError(f"takes {len(self.inputs)} values ({names}), got {len(values)}").located(
                "program", source=user_source()
            )
        with self._runtime._spending("feeds"):
            given = {p: fed(p, value) for p, value in zip(self.inputs, values, strict=True)}
        return self._executable.run([given[p] for p in self.placeholders], next(self._runtime._steps))

    @guarded
    def feed(self, feed_dict: Mapping[Any, Any] | None = None) -> list[Array]:
        """Run on values by placeholder, as part of the run time's cycle where one is open.

        In a cycle, the values may have been fed to another call before, and variables take their new values
        when it ends. Returns and raises what a call does.
        """
        with placing("program", user_source()):
            cycle = open_cycle(self._runtime) or self._runtime._begin(feed_dict)
            graph = (*self.placeholders, *self.variables)[0].graph if self.placeholders or self.variables else None
            values = self._runtime._advance(self._executable, feed_dict, graph, cycle)
            for ref, value in zip(self._fetches, values, strict=True):
                node = None if ref is None else ref()
                if node is not None:
                    cycle.computed(node, value)
        return values

    @guarded
    def explain(self, *values: Any) -> Explanation:
        """Return what a call does, instruction by instruction; print it.

        Parameters
        ----------
        values
            Nothing, where all sizes are known; else a value for each input, or its shape, a tuple of integers.

        Raises
        ------
        FeedError
            Where sizes are unknown, or the number of `values` is another one than a call takes.
        """
        feeds = dict(zip(self.inputs, values, strict=True)) if values and self._takes(values) else {}
        arrays = stand_ins(feeds, self.placeholders, None)
        return _viz().Explanation.of(self._executable, arrays, self._runtime.settings)  # type: ignore[no-any-return]  # the layer above

    def _takes(self, values: Sequence[Any]) -> bool:
        """Whether there is a value for each input, or else raise."""
        if len(values) == len(self.inputs):
            return True
        names = ", ".join(repr(p.name) for p in self.inputs)
        raise FeedError(f"takes {len(self.inputs)} values ({names}), got {len(values)}")

    def __repr__(self) -> str:
        structure = self._executable.structure
        names = ", ".join(placeholder.name for placeholder in self.inputs)
        fetched = ", ".join(map(structure.name, structure.fetches))
        updated = ", ".join(fired.variable.name for fired in self._executable.fired)
        return f"<Program ({names}) -> [{fetched}]{updated and f', updates {updated}'}; calls: {len(structure.steps)}>"


def _viz() -> Any:
    """Return the layer above, which is loaded when somebody wants to look at something."""
    return importlib.import_module("opgraph.viz")


class _Local(threading.local):
    """What a run time keeps for one thread: the last call outside of a cycle, and what stops gradients."""

    def __init__(self) -> None:
        self.last: Cycle | None = None
        self.feed_dict: object = None
        self.ended = ""  # why there may be nothing to read
        self.stopped: dict[Any, Node] = {}


def _check_nodes(nodes: Sequence[Node]) -> None:
    for node in nodes:
        if not isinstance(node, Node):
            raise GraphError(f"fetches are nodes, not {shown(node)}")
        if node.call is not None and node.index >= node.call.visible:
            raise GraphError(f"{describe(node)} is a hidden output, which is not fetched")
        if node.graph is not nodes[0].graph:
            raise GraphError(f"{describe(node)} is a node of another graph than {describe(nodes[0])}")


def _checked_key(node: Node | str, record: Cycle) -> str:
    """Return the name of `node`, or of that name; raise for a node of another graph, where names are others."""
    if not isinstance(node, Node | str):
        raise GraphError(f"takes a node or its name, not {node!r}")
    if not isinstance(node, Node):
        if record.graphs and not any(graph.has_name(node) for graph in record.graphs):
            known = {**record.forward, **record.backward}
            raise GraphError(f"no node is named {node!r} in the graph{did_you_mean(node, known)}")
        return node
    if record.graphs and node.graph not in record.graphs:
        raise GraphError(f"{describe(node)} is a node of another graph than what was run")
    return node.name


def _check_inputs(inputs: Sequence[Placeholder]) -> None:
    for node in inputs:
        if not isinstance(node, Placeholder):
            raise FeedError(f"inputs are placeholders, not {shown(node)}")
        if list(inputs).count(node) > 1:
            raise FeedError(f"{describe(node)} stands twice among the inputs")


def _as_list(given: Any, what: str, wanted: str) -> list[Any]:
    if isinstance(given, Node):
        raise FeedError(f"{what} is {wanted}; write [{given.name}] for the one node {describe(given)}")
    if not isinstance(given, Iterable):
        raise FeedError(f"{what} is {wanted}, not {given!r}")
    return list(given)


def _as_nodes(given: Any, what: str) -> list[Node]:
    listed = _as_list(given, what, "a list of nodes")
    for node in listed:
        if not isinstance(node, Node):
            raise GraphError(f"{what} holds nodes, not {node!r}")
    return listed


def _check_names(what: str, names: object) -> None:
    if isinstance(names, str) or not isinstance(names, Iterable) or not all(isinstance(n, str) for n in names):
        raise ArgumentError(f"{what} is a sequence of names such as ('name',), not {names!r}")


def _checked_updates(updates: Mapping[Variable, NodeLike]) -> dict[Variable, Node]:
    if not isinstance(updates, Mapping):
        raise GraphError(f"updates are a mapping from variables to their new values, not {updates!r}")
    for variable in updates:
        if not isinstance(variable, Variable):
            raise GraphError(f"updates are keyed by variables, not by {shown(variable)}")
    return {variable: as_update(variable, value) for variable, value in updates.items()}


above.make_runtime = RunTime
