"""The kernel of matrix products and einsums: sums of products over labelled dimensions, by BLAS where it can.

A label is a letter, or a number for a dimension under an ellipsis, counted from the last one.
"""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from opgraph.op import Array, Arrays, Specs
from opgraph.threads import parallel_for

Labels: TypeAlias = tuple[str, ...]

SMALL = 1024  # multiplications that take less time than finding the fastest way to do them
WORTH_A_THREAD = 1 << 23  # multiplications that take some 100 microseconds, and more than a thread to wake


class Term(NamedTuple):
    """An array with the labels of its dimensions."""

    labels: Labels
    array: Array


def contract(terms: Sequence[Term], target: Labels, out: Array) -> None:
    """Fill `out`, whose dimensions are `target`, with the terms' product summed over every other label.

    Sizes of 1 broadcast. A label that `target` repeats fills the diagonal, with zeros beside it; values are
    repeated along one that no term has, and summed along one whose size in `out` alone is 1.
    """
    empty = any(term.array.size == 0 for term in terms)
    if empty or len(set(target)) < len(target):
        out[...] = 0  # the sum of nothing, or what lies beside the diagonal
    if empty or out.size == 0:
        return
    # without sizes of 1, each label has one size everywhere
    place = _narrowed(Term(target, out))
    factors = [_narrowed(term) for term in terms]
    found = {label for factor in factors for label in factor.labels}
    kept = tuple(label for label in place.labels if label in found)
    if kept == place.labels:
        _sum_of_products(factors, kept, place.array)
    else:
        sizes = dict(zip(place.labels, place.array.shape, strict=True))
        values = Term(kept, np.empty([sizes[label] for label in kept], out.dtype))
        _sum_of_products(factors, kept, values.array)
        np.copyto(place.array, _aligned(values, place.labels))


def contracted_view(term: Term, target: Labels, shape: tuple[int, ...]) -> Array | None:
    """Return what `contract` makes of one term as a view of it, ``None`` where that takes computing."""
    narrow = _narrowed(term)
    long = {label for label, size in zip(target, shape, strict=True) if size != 1}
    if len(set(target)) < len(target) or not long.issuperset(narrow.labels):
        return None
    return np.broadcast_to(_aligned(narrow, target), shape)


def product_flops(terms: Sequence[Labels], target: Labels, shapes: Sequence[Sequence[int | None]]) -> int:
    """Return how many multiplications and additions `contract` takes, whose terms have these shapes."""
    factors = [{a: n or 0 for a, n in zip(*each, strict=True) if n != 1} for each in zip(terms, shapes, strict=True)]
    sizes = {label: n for factor in factors for label, n in factor.items()}
    flops = 0

    def multiplied(chosen: Sequence[Iterable[str]]) -> int:
        return len(chosen) * math.prod(sizes[label] for label in set().union(*chosen))

    if len(factors) > 2 and math.prod(sizes.values()) > SMALL:
        kept = tuple(label for label in target if label in sizes)
        path = _path(tuple(map(tuple, factors)), kept, tuple(tuple(factor.values()) for factor in factors))
        for positions in path[:-1]:
            chosen = [factors[i] for i in positions]
            factors = [factor for i, factor in enumerate(factors) if i not in positions]
            needed = set(target).union(*factors)
            flops += multiplied(chosen)
            factors.append({label: n for factor in chosen for label, n in factor.items() if label in needed})
    return flops + multiplied(factors)


def matrix_product(x: Array, y: Array, out: Array) -> None:
    """Fill `out` with the product of stacks of matrices, or of vectors, as ``np.matmul`` does."""
    x, y = _for_blas(x), _for_blas(y)
    if y.ndim == 2 and x.ndim > 2 and x.flags.c_contiguous:
        # one product instead of one for each matrix of the stack
        rows = math.prod(x.shape[:-1])
        x, out = x.reshape(rows, x.shape[-1]), out.reshape(rows, y.shape[-1])
    parts = _parts(out, x.shape[-1]) if x.ndim > 1 and y.ndim > 1 else 1
    if parts == 1:
        np.matmul(x, y, out=out)
        return
    rows, columns = out.shape[-2:]
    by_rows = rows >= columns
    step = -(-max(rows, columns) // parts)

    def product(i: int) -> None:
        part = slice(i * step, (i + 1) * step)
        if by_rows:
            np.matmul(x[..., part, :], y, out=out[..., part, :])
        else:
            np.matmul(x, y[..., part], out=out[..., part])

    parallel_for(product, parts)


def bound_product(x: Array, y: Array, out: Array) -> Callable[[], object] | None:
    """Return the call that fills `out` with a product of two matrices, where BLAS takes them as they are."""
    plain = x.ndim == y.ndim == 2 and x.dtype.char in "fd" and x.flags.forc and y.flags.forc
    # NumPy's dot is the faster one of two functions that call the same of BLAS
    return functools.partial(np.dot, x, y, out) if plain and _parts(out, x.shape[-1]) == 1 else None


def _parts(out: Array, inner: int) -> int:
    """Return in how many parts threads share a product, which follows from shapes alone: 1, 2, 4, 8 or 16."""
    shares = out.size * inner // WORTH_A_THREAD
    return min(16, 1 << shares.bit_length() - 1) if shares else 1


def wide_scratch(ins: Specs, outs: Specs) -> Specs:
    """Return the float32 work space in which `computed_wide` computes float16, none for other dtypes."""
    return tuple(spec.with_dtype(np.float32) for spec in (*ins, *outs)) if outs[0].dtype == np.float16 else ()


def computed_wide(kernel: Callable[..., None], ins: Arrays, out: Array, scratch: Arrays) -> None:
    """Call ``kernel(*ins, out)``, on copies in `scratch` if there are any: BLAS has no float16."""
    *copies, wide = scratch or (*ins, out)
    if scratch:
        for copy, x in zip(copies, ins, strict=True):
            np.copyto(copy, x)
    kernel(*copies, wide)
    if scratch:
        np.copyto(out, wide, casting="same_kind")


def _narrowed(term: Term) -> Term:
    """Return a view with one dimension for each label, the diagonal for a repeated one, and none of size 1."""
    labels, array = term
    unique = tuple(dict.fromkeys(labels))
    if len(unique) < len(labels):
        array = np.einsum(array, [unique.index(label) for label in labels], list(range(len(unique))))
    if 1 in array.shape:
        unique = tuple(label for label, size in zip(unique, array.shape, strict=True) if size != 1)
        array = np.squeeze(array)
    return Term(unique, array)


def _aligned(term: Term, target: Labels) -> Array:
    """Return a view whose dimensions are those of `target`, of size 1 where the term has none."""
    ordered = _ordered(term, [label for label in target if label in term.labels])
    return ordered[(*(slice(None) if label in term.labels else None for label in target), ...)]


def _ordered(term: Term, labels: Iterable[str]) -> Array:
    return term.array.transpose([term.labels.index(label) for label in labels])


def _sum_of_products(terms: list[Term], target: Labels, out: Array) -> None:
    """Fill `out` from terms that repeat no label and agree on each one's size."""
    sizes = {label: n for term in terms for label, n in zip(term.labels, term.array.shape, strict=True)}
    if math.prod(sizes.values()) <= SMALL:
        _direct(terms, target, out)
        return
    if len(terms) > 2:
        path = _path(tuple(t.labels for t in terms), target, tuple(t.array.shape for t in terms))
        for positions in path[:-1]:
            terms = _with_product(terms, positions, target)
    if len(terms) == 1:
        _sum(terms[0], target, out)
    elif len(terms) == 2:
        x, y = terms
        _product(x, y, target, out)
    else:
        _direct(terms, target, out)


@functools.lru_cache(maxsize=256)
def _path(terms: tuple[Labels, ...], target: Labels, shapes: tuple[tuple[int, ...], ...]) -> list[tuple[int, ...]]:
    """Return, step by step, which of the terms left to multiply; their product goes to the end of the list."""
    numbers = _numbered([*terms, target])
    operands: list[Any] = []
    for labels, shape in zip(numbers, shapes, strict=False):
        operands += [np.broadcast_to(np.float32(), shape), labels]
    path: list[tuple[int, ...]] = np.einsum_path(*operands, numbers[-1], optimize="greedy")[0][1:]
    return path


def _with_product(terms: list[Term], positions: Sequence[int], target: Labels) -> list[Term]:
    """Return the terms with those at `positions` multiplied, and summed over what nobody needs any more."""
    rest = [term for i, term in enumerate(terms) if i not in positions]
    chosen = [terms[i] for i in positions]
    needed = {*target, *(label for term in rest for label in term.labels)}
    sizes = {label: n for term in chosen for label, n in zip(term.labels, term.array.shape, strict=True)}
    shared = set(chosen[0].labels).intersection(*[term.labels for term in chosen])
    # first the labels of both: what a stack of products is laid out by
    labels = tuple(sorted((label for label in sizes if label in needed), key=lambda label: label not in shared))
    product = np.empty([sizes[label] for label in labels], chosen[0].array.dtype)
    _sum_of_products(chosen, labels, product)
    return [*rest, Term(labels, product)]


def _sum(term: Term, target: Labels, out: Array) -> None:
    """Fill `out` with `term` summed over what is not in `target`."""
    kept = [label for label in term.labels if label in target]
    axes = tuple(i for i, label in enumerate(term.labels) if label not in target)
    place = _ordered(Term(target, out), kept)
    if axes:
        # pairwise, and so more exact than np.einsum
        np.add.reduce(term.array, axis=axes, out=place)
    else:
        np.copyto(place, term.array)


def _product(x: Term, y: Term, target: Labels, out: Array) -> None:
    """Fill `out` with the product of two terms, summed over what is not in `target`."""
    x, y = _summed(x, {*y.labels, *target}), _summed(y, {*x.labels, *target})
    inner = [label for label in max(x, y, key=lambda term: term.array.size).labels if label not in target]
    if not inner:
        np.multiply(_aligned(x, target), _aligned(y, target), out=out)
        return
    stack = [label for label in target if label in x.labels and label in y.labels]
    left = [label for label in target if label in x.labels and label not in stack]
    right = [label for label in target if label in y.labels and label not in stack]
    fits = _is_matrix(x, left, inner) and _is_matrix(y, inner, right)
    # a copy costs more than it gains where each element is used once
    if out.dtype.char not in "fdFD" or not ((left and right) or (fits and (left or right))):
        _direct([x, y], target, out)
        return
    factors = _matrices(x, stack, left, inner), _matrices(y, stack, inner, right)
    place = Term(target, out)
    if _is_matrix(place, left, right):
        matrix_product(*factors, _matrices(place, stack, left, right))
    else:
        ordered = _ordered(place, [*stack, *left, *right])
        result = np.empty(ordered.shape, out.dtype)
        matrix_product(*factors, _matrices(Term((*stack, *left, *right), result), stack, left, right))
        np.copyto(ordered, result)


def _summed(term: Term, needed: set[str]) -> Term:
    """Return `term` summed over the labels that are not `needed`."""
    kept = tuple(label for label in term.labels if label in needed)
    if kept == term.labels:
        return term
    axes = tuple(i for i, label in enumerate(term.labels) if label not in needed)
    return Term(kept, np.asarray(np.add.reduce(term.array, axis=axes, dtype=term.array.dtype)))


def _direct(terms: Sequence[Term], target: Labels, out: Array) -> None:
    """Fill `out` by the loop over all labels at once, which needs no memory."""
    numbers = _numbered([*(term.labels for term in terms), target])
    operands: list[Any] = []
    for labels, term in zip(numbers, terms, strict=False):
        operands += [term.array, labels]
    np.einsum(*operands, numbers[-1], out=out)


def _numbered(terms: Sequence[Labels]) -> list[list[int]]:
    numbers: dict[str, int] = {}
    return [[numbers.setdefault(label, len(numbers)) for label in labels] for labels in terms]


def _matrices(term: Term, stack: Sequence[str], rows: Sequence[str], columns: Sequence[str]) -> Array:
    """Return `term` as a stack of matrices, a view where the labels of rows and columns lie in order."""
    array = _ordered(term, [*stack, *rows, *columns])
    lead, split = len(stack), len(stack) + len(rows)
    shape = array.shape
    return array.reshape(*shape[:lead], math.prod(shape[lead:split]), math.prod(shape[split:]))


def _is_matrix(term: Term, rows: Sequence[str], columns: Sequence[str]) -> bool:
    """Whether `_matrices` gives a view that BLAS takes."""
    sizes = dict(zip(term.labels, term.array.shape, strict=True))
    steps = dict(zip(term.labels, term.array.strides, strict=True))
    if any(steps[a] != steps[b] * sizes[b] for group in (rows, columns) for a, b in pairwise(group)):
        return False
    m, n = math.prod(sizes[label] for label in rows), math.prod(sizes[label] for label in columns)
    step = term.array.itemsize
    strides = steps[rows[-1]] if rows else n * step, steps[columns[-1]] if columns else step
    return _has_blas_strides((m, n), strides, step)


def _for_blas(x: Array) -> Array:
    """Return `x`, copied where its strides are such that NumPy may multiply it without BLAS, 20 times slower."""
    # NumPy copies by itself from 2.3 on
    if x.flags.forc or x.dtype.char not in "fdFD":
        return x
    if x.ndim > 1 and _has_blas_strides(x.shape[-2:], x.strides[-2:], x.itemsize):
        return x
    return np.ascontiguousarray(x)


def _has_blas_strides(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> bool:
    """Whether BLAS takes a matrix of these strides as it is, or as its transpose."""
    (m, n), (row, column) = shape, strides
    by_rows = column == itemsize and row >= n * itemsize and row % itemsize == 0
    by_columns = row == itemsize and column >= m * itemsize and column % itemsize == 0
    return by_rows or by_columns
