"""Products of matrices and tensors."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Sequence
from typing import Any, SupportsIndex

import numpy as np

from opgraph.build import apply, promote
from opgraph.declarations import OpInfo, Sample
from opgraph.doors import front_door_for, make_op
from opgraph.errors import ArgumentError, ShapeError
from opgraph.node import Node, NodeLike
from opgraph.op import Arrays, Cotangents, Nodes, Op, Rng, Specs
from opgraph.ops._contraction import bound_product, computed_wide, matrix_product, product_flops, wide_scratch
from opgraph.ops.arithmetic import multiply
from opgraph.ops.complexes import conj
from opgraph.ops.einsums import einsum_cotangents, einsum_like, fill, product_dtype
from opgraph.ops.like import sum_to
from opgraph.ops.shape import expand_dims, reshape, transpose
from opgraph.signatures import guarded
from opgraph.spec import Spec, broadcast_shapes, listed_axes, normalize_axes


class Matmul(Op, name="core.matmul"):
    """Multiply matrices, or stacks of them that broadcast: (…, m, k) @ (…, k, n) -> (…, m, n)."""

    inputs = ("x", "y")
    info = OpInfo(reference=np.matmul, multilinear=(0, 1))

    def infer(self, ins: Specs) -> Specs:
        x, y = ins
        if not (x.ndims and y.ndims):
            raise ShapeError(f"{x.shape} @ {y.shape}: a scalar is no matrix; multiply by it with *")
        inner, other = x.shape[-1], y.shape[-2 if y.ndims > 1 else 0]
        if inner is not None and other is not None and inner != other:
            raise ShapeError(f"{x.shape} @ {y.shape}: inner sizes {inner} and {other} differ")
        stack = broadcast_shapes(x.shape[:-2], y.shape[:-2])
        columns = y.shape[-1:] if y.ndims > 1 else ()
        return (Spec(stack + x.shape[-2:-1] + columns, product_dtype(ins)),)

    def scratch(self, ins: Specs, outs: Specs) -> Specs:
        return wide_scratch(ins, outs)

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        if scratch:
            computed_wide(matrix_product, ins, outs[0], scratch)
        else:
            matrix_product(ins[0], ins[1], outs[0])

    def bind(self, ins: Arrays, outs: Arrays) -> Callable[[], object] | None:
        x, y = ins
        return bound_product(x, y, outs[0])

    def batch(self, ins: Specs, batched: frozenset[int]) -> Op | None:
        return self if all(spec.ndims == 2 for spec in ins) else None

    def by_rows(self, ins: Specs) -> frozenset[int] | None:
        x, y = ins
        return frozenset([0]) if x.ndims >= y.ndims == 2 else None

    def flops(self, ins: Specs, outs: Specs) -> int:
        return 2 * (outs[0].shape.size or 0) * (ins[0].shape[-1] or 0)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x, y), (g,) = ins, cotangents
        of_x = "...ab" if x.ndim > 1 else "b"
        of_y = "...bc" if y.ndim > 1 else "b"
        of_g = "..." * ("..." in of_x + of_y) + "a" * (x.ndim > 1) + "c" * (y.ndim > 1)
        if x.ndim >= y.ndim > 1:
            gx = _summed_to(matmul(g, _adjoint(y)), x)
        else:  # the stack, or columns, of y alone are summed within one product
            gx = einsum_like(f"{of_g},{of_y}->{of_x}", x, g, conj(y))
        if y.ndim >= x.ndim > 1:
            gy = _summed_to(matmul(_adjoint(x), g), y)
        else:
            gy = einsum_like(f"{of_x},{of_g}->{of_y}", y, conj(x), g)
        return (gx, gy)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        for shape, other, what in [
            ((2, 3), (3, 4), "matrices"),
            ((1, 5), (5, 2), "row"),
            ((2, 0), (0, 3), "empty inner"),
            ((0, 3), (3, 2), "empty outer"),
            ((4, 2, 3), (3, 5), "stack by matrix"),
            ((2, 3), (4, 3, 5), "matrix by stack"),
            ((4, 2, 3), (4, 3, 5), "stacks"),
            ((1, 2, 3), (4, 3, 1), "stacks that broadcast"),
            ((5, 1, 2, 3), (4, 3, 1), "stacks of different dimensions"),
            ((3,), (3,), "vectors"),
            ((3,), (3, 2), "vector by matrix"),
            ((2, 3), (3,), "matrix by vector"),
            ((3,), (4, 3, 2), "vector by stack"),
            ((4, 2, 3), (3,), "stack by vector"),
            ((2, 17, 31), (31, 43), "large"),
        ]:
            yield Sample((rng.normal(size=shape), rng.normal(size=other)), id=what)
        yield Sample((rng.normal(size=(2, 3)), rng.normal(size=(4, 3))), raises=ShapeError, id="inner sizes")
        yield Sample((rng.normal(size=(2, 4, 3)), rng.normal(size=(5, 3, 1))), raises=ShapeError, id="stack sizes")
        yield Sample((rng.normal(size=(2, 3)), rng.normal(size=())), raises=ShapeError, id="scalar")


class Tensordot(Op, name="core.tensordot"):
    """Multiply and sum over ``axes[0]`` of x and ``axes[1]`` of y; x's other dimensions come first, then y's."""

    inputs = ("x", "y")
    info = OpInfo(reference=np.tensordot, multilinear=(0, 1))
    axes: tuple[tuple[int, ...], tuple[int, ...]]

    def infer(self, ins: Specs) -> Specs:
        x, y = ins
        of_x, of_y = self._axes(x.ndims, y.ndims)
        for a, b in zip(of_x, of_y, strict=True):
            m, n = x.shape[a], y.shape[b]
            if m is not None and n is not None and m != n:
                raise ShapeError(f"{x.shape} and {y.shape}: axis {a} of x has size {m}, axis {b} of y {n}")
        free = [n for i, n in enumerate(x.shape) if i not in of_x] + [n for i, n in enumerate(y.shape) if i not in of_y]
        return (Spec(free, product_dtype(ins)),)

    def scratch(self, ins: Specs, outs: Specs) -> Specs:
        return wide_scratch(ins, outs)

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        x, y, out = self._terms(ins[0].ndim, ins[1].ndim)
        fill([tuple(x), tuple(y)], tuple(out), ins, outs[0], scratch)

    def flops(self, ins: Specs, outs: Specs) -> int:
        x, y, out = self._terms(ins[0].ndims, ins[1].ndims)
        return product_flops([tuple(x), tuple(y)], tuple(out), [x.shape for x in ins])

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        x, y, out = self._terms(ins[0].ndim, ins[1].ndim)
        return einsum_cotangents(f"{x},{y}->{out}", ins, cotangents[0])

    def _axes(self, m: int, n: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the axes of operands with `m` and `n` dimensions, counted from the front."""
        x, y = self.axes
        if len(x) != len(y):
            raise ArgumentError(f"axes {self.axes}: {len(x)} of x and {len(y)} of y; they go in pairs")
        normalize_axes(x, m, "axes of x:")
        normalize_axes(y, n, "axes of y:")
        if m + n - len(x) > len(string.ascii_letters):
            raise ShapeError(f"{m} and {n} dimensions are more than {len(string.ascii_letters)} to tell apart")
        return tuple(a % m for a in x), tuple(a % n for a in y)

    def _terms(self, m: int, n: int) -> tuple[str, str, str]:
        """Return the dimensions of both operands and of the result as letters."""
        of_x, of_y = self._axes(m, n)
        x, rest = string.ascii_letters[:m], iter(string.ascii_letters[m:])
        y = "".join(x[of_x[of_y.index(i)]] if i in of_y else next(rest) for i in range(n))
        return x, y, "".join(a for a in x if a not in y) + "".join(b for b in y if b not in x)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        def sample(x: tuple[int, ...], y: tuple[int, ...], axes: Any, **kwargs: Any) -> Sample:
            return Sample((rng.normal(size=x), rng.normal(size=y)), {"axes": axes}, **kwargs)

        yield sample((2, 3), (3, 4), ((1,), (0,)), id="matrices")
        yield sample((2, 3, 4), (4, 5, 2), ((0, -1), (2, 0)), id="two axes")
        yield sample((2,), (3, 1), ((), ()), id="outer")
        yield sample((2, 0), (0, 3), ((1,), (0,)), id="empty")
        yield sample((3,), (3,), ((0,), (0,)), id="vectors")
        yield sample((2, 3), (1, 4), ((1,), (0,)), raises=ShapeError, id="no broadcasting")
        yield sample((2, 3), (3, 4), ((1,), ()), raises=ArgumentError, id="axes without a partner")
        yield sample((2, 3), (3, 4), ((2,), (0,)), raises=ArgumentError, id="out of range")


def _adjoint(x: Node) -> Node:
    """Return each matrix of a stack transposed and conjugated."""
    *lead, rows, columns = range(x.ndim)
    return conj(transpose(x, (*lead, columns, rows) if lead else None))


def _summed_to(g: Node, x: Node) -> Node:
    """Return `g` summed over the stacks along which `x` was broadcast; both have as many dimensions."""
    return g if g.shape[:-2] == x.shape[:-2] and x.shape[:-2].is_known else sum_to(g, x)


@front_door_for(Matmul)
def matmul(x: NodeLike, y: NodeLike) -> Node:
    """Multiply matrices, or stacks of them that broadcast: (…, m, k) @ (…, k, n) -> (…, m, n).

    As ``numpy.matmul``: a vector is a row on the left and a column on the right, and its dimension is
    dropped from the result.

    Parameters
    ----------
    x : array_like or Node, (…, m, k) or (k,)
    y : array_like or Node, (…, k, n) or (k,)
        Both are promoted to one dtype.

    Raises
    ------
    ShapeError
        For a scalar, and where the inner sizes differ or the stacks do not broadcast.
    DtypeError
        For booleans.
    """
    return apply(Matmul(), *promote(x, y, what="matmul"))


@guarded
def dot(x: NodeLike, y: NodeLike) -> Node:
    """Sum products over the last dimension of `x` and the last but one of `y`: (…, m, k), (…, k, n) -> (…, m, …, n).

    As ``numpy.dot``: a scalar multiplies, a vector has but its last dimension. Between matrices and vectors
    this is `matmul`; stacks do not go side by side, but each with each.

    Raises
    ------
    ShapeError
        Where the sizes differ.
    DtypeError
        For booleans, unless one is a scalar.
    """
    x, y = promote(x, y, what="dot")
    if x.ndim == 0 or y.ndim == 0:
        return multiply(x, y)
    if y.ndim <= 2 and (x.ndim <= 2 or y.ndim == 1):
        return matmul(x, y)
    return tensordot(x, y, (-1, -2 if y.ndim > 1 else 0))


@guarded
def inner(x: NodeLike, y: NodeLike) -> Node:
    """Sum products over the last dimensions: (…, k), (…, k) -> (…, …), without conjugation.

    As ``numpy.inner``: a scalar multiplies.

    Raises
    ------
    ShapeError
        Where the last sizes differ.
    DtypeError
        For booleans, unless one is a scalar.
    """
    x, y = promote(x, y, what="inner")
    return multiply(x, y) if x.ndim == 0 or y.ndim == 0 else tensordot(x, y, (-1, -1))


@guarded
def outer(x: NodeLike, y: NodeLike) -> Node:
    """Multiply each element of `x` with each of `y`: (m,), (n,) -> (m, n), without conjugation.

    As ``numpy.outer``: other shapes are flattened.
    """
    x, y = promote(x, y, what="outer")
    x, y = (z if z.ndim == 1 else reshape(z, -1) for z in (x, y))
    return multiply(expand_dims(x, 1), y)


@front_door_for(Tensordot)
def tensordot(x: NodeLike, y: NodeLike, axes: int | Sequence[SupportsIndex | Sequence[SupportsIndex]] = 2) -> Node:
    """Sum products over pairs of dimensions; the others of `x` come first, then those of `y`.

    Parameters
    ----------
    x, y : array_like or Node
        Promoted to one dtype.
    axes : int or pair
        The axes of `x` and those of `y`, in the order in which they go together, each one int or several;
        n stands for the last n of `x` with the first n of `y`.

    Raises
    ------
    ShapeError
        Where two sizes that go together differ; 1 does not broadcast.
    ArgumentError
        For axes that are out of range, stand there twice or have no partner.
    DtypeError
        For booleans.
    """
    x, y = promote(x, y, what="tensordot")
    pair = _axis_pair(axes, x.ndim, y.ndim)
    return apply(make_op(Tensordot, axes=pair), x, y)


def _axis_pair(axes: Any, m: int, n: int) -> tuple[tuple[SupportsIndex, ...], tuple[SupportsIndex, ...]]:
    if isinstance(axes, int | np.integer) and not isinstance(axes, bool):
        if not 0 <= axes <= min(m, n):
            raise ArgumentError(f"axes {axes} is no number of dimensions that both have, {m} and {n}")
        return tuple(range(m - int(axes), m)), tuple(range(axes))
    if not isinstance(axes, Sequence) or isinstance(axes, str) or len(axes) != 2:
        raise ArgumentError(f"axes is a number of dimensions or a pair, those of x and those of y; not {axes!r}")
    return listed_axes(axes[0]), listed_axes(axes[1])
