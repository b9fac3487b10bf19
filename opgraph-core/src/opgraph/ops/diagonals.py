"""Diagonals and triangles of matrices, taken and made."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from opgraph.build import apply, as_node
from opgraph.declarations import OpInfo, Sample
from opgraph.doors import front_door_for, make_op
from opgraph.errors import ArgumentError, ShapeError
from opgraph.node import Node, NodeLike
from opgraph.op import Array, Arrays, Cotangents, Nodes, Op, Rng, Specs
from opgraph.ops.reduce import reduce_sum
from opgraph.signatures import guarded
from opgraph.spec import Shape, Spec, normalize_axis


class Diagonal(Op, name="core.diagonal"):
    """Take the diagonals that `axis1` and `axis2` span, as a new last dimension: elements [i, i + offset]."""

    info = OpInfo(reference=np.diagonal, multilinear=(0,))
    offset: int = 0
    axis1: int = 0
    axis2: int = 1

    def infer(self, ins: Specs) -> Specs:
        (x,) = ins
        axes = _plane(x.shape, self.axis1, self.axis2)
        m, n = (x.shape[a] for a in axes)
        length = None if m is None or n is None else _diagonal_length(m, n, self.offset)
        return (x.with_shape([*(n for i, n in enumerate(x.shape) if i not in axes), length]),)

    def view(self, ins: Arrays) -> Arrays:
        (x,) = ins
        # beyond the last one all are empty, and NumPy takes no offset above 2**31
        offset = max(-x.shape[self.axis1], min(self.offset, x.shape[self.axis2]))
        return (np.diagonal(x, offset, self.axis1, self.axis2),)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        (taken,) = self.view(ins)
        np.copyto(outs[0], taken)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (apply(DiagonalLike(self.offset, self.axis1, self.axis2), cotangents[0], ins[0]),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 3)),), id="main")
        yield Sample((rng.normal(size=(1, 3, 4)),), {"offset": 2, "axis1": 1, "axis2": -1}, id="above")
        yield Sample((rng.normal(size=(2, 3, 4)),), {"offset": -1, "axis1": 0, "axis2": 2}, id="below")
        yield Sample((rng.normal(size=(3, 4)),), {"axis1": 1, "axis2": 0, "offset": 1}, id="axes exchanged")
        yield Sample((rng.normal(size=(1, 3)),), {"offset": 3}, id="outside")
        yield Sample((rng.normal(size=(0, 3)),), id="empty")
        yield Sample((rng.normal(size=(3,)),), raises=ShapeError, id="vector")
        yield Sample((rng.normal(size=(2, 3)),), {"axis1": 1, "axis2": -1}, raises=ArgumentError, id="one axis twice")
        yield Sample((rng.normal(size=(2, 3)),), {"axis2": 2}, raises=ArgumentError, id="out of range")


class DiagonalLike(Op, name="core._diagonal_like"):
    """Put the last dimension of `x` on the diagonals of zeros in the shape of `like`: what `Diagonal` takes."""

    inputs = ("x", "like")
    info = OpInfo(multilinear=(0,))
    offset: int = 0
    axis1: int = 0
    axis2: int = 1

    def infer(self, ins: Specs) -> Specs:
        x, like = ins
        (taken,) = Diagonal(self.offset, self.axis1, self.axis2).infer((like,))
        if not taken.shape.compatible_with(x.shape):
            raise ShapeError(f"x has shape {x.shape}, the diagonals of {like.shape} have {taken.shape}")
        return (x.with_shape(like.shape),)

    def shape_only(self, n: int) -> frozenset[int]:
        return frozenset({1})

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        outs[0].fill(0)
        # writable, as np.diagonal's result is not
        at = np.moveaxis(outs[0], (self.axis1, self.axis2), (-2, -1))
        np.copyto(_writable_diagonal(at, self.offset), ins[0])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (diagonal(cotangents[0], self.offset, self.axis1, self.axis2), None)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        for taken in Diagonal.samples(rng):
            if taken.raises is None:
                (like,) = taken.inputs
                yield Sample((rng.normal(size=np.diagonal(like, **taken.attrs).shape), like), taken.attrs, id=taken.id)
        yield Sample((rng.normal(size=(2,)), rng.normal(size=(3, 4))), raises=ShapeError)


class Diag(Op, name="core.diag"):
    """Make a matrix with `x` on its diagonal `k`, zeros elsewhere: (n,) -> (n + abs(k), n + abs(k))."""

    info = OpInfo(reference=np.diag, multilinear=(0,))
    k: int = 0

    def infer(self, ins: Specs) -> Specs:
        (x,) = ins
        if x.ndims != 1:
            raise ShapeError(f"a vector goes on a diagonal, not {x.shape}")
        (n,) = x.shape
        size = None if n is None else n + abs(self.k)
        return (x.with_shape((size, size)),)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        outs[0].fill(0)
        np.copyto(_writable_diagonal(outs[0], self.k), ins[0])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (diagonal(cotangents[0], self.k),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(3,)),), id="main")
        yield Sample((rng.normal(size=(2,)),), {"k": 1}, id="above")
        yield Sample((rng.normal(size=(1,)),), {"k": -2}, id="below")
        yield Sample((rng.normal(size=(0,)),), {"k": 1}, id="empty")
        yield Sample((rng.normal(size=(2, 3, 4)),), raises=ShapeError)


class Triangle(Op):
    """What `Triu` and `Tril` share: one side of the diagonal `k` in each of a stack of matrices."""

    k: int = 0

    def infer(self, ins: Specs) -> Specs:
        (x,) = ins
        if x.ndims < 2:
            raise ShapeError(f"{x.shape} is no matrix, nor a stack of them")
        return (x,)

    def scratch(self, ins: Specs, outs: Specs) -> Specs:
        return (Spec(ins[0].shape[-2:], np.bool),)

    def fill_where(self, compare: np.ufunc, x: Array, out: Array, mask: Array) -> None:
        """Fill `out` with `x` where its column compares so with its row + k, with zeros elsewhere."""
        rows, columns = mask.shape
        compare(np.arange(columns), np.arange(self.k, self.k + rows)[:, np.newaxis], out=mask)
        out.fill(0)
        np.copyto(out, x, where=mask)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 3)),), id="wide")
        yield Sample((rng.normal(size=(4, 3, 2)),), {"k": 1}, id="stack")
        yield Sample((rng.normal(size=(3, 1)),), {"k": -1}, id="column")
        yield Sample((rng.normal(size=(0, 3)),), id="empty")
        yield Sample((rng.normal(size=(3,)),), raises=ShapeError)


class Triu(Triangle, name="core.triu"):
    """Keep the upper triangle of each matrix, from diagonal `k` on; zeros below: (…, m, n) -> (…, m, n)."""

    info = OpInfo(reference=np.triu, multilinear=(0,))

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        self.fill_where(np.greater_equal, ins[0], outs[0], scratch[0])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (triu(cotangents[0], self.k),)


class Tril(Triangle, name="core.tril"):
    """Keep the lower triangle of each matrix, up to diagonal `k`; zeros above: (…, m, n) -> (…, m, n)."""

    info = OpInfo(reference=np.tril, multilinear=(0,))

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        self.fill_where(np.less_equal, ins[0], outs[0], scratch[0])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (tril(cotangents[0], self.k),)


def _plane(shape: Shape, axis1: int, axis2: int) -> tuple[int, int]:
    """Return the two axes counted from the front; raise where they span no plane."""
    if len(shape) < 2:
        raise ShapeError(f"{shape} is no matrix, nor a stack of them")
    axes = normalize_axis(axis1, len(shape), "axis1"), normalize_axis(axis2, len(shape), "axis2")
    if axes[0] == axes[1]:
        raise ArgumentError(f"axis1 {axis1} and axis2 {axis2} are the same; a diagonal runs along two")
    return axes


def _diagonal_length(m: int, n: int, offset: int) -> int:
    return max(0, min(m, n - offset) if offset >= 0 else min(m + offset, n))


def _writable_diagonal(matrices: Array, offset: int) -> Array:
    """Return the diagonals of the last two dimensions as a view to write to, as np.diagonal's is not."""
    length = _diagonal_length(matrices.shape[-2], matrices.shape[-1], offset)
    row, column = max(0, -offset), max(0, offset)
    diagonals: Array = np.einsum("...ii->...i", matrices[..., row : row + length, column : column + length])
    return diagonals


@front_door_for(Diagonal)
def diagonal(x: NodeLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Node:
    """Take the diagonals that two dimensions span, as a new last dimension: a view.

    Parameters
    ----------
    x : array_like or Node, of two dimensions or more
    offset : int
        Elements [i, i + offset] are taken: above the main diagonal where positive.
    axis1, axis2 : int
        The dimensions of i and of i + offset.

    Raises
    ------
    ShapeError
        For fewer than two dimensions.
    ArgumentError
        For axes out of range, or one given twice.
    """
    return apply(make_op(Diagonal, offset=offset, axis1=axis1, axis2=axis2), as_node(x))


@front_door_for(Diag)
def diag(x: NodeLike, k: int = 0) -> Node:
    """Make a matrix with the vector `x` on its diagonal `k`, or take that diagonal of a matrix `x`.

    (n,) -> (n + abs(k), n + abs(k)), with zeros elsewhere; (m, n) -> the diagonal's length. Diagonal `k` holds
    the elements [i, i + k].

    Raises
    ------
    ShapeError
        For other than one or two dimensions; `diagonal` takes those of a stack.
    """
    node = as_node(x)
    if node.ndim not in (1, 2):
        raise ShapeError(f"{node.shape} is neither a vector nor a matrix; og.diagonal takes those of a stack")
    return diagonal(node, k) if node.ndim == 2 else apply(make_op(Diag, k=k), node)


@guarded
def trace(x: NodeLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Node:
    """Sum the diagonals that two dimensions span: (m, n) -> ().

    Parameters and errors are those of `diagonal`; integers are summed as by `reduce_sum`.
    """
    return reduce_sum(diagonal(as_node(x), offset, axis1, axis2), -1)


@front_door_for(Triu)
def triu(x: NodeLike, k: int = 0) -> Node:
    """Keep the upper triangle of each matrix, from diagonal `k` on; zeros below: (…, m, n) -> (…, m, n).

    Diagonal `k` holds the elements [i, i + k].

    Raises
    ------
    ShapeError
        For fewer than two dimensions.
    """
    return apply(make_op(Triu, k=k), as_node(x))


@front_door_for(Tril)
def tril(x: NodeLike, k: int = 0) -> Node:
    """Keep the lower triangle of each matrix, up to diagonal `k`; zeros above: (…, m, n) -> (…, m, n).

    Diagonal `k` holds the elements [i, i + k].

    Raises
    ------
    ShapeError
        For fewer than two dimensions.
    """
    return apply(make_op(Tril, k=k), as_node(x))
