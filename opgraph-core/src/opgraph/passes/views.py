"""Which values are views of others, and which of these are the others themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from opgraph.build import contract
from opgraph.errors import KernelError, OpgraphError
from opgraph.op import Array, Arrays
from opgraph.passes.memory import address, array_over, new_memory, rounded, stand_in
from opgraph.plan import Environment
from opgraph.spec import Spec, normalize_axis
from opgraph.structure import Step, Structure


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
    joined
        Of each value that is nothing but others one after the other, these: they are made where it is to be.
    """

    structure: Structure
    owners: Mapping[int, frozenset[int]]
    offsets: Mapping[int, tuple[int, tuple[int, ...]]]
    joined: Mapping[int, tuple[int, ...]]


def find_views(structure: Structure, specs: Sequence[Spec], join: bool) -> Views:
    """Return which values are views: ops are asked with stand-ins laid out as the real arrays will be.

    Parameters
    ----------
    join
        Whether a value may be made where it is to be a part of another one.
    """
    memory = new_memory(max((rounded(spec) for spec in specs), default=0))
    arrays: dict[int, Array] = {}
    owners: dict[int, frozenset[int]] = {}
    offsets: dict[int, tuple[int, tuple[int, ...]]] = {}
    same: dict[int, int] = {}
    steps = []
    start = address(memory)
    joints = _Joints(structure, specs)
    for step in structure.steps:
        step = step.reading(same)
        if join and joints.take(step):
            (value,) = step.outputs
            arrays[value] = array_over(memory, 0, specs[value])
            owners[value] = frozenset(step.inputs)
        elif step.run and step.op.has_view():
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
                        offsets[value] = address(array) - start, array.strides
        if step.run and step.outputs[0] not in owners:
            joints.computed.update(step.outputs)
        steps.append(step)
    if same:
        structure = replace(
            structure,
            steps=tuple(steps),
            fetches=tuple([same.get(v, v) for v in structure.fetches]),
            updates=tuple([(variable, same.get(v, v)) for variable, v in structure.updates]),
        )
    return Views(structure, owners, offsets, joints.joined)


class _Joints:
    """Tells which stacks and concatenations need not be computed, because their parts can be made in their memory.

    Attributes
    ----------
    computed
        The values that steps fill, so far.
    joined
        As in `Views`.
    """

    def __init__(self, structure: Structure, specs: Sequence[Spec]) -> None:
        self.specs = specs
        self.computed: set[int] = set()
        self.joined: dict[int, tuple[int, ...]] = {}
        self._taken = {value for _, value in structure.updates}  # which may be written where variables are

    def take(self, step: Step) -> bool:
        """Whether the output of `step` is one of them."""
        op: Any = step.op
        if not step.run or step.op.name not in _JOINING:
            return False
        (value,) = step.outputs
        spec, parts = self.specs[value], set(step.inputs)
        fits = (
            len(parts) == len(step.inputs)
            and not normalize_axis(op.axis, spec.ndims)
            and parts <= self.computed
            and parts.isdisjoint(self._taken)
            and all(self.specs[part].dtype == spec.dtype and self.specs[part].nbytes for part in parts)
        )
        if fits:
            self.joined[value] = step.inputs
            self._taken |= parts
        return fits


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


_JOINING = ("core.concat", "core.stack")


def _is_same(view: Array, array: Array) -> bool:
    return (
        view.shape == array.shape
        and view.strides == array.strides
        and view.dtype == array.dtype
        and address(view) == address(array)
    )
