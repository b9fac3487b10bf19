"""The Op protocol: one class says an operation's shapes, kernel, gradient and samples."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, dataclass_transform

import numpy as np
from numpy.typing import NDArray

from opgraph.attributes import coercions, type_and_bits
from opgraph.declarations import OpInfo, Sample
from opgraph.errors import ArgumentError, DtypeError, KernelError, OpgraphError, user_source
from opgraph.spec import Spec, broadcast_shapes, promote_dtypes

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
    info: ClassVar[OpInfo | None] = None

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
        for name, coerce in coercions(type(self)):
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
    def samples(cls, rng: Rng) -> Iterable[Sample]:
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
