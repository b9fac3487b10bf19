"""One op with one sample: what a check works on."""

import contextlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

import opgraph as og
from opgraph.errors import did_you_mean, raised

EXACT = (np.dtype(np.float64), np.dtype(np.complex128))
_T = TypeVar("_T")
POISON = {"f": np.nan, "c": np.nan, "i": -77, "u": 177, "b": True}


class Failed(Exception):
    """A promise that an op breaks: what was found, in words, and in `data` for machines."""

    verdict: Literal["fail", "inconclusive"] = "fail"

    def __init__(self, detail: str, **data: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.data = data


class Inconclusive(Failed):
    """A question that could not be answered; it counts as a failure."""

    verdict = "inconclusive"


class Unsampled(Failed):
    """The op's samples cannot be had. The check `samples` fails by it, and others have nothing to check."""


@dataclass(frozen=True)
class Case:
    """One application of an op to arrays.

    Attributes
    ----------
    op
        With the sample's attributes.
    inputs
        Read-only arrays of the case's own.
    name
        The sample's id, or its number.
    seed
        Of everything random that a check does with it.
    attrs
        As the sample gave them.
    memo
        What was computed of this case and is needed by several checks: see `remembered`.
    """

    op: og.Op
    inputs: tuple[NDArray[Any], ...]
    name: str
    seed: int = 0
    attrs: Mapping[str, Any] = field(default_factory=dict)
    memo: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, op_class: type[og.Op], sample: og.Sample, name: str, seed: int = 0) -> "Case":
        """Return the case of a valid sample; raise `Unsampled` where the op takes no such attributes."""
        op = _with_attributes(op_class, sample.attrs, name)
        return cls(op, tuple(frozen(np.array(x)) for x in sample.inputs), name, seed, dict(sample.attrs))

    def with_inputs(self, inputs: Sequence[NDArray[Any]]) -> "Case":
        """Return the same op on other arrays."""
        return Case(self.op, tuple(frozen(np.array(x)) for x in inputs), self.name, self.seed, self.attrs)

    def rng(self, purpose: str = "") -> np.random.Generator:
        """Return random numbers that depend on the op, the sample, the seed and the purpose alone."""
        label = f"{self.op!r} {self.name} {purpose}"
        return np.random.default_rng([self.seed, zlib.crc32(label.encode())])

    def remembered(self, key: Any, make: Callable[[], _T]) -> _T:
        """Return what `make` returned when it was first asked for under `key`."""
        if key not in self.memo:
            self.memo[key] = make()
        return cast(_T, self.memo[key])

    @cached_property
    def specs(self) -> tuple[og.Spec, ...]:
        """The specs of all outputs, inferred from the inputs."""
        return inferred(self.op, self.inputs)

    @cached_property
    def scratch(self) -> og.Specs:
        """The specs of the work space that the op asks for."""
        return _scratch(self.op, self.inputs, self.specs)

    @property
    def info(self) -> og.OpInfo:
        """What the op declares."""
        return self.op.info or og.OpInfo()

    @property
    def visible(self) -> int:
        """How many outputs are not hidden."""
        return len(self.specs) - self.op.hidden

    @property
    def unread(self) -> frozenset[int]:
        """The inputs that are read for their shape alone."""
        return self.op.shape_only(len(self.inputs))

    @property
    def differentiable(self) -> list[int]:
        """The inputs by which differences can be taken: those of float64 or complex128 that are read."""
        return [i for i, x in enumerate(self.inputs) if x.dtype in EXACT and i not in self.unread]

    @property
    def outputs(self) -> list[int]:
        """The visible outputs that have gradients."""
        return [i for i in range(self.visible) if self.specs[i].dtype.kind in "fc"]

    @property
    def has_gradient(self) -> bool:
        """Whether there is something to differentiate, and a `vjp` to do so."""
        return bool(self.differentiable and self.outputs and self.op.has_vjp())

    def domain(self, i: int) -> tuple[float, float]:
        """Return the open interval in which elements of input `i` may move; complex ones may go anywhere."""
        declared = self.info.domain
        if declared is None or self.inputs[i].dtype.kind == "c":
            return (-np.inf, np.inf)
        if isinstance(declared[0], int | float):
            return (float(declared[0]), float(declared[1]))  # type: ignore[arg-type]  # a pair of numbers
        return tuple(map(float, declared[i]))  # type: ignore[return-value, arg-type]  # a pair for each input

    def compute(self, inputs: Sequence[NDArray[Any]] | None = None, poison: Any = None) -> list[NDArray[Any]]:
        """Return all outputs, computed by the op's own kernel into memory that held rubbish."""
        ins = tuple(self.inputs if inputs is None else inputs)
        # differences compute thousands of times on arrays like the case's own
        own = [(x.shape, x.dtype) for x in ins] == [(x.shape, x.dtype) for x in self.inputs]
        specs = self.specs if own else inferred(self.op, ins)
        wanted = self.scratch if own else _scratch(self.op, ins, specs)
        outs = tuple(poisoned(spec, poison) for spec in specs)
        _run(self.op, ins, outs, wanted, poison)
        return list(outs)

    @contextlib.contextmanager
    def graph(self, unknown: bool = False) -> Iterator[tuple[list[og.Placeholder], list[og.Node]]]:
        """Give placeholders for the inputs, and the visible outputs, in a graph of their own."""
        with og.Graph().as_default_graph():
            nodes = [og.placeholder([None] * x.ndim if unknown else x.shape, dtype=x.dtype) for x in self.inputs]
            yield nodes, list(og.apply_all(self.op, *nodes))

    def __str__(self) -> str:
        return f"{self.op!r} on {', '.join(f'{x.shape} {x.dtype}' for x in self.inputs)}"


def _with_attributes(op_class: type[og.Op], attrs: Mapping[str, Any], name: str) -> og.Op:
    try:
        return op_class(**attrs)
    except Exception as error:  # an op may raise anything
        known = [field.name for field in fields(op_class)]  # type: ignore[arg-type]  # subclasses are dataclasses
        what = error.detail if isinstance(error, og.OpgraphError) else raised(error)
        for given in attrs:
            if given not in known and not isinstance(error, og.OpgraphError):
                what = f"{op_class.name} has no attribute {given!r}{did_you_mean(given, known)}"
        raise Unsampled(f"sample {name!r}: {what}") from error


def inferred(op: og.Op, ins: Sequence[NDArray[Any]]) -> tuple[og.Spec, ...]:
    """Return what `op` infers of its outputs from the shapes and dtypes of `ins`."""
    specs: Any = op.infer(tuple(og.Spec(og.Shape(x.shape), x.dtype) for x in ins))
    if not (isinstance(specs, tuple) and all(isinstance(spec, og.Spec) for spec in specs)):
        raise Failed(f"infer returns {specs!r}, not a tuple of Specs")
    if any(None in spec.shape for spec in specs):
        raise Failed(f"infer returns {specs!r} for inputs whose sizes are all known")
    return specs


def run(
    op: og.Op,
    ins: Sequence[NDArray[Any]],
    outs: Sequence[NDArray[Any]],
    specs: Sequence[og.Spec],
    poison: Any = None,
) -> None:
    """Have the kernel of `op` fill `outs`, with work space that holds rubbish."""
    _run(op, ins, outs, _scratch(op, ins, specs), poison)


def _scratch(op: og.Op, ins: Sequence[NDArray[Any]], specs: Sequence[og.Spec]) -> og.Specs:
    return op.scratch(tuple(og.Spec(og.Shape(x.shape), x.dtype) for x in ins), tuple(specs))


def _run(op: og.Op, ins: Sequence[NDArray[Any]], outs: Sequence[NDArray[Any]], wanted: og.Specs, poison: Any) -> None:
    scratch = (tuple(poisoned(spec, poison) for spec in wanted),) if wanted else ()
    with np.errstate(all="ignore"):
        op.compute(tuple(ins), tuple(outs), *scratch)


def poisoned(spec: og.Spec, poison: Any = None) -> NDArray[Any]:
    """Return an array of `spec` that holds rubbish: `poison`, or what shows most."""
    value = POISON[spec.dtype.kind] if poison is None else poison
    return np.full(og.known_shape(spec.shape), value, spec.dtype)


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Return `array`, which nobody can write to from now on."""
    array.flags.writeable = False
    return array


def real_view(array: NDArray[Any]) -> NDArray[np.float64]:
    """Return the values of a float or complex array as float64, (…, 2) where they are complex."""
    if array.dtype.kind == "c":
        return np.stack([array.real, array.imag], axis=-1).astype(np.float64)
    return array.astype(np.float64)
