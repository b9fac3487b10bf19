"""The Op protocol: one class says an operation's shapes, kernel, gradient and samples."""

import dataclasses
import functools
import inspect
import operator
import struct
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, TypeVar, dataclass_transform

import numpy as np
from numpy.typing import NDArray

from opgraph.errors import ArgumentError, DtypeError, KernelError, OpgraphError, did_you_mean, user_source
from opgraph.spec import Shape, Spec, as_dtype, broadcast_shapes, promote_dtypes

if TYPE_CHECKING:
    from opgraph.node import Node

Array: TypeAlias = NDArray[Any]
Arrays: TypeAlias = tuple[Array, ...]
Specs: TypeAlias = tuple[Spec, ...]
Nodes: TypeAlias = "tuple[Node, ...]"
# each a Node, or None for zero; Any, because an op with one output is never handed a None
Cotangents: TypeAlias = tuple[Any, ...]
# a string, because naming numpy.random imports it, which takes 20 ms
Rng: TypeAlias = "np.random.Generator"


_DeclarationT = TypeVar("_DeclarationT")
_FLAT = ("core", "nn", "vision")  # the namespaces whose ops users call without it


@dataclass_transform(frozen_default=True, eq_default=False)
class Op:
    """An operation with its attributes: immutable, hashable, stateless.

    A subclass names itself, annotates its attributes, and becomes a frozen dataclass::

        class Scale(og.Op, name="acme.scale"):
            factor: float = 1.0

    An attribute is coerced to its annotated type when the op is made. Two ops are equal when their
    classes are the same and their attributes agree by type and bits: ``0.0`` is not ``-0.0``, ``1`` is
    not ``True``, NaN equals itself.

    Class attributes
    ----------------
    name : str
        ``"namespace.name"``, given in the class statement.
    version : int
        Raised when graphs saved earlier would change their meaning.
    inputs : tuple of str
        The names of the inputs; a last one that starts with ``*`` takes any number.
    hidden : int
        How many trailing outputs are residuals: not fetched, and without a cotangent.
    combine : numpy.ufunc, optional
        For an op that reduces its one input over `axes`, with the attributes `axes` and `keepdims` as NumPy has them:
        what makes the output of those of parts of the input, and exactly that: a mean has none. The parts may then be
        reduced as they are made.
    info : OpInfo or None
        What the conformance kit may know beyond the samples.
    """

    name: ClassVar[str] = ""
    version: ClassVar[int] = 1
    inputs: ClassVar[tuple[str, ...]] = ("x",)
    hidden: ClassVar[int] = 0
    combine: ClassVar[np.ufunc | None] = None
    info: "ClassVar[OpInfo | None]" = None

    def __init_subclass__(cls, *, name: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if name:
            namespace, _, local = name.partition(".")
            if not (namespace.isidentifier() and local.isidentifier()):
                raise ArgumentError(f"op name {name!r} is not of the form 'namespace.name'")
            cls.name = name
        if isinstance(cls.inputs, str):
            raise ArgumentError(f"{cls.__qualname__}: inputs is a tuple of names; write inputs = ({cls.inputs!r},)")
        if not name and "name" in cls.__dict__:
            raise ArgumentError(f"{cls.__qualname__}: write the name as class {cls.__name__}(..., name=...)")
        try:
            dataclass(frozen=True, eq=False, repr=False)(cls)
        except (TypeError, ValueError) as error:
            raise ArgumentError(f"{cls.__qualname__}: {_default_that_changes(cls) or error}") from None
        cls._check_fields()
        if cls.name:
            cls._check_combine()
        if cls.__module__ != __name__ and _unannotated(cls):
            _hint_at_annotations(cls)

    @classmethod
    def _check_fields(cls) -> None:
        """Raise where an attribute would hide what the class says, or one of the inputs."""
        said = {name for base in cls.__mro__ if base.__module__ == __name__ for name in vars(base)}
        for field_ in dataclasses.fields(cls):  # type: ignore[arg-type]  # subclasses are dataclasses
            if field_.name in said:
                raise ArgumentError(
                    f"{cls.__qualname__}: {field_.name!r} says something of the class and is no attribute of the op; "
                    "write it without an annotation, or rename it"
                )
            if field_.name in {name.lstrip("*") for name in cls.inputs}:
                raise ArgumentError(f"{cls.__qualname__}: {field_.name!r} names an attribute and an input; rename one")

    @classmethod
    def _check_combine(cls) -> None:
        """Raise where the class says `combine`, but lacks what goes with it."""
        ufunc: object = cls.combine
        if ufunc is None:
            return
        if not isinstance(ufunc, np.ufunc) or (ufunc.nin, ufunc.nout) != (2, 1):
            raise ArgumentError(f"{cls.__qualname__}: combine is {ufunc!r}, not a NumPy ufunc of two inputs")
        if len(cls.inputs) != 1 or cls.inputs[0].startswith("*") or cls.hidden:
            raise ArgumentError(f"{cls.__qualname__}: combine is for an op of one input and one output")
        if not {"axes", "keepdims"} <= {f.name for f in dataclasses.fields(cls)}:  # type: ignore[arg-type]  # as above
            raise ArgumentError(
                f"{cls.__qualname__}: combine needs the attributes axes and keepdims, as NumPy has them: "
                "axes: tuple[int, ...] | None = None and keepdims: bool = False"
            )

    def __post_init__(self) -> None:
        for name, coerce in _coercions(type(self)):
            value = getattr(self, name)
            try:
                object.__setattr__(self, name, coerce(value))
            except (TypeError, ValueError, OverflowError) as error:
                what = error.detail if isinstance(error, OpgraphError) else str(error)
                raise ArgumentError(f"{self.short_name()}: {name}={value!r}: {what}") from None

    def infer(self, ins: Specs) -> Specs:
        """Return the outputs' specs, from the inputs' with or without unknown sizes.

        Raises
        ------
        ShapeError, DtypeError, ArgumentError
            Where known sizes or dtypes cannot go together. The message says what and how; the
            framework adds the op, the inputs and the user's line.
        """
        raise NotImplementedError(f"{type(self).__qualname__} defines no infer")

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        """Fill `outs`, which have the inferred shapes and dtypes, are C-contiguous and hold garbage.

        An op that declares `scratch` receives the work space as a third argument.
        """
        raise NotImplementedError(f"{type(self).__qualname__} defines no compute")

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        """Return the inputs' cotangents as nodes, from those of the outputs; ``None`` means zero.

        At least one of `cotangents` is a node; those of hidden outputs are ``None``.
        """
        raise NotImplementedError(f"{type(self).__qualname__} defines no vjp")

    @classmethod
    def samples(cls, rng: Rng) -> "Iterable[Sample]":
        """Yield calls, valid and invalid, on which the conformance kit checks the op."""
        return ()

    def view(self, ins: Arrays) -> Arrays | None:
        """Return the outputs as arrays over the inputs' memory, or ``None`` to have them computed.

        They are computed, too, where a view would run backwards along its last axis.
        """
        return None

    def scratch(self, ins: Specs, outs: Specs) -> Specs:
        """Return the specs of the work space that `compute` wants as its third argument."""
        return ()

    def bind(self, ins: Arrays, outs: Arrays) -> Callable[[], object] | None:
        """Return a call that does what `compute` would with these very arrays, or ``None`` to have that called.

        Asked when a program is bound to its buffers, of ops that want no scratch. What looks at shapes and
        strides is then done once; a ``functools.partial`` of NumPy's own function costs no frame of Python.
        """
        return None

    def shape_only(self, n: int) -> frozenset[int]:
        """Return which of `n` inputs are read for their shape alone."""
        return frozenset()

    def read_by(self, reader: "Op") -> "Callable[..., Node] | None":
        """Return a function that builds from this op's inputs, and better, what `reader` makes of its output.

        Asked when a graph is compiled, about every op that reads this one's output and nothing else; ``None``
        leaves both as they are, and so does a function that refuses what goes in with a ShapeError or DtypeError. For
        the logarithm of a sigmoid, whose value may be too small for a float, the sigmoid returns what builds the same
        without overflow::

            def read_by(self, reader):
                return log_sigmoid if reader.name == "core.log" else None
        """
        return None

    def batch(self, ins: Specs, batched: frozenset[int]) -> "Op | None":
        """Return the op that does at once what this op does for each entry of stacks of inputs, or ``None``.

        Asked when a program is bound to sizes, about small calls that do not depend on each other, such as those of a
        loop that was unrolled. The inputs at the positions `batched` then have one more dimension in front, and so
        must have all outputs, whose entries are what this op makes of the entries.

        Parameters
        ----------
        ins
            The inputs' specs without that dimension; all sizes are known.
        batched
            The positions of the inputs that are stacks, not empty; the others are the same for all entries.
        """
        return None

    def by_rows(self, ins: Specs) -> frozenset[int] | None:
        """Return of which inputs a row of the outputs needs the same row, and of the others all; or ``None``.

        A row is what stands at one place along the first dimension, which these inputs and all outputs have in common.
        Asked when a program is bound to sizes, of ops that want no scratch: large results may then be made a range of
        rows at a time, each of which goes on through elementwise ops while it is in the cache. A product of matrices
        returns ``frozenset({0})``. It pays, and so is done, for one output of 4 MiB or more whose elements take 256
        operations at most, as `flops` has it, and where rows fit into blocks; `RunTime.explain` shows another as a
        step of its own.
        """
        return None

    def flops(self, ins: Specs, outs: Specs) -> int:
        """Return about how many arithmetic operations `compute` takes, all sizes being known; for `RunTime.explain`.

        One for each element of the largest input or output, unless overridden; none for an op that has a `view`,
        which moves elements at most.
        """
        return 0 if self.has_view() else max((spec.shape.size or 0 for spec in (*ins, *outs)), default=0)

    @classmethod
    def short_name(cls) -> str:
        """Return the name that users see: without the namespace for opgraph's own packages."""
        namespace, _, local = cls.name.partition(".")
        return (local if namespace in _FLAT else cls.name).removeprefix("_")

    @classmethod
    def has_vjp(cls) -> bool:
        """Whether the op defines a gradient."""
        return cls.vjp is not Op.vjp

    @classmethod
    def has_view(cls) -> bool:
        """Whether the op may give its outputs as views of its inputs."""
        return cls.view is not Op.view

    def attributes(self) -> dict[str, Any]:
        """Return the attributes by name."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}  # type: ignore[arg-type]  # subclasses are dataclasses

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.attributes().items())
        return f"{self.name}({shown})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Op) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((type(self), self._key()))

    def _key(self) -> tuple[Any, ...]:
        return tuple(type_and_bits(value) for value in self.attributes().values())


class Elementwise(Op):
    """An op that works element by element on inputs that broadcast against each other.

    `compute` must be right on a block, a contiguous range of leading rows of the outputs, with inputs
    that broadcast against it. `vjp` returns cotangents in the output's shape; the framework sums
    them down to the inputs'.

    Class attributes
    ----------------
    outputs : int
        How many outputs there are.
    inplace : bool
        Promises that no input is read after an output was written.
    floating : bool
        Whether integers and booleans are cast to the default float before they go in.
    refuses : str
        Kinds of dtypes that do not go in, as NumPy names them: ``"c"`` for complex numbers, ``"b"`` for booleans,
        ``"bc"`` for both.
    ufunc : numpy.ufunc, optional
        What computes the outputs, called with the inputs and them. An op that names it needs no `compute`.
    """

    outputs: ClassVar[int] = 1
    inplace: ClassVar[bool] = False
    floating: ClassVar[bool] = True
    refuses: ClassVar[str] = ""
    ufunc: ClassVar[np.ufunc | None] = None

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        """Fill `outs`, or a block of them: a contiguous range of leading rows."""
        if self.ufunc is None:
            raise NotImplementedError(f"{type(self).__qualname__} defines neither compute nor ufunc")
        self.ufunc(*ins, out=outs)

    def dtypes(self, *ins: np.dtype[Any]) -> np.dtype[Any] | tuple[np.dtype[Any], ...]:
        """Return the dtype of the outputs: the inputs' promoted one, unless overridden."""
        return promote_dtypes(*ins)

    def infer(self, ins: Specs) -> Specs:
        """Return the broadcast shape with `dtypes`, once for each output."""
        if self.floating:
            check_floating(self, *[spec.dtype for spec in ins])
        if self.refuses:
            for spec in ins:
                if spec.dtype.kind in self.refuses:
                    raise DtypeError(_REFUSALS.get(spec.dtype.kind, f"takes no {spec.dtype}; cast it to a float"))
        shape = broadcast_shapes(*[spec.shape for spec in ins])
        dtypes = self.dtypes(*[spec.dtype for spec in ins])
        if isinstance(dtypes, tuple):
            if len(dtypes) != self.outputs + self.hidden:
                raise KernelError(f"its dtypes returned {len(dtypes)} for {self.outputs + self.hidden} outputs")
            return tuple(Spec(shape, dtype) for dtype in dtypes)
        # a long chain has one spec, not thousands
        same = shape is ins[0].shape and dtypes is ins[0].dtype
        return (ins[0] if same else Spec(shape, dtypes),) * (self.outputs + self.hidden)

    def batch(self, ins: Specs, batched: frozenset[int]) -> Op | None:
        """Return the op itself, where every stack has as many dimensions as the outputs have then."""
        ndims = max(spec.ndims for spec in ins)
        return self if all(ins[i].ndims == ndims for i in batched) else None

    def flops(self, ins: Specs, outs: Specs) -> int:
        """Return one for each element of an output, unless overridden."""
        return outs[0].shape.size or 0


_REFUSALS = {
    "b": "takes no booleans; cast them to an integer",
    "c": "takes no complex numbers; give it their parts, og.real and og.imag, or their og.abs",
}


def check_floating(op: Op, *dtypes: np.dtype[Any]) -> None:
    """Raise `DtypeError` where all inputs of an op are integers or booleans, for which its kernel is not made.

    For `Op.infer`, in the first line: ``og.check_floating(self, x.dtype)``.

    Parameters
    ----------
    op
        Whose front door the message points to, which casts integers to the default float.
    dtypes
        Of the inputs that must not all be such; one float among them is enough.
    """
    if dtypes and all(dtype.kind in "biu" for dtype in dtypes):
        namespace, _, local = op.name.partition(".")
        door = f"og.{op.short_name()}" if namespace in _FLAT else f"og.ops.{op.name}"
        hint = "" if local.startswith("_") else f", or call {door}, which does"
        raise DtypeError(f"takes floating-point values, not {dtypes[0]}; cast first{hint}")


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


@dataclass(frozen=True)
class Kernel:
    """What computes an op.

    Parameters
    ----------
    run
        Called as ``Op.compute`` is.
    scratch
        The specs of the work space that it wants.
    blocks
        Whether it is right on a block of leading rows, as ``Elementwise.compute`` is, for the work space
        that it would want for such a block.
    ufunc
        What `run` calls with the inputs and outputs, and nothing else: it is then called directly.
    bind
        As ``Op.bind``.
    combine
        As ``Op.combine``; it is right then on a block, with ``keepdims``, and wants no work space.
    rows
        As ``Op.by_rows``.
    """

    run: Callable[..., Any]
    scratch: Specs = ()
    blocks: bool = False
    ufunc: np.ufunc | None = None
    bind: Callable[[Arrays, Arrays], Callable[[], object] | None] | None = None
    combine: np.ufunc | None = None
    rows: frozenset[int] | None = None


def generator(key: Array) -> Rng:
    """Return the NumPy generator that a key's value stands for: one value, one sequence.

    Parameters
    ----------
    key : array, (4,) uint64
        The run's seed in two words, the key's stream and the run's step, which drive Philox (Salmon et
        al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
    """
    # a list of integers of Python and of NumPy would be one of floats, which hold no more than 53 bits
    counter = np.array([0, 0, key[2], key[3]], np.uint64)
    return np.random.Generator(np.random.Philox(key=key[:2], counter=counter))


def check_annotated(cls: type[Op], given: Iterable[str]) -> None:
    """Raise where a class attribute that lacks an annotation, and so is no attribute of the op, is `given` by name."""
    for name, value in _unannotated(cls).items():
        if name in given:
            detail = (
                f"{name} is no attribute of the op without an annotation: {name}: {type(value).__name__} = {value!r}"
            )
            raise ArgumentError(detail).located(cls.short_name() or cls.__qualname__, source=user_source())


def _unannotated(cls: type[Op]) -> dict[str, Any]:
    """Return what looks like an attribute in the class statement, but has no annotation."""
    said = {name for base in cls.__mro__ if base.__module__ == __name__ for name in vars(base)}
    return {
        name: value
        for name, value in vars(cls).items()
        if isinstance(value, bool | int | float | str | tuple)
        and not (
            name.startswith("_") or name in said or any(name in inspect.get_annotations(base) for base in cls.__mro__)
        )
    }


def _default_that_changes(cls: type[Op]) -> str:
    """Return what a message says of the first attribute whose default can be changed, which no dataclass takes."""
    for name in inspect.get_annotations(cls):
        value = vars(cls).get(name)
        if isinstance(value, list):
            way = f"write a tuple, {name}: tuple[int, ...] = {tuple(value)!r}"
        else:
            way = "attributes are bool, int, float, str, dtypes, shapes, and tuples of such"
        if type(value).__hash__ is None:
            return f"{name}: its default {value!r} can be changed; {way}"
    return ""


def _hint_at_annotations(cls: type[Op]) -> None:
    """Have the op's ``__init__`` say what is wrong where such a one is given."""
    make: Any = cls.__init__

    @functools.wraps(make)
    def hinting(self: Op, *args: Any, **kwargs: Any) -> None:
        check_annotated(cls, kwargs)
        make(self, *args, **kwargs)

    cls.__init__ = hinting  # type: ignore[assignment,method-assign]  # dataclass made it


_coercion_cache: dict[type[Op], list[tuple[str, Callable[[Any], Any]]]] = {}


def _coercions(cls: type[Op]) -> list[tuple[str, Callable[[Any], Any]]]:
    if cls not in _coercion_cache:
        fields = dataclasses.fields(cls)  # type: ignore[arg-type]  # subclasses are dataclasses
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
