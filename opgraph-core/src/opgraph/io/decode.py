"""From a document, as `opgraph.io.encode` writes it, to the nodes of a new graph."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from opgraph.attributes import type_and_bits
from opgraph.build import call_specs
from opgraph.errors import GraphError, OpgraphError, OpLoadError, user_source
from opgraph.graph import Graph, as_update, constant_in, random_key
from opgraph.io.attributes import decode_attribute
from opgraph.io.encode import FORMAT
from opgraph.node import Call, Constant, Key, Node, Placeholder, next_serial
from opgraph.op import Array, Op
from opgraph.registry import get
from opgraph.spec import Shape, Spec, known_shape
from opgraph.variable import Variable, owned_variable

_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class LoadedGraph:
    """A graph that was read from a file, and what it was saved for.

    Attributes
    ----------
    graph : Graph
        It owns the variables.
    inputs : dict
        The placeholders by name.
    outputs : dict
        The fetches by the names under which they were saved.
    updates : dict
        The new values by variable, for ``rt.compile(…, updates=loaded.updates)``.
    """

    graph: Graph
    inputs: dict[str, Placeholder]
    outputs: dict[str, Node]
    updates: dict[Variable, Node]


def decode(document: Any, array_of: Callable[[int], Array | None]) -> LoadedGraph:
    """Return the graph that `document` describes.

    Parameters
    ----------
    document
        What `encode` returned; checked, as it may come from anywhere.
    array_of
        Returns the array that belongs to the node of a number, None where there is none.

    Raises
    ------
    OpLoadError
        Where ops are not installed, or not in the version that the graph was saved with; it lists all.
    GraphError
        Where the document contradicts itself or what the ops say.
    """
    found = document.get("format") if isinstance(document, dict) else None
    if type(found) is int and found > FORMAT:
        raise GraphError(f"is of format {found}, this opgraph-core reads {FORMAT} at most; upgrade it")
    with _damaged("its graph"):
        if type(found) is not int or found != FORMAT:
            raise GraphError(f"{_short(found)} is no format")
        ops, nodes, attached, updates = (_field(document, n, list) for n in ("ops", "nodes", "attached", "updates"))
        outputs = _field(document, "outputs", dict)
    decoder = _Decoder(_ops(ops), array_of)
    with decoder.graph.as_default_graph():
        for row in nodes:
            decoder.add(row)
        with _damaged("its outputs and updates"):
            fetches = {name: decoder.fetch(pair) for name, pair in outputs.items()}
            given = dict(decoder.update(*_several(row, 2)) for row in updates)
            for row in attached:
                decoder.attach(*_several(row, 3))
    inputs = {node.name: node for node in decoder.items if isinstance(node, Placeholder)}
    return LoadedGraph(decoder.graph, inputs, fetches, given)


def _ops(rows: list[Any]) -> list[Op]:
    """Return the ops of the document, each made once."""
    classes: dict[str, type[Op]] = {}
    problems = []
    for row in rows:
        with _damaged("one of its ops"):
            name, version = _field(row, "name", str), _field(row, "version", int)
            distribution = row.get("distribution")
        try:
            classes[name] = _op_class(name, version)
        except OpgraphError as error:
            problems.append(error.detail + (f" (it came with {_short(distribution)})" if distribution else ""))
    if problems:
        raise OpLoadError("\n  ".join(("needs ops that are not here as they were:", *dict.fromkeys(problems))))
    return [_op(classes[row["name"]], row.get("attributes")) for row in rows]


def _op_class(name: str, version: int) -> type[Op]:
    found = get(name)
    if not (isinstance(found, type) and issubclass(found, Op)):
        raise OpLoadError(f"{name} is a function here, no op")
    if found.version != version:
        what = "older; upgrade it" if found.version < version else "newer and means something else; downgrade it"
        raise OpLoadError(f"{name} was saved in version {version}, the installed version {found.version} is {what}")
    return found


def _op(op_class: type[Op], encoded: Any) -> Op:
    with _damaged(f"op {op_class.name}"):
        if not isinstance(encoded, dict):
            raise GraphError("it has no attributes")
        # a later release may add attributes that have a default, and keep the version
        unknown = encoded.keys() - {field.name for field in dataclasses.fields(op_class)}  # type: ignore[arg-type]  # subclasses are dataclasses
        if unknown:
            raise GraphError(f"it has an attribute {min(unknown)!r}, which that op does not have here")
        attributes = {key: decode_attribute(value) for key, value in encoded.items()}
        op = op_class(**attributes)
        for key, made in op.attributes().items():
            if key in attributes and type_and_bits(made) != type_and_bits(attributes[key]):
                raise GraphError(f"its {key} is {attributes[key]!r}, which the op changes to {made!r}")
    return op


class _Decoder:
    """Makes the calls and leaves of a new graph, in the order of the document."""

    def __init__(self, ops: list[Op], array_of: Callable[[int], Array | None]) -> None:
        self.graph = Graph()
        self.items: list[Node | Call] = []
        self._ops = ops
        self._array_of = array_of
        self._source = user_source()
        self._regions: dict[int, object] = {}
        self._makers: dict[str, Callable[[Any, str], Node | Call]] = {
            "call": self._call,
            "placeholder": self._placeholder,
            "variable": self._variable,
            "constant": self._constant,
            "key": self._key,
        }

    def add(self, row: Any) -> None:
        """Append what one row of the document describes."""
        with _damaged(self._title(row)):
            kind, name = _field(row, "kind", str), _field(row, "name", str)
            if kind not in self._makers:
                raise GraphError(f"there is no such kind of node; there are {', '.join(self._makers)}")
            item = self._makers[kind](row, name)
            if item.name != name:
                raise GraphError("another one has that name")
        self.items.append(item)

    def fetch(self, pair: Any) -> Node:
        """Return the node of a reference to one that can be fetched."""
        node = self._node(pair)
        if node.call is not None and node.index >= node.call.visible:
            raise GraphError(f"{node.name!r} is hidden and cannot be fetched")
        return node

    def update(self, number: Any, pair: Any) -> tuple[Variable, Node]:
        """Return a variable and the value that it takes."""
        variable = self._node([number, 0])
        if not isinstance(variable, Variable):
            raise GraphError(f"{variable.name!r} is no variable")
        return variable, as_update(variable, self._node(pair))

    def attach(self, when: Any, number: Any, pair: Any) -> None:
        """Have a call update a variable."""
        variable, value = self.update(number, pair)
        self.graph.add_update(variable, value, when=self._node([when, 0]))

    def _title(self, row: Any) -> str:
        """Return what a message calls the node of `row`, whatever that is."""
        if not isinstance(row, dict) or not {"kind", "name"} <= row.keys():
            return f"node {len(self.items)}"
        number = row.get("op")
        of = f" of {self._ops[number].name}" if type(number) is int and 0 <= number < len(self._ops) else ""
        return f"{row['kind']} {row['name']!r}{of}"

    def _call(self, row: Any, name: str) -> Call:
        op = self._ops[_index(_field(row, "op", int), self._ops)]
        inputs = tuple([self._node(pair) for pair in _field(row, "inputs", list)])
        claimed = [_spec(pair) for pair in _field(row, "outputs", list)]
        specs = call_specs(op, inputs)
        if len(specs) != len(claimed) or not all(c.admits(s) for c, s in zip(claimed, specs, strict=True)):
            raise GraphError(f"its outputs are {list(specs)} by its infer, {claimed} by the file")
        call = Call(self.graph, op, inputs, specs, self.graph.unique_name(name), self._source)
        call.implicit = _field(row, "implicit", bool)
        call.region = self._region(row.get("region"))
        call.recomputes = _field(row, "recomputes", bool)
        return call

    def _region(self, number: Any) -> object | None:
        """Return what stands for a region of calls that a gradient computes again, the same for one number."""
        if number is None:
            return None
        if type(number) is not int or number < 0:
            raise GraphError(f"{_short(number)} is no region")
        return self._regions.setdefault(number, object())

    def _placeholder(self, row: Any, name: str) -> Placeholder:
        spec = _spec(_field(row, "spec", list))
        return Placeholder(self.graph, spec, self.graph.unique_name(name), self._source, next_serial())

    def _variable(self, row: Any, name: str) -> Variable:
        spec = _spec(_field(row, "spec", list))
        value = self._value(spec)
        variable = owned_variable(spec, name, _field(row, "trainable", bool), self._source)
        variable.slot = _field(row, "slot", bool)
        if value is not None:
            variable.set_val(value)
        return variable

    def _constant(self, row: Any, name: str) -> Constant:
        spec = _spec(_field(row, "spec", list))
        if "data" in row:
            data = bytes.fromhex(_field(row, "data", str))
            if len(data) != spec.nbytes:
                raise GraphError(f"its {len(data)} bytes are not those of {spec}")
            value = np.ndarray(known_shape(spec.shape), spec.dtype.newbyteorder("<"), data).astype(spec.dtype)
        else:
            found = self._value(spec)
            if found is None:
                raise GraphError("its value is missing")
            value = found
        return constant_in(self.graph, value, name)

    def _key(self, row: Any, name: str) -> Key:
        stream = _field(row, "stream", int)
        if not 0 <= stream < 1 << 63:
            raise GraphError(f"its stream is {stream}")
        key = random_key(name, self.graph)
        key.stream = stream
        self.graph.take_stream(stream)
        return key

    def _value(self, spec: Spec) -> Array | None:
        """Return the array that belongs to the node that comes next."""
        array = self._array_of(len(self.items))
        if array is not None and (array.shape, array.dtype) != (spec.shape, spec.dtype):
            raise GraphError(f"its value is {array.shape} {array.dtype}, it is {spec}")
        return array

    def _node(self, pair: Any) -> Node:
        """Return the node of a reference to one that was made before."""
        number, index = _several(pair, 2)
        item = self.items[_index(number, self.items)]
        if isinstance(item, Node):
            return [item][_index(index, [item])]
        return item.output(_index(index, item.specs))


@contextlib.contextmanager
def _damaged(where: str) -> Iterator[None]:
    """Have what goes wrong in a ``with`` say in which part of the file."""
    try:
        yield
    except Exception as error:  # an op may be anybody's, and raise what it likes
        detail = error.detail if isinstance(error, OpgraphError) else f"{type(error).__name__}: {error}"
        raise GraphError(f"is damaged at {where}: {detail}") from error


def _field(row: Any, name: str, kind: type[_T]) -> _T:
    """Return an entry of an object, of exactly the type `kind`."""
    value = row.get(name) if isinstance(row, dict) else None
    if type(value) is not kind:
        raise GraphError(f"{_short(row)} has no {name!r} of type {kind.__name__}")
    return value


def _several(value: Any, count: int) -> list[Any]:
    if not isinstance(value, list) or len(value) != count:
        raise GraphError(f"{_short(value)} is no list of {count}")
    return value


def _index(value: Any, of: Sequence[Any]) -> int:
    """Return an index that is in range, where the nodes that were made before are the range."""
    if type(value) is not int or not 0 <= value < len(of):
        raise GraphError(f"it refers to number {_short(value)} of the {len(of)} that come before it")
    return value


def _spec(pair: Any) -> Spec:
    shape, dtype = _several(pair, 2)
    if not isinstance(shape, list) or not isinstance(dtype, str):
        raise GraphError(f"{_short(pair)} is no shape with a dtype")
    return Spec(Shape(shape), dtype)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
