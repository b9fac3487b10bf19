"""From nodes to a document: what a set of fetches and updates needs, as JSON can say it.

Nodes are numbered in the order in which they were made; an output of a call is a pair, the call's number
and the output's. `opgraph.io.decode` reads what is written here.
"""

from collections.abc import Mapping
from typing import Any

from opgraph.errors import ArgumentError
from opgraph.io.attributes import encode_attribute
from opgraph.node import Call, Constant, Key, Node
from opgraph.op import Array, Op
from opgraph.passes.lower import ancestors
from opgraph.registry import distribution_of
from opgraph.spec import Spec
from opgraph.variable import Variable

FORMAT = 1
INLINE_BYTES = 64  # a constant of at most so many stands in the document


def encode(outputs: Mapping[str, Node], updates: Mapping[Variable, Node]) -> tuple[dict[str, Any], dict[int, Array]]:
    """Return the document that describes all that `outputs` and `updates` need, and arrays by node's number.

    The arrays are the larger constants, and the values of the variables that have one, all of one moment.
    """
    roots = [*outputs.values(), *updates, *updates.values()]
    calls, fired = ancestors(roots)
    read = [node for call in calls for node in call.inputs]
    written = [node for update in fired for node in (update.variable, update.value)]
    encoder = _Encoder([*calls, *{node for node in [*roots, *read, *written] if node.call is None}])
    whens = [(update, call) for call in calls for update in call.updates]
    document = {
        "format": FORMAT,
        "ops": encoder.ops(),
        "nodes": encoder.nodes(),
        "outputs": {name: encoder.reference(node) for name, node in outputs.items()},
        "updates": [[encoder.numbers[variable], encoder.reference(node)] for variable, node in updates.items()],
        "attached": [
            [encoder.numbers[call], encoder.numbers[update.variable], encoder.reference(update.value)]
            for update, call in sorted(whens, key=lambda each: each[0].order)
        ],
    }
    return document, encoder.arrays()


class _Encoder:
    """Numbers calls and leaves, and writes them down."""

    def __init__(self, items: list[Node | Call]) -> None:
        self._items = sorted(items, key=lambda item: item.serial)
        self.numbers: dict[Node | Call, int] = {item: i for i, item in enumerate(self._items)}
        self._ops: dict[Op, int] = {}
        calls = [item for item in self._items if isinstance(item, Call)]
        regions = (call.region for call in calls if call.region is not None)
        self._regions = {region: i for i, region in enumerate(dict.fromkeys(regions))}
        self._op_numbers = {call: self._ops.setdefault(call.op, len(self._ops)) for call in calls}

    def reference(self, node: Node) -> list[int]:
        """Return what stands for a node that is an input or a result."""
        return [self.numbers[node.call or node], node.index]

    def ops(self) -> list[dict[str, Any]]:
        """Return each op once, with its attributes."""
        distributions = {op.name: distribution_of(op.name) for op in self._ops}
        return [
            {
                "name": op.name,
                "version": op.version,
                "distribution": distributions[op.name],
                "attributes": _attributes(op),
            }
            for op in self._ops
        ]

    def nodes(self) -> list[dict[str, Any]]:
        """Return calls and leaves."""
        return [self._call(item) if isinstance(item, Call) else _leaf(item) for item in self._items]

    def arrays(self) -> dict[int, Array]:
        """Return the values that do not stand in the document."""
        arrays = {
            number: node.value
            for node, number in self.numbers.items()
            if isinstance(node, Constant) and not _is_inline(node)
        }
        variables = [item for item in self._items if isinstance(item, Variable)]
        if variables:
            for variable, value in zip(variables, variables[0].graph.read_values(variables), strict=True):
                if value is not None:
                    arrays[self.numbers[variable]] = value
        return dict(sorted(arrays.items()))

    def _call(self, call: Call) -> dict[str, Any]:
        return {
            "kind": "call",
            "name": call.name,
            "op": self._op_numbers[call],
            "inputs": [self.reference(node) for node in call.inputs],
            "outputs": [_spec(spec) for spec in call.specs],
            "implicit": call.implicit,
            "region": None if call.region is None else self._regions[call.region],
            "recomputes": call.recomputes,
        }


def _leaf(node: Node) -> dict[str, Any]:
    row = {"kind": node.kind, "name": node.name}
    match node:
        case Key():
            return {**row, "stream": node.stream}
        case Variable():
            return {**row, "spec": _spec(node.spec), "trainable": node.trainable, "slot": node.slot}
        case Constant() if _is_inline(node):
            return {**row, "spec": _spec(node.spec), "data": _little_endian(node.value).tobytes().hex()}
    return {**row, "spec": _spec(node.spec)}


def _is_inline(constant: Constant) -> bool:
    return constant.value.nbytes <= INLINE_BYTES


def _little_endian(array: Array) -> Array:
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _spec(spec: Spec) -> list[Any]:
    return [list(spec.shape), spec.dtype.name]


def _attributes(op: Op) -> dict[str, Any]:
    encoded = {}
    for name, value in op.attributes().items():
        try:
            encoded[name] = encode_attribute(value)
        except TypeError as error:
            detail = (
                f"attribute {name} of {op.name} cannot be saved: {error}; None, bool, int, float, complex, str, "
                "dtype, Shape, and tuples of them can"
            )
            raise ArgumentError(detail) from None
    return encoded
