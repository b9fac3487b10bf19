"""Einstein summation, and the gradient of everything that can be written as one."""

from __future__ import annotations

import functools
import string
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from opgraph.build import apply, promote
from opgraph.declarations import OpInfo, Sample
from opgraph.doors import front_door_for, make_op
from opgraph.errors import ArgumentError, DtypeError, ShapeError
from opgraph.node import Node, NodeLike
from opgraph.op import Array, Arrays, Cotangents, Nodes, Op, Rng, Specs
from opgraph.ops._contraction import (
    Labels,
    Term,
    computed_wide,
    contract,
    contracted_view,
    product_flops,
    wide_scratch,
)
from opgraph.ops.complexes import conj
from opgraph.spec import Dim, Shape, Spec


def _numpy_einsum(*xs: Array, subscripts: str) -> Array:
    return np.asarray(np.einsum(subscripts, *xs))


class Einsum(Op, name="core.einsum"):
    """Multiply operands and sum over the indices that the output lacks: NumPy's einsum.

    `subscripts` names each operand's dimensions and the output's: ``"ij,jk->ik"`` is a product of matrices.
    """

    inputs = ("*xs",)
    info = OpInfo(reference=_numpy_einsum, multilinear=(0,))
    subscripts: str

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "subscripts", _canonical(self.subscripts))

    def infer(self, ins: Specs) -> Specs:
        terms, target = _labels(self.subscripts, _ndims(ins))
        if "..." not in self.subscripts.partition("->")[2] and any(
            label.isdecimal() for each in terms for label in each
        ):
            raise ArgumentError(f"{self.subscripts!r}: the output lacks the dimensions of the ellipsis; write '...'")
        sizes = _sizes(terms, [x.shape for x in ins])
        return (Spec(Shape(sizes[label] for label in target), product_dtype(ins)),)

    def view(self, ins: Arrays) -> Arrays | None:
        if len(ins) > 1:
            return None
        (x,) = ins
        (labels,), target = _labels(self.subscripts, _ndims(ins))
        sizes = dict(zip(labels, x.shape, strict=True))
        found = contracted_view(Term(labels, x), target, tuple(sizes[label] for label in target))
        return None if found is None else (found,)

    def scratch(self, ins: Specs, outs: Specs) -> Specs:
        return wide_scratch(ins, outs)

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        fill(*_labels(self.subscripts, _ndims(ins)), ins, outs[0], scratch)

    def flops(self, ins: Specs, outs: Specs) -> int:
        return product_flops(*_labels(self.subscripts, _ndims(ins)), [x.shape for x in ins])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return einsum_cotangents(self.subscripts, ins, cotangents[0])

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        def sample(subscripts: str, *shapes: tuple[int, ...], **kwargs: Any) -> Sample:
            return Sample([rng.normal(size=shape) for shape in shapes], {"subscripts": subscripts}, **kwargs)

        yield sample("ij,jk->ik", (2, 3), (3, 4), id="matrices")
        yield sample("...ij,...jk", (5, 1, 2, 3), (4, 3, 1), id="stacks")
        yield sample("ii->", (3, 3), id="trace")
        yield sample("nd,nn->d", (3, 2), (3, 3), id="diagonal")
        yield sample("i,i->i", (1,), (3,), id="size 1")
        yield sample("ab,ab->b", (2, 3), (2, 1), id="size 1 of a matrix")
        yield sample("ij,jk,ki", (2, 3), (3, 4), (4, 2), id="three operands")
        yield sample("ij->ji", (2, 3), id="transpose")
        yield sample("ij->j", (2, 3), id="sum")
        yield sample("i,j->ji", (2,), (3,), id="outer")
        yield sample("ij,jk->ik", (0, 3), (3, 2), id="empty")
        yield sample("ij,jk->ik", (2, 0), (0, 3), id="empty inner")
        yield sample("i,", (3,), (), id="scalar")
        yield sample("nij,jk,n->ki", (3, 17, 29), (29, 41), (3,), id="large")
        yield sample("ij,jk->ik", (2, 3), (4, 5), raises=ShapeError, id="sizes")
        yield sample("ij,jk->ik", (2, 3), (3,), raises=ShapeError, id="dimensions")
        yield sample("ij->ij", (2, 3), (2, 3), raises=ArgumentError, id="operands")
        yield sample("...i->i", (2, 3), raises=ArgumentError, id="lost ellipsis")
        yield Sample((rng.random((2, 3)) < 0.5,), {"subscripts": "ij->i"}, raises=DtypeError, id="booleans")


class EinsumLike(Op, name="core._einsum_like"):
    """Fill the shape of `like` with an einsum of the operands: the gradient of a factor of an einsum.

    The output names the dimensions of `like`. An index that it repeats runs along the diagonal, with zeros
    beside it; along one that no operand has, values are repeated; one whose size is 1 in `like` is summed.
    """

    inputs = ("like", "*xs")
    info = OpInfo(multilinear=(1,))
    subscripts: str

    def infer(self, ins: Specs) -> Specs:
        like, *xs = ins
        terms, target = self._labels(ins)
        _sizes([target, *terms], [like.shape, *(x.shape for x in xs)])
        return (Spec(like.shape, product_dtype(xs)),)

    def shape_only(self, n: int) -> frozenset[int]:
        return frozenset({0})

    def view(self, ins: Arrays) -> Arrays | None:
        like, *xs = ins
        if len(xs) > 1:
            return None
        terms, target = self._labels(ins)
        found = contracted_view(Term(terms[0], xs[0]), target, like.shape)
        return None if found is None else (found,)

    def scratch(self, ins: Specs, outs: Specs) -> Specs:
        return wide_scratch(ins[1:], outs)

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        fill(*self._labels(ins), ins[1:], outs[0], scratch)

    def flops(self, ins: Specs, outs: Specs) -> int:
        return product_flops(*self._labels(ins), [x.shape for x in ins[1:]])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (None, *einsum_cotangents(self.subscripts, ins[1:], cotangents[0]))

    def _labels(self, ins: Specs | Arrays) -> tuple[tuple[Labels, ...], Labels]:
        # the output's ellipsis stands for what `like` has under it, not for what the operands have
        operands, _, target = self.subscripts.partition("->")
        (like, *terms), _ = _labels(f"{target},{operands}->", _ndims(ins))
        return tuple(terms), like

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        def sample(subscripts: str, *shapes: tuple[int, ...], **kwargs: Any) -> Sample:
            return Sample([rng.normal(size=shape) for shape in shapes], {"subscripts": subscripts}, **kwargs)

        yield sample("ij,jk->ik", (2, 4), (2, 3), (3, 4), id="product")
        yield sample("->ii", (3, 3), (), id="diagonal")
        yield sample("i->iji", (3, 2, 3), (3,), id="diagonal repeated")
        yield sample("i->ij", (2, 3), (2,), id="repeated")
        yield sample("ij->ij", (1, 3), (2, 3), id="summed")
        yield sample("...i,...->i", (3,), (4, 2, 3), (2,), id="ellipsis summed")
        yield sample("i->...i", (4, 2, 3), (3,), id="ellipsis repeated")
        yield sample("i,i->i", (3,), (1,), (1,), id="size 1")
        yield sample("ij->j", (3,), (0, 3), id="empty")
        yield sample("nik,kj->nij", (3, 17, 29), (3, 17, 41), (41, 29), id="large")
        yield sample("ij->ij", (2, 3), (2, 4), raises=ShapeError, id="sizes")


def einsum_cotangents(subscripts: str, xs: Nodes, g: Node) -> Nodes:
    """Return the cotangents of `xs` in ``einsum(subscripts, *xs)``, given the cotangent `g` of the result.

    Each is an einsum itself: of `g` and the other operands' conjugates, to the indices of the one at hand.
    """
    operands, _, target = subscripts.partition("->")
    terms = operands.split(",")
    found = []
    for k, x in enumerate(xs):
        others = [conj(other) for i, other in enumerate(xs) if i != k]
        factors = ",".join([target, *terms[:k], *terms[k + 1 :]])
        found.append(einsum_like(f"{factors}->{terms[k]}", x, g, *others))
    return tuple(found)


def einsum_like(subscripts: str, like: Node, *xs: Node) -> Node:
    """Return the einsum of `xs` in the run-time shape of `like`, whose dimensions the output names."""
    return apply(EinsumLike(subscripts), like, *xs)


def fill(terms: Sequence[Labels], target: Labels, xs: Arrays, out: Array, scratch: Arrays) -> None:
    """Fill `out` with the product of `xs`, whose dimensions are `terms`, summed over what is not in `target`."""

    def kernel(*arrays: Array) -> None:
        *factors, result = arrays
        contract([Term(*each) for each in zip(terms, factors, strict=True)], target, result)

    computed_wide(kernel, xs, out, scratch)


def product_dtype(ins: Sequence[Spec]) -> np.dtype[Any]:
    """Return the one dtype of operands that are multiplied and summed; raise `DtypeError` for booleans."""
    if any(x.dtype != ins[0].dtype for x in ins):
        raise DtypeError(f"operands are of one dtype, not {' and '.join(str(x.dtype) for x in ins)}; cast them")
    if ins[0].dtype.kind == "b":
        raise DtypeError("booleans are not summed; cast them, to an integer to count, or to a float")
    return ins[0].dtype


def _canonical(subscripts: str) -> str:
    """Return `subscripts` without spaces and with the output written out; raise where they are malformed."""
    operands, arrow, target = "".join(subscripts.split()).partition("->")
    terms = operands.split(",")
    for term in (*terms, target):
        letters = term.replace("...", "", 1)
        wrong = next((c for c in letters if c not in string.ascii_letters), None)
        if wrong is not None:
            raise ArgumentError(
                f"{subscripts!r}: {wrong!r} in {term!r} is neither a letter nor part of one '...'; "
                "write operands like 'ij,jk->ik'"
            )
    letters = operands.replace("...", "").replace(",", "")
    if not arrow:
        once = sorted(c for c in set(letters) if letters.count(c) == 1)
        target = "..." * ("..." in operands) + "".join(once)
    named = target.replace("...", "")
    for c in named:
        if c not in letters:
            raise ArgumentError(f"{subscripts!r}: the output's index {c!r} is in no operand")
        if named.count(c) > 1:
            raise ArgumentError(f"{subscripts!r}: the output names {c!r} twice")
    return f"{operands}->{target}"


def _ndims(ins: Specs | Arrays) -> tuple[int, ...]:
    return tuple(len(x.shape) for x in ins)


@functools.lru_cache(maxsize=1024)
def _labels(subscripts: str, ndims: tuple[int, ...]) -> tuple[tuple[Labels, ...], Labels]:
    """Return the labels of the operands' dimensions and of the output's, those under an ellipsis numbered."""
    operands, _, target = subscripts.partition("->")
    terms = operands.split(",")
    if len(terms) != len(ndims):
        raise ArgumentError(f"{subscripts!r} names {len(terms)} operands, got {len(ndims)}")
    found = []
    for k, (term, n) in enumerate(zip(terms, ndims, strict=True)):
        extra = n - len(term.replace("...", ""))
        if extra < 0 or (extra and "..." not in term):
            raise ShapeError(f"{subscripts!r}: operand {k} has {n} dimensions, which {term!r} does not name")
        found.append(_spelled(term, extra))
    under = max((sum(label.isdecimal() for label in labels) for labels in found), default=0)
    return tuple(found), _spelled(target, under)


def _spelled(term: str, under: int) -> Labels:
    """Return the labels of `term`, whose ellipsis stands for that many dimensions, numbered from the last."""
    before, dots, after = term.partition("...")
    return (*before, *(map(str, reversed(range(under))) if dots else ()), *after)


def _sizes(terms: Sequence[Labels], shapes: Sequence[Shape]) -> dict[str, Dim]:
    """Return each label's size, ``None`` where it is not settled; raise where sizes do not go together."""
    sizes: dict[str, Dim] = {}
    for k, (labels, shape) in enumerate(zip(terms, shapes, strict=True)):
        own: dict[str, Dim] = {}
        for label, n in zip(labels, shape, strict=True):
            m = own.setdefault(label, n)
            if m is None:
                own[label] = n
            elif n is not None and n != m:
                raise ShapeError(f"index {label!r} stands for sizes {m} and {n} of {shape}, operand {k}")
        for label, n in own.items():
            m = sizes.get(label, 1)
            if m == 1 or (m is None and n != 1):
                sizes[label] = n
            elif m is not None and n not in (None, 1, m):
                what = f"dimension {-1 - int(label)} of the ellipsis" if label.isdecimal() else f"index {label!r}"
                raise ShapeError(f"{' and '.join(map(str, shapes))}: {what} has sizes {m} and {n}")
    return sizes


@front_door_for(Einsum)
def einsum(subscripts: str, *xs: NodeLike) -> Node:
    """Multiply operands and sum over the indices that the output lacks: NumPy's einsum.

    Parameters
    ----------
    subscripts : str
        A letter for each dimension of each operand, ``"ij,jk->ik"`` for a product of matrices. Without
        ``->``, the output has the letters that occur once, in alphabetical order. ``...`` stands for any
        further dimensions, which broadcast; an index that one operand repeats takes its diagonal.
    xs : array_like or Node
        Promoted to one dtype. Sizes of 1 broadcast.

    Raises
    ------
    ArgumentError
        For malformed subscripts, and where they name another number of operands.
    ShapeError
        Where the sizes of an index differ and none is 1, or an operand has other dimensions than are named.
    DtypeError
        For booleans.

    Examples
    --------
    >>> og.einsum("bhqd,bhkd->bhqk", queries, keys)
    """
    if not isinstance(subscripts, str):
        raise ArgumentError(
            f"subscripts come first, as a string: og.einsum('ij,jk->ik', x, y); not {type(subscripts).__name__}. "
            "Write lists of numbers as letters"
        )
    if not xs:
        raise ArgumentError(f"{subscripts!r} without operands; they follow the subscripts")
    return apply(make_op(Einsum, subscripts=subscripts), *promote(*xs, what="einsum"))
