"""Steps computed one at a time, outside of any plan."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from opgraph.errors import KernelError
from opgraph.op import Array, Arrays
from opgraph.spec import Spec, known_shape
from opgraph.structure import Step, Structure


def compute(step: Step, ins: Arrays, specs: Sequence[Spec]) -> Arrays:
    """Return what the op's own kernel makes of `ins`, in new memory; raises what the kernel raises.

    Parameters
    ----------
    specs
        Those of all values, whose sizes are known.
    """
    outs = tuple([specs[value] for value in step.outputs])
    made = tuple(map(new_array, outs))
    scratch = tuple(map(new_array, step.op.scratch(tuple([specs[value] for value in step.inputs]), outs)))
    kernel: Callable[..., object] = step.op.compute
    with np.errstate(all="ignore"):
        if kernel(ins, made, *([scratch] if scratch else [])) is not None:
            raise KernelError("its kernel returned something; it must fill its outputs instead")
    return made


def find_culprit(structure: Structure, step: Step, specs: Sequence[Spec], arrays: list[Any]) -> Step | None:
    """Return the first of those that `step` does at once whose kernel raises, None where none is found to.

    Parameters
    ----------
    arrays
        The values, None for those that are in no memory of their own; what the one that is found reads is put there.
    """
    for member in step.members:
        try:
            for maker in _makers_of_missing(structure, member.inputs, arrays):
                for value, array in zip(maker.outputs, compute(maker, _read(maker, specs, arrays), specs), strict=True):
                    arrays[value] = array
        except Exception:  # of any kind: what failed has been told
            return None
        try:
            compute(member, _read(member, specs, arrays), specs)
        except Exception:  # of any kind: it is told in the words of what failed
            return member
    return None


def new_array(spec: Spec) -> Array:
    """Return an array of `spec`, whose sizes are known, that holds rubbish."""
    return np.empty(known_shape(spec.shape), spec.dtype)


def _makers_of_missing(structure: Structure, values: Iterable[int], arrays: Sequence[Any]) -> list[Step]:
    """Return the steps that make those of `values` which are in no memory, and what these need, in their order."""
    makers: dict[int, Step] = {}
    left = list(values)
    while left:
        value = left.pop()
        maker = structure.maker(value)
        if arrays[value] is None and maker is not None and maker.outputs[0] not in makers:
            makers[maker.outputs[0]] = maker
            left += [maker.inputs[i] for i in maker.reads()]
    return [step for step in structure.steps if step.outputs[0] in makers]


def _read(step: Step, specs: Sequence[Spec], arrays: Sequence[Any]) -> Arrays:
    """Return the inputs of `step`; of those that are read for their shape alone, it is right and no more."""
    reads = step.reads()
    return tuple([arrays[v] if i in reads else new_array(specs[v]) for i, v in enumerate(step.inputs)])
