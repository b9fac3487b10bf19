"""Compute once and for all what depends on constants alone."""

from collections.abc import Mapping, Sequence

import numpy as np

from opgraph.op import Array, Arrays, Op
from opgraph.passes.memory import stand_in
from opgraph.passes.views import checked_view
from opgraph.plan import read_only
from opgraph.spec import Spec
from opgraph.stepwise import compute
from opgraph.structure import Step, Structure

FOLDED_BYTES = 1 << 16  # of a result that is larger than what it is computed from


def fold_constants(structure: Structure) -> Structure:
    """Return `structure` with constants in the place of steps that read nothing else.

    A step stays where its kernel raises or gives NaN or infinity, which a run may have to tell; where its result
    is large and larger than its inputs; and where it is a view that is not contiguous, which costs a run nothing.
    """
    specs = structure.specs
    constants = dict(structure.constants)
    folded = dict(structure.folded)
    steps = []
    with np.errstate(all="ignore"):
        for step in structure.steps:
            arrays = _computed(step, constants, specs) if _is_constant(step, constants, specs) else None
            if arrays is None:
                steps.append(step)
                continue
            for value, array in zip(step.outputs, arrays, strict=True):
                constants[value] = read_only(array)
                folded[value] = step
    if len(steps) == len(structure.steps):
        return structure
    return structure.rewritten(steps, {}, constants=constants, folded=folded)


def _is_constant(step: Step, constants: Mapping[int, Array], specs: Sequence[Spec]) -> bool:
    """Whether no run can change what `step` gives."""
    if not step.run:
        return False
    reads_all = type(step.op).shape_only is Op.shape_only
    for i, value in enumerate(step.inputs):
        if value not in constants and (
            reads_all or i not in step.op.shape_only(len(step.inputs)) or not specs[value].shape.is_known
        ):
            return False
    return True


def _computed(step: Step, constants: Mapping[int, Array], specs: Sequence[Spec]) -> Arrays | None:
    """Return what `step` gives, ``None`` where it is to stay."""
    unread = step.op.shape_only(len(step.inputs))
    ins = tuple([stand_in(specs[v]) if i in unread else constants[v] for i, v in enumerate(step.inputs)])
    outs = tuple([specs[v] for v in step.outputs])
    try:
        views = checked_view(step, ins, specs) if step.op.has_view() else None
        if views is not None:
            return views if all(view.flags.c_contiguous for view in views) else None
        room = sum([x.nbytes for i, x in enumerate(ins) if i not in unread])
        if sum([out.nbytes or 0 for out in outs]) > max(room, FOLDED_BYTES):
            return None
        arrays = compute(step, ins, specs)
    except Exception:  # whatever it is, the run raises it too, and says where
        return None
    finite = all(array.dtype.kind not in "fc" or np.isfinite(array).all() for array in arrays)
    return arrays if finite else None
