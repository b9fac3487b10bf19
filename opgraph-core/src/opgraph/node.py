"""Nodes, the values of a graph, and the calls that make them."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, NoReturn, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from opgraph.errors import DtypeError, NoValueError, ReadOnlyError, Source, UnknownOpError, user_source
from opgraph.hints import way_to
from opgraph.op import Array, Op, Specs
from opgraph.signatures import guarded
from opgraph.spec import DtypeLike, Shape, Spec

if TYPE_CHECKING:
    from opgraph.graph import Graph
    from opgraph.variable import Variable

_serials = itertools.count()


def next_serial() -> int:
    """Return a number larger than all before: of two nodes, the one made later has the larger."""
    return next(_serials)


class _Above:
    """What nodes and graphs need from the layers above, which fill it in when they are imported."""

    function: Callable[[str], Callable[..., Node]]
    flat_names: Callable[[], list[str]]
    make_runtime: Callable[[], Any]
    save_variables: Callable[..., str]
    load_variables: Callable[..., Any]
    differentiated: Callable[..., Any]


above = _Above()

_write = object.__setattr__


class Node:
    """One value of a graph.

    Nodes compare and hash by identity, so that they serve as keys; arithmetic on them makes new nodes. What
    they are never changes: their attributes are read-only.

    Attributes
    ----------
    spec : Spec
        The static shape, ``None`` where a size is unknown, and the dtype.
    name : str
        Unique in the graph.
    graph : Graph
    call : Call or None
        What makes the value; None for placeholders, variables, constants and keys.
    index : int
        Which of the call's outputs this is.
    source : Source or None
        The user's line that made it.
    """

    __slots__ = ("__weakref__", "call", "graph", "index", "name", "serial", "source", "spec")

    __array_priority__ = 1000

    kind: ClassVar[str] = "node"

    graph: Graph
    spec: Spec
    name: str
    source: Source | None
    serial: int
    call: Call | None
    index: int

    def __init__(
        self,
        graph: Graph,
        spec: Spec,
        name: str,
        source: Source | None,
        serial: int,
        call: Call | None = None,
        index: int = 0,
    ) -> None:
        _write(self, "graph", graph)
        _write(self, "spec", spec)
        _write(self, "name", name)
        _write(self, "source", source)
        _write(self, "serial", serial)
        _write(self, "call", call)
        _write(self, "index", index)

    # not properties, which would make every read slower
    def __setattr__(self, attribute: str, value: object) -> None:
        if attribute in Node.__slots__:
            way = "; it takes one where it is made, with name=…" if attribute == "name" else ""
            raise ReadOnlyError(f"{describe(self)} keeps its {attribute}{way}", str(user_source() or ""))
        _write(self, attribute, value)

    @property
    def shape(self) -> Shape:
        """The static shape."""
        return self.spec.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype."""
        return self.spec.dtype

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.spec.shape)

    @property
    def identity(self) -> Node | tuple[Call, int]:
        """What tells the value from others: a leaf, or a call and index, since the nodes of outputs come and go."""
        return self if self.call is None else (self.call, self.index)

    @property
    def weak(self) -> bool:
        """Whether it takes the dtype of what it meets, as the numbers of Python do that a traced function is given."""
        return self.call is not None and self.call.weak

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The inputs of the call that makes this node; empty for a leaf."""
        return self.call.inputs if self.call is not None else ()

    def __repr__(self) -> str:
        return f"<{describe(self)}{self._remark()}>"

    def _remark(self) -> str:
        """Return what a representation adds to what messages call the node."""
        return ""

    def __call__(self, feeds: Mapping[Node, Any] | None = None) -> Array:
        """Run the graph's `RunTime` for this node's value."""
        return self.graph.get_runtime().run(self, feeds)  # type: ignore[no-any-return]  # the layer above

    @guarded
    def forward(self, feed_dict: Mapping[Node, Any] | None = None) -> Array:
        """Return the node's value, computed by the graph's `RunTime`.

        In a cycle (`RunTime.forward_backward_cycle`) a value is computed once, placeholders that were fed
        before need not be fed again, and updates wait for its end.

        Parameters
        ----------
        feed_dict
            Values by placeholder; those that the node does not need are left alone.

        Returns
        -------
        array
            Fresh and writable. `RunTime.get_fwval` gives it again.

        Raises
        ------
        FeedError
            For a value that is missing, does not fit, or differs from the one fed earlier in the cycle.
        """
        return self.graph.get_runtime().forward(self, feed_dict)  # type: ignore[no-any-return]  # the layer above

    @guarded
    def backward(
        self,
        feed_dict: Mapping[Node, Any] | None = None,
        bwval: ArrayLike | None = None,
        wrt: Node | Sequence[Node] | None = None,
    ) -> None:
        """Compute the gradients of the node, to be read with `RunTime.get_bwval` by name.

        In a cycle it shares feeds, random numbers and updates with the other calls; after a `forward` that was
        handed the same `feed_dict` object it continues that one's step.

        Parameters
        ----------
        feed_dict
            Values by placeholder; those that the node does not need are left alone.
        bwval
            The gradient that flows into the node, of its shape; ones by default.
        wrt
            With respect to what; by default every floating-point node that flows into this one.

        Raises
        ------
        GradientError
            Where the node does not depend on one of `wrt`, or an op on the way has no gradient.
        FeedError
            For a value that is missing, does not fit, or differs from the one fed earlier in the cycle.
        """
        self.graph.get_runtime().backward(self, feed_dict, bwval, wrt)

    def __bool__(self) -> bool:
        raise self._unsupported("has no truth value before it is run; run it, then test the array")

    def __iter__(self) -> Iterator[Node]:
        raise self._unsupported("cannot be iterated over; og.unstack takes it apart along an axis")

    def __len__(self) -> int:
        raise self._unsupported("has no len(); ask for .shape[0], which is None where unknown")

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        raise self._unsupported("is no array before it is run; run it, or use the functions of opgraph on it")

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> NoReturn:
        raise self._unsupported_by(f"{function.__module__}.{function.__name__}")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Node:
        operator = _OPERATORS.get(ufunc)
        # ``array + node`` comes here; ``node + array``, and all that has no array on its left, does not
        if operator is not None and method == "__call__" and not kwargs and not isinstance(inputs[0], Node):
            return above.function(operator)(*inputs)
        if ufunc in (np.equal, np.not_equal):
            raise self._unsupported(f"is compared by identity; og.{ufunc.__name__}(x, y) compares values")
        if "out" in kwargs:
            raise self._unsupported("does not go into an array before it is run; write y = array + x, not array += x")
        raise self._unsupported_by(f"numpy.{ufunc.__name__}")

    def __getattr__(self, attribute: str) -> NoReturn:
        # what protocols look for, and what is not there yet
        if attribute.startswith("_") or attribute in (*Node.__slots__, *type(self).__slots__):
            raise AttributeError(attribute)
        hint = way_to(attribute, above.flat_names(), "(x)")
        raise UnknownOpError(f"{describe(self)} has no attribute {attribute!r}{hint}", str(user_source() or ""))

    def __contains__(self, value: object) -> NoReturn:
        raise self._unsupported("cannot be searched before it is run; run it, then search the array")

    def __setitem__(self, key: object, value: object) -> NoReturn:
        raise self._unsupported("never changes; x.at[key].set(value) makes a node that differs there")

    def __delitem__(self, key: object) -> NoReturn:
        raise self._unsupported("never changes; og.concat joins the parts that are to stay")

    def __int__(self) -> int:
        raise self._unsupported("is no number before it is run; run it first")

    def __float__(self) -> float:
        raise self._unsupported("is no number before it is run; run it first")

    def __complex__(self) -> complex:
        raise self._unsupported("is no number before it is run; run it first")

    def __index__(self) -> int:
        raise self._unsupported("is no integer before it is run; run it first")

    def __format__(self, spec: str) -> str:
        if spec:
            raise self._unsupported(f"has no value to format as {spec!r} before it is run; run it first")
        return str(self)

    def __reduce__(self) -> Any:
        raise self._unsupported("belongs to its graph and cannot be copied or pickled; its value can")

    def _unsupported(self, what: str) -> NoValueError:
        return NoValueError(f"{describe(self)} {what}", str(user_source() or ""))

    def _unsupported_by(self, function: str) -> NoValueError:
        hint = way_to(function.rpartition(".")[2], above.flat_names()) or "; run it first"
        return self._unsupported(f"cannot go into {function}{hint}")

    def __add__(self, other: NodeLike) -> Node:
        return above.function("core.add")(self, other)

    def __radd__(self, other: NodeLike) -> Node:
        return above.function("core.add")(other, self)

    def __sub__(self, other: NodeLike) -> Node:
        return above.function("core.subtract")(self, other)

    def __rsub__(self, other: NodeLike) -> Node:
        return above.function("core.subtract")(other, self)

    def __mul__(self, other: NodeLike) -> Node:
        return above.function("core.multiply")(self, other)

    def __rmul__(self, other: NodeLike) -> Node:
        return above.function("core.multiply")(other, self)

    def __truediv__(self, other: NodeLike) -> Node:
        return above.function("core.divide")(self, other)

    def __rtruediv__(self, other: NodeLike) -> Node:
        return above.function("core.divide")(other, self)

    def __matmul__(self, other: NodeLike) -> Node:
        return above.function("core.matmul")(self, other)

    def __rmatmul__(self, other: NodeLike) -> Node:
        return above.function("core.matmul")(other, self)

    def __pow__(self, other: NodeLike) -> Node:
        return above.function("core.power")(self, other)

    def __rpow__(self, other: NodeLike) -> Node:
        return above.function("core.power")(other, self)

    def __floordiv__(self, other: NodeLike) -> Node:
        return above.function("core.floor_divide")(self, other)

    def __rfloordiv__(self, other: NodeLike) -> Node:
        return above.function("core.floor_divide")(other, self)

    def __mod__(self, other: NodeLike) -> Node:
        return above.function("core.remainder")(self, other)

    def __rmod__(self, other: NodeLike) -> Node:
        return above.function("core.remainder")(other, self)

    def __divmod__(self, other: NodeLike) -> tuple[Node, Node]:
        return self.__floordiv__(other), self.__mod__(other)

    def __rdivmod__(self, other: NodeLike) -> tuple[Node, Node]:
        return self.__rfloordiv__(other), self.__rmod__(other)

    def _refuse_shift(self, other: object) -> NoReturn:
        detail = f"{describe(self)} has no bits to shift; x * 2**n shifts to the left, x // 2**n to the right"
        raise DtypeError(detail, str(user_source() or ""))

    __lshift__ = __rlshift__ = __rshift__ = __rrshift__ = _refuse_shift

    def __and__(self, other: NodeLike) -> Node:
        return above.function("core.logical_and")(self, other)

    def __rand__(self, other: NodeLike) -> Node:
        return above.function("core.logical_and")(other, self)

    def __or__(self, other: NodeLike) -> Node:
        return above.function("core.logical_or")(self, other)

    def __ror__(self, other: NodeLike) -> Node:
        return above.function("core.logical_or")(other, self)

    def __xor__(self, other: NodeLike) -> Node:
        return above.function("core.logical_xor")(self, other)

    def __rxor__(self, other: NodeLike) -> Node:
        return above.function("core.logical_xor")(other, self)

    def __invert__(self) -> Node:
        return above.function("core.logical_not")(self)

    # identity, since nodes serve as keys; but nobody who writes ``node == 0`` means that
    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if isinstance(other, Node) or not isinstance(other, int | float | complex | np.generic | np.ndarray):
            return False
        raise self._unsupported(f"is compared by identity; og.equal({self.name}, …) compares its values")

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = object.__hash__

    def __lt__(self, other: NodeLike) -> Node:
        return above.function("core.less")(self, other)

    def __le__(self, other: NodeLike) -> Node:
        return above.function("core.less_equal")(self, other)

    def __gt__(self, other: NodeLike) -> Node:
        return above.function("core.greater")(self, other)

    def __ge__(self, other: NodeLike) -> Node:
        return above.function("core.greater_equal")(self, other)

    def __neg__(self) -> Node:
        return above.function("core.negative")(self)

    def __pos__(self) -> Node:
        return self

    def __abs__(self) -> Node:
        return above.function("core.abs")(self)

    def __round__(self, ndigits: int | None = None) -> Node:
        return above.function("core.round")(self, ndigits or 0)

    def __getitem__(self, key: Any) -> Node:
        return above.function("core.getitem")(self, key)

    @property
    def at(self) -> At:
        """Places in the node: ``x.at[key].set(value)`` and ``x.at[key].add(value)`` make new nodes."""
        return At(self)

    @property
    def T(self) -> Node:  # NumPy's name
        """The node with its dimensions in reverse order."""
        return above.function("core.transpose")(self)

    def reshape(self, *shape: Any) -> Node:
        """Return the node in another shape; one size may be -1."""
        listed = len(shape) == 1 and isinstance(shape[0], Sequence)
        return above.function("core.reshape")(self, shape[0] if listed else shape)

    @guarded
    def sum(self, axis: Any = None, keepdims: bool = False) -> Node:
        """Return the sum over `axis`."""
        return above.function("core.reduce_sum")(self, axis, keepdims)

    @guarded
    def mean(self, axis: Any = None, keepdims: bool = False) -> Node:
        """Return the mean over `axis`."""
        return above.function("core.reduce_mean")(self, axis, keepdims)

    @guarded
    def prod(self, axis: Any = None, keepdims: bool = False) -> Node:
        """Return the product over `axis`."""
        return above.function("core.reduce_prod")(self, axis, keepdims)

    @guarded
    def max(self, axis: Any = None, keepdims: bool = False) -> Node:
        """Return the greatest element over `axis`."""
        return above.function("core.reduce_max")(self, axis, keepdims)

    @guarded
    def min(self, axis: Any = None, keepdims: bool = False) -> Node:
        """Return the least element over `axis`."""
        return above.function("core.reduce_min")(self, axis, keepdims)

    @guarded
    def var(self, axis: Any = None, keepdims: bool = False, ddof: int = 0) -> Node:
        """Return the variance over `axis`."""
        return above.function("core.reduce_variance")(self, axis, keepdims, ddof)

    @guarded
    def std(self, axis: Any = None, keepdims: bool = False, ddof: int = 0) -> Node:
        """Return the standard deviation over `axis`."""
        return above.function("core.reduce_std")(self, axis, keepdims, ddof)

    @guarded
    def any(self, axis: Any = None, keepdims: bool = False) -> Node:
        """Return whether any boolean over `axis` is true."""
        return above.function("core.reduce_any")(self, axis, keepdims)

    @guarded
    def all(self, axis: Any = None, keepdims: bool = False) -> Node:
        """Return whether all booleans over `axis` are true."""
        return above.function("core.reduce_all")(self, axis, keepdims)

    @guarded
    def argmax(self, axis: Any = None, keepdims: bool = False) -> Node:
        """Return where the greatest element is along `axis`, flattened by default."""
        return above.function("core.argmax")(self, axis, keepdims)

    @guarded
    def argmin(self, axis: Any = None, keepdims: bool = False) -> Node:
        """Return where the least element is along `axis`, flattened by default."""
        return above.function("core.argmin")(self, axis, keepdims)

    @guarded
    def cumsum(self, axis: Any = None) -> Node:
        """Return the sums up to each element along `axis`, flattened by default."""
        return above.function("core.cumsum")(self, axis)

    @guarded
    def astype(self, dtype: DtypeLike) -> Node:
        """Return the node in another dtype, itself where it has that one already."""
        return above.function("core.cast")(self, dtype)


# the ufuncs that stand for operators with an array on the left
_OPERATORS = {
    np.add: "core.add",
    np.subtract: "core.subtract",
    np.multiply: "core.multiply",
    np.divide: "core.divide",
    np.matmul: "core.matmul",
    np.power: "core.power",
    np.floor_divide: "core.floor_divide",
    np.remainder: "core.remainder",
    np.bitwise_and: "core.logical_and",
    np.bitwise_or: "core.logical_or",
    np.bitwise_xor: "core.logical_xor",
    np.less: "core.less",
    np.less_equal: "core.less_equal",
    np.greater: "core.greater",
    np.greater_equal: "core.greater_equal",
}

NodeLike: TypeAlias = Node | ArrayLike


class At:
    """The places of a node, ``x.at``, of which a key chooses some: ``x.at[1:]``."""

    __slots__ = ("_node",)

    def __init__(self, node: Node) -> None:
        self._node = node

    def __getitem__(self, key: Any) -> Place:
        return Place(self._node, key)

    def __getattr__(self, attribute: str) -> NoReturn:
        if attribute.startswith("_"):
            raise AttributeError(attribute)
        detail = f"x.at has no {attribute!r} without a key; write x.at[key].set(value) or x.at[key].add(value)"
        raise UnknownOpError(detail, str(user_source() or ""))


class Place:
    """Some places of a node, to make another node that differs in them."""

    __slots__ = ("_key", "_node")

    def __init__(self, node: Node, key: Any) -> None:
        self._node = node
        self._key = key

    def set(self, value: NodeLike) -> Node:
        """Return the node with `value`, which broadcasts, in these places."""
        return above.function("core.set_at")(self._node, self._key, value)

    def add(self, value: NodeLike) -> Node:
        """Return the node with `value`, which broadcasts, added in these places."""
        return above.function("core.add_at")(self._node, self._key, value)

    def __getattr__(self, attribute: str) -> NoReturn:
        if attribute.startswith("_"):
            raise AttributeError(attribute)
        way = "set and add alone; x.at[key].set(x[key] * y), for example, multiplies"
        raise UnknownOpError(f"x.at[key] has no {attribute!r}, but {way}", str(user_source() or ""))

    def _refuse(self, other: object) -> NoReturn:
        detail = "x.at[key] has no value; x[key] is what stands there, x.at[key].add(y) adds to it in a new node"
        raise NoValueError(detail, str(user_source() or ""))

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse
    __pow__ = __rpow__ = __matmul__ = __rmatmul__ = _refuse


class Update(NamedTuple):
    """`variable` takes `value` when the call that holds this runs; `order` settles who comes first."""

    order: int
    variable: Variable
    value: Node


class Call:
    """One application of an op: its inputs, and where the user wrote it.

    Outputs are held weakly and made again when asked for, so that a graph nobody holds is freed.
    """

    __slots__ = (
        "__weakref__",
        "_outputs",
        "gradient_of",
        "graph",
        "implicit",
        "inputs",
        "name",
        "op",
        "recomputes",
        "region",
        "serial",
        "source",
        "specs",
        "title",
        "updates",
        "weak",
    )

    def __init__(
        self, graph: Graph, op: Op, inputs: tuple[Node, ...], specs: Specs, name: str, source: Source | None
    ) -> None:
        self.graph = graph
        self.op = op
        self.inputs = inputs
        self.specs = specs
        self.name = name
        self.source = source
        self.serial = next_serial()
        self.updates: tuple[Update, ...] = ()
        # made by opgraph, between what the user wrote and the op it goes into
        self.implicit = False
        # what messages call it where that is not the op's own name, and the op whose gradient it is part of
        self.title = ""
        self.gradient_of = ""
        # of calls that a gradient computes again, and whether this is one computed again
        self.region: object | None = None
        self.recomputes = False
        # of what is computed from nothing but weak values
        self.weak = False
        self._outputs: list[weakref.ref[Node] | None] = [None] * len(specs)

    def output(self, index: int) -> Node:
        """Return the node of one output, the same for as long as somebody holds it."""
        with self.graph._lock:
            ref = self._outputs[index]
            node = ref() if ref is not None else None
            if node is None:
                name = f"{self.name}:{index}" if index else self.name
                node = Node(self.graph, self.specs[index], name, self.source, self.serial, self, index)
                self._outputs[index] = weakref.ref(node)
        return node

    @property
    def outputs(self) -> tuple[Node, ...]:
        """All outputs, the hidden ones too."""
        return tuple(self.output(i) for i in range(len(self.specs)))

    @property
    def what(self) -> str:
        """What messages call it."""
        return self.title or self.op.short_name()

    @property
    def visible(self) -> int:
        """How many outputs are not hidden."""
        return len(self.specs) - self.op.hidden

    def __repr__(self) -> str:
        return f"<call {self.name!r}: {self.op!r} of ({', '.join(node.name for node in self.inputs)})>"


class Placeholder(Node):
    """A value that is fed at run time."""

    __slots__ = ()
    kind = "placeholder"


class WeakPlaceholder(Placeholder):
    """A number of Python that is fed."""

    __slots__ = ()
    weak = True


class Constant(Node):
    """A value that never changes; `value` is a read-only array of its own."""

    __slots__ = ("value",)
    kind = "constant"

    value: Array

    def _remark(self) -> str:
        return f" = {self.value.item()}" if self.value.size == 1 else ""


class WeakConstant(Constant):
    """A number of Python that meets no other than such."""

    __slots__ = ()
    weak = True


class Key(Node):
    """The seed of random numbers: different in every run, the same all through one.

    Its value, four uint64, is made of the run time's seed, the `stream` number that the graph gave it,
    and the run's step; `og.generator` turns it into a NumPy generator.
    """

    __slots__ = ("stream",)
    kind = "key"

    stream: int


def describe(node: Node) -> str:
    """Return what a message calls a node: ``placeholder 'images' (None, 784) float32``."""
    kind = node.call.what if node.call is not None else node.kind
    return f"{kind} {node.name!r} {node.spec}"
