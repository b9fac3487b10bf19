"""The static graph: what names nodes and holds variables, and the functions that make its leaves."""

import collections
import contextlib
import contextvars
import itertools
import operator
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from opgraph.convert import to_array
from opgraph.errors import (
    ArgumentError,
    DtypeError,
    GraphError,
    OpgraphError,
    ShapeError,
    Source,
    UninitializedError,
    did_you_mean,
    placing,
    user_source,
)
from opgraph.node import Call, Constant, Key, Node, NodeLike, Placeholder, Update, above, describe, next_serial
from opgraph.op import Array, Rng
from opgraph.spec import DtypeLike, Shape, ShapeLike, Spec, as_dtype, get_default_dtype, known_shape

if TYPE_CHECKING:
    import os

    from opgraph.io import Unmatched

_T = TypeVar("_T")


class Storage:
    """The memory of a variable, allocated once."""

    __slots__ = ("array", "initialized", "label")

    def __init__(self, spec: Spec) -> None:
        self.array: Array = np.empty(known_shape(spec.shape), spec.dtype)
        self.initialized = False
        self.label = ""


Initializer: TypeAlias = Callable[[tuple[int, ...], Rng], ArrayLike]


# keyed by the optimizer, which is held weakly
Slots: TypeAlias = "weakref.WeakKeyDictionary[Any, dict[str, Variable]]"


class Variable(Node):
    """A value that persists from run to run and is changed by updates.

    Parameters
    ----------
    value : array_like
        The initial value. An array keeps its dtype, Python numbers become the default float.
    name : str, optional
    trainable : bool
        Whether optimizers change it by default.
    dtype : numpy.dtype, optional
        What to convert the value to.
    slot : bool
        Whether it belongs to an optimizer: saved with the others, but left out of `get_variables`.
    initializer : callable, optional
        What `initialize` puts in, from a shape and a NumPy generator; without one it leaves the value.

    Attributes
    ----------
    slots : mapping
        What optimizers keep beside it: from the optimizer to its slots by name. A slot lives for as long
        as both do.

    Notes
    -----
    The graph holds it weakly, where it holds what `variable` makes strongly.
    """

    __slots__ = ("initializer", "slot", "slots", "storage", "trainable")
    kind = "variable"

    initializer: Initializer | None
    slots: "Slots"

    def __init__(
        self,
        value: NodeLike,
        name: str | None = None,
        trainable: bool = True,
        dtype: DtypeLike = None,
        *,
        slot: bool = False,
        initializer: Initializer | None = None,
    ) -> None:
        source = user_source()
        with placing("Variable", source):
            array = to_array(value, None if dtype is None else as_dtype(dtype))
        self._setup(spec=Spec(Shape(array.shape), array.dtype), name=name, trainable=trainable, source=source)
        self.slot = slot
        self.initializer = initializer
        self.storage.array[...] = array
        self.storage.initialized = True

    def _setup(self, spec: Spec, name: str | None, trainable: bool, source: Source | None) -> None:
        graph = get_default_graph()
        super().__init__(graph, spec, graph.unique_name(name or "variable"), source, next_serial())
        self.initializer = None
        self.trainable = bool(trainable)
        self.slot = False
        self.slots = weakref.WeakKeyDictionary()
        self.storage = Storage(spec)
        self.storage.label = describe(self)
        graph._adopt(self)

    def _remark(self) -> str:
        return ("" if self.trainable else ", not trainable") + ("" if self.storage.initialized else ", no value yet")

    @property
    def val(self) -> Array:
        """A copy of the present value."""
        with self.graph.state_lock:
            if not self.storage.initialized:
                raise uninitialized([self.storage.label], self.source)
            return self.storage.array.copy()

    def set_val(self, value: ArrayLike) -> None:
        """Copy `value` in.

        Raises
        ------
        ShapeError, DtypeError
            Where it does not fit; the variable keeps what it had.
        """
        array = self._checked(value)
        with self.graph.state_lock:
            self.storage.array[...] = array
            self.storage.initialized = True

    def initialize(self, value: ArrayLike | None = None, rng: "Rng | None" = None) -> None:
        """Copy in `value`, or what the initializer makes with `rng`.

        A variable that was made from a value, and so has no initializer, keeps the one it has.
        """
        if value is None:
            value = self._initial(rng or np.random.default_rng())
        if value is not None:
            self.set_val(value)

    def _initial(self, rng: Rng) -> Array | None:
        if self.initializer is None:
            return None
        try:
            value = self.initializer(self.storage.array.shape, rng)
        except OpgraphError:
            raise
        except Exception as error:
            detail = f"its initializer raised {type(error).__name__}: {error}"
            raise ArgumentError(detail).located(f"variable {self.name!r}", source=self.source) from error
        return self._checked(value)

    def _checked(self, value: Any) -> Array:
        with placing(f"variable {self.name!r}", self.source):
            array = to_array(value, self.dtype)
            if array.shape != self.storage.array.shape:
                raise ShapeError(f"a value of shape {array.shape} does not go into {self.spec}")
        return array


@dataclass(frozen=True, slots=True)
class _Ambient:
    """What is in force where a node is made."""

    graph: "Graph"
    scope: str = ""
    source: Source | None = None
    region: object | None = None


class Graph:
    """A container of nodes: their unique names, the variables, the random streams, the run time.

    It holds what `variable` made; every other node lives for as long as somebody uses it.

    Attributes
    ----------
    slots : mapping
        What optimizers keep for the graph as a whole, as `Variable.slots`.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        # held by whoever reads or writes variables. One for all of them: a ``with`` on several locks can be
        # interrupted by a signal between two, a ``with`` on one cannot
        self.state_lock = threading.RLock()
        self._name_counts: dict[str, int] = {}
        self._streams = itertools.count()
        self._owned: dict[str, Variable] = {}
        self._variables: weakref.WeakValueDictionary[str, Variable] = weakref.WeakValueDictionary()
        self._runtime: Any = None
        self.slots: Slots = weakref.WeakKeyDictionary()
        # what each run time has compiled of this graph
        self.executables: weakref.WeakKeyDictionary[Any, dict[Any, Any]] = weakref.WeakKeyDictionary()
        self.update_count = 0

    def __repr__(self) -> str:
        variables = self.get_variables(only_trainable=False)
        trainable = sum(variable.trainable for variable in variables)
        return f"<Graph with {len(variables)} variables, {trainable} trainable>"

    @contextlib.contextmanager
    def as_default_graph(self) -> Iterator["Graph"]:
        """Make this the default graph of the thread or async task for the length of a ``with``."""
        token = _ambient.set(_Ambient(self, region=get_ambient().region))
        try:
            yield self
        finally:
            _ambient.reset(token)

    def unique_name(self, name: str) -> str:
        """Return `name` under the present name scope, with ``_1``, ``_2``… where it is taken."""
        if not isinstance(name, str):
            raise ArgumentError(f"a name is a string, not {name!r}").located("name", source=user_source())
        base = get_ambient().scope + name
        with self._lock:
            # only the names asked for are remembered, so a graph rebuilt for ever stays small
            count = self._name_counts.get(base)
            if count is None:
                stem, _, tail = base.rpartition("_")
                if not (
                    tail.isdecimal()
                    and len(tail) < 10
                    and str(int(tail)) == tail
                    and 0 < int(tail) < self._name_counts.get(stem, 0)
                ):
                    self._name_counts[base] = 1
                    return base
                count = 1
            while f"{base}_{count}" in self._name_counts:
                count += 1
            self._name_counts[base] = count + 1
            return f"{base}_{count}"

    def get_variables(self, only_trainable: bool = True) -> list[Variable]:
        """Return the variables in the order in which they were made, without optimizers' slots."""
        return [v for v in self._all_variables() if not v.slot and (v.trainable or not only_trainable)]

    def _all_variables(self) -> list[Variable]:
        with self._lock:
            return sorted(self._variables.values(), key=lambda v: v.serial)

    def initialize_variables(
        self,
        var_dict: Mapping[str, ArrayLike] | None = None,
        only_trainable: bool = False,
        seed: int | None = None,
    ) -> None:
        """Give every variable its initial value, or none of them if one fails.

        Parameters
        ----------
        var_dict
            Values by variable name, which take precedence over the initializers.
        only_trainable
            Leave the other variables as they are.
        seed
            Of the initializers' random numbers; by default that of the graph's run time. One seed
            and one name give one value, in whichever graph.

        Raises
        ------
        GraphError
            For a name in `var_dict` that is no variable's.
        ShapeError, DtypeError
            For a value that does not fit.
        """
        given = dict(var_dict or {})
        variables = [v for v in self._all_variables() if v.trainable or not only_trainable]
        by_name = {v.name: v for v in self._all_variables()}
        unknown = [n for n in given if n not in by_name]
        if unknown:
            hint = did_you_mean(unknown[0], by_name)
            detail = f"no variable is named {', '.join(map(repr, unknown))}{hint}"
            raise GraphError(detail).located("initialize_variables", source=user_source())
        if seed is None:
            seed = self.get_runtime().seed
        values: dict[Variable, Array] = {by_name[name]: by_name[name]._checked(value) for name, value in given.items()}
        for variable in variables:
            initial = variable._initial(np.random.default_rng([seed, *variable.name.encode(errors="surrogatepass")]))
            if initial is not None:
                values.setdefault(variable, initial)
        self.write_values(values)

    def read_values(self, variables: Sequence[Variable]) -> list[Array | None]:
        """Return copies of the values of `variables`, all of one moment; None for one that has none yet."""
        storages = [variable.storage for variable in variables]
        with self.state_lock:
            return _copies(storages)

    def write_values(self, values: Mapping[Variable, Array]) -> None:
        """Copy in a value for each variable, all at one moment; each is of its variable's shape and dtype."""
        storages = [variable.storage for variable in values]
        arrays = [storage.array for storage in storages]
        given = list(values.values())
        with self.state_lock:
            write_all(arrays, given)
            in_one_call(setattr, storages, itertools.repeat("initialized"), itertools.repeat(True))

    def save_variables(self, path: "str | os.PathLike[str]") -> str:
        """Write the values of all variables to a file; see `opgraph.save_variables`."""
        return above.save_variables(path, self)

    def load_variables(self, path: "str | os.PathLike[str]", strict: bool = True) -> "Unmatched":
        """Give the variables the values in a file; see `opgraph.load_variables`."""
        return above.load_variables(path, self, strict)  # type: ignore[no-any-return]  # the layer above

    def add_update(self, variable: Variable, value: NodeLike, *, when: Node) -> None:
        """Have `variable` take `value` in every run that executes the call of `when`.

        Updates of different variables are simultaneous; two of one variable follow each other in the
        order in which they were added.

        Raises
        ------
        GraphError
            Where a node is of another graph, or `when` is a leaf, which nothing executes.
        ShapeError, DtypeError
            Where `value` does not fit `variable`.
        """
        with placing("add_update", user_source()):
            if not isinstance(variable, Variable):
                raise GraphError(f"variable must be a variable, not {variable!r}")
            if not isinstance(when, Node):
                raise GraphError(f"when must be a node, not {when!r}")
            if when.graph is not self or variable.graph is not self:
                raise GraphError("variable and when must be nodes of this graph")
            if when.call is None:
                raise GraphError(f"when={describe(when)} is not computed, so that it never fires")
            node = as_update(variable, value)
        with self._lock:
            self.update_count += 1
            when.call.updates += (Update(next_serial(), variable, node),)

    def next_stream(self) -> int:
        """Return a number that no other key of this graph has."""
        return next(self._streams)

    def take_stream(self, stream: int) -> None:
        """Take `stream` for a key of a graph that is read from a file: `next_stream` returns later ones only."""
        self._streams = itertools.count(max(stream + 1, next(self._streams)))

    def set_runtime(self, runtime: Any) -> None:
        """Have `runtime` execute this graph."""
        self._runtime = runtime

    def get_runtime(self) -> Any:
        """Return the run time that executes this graph, a new one where none was set."""
        if self._runtime is None:
            self._runtime = above.make_runtime()
        return self._runtime

    def reset_runtime(self) -> None:
        """Forget the run time; the next one is made on demand."""
        self._runtime = None

    def _adopt(self, variable: Variable) -> None:
        with self._lock:
            self._variables[variable.name] = variable


_ambient: ContextVar[_Ambient] = ContextVar("opgraph_ambient")
_root_ambient = _Ambient(Graph())


def get_ambient() -> _Ambient:
    """Return the graph, name scope and source line in force."""
    return _ambient.get(_root_ambient)


def get_default_graph() -> Graph:
    """Return the graph in which nodes are made."""
    return get_ambient().graph


@contextlib.contextmanager
def recompute_region() -> Iterator[None]:
    """Mark the calls made in a ``with`` as one region, which a gradient computes again for itself."""
    token = _ambient.set(replace(get_ambient(), region=object()))
    try:
        yield
    finally:
        _ambient.reset(token)


@contextlib.contextmanager
def name_scope(name: str) -> Iterator[str]:
    """Put ``name/`` before the names of all nodes made in a ``with``; scopes nest."""
    ambient = get_ambient()
    if not isinstance(name, str) or not name or name != name.strip("/"):
        raise ArgumentError(f"{name!r} is empty or has a slash at its end").located("name_scope", source=user_source())
    scope = f"{ambient.scope}{name}/"
    token = _ambient.set(replace(ambient, scope=scope))
    try:
        yield scope
    finally:
        _ambient.reset(token)


def at_source(node: Node | Call, function: Callable[..., _T], *args: Any) -> _T:
    """Return what `function` returns, having nodes that it makes live in the graph, and name the line, of `node`."""

    def run() -> _T:
        _ambient.set(_Ambient(node.graph, "", node.source))
        return function(*args)

    # in a context of its own, which no interrupt can leave in force
    return contextvars.copy_context().run(run)


def placeholder(shape: ShapeLike, dtype: DtypeLike = None, name: str | None = None) -> Placeholder:
    """Return a node whose value is fed at run time.

    Parameters
    ----------
    shape
        The static shape; ``None`` for a size that may differ from run to run.
    dtype
        The default float where not given.
    """
    source = user_source()
    with placing("placeholder", source):
        spec = Spec(Shape(shape), get_default_dtype() if dtype is None else as_dtype(dtype))
    graph = get_default_graph()
    return Placeholder(graph, spec, graph.unique_name(name or "placeholder"), source, next_serial())


def variable(
    shape: ShapeLike,
    initializer: Initializer,
    trainable: bool = True,
    name: str | None = None,
    dtype: DtypeLike = None,
) -> Variable:
    """Return a variable whose value `initializer` makes, when `initialize_variables` is called.

    Parameters
    ----------
    shape
        Known in full.
    initializer
        Called with the shape and a NumPy generator.
    trainable
        Whether optimizers change it by default.
    dtype
        The default float where not given.
    """
    source = user_source()
    with placing("variable", source):
        spec = Spec(Shape(shape), get_default_dtype() if dtype is None else as_dtype(dtype))
        if not spec.shape.is_known:
            raise ShapeError(f"a variable's shape must be known, {spec.shape} is not")
        if not callable(initializer):
            raise ArgumentError(f"initializer must be callable with (shape, rng), {initializer!r} is not")
    made = owned_variable(spec, name, trainable, source)
    made.initializer = initializer
    return made


def owned_variable(spec: Spec, name: str | None, trainable: bool, source: Source | None) -> Variable:
    """Return a variable without a value, which the default graph keeps alive."""
    made = Variable.__new__(Variable)
    made._setup(spec, name, trainable, source)
    made.graph._owned[made.name] = made
    return made


def constant(value: ArrayLike, dtype: DtypeLike = None, name: str | None = None) -> Constant:
    """Return a node that holds a copy of `value`; Python numbers become the default float."""
    with placing("constant", user_source()):
        array = to_array(value, None if dtype is None else as_dtype(dtype))
    return constant_in(get_default_graph(), array, name)


def constant_in(graph: Graph, array: Array, name: str | None = None) -> Constant:
    """Return a node of `graph` that holds a copy of `array`."""
    source = get_ambient().source or user_source()
    spec = Spec(Shape(array.shape), array.dtype)
    node = Constant(graph, spec, graph.unique_name(name or "constant"), source, next_serial())
    node.value = np.array(array, order="C")
    node.value.flags.writeable = False
    return node


def random_key(name: str | None = None, graph: Graph | None = None) -> Key:
    """Return a node that seeds random numbers: four uint64, another value in every run.

    It belongs to `graph`, the default one where that is not given; an op uses that of its inputs.
    """
    graph = graph or get_default_graph()
    source = get_ambient().source or user_source()
    spec = Spec(Shape(4), np.dtype(np.uint64))
    node = Key(graph, spec, graph.unique_name(name or "key"), source, next_serial())
    node.stream = graph.next_stream()
    return node


def as_update(variable: Variable, value: NodeLike) -> Node:
    """Return `value` as a node that `variable` can take; raise where it cannot."""
    if not isinstance(value, Node):
        value = constant_in(variable.graph, to_array(value, variable.dtype))
    if value.graph is not variable.graph:
        raise GraphError(f"{describe(value)} is a node of another graph than {describe(variable)}")
    if value.dtype != variable.dtype:
        raise DtypeError(f"{describe(value)} does not go into {describe(variable)}; use .astype({variable.dtype})")
    if not value.shape.compatible_with(variable.shape):
        raise ShapeError(f"{describe(value)} does not go into {describe(variable)}")
    return value


def write_all(targets: Sequence[Array], values: Sequence[Array]) -> None:
    """Copy each of `values` into its target, interrupted by no signal."""
    in_one_call(operator.setitem, targets, itertools.repeat(...), values)


def in_one_call(function: Callable[..., Any], *arguments: Iterable[Any]) -> None:
    """Call a function written in C on each group of arguments, with no signal handler in between."""
    # the handlers of signals run between bytecodes, and here there are none
    collections.deque(map(function, *arguments), maxlen=0)


def _copies(storages: Sequence[Storage]) -> list[Array | None]:
    return [storage.array.copy() if storage.initialized else None for storage in storages]


def uninitialized(labels: Sequence[str], source: Source | None) -> UninitializedError:
    """Return the error for variables without a value."""
    shown = ", ".join(labels[:8]) + (f" and {len(labels) - 8} more" if len(labels) > 8 else "")
    return UninitializedError(
        f"no value yet: {shown}; call graph.initialize_variables() or variable.set_val(...) first",
        str(source or ""),
    )
