"""What users read of an op, and what they call."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

import opgraph as og
from opgraph.testing.agreement import bits_of
from opgraph.testing.case import Failed
from opgraph.testing.check import Check

NAME = re.compile(r"[a-z]\w*\.[a-z_]\w*")
ABOUT_SHAPES = re.compile(r"->|shape|size|broadcast|element|axis|axes|dimension", re.IGNORECASE)


class Documented(Check):
    """The op and its front door say what they do, with shapes; the front door's defaults are the attributes'."""

    name = "documented"

    def on_op(self, op_class: type[og.Op], seed: int) -> str | None:
        if not NAME.fullmatch(op_class.name):
            raise Failed(f"the name {op_class.name!r} is not of the form 'namespace.name', in lower case")
        _first_line(vars(op_class).get("__doc__"), op_class.__name__, f"class {op_class.__name__}")
        if op_class.name.partition(".")[2].startswith("_"):
            return None  # a helper, which nobody calls
        door = og.front_door(op_class)
        if door.__name__ != op_class.name.partition(".")[2]:
            raise Failed(f"the front door of {op_class.name} is a function called {door.__name__}")
        _check_text(op_class, door)
        _check_defaults(op_class, door)
        return None


def _first_line(text: str | None, name: str, what: str) -> None:
    # a dataclass without a docstring is given its signature
    if not text or not text.strip() or text.startswith(f"{name}("):
        raise Failed(f"{what} has no docstring of its own")


def _check_text(op_class: type[og.Op], door: Any) -> None:
    _first_line(door.__doc__, door.__name__, f"the front door {door.__name__}")
    if not issubclass(op_class, og.Elementwise) and not ABOUT_SHAPES.search(door.__doc__):
        raise Failed(
            f"the docstring of {door.__name__} says nothing of shapes; its first line may end so: (N, C), (C,) -> (N,)"
        )
    if door.__doc__ != op_class.__doc__:  # written by hand
        inputs = {name.lstrip("*") for name in op_class.inputs}
        for name in inspect.signature(door).parameters:
            if name not in inputs and not any(
                re.search(rf"\b{name}\b", text) for text in _texts(op_class, door.__doc__)
            ):
                raise Failed(f"the docstring of {door.__name__} does not mention its parameter {name!r}")


def _texts(op_class: type[og.Op], text: str) -> Iterator[str]:
    """Yield `text`, and what those other functions of the namespace say to which it refers: as for `argmax`."""
    yield text
    for word in re.findall(r"`(\w+)`", text):
        other = f"{op_class.name.partition('.')[0]}.{word}"
        if other != op_class.name and other in og.registry.names():
            yield og.registry.get_function(other).__doc__ or ""


def _check_defaults(op_class: type[og.Op], door: Any) -> None:
    attributes = inspect.signature(op_class).parameters
    empty = inspect.Parameter.empty
    for name, parameter in inspect.signature(door).parameters.items():
        # None stands for what the front door finds out itself
        if name not in attributes or parameter.default in (empty, None):
            continue
        given, default = parameter.default, attributes[name].default
        if isinstance(default, tuple) and not isinstance(given, tuple):
            given = (given,) * len(default)  # one number for all of several
        if default is not empty and bits_of(given) != bits_of(default):
            raise Failed(f"{door.__name__} has {name}={parameter.default!r} by default, the op {name}={default!r}")
