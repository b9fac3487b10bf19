"""What an op declares for the conformance kit: its samples, and what may be known of it beyond them."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from opgraph.errors import ArgumentError, did_you_mean

_DeclarationT = TypeVar("_DeclarationT")


def _names_unknown_fields(cls: type[_DeclarationT]) -> type[_DeclarationT]:
    """Have a dataclass say which of its fields was meant where another is given."""
    make: Any = cls.__init__
    known = cls.__dataclass_fields__  # type: ignore[attr-defined]  # it is a dataclass

    @functools.wraps(make)
    def naming(self: _DeclarationT, *args: Any, **kwargs: Any) -> None:
        for name in kwargs:
            if name not in known:
                raise ArgumentError(f"{cls.__name__} has no field {name!r}{did_you_mean(name, known)}")
        make(self, *args, **kwargs)

    cls.__init__ = naming  # type: ignore[assignment,method-assign]  # dataclass made it
    return cls


@_names_unknown_fields
@dataclass(frozen=True)
class Sample:
    """One call of an op for the conformance kit: input arrays, attributes, and the error it must raise."""

    inputs: Sequence[Any]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    raises: type[Exception] | None = None
    id: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.inputs, Sequence) or isinstance(self.inputs, str):
            shape = getattr(self.inputs, "shape", None)
            given = f"an array of shape {shape}" if isinstance(shape, tuple) and shape else f"{self.inputs!r}"
            raise ArgumentError(f"Sample: inputs is {given}, not a tuple of inputs; of one, write og.Sample((x,), …)")
        if not isinstance(self.attrs, Mapping):
            raise ArgumentError(f"Sample: attrs is {self.attrs!r}, not a mapping from names to values: {{'axis': 1}}")
        if self.raises is not None and not (isinstance(self.raises, type) and issubclass(self.raises, Exception)):
            raise ArgumentError(f"Sample: raises is {self.raises!r}, not a class of exceptions: raises=og.ShapeError")
        if not isinstance(self.id, str):
            raise ArgumentError(f"Sample: id is {self.id!r}, not a text")


@_names_unknown_fields
@dataclass(frozen=True)
class OpInfo:
    """What the conformance kit may know of an op beyond its samples.

    Parameters
    ----------
    reference
        A function of arrays, and of the attributes by keyword, that returns the expected outputs.
    domain
        The open interval in which inputs may be perturbed, the same for each, or one for each.
    kinks
        Inputs' values at which the op has no derivative.
    multilinear
        Indices of inputs in which the op is linear, each taken alone.
    tie_policy
        Who gets the gradient where several inputs are extreme: the first one, or all in equal parts.
    zero_gradient
        Indices of inputs by which every derivative is zero, though their values are read. The kit wants it said,
        because an op that computes nothing has no derivatives either.
    nan_gradient
        Whether gradients are NaN where the values have no derivative at all, because they are not finite.
    expected_failures
        Checks that are known to fail, each with its reason; one that passes fails.
    """

    reference: Callable[..., Any] | None = None
    domain: tuple[float, float] | Sequence[tuple[float, float]] | None = None
    kinks: tuple[float, ...] = ()
    multilinear: tuple[int, ...] = ()
    tie_policy: Literal["first", "split"] | None = None
    zero_gradient: tuple[int, ...] = ()
    nan_gradient: bool = False
    expected_failures: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.reference is not None and not callable(self.reference):
            raise self._wrong("reference", "a function of arrays that returns the expected outputs")
        if self.domain is not None and not _is_domain(self.domain):
            raise self._wrong("domain", "an interval (low, high), or one for each input")
        if not _are_all(self.kinks, _is_real):
            raise self._wrong("kinks", "a tuple of numbers", self.kinks)
        for name, value in (("multilinear", self.multilinear), ("zero_gradient", self.zero_gradient)):
            if not _are_all(value, lambda i: isinstance(i, int) and not isinstance(i, bool) and i >= 0):
                raise self._wrong(name, "a tuple of inputs' numbers, from 0", value)
        if self.tie_policy not in (None, "first", "split"):
            meant = did_you_mean(self.tie_policy, ("first", "split"))
            raise self._wrong("tie_policy", f"'first', 'split' or None{meant}")
        if not isinstance(self.nan_gradient, bool):
            raise self._wrong("nan_gradient", "True or False")
        failures: Any = self.expected_failures
        if not (isinstance(failures, Mapping) and _are_all([*failures, *failures.values()], lambda t: type(t) is str)):
            raise self._wrong("expected_failures", "a mapping from checks to reasons: {'vjp_full': 'why'}")

    def _wrong(self, name: str, wanted: str, alone: Any = ()) -> ArgumentError:
        """Return what to raise for a field; one thing that stands `alone` where a tuple should be is shown in one."""
        hint = f": {name}=({alone!r},)" if isinstance(alone, int | float) else ""
        return ArgumentError(f"OpInfo: {name}={getattr(self, name)!r} is not {wanted}{hint}")


def _is_domain(value: Any) -> bool:
    """Whether `value` is an interval, or several."""
    intervals = [value] if _are_all(value, _is_real) else value
    return isinstance(intervals, tuple | list) and all(
        _are_all(each, _is_real) and len(each) == 2 and each[0] < each[1] for each in intervals
    )


def _are_all(values: Any, wanted: Callable[[Any], bool]) -> bool:
    return isinstance(values, tuple | list) and all(wanted(value) for value in values)


def _is_real(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
