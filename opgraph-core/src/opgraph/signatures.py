"""Functions that users call: whose errors name them, and whose signatures read as they are written."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from opgraph.ambient import current_source
from opgraph.errors import ArgumentError, OpgraphError
from opgraph.hints import keyword_meant

_F = TypeVar("_F", bound=Callable[..., Any])


def guarded(function: _F) -> _F:
    """Return `function` changed so that what goes wrong in it names it, and the user's line; a decorator.

    It guards a function, a method, or a class: the ``__init__`` that a class has of its own. `front_door_for` does
    this too.

    * A wrong keyword, or an argument too many or too few, raises an `ArgumentError` that shows the signature.
    * An error from inside that names no line yet is given the user's. One that names that very line was raised
      by something that a function is made of, and is given the function's name before its own. One that names
      another line stays as it is, since the line where a node was made says more; so does one from a method.
    * `help` shows annotations as they are written, where the module has ``from __future__ import annotations``.
    """
    if isinstance(function, type):
        if "__init__" in vars(function):
            function.__init__ = guarded(function.__init__)  # type: ignore[misc]  # it is the class's own
        return function

    # what fails in a method may be what the object held before, such as a node that was made in the same line
    place = OpgraphError.located if function.__code__.co_varnames[:1] == ("self",) else OpgraphError.within

    function.__annotations__ = {name: as_written(a) for name, a in function.__annotations__.items()}

    @functools.wraps(function)
    def door(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except OpgraphError as error:
            named = place(error, _title(function), source=current_source())
            if named is error:
                raise
            raise named from error.__cause__
        except TypeError as error:
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise  # from inside
            wrong = wrong_call(door, args, kwargs)
            if wrong is None:
                raise
            raise wrong from None

    return cast(_F, door)


def wrong_call(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> ArgumentError | None:
    """Return the error for a call that does not fit the signature of `function`, None for one that does."""
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        detail = str(error)
        parameters = signature.parameters
        takes_any = any(p.kind == p.VAR_KEYWORD for p in parameters.values())
        strange = next((name for name in kwargs if name not in parameters and not takes_any), None)
        if strange is not None:
            detail = f"got an unexpected keyword argument {strange!r}{keyword_meant(strange, parameters)}"
        shown = signature.replace(parameters=[p for p in parameters.values() if p.name != "self"])
        title = _title(function)
        return ArgumentError(detail).located(title, f"{title}{shown}", current_source())
    return None


def _title(function: Callable[..., Any]) -> str:
    """Return what the user called: the name of a function or method, that of the class for what calls it."""
    owner, _, name = function.__qualname__.rpartition(".")
    return owner.rpartition(".")[2] if name in ("__init__", "__call__") else name


def as_written(annotation: Any) -> Any:
    """Return `annotation` as what a signature shows without quotes."""
    return _Text(annotation) if isinstance(annotation, str) else annotation


class _Text(str):
    """An annotation that shows without quotes, and without opgraph's short name."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self).replace("og.", "")
