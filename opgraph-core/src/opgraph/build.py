"""Calls of ops: the one door through which a graph grows."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from opgraph.ambient import current_source, get_ambient
from opgraph.convert import cast_checked, is_weak, natural_array, to_array, weak_dtype
from opgraph.errors import ArgumentError, DtypeError, GraphError, KernelError, OpgraphError, user_source
from opgraph.graph import Graph, constant_in
from opgraph.node import Call, Node, NodeLike, WeakConstant, describe
from opgraph.op import Array, Op, Specs
from opgraph.spec import DtypeLike, Spec, as_dtype, get_default_dtype, how_to_convert, promote_dtypes


def apply(op: Op, *inputs: NodeLike) -> Node:
    """Return the one visible output of `op` on `inputs`, which are nodes or become constants.

    Raises
    ------
    ShapeError, DtypeError, ArgumentError
        What `op.infer` finds wrong with them.
    GraphError
        Where they are nodes of two graphs, or the op has several outputs.
    """
    call = make_call(op, inputs)
    if call.visible != 1:
        detail = f"has {call.visible} outputs; use og.apply_all"
        raise GraphError(detail).located(op.short_name(), describe_inputs(op, call.inputs), call.source)
    return call.output(0)


def apply_all(op: Op, *inputs: NodeLike) -> tuple[Node, ...]:
    """Return all visible outputs of `op` on `inputs`; raises as `apply` does."""
    call = make_call(op, inputs)
    return tuple(call.output(i) for i in range(call.visible))


def make_call(op: Op, inputs: Sequence[NodeLike], title: str = "") -> Call:
    """Add one application of `op` to the graph of its inputs; messages call it `title`, or by the op's name."""
    ambient = get_ambient()
    source = ambient.source or user_source()
    if not isinstance(op, Op):
        raise ArgumentError(f"an op is applied, such as Op(), not {op!r}").located("apply", source=source)
    if not op.name:
        what = type(op).__qualname__
        raise ArgumentError(f"{what} has no name; write class {what}(…, name='me.op')").located("apply", source=source)
    graph = graph_of(*inputs)
    nodes: tuple[Node, ...] = ()
    try:
        nodes = tuple([x if isinstance(x, Node) else constant_in(graph, to_array(x)) for x in inputs])
        if any(n.graph is not graph for n in nodes):
            raise GraphError("nodes of two graphs; carry values over with .val and set_val, or feed them")
        specs = call_specs(op, nodes)
    except OpgraphError as error:
        raise error.located(title or op.short_name(), describe_inputs(op, nodes), source) from error.__cause__
    local_name = op.name.partition(".")[2].removeprefix("_")
    call = Call(graph, op, nodes, specs, graph.unique_name(local_name), source)
    call.region = ambient.region
    call.title = title
    call.gradient_of = ambient.gradient_of
    call.weak = bool(nodes) and nodes[0].weak and op.name != "core.cast" and all(n.weak for n in nodes)
    return call


def describe_inputs(op: Op, nodes: Sequence[Node]) -> str:
    """Return the inputs by name, as a message lists them; a cast's input where the user did not write the cast."""
    names = input_names(op, len(nodes))
    return "; ".join(f"{name}: {describe(_as_written(node))}" for name, node in zip(names, nodes, strict=True))


def _as_written(node: Node) -> Node:
    return node.call.inputs[0] if node.call is not None and node.call.implicit else node


def input_names(op: Op, n: int) -> list[str]:
    """Return the names of `n` inputs, ``xs[0]``, ``xs[1]``… where the last takes any number."""
    names = list(op.inputs)
    if names and names[-1].startswith("*"):
        stem = names.pop()[1:]
        names += [f"{stem}[{i}]" for i in range(n - len(names))]
    return names[:n] + [f"input {i}" for i in range(len(names), n)]


def call_specs(op: Op, nodes: Sequence[Node]) -> Specs:
    """Return the specs of the outputs of `op` on `nodes`; raise what makes the call impossible."""
    _check_arity(op, len(nodes))
    _check_shape_only(op, len(nodes))
    return infer_specs(op, tuple([n.spec for n in nodes]))


def _check_arity(op: Op, n: int) -> None:
    variadic = bool(op.inputs) and op.inputs[-1].startswith("*")
    least = len(op.inputs) - variadic
    if n < least or (n > least and not variadic):
        raise ArgumentError(f"takes {least}{' or more' * variadic} inputs ({', '.join(op.inputs)}), got {n}")


def _check_shape_only(op: Op, n: int) -> None:
    if type(op).shape_only is not Op.shape_only:
        with contract("shape_only"):
            unread = op.shape_only(n)
        if not isinstance(unread, frozenset) or not unread <= frozenset(range(n)):
            raise KernelError(f"its shape_only returned {unread!r}, not a frozenset of some of its {n} inputs' numbers")


@contextlib.contextmanager
def contract(method: str) -> Iterator[None]:
    """Have an exception of an op's own method leave a ``with`` as one that names the method."""
    try:
        yield
    except OpgraphError:
        raise
    except Exception as error:
        raise KernelError(f"its {method} raised {type(error).__name__}: {error}") from error


def infer_specs(op: Op, ins: Specs) -> Specs:
    """Return what `op.infer` says, checked; an exception that is not ours becomes a `KernelError`."""
    with contract("infer"):
        specs = op.infer(ins)
    if not isinstance(specs, tuple) or not all(isinstance(s, Spec) for s in specs) or len(specs) <= op.hidden:
        raise KernelError(f"its infer returned {specs!r}, not a tuple of Specs with a visible output")
    return specs


def check_no_identity(value: NodeLike, what: str) -> None:
    """Raise where `value` is True or False, which is what ``==`` between nodes gives."""
    if value is True or value is False:
        detail = f"takes values, not {value}: == on nodes tells whether they are one node, og.equal compares values"
        raise DtypeError(detail).located(what, source=user_source())


def as_node(value: NodeLike, dtype: DtypeLike = None) -> Node:
    """Return `value` as a node, of `dtype` where that is given; an array or number becomes a constant."""
    wanted = None if dtype is None else as_dtype(dtype)
    if isinstance(value, Node):
        return value if wanted is None else value.astype(wanted)
    return constant_in(get_ambient().graph, to_array(value, wanted))


def as_node_fitting(value: NodeLike, dtype: DtypeLike, graph: Graph) -> Node:
    """Return `value` as a node of `dtype`; a constant goes into `graph`.

    Raises
    ------
    DtypeError
        Where a fraction, an imaginary part or a sign would be lost.
    """
    wanted = as_dtype(dtype)
    if not isinstance(value, Node):
        return constant_in(graph, to_array(value, wanted))
    if not np.can_cast(value.dtype, wanted, "same_kind"):
        raise DtypeError(f"{value.dtype} does not go into {wanted}; {how_to_convert(value.dtype, wanted)}")
    return value.astype(wanted)


def graph_of(*values: NodeLike) -> Graph:
    """Return the graph of the first of `values` that is a node, the default graph where none is."""
    return next((x.graph for x in values if isinstance(x, Node)), get_ambient().graph)


def promote(
    *values: NodeLike, floating: bool = False, what: str = "promote", graph: Graph | None = None
) -> tuple[Node, ...]:
    """Return `values` as nodes of one dtype, with casts where they differ.

    An int with a float takes the float's dtype. Arrays keep their dtype, Python numbers and lists are
    weak (NEP 50): they take that of the others.

    Parameters
    ----------
    floating
        Whether integers and booleans become the default float when nothing else decides.
    what
        The operation that a message names.
    graph
        Where constants go; that of the first of `values` that is a node, by default.

    Raises
    ------
    DtypeError
        For what is no number, and for a Python number that the common dtype cannot represent.
    """
    nodes = [v for v in values if isinstance(v, Node)]
    settled = len(nodes) == len(values) and all(n.dtype is nodes[0].dtype and not n.weak for n in nodes)
    if settled and nodes and (nodes[0].dtype.kind in "fc" or not floating):
        return tuple(nodes)
    try:
        operands = [v if isinstance(v, Node) else natural_array(v, large=True) for v in values]
        weak = [v.weak if isinstance(v, Node) else is_weak(v) for v in values]
        graph = graph or graph_of(*values)
        if nodes and all(weak):
            return tuple([_weakly(x, operands, floating, graph) for x in operands])
        common = _common_dtype(operands, weak)
        if floating and common.kind in "biu":
            common = get_default_dtype()
        return tuple(
            _cast(x, common) if isinstance(x, Node) else constant_in(graph, cast_checked(x, common)) for x in operands
        )
    except OpgraphError as error:
        raise error.located(what, source=current_source()) from error.__cause__


def _weakly(operand: Node | Array, operands: Sequence[Node | Array], floating: bool, graph: Graph) -> Node:
    """Return one of several `operands` that are all weak, in a dtype as wide as that of Python's numbers."""
    common = promote_dtypes(*[x.dtype if x.dtype.kind != "O" else np.dtype(np.int64) for x in operands])
    if floating and common.kind in "biu":
        common = np.dtype(np.float64)
    if not isinstance(operand, Node):
        return constant_in(graph, cast_checked(operand, common), kind=WeakConstant)
    if operand.dtype == common:
        return operand
    cast = _cast(operand, common)
    if cast.call is not None:
        cast.call.weak = True
    return cast


def _cast(node: Node, dtype: np.dtype[Any]) -> Node:
    cast = node.astype(dtype)
    if cast is not node and cast.call is not None:
        cast.call.implicit = True
    return cast


def _common_dtype(operands: Sequence[Node | Array], weak: Sequence[bool]) -> np.dtype[Any]:
    strong = [x.dtype for x, is_weak in zip(operands, weak, strict=True) if not is_weak]
    taken = [weak_dtype(x.dtype.kind, *strong) for x, is_weak in zip(operands, weak, strict=True) if is_weak]
    return promote_dtypes(*strong, *taken)
