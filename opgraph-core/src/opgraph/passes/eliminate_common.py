"""Compute once what would be computed several times."""

from collections.abc import Hashable, Mapping
from dataclasses import replace

from opgraph.op import Array
from opgraph.structure import Step, Structure

CONSTANT_BYTES = 1 << 20  # larger constants are told apart by their memory, which costs nothing


def eliminate_common(structure: Structure) -> Structure:
    """Return `structure` without the steps that compute what an earlier one does: an equal op of the same values.

    What a gradient computes again is left alone, and so is a function that it would compute again: shared with
    others, its values would be kept for as long as these need them.
    """
    replaced = _equal_leaves(structure)
    steps: list[Step] = []
    places: dict[Hashable, int] = {}
    for step in structure.steps:
        reading = step.reading(replaced) if replaced else step
        if not step.recomputes:
            op = step.op
            # most ops have no attributes, and their classes hash faster than they do
            at = places.setdefault((op if vars(op) else type(op), reading.inputs, step.region), len(steps))
            if at < len(steps):
                kept = steps[at]
                replaced.update(zip(step.outputs, kept.outputs, strict=True))
                if step.run and not kept.run:
                    steps[at] = replace(kept, run=True)
                continue
        steps.append(reading)
    return structure.rewritten(steps, replaced) if replaced else structure


def _equal_leaves(structure: Structure) -> dict[int, int]:
    """Return, of keys of one stream and of constants of equal bits, the later ones with the first."""
    leaves: Mapping[int, Hashable] = {
        **structure.keys,
        **{value: _identity(array) for value, array in structure.constants.items()},
    }
    first: dict[Hashable, int] = {}
    return {value: first[identity] for value, identity in leaves.items() if first.setdefault(identity, value) != value}


def _identity(array: Array) -> Hashable:
    if array.nbytes > CONSTANT_BYTES:
        return array.ctypes.data, array.shape, array.strides, array.dtype
    return array.tobytes(), array.shape, array.dtype
