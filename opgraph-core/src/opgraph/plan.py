"""A structure bound to shapes: calls over buffers, and what runs them."""

import functools
import operator
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from opgraph.errors import KernelError, NonFiniteError, OpgraphError, raised
from opgraph.op import Array, Kernel
from opgraph.spec import Shape, Spec
from opgraph.stepwise import find_culprit, new_array
from opgraph.stopwatch import Stopwatch, clock
from opgraph.structure import Step, Structure
from opgraph.threads import share_out, using_threads


@dataclass(frozen=True, slots=True)
class Arena:
    """Where values live in one block of memory: offsets in bytes by value, and the block's size."""

    offsets: Mapping[int, int]
    nbytes: int


Environment: TypeAlias = list[Any]
Run: TypeAlias = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Group:
    """Steps that run together, block by block, each making values of `shape`; or one step alone, without one."""

    steps: tuple[Step, ...]
    shape: Shape | None = None


class Block(NamedTuple):
    """The calls that make up one block for one thread, and how those are made that touch what comes with a run."""

    calls: list[Run]
    rebindings: list["Rebinding"]


class Section:
    """A group whose blocks threads share.

    Parameters
    ----------
    workers
        For each thread, each of the blocks; None for one that is made when the thread first does it.
    make
        Makes one, given the positions of a thread and a block.
    """

    __slots__ = ("make", "steps", "workers")

    def __init__(
        self, steps: Sequence[Step], workers: Sequence[list[Block | None]], make: Callable[[int, int], Block]
    ) -> None:
        self.steps = steps
        self.workers = workers
        self.make = make

    def __call__(self, stopwatch: Stopwatch | None = None) -> None:
        bodies = [functools.partial(self._run, stopwatch, worker) for worker in range(len(self.workers))]
        share_out(bodies, len(self.workers[0]))

    def _run(self, stopwatch: Stopwatch | None, worker: int, at: int) -> None:
        block = self.workers[worker][at]
        if block is None:
            block = self.workers[worker][at] = self.make(worker, at)
        for rebinding in block.rebindings:
            rebinding.renew()
        left = iter(block.calls)
        try:
            for call in left if stopwatch is None else _timed(self.steps, left, stopwatch):
                call()
        except Exception as error:
            raise _StepFailed(self.steps[-operator.length_hint(left) - 1], error) from error
        finally:
            for rebinding in block.rebindings:
                rebinding.forget()


def _timed(steps: Iterable[Step], calls: Iterator[Run], stopwatch: Stopwatch) -> Iterator[Run]:
    """Yield the calls of `steps`, and note when the next one is asked for; a section notes what is in it, too."""
    for step, call in zip(steps, calls, strict=True):
        began = clock()
        if isinstance(call, Section):
            yield functools.partial(call, stopwatch)
            stopwatch.note(call, began)
        else:
            yield call
            stopwatch.note(step, began)


class _StepFailed(Exception):
    """One step of several failed."""

    def __init__(self, step: Step, error: Exception) -> None:
        super().__init__(step, error)
        self.step = step
        self.error = error


@dataclass(frozen=True, slots=True)
class Rebinding:
    """A call that reads what a run feeds, made anew for every run: where it stands, and what makes it."""

    calls: list[Any]
    at: int
    make: Callable[[], Run]

    def renew(self) -> None:
        """Make the call of the present run."""
        self.calls[self.at] = self.make()

    def forget(self) -> None:
        """Let go of the arrays that it holds."""
        self.calls[self.at] = None


@dataclass(frozen=True, slots=True)
class Blueprint:
    """How a plan was laid out, for those who want to see it; nothing of it is looked at in a run.

    Attributes
    ----------
    kernels
        Each step's kernel, by its first output.
    blocks, threads
        Of each group, how many blocks it has, and how many threads share them.
    owners
        Of each value that is a view, those whose memory it may lie in.
    arena
        Where the values lie that outlive their groups.
    reuse
        Those of them that are written over one that is not needed any more, with that one.
    targets
        The values that are written where variables are, with the variables.
    """

    kernels: Mapping[int, Kernel]
    blocks: Sequence[int]
    threads: Sequence[int]
    owners: Mapping[int, Set[int]]
    arena: Arena
    reuse: Mapping[int, int]
    targets: Mapping[int, int]


@dataclass
class Plan:
    """A structure bound to shapes: calls over buffers that are allocated once.

    It is run by one thread at a time.

    Attributes
    ----------
    groups
        The steps in the order in which they run, those last that write variables in place.
    calls, makers
        What a run calls, and the step that each call belongs to.
    commits
        For each thread, what writes each block of variables in place when all that can fail is over.
    staged
        The updates whose new values are copied into the variables, by their positions in the structure.
    copied
        Memory for what is fed of small size.
    feed_views
        What makes views of what a run feeds.
    rebindings
        The calls that read it.
    arrays
        Every value's array; ``None`` where a value lives within blocks alone, and where a feed, or a view of
        one, stands for the length of a run.
    passing
        Those last ones, and those that are returned.
    returned
        The fetched values that are made in the very memory that is handed out.
    staging
        Memory for the new values of variables that would else be read from a feed or a variable itself.
    threads
        How many may work on it.
    nbytes
        What the buffers take, and the results whose memory may serve again.
    blueprint
        How it was laid out.
    lock
        What whoever runs it holds.
    proved
        Whether a first run has shown that no kernel returns anything.
    fetched
        What was handed out last, of what is large, by the position of the fetch.
    names
        Returns what the graph that is run was lowered to, for its names, or None.
    """

    structure: Structure
    specs: Sequence[Spec]
    groups: Sequence[Group]
    calls: list[Run]
    makers: Sequence[Step]
    commits: Sequence[Sequence[Sequence[Run]]]
    staged: Sequence[int]
    copied: Mapping[int, Array]
    feed_views: Sequence[tuple[Run, Step]]
    rebindings: Sequence[Rebinding]
    arrays: Environment
    passing: Set[int]
    returned: Set[int]
    staging: Mapping[int, Array]
    threads: int
    nbytes: int
    blueprint: Blueprint
    lock: Any = None
    proved: bool = False
    fetched: dict[int, list[Array]] = field(default_factory=dict)
    names: Callable[[], Structure | None] | None = None

    def run(
        self,
        feeds: Sequence[Array],
        seed: int,
        step: int,
        check_finite: bool = False,
        stopwatch: Stopwatch | None = None,
        streams: Sequence[int] = (),
        names: Callable[[], Structure | None] | None = None,
    ) -> list[Array]:
        """Execute the calls and return fresh copies of the fetched values.

        What the variables take is then ready: `commits` writes some, `new_values` has the others. Nothing was
        written to a variable. `release` must follow.

        Parameters
        ----------
        feeds, streams
            What the structure's feeds and random keys are this time.
        seed, step
            What random numbers depend on besides.
        check_finite
            Look at every value.
        names
            Returns what the graph that is run was lowered to, whose names and lines messages have, or None.

        Raises
        ------
        KernelError
            Where a kernel raised.
        NonFiniteError
            Where `check_finite` is set and a floating-point value, fed or computed, holds NaN or infinity.
        """
        self.names = names
        arrays = self.arrays
        for value, array in zip(self.structure.feeds, feeds, strict=True):
            if value in self.copied:
                np.copyto(self.copied[value], array)
            else:
                arrays[value] = read_only(array)
        for value, at in self.structure.keys.items():
            arrays[value][:] = (seed & _MASK, (seed >> 64) & _MASK, streams[at], step)
        if check_finite:
            self._check_leaves()
        for at, value in enumerate(self.structure.fetches):
            if value in self.returned:
                arrays[value] = self._memory_for(at, value)
        with np.errstate(all="ignore"), using_threads(self.threads, self.lock):
            self._bind_feeds()
            if check_finite or not self.proved:
                self._run_checked(check_finite, stopwatch)
            else:
                self._run_calls(stopwatch)
            for value, staged in self.staging.items():
                np.copyto(staged, arrays[value])
            return [self._handed_out(at, value) for at, value in enumerate(self.structure.fetches)]

    def release(self) -> None:
        """Let go of what was fed."""
        self.names = None
        for value in self.passing:
            self.arrays[value] = None
        for rebinding in self.rebindings:
            rebinding.forget()

    def new_values(self) -> list[Array]:
        """Return what the variables take that are not written in place, in the order of `staged`."""
        values = [self.structure.updates[at][1] for at in self.staged]
        return [self.staging.get(value, self.arrays[value]) for value in values]

    def _handed_out(self, at: int, value: int) -> Array:
        """Return a fetched value in memory of its own."""
        array: Array = self.arrays[value]
        if value in self.returned and self.structure.fetches.index(value) == at:
            return array
        if not keeps_result(self.specs[value]):
            return np.array(array, order="C", subok=False)
        copy = self._memory_for(at, value)
        np.copyto(copy, array)
        return copy

    def _memory_for(self, at: int, value: int) -> Array:
        """Return memory for a fetched value: that of one handed out before, if nobody has it any more."""
        # the system clears new memory page by page, which takes longer than a copy
        spec = self.specs[value]
        if not keeps_result(spec):
            return new_array(spec)
        handed_out = self.fetched.setdefault(at, [])
        for number in reversed(range(len(handed_out))):
            if _is_dropped(handed_out, number) and _is_as_made(handed_out[number], spec):
                handed_out.append(handed_out.pop(number))
                return handed_out[-1]
        handed_out.append(new_array(spec))
        del handed_out[:-2]  # of two, the oldest goes: one is looked at while the next is made
        return handed_out[-1]

    def _bind_feeds(self) -> None:
        for view, step in self.feed_views:
            try:
                view()
            except Exception as error:
                raise self._failed(error, step) from _cause(error)
        for rebinding in self.rebindings:
            rebinding.renew()

    def _run_calls(self, stopwatch: Stopwatch | None) -> None:
        left = iter(self.calls)
        try:
            for call in left if stopwatch is None else _timed(self.makers, left, stopwatch):
                call()
        except Exception as error:
            raise self._failed(error, self.makers[-operator.length_hint(left) - 1]) from _cause(error)

    def _run_checked(self, check_finite: bool, stopwatch: Stopwatch | None) -> None:
        """Run, and look at what each call returns and makes."""
        calls = self.calls if stopwatch is None else _timed(self.makers, iter(self.calls), stopwatch)
        for call, step in zip(calls, self.makers, strict=True):
            try:
                if call() is not None and getattr(call, "func", None) == step.op.compute:
                    raise KernelError("its kernel returned something; it must fill its outputs instead")
                if check_finite:
                    self._check_finite(step)
            except Exception as error:
                raise self._failed(error, step) from _cause(error)
        self.proved = True

    def _failed(self, error: Exception, step: Step) -> OpgraphError:
        """Return what to raise where a call failed, be it of one step or of several."""
        if isinstance(error, _StepFailed):
            step, error = error.step, error.error
        if not isinstance(error, OpgraphError):
            error = KernelError(f"its kernel raised {raised(error)}")
        structure, arrays = self._named(), list(self.arrays)
        step = structure.maker(step.outputs[0]) or step
        member = find_culprit(structure, step, self.specs, arrays) if step.members else step
        if member is None:  # what it read was written over since
            what = f"{step.what}, here or in one of {len(step.members) - 1} like calls"
            return error.located(what, source=step.source)
        return error.located(member.what, structure.describe_inputs(member, self.specs, arrays), member.source)

    def _named(self) -> Structure:
        """Return the structure under the names of the graph that is run."""
        return self.structure if self.names is None else self.structure.named_by(self.names())

    def _check_finite(self, step: Step) -> None:
        for value in step.outputs:
            trouble = _not_finite(self.arrays[value])
            if trouble:
                step = self._named().maker(value) or step
                if step.members:
                    rows = np.isfinite(self.arrays[value]).reshape(len(step.members), -1).all(axis=1)
                    step = step.members[int(np.argmin(rows))]
                place = f", in the gradient of {step.gradient_of}," if step.gradient_of else ""
                raise NonFiniteError(f"{step.name!r}{place} went {trouble}")

    def _check_leaves(self) -> None:
        """Raise where a feed, or a variable that is read, is not finite."""
        read = self.structure.read - self.structure.large
        for value in (*self.structure.feeds, *self.structure.variables):
            trouble = _not_finite(self.arrays[value]) if value in read else ""
            if trouble:
                raise NonFiniteError(f"{self._named().describe(value, self.specs)} is already {trouble}")


def _cause(error: Exception) -> BaseException | None:
    if isinstance(error, _StepFailed):
        error = error.error
    return error.__cause__ if isinstance(error, OpgraphError) else error


def keeps_result(spec: Spec) -> bool:
    """Whether a plan remembers two results of `spec`, to use their memory again."""
    return LARGE_FETCH <= (spec.nbytes or 0) <= HUGE_FETCH


def results_nbytes(specs: Iterable[Spec]) -> int:
    """Return what the results of `specs` take that a plan remembers."""
    return sum(2 * (spec.nbytes or 0) for spec in specs if keeps_result(spec))


def _is_dropped(arrays: list[Array], at: int) -> bool:
    """Whether nobody but `arrays` refers to the array: whoever views its memory does."""
    return sys.getrefcount(arrays[at]) <= _REFERENCES and not weakref.getweakrefcount(arrays[at])


def _is_as_made(array: Array, spec: Spec) -> bool:
    """Whether the array is as it was handed out: who had it may have given it another shape, or let nobody write."""
    flags = array.flags
    return array.shape == spec.shape and array.dtype == spec.dtype and flags.c_contiguous and flags.writeable


_MASK = (1 << 64) - 1
LARGE_FETCH, HUGE_FETCH = 1 << 17, 1 << 26  # bytes
_REFERENCES = (lambda arrays: sys.getrefcount(arrays[0]))([np.empty(1)])
# where threads do not take turns, a reference may be on its way unseen
if not getattr(sys, "_is_gil_enabled", lambda: True)():
    _REFERENCES = 0


def read_only(array: Array) -> Array:
    """Return a view of `array` through which nobody can write."""
    view = array.view()
    view.flags.writeable = False
    return view


def _not_finite(array: Array) -> str:
    """Return what is wrong with an array: ``"NaN in 1 of 6 elements, the first at (0, 2)"``, or nothing."""
    if array.dtype.kind not in "fc":
        return ""
    finite = np.isfinite(array)
    if finite.all():
        return ""
    first = tuple(map(int, np.unravel_index(np.argmin(finite), array.shape)))
    what = "NaN" if np.isnan(array).any() else "infinite"
    where = f", the first at {first}" if first else ""
    return f"{what} in {array.size - np.count_nonzero(finite)} of {array.size} elements{where}"
