"""Compute at once what is computed many times over on small values.

The steps of a loop that was unrolled do the same to other values, and where these are small most of their time
is that of the calls. Those that do not depend on each other become one: of the values stacked.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence, Set
from dataclasses import replace

from opgraph.errors import KernelError
from opgraph.op import Op
from opgraph.ops.join import Unstack
from opgraph.passes.stacking import CALL, FEWEST, Draft, Stacking, batch_op
from opgraph.passes.sum_products import find_sums, sum_at_once
from opgraph.spec import Spec
from opgraph.structure import Step, Structure

SMALL = 1 << 13  # bytes of what each of them makes
READ = 1 << 13  # and of what each of them reads: the work of more takes longer than the calls
MOST = 64  # sets of like steps that are looked at


def batch(structure: Structure, specs: Sequence[Spec]) -> tuple[Structure, list[Spec]]:
    """Return `structure`, whose values have the known `specs`, with one step in the place of many.

    An op says by `Op.batch` how it works on stacks of what it works on. What is no more needed than for its sum is
    not made at all.
    """
    at = Stacking(structure, specs)
    sums = list(find_sums(at))
    apart = {step.outputs[0] for each in sums for steps in (each.adds, *each.alike) for step in steps}
    for members in _alike(at, apart):
        for steps in _independent(at, members):
            if len(steps) >= FEWEST and at.work > 0:
                _merge(at, steps)
    # products first: the values of the way there, which they read, were made in the order of a loop's turns
    for each in sorted(sums, key=lambda each: -len(each.alike[0][0].inputs)):
        if at.work > 0:
            sum_at_once(at, each)
    return at.result()


def _alike(at: Stacking, apart: Set[int]) -> list[list[Step]]:
    """Return sets of steps of one op and of inputs of the same specs, those first that begin first.

    Steps whose outputs are fetched, go into variables or are to be had `apart` are in none.
    """
    left = at.structure.results | apart
    alike: dict[Hashable, list[Step]] = {}
    for step in at.steps:
        if not step.run or type(step.op).batch is Op.batch or step.recomputes or step.region:
            continue
        if all((at.specs[value].nbytes or 0) <= SMALL and value not in left for value in step.outputs):
            specs = tuple([at.specs[value] for value in step.inputs])
            alike.setdefault((step.op, specs), []).append(step)
    found = [sharing for steps in alike.values() if len(steps) >= FEWEST for sharing in _sharing(steps)]
    order = {step.outputs[0]: i for i, step in enumerate(at.steps)}
    return sorted(sorted(found, key=len)[-MOST:], key=lambda members: order[members[0].outputs[0]])


def _sharing(steps: Sequence[Step]) -> Iterable[list[Step]]:
    """Return `steps` in sets, those that share an operand with enough others apart from the rest."""
    counts = [Counter(values) for values in zip(*[step.inputs for step in steps], strict=True)]
    sets: dict[Hashable, list[Step]] = {}
    for step in steps:
        shared = [v if count[v] >= FEWEST else None for v, count in zip(step.inputs, counts, strict=True)]
        sets.setdefault(tuple(shared), []).append(step)
    return [members for members in sets.values() if len(members) >= FEWEST]


def _independent(at: Stacking, members: Sequence[Step]) -> Iterable[list[Step]]:
    """Return `members` in sets, those in one of which do not depend on each other."""
    at.work -= len(at.steps)
    left = {step.outputs[0] for step in members}
    sets: list[list[Step]] = []
    depths: dict[int, int] = {}  # of values that depend on members: on how many in a row
    for step in at.steps:
        depth = 0
        if depths and not depths.keys().isdisjoint(step.inputs):
            depth = max([depths.get(value, 0) for value in step.inputs])
        if step.outputs[0] in left:
            left.remove(step.outputs[0])
            if depth == len(sets):
                sets.append([])
            sets[depth].append(step)
            depth += 1
        if depth:
            depths.update(dict.fromkeys(step.outputs, depth))
        if not left:
            break
    return sets


def _merge(at: Stacking, steps: list[Step]) -> None:
    """Put one step in the place of `steps`, if that pays and can be."""
    ins = [at.specs[value] for value in steps[0].inputs]
    columns = list(zip(*[step.inputs for step in steps], strict=True))
    batched = frozenset(i for i, values in enumerate(columns) if len(set(values)) > 1)
    if not batched or any((ins[i].nbytes or 0) > READ for i in batched):
        return
    larger = batch_op(steps[0], ins, batched)
    if larger is None:
        batched = frozenset(range(len(ins)))
        larger = batch_op(steps[0], ins, batched)
    if larger is None:
        return
    steps = at.ordered(steps, sorted(batched))
    draft = Draft(at, steps[0])
    columns = list(zip(*[step.inputs for step in steps], strict=True))
    inputs = [draft.stacked(values) if i in batched else values[0] for i, values in enumerate(columns)]
    if CALL * (len(steps) - 1) < draft.cost:
        return
    outputs = draft.add(larger, inputs)
    draft.steps[-1] = replace(draft.steps[-1], members=tuple(steps))
    for values, whole in zip(zip(*[step.outputs for step in steps], strict=True), outputs, strict=True):
        entry = at.specs[values[0]]
        if draft.spec(whole) != entry.with_shape((len(steps), *entry.shape)):
            detail = f"its batch returned {larger!r}, which makes {draft.spec(whole)} and not {len(steps)} of {entry}"
            raise KernelError(detail).located(steps[0].what, source=steps[0].source)
        draft.add(Unstack(len(steps)), [whole], values)
        draft.steps[-1] = replace(draft.steps[-1], members=tuple(steps))  # whose names the values have
    at.insert(draft, steps)
