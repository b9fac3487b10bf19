"""Variables: values that persist from run to run, and the memory that holds them."""

from __future__ import annotations

import itertools
import operator
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from opgraph.ambient import get_default_graph
from opgraph.convert import to_array
from opgraph.errors import (
    ArgumentError,
    OpgraphError,
    ReadOnlyError,
    ShapeError,
    Source,
    UninitializedError,
    placing,
    user_source,
)
from opgraph.node import Node, NodeLike, describe, next_serial
from opgraph.op import Array, Rng
from opgraph.signatures import guarded
from opgraph.spec import (
    DtypeLike,
    Shape,
    ShapeLike,
    Spec,
    as_dtype,
    beyond_memory,
    get_default_dtype,
    known_shape,
)
from opgraph.threads import in_one_call, unless_held


class Storage:
    """The memory of a variable, allocated once."""

    __slots__ = ("__weakref__", "array", "initialized", "label")

    def __init__(self, spec: Spec) -> None:
        try:
            self.array: Array = np.empty(known_shape(spec.shape), spec.dtype)
        except MemoryError:
            raise ShapeError(beyond_memory(spec)) from None
        self.initialized = False
        self.label = ""


Initializer: TypeAlias = Callable[[tuple[int, ...], Rng], ArrayLike]


# keyed by the optimizer, which is held weakly
Slots: TypeAlias = "weakref.WeakKeyDictionary[Any, dict[str, Variable]]"


class Variable(Node):
    """A value that persists from run to run and is changed by updates.

    Parameters
    ----------
    value : array_like
        The initial value. An array keeps its dtype, Python numbers become the default float.
    name : str, optional
    trainable : bool
        Whether optimizers change it by default.
    dtype : numpy.dtype, optional
        What to convert the value to.
    slot : bool
        Whether it belongs to an optimizer: saved with the others, but left out of `get_variables`.
    initializer : callable, optional
        What `initialize` puts in, from a shape and a NumPy generator; without one it leaves the value.

    Attributes
    ----------
    slots : mapping
        What optimizers keep beside it: from the optimizer to its slots by name. A slot lives for as long
        as both do.

    Notes
    -----
    The graph holds it weakly, where it holds what `variable` makes strongly.
    """

    __slots__ = ("initializer", "slot", "slots", "storage", "trainable")
    kind = "variable"

    initializer: Initializer | None
    slots: Slots

    @guarded
    def __init__(
        self,
        value: NodeLike,
        name: str | None = None,
        trainable: bool = True,
        dtype: DtypeLike = None,
        *,
        slot: bool = False,
        initializer: Initializer | None = None,
    ) -> None:
        source = user_source()
        with placing("Variable", source):
            if initializer is not None:
                _check_initializer(initializer)
            array = to_array(value, None if dtype is None else as_dtype(dtype))
            self._setup(spec=Spec(Shape(array.shape), array.dtype), name=name, trainable=trainable, source=source)
        self.slot = slot
        self.initializer = initializer
        self.storage.array[...] = array
        self.storage.initialized = True

    def _setup(self, spec: Spec, name: str | None, trainable: bool, source: Source | None) -> None:
        graph = get_default_graph()
        super().__init__(graph, spec, graph.unique_name(name or "variable"), source, next_serial())
        self.initializer = None
        self.trainable = bool(trainable)
        self.slot = False
        self.slots = weakref.WeakKeyDictionary()
        self.storage = Storage(spec)
        self.storage.label = describe(self)
        graph._adopt(self)

    def _remark(self) -> str:
        return ("" if self.trainable else ", not trainable") + ("" if self.storage.initialized else ", no value yet")

    @property
    def val(self) -> Array:
        """A copy of the present value, which cannot be written to: ``set_val`` puts in another.

        To change one element, write ``value = w.val.copy(); value[0] = 3; w.set_val(value)``.
        """
        with unless_held(self.graph.state_lock):
            if not self.storage.initialized:
                raise uninitialized([self.storage.label], self.source)
            value = self.storage.array.copy()
        value.flags.writeable = False  # or who writes into the copy believes to change the variable
        return value

    @val.setter
    def val(self, value: ArrayLike) -> NoReturn:
        detail = f"{describe(self)}: val is a copy of the value; set_val(…) puts in another"
        raise ReadOnlyError(detail, str(user_source() or ""))

    def set_val(self, value: ArrayLike) -> None:
        """Copy `value` in.

        Raises
        ------
        ShapeError, DtypeError
            Where it does not fit; the variable keeps what it had.
        """
        array = self._checked(value)
        with unless_held(self.graph.state_lock):
            self.storage.array[...] = array
            self.storage.initialized = True

    def initialize(self, value: ArrayLike | None = None, rng: Rng | None = None) -> None:
        """Copy in `value`, or what the initializer makes with `rng`.

        A variable that was made from a value, and so has no initializer, keeps the one it has.
        """
        if value is None:
            value = self._initial(rng or np.random.default_rng())
        if value is not None:
            self.set_val(value)

    def _initial(self, rng: Rng) -> Array | None:
        if self.initializer is None:
            return None
        try:
            value = self.initializer(self.storage.array.shape, rng)
        except OpgraphError:
            raise
        except Exception as error:
            detail = f"its initializer raised {type(error).__name__}: {error}"
            raise ArgumentError(detail).located(f"variable {self.name!r}", source=self.source) from error
        return self._checked(value)

    def _checked(self, value: Any) -> Array:
        with placing(f"variable {self.name!r}", self.source):
            array = to_array(value, self.dtype)
            if array.shape != self.storage.array.shape:
                raise ShapeError(f"a value of shape {array.shape} does not go into {self.spec}")
        return array


@guarded
def variable(
    shape: ShapeLike,
    initializer: Initializer,
    trainable: bool = True,
    name: str | None = None,
    dtype: DtypeLike = None,
) -> Variable:
    """Return a variable whose value `initializer` makes, when `initialize_variables` is called.

    Parameters
    ----------
    shape
        Known in full.
    initializer
        Called with the shape and a NumPy generator.
    trainable
        Whether optimizers change it by default.
    dtype
        The default float where not given.
    """
    source = user_source()
    with placing("variable", source):
        spec = Spec(Shape(shape), get_default_dtype() if dtype is None else as_dtype(dtype))
        if not spec.shape.is_known:
            raise ShapeError(f"a variable's shape must be known, {spec.shape} is not")
        _check_initializer(initializer)
    made = owned_variable(spec, name, trainable, source)
    made.initializer = initializer
    return made


def _check_initializer(initializer: object) -> None:
    if isinstance(initializer, type):  # which would be called, and make no array
        what = initializer.__name__
        raise ArgumentError(f"initializer is a function of (shape, rng), not the class {what}; write {what}(…)")
    if not callable(initializer):
        raise ArgumentError(f"initializer must be callable with (shape, rng), {initializer!r} is not")


def owned_variable(spec: Spec, name: str | None, trainable: bool, source: Source | None) -> Variable:
    """Return a variable without a value, which the default graph keeps alive."""
    made = Variable.__new__(Variable)
    with placing("variable", source):
        made._setup(spec, name, trainable, source)
    made.graph._owned[made.name] = made
    return made


def write_all(targets: Sequence[Array], values: Sequence[Array]) -> None:
    """Copy each of `values` into its target, interrupted by no signal."""
    in_one_call(operator.setitem, targets, itertools.repeat(...), values)


def copies(storages: Sequence[Storage]) -> list[Array | None]:
    """Return the values of variables, None for one that has none; the caller holds their graph's lock."""
    return [storage.array.copy() if storage.initialized else None for storage in storages]


def uninitialized(labels: Sequence[str], source: Source | None) -> UninitializedError:
    """Return the error for variables without a value."""
    shown = ", ".join(labels[:8]) + (f" and {len(labels) - 8} more" if len(labels) > 8 else "")
    return UninitializedError(
        f"no value yet: {shown}; call graph.initialize_variables() or variable.set_val(...) first",
        str(source or ""),
    )
