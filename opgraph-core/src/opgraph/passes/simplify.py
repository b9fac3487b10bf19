"""Leave out what changes nothing: neutral elements, inverses, and chains of casts, reshapes and transposes.

Every rule is exact: it gives, to the bit, what the steps give that it replaces, for all shapes of a run. So
``x + 0.0`` stays, since it makes 0.0 of -0.0, and so do factors of 1 beside complex numbers, whose infinities they
make NaN. A check of shapes in the run stays unless it cannot fail.
"""

from typing import Any

import numpy as np

from opgraph.op import Elementwise
from opgraph.ops.arithmetic import Add, Subtract
from opgraph.ops.like import BroadcastLike
from opgraph.ops.shape import Reshape, Squeeze, Transpose
from opgraph.passes.dims import broadcasts
from opgraph.passes.rewriting import Rewriting, Rules, rewrite
from opgraph.spec import known_shape, normalize_axes
from opgraph.structure import Step, Structure


def simplify(structure: Structure) -> Structure:
    """Return `structure` without the steps that change nothing, and with shorter ways in the place of longer ones."""
    return rewrite(structure, RULES)


RULES = Rules()


@RULES.of("core.identity", "core.stop_gradient")
def passed(step: Step, at: Rewriting) -> int:
    """Read what is passed through: gradients were taken already."""
    return step.inputs[0]


@RULES.of("core.multiply")
def times_one(step: Step, at: Rewriting) -> int | None:
    """x * 1 = 1 * x = x."""
    x, y = step.inputs
    if at.specs[step.outputs[0]].dtype.kind == "c":
        return None
    return _without(step, at, x, y, 1) if at.is_filled(y, 1) else _without(step, at, y, x, 1)


@RULES.of("core.divide")
def over_one(step: Step, at: Rewriting) -> int | None:
    """x / 1 = x."""
    x, y = step.inputs
    return None if at.specs[step.outputs[0]].dtype.kind == "c" else _without(step, at, x, y, 1)


@RULES.of("core.add")
def plus_zero(step: Step, at: Rewriting) -> int | None:
    """x + 0 = 0 + x = x for integers, x + -0.0 = -0.0 + x = x for others."""
    x, y = step.inputs
    kind = at.specs[step.outputs[0]].dtype.kind
    zero: Any = complex(-0.0, -0.0) if kind == "c" else -0.0 if kind == "f" else 0
    return _without(step, at, x, y, zero) if at.is_filled(y, zero) else _without(step, at, y, x, zero)


@RULES.of("core.subtract")
def minus_zero(step: Step, at: Rewriting) -> int | None:
    """x - 0 = x; not of -0.0."""
    x, y = step.inputs
    return _without(step, at, x, y, 0)


@RULES.of("core.add", "core.subtract")
def of_negative(step: Step, at: Rewriting) -> int | None:
    """x + -y = -y + x = x - y, and x - -y = x + y; of NaN, the sign may be another one."""
    x, y = step.inputs
    if not at.of_one_dtype(x, y):  # of what a narrow one cannot hold, the negative is another number
        return None
    other = at.maker(y, "core.negative")
    if other is not None:
        return at.new(Subtract() if isinstance(step.op, Add) else Add(), x, other.inputs[0])
    first = at.maker(x, "core.negative") if isinstance(step.op, Add) else None
    return None if first is None else at.new(Subtract(), y, first.inputs[0])


def _without(step: Step, at: Rewriting, x: int, neutral: int, number: Any) -> int | None:
    """Return `x`, in the shape of the step's output, where the other operand is `number` everywhere."""
    if not at.of_one_dtype(x, neutral, *step.outputs) or not at.is_filled(neutral, number):
        return None
    if at.dims.fits(neutral, x):
        return x
    spread = at.maker(neutral, "core.broadcast_like")
    if spread is not None and at.dims.fits(x, neutral) and at.dims.fits(spread.inputs[0], neutral):
        return at.new(BroadcastLike(), x, spread.inputs[1])
    return None


@RULES.of("core.negative", "core.conj")
def done_twice(step: Step, at: Rewriting) -> int | None:
    """-(-x) = x, and the same for conjugates."""
    before = at.maker(step.inputs[0], step.op.name)
    return None if before is None else before.inputs[0]


@RULES.of("core.conj", "core.real")
def part_of_real(step: Step, at: Rewriting) -> int | None:
    """A real number is its own conjugate and real part."""
    return None if at.specs[step.inputs[0]].dtype.kind == "c" else step.inputs[0]


@RULES.of("core.power")
def power_of_integers(step: Step, at: Rewriting) -> int | None:
    """x ** 1 = x; left to floats, whose powers the library rounds as it likes."""
    x, y = step.inputs
    return _without(step, at, x, y, 1) if at.specs[step.outputs[0]].dtype.kind in "iu" else None


@RULES.of("core.cast")
def cast_chain(step: Step, at: Rewriting) -> int | None:
    """Cast to its own dtype, a value stays; cast by way of a dtype that holds it exactly, it is cast at once."""
    (x,) = step.inputs
    to = at.specs[step.outputs[0]].dtype
    if at.specs[x].dtype == to:
        return x
    before = at.maker(x, "core.cast")
    if before is None:
        return None
    (origin,) = before.inputs
    first, by = at.specs[origin].dtype, at.specs[x].dtype
    # out of its range, an integer is what the machine makes of the dtype that it comes from
    same = _holds(by, first) and (to.kind not in "iu" or by.kind in "biu" or _holds(to, first))
    return at.new(step.op, origin) if same else None


def _holds(wide: np.dtype[Any], dtype: np.dtype[Any]) -> bool:
    """Whether `wide` has every value of `dtype`."""
    if dtype.kind in "iu" and wide.kind in "fc":
        parts = np.finfo(wide)
        return np.iinfo(dtype).bits - (dtype.kind == "i") <= parts.nmant + 1 and np.can_cast(dtype, wide, "safe")
    return np.can_cast(dtype, wide, "safe")


@RULES.of("core.transpose")
def transposed_twice(step: Step, at: Rewriting) -> int | None:
    """Two permutations are one, and none where every dimension stays in its place."""
    (x,) = step.inputs
    order = _order(step, at)
    before = at.maker(x, "core.transpose")
    if before is not None:
        (x,) = before.inputs
        first = _order(before, at)
        order = [first[axis] for axis in order]
    if order == list(range(len(order))):
        return x
    return None if before is None else at.new(Transpose(tuple(order)), x)


def _order(step: Step, at: Rewriting) -> list[int]:
    op: Any = step.op
    ndims = at.specs[step.inputs[0]].ndims
    return [axis % ndims for axis in (range(ndims)[::-1] if op.axes is None else op.axes)]


@RULES.of("core.broadcast_like", "core.sum_to", "core.ensure_shape_like", "core.reshape_like")
def like_itself(step: Step, at: Rewriting) -> int | None:
    """What has the shape of `like` already stays as it is."""
    x, like = step.inputs
    return x if at.dims.same(x, like) else None


@RULES.of("core.broadcast_to", "core.reshape")
def to_its_own_shape(step: Step, at: Rewriting) -> int | None:
    """What has the shape already stays as it is; so does one whose unknown size is what is left over."""
    op: Any = step.op
    (x,) = step.inputs
    shape = at.specs[x].shape
    if shape.is_known:
        return x if shape == at.specs[step.outputs[0]].shape else None
    wanted = tuple([None if n == -1 else n for n in op.shape])
    return x if shape == wanted and 0 not in wanted else None


@RULES.of("core.broadcast_like", "core.broadcast_to")
def broadcast_twice(step: Step, at: Rewriting) -> int | None:
    """What is broadcast on its way to a broadcast is broadcast at once."""
    x, *like = step.inputs
    before = at.maker(x, "core.broadcast_like", "core.broadcast_to")
    wanted = like[0] if like else step.outputs[0]
    if before is None or not at.dims.fits(before.inputs[0], x) or not at.dims.fits(x, wanted):
        return None
    return at.new(step.op, before.inputs[0], *like)


_RESHAPES = ("core.reshape", "core.reshape_like", "core.expand_dims", "core.squeeze")


@RULES.of(*_RESHAPES)
def reshaped_twice(step: Step, at: Rewriting) -> int | None:
    """What is reshaped on its way to another shape takes that at once."""
    x, *like = step.inputs
    before = at.maker(x, *_RESHAPES)
    if before is None or not _cannot_fail(before, at):
        return None
    origin = before.inputs[0]
    shape = at.specs[step.outputs[0]].shape
    if like:
        return origin if at.dims.same(origin, like[0]) else at.new(step.op, origin, like[0])
    if step.op.name == "core.reshape":
        return at.new(step.op, origin)
    if shape.is_known and shape == at.specs[origin].shape:
        return origin
    if before.op.name in ("core.reshape", "core.reshape_like"):
        # where both are views of any layout they had better stay, since a reshape may have to copy
        return at.new(Reshape(known_shape(shape)), origin) if shape.is_known else None
    return origin if before.op.name != step.op.name and _axes(before, at) == _axes(step, at) else None


def _axes(step: Step, at: Rewriting) -> tuple[int, ...]:
    """Return which dimensions of the larger value are those of size 1 that `step` inserts or drops."""
    op: Any = step.op
    return normalize_axes(op.axes, max(at.specs[v].ndims for v in (step.inputs[0], step.outputs[0])))


def _cannot_fail(step: Step, at: Rewriting) -> bool:
    """Whether a reshape goes through in every run."""
    op: Any = step.op
    shape = at.specs[step.inputs[0]].shape
    match op.name:
        case "core.expand_dims":
            return True
        case "core.squeeze":
            return all(shape[axis] == 1 for axis in op.axes)
        case "core.reshape_like":
            like = at.specs[step.inputs[1]].shape
            return shape.is_known and like.is_known
    known = [n for n in shape if n is not None]
    rest = [n for n in op.shape if n != -1]
    # one size is left over, and what the others hold divides whatever there is
    divides = -1 in op.shape and 0 not in rest and _product(known) % _product(rest) == 0
    return shape.is_known or divides


def _product(sizes: list[int]) -> int:
    return int(np.prod(sizes, dtype=object))


@RULES.of("core.reduce_sum", "core.reduce_prod", "core.reduce_max", "core.reduce_min")
def reduction_of_one(step: Step, at: Rewriting) -> int | None:
    """One element is its own sum, product and extreme; but as a sum, NumPy makes 0.0 of -0.0."""
    op: Any = step.op
    (x,) = step.inputs
    shape, dtype = at.specs[x].shape, at.specs[x].dtype
    axes = normalize_axes(op.axes, len(shape))
    if any(shape[axis] != 1 for axis in axes) or dtype != at.specs[step.outputs[0]].dtype or dtype.kind == "c":
        return None
    if op.name == "core.reduce_sum" and dtype.kind == "f":
        return None
    return x if op.keepdims or not axes else at.new(Squeeze(axes), x)


@RULES.of(Elementwise)
def broadcast_anyway(step: Step, at: Rewriting) -> int | None:
    """An operand need not be broadcast to a shape to which an elementwise op broadcasts it itself."""
    if len(step.inputs) < 2 or not broadcasts(step.op):
        return None
    for i, value in enumerate(step.inputs):
        spread = at.maker(value, "core.broadcast_like", "core.broadcast_to")
        if spread is None or not at.dims.fits(spread.inputs[0], value):
            continue
        others = step.inputs[:i] + step.inputs[i + 1 :]
        if any(at.dims.fits(value, other) for other in others):
            return at.new(step.op, *step.inputs[:i], spread.inputs[0], *step.inputs[i + 1 :])
    return None


@RULES.of("core.add", "core.subtract", "core.multiply", "core.divide", "core.negative", "core.cast")
def broadcast_later(step: Step, at: Rewriting) -> int | None:
    """Arithmetic on what was broadcast is done before, on fewer elements; its kernels raise for no number."""
    found = next(((v, spread) for v in step.inputs if (spread := at.maker(v, "core.broadcast_like"))), None)
    if found is None:
        return None
    whole, spread = found
    small = []
    for value in step.inputs:
        other = at.maker(value, "core.broadcast_like")
        origin = value if other is None else other.inputs[0]
        if not at.dims.fits(value, whole) or not at.dims.fits(origin, whole) or at.dims.same(origin, whole):
            return None
        small.append(origin)
    return at.new(BroadcastLike(), at.new(step.op, *small), spread.inputs[1])
