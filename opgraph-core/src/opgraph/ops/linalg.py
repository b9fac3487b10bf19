"""Products of matrices, their diagonals and triangles, and norms."""

import math
import string
from collections.abc import Iterable, Sequence
from typing import Any, SupportsIndex

import numpy as np

from opgraph.build import apply, as_node, promote
from opgraph.doors import front_door_for, make_op
from opgraph.errors import ArgumentError, DtypeError, ShapeError, placing, user_source
from opgraph.node import Node, NodeLike
from opgraph.op import Array, Arrays, Cotangents, Nodes, Op, OpInfo, Rng, Sample, Specs
from opgraph.ops._contraction import computed_wide, matrix_product, wide_scratch
from opgraph.ops.arithmetic import multiply
from opgraph.ops.compare import equal, where
from opgraph.ops.complexes import conj
from opgraph.ops.einsums import einsum_cotangents, einsum_like, fill, product_dtype
from opgraph.ops.like import sum_to
from opgraph.ops.reduce import reduce_sum
from opgraph.ops.shape import expand_dims, reshape, transpose
from opgraph.spec import (
    Axes,
    Shape,
    Spec,
    broadcast_shapes,
    listed_axes,
    normalize_axes,
    normalize_axis,
    real_dtype,
    reduced_shape,
)


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

    def view(self, ins: Arrays) -> Arrays | None:
        return (np.diagonal(ins[0], self.offset, self.axis1, self.axis2),)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.copyto(outs[0], np.diagonal(ins[0], self.offset, self.axis1, self.axis2))

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (apply(DiagonalLike(self.offset, self.axis1, self.axis2), cotangents[0], ins[0]),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 3)),), id="main")
        yield Sample((rng.normal(size=(2, 3, 4)),), {"offset": 1, "axis1": 1, "axis2": -1}, id="above")
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


class Norm(Op, name="core.norm"):
    """Take the Euclidean norm over `axes`: the root of the sum of squares; its gradient at 0 is 0."""

    info = OpInfo(kinks=(0.0,))
    axes: tuple[int, ...] | None = None
    keepdims: bool = False

    def infer(self, ins: Specs) -> Specs:
        (x,) = ins
        shape = reduced_shape(x.shape, normalize_axes(self.axes, x.ndims), self.keepdims)
        return (Spec(shape, _norm_dtype(x)),)

    def scratch(self, ins: Specs, outs: Specs) -> Specs:
        (x,), wide = ins, _accumulator(outs[0].dtype)
        kept = reduced_shape(x.shape, normalize_axes(self.axes, x.ndims), keepdims=True)
        return (Spec(x.shape, wide), Spec(kept, wide), Spec(kept, wide))

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        work, norm, peak = scratch
        _fill_norm(ins[0], self.axes, norm, work, peak)
        np.copyto(outs[0], norm.reshape(outs[0].shape), casting="same_kind")

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        (x,), (y,), (g,) = ins, outs, cotangents
        axes = normalize_axes(self.axes, x.ndim)
        if axes and not self.keepdims:
            y, g = expand_dims(y, axes), expand_dims(g, axes)
        return (x / _infinite_for_zero(y) * g,)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 3)),), id="Frobenius")
        yield Sample((rng.normal(size=(2, 3, 4)),), {"axes": (0, -1)}, id="two axes")
        yield Sample((rng.normal(size=(2, 3)),), {"axes": (1,), "keepdims": True}, id="kept")
        yield Sample((rng.normal(size=(2, 1)),), {"axes": ()}, id="no axes")
        yield Sample((rng.normal(size=(2, 3)) + 1j * rng.normal(size=(2, 3)),), {"axes": (0,)}, id="complex")
        yield Sample((rng.normal(size=(0, 3)),), {"axes": (0,)}, id="empty")
        yield Sample((rng.normal(size=(2, 3)),), {"axes": (2,)}, raises=ArgumentError, id="out of range")
        yield Sample((rng.integers(9, size=(2, 3)),), raises=DtypeError, id="integers")


class GlobalNorm(Op, name="core.global_norm"):
    """Take the root of the sum of the squares of all elements of all `xs`; its gradient at 0 is 0."""

    inputs = ("*xs",)
    info = OpInfo(kinks=(0.0,))

    def infer(self, ins: Specs) -> Specs:
        if not ins:
            raise ArgumentError("of nothing; give at least one tensor")
        if any(x.dtype != ins[0].dtype for x in ins):
            raise DtypeError(f"tensors are of one dtype, not {' and '.join(str(x.dtype) for x in ins)}; cast them")
        return (Spec(Shape(), _norm_dtype(ins[0])),)

    def scratch(self, ins: Specs, outs: Specs) -> Specs:
        wide = _accumulator(outs[0].dtype)
        largest = max(len(ins), *(x.shape.size or 0 for x in ins))
        return (Spec((largest,), wide), Spec((len(ins),), wide), Spec((1,), wide), Spec((1,), wide))

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        work, norms, norm, peak = scratch
        for i, x in enumerate(ins):
            ones = (1,) * x.ndim
            _fill_norm(x, None, norms[i : i + 1].reshape(ones), work[: x.size].reshape(x.shape), peak.reshape(ones))
        _fill_norm(norms, None, norm, work[: len(ins)], peak)
        np.copyto(outs[0], norm[0], casting="same_kind")

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        divisor = _infinite_for_zero(outs[0])
        return tuple(x / divisor * cotangents[0] for x in ins)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 3)), rng.normal(size=(1,)), rng.normal(size=())), id="three")
        yield Sample((rng.normal(size=(2, 3)) + 1j * rng.normal(size=(2, 3)),), id="complex")
        yield Sample((rng.normal(size=(0, 3)), rng.normal(size=(2,))), id="empty")
        yield Sample((), raises=ArgumentError, id="none")
        yield Sample((rng.integers(9, size=(2, 3)),), raises=DtypeError, id="integers")


def _adjoint(x: Node) -> Node:
    """Return each matrix of a stack transposed and conjugated."""
    *lead, rows, columns = range(x.ndim)
    return conj(transpose(x, (*lead, columns, rows) if lead else None))


def _summed_to(g: Node, x: Node) -> Node:
    """Return `g` summed over the stacks along which `x` was broadcast; both have as many dimensions."""
    return g if g.shape[:-2] == x.shape[:-2] and x.shape[:-2].is_known else sum_to(g, x)


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


def _norm_dtype(x: Spec) -> np.dtype[Any]:
    if x.dtype.kind not in "fc":
        raise DtypeError(f"the norm of {x.dtype} is no {x.dtype}; cast to a float")
    return real_dtype(x.dtype)


def _accumulator(dtype: np.dtype[Any]) -> np.dtype[Any]:
    # float16 ends at 65504, the square of 256
    return np.promote_types(dtype, np.float32)


def _infinite_for_zero(norm: Node) -> Node:
    """Return `norm` for a divisor: what is 0 stays 0, and so do the derivatives of every order."""
    return where(equal(norm, 0), math.inf, norm)


def _fill_norm(x: Array, axes: tuple[int, ...] | None, norm: Array, work: Array, peak: Array) -> None:
    """Fill `norm` with the norms of `x` over `axes`, which it keeps with size 1, as `peak` does.

    Where squares may have left the range of the dtype, those of the elements over the largest of them are
    summed instead.
    """
    np.absolute(x, out=work)
    _fill_root_of_squares(work, axes, norm)
    info = np.finfo(norm.dtype)
    if norm.size == 0 or (norm.min() > math.sqrt(info.tiny / info.eps) and norm.max() < math.inf):
        return
    np.absolute(x, out=work)
    np.maximum.reduce(work, axis=axes, out=peak, keepdims=True, initial=0)
    np.copyto(peak, 1, where=(peak == 0) | ~np.isfinite(peak))
    np.divide(work, peak, out=work)
    _fill_root_of_squares(work, axes, norm)
    np.multiply(norm, peak, out=norm)


def _fill_root_of_squares(work: Array, axes: tuple[int, ...] | None, out: Array) -> None:
    np.multiply(work, work, out=work)
    np.add.reduce(work, axis=axes, out=out, keepdims=True)
    np.sqrt(out, out=out)


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
    with placing("tensordot", user_source()):
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
    with placing("diag", user_source()):
        node = as_node(x)
        if node.ndim not in (1, 2):
            raise ShapeError(f"{node.shape} is neither a vector nor a matrix; og.diagonal takes those of a stack")
    return diagonal(node, k) if node.ndim == 2 else apply(make_op(Diag, k=k), node)


def trace(x: NodeLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Node:
    """Sum the diagonals that two dimensions span: (m, n) -> ().

    Parameters and errors are those of `diagonal`; integers stay in their dtype.
    """
    return reduce_sum(diagonal(x, offset, axis1, axis2), -1)


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


@front_door_for(Norm)
def norm(x: NodeLike, axis: Axes = None, keepdims: bool = False) -> Node:
    """Take the Euclidean norm over `axis`, the Frobenius norm of a matrix: the root of the sum of squares.

    Squares that leave the dtype's range do no harm. Where the norm is 0, the gradient, which does not
    exist, is 0, and so are those of higher orders; the norm of nothing is 0.

    Parameters
    ----------
    x : array_like or Node
        Integers become the default float; complex numbers have a real norm.
    axis : int or sequence of int, optional
        All by default.
    keepdims : bool
        Whether `axis` stays, with size 1.

    Raises
    ------
    ArgumentError
        For an axis out of range or given twice.
    """
    (node,) = promote(x, floating=True, what="norm")
    return apply(make_op(Norm, axes=None if axis is None else listed_axes(axis), keepdims=keepdims), node)


@front_door_for(GlobalNorm)
def global_norm(xs: Sequence[NodeLike]) -> Node:
    """Take the norm of several tensors as of one: the root of the sum of the squares of all their elements.

    As for `norm`, squares out of range do no harm, and the gradient at 0 is 0.

    Parameters
    ----------
    xs : sequence of array_like or Node
        At least one; promoted to one dtype, integers to the default float.

    Raises
    ------
    ArgumentError
        For a single tensor in place of a sequence, or an empty one.
    """
    with placing("global_norm", user_source()):
        if isinstance(xs, Node | np.ndarray) or not isinstance(xs, Iterable):
            raise ArgumentError("xs is a sequence of tensors; write [x] for one, or og.norm(x)")
        listed = list(xs)
    return apply(GlobalNorm(), *(promote(*listed, floating=True, what="global_norm") if listed else ()))
