"""What stands on gradients: products with Jacobians and Hessians, and the matrices themselves.

All take nodes and return nodes. A derivative by a complex value is one by its real and its imaginary part, with
the inner product Re(sum(conj(a) * b)).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, overload
from typing import cast as cast_type

import numpy as np

from opgraph.ambient import at_source
from opgraph.autodiff import NOT_GIVEN, Unconnected, checked_cotangent, filled, grad, gradient_function, gradients
from opgraph.errors import GradientError, ShapeError
from opgraph.graph import constant_in
from opgraph.node import Node, NodeLike, describe
from opgraph.op import Array
from opgraph.ops.join import stack
from opgraph.ops.shape import reshape
from opgraph.signatures import guarded
from opgraph.spec import known_shape

Several = Sequence[Node]


@overload
def value_and_grad(
    y: Node,
    xs: Node,
    cotangent: NodeLike | None = None,
    *,
    stopped: Iterable[Node] = (),
    unconnected: Unconnected = "raise",
) -> tuple[Node, Node]: ...
@overload
def value_and_grad(
    y: Node,
    xs: Several,
    cotangent: NodeLike | None = None,
    *,
    stopped: Iterable[Node] = (),
    unconnected: Unconnected = "raise",
) -> tuple[Node, list[Node]]: ...
@overload
def value_and_grad(
    y: Callable[..., Any],
    xs: int | Sequence[int] = ...,
    *,
    argnums: int | Sequence[int] = 0,
    unconnected: Unconnected = "raise",
) -> Callable[..., tuple[Any, Any]]: ...
@guarded
def value_and_grad(
    y: Node | Callable[..., Any],
    xs: Any = NOT_GIVEN,
    cotangent: NodeLike | None = None,
    *,
    argnums: int | Sequence[int] = 0,
    stopped: Iterable[Node] = (),
    unconnected: Unconnected = "raise",
) -> Any:
    """Return `y` and its gradients with respect to `xs`, which one run computes; takes what `grad` takes.

    Of a function of arrays it returns the function that returns both: ``og.value_and_grad(f)(x)`` is ``(f(x), its
    gradient by x)``. Of what is no scalar the gradient is that of its sum.
    """
    if not isinstance(y, Node) and callable(y):
        return gradient_function(y, xs, argnums, (cotangent, stopped), True, unconnected)
    return y, grad(y, xs, cotangent, stopped=stopped, unconnected=unconnected)


@overload
def vjp(ys: Node | Several, xs: Node, cotangents: NodeLike | Sequence[NodeLike]) -> Node: ...
@overload
def vjp(ys: Node | Several, xs: Several, cotangents: NodeLike | Sequence[NodeLike]) -> list[Node]: ...
@guarded
def vjp(ys: Node | Several, xs: Node | Several, cotangents: NodeLike | Sequence[NodeLike]) -> Node | list[Node]:
    """Return the product of cotangents with the Jacobian of `ys` by `xs`: transposed(J) @ cotangents.

    Parameters
    ----------
    ys, xs : Node or sequence of Node
        Floating-point or complex nodes of any shapes.
    cotangents : array_like or Node, or a sequence of as many as there are `ys`
        Each of the shape of its y.

    Returns
    -------
    Node or list of Node
        Of the shapes of `xs`: a node for a node, a list for a sequence. Zeros where nothing depends on an x.

    Raises
    ------
    GradientError
        Where shapes, dtypes or numbers do not go together, or an op on the way has no gradient.
    """
    outputs, inputs = _listed(ys, "ys"), _listed(xs, "xs")
    given = _matched(ys, cotangents, "cotangents")
    found = cast_type(list[Node], gradients(outputs, inputs, given, unconnected="zeros"))
    return found[0] if isinstance(xs, Node) else found


@overload
def jvp(ys: Node, xs: Node | Several, tangents: NodeLike | Sequence[NodeLike]) -> Node: ...
@overload
def jvp(ys: Several, xs: Node | Several, tangents: NodeLike | Sequence[NodeLike]) -> list[Node]: ...
@guarded
def jvp(ys: Node | Several, xs: Node | Several, tangents: NodeLike | Sequence[NodeLike]) -> Node | list[Node]:
    """Return the product of the Jacobian of `ys` by `xs` with tangents: the derivative along a direction, J @ tangents.

    It is the gradient of the gradient by its cotangent, in which it is linear (J. Townsend, "A new trick for
    calculating Jacobian vector products", 2017); what only the cotangent's value would need is not run.

    Parameters
    ----------
    ys, xs : Node or sequence of Node
        Floating-point or complex nodes of any shapes.
    tangents : array_like or Node, or a sequence of as many as there are `xs`
        Each of the shape of its x.

    Returns
    -------
    Node or list of Node
        Of the shapes of `ys`: a node for a node, a list for a sequence. Zeros for a y that depends on no x.

    Raises
    ------
    GradientError
        Where shapes, dtypes or numbers do not go together, or an op on the way has no gradient.
    """
    outputs, inputs = _listed(ys, "ys"), _listed(xs, "xs")
    given = _fitting(inputs, _matched(xs, tangents, "tangents"), "tangent")
    directions = [at_source(y, filled, 0, y) for y in outputs]
    pulled = gradients(outputs, inputs, directions, unconnected="none")
    pairs = [(g, tangent) for g, tangent in zip(pulled, given, strict=True) if g is not None]
    backs, along = [g for g, _ in pairs], [tangent for _, tangent in pairs]
    found = cast_type(list[Node], gradients(backs, directions, along, unconnected="zeros"))
    return found[0] if isinstance(ys, Node) else found


@overload
def hvp(y: Node, xs: Node, vectors: NodeLike) -> Node: ...
@overload
def hvp(y: Node, xs: Several, vectors: Sequence[NodeLike]) -> list[Node]: ...
@guarded
def hvp(y: Node, xs: Node | Several, vectors: NodeLike | Sequence[NodeLike]) -> Node | list[Node]:
    """Return the product of the Hessian of a real scalar `y` by `xs` with vectors, without forming the Hessian.

    Parameters
    ----------
    y : Node, ()
    xs : Node or sequence of Node
    vectors : array_like or Node, or a sequence of as many as there are `xs`
        Each of the shape of its x.

    Returns
    -------
    Node or list of Node
        Of the shapes of `xs`: a node for a node, a list for a sequence.

    Raises
    ------
    GradientError
        Where `y` is no real scalar, shapes or numbers do not go together, or an op on the way has no gradient.
    """
    inputs = _listed(xs, "xs")
    given = _fitting(inputs, _matched(xs, vectors, "vectors"), "vector")
    _check_scalar(y)
    firsts = gradients([y], inputs, [None], unconnected="zeros")
    # the Hessian is its own transpose
    found = cast_type(list[Node], gradients(cast_type(list[Node], firsts), inputs, given, unconnected="zeros"))
    return found[0] if isinstance(xs, Node) else found


@overload
def jacobian(y: Node, xs: Node) -> Node: ...
@overload
def jacobian(y: Node, xs: Several) -> list[Node]: ...
@guarded
def jacobian(y: Node, xs: Node | Several) -> Node | list[Node]:
    """Return the derivatives of each element of `y` by each element of `xs`.

    Built row by row, or column by column where `y` has more elements than x: the graph grows by the smaller
    of the two numbers. `vjp` and `jvp` give products with the matrix without building it.

    Parameters
    ----------
    y : Node, (…y)
    xs : Node, (…x), or sequence of Node
        Real, all sizes known.

    Returns
    -------
    Node, (…y, …x), or list of Node
        Zeros for an x on which `y` does not depend.

    Raises
    ------
    ShapeError
        Where a size is not known.
    GradientError
        Where a node is not real, or an op on the way has no gradient.
    """
    inputs = _listed(xs, "xs")
    (output,) = _listed(y, "y")
    found = [_matrix(output, x) for x in inputs]
    return found[0] if isinstance(xs, Node) else found


@overload
def hessian(y: Node, xs: Node) -> Node: ...
@overload
def hessian(y: Node, xs: Several) -> list[list[Node]]: ...
@guarded
def hessian(y: Node, xs: Node | Several) -> Node | list[list[Node]]:
    """Return the second derivatives of a real scalar `y` by each two elements of `xs`.

    `hvp` gives products with the matrix without building it.

    Parameters
    ----------
    y : Node, ()
    xs : Node, (…x), or sequence of Node
        Real, all sizes known.

    Returns
    -------
    Node, (…x, …x), or list of lists of Node
        For a sequence, entry [i][j] has the shapes of ``xs[i]`` and ``xs[j]``, one after the other.

    Raises
    ------
    ShapeError
        Where a size is not known.
    GradientError
        Where `y` is no real scalar, an x is not real, or an op on the way has no gradient.
    """
    inputs = _listed(xs, "xs")
    _check_scalar(y)
    firsts = cast_type(list[Node], gradients([y], inputs, [None], unconnected="zeros"))
    found = [[_matrix(g, x) for x in inputs] for g in firsts]
    return found[0][0] if isinstance(xs, Node) else found


def _matrix(y: Node, x: Node) -> Node:
    """Return the derivatives of `y` by `x`: (…y, …x)."""
    for node, which in ((x, "x"), (y, "y")):
        if node.dtype.kind == "c":
            raise GradientError(f"{which} is {describe(node)}; take the parts of complex values")
        if not node.shape.is_known:
            raise ShapeError(
                f"{which} is {describe(node)}; the sizes of both must be known; "
                "give its placeholder a shape without None; og.vjp and og.jvp, products with the matrix, need no sizes"
            )
    shape = (*y.shape, *x.shape)
    rows, columns = _units(y), _units(x)
    if len(rows) <= len(columns):
        parts = [gradients([y], [x], [row], unconnected="zeros")[0] for row in rows]
        axis = 0
    else:
        direction = at_source(y, filled, 0, y)
        (back,) = cast_type(list[Node], gradients([y], [x], [direction], unconnected="zeros"))
        parts = [gradients([back], [direction], [column], unconnected="zeros")[0] for column in columns]
        axis = -1
    if not parts:
        return constant_in(y.graph, np.zeros(shape, x.dtype))
    return at_source(y, _stacked, parts, axis, shape)


def _units(node: Node) -> list[Array]:
    """Return the arrays of the shape of `node` that are 1 in one place."""
    shape = known_shape(node.shape)
    size = math.prod(shape)
    return list(np.eye(size, dtype=node.dtype).reshape(size, *shape))


def _stacked(parts: Sequence[Node], axis: int, shape: tuple[int, ...]) -> Node:
    return reshape(stack(parts, axis), shape)


def _listed(nodes: Node | Several, what: str) -> list[Node]:
    if not isinstance(nodes, Iterable):  # which a node is too
        raise GradientError(f"{what} are nodes, not {nodes!r}")
    listed = [nodes] if isinstance(nodes, Node) else list(nodes)
    for node in listed:
        if not isinstance(node, Node):
            raise GradientError(f"{what} are nodes, not {node!r}")
    if not listed:
        raise GradientError(f"{what} must hold a node at least")
    return listed


def _matched(nodes: Node | Several, values: NodeLike | Sequence[NodeLike], what: str) -> list[NodeLike]:
    """Return `values` listed, one for each of `nodes`, which they must fit."""
    if not isinstance(nodes, Node) and (isinstance(values, Node | str) or not isinstance(values, Iterable)):
        raise GradientError(f"{what} must be a sequence, one for each of the nodes, not {values!r}")
    # one bare value for one bare node, whatever it is
    listed: list[Any] = [values] if isinstance(nodes, Node) else list(cast_type(Sequence[Any], values))
    wanted = [nodes] if isinstance(nodes, Node) else list(nodes)
    if len(listed) != len(wanted):
        raise GradientError(f"{what} must be as many as the nodes they belong to, {len(wanted)}, not {len(listed)}")
    if any(value is None for value in listed):
        raise GradientError(f"{what} must hold values, not None")
    return listed


def _fitting(nodes: Sequence[Node], values: Sequence[NodeLike], what: str) -> list[Node]:
    """Return `values` as nodes that fit `nodes`; a message calls each `what`."""
    return [at_source(x, checked_cotangent, x, value, what) for x, value in zip(nodes, values, strict=True)]


def _check_scalar(y: Node) -> None:
    if not isinstance(y, Node) or y.shape != () or y.dtype.kind != "f":
        raise GradientError(f"y must be a real scalar, not {describe(y) if isinstance(y, Node) else repr(y)}")
