"""Which values are views of others, and which of these are the others themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from opgraph.build import contract
from opgraph.errors import KernelError, OpgraphError
from opgraph.op import Array, Arrays
from opgraph.passes.memory import array_over, new_memory, rounded, stand_in
from opgraph.plan import Environment, Step, Structure
from opgraph.spec import Spec


class Views(NamedTuple):
    """Which values of a structure are views.

    Attributes
    ----------
    structure
        The structure without the views that show all of a value as it is: the value stands for them.
    owners
        Of each value that is a view, those whose memory it may lie in, at the end of its chain of views.
    offsets
        How many bytes into its owner's memory a view begins, and its strides, where it has one owner.
    """

    structure: Structure
    owners: Mapping[int, frozenset[int]]
    offsets: Mapping[int, tuple[int, tuple[int, ...]]]


def find_views(structure: Structure, specs: Sequence[Spec]) -> Views:
    """Return which values are views: ops are asked with stand-ins laid out as the real arrays will be."""
    memory = new_memory(max((rounded(spec) for spec in specs), default=0))
    arrays: dict[int, Array] = {}
    owners: dict[int, frozenset[int]] = {}
    offsets: dict[int, tuple[int, tuple[int, ...]]] = {}
    same: dict[int, int] = {}
    steps = []
    start = _address(memory)
    for step in structure.steps:
        step = step.reading(same)
        if step.run and step.op.has_view():
            unread = step.op.shape_only(len(step.inputs))
            read = [v for i, v in enumerate(step.inputs) if i not in unread]
            for value in read:
                if value not in arrays:
                    arrays[value] = array_over(memory, 0, specs[value])
            ins = tuple([stand_in(specs[v]) if i in unread else arrays[v] for i, v in enumerate(step.inputs)])
            found = checked_view(step, ins, specs)
            if found is not None:
                if len(found) == len(read) == 1 and _is_same(found[0], arrays[read[0]]):
                    same[step.outputs[0]] = read[0]
                    continue
                for value, array in zip(step.outputs, found, strict=True):
                    arrays[value] = array
                    owners[value] = frozenset().union(*(owners.get(v, (v,)) for v in read))
                    if len(owners[value]) == 1 and array.size:
                        offsets[value] = _address(array) - start, array.strides
        steps.append(step)
    if same:
        structure = replace(
            structure,
            steps=tuple(steps),
            fetches=tuple([same.get(v, v) for v in structure.fetches]),
            updates=tuple([(variable, same.get(v, v)) for variable, v in structure.updates]),
        )
    return Views(structure, owners, offsets)


def set_views(step: Step, specs: Sequence[Spec], arrays: Environment) -> None:
    """Put the views that `step` makes of `arrays` among them; an error is left unplaced."""
    unread = step.op.shape_only(len(step.inputs))
    ins = tuple([stand_in(specs[v]) if i in unread else arrays[v] for i, v in enumerate(step.inputs)])
    views = _checked_view(step, ins, specs)
    if views is None:
        raise KernelError("its view returned None where it gave a view of the same layout before")
    for value, view in zip(step.outputs, views, strict=True):
        arrays[value] = view


def checked_view(step: Step, ins: Arrays, specs: Sequence[Spec]) -> Arrays | None:
    """Return the outputs of `step` as views of `ins`, or ``None`` where they must be computed."""
    try:
        return _checked_view(step, ins, specs)
    except OpgraphError as error:
        raise error.located(step.what, source=step.source) from error.__cause__


def _checked_view(step: Step, ins: Arrays, specs: Sequence[Spec]) -> Arrays | None:
    with contract("view"):
        views = step.op.view(ins)
    if views is not None:
        found = [(v.shape, v.dtype) if isinstance(v, np.ndarray) else type(v) for v in views]
        if found != [(specs[value].shape, specs[value].dtype) for value in step.outputs]:
            said = [specs[value] for value in step.outputs]
            raise KernelError(f"its view returned {found} where infer said {said}")
        if not all(v.size == 0 or any(np.may_share_memory(v, x) for x in ins) for v in views):
            raise KernelError("its view returned memory of its own; return None to have the outputs computed")
    return views


def _is_same(view: Array, array: Array) -> bool:
    return (
        view.shape == array.shape
        and view.strides == array.strides
        and view.dtype == array.dtype
        and _address(view) == _address(array)
    )


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
