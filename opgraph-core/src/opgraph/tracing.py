"""Functions of arrays that are traced: called once with nodes, compiled, and run from then on."""

from __future__ import annotations

import contextvars
import functools
import inspect
import itertools
import types
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

import numpy as np

from opgraph.ambient import Ambient, Tracing, ambient, get_ambient, get_default_graph
from opgraph.attributes import type_and_bits
from opgraph.autodiff import Unconnected, gradients
from opgraph.build import as_node
from opgraph.convert import cast_checked, is_weak, natural_array, weak_dtype
from opgraph.errors import (
    ArgumentError,
    FeedError,
    GradientError,
    GraphError,
    NoValueError,
    OpgraphError,
    Source,
    user_source,
)
from opgraph.executable import Executable
from opgraph.graph import Graph
from opgraph.locks import new_lock
from opgraph.node import Node, Placeholder, WeakPlaceholder, above, describe, next_serial
from opgraph.op import Array
from opgraph.passes.lower import ancestors
from opgraph.recent import Alive, Recent
from opgraph.runtime import RunTime
from opgraph.signatures import guarded, wrong_call
from opgraph.spec import Shape, Spec, get_default_dtype
from opgraph.stopwatch import spending
from opgraph.trees import Tree, flatten, paths, unflatten

TRACES_KEPT = 64  # of one function in one graph


class TraceInfo(NamedTuple):
    """How often a function was traced, and what is kept of that.

    Attributes
    ----------
    hits, misses : int
        How many calls were of a signature that was known, and how many were traced.
    maxsize : int
        How many traces are kept in one graph.
    currsize : int
        How many are kept.
    """

    hits: int
    misses: int
    maxsize: int
    currsize: int


@overload
def function(f: Callable[..., Any], *, runtime: RunTime | None = None) -> Function: ...
@overload
def function(f: None = None, *, runtime: RunTime | None = None) -> Callable[[Callable[..., Any]], Function]: ...
@guarded
def function(
    f: Callable[..., Any] | None = None, *, runtime: RunTime | None = None
) -> Function | Callable[[Callable[..., Any]], Function]:
    """Return `f` as a function of arrays, which is traced and compiled; a decorator, for methods too.

    The first call with arrays of certain shapes and dtypes calls `f` with nodes in their place; later calls run what
    came of that. So what `f` does in Python, such as to print, it does when it is traced, and it sees the
    Python values that there are then.

    Parameters
    ----------
    f : callable
        Takes nodes by position, also in tuples, lists and dicts, and returns nodes in such.
    runtime : RunTime, optional
        Where it runs; by default the run time of the graph that is the default one when it is called.

    Returns
    -------
    Function
        Takes what `f` takes, arrays in the place of nodes, and returns new arrays as `f` returns nodes. Numbers of
        Python take the dtype of what they meet, and may change from call to call. Keyword arguments are handed to
        `f` as they are; they must be hashable, and another value is another trace.

    Notes
    -----
    Variables that `f` uses are read, and written by the updates that it adds, in every call; so they
    are made before it, in the graph that is the default one when it is called. Random numbers are new in each call.
    Called with nodes, or in another function that is being traced, the function builds its nodes there.
    """
    if runtime is not None and not isinstance(runtime, RunTime):
        raise ArgumentError(f"runtime is a RunTime or None, not {runtime!r}")
    if f is None:
        return functools.partial(function, runtime=runtime)
    if not callable(f) or isinstance(f, Node):
        raise ArgumentError(f"takes a function, not {f!r}")
    return Function(f, runtime)


class Function:
    """A function of arrays that is traced and compiled for each signature of shapes and dtypes; `function` makes it."""

    def __init__(self, f: Callable[..., Any], runtime: RunTime | None = None) -> None:
        functools.update_wrapper(self, f)
        self.runtime = runtime
        self._f = f
        self._name = getattr(f, "__name__", type(f).__name__)
        self._kept = _Kept()
        self._owner: object = None

    def __repr__(self) -> str:
        return f"<function {self._name!r} of arrays>"

    def __get__(self, owner: object, kind: type | None = None) -> Function:
        """Return the method of an object."""
        if owner is None:
            return self
        bound = Function(types.MethodType(self._f, owner), self.runtime)
        bound._kept = self._kept
        bound._owner = owner
        return bound

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run on arrays, or build nodes of nodes."""
        leaves, tree = flatten(args)
        if get_ambient().trace is not None or any(isinstance(x, Node) for x in (*leaves, *kwargs.values())):
            return self._f(*unflatten(tree, [_as_node(leaf) for leaf in leaves]), **kwargs)
        try:
            inputs = [_Input.of(leaf) for leaf in leaves]
            statics = frozenset([(name, type_and_bits(value)) for name, value in kwargs.items()])
            hash(statics)
        except (OpgraphError, TypeError) as error:
            raise self._wrong_argument(error, args, kwargs) from None
        graph = get_default_graph()
        runtime = self.runtime or graph.get_runtime()
        signature = tree, tuple([x.signature for x in inputs]), statics, get_default_dtype(), weakref.ref(runtime)
        trace = self._kept.trace(graph, self._owner, signature)
        if trace is None:
            # two threads that ask for one trace get one
            with self._kept.lock:
                trace = self._kept.trace(graph, self._owner, signature)
                if trace is None:
                    trace = self._traced(graph, runtime, args, kwargs, inputs)
                    self._kept.keep(graph, self._owner, signature, trace)
        for at, dtype in trace.numbers:
            try:
                cast_checked(inputs[at].array, dtype)
            except OpgraphError as error:
                raise error.located(f"argument {self._paths(args)[at]} of {self._name}", source=user_source()) from None
        if trace.computed is not None:
            trace.computed.check(inputs, runtime, self._name)
        return trace.run(inputs, runtime)

    def cache_info(self) -> TraceInfo:
        """Return how often the function was traced, which a loop should not have it, and what is kept of that."""
        return self._kept.info()

    def clear_cache(self) -> None:
        """Let go of all traces; the next call traces again."""
        self._kept.clear()

    def _traced(
        self, graph: Graph, runtime: RunTime, args: Sequence[Any], kwargs: Mapping[str, Any], inputs: Sequence[_Input]
    ) -> _Trace:
        source = user_source()
        wrong = self._wrong_call(args, kwargs)
        if wrong is not None:
            raise wrong
        tracing = Tracing(next_serial(), [])

        def trace() -> tuple[list[Placeholder], list[Node], Tree]:
            ambient.set(Ambient(graph, f"{self._name}/", trace=tracing))
            nodes = [x.placeholder(graph, path, source) for x, path in zip(inputs, self._paths(args), strict=True)]
            leaves, tree = flatten(self._f(*unflatten(flatten(args)[1], nodes), **kwargs))
            return nodes, [_as_result(leaf, graph) for leaf in leaves], tree

        try:
            # in a context of its own, which no interrupt can leave in force
            nodes, results, tree = contextvars.copy_context().run(trace)
            needed = set(ancestors(results)[0])
            # what the function adds to a value is done, whether it returns that or not
            unneeded = [when for when in tracing.whens if when.call not in needed and when.graph is graph]
            more = list({when.identity: when for when in unneeded}.values())
            with spending(runtime.settings.watchers, "compile"):
                executable = Executable.of([*results, *more], {}, runtime.compiler)
            positions = {node: at for at, node in enumerate(nodes)}
            for placeholder in executable.placeholders:
                if placeholder not in positions:
                    raise FeedError(f"{describe(placeholder)} is none of its arguments, so that nothing feeds it")
            for variable in executable.variables:
                if variable.serial > tracing.first and not variable.slot:
                    raise GraphError(f"{describe(variable)} is made in it, anew for each trace; make it before")
        except OpgraphError as error:
            raise self._while_traced(error, source) from error.__cause__
        calls = ancestors([*results, *more])[0]
        taken = [(call.inputs[0], call.specs[0].dtype) for call in calls if call.implicit]
        numbers = [(positions[x], dtype) for x, dtype in taken if isinstance(x, WeakPlaceholder) and x in positions]
        computed = [(x, dtype) for x, dtype in taken if x.call is not None and x.weak]
        return _Trace(
            executable=executable,
            order=[positions[p] for p in executable.placeholders],
            numbers=list(dict.fromkeys(numbers)),
            computed=_Computed.of(computed, positions, runtime) if computed else None,
            tree=tree,
            results=len(results),
        )

    def _while_traced(self, error: OpgraphError, source: Source | None) -> OpgraphError:
        """Return `error` as one that came up while the function was traced."""
        hint = "; what is passed by keyword is a value while it is traced" if isinstance(error, NoValueError) else ""
        detail = f"{error.detail}, in the traced function {self._name!r}{hint}"
        return type(error)(detail, *(error.notes or filter(None, [str(source or "")])))

    def _wrong_argument(self, error: Exception, args: Sequence[Any], kwargs: Mapping[str, Any]) -> OpgraphError:
        """Return what to raise for arguments that are neither arrays nor hashable keywords."""
        wrong_number = self._wrong_call(args, kwargs)
        if wrong_number is not None:
            return wrong_number
        for leaf, path in zip(flatten(args)[0], self._paths(args), strict=True):
            try:
                _Input.of(leaf)
            except OpgraphError as wrong:
                return wrong.located(f"argument {path} of {self._name}", source=user_source())
        for name, value in kwargs.items():
            try:
                hash(type_and_bits(value))
            except TypeError:
                what = f"a {type(value).__name__}, which is not hashable"
                detail = f"keyword arguments are values that do not change, and {name} is {what}; pass it by position"
                return ArgumentError(detail).located(self._name, source=user_source())
        return ArgumentError(str(error)).located(self._name, source=user_source())

    def _wrong_call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> ArgumentError | None:
        """Return the error for a call that does not fit the signature, None where it fits or there is none."""
        return None if self._parameters() is None else wrong_call(self._f, args, kwargs)

    def _parameters(self) -> list[inspect.Parameter] | None:
        """Return the parameters, None for a function that is not written in Python and does not tell."""
        try:
            return list(inspect.signature(self._f).parameters.values())
        except ValueError:
            return None

    def _paths(self, args: Sequence[Any]) -> list[str]:
        """Return what messages call each leaf of the arguments."""
        names: list[str] = []
        for parameter in self._parameters() or ():
            if parameter.kind == parameter.VAR_POSITIONAL:
                names += [f"{parameter.name}[{i}]" for i in range(len(args) - len(names))]
            elif parameter.kind != parameter.KEYWORD_ONLY:
                names.append(parameter.name)
        names += [f"argument {i}" for i in range(len(names), len(args))]
        return [path for arg, name in zip(args, names, strict=False) for path in paths(flatten(arg)[1], name)]


class _Input(NamedTuple):
    """A value that a function is called with, and what of it a trace depends on: shape, dtype, whether it is weak."""

    array: Array
    signature: tuple[Any, ...]

    @classmethod
    def of(cls, leaf: Any) -> _Input:
        array = natural_array(leaf)
        return cls(array, (array.shape, array.dtype, is_weak(leaf)))

    def placeholder(self, graph: Graph, name: str, source: Source | None) -> Placeholder:
        """Return the node that stands for such a value in a trace."""
        shape, dtype, weak = self.signature
        kind = WeakPlaceholder if weak else Placeholder
        return kind(graph, Spec(Shape(shape), dtype), graph.unique_name(name), source, next_serial())


def _as_node(leaf: Any) -> Any:
    """Return an array as a node, and a number as it is."""
    return as_node(leaf) if isinstance(leaf, np.ndarray | np.generic) else leaf


def _as_result(leaf: Any, graph: Graph) -> Node:
    node = as_node(leaf)
    if node.weak:
        node = node.astype(weak_dtype(node.dtype.kind))
    if node.graph is not graph:
        raise GraphError(f"it returned {describe(node)}, a node of another graph than it was called in")
    return node


@dataclass(frozen=True)
class _Trace:
    """What calling a function with nodes came to.

    Attributes
    ----------
    executable, order
        What runs, and on which of the inputs.
    numbers
        Those of the inputs that are numbers of Python, by position, with each dtype that they took, which must be
        able to represent them.
    computed
        What is computed of such numbers alone, and took dtypes, too.
    tree, results
        That of the results, and how many these are.
    """

    executable: Executable
    order: Sequence[int]
    numbers: Sequence[tuple[int, np.dtype[Any]]]
    computed: _Computed | None
    tree: Tree
    results: int

    def run(self, inputs: Sequence[_Input], runtime: RunTime) -> Any:
        feeds = [np.asarray(inputs[at].array, order="C") for at in self.order]
        return unflatten(self.tree, self.executable.run(feeds, runtime.next_step())[: self.results])


@dataclass(frozen=True)
class _Computed:
    """What a function computes of numbers of Python alone, before it meets arrays, whose dtypes must hold it.

    Attributes
    ----------
    executable, order
        What computes it, and of which of the inputs.
    taken
        Of each of the values, the dtype that it took, what messages call it, and its line.
    """

    executable: Executable
    order: Sequence[int]
    taken: Sequence[tuple[np.dtype[Any], str, Source | None]]

    @classmethod
    def of(
        cls, computed: Sequence[tuple[Node, np.dtype[Any]]], positions: Mapping[Any, int], runtime: RunTime
    ) -> _Computed | None:
        """Return what computes these nodes, None where a run of that would do more."""
        with spending(runtime.settings.watchers, "compile"):
            executable = Executable.of([node for node, _ in computed], {}, runtime.compiler)
        if executable.fired or executable.variables:
            return None
        order = [positions[p] for p in executable.placeholders]
        return cls(executable, order, [(dtype, describe(node), node.source) for node, dtype in computed])

    def check(self, inputs: Sequence[_Input], runtime: RunTime, name: str) -> None:
        """Raise `DtypeError` where one of the values does not go into the dtype that it takes."""
        values = self.executable.run([np.asarray(inputs[at].array, order="C") for at in self.order], 0)
        for value, (dtype, what, source) in zip(values, self.taken, strict=True):
            try:
                cast_checked(value, dtype)
            except OpgraphError as error:
                raise error.located(f"{what} in {name}", str(source or ""), user_source()) from None


class _Kept:
    """The traces of one function, in all graphs: each graph keeps its own, which holds its nodes."""

    def __init__(self) -> None:
        self.lock = new_lock()
        self._hits = self._misses = 0
        self._all: Alive[Recent[tuple[_Trace, object]]] = Alive()

    def trace(self, graph: Graph, owner: object, signature: Hashable) -> _Trace | None:
        """Return the trace for a signature, of the method of `owner` where that is not None."""
        recent = graph.executables.get(self)
        found: tuple[_Trace, object] | None = None if recent is None else recent.get((id(owner), signature))
        if found is None:
            return None
        self._hits += 1
        return found[0]

    def keep(self, graph: Graph, owner: object, signature: Hashable, trace: _Trace) -> None:
        """Keep a trace, for as long as `owner` lives, and let go of what was not asked for lately."""
        self._misses += 1
        recent: Recent[tuple[_Trace, object]] = graph.executables.setdefault(self, Recent())
        key = id(owner), signature
        recent.put(key, (trace, _watched(owner, functools.partial(_forget, weakref.ref(recent), key))))
        recent.keep(TRACES_KEPT)
        self._all.add(recent)

    def info(self) -> TraceInfo:
        """Return how much is kept, and how often it served."""
        return TraceInfo(self._hits, self._misses, TRACES_KEPT, sum(map(len, self._all)))

    def clear(self) -> None:
        """Let go of all traces, and count from 0."""
        self._hits = self._misses = 0
        for recent in self._all:
            recent.keep(0)


def _watched(owner: object, call: Callable[[object], None]) -> object:
    """Return what has `call` called when `owner` goes; or `owner`, to stay, where nothing can refer to it weakly."""
    try:
        return None if owner is None else weakref.ref(owner, call)
    except TypeError:
        return owner


def _forget(recent: weakref.ref[Recent[Any]], key: Hashable, _: object) -> None:
    """Let go of the trace of a method whose object is gone."""
    kept = recent()
    if kept is not None:
        kept.pop(key)


def differentiated(
    f: Callable[..., Any], argnums: int | Sequence[int], value_too: bool, unconnected: Unconnected
) -> Function:
    """Return the function of what `f` takes that returns its gradients by some of its arguments, with its value or not.

    Parameters
    ----------
    f
        Returns one node, or one array where it is a `Function`.
    argnums
        The positions of the arguments: gradients are like the argument for one, a tuple for a tuple.
    value_too
    unconnected
        What to do about an argument on which the value does not depend, as in `grad`.
    """
    inner = f if isinstance(f, Function) else Function(f)
    single = isinstance(argnums, int)
    positions = [argnums] if isinstance(argnums, int) else list(argnums)

    @functools.wraps(inner._f)
    def with_gradients(*args: Any, **kwargs: Any) -> Any:
        value = inner(*args, **kwargs)
        if not isinstance(value, Node):
            what = f"a {type(value).__name__}" if value is not None else "nothing"
            raise GradientError(f"{inner._name} is differentiated, and must return one node for that, not {what}")
        if value.dtype.kind == "c":
            raise GradientError(f"{inner._name} is complex; differentiate a real function of it")
        if max(positions) >= len(args):
            given = f"was called with {len(args)} arguments by position"
            raise GradientError(f"{inner._name} {given}, none of which is number {max(positions)}")
        nests = [flatten(args[at]) for at in positions]
        xs = [leaf for leaves, _ in nests for leaf in leaves]
        for x in xs:
            if not isinstance(x, Node):
                raise GradientError(f"{x!r} is no node, by which {inner._name} could be differentiated")
        found = iter(gradients([value], xs, [None], unconnected=unconnected))
        parts = [unflatten(tree, list(itertools.islice(found, len(leaves)))) for leaves, tree in nests]
        shown = parts[0] if single else tuple(parts)
        return (value, shown) if value_too else shown

    return Function(with_gradients, inner.runtime)


above.differentiated = differentiated
