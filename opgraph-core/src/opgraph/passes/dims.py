"""Which sizes are the same in every run, though they are not known."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from opgraph.op import Elementwise, Op
from opgraph.spec import MAX_NDIMS, Spec, normalize_axes
from opgraph.structure import Step

Dims: TypeAlias = tuple[int, ...]  # a known size as it is, an unknown one as a negative number of its own


class KnownDims:
    """The dims of a structure's values; those of values that steps make follow from `learn`, in the steps' order."""

    def __init__(self, specs: Sequence[Spec]) -> None:
        self._specs = specs
        self._unknown: dict[int, Dims] = {}

    def of(self, value: int) -> Dims:
        """Return the sizes of a value; two that are equal are so in every run."""
        if value in self._unknown:
            return self._unknown[value]
        shape = self._specs[value].shape
        if shape.is_known:
            return shape  # type: ignore[return-value]  # which holds no None
        return self._unknown.setdefault(value, self._own(value))

    def learn(self, step: Step, value: int) -> None:
        """Take in what the sizes of `value`, an output of `step`, have to do with those of its inputs."""
        dims = self._derived(step)
        shape = self._specs[value].shape
        if dims is None or len(dims) != len(shape):
            return
        if shape is not self._specs[step.inputs[0]].shape or 0 in dims:
            # 0 stands for what cannot be told from the inputs
            told = zip(shape, dims, self._own(value), strict=True)
            dims = tuple([d or own if n is None else n for n, d, own in told])
        self._unknown[value] = dims

    def broadcast(self, values: Sequence[int]) -> Dims:
        """Return the sizes of what broadcasts `values` against each other, 0 for one that cannot be told."""
        listed = [dims for dims in map(self.of, values) if dims]
        if all(dims == listed[0] for dims in listed):
            return listed[0] if listed else ()
        ndims = max(map(len, listed))
        padded = [(1,) * (ndims - len(dims)) + dims for dims in listed]
        return tuple([_common(sizes) for sizes in zip(*padded, strict=True)])

    def fits(self, value: int, other: int) -> bool:
        """Whether `value` broadcasts to the shape of `other` in every run."""
        return absorbed(self.of(value), self.of(other))

    def same(self, value: int, other: int) -> bool:
        """Whether two values have one shape in every run."""
        return value == other or self.of(value) == self.of(other)

    def _own(self, value: int) -> Dims:
        shape = self._specs[value].shape
        return tuple([-(value * MAX_NDIMS + axis) - 1 if n is None else n for axis, n in enumerate(shape)])

    def _derived(self, step: Step) -> Dims | None:
        if broadcasts(step.op):
            return self.broadcast(step.inputs) if len(step.inputs) > 1 else self.of(step.inputs[0])
        derive = _DERIVATIONS.get(step.op.name)
        return None if derive is None else derive(step.op, [self.of(value) for value in step.inputs])


def broadcasts(op: Op) -> bool:
    """Whether the inputs of `op` broadcast against each other, and nothing else is asked of their sizes."""
    return isinstance(op, Elementwise) and type(op).infer is Elementwise.infer


def absorbed(small: Dims, large: Dims) -> bool:
    """Whether sizes broadcast to others, whatever the unknown ones turn out to be."""
    lead = len(large) - len(small)
    return lead >= 0 and all(m in (1, n) for m, n in zip(small, large[lead:], strict=True))


def _common(sizes: Sequence[int]) -> int:
    distinct = {size for size in sizes if size != 1}
    return distinct.pop() if len(distinct) == 1 else 0 if distinct else 1


def _as_like(op: Any, ins: Sequence[Dims]) -> Dims:
    return ins[1]


def _transposed(op: Any, ins: Sequence[Dims]) -> Dims:
    (x,) = ins
    return x[::-1] if op.axes is None else tuple([x[axis] for axis in op.axes])


def _expanded(op: Any, ins: Sequence[Dims]) -> Dims:
    (x,) = ins
    sizes = iter(x)
    axes = normalize_axes(op.axes, len(x) + len(op.axes))
    return tuple([1 if i in axes else next(sizes) for i in range(len(x) + len(axes))])


def _squeezed(op: Any, ins: Sequence[Dims]) -> Dims:
    (x,) = ins
    axes = normalize_axes(op.axes, len(x))
    return tuple([n for i, n in enumerate(x) if i not in axes])


def _reduced(op: Any, ins: Sequence[Dims]) -> Dims:
    (x,) = ins
    axes = normalize_axes(op.axes, len(x))
    return tuple([1 if i in axes else n for i, n in enumerate(x) if op.keepdims or i not in axes])


def _multiplied(op: Any, ins: Sequence[Dims]) -> Dims | None:
    x, y = ins
    return (*x[:-1], y[1]) if len(y) == 2 else None


_REDUCTIONS = ("sum", "mean", "prod", "max", "min", "variance", "std", "logsumexp", "any", "all")

# by name, so that nothing is imported for an op that no graph has
_DERIVATIONS: Mapping[str, Callable[[Any, Sequence[Dims]], Dims | None]] = {
    **dict.fromkeys((f"core.{name}_like" for name in ("broadcast", "reshape", "ensure_shape")), _as_like),
    **dict.fromkeys((f"core.reduce_{name}" for name in _REDUCTIONS), _reduced),
    "core.sum_to": _as_like,
    "core.transpose": _transposed,
    "core.expand_dims": _expanded,
    "core.squeeze": _squeezed,
    "core.matmul": _multiplied,
}
