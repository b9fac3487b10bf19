"""What `backward` runs: a node with the gradients of all that flows into it, compiled."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from opgraph.ambient import at_source
from opgraph.autodiff import gradients
from opgraph.compiled import Compiler
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
        targets = _flowing_into(node) if wrt is None else wrt
        found = gradients([node], targets, [fed_in], stopped, unconnected="none")
        pairs = [(x.name, g) for x, g in zip(targets, found, strict=True) if g is not None]
        if wrt is not None and len(pairs) < len(wrt):
            missing = next(x for x, g in zip(targets, found, strict=True) if g is None)
            raise GradientError(f"{describe(node)} does not depend on {describe(missing)}")
        return cls(Executable.of([node, *(g for _, g in pairs)], {}, compiler), tuple(n for n, _ in pairs), fed_in)


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
