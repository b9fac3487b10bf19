"""The same again."""

import sys
import threading
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import opgraph as og
from opgraph.testing.agreement import are_same, expect_same
from opgraph.testing.case import Case, Failed
from opgraph.testing.check import NOTHING, Check
from opgraph.testing.declared import declared_samples
from opgraph.testing.programs import applied, values_and_gradients
from opgraph.testing.variations import reshuffled

Array: TypeAlias = NDArray[Any]

THREADS = 4
REPETITIONS = 10
KEY = og.Spec(og.Shape(4), np.uint64)


class Determinism(Check):
    """One input gives one result bit by bit: in every graph, run and thread; random ops draw by their key alone."""

    name = "determinism"

    def on_op(self, op_class: type[og.Op], seed: int) -> str | None:
        cases = [Case.of(op_class, s, s.id, seed) for s in _valid(op_class, seed) if _keys(op_class, s.inputs)]
        if not cases:
            return NOTHING
        for word, what in enumerate(("seed", "seed's second half", "stream", "step")):
            if not any(_draws_otherwise(case, word) for case in cases):
                raise Failed(
                    f"for another {what} the op draws the same in each of {len(cases)} samples; "
                    "og.generator(key) depends on all four words of the key"
                )
        return None

    def on_case(self, case: Case) -> str | None:
        def fresh(seed: int) -> list[Array]:
            return values_and_gradients(case, applied(case.op), False, og.RunTime(seed=seed))(case.inputs)

        expected = fresh(1)
        # the seed of the run time reaches an op by its key alone
        expect_same(fresh(2), expected, "in another graph and run time, the value or gradient")
        _check_threads(case)
        if _keys(type(case.op), case.inputs):
            _check_runs(case)
        return None


def _check_threads(case: Case) -> None:
    """Raise where the kernel gives other values while it runs in other threads too, on other inputs."""
    given = [case.inputs]
    others = reshuffled(case)
    try:
        expected = [case.compute(), case.compute(others)]
        given.append(others)
    except og.OpgraphError:
        expected = [case.compute()]  # the others may be refused
    results: list[tuple[int, list[Array]]] = []
    errors: list[BaseException] = []
    ready = threading.Barrier(THREADS)

    def work(thread: int) -> None:
        which = thread % len(given)
        try:
            ready.wait(60)
            for _ in range(REPETITIONS):
                results.append((which, case.compute(given[which])))
        except BaseException as error:  # handed on to the thread that waits
            errors.append(error)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that threads take turns within a kernel that is quick
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    if errors:
        raise Failed(f"in several threads at once, the kernel raises {type(errors[0]).__name__}: {errors[0]}")
    for which, found in results:
        expect_same(found, expected[which], "in several threads at once, the value")


def _check_runs(case: Case) -> None:
    """Raise where run times of one seed draw different numbers."""

    def three_runs() -> list[Array]:
        with og.Graph().as_default_graph():
            keys = _keys(type(case.op), case.inputs)
            nodes = [og.random_key() if i in keys else og.constant(x) for i, x in enumerate(case.inputs)]
            program = og.RunTime(seed=5).compile([], list(og.apply_all(case.op, *nodes)))
            return [value for _ in range(3) for value in program()]

    expect_same(three_runs(), three_runs(), "in run times of one seed, the value drawn")


def _draws_otherwise(case: Case, word: int) -> bool:
    """Whether the op draws something else for another word of its keys."""
    keys = _keys(type(case.op), case.inputs)
    expected = case.compute()
    for other in range(1, 9):
        inputs = [np.array(x) for x in case.inputs]
        for i in keys:
            inputs[i][word] += np.uint64(other)
        if not are_same(case.compute(inputs), expected):
            return True
    return False


def _keys(op_class: type[og.Op], inputs: Any) -> list[int]:
    """Return which inputs are keys of random numbers: those of a key's shape and dtype that are named so."""
    names = op_class.inputs
    return [
        i
        for i, x in enumerate(map(np.asarray, inputs))
        if i < len(names) and "key" in names[i] and (x.shape, x.dtype) == (KEY.shape, KEY.dtype)
    ]


def _valid(op_class: type[og.Op], seed: int) -> list[og.Sample]:
    return [s for s in declared_samples(op_class, seed) if s.raises is None]
