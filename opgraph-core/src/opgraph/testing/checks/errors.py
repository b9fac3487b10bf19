"""What an op refuses, and how."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import opgraph as og
from opgraph.testing.case import Case, Failed
from opgraph.testing.check import NOTHING, Check
from opgraph.testing.declared import declared_samples
from opgraph.testing.variations import dimensions, resized, shapes_of, with_sizes

Array: TypeAlias = NDArray[Any]

# runs as somebody's own code, whose line messages name
USER_FILE = "<an invalid sample>"
USER_CODE = compile(
    "og.apply_all(og.make_op(op_class, **attributes), *[og.constant(x) for x in inputs])", USER_FILE, "exec"
)
# what every op that takes a kind of numbers should take, or refuse; of other kinds, the samples say nothing
DTYPES = tuple(map(np.dtype, (np.int32, np.uint8, np.float32, np.complex64)))


class Errors(Check):
    """What an op cannot do, it refuses when the node is made, with an opgraph error that says where."""

    name = "errors"

    def on_op(self, op_class: type[og.Op], seed: int) -> str | None:
        invalid = [s for s in declared_samples(op_class, seed) if s.raises is not None]
        for n, sample in enumerate(invalid):
            _check_raises(op_class, sample, f"invalid sample {sample.id or n!r}")
        return None if invalid else NOTHING

    def on_case(self, case: Case) -> str | None:
        try:
            with case.graph():
                pass
        except og.OpgraphError as error:
            raise Failed(f"a valid sample raises {type(error).__name__}: {error}") from error
        for what, inputs in _other_shapes(case):
            expect_no_bare_error(case, what, inputs)
        kinds = {x.dtype.kind for x in case.inputs}
        for what, inputs in other_dtypes(case, [dtype for dtype in DTYPES if dtype.kind in kinds]):
            expect_no_bare_error(case, what, inputs)
        return None


def _check_raises(op_class: type[og.Op], sample: og.Sample, what: str) -> None:
    wanted: Any = sample.raises
    if not issubclass(wanted, og.OpgraphError):
        raise Failed(f"{what} declares {wanted.__name__}, which is no error of opgraph's")
    names = {
        "__name__": "somebody",
        "og": og,
        "op_class": op_class,
        "attributes": dict(sample.attrs),
        "inputs": [np.asarray(x) for x in sample.inputs],
    }
    try:
        with og.Graph().as_default_graph():
            exec(USER_CODE, names)
    except og.OpgraphError as error:
        message, found = str(error), type(error)
    except Exception as error:  # an op may raise anything
        raise Failed(f"{what} raises {type(error).__name__}: {error}, not {wanted.__name__}") from error
    else:
        raise Failed(f"{what} declares {wanted.__name__}, but nothing is raised when the node is made")
    if found is not wanted:
        raise Failed(f"{what} declares {wanted.__name__}, but raises {found.__name__}: {message}")
    if op_class.short_name() not in message:
        raise Failed(f"{what}: the message does not name {op_class.short_name()}: {message}")
    if USER_FILE not in message:
        raise Failed(f"{what}: the message does not end with the user's own line: {message}")


def _other_shapes(case: Case) -> Iterator[tuple[str, list[Array]]]:
    """Yield inputs that may be wrong, with what was changed: one size, or the number of dimensions."""
    shapes = shapes_of(case.inputs)
    for i, axis in dimensions(shapes):
        for size in sorted({0, 1, shapes[i][axis] + 1} - {shapes[i][axis]}):
            changed = with_sizes(shapes, {(i, axis): size})
            yield f"size {size} along axis {axis} of input {i}", _filled(case, i, changed[i])
    for i, shape in enumerate(shapes):
        yield f"another dimension of input {i}", _filled(case, i, (1, *shape))
        if shape:
            yield f"one dimension less of input {i}", _filled(case, i, shape[1:])


def other_dtypes(case: Case, dtypes: Sequence[np.dtype[Any]]) -> Iterator[tuple[str, list[Array]]]:
    """Yield inputs of other dtypes, with what was changed; inputs that share one go on to do so.

    What front doors cast to floats before it goes in is left out.
    """
    floating = isinstance(case.op, og.Elementwise) and case.op.floating
    for before in {x.dtype for x in case.inputs}:
        for dtype in dtypes:
            if dtype != before and not (floating and dtype.kind in "biu"):
                yield f"{dtype} for {before}", [_cast(x, dtype) if x.dtype == before else x for x in case.inputs]


def _filled(case: Case, i: int, shape: tuple[int, ...]) -> list[Array]:
    return [resized(x, shape) if k == i else x for k, x in enumerate(case.inputs)]


def _cast(x: Array, dtype: np.dtype[Any]) -> Array:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # parts, signs and fractions are lost, which is no matter
        return x.astype(dtype)


def expect_no_bare_error(case: Case, what: str, inputs: list[Array]) -> None:
    """Raise unless the op refuses `inputs` by an error of opgraph's, or computes them."""
    method = "infer"
    try:
        case.op.infer(tuple(og.Spec(og.Shape(x.shape), x.dtype) for x in inputs))
        method = "compute"
        case.compute(inputs)
    except og.OpgraphError:
        return
    except Exception as error:  # what is looked for
        shown = ", ".join(f"{x.shape} {x.dtype}" for x in inputs)
        raise Failed(
            f"with {what}, {method} raises {type(error).__name__}: {error}; infer must refuse {shown} with ShapeError, "
            "DtypeError or ArgumentError, or compute must take it"
        ) from error
