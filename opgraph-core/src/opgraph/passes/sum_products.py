"""Compute a sum of products of matrices, or of sums, as one.

The gradient of what every step of an unrolled loop reads is the sum of what each step adds to it.
"""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple

from opgraph.op import Op
from opgraph.ops.arithmetic import Add
from opgraph.ops.shape import Reshape, Transpose
from opgraph.passes.stacking import BYTE, CALL, FEWEST, Draft, Stacking
from opgraph.spec import known_shape
from opgraph.structure import Step

SMALL = 1 << 13  # bytes of each operand: products of more are as fast alone, and need not have all operands at once
PRODUCT = 1.0  # microseconds that a small product takes beyond its work


class Sum(NamedTuple):
    """A sum of which some terms are alike.

    Attributes
    ----------
    adds
        The additions, that first which gives the sum.
    alike
        The steps that make such terms, in sets of which each can be had at once.
    rest
        The other terms.
    """

    adds: list[Step]
    alike: list[list[Step]]
    rest: list[int]


def find_sums(at: Stacking) -> Iterator[Sum]:
    """Return the sums of products and of sums, no part of which anything else needs."""
    if sum(isinstance(step.op, Add) for step in at.steps) < FEWEST - 1:
        return
    uses = Counter([value for step in at.steps for value in step.inputs])
    uses.update(at.structure.fetches)
    uses.update([value for _, value in at.structure.updates])
    inner: set[int] = set()
    for root in reversed(at.steps):
        if isinstance(root.op, Add) and root.run and root.outputs[0] not in inner:
            spec = at.specs[root.outputs[0]]
            adds, terms = _added(at, root, uses)
            inner.update([step.outputs[0] for step in adds])
            alike: dict[Hashable, list[Step]] = {}
            for value in terms:
                step = at.makers.get(value)
                if step is not None and uses[value] == 1 and at.specs[value] == spec and _adds_up(at, step):
                    alike.setdefault((step.op, *[at.specs[v] for v in step.inputs]), []).append(step)
            chosen = [steps for steps in alike.values() if len(steps) >= FEWEST]
            if chosen:
                gone = {step.outputs[0] for steps in chosen for step in steps}
                yield Sum(adds, chosen, [value for value in terms if value not in gone])


def _added(at: Stacking, root: Step, uses: Counter[int]) -> tuple[list[Step], list[int]]:
    """Return the additions that lead to `root` and nowhere else, and what they add up."""
    spec = at.specs[root.outputs[0]]
    adds, terms, pending = [], [], [root]
    while pending:
        step = pending.pop()
        adds.append(step)
        for value in step.inputs:
            maker = at.makers.get(value)
            if maker is not None and isinstance(maker.op, Add) and uses[value] == 1 and at.specs[value] == spec:
                pending.append(maker)
            else:
                terms.append(value)
    return adds, terms


def sum_at_once(at: Stacking, found: Sum) -> None:
    """Put one step in the place of each set of terms that are alike, if that pays and can be."""
    root = found.adds[0]
    nbytes = at.specs[root.outputs[0]].nbytes or 0
    draft = Draft(at, root)
    *made, last = [_as_one(draft, at.ordered(steps, range(len(steps[0].inputs)))) for steps in found.alike]
    saved = sum(len(steps) - 1 for steps in found.alike) * (PRODUCT + CALL + 3 * BYTE * nbytes)
    if saved < draft.cost:
        return
    op, inputs = last
    for value in [draft.add_one(op, *inputs) for op, inputs in made] + found.rest:
        op, inputs = Add(), (draft.add_one(op, *inputs), value)
    draft.add(op, inputs, root.outputs)
    at.insert(draft, [step for steps in (found.adds, *found.alike) for step in steps])


def _adds_up(at: Stacking, step: Step) -> bool:
    """Whether a sum of steps like this can be had as one."""
    if step.recomputes or step.region or not step.run:
        return False
    op: Any = step.op
    specs = [at.specs[value] for value in step.inputs]
    if op.name == "core.matmul":
        fits = all(spec.ndims == 2 for spec in specs)
    else:
        fits = op.name == "core.reduce_sum" and not op.keepdims
    return fits and all((spec.nbytes or 0) <= SMALL for spec in specs)


def _as_one(draft: Draft, steps: Sequence[Step]) -> tuple[Op, tuple[int, ...]]:
    """Return the op whose output of these inputs is the sum of what `steps` make."""
    columns = list(zip(*[step.inputs for step in steps], strict=True))
    op: Any = steps[0].op
    if len(columns) == 1:
        axes = op.normal_axes(draft.spec(columns[0][0]))
        return type(op)((0, *[axis + 1 for axis in axes])), (draft.stacked(columns[0]),)
    x, y = draft.stacked_transposed(columns[0]), draft.stacked(columns[1])
    left, right = (
        draft.add_one(Reshape((count * inner, size)), value)
        for value in (x, y)
        for count, inner, size in [known_shape(draft.spec(value).shape)]
    )
    return op, (draft.add_one(Transpose((1, 0)), left), right)
