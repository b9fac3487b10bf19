"""What stands on gradients: products with Jacobians and Hessians, and the matrices themselves.

All take nodes and return nodes. A derivative by a complex value is one by its real and its imaginary part, with
the inner product Re(sum(conj(a) * b)).
"""

from collections.abc import Iterable, Sequence
from typing import Any, overload
from typing import cast as cast_type

from opgraph.autodiff import Unconnected, filled, grad, gradients
from opgraph.errors import GradientError, placing, user_source
from opgraph.graph import at_source
from opgraph.node import Node, NodeLike, describe

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
def value_and_grad(
    y: Node,
    xs: Node | Several,
    cotangent: NodeLike | None = None,
    *,
    stopped: Iterable[Node] = (),
    unconnected: Unconnected = "raise",
) -> tuple[Node, Node | list[Node]]:
    """Return `y` and its gradients with respect to `xs`, which one run computes; takes what `grad` takes."""
    return y, grad(y, xs, cotangent, stopped=stopped, unconnected=unconnected)


@overload
def vjp(ys: Node | Several, xs: Node, cotangents: NodeLike | Sequence[NodeLike]) -> Node: ...
@overload
def vjp(ys: Node | Several, xs: Several, cotangents: NodeLike | Sequence[NodeLike]) -> list[Node]: ...
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
    with placing("vjp", user_source()):
        outputs, inputs = _listed(ys, "ys"), _listed(xs, "xs")
        given = _matched(ys, cotangents, "cotangents")
        found = cast_type(list[Node], gradients(outputs, inputs, given, unconnected="zeros"))
    return found[0] if isinstance(xs, Node) else found


@overload
def jvp(ys: Node, xs: Node | Several, tangents: NodeLike | Sequence[NodeLike]) -> Node: ...
@overload
def jvp(ys: Several, xs: Node | Several, tangents: NodeLike | Sequence[NodeLike]) -> list[Node]: ...
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
    with placing("jvp", user_source()):
        outputs, inputs = _listed(ys, "ys"), _listed(xs, "xs")
        given = _matched(xs, tangents, "tangents")
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
    with placing("hvp", user_source()):
        inputs, given = _listed(xs, "xs"), _matched(xs, vectors, "vectors")
        _check_scalar(y)
        firsts = gradients([y], inputs, [None], unconnected="zeros")
        # the Hessian is its own transpose
        found = cast_type(list[Node], gradients(cast_type(list[Node], firsts), inputs, given, unconnected="zeros"))
    return found[0] if isinstance(xs, Node) else found


def _listed(nodes: Node | Several, what: str) -> list[Node]:
    listed = [nodes] if isinstance(nodes, Node) else list(nodes)
    for node in listed:
        if not isinstance(node, Node):
            raise GradientError(f"{what} are nodes, not {node!r}")
    if not listed:
        raise GradientError(f"{what} must hold a node at least")
    return listed


def _matched(nodes: Node | Several, values: NodeLike | Sequence[NodeLike], what: str) -> list[NodeLike]:
    """Return `values` listed, one for each of `nodes`, which they must fit."""
    # one bare value for one bare node, whatever it is
    listed: list[Any] = [values] if isinstance(nodes, Node) else list(cast_type(Sequence[Any], values))
    wanted = [nodes] if isinstance(nodes, Node) else list(nodes)
    if len(listed) != len(wanted):
        raise GradientError(f"{what} must be as many as the nodes they belong to, {len(wanted)}, not {len(listed)}")
    return listed


def _check_scalar(y: Node) -> None:
    if not isinstance(y, Node) or y.shape != () or y.dtype.kind != "f":
        raise GradientError(f"y must be a real scalar, not {describe(y) if isinstance(y, Node) else repr(y)}")
