"""What `backward` runs: a node with the gradients of all that flows into it, compiled."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from opgraph.ambient import at_source
from opgraph.autodiff import gradients
from opgraph.compiled import Compiler
from opgraph.derived import Made, derive
from opgraph.errors import GradientError
from opgraph.executable import Executable
from opgraph.graph import placeholder
from opgraph.node import Node, Placeholder, describe
from opgraph.spec import is_differentiable


class Backward(NamedTuple):
    """What computes the value of a node and its gradients, which go by names; and the placeholder of `bwval`."""

    executable: Executable
    names: tuple[str, ...]
    cotangent: Placeholder | None

    @classmethod
    def of(
        cls, node: Node, wrt: Sequence[Node] | None, stopped: Sequence[Node], ones: bool, compiler: Compiler
    ) -> "Backward":
        """Return that of `node` by `wrt`, or by all that flows into it."""
        fed_in = None if ones else at_source(node, placeholder, node.shape, node.dtype, f"bwval of {node.name}")
        targets = _flowing_into(node) if wrt is None else list(wrt)
        nodes = [node, *targets, *stopped, *([] if fed_in is None else [fed_in])]
        kind = "backward", len(targets), len(stopped), wrt is None
        make = functools.partial(_differentiated, len(targets), len(stopped), wrt is not None)
        executable, _, found = derive(kind, nodes, make, compiler)
        return cls(executable, tuple([targets[at].name for at in found]), fed_in)


def _differentiated(targets: int, stopped: int, chosen: bool, nodes: Sequence[Node]) -> Made:
    """Return a node with its gradients, and which of the targets these belong to.

    `nodes` are the node, as many targets, as many nodes through which nothing flows, and perhaps a cotangent.
    """
    node, xs, rest = nodes[0], nodes[1 : targets + 1], nodes[targets + 1 :]
    found = gradients([node], xs, rest[stopped:] or [None], rest[:stopped], unconnected="none")
    pairs = [(at, g) for at, g in enumerate(found) if g is not None]
    if chosen and len(pairs) < targets:
        missing = next(x for x, g in zip(xs, found, strict=True) if g is None)
        raise GradientError(f"{describe(node)} does not depend on {describe(missing)}")
    return Made([node, *(g for _, g in pairs)], {}, tuple([at for at, _ in pairs]))


def _flowing_into(node: Node) -> list[Node]:
    """Return `node` and its ancestors, those of them that have gradients, oldest first."""
    found: dict[Any, Node] = {node.identity: node}
    pending = [node]
    while pending:
        call = pending.pop().call
        for x in call.inputs if call is not None else ():
            if x.identity not in found:
                found[x.identity] = x
                pending.append(x)
    return [x for x in sorted(found.values(), key=lambda n: n.serial) if is_differentiable(x.dtype)]
