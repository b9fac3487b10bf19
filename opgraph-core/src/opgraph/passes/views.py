"""Which values are views of others, and which of these are the others themselves."""

import bisect
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.array_utils import byte_bounds

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
                    parts = joints.shown(value, array, start, read)
                    owners[value] = parts or frozenset().union(*(owners.get(v, (v,)) for v in read))
                    if len(owners[value]) == 1 and array.size and not parts:
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
    return Views(structure, owners, offsets, joints.read(structure, owners))


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
        self._wholes: dict[int, int] = {}  # of joined values and views of them, what is joined
        self._needed: set[int] = set()  # what a view of several values shows
        self._ends: dict[int, list[int]] = {}  # of what is joined, where each part ends, in bytes
        self._last = _last_reads(structure)
        self._taken: set[int] = set()
        self._updated = {value for _, value in structure.updates}  # which may be written where variables are

    def take(self, step: Step) -> bool:
        """Whether the output of `step` is one of them."""
        op: Any = step.op
        if not step.run or step.op.name not in _JOINING:
            return False
        (value,) = step.outputs
        spec, parts = self.specs[value], set(step.inputs)
        # where one of them outlives the rest, all of their memory would wait for it
        waits = (spec.nbytes or 0) > SMALL_JOINT and any(self._last[part] > self._last.get(value, -1) for part in parts)
        fits = (
            not waits
            and len(parts) == len(step.inputs)
            and not normalize_axis(op.axis, spec.ndims)
            and parts <= self.computed
            and parts.isdisjoint(self._taken)
            and parts.isdisjoint(self._updated)
            and all(self.specs[part].dtype == spec.dtype and self.specs[part].nbytes for part in parts)
        )
        if fits:
            self.joined[value] = step.inputs
            self._taken |= parts
            self._wholes[value] = value
            self._ends[value] = list(itertools.accumulate(self.specs[part].nbytes or 0 for part in step.inputs))
        return fits

    def read(self, structure: Structure, owners: Mapping[int, object]) -> dict[int, tuple[int, ...]]:
        """Return what is joined of which any step, or a result, reads more than the shape."""
        steps = [step for step in structure.steps if step.run and step.outputs[0] not in owners]
        read = structure.results.union(*[[step.inputs[i] for i in step.reads()] for step in steps])
        wholes = self._needed.union([self._wholes[value] for value in read if value in self._wholes])
        return {value: parts for value, parts in self.joined.items() if value in wholes}

    def shown(self, value: int, array: Array, start: int, read: Sequence[int]) -> frozenset[int]:
        """Return the parts that a view of what is joined shows, whose memory begins at `start`; none of any other."""
        wholes = [self._wholes[v] for v in read if v in self._wholes]
        if len(read) > 1:
            self._needed.update(wholes)
        if len(read) > 1 or not wholes or not array.size:
            return frozenset()
        (whole,) = wholes
        self._wholes[value] = whole
        low, high = byte_bounds(array)
        ends = self._ends[whole]
        first, last = bisect.bisect_right(ends, low - start), bisect.bisect_left(ends, high - start)
        return frozenset(self.joined[whole][first : last + 1])


def _last_reads(structure: Structure) -> dict[int, float]:
    """Return the last step that reads each value, or a view of it; results are read when all is over."""
    last: dict[int, float] = dict.fromkeys(structure.results, math.inf)
    for at in range(len(structure.steps) - 1, -1, -1):
        step = structure.steps[at]
        views = step.op.has_view() or step.op.name in _JOINING
        until = max([last.get(value, -1) for value in step.outputs]) if views else at
        for value in step.inputs:
            last[value] = max(until, last.get(value, -1))
    return last


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
    if not isinstance(views, tuple | list | None):
        raise KernelError(f"its view returned a value of type {type(views).__name__}, not a tuple of arrays")
    if views is not None:
        found = [(v.shape, v.dtype) if isinstance(v, np.ndarray) else type(v) for v in views]
        if found != [(specs[value].shape, specs[value].dtype) for value in step.outputs]:
            said = [specs[value] for value in step.outputs]
            raise KernelError(f"its view returned {found} where infer said {said}")
        if not all(v.size == 0 or any(np.may_share_memory(v, x) for x in ins) for v in views):
            raise KernelError("its view returned memory of its own; return None to have the outputs computed")
        if any(map(_runs_backwards, views)):
            return None
    return views


def _runs_backwards(view: Array) -> bool:
    """Whether a view's last axis runs backwards, so that it is better copied, once.

    NumPy's functions round such rows otherwise when they are called on one alone, as on a small block.
    """
    last = next((axis for axis in reversed(range(view.ndim)) if view.shape[axis] > 1), None)
    return last is not None and view.strides[last] < 0


SMALL_JOINT = 1 << 16  # bytes that may well wait for some of them
_JOINING = ("core.concat", "core.stack")


def _is_same(view: Array, array: Array) -> bool:
    return (
        view.shape == array.shape
        and view.strides == array.strides
        and view.dtype == array.dtype
        and address(view) == address(array)
    )
