"""Local rewrites: rules that say what a step amounts to, applied until none does.

A rule looks at one step and at those that lead to it, and returns the value that the step's output equals:
one that is there already, or one that it makes with `Rewriting.new`. A pass lists its rules by the names of the
ops whose steps they look at, so that no op's module is imported for a graph without the op.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from opgraph.build import infer_specs
from opgraph.errors import KernelError, OpgraphError
from opgraph.op import Array, Op
from opgraph.passes.dims import KnownDims
from opgraph.plan import read_only
from opgraph.spec import Spec, spec_of
from opgraph.structure import Step, Structure

ROUNDS = 32  # of rewrites of what a rewrite made
UNIFORM_SIZE = 1 << 12  # elements of a constant that are looked at, to see whether they are equal
VIEWS = 8  # in a row that are looked through

Rule: TypeAlias = "Callable[[Step, Rewriting], int | None]"


class Rules:
    """The rules of one pass, in the order in which they are asked."""

    def __init__(self) -> None:
        self._listed: list[tuple[str | type[Op], Rule]] = []

    def of(self, *ops: str | type[Op]) -> Callable[[Rule], Rule]:
        """Return a decorator that adds a rule for ops, by their names or by what class they derive from."""

        def add(rule: Rule) -> Rule:
            self._listed += [(op, rule) for op in ops]
            return rule

        return add

    def __getitem__(self, op: Op) -> list[Rule]:
        """The rules to ask about a step of `op`."""
        return [
            rule
            for which, rule in self._listed
            if (op.name == which if isinstance(which, str) else isinstance(op, which))
        ]


def rewrite(structure: Structure, rules: Rules) -> Structure:
    """Return `structure` with what `rules` make of its steps; what is then not needed is left for `prune`.

    Raises
    ------
    KernelError
        Where a rule gives a value of another dtype or shape, or rules rewrite each other's work for ever.
    """
    at = Rewriting(structure)
    chosen: dict[type[Op], list[Rule]] = {}
    for original in structure.steps:
        pending = [(original, 0)]
        while pending:
            step, rounds = pending.pop()
            if at.replaced:
                step = step.reading(at.replaced)
            kind = type(step.op)
            if kind not in chosen:
                chosen[kind] = rules[step.op]
            if chosen[kind] and len(step.outputs) == 1 and at.rewrites(step, chosen[kind], rounds):
                pending += [(made, rounds + 1) for made in reversed(at.take())]
            else:
                at.emit(step)
    return at.result()


class Rewriting:
    """A structure half rewritten, as rules see it: the steps up to the one in question.

    Attributes
    ----------
    specs
        Of all values, the new ones too.
    constants
    dims
        Which sizes are the same in every run.
    replaced
        The values in whose place others are read.
    """

    def __init__(self, structure: Structure) -> None:
        self.specs: list[Spec] = list(structure.specs)
        self.constants: dict[int, Array] = dict(structure.constants)
        self.dims = KnownDims(self.specs)
        self.replaced: dict[int, int] = {}
        self._structure = structure
        self._labels = dict(structure.labels)
        self._steps: list[Step] = []
        self._makers: dict[int, Step] = {}
        self._made: list[Step] = []
        self._leading: dict[int, list[int]] = {}  # the values that each one is read in the place of
        self._origin: Step | None = None
        self._blamed: tuple[Step, str]  # set before each rule is asked

    def maker(self, value: int, *names: str) -> Step | None:
        """Return the step that makes `value`, if its op has one of `names`."""
        step = self._makers.get(value)
        return step if step is not None and step.op.name in names else None

    def any_maker(self, value: int) -> Step | None:
        """Return the step that makes `value`, None for one that is there before."""
        return self._makers.get(value)

    def new(self, op: Op, *inputs: int) -> int:
        """Return the value of `op` of `inputs`, computed by a new step in the place of the one to be rewritten."""
        (value,) = self.new_all(op, *inputs)
        return value

    def new_all(self, op: Op, *inputs: int) -> tuple[int, ...]:
        """Return all outputs of `op` of `inputs`, as `new` does."""
        specs = infer_specs(op, tuple([self.specs[value] for value in inputs]))
        values = tuple([self._add(spec) for spec in specs])
        assert self._origin is not None
        self._made.append(self._origin.replaced_by(op, inputs, values))
        return values

    def constant(self, array: Array) -> int:
        """Return the value of a new constant, whose memory is not written any more."""
        value = self._add(spec_of(array))
        self.constants[value] = read_only(array)
        self._labels[value] = "constant"
        return value

    def of_one_dtype(self, *values: int) -> bool:
        """Whether values have one dtype: calls that `opgraph.apply` makes may mix them."""
        return len({self.specs[value].dtype for value in values}) == 1

    def is_filled(self, value: int, number: Any) -> bool:
        """Whether all elements of `value` are `number` in every run, to the bit: 0.0 is not -0.0."""
        array = self.constants.get(self.unviewed(value))
        if array is None or not 0 < array.size <= UNIFORM_SIZE or array.item(0) != number:
            return False
        return array.tobytes() == np.array(number, array.dtype).tobytes() * array.size

    def unviewed(self, value: int) -> int:
        """Return the value that holds the elements of `value`, which may be views of it, repeated or in other order."""
        for _ in range(VIEWS):
            step = self._makers.get(value)
            if step is None or step.op.name not in _REARRANGING:
                break
            value = step.inputs[0]
        return value

    def rewrites(self, step: Step, rules: list[Rule], rounds: int) -> bool:
        """Whether one of `rules` finds another value for the output of `step`, which is read in its place then."""
        self._origin = step
        for rule in rules:
            self.blame(step, f"the rewrite {rule.__name__!r}")
            try:
                found = rule(step, self)
                if found is not None:
                    self._check(step, found, rounds)
            except KernelError as error:
                blamed, _ = self._blamed
                raise error.located(blamed.op.short_name(), source=blamed.source) from error.__cause__
            except OpgraphError:
                found = None  # it made what does not go together; the run will say so, if it must
            if found is not None:
                self._replace(step.outputs[0], found)
                return True
            self._made.clear()
        return False

    def blame(self, step: Step, what: str) -> None:
        """Have an error of the rule that is asked name the op of `step`, and `what` of it is wrong."""
        self._blamed = step, what

    def emit(self, step: Step) -> None:
        """Take over `step` as it is."""
        self._steps.append(step)
        for value in step.outputs:
            self._makers[value] = step
            if not self.specs[value].shape.is_known:
                self.dims.learn(step, value)

    def take(self) -> list[Step]:
        """Return the steps that a rule made, and forget them."""
        made, self._made = self._made, []
        return made

    def result(self) -> Structure:
        """Return the rewritten structure."""
        if not self.replaced:
            return self._structure
        return self._structure.rewritten(
            self._steps, self.replaced, specs=tuple(self.specs), constants=self.constants, labels=self._labels
        )

    def _add(self, spec: Spec) -> int:
        self.specs.append(spec)
        return len(self.specs) - 1

    def _replace(self, value: int, found: int) -> None:
        values = [*self._leading.pop(value, ()), value]  # a rule made `value`, and another one found better
        self.replaced.update(dict.fromkeys(values, found))
        self._leading.setdefault(found, []).extend(values)

    def _check(self, step: Step, found: int, rounds: int) -> None:
        _, what = self._blamed
        was, now = self.specs[step.outputs[0]], self.specs[found]
        if rounds == ROUNDS:
            raise KernelError(f"{what} found something to do {ROUNDS} times in a row")
        if found == step.outputs[0] or not was.admits(now):
            raise KernelError(f"{what} gave {now} in the place of {was}")


# the ops whose outputs hold what their first inputs hold
_REARRANGING = frozenset(
    f"core.{name}"
    for name in (
        "broadcast_like",
        "broadcast_to",
        "ensure_shape_like",
        "expand_dims",
        "flip",
        "identity",
        "reshape",
        "reshape_like",
        "squeeze",
        "stop_gradient",
        "transpose",
    )
)
