"""What a run time has compiled, by structure: a graph that is built like one before finds what that became.

A structure is all of a graph but what tells one building of it from the next: names and lines, the arrays of large
constants, and the streams of random keys, which are handed to each run.
"""

from __future__ import annotations

import functools
import itertools
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias, cast

from opgraph.collection import collection_paused
from opgraph.errors import OpgraphError
from opgraph.locks import new_lock
from opgraph.op import Elementwise, Kernel, Op, Specs
from opgraph.passes.batch import batch
from opgraph.passes.bind import Layout, bind
from opgraph.passes.lower import SMALL_CONSTANT, Leaves, Lowered
from opgraph.passes.specialize import specialize
from opgraph.plan import Plan
from opgraph.recent import Alive, Recent
from opgraph.spec import Shape, Spec
from opgraph.stopwatch import Watcher
from opgraph.structure import Structure

PLAN_CACHE_BYTES = 1 << 30  # of all structures and plans of a run time
STRUCTURES_KEPT = 128  # by one run time
STEP_BYTES = 1 << 10  # what the objects take, about, that stand for one step in a structure or a plan

KernelSet: TypeAlias = Mapping[str, Callable[..., Any]]
# whether all variables take their new values when the run ends, and may be written in place; the shapes that are fed
Signature: TypeAlias = tuple[Any, ...]

_counting = new_lock()


@dataclass(frozen=True)
class Settings:
    """What a run time decides for everything that it runs."""

    seed: int
    check_finite: bool
    passes: Sequence[Callable[[Structure], Structure]]
    kernel_sets: Sequence[KernelSet]
    layout: Layout
    watchers: list[Watcher] = field(default_factory=list, compare=False)  # of the runs of this run time, for a while


class CacheInfo(NamedTuple):
    """What a `RunTime` keeps of what it compiled, and how often that served.

    Attributes
    ----------
    hits, misses : int
        How many graphs were of a structure that was known, and how many were compiled.
    structures : int
        How many are kept.
    plan_hits, plan_misses : int
        How many runs had shapes that were known, and for how many buffers were laid out.
    plans : int
        How many are kept.
    nbytes : int
        What all of it takes, about.
    """

    hits: int
    misses: int
    structures: int
    plan_hits: int
    plan_misses: int
    plans: int
    nbytes: int


class Compiler:
    """Compiles structures for one run time, and keeps those that were last asked for.

    Attributes
    ----------
    settings
    derived
        What was derived from graphs, by their structures.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.derived: Recent[Any] = Recent()
        self._compiled: Recent[Compiled] = Recent()
        self._alive: Alive[Compiled] = Alive()  # with those that programs alone hold
        self._hits = self._misses = 0

    def compile(self, lowered: Lowered, key: StructureKey) -> Compiled:
        """Return what `lowered`, which has `key`, is compiled to."""
        found = self.known(key)
        if found is None:
            self._misses += 1
            found = Compiled(lowered, self.settings)
            found.watches = key.watched(functools.partial(_forget, weakref.ref(self._compiled), key))
            self._alive.add(found)
            self._compiled.put(key, found)
            self.make_room()
        return found

    def known(self, key: StructureKey) -> Compiled | None:
        """Return what a structure was compiled to that is kept."""
        found = self._compiled.get(key)
        self._hits += found is not None
        return found

    def make_room(self) -> None:
        """Let go of what was not asked for lately, where all together is too much."""
        self.derived.keep(STRUCTURES_KEPT)
        self._compiled.keep(STRUCTURES_KEPT)
        structures = itertools.accumulate(compiled.structure_nbytes for compiled in reversed(self._compiled.values()))
        self._compiled.keep(max(1, sum(nbytes <= PLAN_CACHE_BYTES // 2 for nbytes in structures)))
        if sum(compiled.nbytes for compiled in self._alive) > PLAN_CACHE_BYTES:
            self._drop_plans()

    def _drop_plans(self) -> None:
        """Let go of plans, whoever holds their structures, but for the one that was asked for last."""
        # some more than must go: what is done here for all plans is not done again for the next one
        excess = sum(compiled.nbytes for compiled in self._alive) - PLAN_CACHE_BYTES * 7 // 8
        kept = [plans for compiled in self._alive for plans in compiled.all_plans()]
        uses = [(used, plans, key) for plans in kept for used, key in plans.uses()]
        for _, plans, key in sorted(uses, key=lambda use: use[0])[:-1]:
            if excess <= 0:
                break
            before = plans.nbytes
            plans.pop(key)
            excess -= before - plans.nbytes

    def info(self) -> CacheInfo:
        """Return how much is kept, and how often it served."""
        alive = list(self._alive)
        return CacheInfo(
            hits=self._hits,
            misses=self._misses,
            structures=len(self._compiled),
            plan_hits=sum(compiled.hits for compiled in alive),
            plan_misses=sum(compiled.misses for compiled in alive),
            plans=sum(len(plans) for compiled in alive for plans in compiled.all_plans()),
            nbytes=sum(compiled.nbytes for compiled in alive),
        )

    def clear(self) -> None:
        """Let go of all structures, and of the plans of those that programs hold; count from 0."""
        self.derived.keep(0)
        self._compiled.keep(0)
        for compiled in self._alive:
            compiled.clear()
        self._hits = self._misses = 0


class Compiled:
    """A structure that has been through the passes, and a plan for each of the shapes that were last fed.

    It serves all graphs of that structure, over the same variables, and names the lines of the first of them.

    Attributes
    ----------
    structure
    lengths
        How many steps it had before the passes, and after each.
    lock
        For one run at a time: of all that share variables, or of this alone.
    read
        Which of the variables a run reads, by their positions.
    structure_nbytes
        What the structure takes, about.
    hits, misses
        How many plans were there already when they were asked for, and how many were not.
    watches
        What looks after the life of the variables.
    """

    def __init__(self, lowered: Lowered, settings: Settings) -> None:
        structure = lowered.structure
        self.lengths = [len(structure.steps)]
        with collection_paused():
            for apply_pass in settings.passes:
                structure = apply_pass(structure)
                self.lengths.append(len(structure.steps))
        self.structure = structure
        self.lock: Any = lowered.variables[0].graph.state_lock if lowered.variables else new_lock()
        read = structure.read
        self.read = [at for at, value in enumerate(structure.variables) if value in read]
        constants = sum(array.nbytes for array in structure.constants.values())
        self.structure_nbytes = constants + STEP_BYTES * len(structure.steps)
        self.hits = self.misses = 0
        self._plans = Plans()  # which take large constants as they take feeds: any graph may run them
        self._own_plans: Alive[Plans] = Alive()  # over the constants of the graph that had the structure compiled
        self._constants = [weakref.ref(array) for array in lowered.constants]
        self.watches: Sequence[object] = ()
        self._settings = settings
        self._choose_kernel = functools.partial(_choose_kernel, settings.kernel_sets)

    @property
    def nbytes(self) -> int:
        """What the structure and the plans take, about."""
        return self.structure_nbytes + sum(plans.nbytes for plans in self.all_plans())

    def clear(self) -> None:
        """Let go of all plans, and count from 0."""
        for plans in self.all_plans():
            plans.keep(0)
        self.hits = self.misses = 0

    def all_plans(self) -> list[Plans]:
        """Return all plans that are kept."""
        return [self._plans, *self._own_plans]

    def plans_for(self, leaves: Leaves) -> Plans:
        """Return the plans for who runs a graph with these leaves.

        Large constants are bound for the graph that had the structure compiled, since that saves handing them to each
        run; such plans go with who runs it. Who finds the structure compiled already may be a graph that is built
        anew in every step.
        """
        firsts = [ref() for ref in self._constants]
        if not firsts or any(mine is not first for mine, first in zip(leaves.constants, firsts, strict=True)):
            return self._plans
        own = Plans()
        self._own_plans.add(own)
        return own

    def known_plan(self, plans: Plans, signature: Signature) -> Plan | None:
        """Return the plan for these shapes, None where there is none; the caller holds the lock."""
        plan = plans.get(signature)
        self.hits += plan is not None
        return plan

    def new_plan(self, plans: Plans, signature: Signature, leaves: Leaves, named: Callable[[], Structure]) -> Plan:
        """Return a plan for these shapes; the caller holds the lock.

        Parameters
        ----------
        plans
            Where it is kept.
        signature
        leaves
            Those of the graph that is run.
        named
            Returns the structure under the graph's names, for messages.
        """
        self.misses += 1
        holding = plans is not self._plans
        try:
            plan = self._bound(self.structure, signature, leaves, holding)
        except OpgraphError:
            # names are put in now that a message wants them, since that takes time in a large graph
            plan = self._bound(named(), signature, leaves, holding)
        plan.lock = self.lock
        plans.put(signature, plan)
        return plan

    def _bound(self, structure: Structure, signature: Signature, leaves: Leaves, holding: bool) -> Plan:
        at_once, *shapes = signature
        if holding:
            structure = structure.holding(leaves.constants)
        fed = shapes if holding else [*shapes, *[array.shape for array in leaves.constants]]
        pairs = zip(fed, structure.feeds, strict=True)
        variables = [variable.storage.array for variable in leaves.variables]
        layout = replace(self._settings.layout, commit=self._settings.layout.commit and at_once)
        with collection_paused():
            specs = specialize(structure, [Spec(Shape(shape), structure.specs[value].dtype) for shape, value in pairs])
            if layout.batch:
                structure, specs = batch(structure, specs)
            return bind(structure, specs, variables, self._choose_kernel, layout)


class Plans(Recent[Plan]):
    """Plans by the shapes of what is fed.

    Attributes
    ----------
    nbytes
        What they take, about.
    """

    def __init__(self) -> None:
        super().__init__()
        self.nbytes = 0

    def put(self, key: Hashable, value: Plan) -> None:
        """Keep a plan."""
        self.pop(key)
        super().put(key, value)
        self._count(_nbytes(value))

    def pop(self, key: Hashable) -> Plan | None:
        """Let go of a plan."""
        plan = super().pop(key)
        if plan is not None:
            self._count(-_nbytes(plan))
        return plan

    def _count(self, nbytes: int) -> None:
        with _counting:
            self.nbytes += nbytes


def _nbytes(plan: Plan) -> int:
    large = sum(array.nbytes for array in plan.structure.constants.values() if array.nbytes > SMALL_CONSTANT)
    shares = zip(plan.groups, plan.blueprint.blocks, plan.blueprint.threads, strict=True)
    calls = sum(len(group.steps) * blocks * threads for group, blocks, threads in shares)
    return large + plan.nbytes + STEP_BYTES * (calls + len(plan.specs))


class StructureKey:
    """What two graphs have in common that are compiled to one plan: their structure, and their variables' memory."""

    __slots__ = ("_hash", "_parts", "_storages")

    def __init__(self, lowered: Lowered) -> None:
        structure = lowered.structure
        self._storages = [weakref.ref(variable.storage) for variable in lowered.variables]
        self._parts = (
            tuple([(_op_key(s.op), s.inputs, s.outputs, s.region, s.recomputes) for s in structure.steps]),
            structure.specs,
            structure.feeds,
            structure.large,
            structure.variables,
            tuple([(value, array.tobytes()) for value, array in structure.constants.items()]),
            tuple(structure.keys.items()),
            structure.fetches,
            structure.updates,
        )
        self._hash = hash((self._parts, *self._storages))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, StructureKey) or self._hash != other._hash:
            return False
        return self._storages == other._storages and self._parts == other._parts

    def watched(self, call: Callable[[object], None]) -> list[object]:
        """Have `call` called when one of the variables goes; the list that this returns must be kept for it."""
        return [weakref.ref(storage, call) for ref in self._storages if (storage := ref()) is not None]


def _op_key(op: Op) -> Hashable:
    return (type(op), op._key()) if vars(op) else (type(op),)  # most have no attributes


def _forget(kept: weakref.ref[Recent[Any]], key: StructureKey, _: object) -> None:
    """Let go of what was compiled for a variable that is gone."""
    recent = kept()
    if recent is not None:
        recent.pop(key)


def _choose_kernel(kernel_sets: Sequence[KernelSet], op: Op, ins: Specs, outs: Specs) -> Kernel:
    """Return the kernel of the first set that has one for `op`, or the op's own."""
    for kernels in kernel_sets:
        kernel = kernels[op.name](op, ins, outs) if op.name in kernels else None
        if kernel is not None:
            return cast(Kernel, kernel)
    if isinstance(op, Elementwise):
        ufunc = op.ufunc if type(op).compute is Elementwise.compute else None
        return Kernel(op.compute, op.scratch(ins, outs), blocks=True, ufunc=ufunc)
    scratch = op.scratch(ins, outs)
    return Kernel(
        op.compute,
        scratch,
        bind=None if type(op).bind is Op.bind else op.bind,
        combine=None if scratch else op.combine,
        rows=None if scratch else op.by_rows(ins),
    )
