"""Drop the steps that nothing needs, and run none for its shape alone."""

from dataclasses import replace

from opgraph.op import Op
from opgraph.passes.dims import broadcasts
from opgraph.structure import Step, Structure


def prune(structure: Structure) -> Structure:
    """Return `structure` with the steps, constants and keys that its results need.

    A step whose outputs are read for their shape alone stays, to be inferred, but is not run; and so does one
    that nothing reads, where other passes left it, while its sizes may turn out not to go together in a run.
    """
    read = structure.results
    shaped: set[int] = set()
    kept = []
    for step in reversed(structure.steps):
        runs = not read.isdisjoint(step.outputs)
        if runs:
            if type(step.op).shape_only is Op.shape_only:
                read.update(step.inputs)
            else:
                unread = step.op.shape_only(len(step.inputs))
                read.update([value for i, value in enumerate(step.inputs) if i not in unread])
                shaped.update([step.inputs[i] for i in unread])
        elif not shaped.isdisjoint(step.outputs) or _may_raise(step, structure):
            shaped.update(step.inputs)
        else:
            continue
        kept.append(step if step.run == runs else replace(step, run=runs))
    needed = read | shaped
    return replace(
        structure,
        steps=tuple(reversed(kept)),
        constants={value: array for value, array in structure.constants.items() if value in needed},
        keys={value: stream for value, stream in structure.keys.items() if value in needed},
    )


def _may_raise(step: Step, structure: Structure) -> bool:
    """Whether to infer the step's shapes may raise in a run: sizes known by now have been seen to go together."""
    shapes = [structure.specs[value].shape for value in step.inputs]
    if step.op.name in _CHECKING_NOTHING or all(shape.is_known for shape in shapes):
        return False
    if step.op.name == "core.broadcast_like":
        return any(n != 1 for n in shapes[0])
    # what has one element broadcasts to everything
    wide = sum(any(n != 1 for n in shape) for shape in shapes)
    return not (broadcasts(step.op) and wide < 2)


# ops for which the number of dimensions, which is always known, is all that counts
_CHECKING_NOTHING = frozenset(
    f"core.{name}"
    for name in ("count", "expand_dims", "identity", "reduce_mean", "reduce_sum", "stop_gradient", "transpose")
)
