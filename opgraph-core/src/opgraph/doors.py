"""Front doors: the functions that users call to build a node of an op."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, TypeVar

from opgraph.ambient import current_source
from opgraph.build import apply_all, promote
from opgraph.errors import ArgumentError, OpgraphError
from opgraph.node import Node
from opgraph.op import Elementwise, Op, check_annotated
from opgraph.signatures import as_written, guarded, wrong_call
from opgraph.spec import unwrapped

FrontDoor: TypeAlias = Callable[..., Any]
_F = TypeVar("_F", bound=FrontDoor)
_OpT = TypeVar("_OpT", bound=Op)

_front_doors: dict[type[Op], FrontDoor] = {}


def front_door_for(op_class: type[Op]) -> Callable[[_F], _F]:
    """Return a decorator that makes a function the front door of `op_class`, `guarded`."""

    def decorate(function: _F) -> _F:
        _front_doors[op_class] = door = guarded(function)
        return door

    return decorate


def front_door(op_class: type[Op]) -> FrontDoor:
    """Return the function that builds a node of `op_class`: the one written for it, or a generated one.

    A generated one takes the inputs by position or name, then the attributes. The inputs of an
    `Elementwise` op are promoted to one dtype. One visible output is returned bare, several as a tuple.
    """
    if op_class not in _front_doors:
        _front_doors[op_class] = _generate(op_class)
    return _front_doors[op_class]


def _generate(op_class: type[Op]) -> FrontDoor:
    """Return a front door with a signature and docstring made from the op's."""
    variadic = bool(op_class.inputs) and op_class.inputs[-1].startswith("*")
    keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
    attributes = list(inspect.signature(op_class).parameters.values())
    signature = inspect.Signature(
        [
            *(inspect.Parameter(n.lstrip("*"), keyword, annotation=as_written("NodeLike")) for n in op_class.inputs),
            *(p.replace(kind=keyword, annotation=as_written(p.annotation)) for p in attributes),
        ]
    )
    inputs = [name.lstrip("*") for name in op_class.inputs]

    def function(*args: Any, **kwargs: Any) -> Any:
        if kwargs or attributes or variadic or len(args) != len(inputs):
            try:
                given = signature.bind(*args, **kwargs).arguments
            except TypeError:
                check_annotated(op_class, kwargs)
                raise (wrong_call(function, args, kwargs) or ArgumentError()) from None
            values = [given.pop(name) for name in inputs]
            if variadic:
                values[-1:] = _listed_values(op_class, values[-1])
            op = make_op(op_class, **given)
        else:
            values, op = list(args), op_class()
        if isinstance(op, Elementwise):
            values = list(promote(*values, floating=op.floating, what=op.short_name()))
        outputs = apply_all(op, *values)
        return outputs[0] if len(outputs) == 1 else outputs

    function.__name__ = function.__qualname__ = op_class.name.rpartition(".")[2]
    function.__doc__ = op_class.__doc__
    function.__module__ = op_class.__module__
    function.__signature__ = signature  # type: ignore[attr-defined]  # what inspect.signature reads
    return function


def _listed_values(op_class: type[Op], values: Any) -> list[Any]:
    values = unwrapped(values)
    if isinstance(values, Node) or not isinstance(values, Iterable):
        name = op_class.inputs[-1].lstrip("*")
        raise ArgumentError(f"{name} is a sequence of inputs, not {values!r}").located(
            op_class.short_name(), source=current_source()
        )
    return list(values)


def make_op(op_class: type[_OpT], **attributes: Any) -> _OpT:
    """Return an op with `attributes`; an error says which of them is wrong and where it was written."""
    try:
        return op_class(**attributes)
    except OpgraphError as error:
        raise error.located(op_class.short_name(), source=current_source()) from None
