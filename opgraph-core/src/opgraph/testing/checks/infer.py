"""What an op infers, for every set of unknown sizes."""

from typing import Any

import opgraph as og
from opgraph.testing.case import Case, Failed
from opgraph.testing.check import Check
from opgraph.testing.variations import (
    Shapes,
    dimensions,
    dtypes_of,
    inferred,
    shapes_of,
    subsets_of_dimensions,
    with_sizes,
)


class Infer(Check):
    """What infer says of unknown sizes agrees with what it says, and compute fills, once they are known.

    So do `scratch`, `shape_only` and `flops` say what they may.
    """

    name = "infer"

    def on_case(self, case: Case) -> str | None:
        shapes, dtypes = shapes_of(case.inputs), dtypes_of(case.inputs)
        known = _checked(case, shapes, "the sample")
        for spec in known:
            if None in spec.shape:
                raise Failed(f"infer gives {spec} although every size is known: {_shown(shapes)}")
        _check_scratch(case, known)
        _check_flops(case, known)
        _check_unread(case)
        for dims in subsets_of_dimensions(shapes):
            unknown = with_sizes(shapes, dict.fromkeys(dims))
            try:
                said = _checked(case, unknown, "sizes unknown")
            except og.OpgraphError as error:
                if _decides_number_of_outputs(case, dims, len(known)):
                    continue  # how many outputs there are must be known when the graph is built
                raise Failed(
                    f"infer refuses {_shown(unknown)}, which may turn out to be {_shown(shapes)}, which it takes; "
                    f"a size that is None fits any other: {type(error).__name__}: {error}"
                ) from error
            _check_agreement(said, known, unknown, shapes)
            # the sizes may turn out otherwise than in the sample
            for sizes in _other_sizes(shapes, dims):
                actual = inferred(case.op, sizes, dtypes)
                if actual is not None:
                    _check_agreement(said, actual, unknown, sizes)
        return None


def _checked(case: Case, shapes: Shapes, what: str) -> og.Specs:
    """Return what infer says, which must be a tuple of Specs, with an output that is visible, and twice the same."""
    ins = tuple(og.Spec(og.Shape(s), x.dtype) for s, x in zip(shapes, case.inputs, strict=True))
    said: Any
    try:
        said, again = case.op.infer(ins), case.op.infer(ins)
    except og.OpgraphError:
        raise
    except Exception as error:  # an op may raise anything
        raise Failed(
            f"infer raises {type(error).__name__}: {error} for {_shown(shapes)}; what it refuses, it refuses "
            "with ShapeError, DtypeError or ArgumentError, and a size that it computes with may be None"
        ) from error
    if not isinstance(said, tuple) or not all(isinstance(spec, og.Spec) for spec in said):
        raise Failed(f"infer returns {said!r} for {what}, not a tuple of Specs")
    if len(said) <= case.op.hidden:
        raise Failed(f"infer gives {len(said)} outputs, of which {case.op.hidden} are hidden; one must be visible")
    if said != again:
        raise Failed(f"infer, asked twice for {_shown(shapes)}, says {said} and then {again}; it must not keep state")
    return said


def _check_agreement(said: og.Specs, known: og.Specs, unknown: Shapes, shapes: Shapes) -> None:
    about = f"for {_shown(unknown)} infer says {list(said)}; for {_shown(shapes)} it says {list(known)}"
    if len(said) != len(known):
        raise Failed(f"the number of outputs depends on what is known: {about}")
    for o, (early, late) in enumerate(zip(said, known, strict=True)):
        if early.dtype != late.dtype:
            raise Failed(f"the dtype of output {o} depends on what is known: {about}")
        if not early.shape.compatible_with(late.shape):
            raise Failed(f"the shape of output {o} turns out otherwise than promised: {about}")


def _check_scratch(case: Case, outs: og.Specs) -> None:
    ins = tuple(og.Spec(og.Shape(x.shape), x.dtype) for x in case.inputs)
    wanted: Any = case.op.scratch(ins, outs)
    if not isinstance(wanted, tuple) or not all(isinstance(spec, og.Spec) for spec in wanted):
        raise Failed(f"scratch returns {wanted!r}, not a tuple of Specs")
    if any(None in spec.shape for spec in wanted):
        raise Failed(f"scratch returns {list(wanted)}, not known in full although all that goes in is")
    if wanted != case.op.scratch(ins, outs):
        raise Failed("scratch, asked twice, says different things; it must not keep state")


def _check_flops(case: Case, outs: og.Specs) -> None:
    flops: Any = case.op.flops(tuple(og.Spec(og.Shape(x.shape), x.dtype) for x in case.inputs), outs)
    if not isinstance(flops, int) or flops < 0:
        raise Failed(f"flops returns {flops!r} for {_shown(shapes_of(case.inputs))}, not an int from 0")


def _check_unread(case: Case) -> None:
    n = len(case.inputs)
    unread: Any = case.op.shape_only(n)
    if not isinstance(unread, frozenset) or not unread <= frozenset(range(n)):
        raise Failed(f"shape_only returns {unread!r}, not a frozenset of some of the numbers of {n} inputs")


def _decides_number_of_outputs(case: Case, dims: tuple[tuple[int, int], ...], count: int) -> bool:
    shapes, dtypes = shapes_of(case.inputs), dtypes_of(case.inputs)
    for i, axis in dims:
        for other in (shapes[i][axis] + 1, 2 * shapes[i][axis]):
            found = inferred(case.op, with_sizes(shapes, {(i, axis): other}), dtypes)
            if found is not None and len(found) != count:
                return True
    return False


def _other_sizes(shapes: Shapes, dims: tuple[tuple[int, int], ...]) -> list[Shapes]:
    """Return shapes that differ in `dims` alone: equal sizes grown alike, as they may have to be equal; and ones."""
    size = {(i, axis): shapes[i][axis] for i, axis in dims}
    larger = max((shapes[i][axis] for i, axis in dimensions(shapes)), default=0) + 1
    return [
        with_sizes(shapes, {dim: n + larger for dim, n in size.items()}),
        with_sizes(shapes, dict.fromkeys(dims, 1)),
    ]


def _shown(shapes: Shapes) -> str:
    return ", ".join(str(og.Shape(shape)) for shape in shapes) or "no inputs"
