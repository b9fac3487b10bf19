"""Cycles: what several calls of the feed-and-run interface share."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar

import numpy as np

from opgraph.errors import FeedError, GraphError, did_you_mean
from opgraph.executable import commit
from opgraph.graph import Graph
from opgraph.node import Call, Node, Placeholder, describe
from opgraph.op import Array
from opgraph.passes.lower import Fired
from opgraph.variable import Variable


class Cycle:
    """One step: its number, what was fed, what was computed, and the variables' new values.

    Parameters
    ----------
    runtime
        Whose cycle this is.
    step
        The number that its random numbers depend on.
    outer
        The cycle, of another run time, in which this one was opened.
    """

    def __init__(self, runtime: object, step: int, outer: "Cycle | None" = None, stopped: Iterable[Node] = ()) -> None:
        self.runtime = runtime
        self.step = step
        self.outer = outer
        self.stopped = {node.identity: node for node in stopped}
        self.feeds: dict[Placeholder, Array] = {}
        self.values: dict[Node | tuple[Call, int], Array] = {}
        self.forward: dict[str, Array] = {}
        self.backward: dict[str, Array] = {}
        self.differentiated: Node | None = None  # whose gradients these are
        self.chosen = False  # by `wrt`
        self.firing: dict[object, Node] = {}
        self.pending: dict[Variable, tuple[frozenset[object], Array]] = {}
        # variables for which two runs fired updates of which neither knew the other's
        self.torn: set[Variable] = set()
        # updates that are made already; of the step of a call outside of any cycle
        self.done: dict[Variable, frozenset[object]] = {}

    @contextlib.contextmanager
    def unless_it_fails(self) -> Iterator[None]:
        """Have what a ``with`` remembers forgotten where it ends by an exception."""
        before = [(name, getattr(self, name).copy()) for name in ("feeds", "forward", "firing", "pending", "torn")]
        try:
            yield
        except BaseException:
            for name, kept in before:
                setattr(self, name, kept)
            raise

    def feed(self, feeds: Mapping[Placeholder, Array]) -> None:
        """Remember copies of what is fed; raise where a placeholder had another value before."""
        for placeholder, array in feeds.items():
            before = self.feeds.get(placeholder)
            if before is None:
                self.feeds[placeholder] = self.forward[placeholder.name] = array.copy()
            elif before is not array and not _same(before, array):
                raise FeedError(f"{describe(placeholder)} had another value earlier in this cycle; end the cycle first")

    def finished(self, fired: Iterable[Fired], feeds: Mapping[Placeholder, Array]) -> None:
        """Remember a run whose updates are made, and what it was fed."""
        for variable, updates in fired:
            self.done[variable] = self.done.get(variable, frozenset()) | updates
        for placeholder, array in feeds.items():
            self.forward[placeholder.name] = array.copy()

    def computed(self, node: Node, value: Array) -> None:
        """Remember a copy of the value of `node`."""
        self.values[node.identity] = self.forward[node.name] = value.copy()

    def receive(self, fired: Fired, value: Array) -> None:
        """Remember the new value of a variable until the cycle ends; updates that fired before count once."""
        before, _ = self.pending.get(fired.variable, (frozenset(), None))
        if before <= fired.updates:
            self.pending[fired.variable] = (fired.updates, value.copy())
        elif not fired.updates <= before:
            self.torn.add(fired.variable)
            if not all(isinstance(update, int) for update in before | fired.updates):
                raise GraphError(
                    f"{describe(fired.variable)} takes two different new values in one cycle; end the cycle in between"
                )

    @property
    def graphs(self) -> set[Graph]:
        """The graphs of what was computed."""
        return {(key if isinstance(key, Node) else key[0]).graph for key in self.values}

    def commit(self) -> None:
        """Give the variables their new values, those of each graph at once."""
        graphs: dict[Graph, dict[Variable, Array]] = {}
        for variable, (_, value) in self.pending.items():
            graphs.setdefault(variable.graph, {})[variable] = value
        for graph, values in graphs.items():
            with graph.state_lock:
                commit(list(values), list(values.values()))


def open_cycle(runtime: object) -> Cycle | None:
    """Return the cycle of `runtime` that is open in this thread or async task."""
    cycle = current.get()
    while cycle is not None and cycle.runtime is not runtime:
        cycle = cycle.outer
    return cycle


def named(values: Mapping[str, Array], name: str, what: str, why: str) -> Array:
    """Return a copy of the value of that name; raise where there is none, and say `why`."""
    if name not in values:
        raise GraphError(f"no {what} of {name!r} is remembered: {why}{did_you_mean(name, values)}")
    return values[name].copy()


current: ContextVar[Cycle | None] = ContextVar("opgraph_cycle", default=None)


def _same(a: Array, b: Array) -> bool:
    return a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
