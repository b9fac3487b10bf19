"""A structure in which values are stacked, so that one step may do at once what many do."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from opgraph.build import contract, infer_specs
from opgraph.errors import KernelError, OpgraphError
from opgraph.op import Op
from opgraph.ops.join import Split, Stack, Unstack
from opgraph.ops.shape import BroadcastTo, Reshape, Transpose
from opgraph.passes.memory import address
from opgraph.passes.views import checked_view
from opgraph.spec import Spec, known_shape
from opgraph.structure import Step, Structure

FEWEST = 4  # steps that are worth one

WORK = 32  # times that all steps are looked at, at most

CALL = 0.25  # microseconds that a call takes beyond its work, at least
COPY, PART, BYTE = 1.0, 0.06, 2e-4  # that a copied stack takes, and each of its parts and bytes


class Stacking:
    """The steps of a structure whose sizes are known, some of which `Draft`s put others in the place of.

    Attributes
    ----------
    structure
        As it was.
    specs
        Of all values, the new ones too.
    steps
        In an order in which they can run.
    makers
        The step that makes each value.
    stacks
        The stack of values that there is, by these.
    places
        In which stack a value stands, and where.
    taken
        Those that cannot be made in the memory of another stack.
    work
        How many steps may still be looked at, so that compiling takes time in proportion to the graph.
    """

    def __init__(self, structure: Structure, specs: Sequence[Spec]) -> None:
        self.structure = structure
        self.specs = list(specs)
        self.steps = list(structure.steps)
        self.makers = dict(structure.makers)
        self.stacks: dict[tuple[int, ...], int] = {}
        self.places: dict[int, tuple[int, int]] = {}
        self.work = WORK * len(self.steps)
        self.taken = {value for _, value in structure.updates}
        for step in self.steps:
            self._learn(step)

    def result(self) -> tuple[Structure, list[Spec]]:
        """Return the structure as it is now, and its specs."""
        if len(self.specs) == len(self.structure.specs):
            return self.structure, self.specs
        structure = replace(self.structure, steps=tuple(self.steps), specs=tuple(self.specs))
        return structure, self.specs

    def origin(self, value: int) -> int:
        """Return the value that `value` is a view of, as far as stacks of such views are views of stacks."""
        step = self.makers.get(value)
        while step is not None and shows_one(step):
            (value,) = step.inputs
            step = self.makers.get(value)
        return value

    def ordered(self, steps: Sequence[Step], columns: Iterable[int]) -> list[Step]:
        """Return `steps` in the order of a stack in which their inputs stand, or else in that of their making.

        Parameters
        ----------
        columns
            The positions of the inputs to look at.
        """
        origins = [{step.outputs[0]: self.origin(step.inputs[i]) for step in steps} for i in columns]
        for column in origins:
            places = {output: self.places[value] for output, value in column.items() if value in self.places}
            if len(places) == len(column) and len({whole for whole, _ in places.values()}) == 1:
                return sorted(steps, key=lambda step: places[step.outputs[0]])
        return sorted(steps, key=lambda step: origins[0][step.outputs[0]])

    def insert(self, draft: "Draft", replaced: Sequence[Step]) -> None:
        """Put the draft's steps in the place of those `replaced`, behind all that they need.

        Nothing is done where a stack that they need is made later than something that needs them.
        """
        self.work -= len(self.steps)
        gone = {step.outputs[0] for step in replaced}
        needed = {value for step in draft.steps for value in step.inputs}
        makers = {self.makers[value].outputs[0] for value in needed if value in self.makers}
        places = [at for at, step in enumerate(self.steps) if step.outputs[0] in gone or step.outputs[0] in makers]
        first = next(at for at in places if self.steps[at].outputs[0] in gone)
        window = slice(first, max(places) + 1)
        before: list[Step] = []
        after: list[Step] = []
        for step in reversed(self.steps[window]):
            if not needed.isdisjoint(step.outputs):
                if step.outputs[0] in gone:
                    return
                needed.update(step.inputs)
                before.append(step)
            elif step.outputs[0] not in gone:
                after.append(step)
        self.steps[window] = [*reversed(before), *draft.steps, *reversed(after)]
        self.specs += draft.specs
        for step in draft.steps:
            self.makers.update(dict.fromkeys(step.outputs, step))
            self._learn(step)

    def _learn(self, step: Step) -> None:
        """Note the values that `step` stacks, or takes from a stack, if it does."""
        op = step.op
        if isinstance(op, Stack) and op.axis == 0:
            values, (whole,) = step.inputs, step.outputs
        elif isinstance(op, Unstack) and op.axis == 0:
            values, (whole,) = step.outputs, step.inputs
        else:
            return
        if any(self.specs[value].dtype != self.specs[whole].dtype for value in values):
            return
        self.stacks[values] = whole
        for at, value in enumerate(values):
            self.places.setdefault(value, (whole, at))
        self.taken.update(values)


_TRANSPOSED = Transpose((0, 2, 1))


class Draft:
    """Steps that may be put in the place of others.

    Attributes
    ----------
    steps
    specs
        Of the values that they make anew.
    cost
        Microseconds that are spent on copies.
    """

    def __init__(self, at: Stacking, origin: Step) -> None:
        self.steps: list[Step] = []
        self.specs: list[Spec] = []
        self.cost = 0.0
        self._at = at
        self._origin = origin
        self._stacks: dict[tuple[int, ...], int] = {}

    def spec(self, value: int) -> Spec:
        """Return the spec of a value, be it of the draft or not."""
        new = value - len(self._at.specs)
        return self._at.specs[value] if new < 0 else self.specs[new]

    def add(self, op: Op, inputs: Sequence[int], outputs: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Return the outputs of `op` of `inputs`: new values, or those given."""
        if outputs is None:
            specs = infer_specs(op, tuple(map(self.spec, inputs)))
            start = len(self._at.specs) + len(self.specs)
            self.specs += specs
            outputs = tuple(range(start, start + len(specs)))
        self.steps.append(self._origin.replaced_by(op, tuple(inputs), outputs))
        return outputs

    def add_one(self, op: Op, *inputs: int) -> int:
        """Return the one output of `op` of `inputs`."""
        (value,) = self.add(op, inputs)
        return value

    def stacked(self, values: Sequence[int]) -> int:
        """Return a value that has `values`, all of one spec, as its parts along the first axis."""
        values = tuple(values)
        for stacks in (self._stacks, self._at.stacks):
            if values in stacks:
                return stacks[values]
        if len(set(values)) == 1:
            shape = known_shape(self.spec(values[0]).shape)
            return self.add_one(BroadcastTo((len(values), *shape)), values[0])
        found = next(
            (value for way in (self._part, self._moved, self._whole) if (value := way(values)) is not None), None
        )
        if found is None:
            found = self.add_one(Stack(), *values)
            if not self._fit_in_place(values):
                self.cost += COPY + PART * len(values) + BYTE * (self.spec(found).nbytes or 0)
        self._stacks[values] = found
        return found

    def stacked_transposed(self, values: Sequence[int]) -> int:
        """Return the stack of the matrices `values`, each transposed."""
        found = self.stacked(values)
        made = next((step for step in self.steps if step.outputs == (found,)), None)
        if made is not None and made.op == _TRANSPOSED:  # they are transposed themselves
            return made.inputs[0]
        self.cost += COPY + BYTE * (self.spec(found).nbytes or 0)  # for who wants it as one matrix
        return self.add_one(_TRANSPOSED, found)

    def _fit_in_place(self, values: tuple[int, ...]) -> bool:
        """Whether `values` can be made in the memory of their stack."""
        at = self._at
        return (
            len(set(values)) == len(values)
            and at.taken.isdisjoint(values)
            and all(v in at.makers and not at.makers[v].op.has_view() for v in values)
        )

    def _part(self, values: tuple[int, ...]) -> int | None:
        """Return the part of a stack that `values` are, ``None`` where they are none."""
        places = [self._at.places.get(value) for value in values]
        if places[0] is None:
            return None
        whole, start = places[0]
        if places != [(whole, start + i) for i in range(len(values))]:
            return None
        return self.add(Split((start, len(values), -1)), [whole])[1]

    def _moved(self, values: tuple[int, ...]) -> int | None:
        """Return the stack of views as a view of a stack, ``None`` where it is not."""
        makers = [self._at.makers.get(value) for value in values]
        first = makers[0]
        if first is None or not shows_one(first):
            return None
        origins = [maker.inputs[0] for maker in makers if maker is not None and maker.op == first.op]
        if len(origins) < len(values) or len({self.spec(value) for value in origins}) > 1:
            return None
        larger = batch_op(first, [self.spec(origins[0])], frozenset([0]))
        return None if larger is None else self.add_one(larger, self.stacked(origins))

    def _whole(self, values: tuple[int, ...]) -> int | None:
        """Return the value of which `values` show one part after the other, and all of it, in the stack's shape."""
        found = [step for step in map(self._at.makers.get, values) if step is not None and step.op.has_view()]
        makers = [step for step in found if len(step.inputs) == len(step.outputs) == 1]
        origins = {step.inputs for step in makers}
        if len(makers) < len(values) or len(origins) != 1:
            return None
        ((origin,),) = origins
        spec, part = self.spec(origin), self.spec(values[0])
        if spec.dtype != part.dtype:
            return None
        base = np.empty(known_shape(spec.shape), spec.dtype)
        expected = address(base)
        for step in makers:
            views = checked_view(step, (base,), self._at.specs)
            if views is None or not views[0].flags.c_contiguous or address(views[0]) != expected:
                return None
            expected += part.nbytes or 0
        if expected != address(base) + base.nbytes:
            return None
        return self.add_one(Reshape((len(values), *known_shape(part.shape))), origin)


def batch_op(step: Step, ins: Sequence[Spec], batched: frozenset[int]) -> Op | None:
    """Return what `Op.batch` returns for the op of `step`, with an error of its own placed."""
    try:
        with contract("batch"):
            larger = step.op.batch(tuple(ins), batched)
            if larger is not None and not isinstance(larger, Op):
                raise KernelError(f"its batch returned {larger!r}, not an op or None")
            return larger
    except OpgraphError as error:
        raise error.located(step.what, source=step.source) from error.__cause__


def shows_one(step: Step) -> bool:
    """Whether `step` is a view of one value, and its op says how stacks of such views are had."""
    return step.op.has_view() and len(step.inputs) == len(step.outputs) == 1 and type(step.op).batch is not Op.batch
