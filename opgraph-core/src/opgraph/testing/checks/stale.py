"""Runs that follow each other."""

import numpy as np

import opgraph as og
from opgraph.testing.agreement import are_same, expect_same
from opgraph.testing.case import Case, Failed
from opgraph.testing.check import Check
from opgraph.testing.programs import applied, cotangents, signed, values_and_gradients
from opgraph.testing.variations import Arrays, grown, reshuffled, resized, whole

OTHERS = 3


class Stale(Check):
    """Nothing of one run shows in another: not its values, not its shapes, not what its gradients kept."""

    name = "stale"

    def on_case(self, case: Case) -> str | None:
        _check_values_follow(case)
        runtime = og.RunTime(seed=case.seed)
        first = values_and_gradients(case, applied(case.op), True, runtime)
        second = values_and_gradients(case, applied(case.op), True, runtime)
        expected = first(case.inputs)
        for others, what in ((reshuffled(case), "other values"), (grown(case), "other sizes")):
            if others is None:
                continue
            try:
                between = first(others)
            except og.OpgraphError:
                continue  # these inputs may be refused
            expect_same(first(case.inputs), expected, f"after a run with {what} in between, the value or gradient")
            expect_same(second(others), between, f"in another program of the same graph, with {what}, the value")
            expect_same(second(case.inputs), expected, f"in that program, after {what}, the value or gradient")
            _check_kernel(case, others, what)
            _check_backward(case, others, what)
        return None


def _check_values_follow(case: Case) -> None:
    """Raise where the values are those of inputs that came before, in whatever order runs are made.

    A kernel that keeps what belongs to a shape gives itself away by a gradient that is not zero while the values never
    change; an elementwise one by what it makes of the same numbers in another shape.
    """
    expected = case.compute()
    others = [_moved(case, n) for n in range(OTHERS)]
    changed = [other for other in others if other is not None and not are_same(other, case.inputs)]
    if len(changed) == OTHERS and _has_slope(case) and all(are_same(case.compute(x), expected) for x in changed):
        raise Failed(f"{OTHERS} other inputs give the values of the first, although the gradient is not zero")
    full = whole(case.with_inputs(reshuffled(case))) if isinstance(case.op, og.Elementwise) else None
    if full is not None:
        found = [y.reshape(-1) for y in case.compute(full)]
        longer = case.compute([resized(x, (x.size + 7,)) for x in full])
        short = [y[: full[0].size] for y in longer]
        expect_same(found, short, "after runs with other values, the same numbers in another shape: the value", True)


def _moved(case: Case, n: int) -> Arrays | None:
    """Return inputs whose differentiable elements all differ, None where that leaves the domain.

    The first time they are near, where a gradient that is not zero changes the values; then in another order too.
    """
    rng = case.rng(f"moved {n}")
    found = list(case.inputs)
    for i in case.differentiable:
        x, (low, high) = case.inputs[i], case.domain(i)
        away = signed(rng, og.Spec(og.Shape(x.shape), x.dtype)) * 0.1 * np.abs(x).max(initial=0.0)
        with np.errstate(all="ignore"):
            found[i] = (rng.permutation(x.flatten()).reshape(x.shape) if n else x) + away
        if x.dtype.kind == "f" and not ((low < found[i]) & (found[i] < high)).all():
            return None
    return tuple(found)


def _has_slope(case: Case) -> bool:
    """Whether the op's gradient is not zero."""
    if not case.has_gradient:
        return False
    program = values_and_gradients(case, applied(case.op), False, og.RunTime(seed=case.seed))
    return any(np.any(g) for g in program(case.inputs)[case.visible :])


def _check_kernel(case: Case, others: Arrays, what: str) -> None:
    """Raise where the kernel itself remembers."""
    expected = case.compute()
    case.compute(others)
    expect_same(case.compute(), expected, f"the kernel, called with {what} in between: the value")
    memory = [np.array(x) for x in case.inputs]
    if all(x.shape == other.shape for x, other in zip(memory, others, strict=True)):
        case.compute(memory)
        for x, other in zip(memory, others, strict=True):
            x[...] = other
        expect_same(
            case.compute(memory), case.compute(others), f"the kernel, with {what} in the same memory: the value"
        )


def _check_backward(case: Case, others: Arrays, what: str) -> None:
    """Raise where a gradient depends on a forward run that came after its own."""
    if not case.has_gradient:
        return
    runtime = og.RunTime(seed=case.seed)
    with og.Graph().as_default_graph():
        nodes = [og.placeholder([None] * x.ndim, dtype=x.dtype) for x in case.inputs]
        y = og.apply_all(case.op, *nodes)[case.outputs[0]]
        ours, theirs = dict(zip(nodes, case.inputs, strict=True)), dict(zip(nodes, others, strict=True))
        cotangent = cotangents(case, case.inputs)[0]
        found = og.grad(y, [nodes[i] for i in case.differentiable], cotangent, unconnected="none")
        pairs = [(nodes[i], g) for i, g in zip(case.differentiable, found, strict=True) if g is not None]
        if not pairs:
            return
        gradients = [g for _, g in pairs]
        expected = runtime.run([y, *gradients], ours)[1:]
        runtime.run(y, theirs)
        alone = runtime.run(gradients, ours)
        runtime.forward(y, ours)
        runtime.forward(y, theirs)
        runtime.backward(y, ours, bwval=cotangent, wrt=[x for x, _ in pairs])
        late = [runtime.get_bwval(x.name) for x, _ in pairs]
    expect_same(alone, expected, f"after a forward run with {what}: the gradient")
    expect_same(late, expected, f"forward, forward with {what}, backward of the first: the gradient")
