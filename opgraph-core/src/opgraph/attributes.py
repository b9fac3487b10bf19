"""The attributes of ops: what their annotations let in, and keys that tell their values apart."""

import dataclasses
import operator
import struct
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any, Literal

import numpy as np

from opgraph.errors import ArgumentError, OpgraphError
from opgraph.spec import Shape, as_dtype

_coercion_cache: dict[type, list[tuple[str, Callable[[Any], Any]]]] = {}


def coercions(cls: type) -> list[tuple[str, Callable[[Any], Any]]]:
    """Return the names of a dataclass's fields, each with the function that turns a value into what its type says."""
    if cls not in _coercion_cache:
        fields = dataclasses.fields(cls)
        try:
            hints = typing.get_type_hints(cls) if fields else {}
        except NameError as error:
            detail = f"{cls.__qualname__}: {error}; the types of attributes must be there at run time"
            raise ArgumentError(detail) from None
        _coercion_cache[cls] = [(f.name, _coercion(hints[f.name])) for f in fields]
    return _coercion_cache[cls]


def _coercion(hint: Any) -> Callable[[Any], Any]:
    """Return the function that turns a value into what the annotation `hint` says, or raises."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _one_of([_coercion(a) for a in args], _words(hint)[0])
    if origin is Literal:
        return _literal(args, _words(hint)[0])
    if origin is tuple:
        variadic = len(args) == 2 and args[1] is Ellipsis
        items = [_coercion(a) for a in (args[:1] if variadic else args)]
        return _tuple_of(items, variadic, _words(hint)[0])
    if hint in _SCALARS:
        return _SCALARS[hint]
    if origin is np.dtype or hint is np.dtype:
        return as_dtype
    if isinstance(hint, type) and hint is not Any:  # which is a class since Python 3.11
        return _instance_of(hint)
    raise ArgumentError(
        f"attributes cannot be annotated {hint!r}; they are bool, int, float, str, dtypes, shapes, and tuples of such"
    )


def _words(hint: Any) -> tuple[str, str]:
    """Return what a message calls one value of the type `hint`, and several."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return _choice([repr(a) for a in args])
    if origin in (typing.Union, types.UnionType):
        # the values of a literal stand among the other choices
        literals = [repr(v) for a in args if typing.get_origin(a) is Literal for v in typing.get_args(a)]
        return _choice(literals + [_words(a)[0] for a in args if typing.get_origin(a) is not Literal])
    if origin is tuple:
        variadic = len(args) == 2 and args[1] is Ellipsis
        if not variadic and (len(args) < 2 or any(a != args[0] for a in args)):
            members = ", ".join(_words(a)[0] for a in args)
            return f"a tuple ({members})", f"tuples ({members})"
        noun = "pair" if len(args) == 2 and not variadic else "tuple"
        what = f"{len(args)} " * (len(args) > 2) + _words(args[0])[1]
        return f"a {noun} of {what}", f"{noun}s of {what}"
    if origin is np.dtype or hint is np.dtype:
        return "a dtype", "dtypes"
    return _NAMES.get(hint) or (getattr(hint, "__name__", repr(hint)),) * 2


def _choice(words: list[str]) -> tuple[str, str]:
    joined = " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
    return joined, f"values, each {joined}"


_NAMES: dict[Any, tuple[str, str]] = {
    bool: ("True or False", "booleans"),
    int: ("an integer", "integers"),
    float: ("a number", "numbers"),
    str: ("a string", "strings"),
    type(None): ("None", "None"),
    Shape: ("a shape", "shapes"),
}


def _to_bool(value: Any) -> bool:
    if isinstance(value, bool | np.bool):
        return bool(value)
    raise TypeError("expected True or False")


def _to_int(value: Any) -> int:
    if isinstance(value, bool | np.bool):
        raise TypeError("expected an integer")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError("expected an integer") from None


def _to_float(value: Any) -> float:
    if isinstance(value, bool | np.bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError("expected a number")
    return float(value)


def _to_str(value: Any) -> str:
    if isinstance(value, str):
        return str(value)
    raise TypeError("expected a string")


def _to_none(value: Any) -> None:
    if value is not None:
        raise TypeError("expected None")


_SCALARS: dict[Any, Callable[[Any], Any]] = {
    bool: _to_bool,
    int: _to_int,
    float: _to_float,
    str: _to_str,
    type(None): _to_none,
    Shape: Shape,
}


def _one_of(choices: list[Callable[[Any], Any]], words: str) -> Callable[[Any], Any]:
    def coerce(value: Any) -> Any:
        for choice in choices:
            try:
                return choice(value)
            except (TypeError, ValueError):
                continue
        raise TypeError(f"expected {words}")

    return coerce


def _literal(allowed: tuple[Any, ...], words: str) -> Callable[[Any], Any]:
    def coerce(value: Any) -> Any:
        for each in allowed:
            if type(value) is type(each) and value == each:
                return each
        alike = [each for each in allowed if isinstance(each, str) and str(value).lower() == each.lower()]
        raise ValueError(f"expected {words}" + (f"; did you mean {alike[0]!r}?" if alike else ""))

    return coerce


def _tuple_of(items: list[Callable[[Any], Any]], variadic: bool, words: str) -> Callable[[Any], Any]:
    def coerce(value: Any) -> Any:
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise TypeError(f"expected {words}")
        listed = list(value)
        wanted = items * len(listed) if variadic else items
        if len(listed) != len(wanted):
            raise ValueError(f"expected {words}, got {len(listed)}")
        try:
            return tuple([item(each) for item, each in zip(wanted, listed, strict=True)])
        except OpgraphError:
            raise
        except (TypeError, ValueError):
            raise TypeError(f"expected {words}") from None

    return coerce


def _instance_of(kind: type) -> Callable[[Any], Any]:
    def coerce(value: Any) -> Any:
        if not isinstance(value, kind):
            raise TypeError(f"expected {kind.__name__}")
        hash(value)
        return value

    return coerce


def type_and_bits(value: Any) -> Any:
    """Return a key that tells values apart by type and bits, as it does what tuples, sets and dataclasses hold."""
    kind = type(value)
    if isinstance(value, np.generic):  # np.float64 is a float, too
        return (kind, value.dtype, value.tobytes())
    if isinstance(value, float):
        return (kind, struct.pack("d", value))
    if isinstance(value, complex):
        return (kind, struct.pack("dd", value.real, value.imag))
    if isinstance(value, tuple):
        return (kind, tuple(type_and_bits(each) for each in value))
    if isinstance(value, frozenset):
        return (kind, frozenset(type_and_bits(each) for each in value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return (kind, _fields_key(value))
    return (kind, value)


def _fields_key(value: Any) -> Any:
    """Return the key of what a dataclass holds; of one that compares in another way, the value itself."""
    said = value.__dataclass_params__
    if not (said.frozen and said.eq):
        return value
    key = tuple([type_and_bits(getattr(value, f.name)) for f in dataclasses.fields(value) if f.compare])
    try:
        hash(key)
    except TypeError:
        return value
    return key
