"""What an op says that other ops make of its output."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import opgraph as og
from opgraph.testing.case import Case, Failed, Unsampled
from opgraph.testing.check import NOTHING, Check
from opgraph.testing.declared import declared_samples
from opgraph.testing.programs import Function, signed

Array: TypeAlias = NDArray[Any]

COMMON = ("core", "nn", "vision")  # whoever reads an op's output, it is likely to be one of these
DRAWS = 6  # of the last places of what is read, to see how much the values depend on them
NOISE = 32.0  # times as much may a rewrite change, which rounds elsewhere


class Rewrites(Check):
    """What an op builds by `read_by` in the place of itself under another op gives the values and gradients of both."""

    name = "rewrites"

    def on_case(self, case: Case) -> str | None:
        if type(case.op).read_by is og.Op.read_by:
            return NOTHING
        if len(case.specs) > 1:
            return "it is asked about the ops that read its output, and has several"
        answered = False
        for reader in _readers(case):
            if case.op.read_by(reader) is not None:
                answered = True
                for unknown in (False, True):
                    _compare(case, reader, unknown)
        return None if answered else "no op that reads its output is rewritten"


def _readers(case: Case) -> Iterator[og.Op]:
    """Yield the ops, with the attributes of their own samples, that take the output of the case's op alone."""
    namespaces = (*COMMON, type(case.op).name.partition(".")[0])
    for reader in dict.fromkeys([case.op, *_ops_of_one_input(namespaces)]):
        try:
            reader.infer(case.specs)
        except Exception:  # it may refuse in any way what was not made for it
            continue
        yield reader


@functools.cache
def _ops_of_one_input(namespaces: tuple[str, ...]) -> list[og.Op]:
    """Return the ops of these namespaces with one input, or any number."""
    found: list[og.Op] = []
    for name in dict.fromkeys(name for namespace in namespaces for name in og.registry.names(namespace)):
        try:
            op_class = og.registry.get(name)
        except og.OpLoadError:
            continue
        if isinstance(op_class, type) and issubclass(op_class, og.Op) and len(op_class.inputs) == 1:
            found += _variants(op_class)
    return found


def _variants(op_class: type[og.Op]) -> Iterator[og.Op]:
    """Yield the op with the attributes of each of its samples."""
    try:
        samples = declared_samples(op_class)
    except Unsampled:
        samples = []
    for attrs in [{}, *(sample.attrs for sample in samples if sample.raises is None)]:
        try:
            yield op_class(**attrs)
        except Exception:  # some cannot be without attributes
            continue


def _compare(case: Case, reader: og.Op, unknown: bool) -> None:
    """Raise where values or gradients of `reader` of the op are not with rewrites what they are without."""
    plain = _program(case, reader, unknown, og.RunTime(passes=(), seed=case.seed))
    expected = plain(case.inputs)
    noise = _noise(case, plain, reader, expected)
    try:
        found = _program(case, reader, unknown, og.RunTime(seed=case.seed))(case.inputs)
    except og.OpgraphError as error:
        raise Failed(f"under {reader!r}: {error.detail}") from error
    for o, (value, wanted, rough) in enumerate(zip(found, expected, noise, strict=True)):
        off = _off(value, wanted, rough)
        if off.any():
            worst = tuple(int(k) for k in np.unravel_index(np.argmax(off), off.shape))
            what = "a gradient" if o >= len(_visible(case, reader)) else "a value"
            raise Failed(
                f"what read_by returns for {reader!r} changes {what}{' for unknown sizes' * unknown}: at {worst} it is "
                f"{value[worst]}, not {wanted[worst]}; {np.count_nonzero(off)} of {off.size} differ",
                index=worst,
                found=str(value[worst]),
                expected=str(wanted[worst]),
            )


def _visible(case: Case, reader: og.Op) -> og.Specs:
    specs = reader.infer(case.specs)
    return specs[: len(specs) - reader.hidden]


def _program(case: Case, reader: og.Op, unknown: bool, runtime: og.RunTime) -> Function:
    """Return what computes the outputs of `reader` of the op, and then their gradients, where there are any."""
    floats = [spec for spec in _visible(case, reader) if spec.dtype.kind in "fc"]
    with og.Graph().as_default_graph():
        nodes = [og.placeholder([None] * x.ndim if unknown else x.shape, dtype=x.dtype) for x in case.inputs]
        outputs = list(og.apply_all(reader, og.apply(case.op, *nodes)))
        given: list[og.Placeholder] = []
        gradients: list[og.Node] = []
        if floats and case.has_gradient and reader.has_vjp():
            ys = [y for y in outputs if y.dtype.kind in "fc"]
            given = [og.placeholder(y.shape, dtype=y.dtype) for y in ys]
            gradients = og.vjp(ys, [nodes[i] for i in case.differentiable], given)
        program = runtime.compile([*nodes, *given], [*outputs, *gradients])
    fed = [signed(case.rng(f"cotangent {o}"), spec) for o, spec in enumerate(floats)] if given else []

    def computed(inputs: Sequence[Array]) -> list[Array]:
        with np.errstate(all="ignore"):
            return program(*inputs, *fed)

    return computed


def _noise(case: Case, plain: Function, reader: og.Op, expected: Sequence[Array]) -> list[Array]:
    """Return how far `expected` moves with the last place of the inputs, and the values with that of what is read.

    The logarithm of what is nearly 1, or hardly a number, is hardly known: a rewrite that knows it better is no worse.
    """
    rng = case.rng("noise")
    noise = [np.zeros(y.shape) for y in expected]
    (read,) = case.compute()
    alone = Case(reader, (read,), case.name)
    for _ in range(DRAWS):
        moved = plain([_moved(rng, x) for x in case.inputs])
        with np.errstate(all="ignore"):
            for rough, one, other in zip(noise, moved, expected, strict=True):
                np.maximum(rough, _distance(one, other), out=rough)
            again = alone.compute([_moved(rng, read)])[: len(_visible(case, reader))]
            for rough, one, other in zip(noise, again, expected, strict=False):
                np.maximum(rough, _distance(one, other), out=rough)
    return noise


def _moved(rng: np.random.Generator, x: Array) -> Array:
    """Return floats moved by up to two units in their last place, those next to 0 too, and all else as it is."""
    if x.dtype.kind == "c":
        return np.asarray(_moved(rng, x.real) + 1j * _moved(rng, x.imag), x.dtype)
    if x.dtype.kind != "f":
        return x
    return np.asarray(x + np.spacing(x) * rng.integers(-2, 3, x.shape), x.dtype)


def _distance(one: Array, other: Array) -> Array:
    """Return how far values are from each other: NaN where that is not known."""
    wide = complex if one.dtype.kind == "c" else float
    return np.asarray(np.abs(one.astype(wide) - other.astype(wide)))


def _off(found: Array, expected: Array, noise: Array) -> NDArray[np.bool]:
    """Return where values differ by more than rounding; those that are not finite as written may be any."""
    if (found.shape, found.dtype) != (expected.shape, expected.dtype):
        raise Failed(f"{found.shape} {found.dtype} instead of {expected.shape} {expected.dtype}")
    if expected.dtype.kind not in "fc":
        return np.asarray(found != expected)
    with np.errstate(all="ignore"):
        sizes = np.abs(expected)
        known = np.isfinite(sizes) & np.isfinite(noise)
        largest = sizes.max(initial=0.0, where=known)
        allowed = np.sqrt(np.finfo(expected.dtype).eps) * np.maximum(sizes, largest) + NOISE * noise
        return np.asarray(known & ~(_distance(found, expected) <= allowed))
