"""What a kernel may read and write."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import opgraph as og
from opgraph.testing.agreement import expect_same
from opgraph.testing.case import POISON, Case, Failed, frozen, poisoned, run
from opgraph.testing.check import Check
from opgraph.testing.programs import applied, signed, values_and_gradients
from opgraph.testing.variations import whole

Array: TypeAlias = NDArray[Any]

OTHER_POISON = {"f": -7.5e3, "c": -7.5e3, "i": 55, "u": 3, "b": False}


class Purity(Check):
    """The kernel reads its inputs alone, writes its outputs alone and in full, and leaves everything else as it was."""

    name = "purity"

    def on_case(self, case: Case) -> str | None:
        expected = case.compute()
        _check_inputs_stay(case)
        _check_gradient_inputs_stay(case)
        _check_rubbish_does_not_matter(case, expected)
        _check_unread(case, expected)
        _check_views(case, expected)
        if isinstance(case.op, og.Elementwise):
            for inputs in _several_shapes(case):
                _check_blocks(case, inputs)
                if case.op.inplace:
                    _check_inplace(case, inputs)
        return None


def _check_inputs_stay(case: Case) -> None:
    """Raise where the kernel writes to an input, returns something, draws from NumPy's global state, or remembers."""
    inputs = [np.array(x) for x in case.inputs]  # writable ones
    outs = [poisoned(spec) for spec in case.specs]
    wanted = case.op.scratch(tuple(og.Spec(og.Shape(x.shape), x.dtype) for x in inputs), case.specs)
    extra = (tuple(map(poisoned, wanted)),) if wanted else ()
    attributes = dict(vars(case.op))
    with _global_state_moved() as drawn, np.errstate(all="ignore"):
        returned: Any = case.op.compute(tuple(inputs), tuple(outs), *extra)  # type: ignore[func-returns-value]  # unless wrong
    if returned is not None:
        raise Failed(f"compute returns {type(returned).__name__}; it must fill its outputs and return None")
    _check_bytes(inputs, case.inputs, "compute writes to input {}")
    if drawn:
        raise Failed("compute draws from NumPy's global random state; take a key, and og.generator(key)")
    if vars(case.op) != attributes or vars(case.op).keys() != case.op.attributes().keys():
        held = ", ".join(sorted(set(vars(case.op)) - set(case.op.attributes())))
        raise Failed(f"the op holds more than its attributes: {held or 'one has changed'}; ops are stateless")


def _check_gradient_inputs_stay(case: Case) -> None:
    state = _random_state()
    program = values_and_gradients(case, applied(case.op), False, og.RunTime(seed=case.seed))
    if _random_state() != state:
        raise Failed("infer or vjp draws from NumPy's global random state")
    inputs = [np.array(x) for x in case.inputs]
    program(inputs)
    _check_bytes(inputs, case.inputs, "a run with gradients writes to input {}")
    _check_helpers(case)
    if _random_state() != state:
        raise Failed("the gradient draws from NumPy's global random state; take a key, and og.generator(key)")


def _check_helpers(case: Case) -> None:
    """Raise where a kernel of the gradient writes to what it reads, the cotangent say."""
    if not case.has_gradient:
        return
    with case.graph() as (nodes, outputs):
        ys = [outputs[o] for o in case.outputs]
        given = [og.placeholder(y.shape, dtype=y.dtype) for y in ys]
        calls = _calls_between(list(og.vjp(ys, [nodes[i] for i in case.differentiable], given)), ys)
        feeds = dict(zip([*nodes, *given], [*case.inputs, *(signed(case.rng("u"), y.spec) for y in ys)], strict=True))
        runtime = og.RunTime(seed=case.seed)
        for call in calls:
            if any(x.call is not None and x.index >= x.call.visible for x in call.inputs):
                continue  # a hidden output is not to be had
            values = runtime.run(list(call.inputs), feeds)
            kept = [value.copy() for value in values]
            outs = [
                poisoned(spec) for spec in call.op.infer(tuple(og.Spec(og.Shape(x.shape), x.dtype) for x in values))
            ]
            run(call.op, values, outs, [og.Spec(og.Shape(y.shape), y.dtype) for y in outs])
            _check_bytes(values, kept, f"{call.op.name}, in the gradient, writes to input {{}}")


def _calls_between(roots: Sequence[og.Node], leaves: Sequence[og.Node]) -> list[og.Call]:
    """Return the calls that lead to `roots`, but for those that make `leaves`, each once."""
    ends = {leaf.call for leaf in leaves}
    found: dict[og.Call, None] = {}
    pending = [root.call for root in roots]
    while pending:
        call = pending.pop()
        if call is not None and call not in found and call not in ends:
            found[call] = None
            pending += [x.call for x in call.inputs]
    return list(found)


def _check_bytes(found: Sequence[Array], expected: Sequence[Array], what: str) -> None:
    for i, (x, before) in enumerate(zip(found, expected, strict=True)):
        if x.tobytes() != before.tobytes():
            raise Failed(what.format(i) + "; inputs are read-only, work space is declared by scratch")


def _check_rubbish_does_not_matter(case: Case, expected: list[Array]) -> None:
    """Raise where what outputs or work space held before shows in the outputs."""
    specs, ins = case.specs, case.inputs
    outs = [poisoned(spec, OTHER_POISON[spec.dtype.kind]) for spec in specs]
    wanted = case.op.scratch(tuple(og.Spec(og.Shape(x.shape), x.dtype) for x in ins), specs)
    extra = (tuple(poisoned(spec, OTHER_POISON[spec.dtype.kind]) for spec in wanted),) if wanted else ()
    with np.errstate(all="ignore"):
        case.op.compute(ins, tuple(outs), *extra)
    expect_same(outs, expected, "over other rubbish in outputs and work space (all must be overwritten), the value")


def _check_unread(case: Case, expected: list[Array]) -> None:
    """Raise where an input that is read for its shape alone is read."""
    for poison in (POISON, OTHER_POISON) if case.unread else ():
        inputs = list(case.inputs)
        for i in case.unread:
            x = inputs[i]
            inputs[i] = np.broadcast_to(np.array(poison[x.dtype.kind], x.dtype), x.shape)
        expect_same(
            case.compute(inputs), expected, f"with no data in {sorted(case.unread)}, which shape_only names, the value"
        )


def _check_views(case: Case, expected: list[Array]) -> None:
    """Raise where `view` returns anything but the outputs' values over the inputs' memory."""
    views: Any = case.op.view(case.inputs)
    if views is None:
        return
    if not isinstance(views, tuple) or not all(isinstance(view, np.ndarray) for view in views):
        raise Failed(f"view returns {views!r}, not a tuple of arrays; x[1, ...] is one where x[1] is a number")
    expect_same(views, expected, "the view")
    for o, view in enumerate(views):
        if view.size and not any(np.shares_memory(view, x) for x in case.inputs):
            raise Failed(f"view returns memory of its own for output {o}; return None to have the outputs computed")
        if view.flags.writeable and view.size:
            raise Failed(f"view returns a writable array for output {o} although its input is read-only")


def _several_shapes(case: Case) -> Iterator[tuple[Array, ...]]:
    """Yield the sample's inputs, and the same expanded to one shape of several rows."""
    yield case.inputs
    full = whole(case, (3, 2))
    if full is not None:
        yield full


def _check_blocks(case: Case, inputs: tuple[Array, ...]) -> None:
    """Raise where a range of rows, computed alone, gives other values than the whole."""
    expected = case.compute(inputs)
    shape = expected[0].shape
    rows = shape[0] if shape else 0
    # NumPy multiplies complex numbers by another loop, whose last bit differs, where one of them is repeated
    rounding = any(x.dtype.kind == "c" for x in inputs)
    specs = case.op.infer(tuple(og.Spec(og.Shape(x.shape), x.dtype) for x in inputs))
    for start, stop in sorted({(0, 1), (1, rows), (rows - 1, rows)}) if rows > 1 else ():
        block = [x[start:stop] if x.ndim == len(shape) and x.shape[0] == rows else x for x in inputs]
        outs = [poisoned(spec) for spec in specs]
        parts = [out[start:stop] for out in outs]
        given = [og.Spec(og.Shape(part.shape), part.dtype) for part in parts]
        run(case.op, [frozen(x[...]) for x in block], parts, given)
        what = f"rows {start} to {stop} of {rows}, computed as a block on their own,"
        expect_same(parts, [y[start:stop] for y in expected], what, rounding)
        for out, spec in zip(outs, specs, strict=True):
            out[start:stop] = poisoned(spec)[start:stop]
            expect_same([out], [poisoned(spec)], f"what lies around {what}")


def _check_inplace(case: Case, inputs: tuple[Array, ...]) -> None:
    """Raise where the values differ when an output lies in the memory of an input."""
    expected = case.compute(inputs)
    specs = case.op.infer(tuple(og.Spec(og.Shape(x.shape), x.dtype) for x in inputs))
    for i, x in enumerate(inputs):
        for o, spec in enumerate(specs):
            if (x.shape, x.dtype) == (spec.shape, spec.dtype):
                given = [np.array(each) for each in inputs]
                outs = [poisoned(each) for each in specs]
                outs[o] = given[i]
                run(case.op, [_read_only(each) for each in given], outs, specs)
                expect_same(
                    outs,
                    expected,
                    f"inplace = True promises that no input is read after an output was written, but with output {o} "
                    f"in the memory of input {i} the value",
                )


def _read_only(x: Array) -> Array:
    return frozen(x.view())


@contextlib.contextmanager
def _global_state_moved() -> Iterator[list[str]]:
    """Give NumPy's global generator a state of its own for a ``with``; the list says whether that has changed."""
    before = np.random.get_state()  # noqa: NPY002  # the state that nobody must touch
    drawn: list[str] = []
    np.random.seed(20260)  # noqa: NPY002  # a seed that no op sets by chance
    state = _random_state()
    try:
        yield drawn
    finally:
        if _random_state() != state:
            drawn.append("changed")
        np.random.set_state(before)  # noqa: NPY002


def _random_state() -> bytes:
    kind, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002  # the state that nobody must touch
    return repr((kind, rest)).encode() + np.asarray(keys).tobytes()
