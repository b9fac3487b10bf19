"""The static graph: what names nodes and holds variables, and the functions that make its other leaves."""

from __future__ import annotations

import contextlib
import itertools
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from opgraph.ambient import Ambient, ambient, current_source, get_ambient, get_default_graph, root
from opgraph.convert import contiguous, to_array
from opgraph.errors import ArgumentError, DtypeError, GraphError, ShapeError, did_you_mean, placing, user_source
from opgraph.locks import new_lock
from opgraph.node import Constant, Key, Node, NodeLike, Placeholder, Update, above, describe, next_serial
from opgraph.op import Array
from opgraph.signatures import guarded
from opgraph.spec import DtypeLike, Shape, ShapeLike, Spec, as_dtype, get_default_dtype, how_to_convert
from opgraph.threads import in_one_call, unless_held
from opgraph.variable import Slots, Variable, copies, write_all

if TYPE_CHECKING:
    import os

    from opgraph.io import Unmatched


class Graph:
    """A container of nodes: their unique names, the variables, the random streams, the run time.

    It holds what `variable` made; every other node lives for as long as somebody uses it.

    Attributes
    ----------
    slots : mapping
        What optimizers keep for the graph as a whole, as `Variable.slots`.
    """

    def __init__(self) -> None:
        self._lock = new_lock()
        # held by whoever reads or writes variables. One for all of them: a ``with`` on several locks can be
        # interrupted by a signal between two, a ``with`` on one cannot
        self.state_lock = new_lock()
        self._name_counts: dict[str, int] = {}
        self._streams = itertools.count()
        self._owned: dict[str, Variable] = {}
        self._variables: weakref.WeakValueDictionary[str, Variable] = weakref.WeakValueDictionary()
        self._runtime: Any = None
        self.slots: Slots = weakref.WeakKeyDictionary()
        # what run times, optimizers and traced functions keep that holds nodes of this graph
        self.executables: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
        self.update_count = 0

    def __repr__(self) -> str:
        variables = self.get_variables(only_trainable=False)
        trainable = sum(variable.trainable for variable in variables)
        return f"<Graph with {len(variables)} variables, {trainable} trainable>"

    @contextlib.contextmanager
    def as_default_graph(self) -> Iterator[Graph]:
        """Make this the default graph of the thread or async task for the length of a ``with``."""
        before = get_ambient()
        token = ambient.set(Ambient(self, region=before.region, trace=before.trace))
        try:
            yield self
        finally:
            ambient.reset(token)

    def unique_name(self, name: str) -> str:
        """Return `name` under the present name scope, with ``_1``, ``_2``… where it is taken."""
        if not isinstance(name, str):
            raise ArgumentError(f"a name is a string, not {name!r}").located("name", source=user_source())
        base = get_ambient().scope + name
        with self._lock:
            # only the names asked for are remembered, so a graph rebuilt for ever stays small
            count = self._name_counts.get(base)
            if count is None:
                if not self._is_numbered(base):
                    self._name_counts[base] = 1
                    return base
                count = 1
            while f"{base}_{count}" in self._name_counts:
                count += 1
            self._name_counts[base] = count + 1
            return f"{base}_{count}"

    def has_name(self, name: str) -> bool:
        """Whether a node was ever given `name`, be it one of several outputs of a call."""
        base, _, index = name.rpartition(":")
        with self._lock:
            names = (name, base) if index.isdecimal() else (name,)
            return any(each in self._name_counts or self._is_numbered(each) for each in names)

    def _is_numbered(self, name: str) -> bool:
        """Whether `name` was made of another one and a number."""
        stem, _, tail = name.rpartition("_")
        return (
            tail.isdecimal()
            and len(tail) < 10
            and str(int(tail)) == tail
            and 0 < int(tail) < self._name_counts.get(stem, 0)
        )

    def get_variables(self, only_trainable: bool = True) -> list[Variable]:
        """Return the variables in the order in which they were made, without optimizers' slots."""
        return [v for v in self._all_variables() if not v.slot and (v.trainable or not only_trainable)]

    def _all_variables(self) -> list[Variable]:
        with self._lock:
            return sorted(self._variables.values(), key=lambda v: v.serial)

    @guarded
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
        if not isinstance(var_dict, Mapping | None):
            raise ArgumentError(f"var_dict is a mapping from names to values, not {var_dict!r}")
        if seed is not None and (not isinstance(seed, int | np.integer) or seed < 0):
            raise ArgumentError(f"seed is an integer from 0 or None, not {seed!r}")
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
        with unless_held(self.state_lock):
            return copies(storages)

    def write_values(self, values: Mapping[Variable, Array]) -> None:
        """Copy in a value for each variable, all at one moment; each is of its variable's shape and dtype."""
        storages = [variable.storage for variable in values]
        arrays = [storage.array for storage in storages]
        given = list(values.values())
        with unless_held(self.state_lock):
            write_all(arrays, given)
            in_one_call(setattr, storages, itertools.repeat("initialized"), itertools.repeat(True))

    @guarded
    def save_variables(self, path: str | os.PathLike[str], slots: bool = True) -> str:
        """Write the values of all variables to a file; see `opgraph.save_variables`."""
        return above.save_variables(path, self, slots)

    @guarded
    def load_variables(self, path: str | os.PathLike[str], strict: bool = True) -> Unmatched:
        """Give the variables the values in a file; see `opgraph.load_variables`."""
        return above.load_variables(path, self, strict)  # type: ignore[no-any-return]  # the layer above

    @guarded
    def add_update(self, variable: Variable, value: NodeLike, *, when: Node) -> None:
        """Have `variable` take `value` in every run that executes the call of `when`.

        Updates of different variables are simultaneous; two of one variable follow each other in the
        order in which they were added.

        Raises
        ------
        GraphError
            Where a node is of another graph; where `when` is a leaf, which nothing executes, or was made before the
            function that is being traced.
        ShapeError, DtypeError
            Where `value` does not fit `variable`.
        """
        if not isinstance(variable, Variable):
            raise GraphError(f"variable must be a variable, not {variable!r}")
        if not isinstance(when, Node):
            raise GraphError(f"when must be a node, not {when!r}")
        if when.graph is not self or variable.graph is not self:
            raise GraphError("variable and when must be nodes of this graph")
        if when.call is None:
            raise GraphError(f"when={describe(when)} is not computed, so that it never fires")
        trace = get_ambient().trace
        if trace is not None and when.call.serial < trace.first:
            raise GraphError(
                f"when={describe(when)} was made before the function that is being traced, each trace of which would "
                "add the update once more; use a node that the function makes, or add the update outside of it"
            )
        node = as_update(variable, value)
        with self._lock:
            self.update_count += 1
            when.call.updates += (Update(next_serial(), variable, node),)
        if trace is not None:
            trace.whens.append(when)

    def next_stream(self) -> int:
        """Return a number that no other key of this graph has."""
        return next(self._streams)

    def take_stream(self, stream: int) -> None:
        """Take `stream` for a key of a graph that is read from a file: `next_stream` returns later ones only."""
        self._streams = itertools.count(max(stream + 1, next(self._streams)))

    def set_runtime(self, runtime: Any) -> None:
        """Have `runtime` execute this graph."""
        if runtime is not None and not callable(getattr(runtime, "run", None)):
            raise ArgumentError(f"{runtime!r} is no run time").located("set_runtime", source=user_source())
        self._runtime = runtime

    def get_runtime(self) -> Any:
        """Return the run time that executes this graph, a new one where none was set."""
        with self._lock:  # two threads that ask for it get one
            if self._runtime is None:
                self._runtime = above.make_runtime()
            return self._runtime

    def reset_runtime(self) -> None:
        """Forget the run time; the next one is made on demand."""
        self._runtime = None

    def _adopt(self, variable: Variable) -> None:
        with self._lock:
            self._variables[variable.name] = variable


@guarded
def placeholder(shape: ShapeLike, dtype: DtypeLike = None, name: str | None = None) -> Placeholder:
    """Return a node whose value is fed at run time.

    Parameters
    ----------
    shape
        The static shape; ``None`` for a size that may differ from run to run. How many dimensions there are is known.
    dtype
        The default float where not given.
    """
    source = user_source()
    with placing("placeholder", source):
        if shape is None:
            raise ShapeError("a shape is needed, not None: write () for a scalar, (None,) for a vector of any size")
        spec = Spec(Shape(shape), get_default_dtype() if dtype is None else as_dtype(dtype))
    graph = get_default_graph()
    return Placeholder(graph, spec, graph.unique_name(name or "placeholder"), source, next_serial())


@guarded
def constant(value: ArrayLike, dtype: DtypeLike = None, name: str | None = None) -> Constant:
    """Return a node that holds a copy of `value`; Python numbers become the default float."""
    array = to_array(value, None if dtype is None else as_dtype(dtype))
    return constant_in(get_default_graph(), array, name)


def constant_in(graph: Graph, array: Array, name: str | None = None, kind: type[Constant] = Constant) -> Constant:
    """Return a node of `graph` that holds a copy of `array`."""
    source = current_source()
    spec = Spec(Shape(array.shape), array.dtype)
    node = kind(graph, spec, graph.unique_name(name or "constant"), source, next_serial())
    node.value = contiguous(array, copy=True)
    node.value.flags.writeable = False
    return node


@guarded
def random_key(name: str | None = None, graph: Graph | None = None) -> Key:
    """Return a node that seeds random numbers: four uint64, another value in every run.

    It belongs to `graph`, the default one where that is not given; an op uses that of its inputs.
    """
    graph = graph or get_default_graph()
    source = current_source()
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
        raise DtypeError(
            f"{describe(value)} does not go into {describe(variable)}; {how_to_convert(value.dtype, variable.dtype)}"
        )
    if not value.shape.compatible_with(variable.shape):
        raise ShapeError(f"{describe(value)} does not go into {describe(variable)}")
    return value


root.ambient = Ambient(Graph())
