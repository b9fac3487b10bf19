"""The samples themselves, on which all other checks depend."""

import itertools

import numpy as np

import opgraph as og
from opgraph.testing.case import Case, Failed
from opgraph.testing.check import Check
from opgraph.testing.declared import declared_samples
from opgraph.testing.variations import dimensions, dtypes_of, inferred, shapes_of, with_sizes

LEAST = 3
DTYPES = tuple(map(np.dtype, (np.bool, np.int64, np.float32, np.complex64)))


class Samples(Check):
    """The samples are enough to check the op: several, an empty one, one of size 1, an invalid one, no sizes alike."""

    name = "samples"
    searchable = False  # only the declared ones matter

    def on_op(self, op_class: type[og.Op], seed: int) -> str | None:
        samples = _listed(op_class, seed)
        cases = [Case.of(op_class, s, s.id or str(n), seed) for n, s in enumerate(samples) if s.raises is None]
        _check_declared(op_class.info, max((len(case.inputs) for case in cases), default=0))
        if len(cases) < LEAST:
            raise Failed(f"yields {len(cases)} valid samples; at least {LEAST} are needed")
        if not any(x.size == 0 for case in cases for x in case.inputs) and any(_takes(case, 0) for case in cases):
            raise Failed("takes inputs of size 0, but no sample has one")
        if not any(1 in x.shape for case in cases for x in case.inputs) and any(_takes(case, 1) for case in cases):
            raise Failed("takes inputs of size 1, but no sample has a dimension of that size")
        if not any(s.raises for s in samples):
            refused = next(filter(None, map(_refusal, cases)), "")
            if refused:
                raise Failed(f"refuses {refused}, but no sample with raises= says so")
        return None

    def on_case(self, case: Case) -> str | None:
        shapes, dtypes = shapes_of(case.inputs), dtypes_of(case.inputs)
        larger = max((n for shape in shapes for n in shape), default=0) + 1
        for a, b in itertools.combinations(dimensions(shapes), 2):
            size = shapes[a[0]][a[1]]
            if size == 1 or size != shapes[b[0]][b[1]]:
                continue
            for i, axis in (a, b):
                if inferred(case.op, with_sizes(shapes, {(i, axis): size + larger}), dtypes) is not None:
                    raise Failed(
                        f"{_named(a)} and {_named(b)} have the same size {size}, though {_named((i, axis))} may have "
                        "another; what confuses the two would go unseen, so give them different sizes",
                        size=size,
                    )
        return None


def _listed(op_class: type[og.Op], seed: int) -> list[og.Sample]:
    """Return the samples, which must be the same again for the same seed."""
    listed = declared_samples(op_class, seed)
    if not listed:
        raise Failed("yields no sample; write a classmethod samples(cls, rng) that yields og.Sample(inputs, attrs)")
    again = declared_samples(op_class, seed)
    if _bytes(listed) != _bytes(again):
        raise Failed("yields other samples for the same rng; draw from the rng that is passed in")
    return listed


def _check_declared(info: og.OpInfo | None, n: int) -> None:
    """Raise where what is declared of inputs, by their numbers, is not of one of `n`."""
    if info is None or not n:
        return
    for name, numbers in (("multilinear", info.multilinear), ("zero_gradient", info.zero_gradient)):
        if any(i >= n for i in numbers):
            raise Failed(f"OpInfo.{name} names input {max(numbers)}; the samples have inputs 0 to {n - 1} at most")
    if info.domain is not None and not isinstance(info.domain[0], int | float) and len(info.domain) < n:
        raise Failed(f"OpInfo.domain has {len(info.domain)} intervals; the samples have up to {n} inputs")


def _bytes(samples: list[og.Sample]) -> list[list[bytes]]:
    return [[np.asarray(x).tobytes() for x in sample.inputs] for sample in samples]


def _takes(case: Case, size: int) -> bool:
    """Whether the op takes the sample's inputs with another size in place of one, wherever that stands."""
    shapes, dtypes = shapes_of(case.inputs), dtypes_of(case.inputs)
    sizes = {n for shape in shapes for n in shape if n > 1}
    return any(
        inferred(case.op, tuple(tuple(size if n == old else n for n in s) for s in shapes), dtypes) is not None
        for old in sizes
    )


def _refusal(case: Case) -> str:
    """Return what the op's own methods refuse, or nothing: another size, number of dimensions, or dtype."""
    shapes, dtypes = shapes_of(case.inputs), dtypes_of(case.inputs)
    if type(case.op).infer is not og.Elementwise.infer:
        for i, axis in dimensions(shapes):
            if inferred(case.op, with_sizes(shapes, {(i, axis): shapes[i][axis] + 1}), dtypes) is None:
                return f"another size along {_named((i, axis))}"
        for i, shape in enumerate(shapes):
            other = tuple((1, *shape) if k == i else s for k, s in enumerate(shapes))
            if inferred(case.op, other, dtypes) is None:
                return f"another dimension of input {i}"
    for dtype in DTYPES:
        if dtype.kind not in _refused_by_base(case.op) and inferred(case.op, shapes, [dtype] * len(shapes)) is None:
            return f"inputs of {dtype}"
    return ""


def _refused_by_base(op: og.Op) -> str:
    """Return the kinds of dtypes that the base class refuses, because the op's class says so."""
    return op.refuses + ("biu" if op.floating else "") if isinstance(op, og.Elementwise) else ""


def _named(dim: tuple[int, int]) -> str:
    return f"axis {dim[1]} of input {dim[0]}"
