"""Differentiation: from a graph to the graph of its derivative."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeAlias, get_args, overload
from typing import cast as cast_type

import numpy as np

from opgraph.ambient import at_source
from opgraph.build import as_node, describe_inputs
from opgraph.collection import collection_paused
from opgraph.errors import ArgumentError, GradientError, OpgraphError, Source
from opgraph.graph import constant_in
from opgraph.node import Call, Node, NodeLike, above, describe
from opgraph.op import Elementwise, Op
from opgraph.ops.complexes import real
from opgraph.ops.elementwise import cast
from opgraph.ops.like import broadcast_like, ensure_shape_like, sum_to
from opgraph.recompute import recomputed
from opgraph.signatures import guarded
from opgraph.spec import is_differentiable

Unconnected = Literal["raise", "zeros", "none"]


class _NotGiven:
    """What stands for an argument that nodes require and functions do not."""

    def __repr__(self) -> str:
        return "…"


NOT_GIVEN = _NotGiven()
Key: TypeAlias = Node | tuple[Call, int]


@overload
def grad(
    y: Node,
    xs: Node,
    cotangent: NodeLike | None = None,
    *,
    stopped: Iterable[Node] = (),
    unconnected: Unconnected = "raise",
) -> Node: ...
@overload
def grad(
    y: Node,
    xs: Sequence[Node],
    cotangent: NodeLike | None = None,
    *,
    stopped: Iterable[Node] = (),
    unconnected: Unconnected = "raise",
) -> list[Node]: ...
@overload
def grad(
    y: Callable[..., Any],
    xs: int | Sequence[int] = ...,
    *,
    argnums: int | Sequence[int] = 0,
    unconnected: Unconnected = "raise",
) -> Callable[..., Any]: ...
@guarded
def grad(
    y: Node | Callable[..., Any],
    xs: Any = NOT_GIVEN,
    cotangent: NodeLike | None = None,
    *,
    argnums: int | Sequence[int] = 0,
    stopped: Iterable[Node] = (),
    unconnected: Unconnected = "raise",
) -> Any:
    """Return the gradients of `y` with respect to `xs`: nodes, to be differentiated again at will.

    Of a function of arrays, such as `function` makes, it returns the function that returns its gradient.

    Parameters
    ----------
    y : Node, or function of arrays
        A floating-point or complex node of any shape; a function that returns one of real numbers.
    xs : Node or sequence of Node
        Floating-point or complex nodes; leaves or any others on the way to `y`. Of a function, its `argnums`.
    cotangent : array_like or Node, optional
        What flows into `y`, of its shape; ones by default, which gives the gradient of ``sum(y)``. A complex
        `y` has no default, and a function no other.
    argnums : int or sequence of int
        Of a function, the positions of the arguments, which may be nested tuples, lists and dicts.
    stopped : iterable of Node
        Nodes through which nothing flows back.
    unconnected : {"raise", "zeros", "none"}
        What to do about an x on which `y` does not depend: raise, return zeros, or return ``None``.

    Returns
    -------
    Node or list of Node
        Of the shapes and dtypes of `xs`; a node for a node, a list for a sequence. Of a function, a function that
        takes what `y` takes and returns gradients like the argument, or a tuple for several.

    Raises
    ------
    GradientError
        Where an x or `y` is an integer or boolean, `y` does not depend on an x, or an op on the way has no
        gradient.

    Notes
    -----
    The gradient of a real y by a complex a + ib is ∂y/∂a + i ∂y/∂b, as in PyTorch: the direction in which y
    rises most.
    """
    if not isinstance(y, Node) and callable(y):
        return gradient_function(y, xs, argnums, (cotangent, stopped), False, unconnected)
    if xs is NOT_GIVEN:
        raise ArgumentError("missing a required argument: 'xs'")
    targets = [xs] if isinstance(xs, Node) else _nodes(xs, "xs")
    if not isinstance(y, Node):
        raise GradientError(f"y must be a node, not {y!r}")
    if cotangent is None and y.dtype.kind == "c":
        raise GradientError(f"{describe(y)} is complex; give its cotangent, or differentiate a real function of it")
    found = gradients([y], targets, [cotangent], _nodes(stopped, "stopped"), unconnected)
    # mypy cannot know that only unconnected="none" puts a None in
    grads = cast_type(list[Node], found)
    return grads[0] if isinstance(xs, Node) else grads


def gradient_function(
    f: Callable[..., Any],
    xs: Any,
    argnums: int | Sequence[int],
    of_nodes: tuple[object, Iterable[Node]],
    value_too: bool,
    unconnected: Unconnected,
) -> Any:
    """Return the function that returns the gradients of `f` by the arguments `xs`, or else `argnums`."""
    chosen = argnums if xs is NOT_GIVEN else xs
    numbers = chosen if isinstance(chosen, Sequence) else [chosen]
    if not numbers or not all(type(number) is int and number >= 0 for number in numbers):
        raise ArgumentError(f"argnums is a position from 0, or a sequence of such, not {chosen!r}")
    if of_nodes != (None, ()):
        raise ArgumentError("a function is differentiated with neither cotangent nor stopped; those are for nodes")
    _check_unconnected(unconnected)
    return above.differentiated(f, chosen, value_too, unconnected)


@collection_paused()
def gradients(
    ys: Sequence[Node],
    xs: Sequence[Node],
    cotangents: Sequence[NodeLike | None],
    stopped: Sequence[Node] = (),
    unconnected: Unconnected = "raise",
) -> list[Node | None]:
    """Return the gradients of several `ys` together: the sums over all of them, by each of `xs`.

    As `grad`, which says more, but for the checks of types that front doors make.
    """
    _check_arguments(ys, xs, stopped, unconnected)
    barred = {node.identity for node in stopped}
    calls, reached = _way(xs, ys, barred)
    seeds: dict[Key, Node] = {}
    for y, cotangent in zip(ys, cotangents, strict=True):
        seed = at_source(y, filled, 1, y) if cotangent is None else at_source(y, checked_cotangent, y, cotangent)
        _accumulate(seeds, y, seed)
    found = _backpropagate(seeds, calls, reached, barred)
    missing = {x.identity for x in xs if x.identity not in found}
    connected = _connected(ys, calls, barred) & reached if missing else set()
    return [
        _missing(ys, x, x.identity in connected, unconnected) if x.identity in missing else found[x.identity]
        for x in xs
    ]


def _backpropagate(
    seeds: dict[Key, Node], calls: Sequence[Call], reached: set[Key], barred: set[Key]
) -> dict[Key, Node]:
    """Return the cotangents of those values of `reached` whose gradient is not zero.

    `calls` are those that lead from them to the values that have `seeds`, oldest first.
    """
    cotangents = dict(seeds)
    regions: dict[object, list[Call]] = {}
    for call in calls:
        if call.region is not None:
            regions.setdefault(call.region, []).append(call)
    again: dict[Call, Call] = {}
    for call in reversed(calls):
        received = [None if (call, i) in barred else cotangents.get((call, i)) for i in range(len(call.specs))]
        if all(g is None for g in received):
            continue
        if call.region in regions:
            again.update(recomputed(regions.pop(call.region)))
        for x, g in zip(call.inputs, call_vjp(again.get(call, call), received), strict=True):
            if g is not None and x.identity in reached:
                _accumulate(cotangents, x, g)
    return cotangents


def _accumulate(cotangents: dict[Key, Node], x: Node, g: Node) -> None:
    """Add `g` to the cotangent of `x`."""
    key = x.identity
    cotangents[key] = at_source(x, operator.add, cotangents[key], g) if key in cotangents else g


def _way(xs: Sequence[Node], ys: Sequence[Node], stopped: set[Key]) -> tuple[list[Call], set[Key]]:
    """Return the calls through which a change of some of `xs` reaches some of `ys`, oldest first, and their values."""
    oldest = min((x.serial for x in xs), default=0)
    ancestors: set[Call] = set()
    pending = [y.call for y in ys]
    while pending:
        call = pending.pop()
        if call is not None and call not in ancestors and call.serial >= oldest:
            ancestors.add(call)
            pending += [x.call for x in call.inputs]
    reached = {x.identity for x in xs}
    way = []
    for call in sorted(ancestors, key=lambda c: c.serial):
        unread = call.op.shape_only(len(call.inputs))
        if any(x.identity in reached and i not in unread for i, x in enumerate(call.inputs)):
            way.append(call)
            outputs = ((call, i) for i, spec in enumerate(call.specs) if is_differentiable(spec.dtype))
            reached.update(key for key in outputs if key not in stopped)
    return way, reached


def call_vjp(call: Call, cotangents: Sequence[Node | None]) -> tuple[Node | None, ...]:
    """Return the cotangents of one call's inputs, each of its input's run-time shape and dtype.

    Parameters
    ----------
    call
        The application of an op to differentiate.
    cotangents
        One for each output, ``None`` for zero; those of hidden outputs are.

    Raises
    ------
    GradientError
        Where the op has no `vjp`, or it breaks its contract.
    """
    op = call.op
    try:
        if not op.has_vjp():
            raise GradientError("has no gradient: its op defines no vjp")
        if any(g is not None for g in cotangents[call.visible :]):
            raise GradientError("a hidden output received a cotangent: the vjp of what reads it must return None")
        return at_source(call, _input_cotangents, call, tuple(cotangents), gradient_of=call.gradient_of or call.what)
    except OpgraphError as error:
        line = _line_of_vjp(op, error)
        if error.notes:
            detail = f"{error.detail}, in the vjp of {op.short_name()}"
            raise type(error)(detail, *error.notes[:-1], *line, error.notes[-1]) from error.__cause__
        inputs = "\n  ".join((describe_inputs(op, call.inputs), *line))
        raise error.located(op.short_name(), inputs, call.source) from error.__cause__


def _line_of_vjp(op: Op, error: OpgraphError) -> list[str]:
    """Return what a message says of the line of the op's author that `error` came from, nothing where there is none."""
    code = getattr(type(op).vjp, "__code__", None)
    for raised in filter(None, (error, error.__cause__)):
        traceback = raised.__traceback__
        while traceback is not None:
            if traceback.tb_frame.f_code is code:
                return [f"vjp {Source(code.co_filename, traceback.tb_lineno)}"]
            traceback = traceback.tb_next
    return []


def _input_cotangents(call: Call, cotangents: tuple[Node | None, ...]) -> tuple[Node | None, ...]:
    try:
        found = call.op.vjp(call.inputs, call.outputs, cotangents)
    except OpgraphError:
        raise
    except Exception as error:
        unread = [i for i, g in enumerate(cotangents[: call.visible]) if g is None and "NoneType" in str(error)]
        detail = f"its vjp raised {type(error).__name__}: {error}"
        if unread:
            detail += f"; the cotangent of output {unread[0]} is None: nothing reads that output, so leave its term out"
        raise GradientError(detail) from error
    if not isinstance(found, tuple) or len(found) != len(call.inputs):
        raise GradientError(f"its vjp returned {found!r}, not a tuple of {len(call.inputs)}")
    return tuple(_fitted(call.op, x, g) for x, g in zip(call.inputs, found, strict=True))


def _fitted(op: object, x: Node, g: object) -> Node | None:
    """Return the cotangent `g` summed and cast to what `x` is, ``None`` for an `x` that takes none."""
    if g is None or not is_differentiable(x.dtype):
        return None
    if not isinstance(g, Node):
        raise GradientError(f"its vjp returned a {type(g).__name__} where a node or None belongs")
    if g.graph is not x.graph:
        raise GradientError(f"its vjp returned {describe(g)}, a node of another graph")
    if g.dtype.kind == "c" and x.dtype.kind != "c":
        g = real(g)
    if isinstance(op, Elementwise) and not (g.shape == x.shape and x.shape.is_known):
        g = sum_to(g, x)
    if not g.shape.compatible_with(x.shape):
        raise GradientError(f"its vjp returned shape {g.shape} for an input of shape {x.shape}")
    if not ((g.shape.is_known and x.shape.is_known) or isinstance(op, Elementwise)):
        g = ensure_shape_like(g, x)
    return cast(g, x.dtype)


def filled(number: int, like: Node) -> Node:
    """Return a node of the spec of `like` that holds `number` everywhere."""
    one = constant_in(like.graph, np.array(number, like.dtype))
    return one if like.shape == () else broadcast_like(one, like)


def checked_cotangent(y: Node, cotangent: NodeLike, what: str = "cotangent") -> Node:
    """Return `cotangent` as a node that fits `y`; a message calls it `what`."""
    g = as_node(cotangent)
    if g.graph is not y.graph:
        raise GradientError(f"{what} {describe(g)} is a node of another graph than {describe(y)}")
    if g.dtype.kind == "c" and y.dtype.kind != "c":
        raise GradientError(f"{what} is {g.dtype} for {describe(y)}, which is real")
    if not g.shape.compatible_with(y.shape):
        raise GradientError(f"{what} of shape {g.shape} for {describe(y)}: the shapes must agree")
    return cast(ensure_shape_like(g, y) if None in (*g.shape, *y.shape) else g, y.dtype)


def _connected(ys: Sequence[Node], calls: Sequence[Call], stopped: set[Key]) -> set[Key]:
    """Return the values from which `calls` lead to `ys`; one of them without a cotangent has the gradient zero."""
    connected = {y.identity for y in ys}
    for call in reversed(calls):
        if any((call, i) in connected and (call, i) not in stopped for i in range(len(call.specs))):
            unread = call.op.shape_only(len(call.inputs))
            connected.update(x.identity for i, x in enumerate(call.inputs) if i not in unread)
    return connected


def _missing(ys: Sequence[Node], x: Node, connected: bool, unconnected: Unconnected) -> Node | None:
    """Return what stands for a gradient that is not there: zeros where it is zero, or as the caller wants."""
    if not connected and unconnected == "raise":
        dependent = " or ".join(map(describe, ys))
        raise GradientError(
            f"{dependent} does not depend on {describe(x)}; unconnected='zeros' gives zeros, 'none' gives None"
        )
    return at_source(x, filled, 0, x) if connected or unconnected == "zeros" else None


def _nodes(given: object, what: str) -> list[Node]:
    if isinstance(given, Node) or not isinstance(given, Iterable):
        raise GradientError(f"{what} must be a sequence of nodes, not {given!r}")
    listed = list(given)
    for node in listed:
        if not isinstance(node, Node):
            raise GradientError(f"{what} must hold nodes, not {node!r}")
    return listed


def _check_unconnected(unconnected: str) -> None:
    if unconnected not in get_args(Unconnected):
        raise ArgumentError(f"unconnected={unconnected!r} is none of {', '.join(map(repr, get_args(Unconnected)))}")


def _check_arguments(ys: Sequence[Node], xs: Sequence[Node], stopped: Sequence[Node], unconnected: str) -> None:
    _check_unconnected(unconnected)
    for node, which in [*((x, "x") for x in xs), *((y, "y") for y in ys)]:
        if not is_differentiable(node.dtype):
            hint = "; give a float, 3.0 in the place of 3" if which == "x" and node.call is None else ""
            detail = f"{which} is {describe(node)}; only floating-point and complex values have gradients{hint}"
            raise GradientError(detail)
    for node in (*ys, *xs, *stopped):
        if ys and node.graph is not ys[0].graph:
            raise GradientError(f"{describe(node)} is a node of another graph than {describe(ys[0])}")
