"""Compute better what loses digits, or overflows, when it is computed as written.

These rules change values: for the better where the formula as written rounds, overflows or gives NaN, and by
rounding elsewhere. Gradients were built from the formula as written; that of log(sum(exp(x))) is rewritten too.
"""

from collections.abc import Callable

import numpy as np

from opgraph.build import contract
from opgraph.errors import DtypeError, KernelError, OpgraphError, ShapeError
from opgraph.graph import Graph, placeholder
from opgraph.node import Node
from opgraph.op import Op
from opgraph.ops.arithmetic import Multiply, Subtract
from opgraph.ops.elementwise import Exp, Expm1, Log1p, LogAddExp
from opgraph.ops.like import BroadcastLike
from opgraph.passes.lower import lower
from opgraph.passes.rewriting import Rewriting, Rules, rewrite
from opgraph.structure import Step, Structure


def stabilize(structure: Structure) -> Structure:
    """Return `structure` with formulas in the place of others that are the same but for rounding and overflow.

    Those of the core are log(1 + x), log(exp(x) + exp(y)), log(sum(exp(x))) with its gradient, log(exp(x)) and
    exp(x) - 1, of real numbers; an op says more with `Op.read_by`.
    """
    concerned = any(step.op.name in _NEEDED or type(step.op).read_by is not Op.read_by for step in structure.steps)
    return rewrite(structure, RULES) if concerned else structure


_NEEDED = {"core.exp", "core.log"}  # without one of these, no rule of the core applies

RULES = Rules()


@RULES.of("core.log")
def log_of_exp(step: Step, at: Rewriting) -> int | None:
    """log(exp(x)) = x."""
    return _exponent(step.inputs[0], at)


@RULES.of("core.log")
def log_of_sum(step: Step, at: Rewriting) -> int | None:
    """log(exp(x) + exp(y)) = logaddexp(x, y); log(1 + exp(x)) = logaddexp(x, 0); log(1 + x) = log1p(x)."""
    added = at.maker(step.inputs[0], "core.add")
    if added is None or not _is_real(step, at) or not at.of_one_dtype(*added.inputs):
        return None
    x, y = added.inputs
    first, second = _exponent(x, at), _exponent(y, at)
    if first is not None and second is not None:
        return at.new(LogAddExp(), first, second)
    for one, other, exponent in ((x, y, second), (y, x, first)):
        if at.is_filled(one, 1) and at.dims.fits(one, other):
            if exponent is None:
                return at.new(Log1p(), other)
            return at.new(LogAddExp(), exponent, at.constant(np.zeros((), at.specs[exponent].dtype)))
    return None


@RULES.of("core.log1p")
def log1p_of_exp(step: Step, at: Rewriting) -> int | None:
    """log1p(exp(x)) = logaddexp(x, 0)."""
    exponent = _exponent(step.inputs[0], at)
    if exponent is None:
        return None
    return at.new(LogAddExp(), exponent, at.constant(np.zeros((), at.specs[exponent].dtype)))


@RULES.of("core.subtract", "core.add")
def exp_less_one(step: Step, at: Rewriting) -> int | None:
    """exp(x) - 1 = exp(x) + -1 = -1 + exp(x) = expm1(x)."""
    if not at.of_one_dtype(*step.inputs):
        return None
    one = 1 if step.op.name == "core.subtract" else -1
    pairs = [step.inputs] if one == 1 else [step.inputs, step.inputs[::-1]]
    for x, y in pairs:
        exponent = _exponent(x, at)
        if exponent is not None and at.is_filled(y, one) and at.dims.fits(y, x):
            return at.new(Expm1(), exponent)
    return None


@RULES.of("core.log")
def log_of_sum_over_axes(step: Step, at: Rewriting) -> int | None:
    """log(sum(exp(x))) = logsumexp(x)."""
    return _logsumexp(step.inputs[0], at)


@RULES.of("core.multiply")
def gradient_of_logsumexp(step: Step, at: Rewriting) -> int | None:
    """exp(x) * (g / sum(exp(x))) = exp(x - logsumexp(x)) * g, which is what the vjp of log(sum(exp(x))) makes."""
    for powers, share in (step.inputs, step.inputs[::-1]):
        x = _exponent(powers, at)
        views, quotient = _through_views(share, at)
        divided = None if x is None else at.maker(quotient, "core.divide")
        if x is None or divided is None:
            continue
        g, total = divided.inputs
        summed = at.maker(total, "core.reduce_sum")
        level = None if summed is None or summed.inputs != (powers,) else _logsumexp(total, at)
        if level is None or not at.dims.fits(g, total) or not at.of_one_dtype(g, total, powers, share):
            continue
        if not at.dims.same(g, total):
            g = at.new(BroadcastLike(), g, total)
        for view in reversed(views):
            g, level = (at.new(view.op, value, *view.inputs[1:]) for value in (g, level))
        return at.new(Multiply(), at.new(Exp(), at.new(Subtract(), x, level)), g)
    return None


@RULES.of(Op)
def read_as_the_op_says(step: Step, at: Rewriting) -> int | None:
    """Ask the op that made the only input what its output amounts to under this op."""
    made = at.any_maker(step.inputs[0]) if len(step.inputs) == 1 else None
    if made is None or type(made.op).read_by is Op.read_by or len(made.outputs) > 1:
        return None
    asked = f"read_by, asked about {step.op.short_name()},"
    at.blame(made, f"its {asked}")
    with contract(asked):
        build = made.op.read_by(step.op)
        try:
            return None if build is None else _built(build, made, at, asked)
        except (ShapeError, DtypeError, KernelError):
            raise
        except OpgraphError as error:  # a misspelt name does not say that this cannot go in
            raise KernelError(f"its {asked} raised {type(error).__name__}: {error.detail}") from error


def _is_real(step: Step, at: Rewriting) -> bool:
    return at.specs[step.outputs[0]].dtype.kind == "f"


def _exponent(value: int, at: Rewriting) -> int | None:
    """Return the x of a `value` that is exp(x), of a real x."""
    step = at.maker(value, "core.exp")
    return step.inputs[0] if step is not None and _is_real(step, at) else None


def _logsumexp(total: int, at: Rewriting) -> int | None:
    """Return the logarithm of a `total` that is a sum of exponentials, unless these are shifted by hand already."""
    summed = at.maker(total, "core.reduce_sum")
    x = None if summed is None else _exponent(summed.inputs[0], at)
    if summed is None or x is None or _is_shifted(x, at):
        return None
    from opgraph.ops.reduce import ReduceLogSumExp, ReduceSum  # where there is a sum, this module is there

    assert isinstance(summed.op, ReduceSum)
    return at.new(ReduceLogSumExp(summed.op.axes, summed.op.keepdims), x)


def _is_shifted(x: int, at: Rewriting) -> bool:
    """Whether `x` is something less its own maximum."""
    difference = at.maker(x, "core.subtract")
    if difference is None:
        return False
    level = at.maker(at.unviewed(difference.inputs[1]), "core.reduce_max")
    return level is not None and at.unviewed(level.inputs[0]) == at.unviewed(difference.inputs[0])


def _through_views(value: int, at: Rewriting) -> tuple[list[Step], int]:
    """Return the steps that spread `value` out, the last one first, and the value that they start from."""
    views: list[Step] = []
    while (view := at.maker(value, "core.expand_dims", "core.broadcast_like", "core.reshape_like")) is not None:
        if len(views) == 4:
            break
        views.append(view)
        value = view.inputs[0]
    return views, value


def _built(build: Callable[..., Node], made: Step, at: Rewriting, asked: str) -> int:
    """Return the value of what `build`, which its read_by returned when `asked`, makes of the inputs of `made`."""
    with Graph().as_default_graph():
        specs = [at.specs[value] for value in made.inputs]
        inputs = [placeholder(spec.shape, dtype=spec.dtype) for spec in specs]
        node = build(*inputs)
        if not isinstance(node, Node):
            raise KernelError(f"its {asked} returned a function that gave {node!r}, not a node")
        lowered = lower([node], {})
    structure = lowered.structure
    if structure.keys or structure.variables:
        raise KernelError(f"its {asked} returned a function that draws random numbers or uses variables")
    read: dict[Node, int] = dict(zip(inputs, made.inputs, strict=True))
    fed = [*(read[node] for node in lowered.placeholders), *map(at.constant, lowered.constants)]
    numbers = dict(zip(structure.feeds, fed, strict=True))
    numbers.update((value, at.constant(array)) for value, array in structure.constants.items())
    for step in structure.steps:
        outputs = at.new_all(step.op, *[numbers[value] for value in step.inputs])
        numbers.update(zip(step.outputs, outputs, strict=True))
    return numbers[structure.fetches[0]]
