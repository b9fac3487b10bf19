"""Losses of classification: one value for each example, not reduced."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import numpy as np

import opgraph as og
from opgraph_nn._checks import check_floats, paired
from opgraph_nn.ops.activation import log_sigmoid
from opgraph_nn.ops.softmax import log_softmax, reduced


def _plain_softmax(logits: og.Array) -> og.Array:
    exponentials = np.exp(logits)
    probabilities: og.Array = exponentials / exponentials.sum(-1, keepdims=True)
    return probabilities


def _plain_loss(labels: og.Array, logits: og.Array) -> og.Arrays:
    probabilities = _plain_softmax(logits)
    return -(labels * np.log(probabilities)).sum(-1), probabilities


def _plain_sparse_loss(labels: og.Array, logits: og.Array) -> og.Arrays:
    return _plain_loss(np.eye(logits.shape[-1])[labels], logits)


def _plain_sparse_gradient(g: og.Array, labels: og.Array, probabilities: og.Array) -> og.Array:
    return g[..., None] * (probabilities - np.eye(probabilities.shape[-1])[labels])


class SoftmaxCrossEntropyLoss(og.Op, name="nn.softmax_cross_entropy_loss"):
    """Compare labels with the softmax of logits: (…, K), (…, K) -> (…), (…, K).

    -sum(labels * log_softmax(logits)) over the last axis, and the softmax, which the gradient reads. Labels
    may be any numbers; they need not sum to 1, and have a gradient of their own.
    """

    inputs = ("labels", "logits")
    info = og.OpInfo(reference=_plain_loss)

    def infer(self, ins: og.Specs) -> og.Specs:
        labels, logits = ins
        check_floats(*ins)
        if not labels.shape.compatible_with(logits.shape):
            raise og.ShapeError(f"labels {labels.shape} and logits {logits.shape} must have the same shape")
        if not logits.ndims:
            raise og.ShapeError("labels and logits are scalars; their last axis must be that of the classes")
        sizes = zip(labels.shape, logits.shape, strict=True)
        shape = og.Shape(m if n is None else n for m, n in sizes)
        return (logits.with_shape(shape[:-1]), logits.with_shape(shape))

    def scratch(self, ins: og.Specs, outs: og.Specs) -> og.Specs:
        logits = ins[1]
        column = reduced(logits, -1)
        return (column, column, logits.with_shape(logits.shape[-1:]))

    def compute(self, ins: og.Arrays, outs: og.Arrays, scratch: og.Arrays = ()) -> None:
        (labels, logits), (loss, probabilities), (column, weights, ones) = ins, outs, scratch
        if not ones.size:
            loss.fill(0)
            return
        np.maximum.reduce(logits, axis=-1, out=column, keepdims=True, initial=-np.inf)
        np.subtract(logits, column, probabilities)
        np.vecdot(labels, probabilities, loss)
        _normalize(probabilities, column, ones)
        # sum(labels) * log(total) - sum(labels * shifted logits)
        total = column.reshape(loss.shape)
        np.log(total, total)
        _sum_rows(labels, weights, ones)
        np.multiply(total, weights.reshape(loss.shape), total)
        np.subtract(total, loss, loss)

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        (labels, logits), (_, probabilities), (g, h) = ins, outs, cotangents
        by_logits = None if g is None else og.apply(CrossEntropyGradient(), g, labels, probabilities)
        by_labels = None if g is None else -og.expand_dims(g, -1) * log_softmax(logits)
        return (by_labels, _with_softmax(by_logits, probabilities, h))

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterable[og.Sample]:
        def pair(*shape: int) -> og.Arrays:
            return rng.dirichlet(np.ones(shape[-1]), shape[:-1]), rng.normal(size=shape)

        yield og.Sample(pair(2, 3), id="rows")
        yield og.Sample(pair(4), id="vector")
        yield og.Sample(pair(2, 1, 5), id="grid")
        yield og.Sample(pair(0, 3), id="no rows")
        yield og.Sample((rng.normal(size=(2, 3)), rng.normal(size=(2, 3))), id="labels of any sum")
        yield og.Sample((rng.normal(size=(2, 3)), rng.normal(size=(2, 4))), raises=og.ShapeError)
        yield og.Sample((rng.normal(size=()), rng.normal(size=())), raises=og.ShapeError, id="scalars")


class CrossEntropyGradient(og.Op, name="nn._cross_entropy_gradient"):
    """Return the cotangent of the logits from that of the loss: (…), (…, K), (…, K) -> (…, K).

    g * (probabilities * sum(labels) - labels).
    """

    inputs = ("g", "labels", "probabilities")
    info = og.OpInfo(
        reference=lambda g, labels, p: g[..., None] * (p * labels.sum(-1, keepdims=True) - labels), multilinear=(0, 1)
    )

    def infer(self, ins: og.Specs) -> og.Specs:
        g, labels, probabilities = ins
        check_floats(*ins)
        if not labels.shape.compatible_with(probabilities.shape) or not g.shape.compatible_with(labels.shape[:-1]):
            raise og.ShapeError(
                f"g {g.shape}, labels {labels.shape} and probabilities {probabilities.shape} do not fit"
            )
        return (probabilities,)

    def scratch(self, ins: og.Specs, outs: og.Specs) -> og.Specs:
        (y,) = outs
        return (reduced(y, -1), y.with_shape(y.shape[-1:]))

    def compute(self, ins: og.Arrays, outs: og.Arrays, scratch: og.Arrays = ()) -> None:
        (g, labels, probabilities), (y,), (weights, ones) = ins, outs, scratch
        ones.fill(1)
        _sum_rows(labels, weights, ones)
        np.multiply(probabilities, weights, y)
        np.subtract(y, labels, y)
        np.multiply(y, g[..., None], y)

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        (g, labels, probabilities), (h,) = ins, cotangents
        g = og.expand_dims(g, -1)
        total = og.reduce_sum(labels, -1, keepdims=True)
        weighted = og.reduce_sum(h * probabilities, -1, keepdims=True)
        by_g = og.reduce_sum(h * (probabilities * total - labels), -1)
        return (by_g, g * (weighted - h), g * total * h)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterable[og.Sample]:
        def sample(*shape: int, **kwargs: Any) -> og.Sample:
            labels, probabilities = rng.dirichlet(np.ones(shape[-1]), (2, *shape[:-1]))
            return og.Sample((rng.normal(size=shape[:-1]), labels, probabilities), **kwargs)

        yield sample(2, 3, id="rows")
        yield sample(4, id="vector")
        yield sample(2, 1, 5, id="grid")
        yield sample(0, 3, id="no rows")
        p = rng.dirichlet(np.ones(3), 2)
        yield og.Sample((np.ones(3), p, p), raises=og.ShapeError, id="examples")
        yield og.Sample((np.ones(2), p[:, :2], p), raises=og.ShapeError, id="classes")


class SparseSoftmaxCrossEntropyLoss(og.Op, name="nn.sparse_softmax_cross_entropy_loss"):
    """Compare the numbers of classes with the softmax of logits: (…), (…, K) -> (…), (…, K).

    -log_softmax(logits) at the class of each example, and the softmax, which the gradient reads.
    """

    inputs = ("labels", "logits")
    info = og.OpInfo(reference=_plain_sparse_loss)

    def infer(self, ins: og.Specs) -> og.Specs:
        labels, logits = ins
        check_floats(logits)
        shape = _examples(labels, logits)
        return (logits.with_shape(shape), logits.with_shape((*shape, logits.shape[-1])))

    def scratch(self, ins: og.Specs, outs: og.Specs) -> og.Specs:
        labels, logits = ins
        places = labels.with_dtype(np.intp)
        return (reduced(logits, -1), logits.with_shape(logits.shape[-1:]), places, places)

    def compute(self, ins: og.Arrays, outs: og.Arrays, scratch: og.Arrays = ()) -> None:
        (labels, logits), (loss, probabilities), (column, ones, places, classes) = ins, outs, scratch
        _fill_places(places, classes, labels, logits.shape[-1])
        np.maximum.reduce(logits, axis=-1, out=column, keepdims=True, initial=-np.inf)
        np.subtract(logits, column, probabilities)
        probabilities.take(places, None, loss, "clip")  # the mode that needs no copy of loss
        _normalize(probabilities, column, ones)
        total = column.reshape(loss.shape)
        np.log(total, total)
        np.subtract(total, loss, loss)

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        (_, probabilities), (g, h) = outs, cotangents
        by_logits = None if g is None else og.apply(SparseCrossEntropyGradient(), g, ins[0], probabilities)
        return (None, _with_softmax(by_logits, probabilities, h))

    def batch(self, ins: og.Specs, batched: frozenset[int]) -> og.Op | None:
        return self if len(batched) == len(ins) else None

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterable[og.Sample]:
        yield og.Sample((rng.integers(0, 3, 2), rng.normal(size=(2, 3))), id="rows")
        yield og.Sample((rng.integers(0, 4, ()), rng.normal(size=4)), id="vector")
        yield og.Sample((rng.integers(0, 5, (2, 3)), rng.normal(size=(2, 3, 5))), id="grid")
        yield og.Sample((rng.integers(0, 4, (3, 1), np.uint8), rng.normal(size=(3, 1, 4))), id="one column")
        yield og.Sample((np.zeros(0, np.int64), rng.normal(size=(0, 3))), id="no rows")
        yield og.Sample((rng.integers(0, 3, 4), rng.normal(size=(2, 3))), raises=og.ShapeError, id="sizes")
        yield og.Sample((rng.integers(0, 3, (2, 1)), rng.normal(size=(2, 3))), raises=og.ShapeError, id="dimensions")
        yield og.Sample((rng.integers(0, 3, ()), rng.normal(size=())), raises=og.ShapeError, id="scalars")
        yield og.Sample((rng.normal(size=2), rng.normal(size=(2, 3))), raises=og.DtypeError, id="floats")


class SparseCrossEntropyGradient(og.Op, name="nn._sparse_cross_entropy_gradient"):
    """Return the cotangent of the logits from that of the loss: (…), (…), (…, K) -> (…, K).

    g * probabilities, less g at the class of each example.
    """

    inputs = ("g", "labels", "probabilities")
    info = og.OpInfo(reference=_plain_sparse_gradient, multilinear=(0,))

    def infer(self, ins: og.Specs) -> og.Specs:
        g, labels, probabilities = ins
        check_floats(g, probabilities)
        examples = _examples(labels, probabilities)
        if not g.shape.compatible_with(examples):
            raise og.ShapeError(f"g {g.shape} and labels {examples} must have the same shape")
        return (probabilities,)

    def scratch(self, ins: og.Specs, outs: og.Specs) -> og.Specs:
        places = ins[1].with_dtype(np.intp)
        return (ins[0], places, places)

    def compute(self, ins: og.Arrays, outs: og.Arrays, scratch: og.Arrays = ()) -> None:
        (g, labels, probabilities), (y,), (chosen, places, classes) = ins, outs, scratch
        if not y.size:
            return
        _fill_places(places, classes, labels, y.shape[-1])
        np.multiply(probabilities, g[..., None], y)
        y.take(places, None, chosen, "clip")
        np.subtract(chosen, g, chosen)
        y.put(places, chosen, "clip")

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        (g, labels, probabilities), (h,) = ins, cotangents
        slope = og.apply(self, og.ones_like(g), labels, probabilities)
        return (og.reduce_sum(h * slope, -1), None, h * og.expand_dims(g, -1))

    def batch(self, ins: og.Specs, batched: frozenset[int]) -> og.Op | None:
        return self if len(batched) == len(ins) else None

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterable[og.Sample]:
        def sample(*shape: int, **kwargs: Any) -> og.Sample:
            *examples, classes = shape
            labels = rng.integers(0, classes, examples)
            return og.Sample((rng.normal(size=examples), labels, rng.dirichlet(np.ones(classes), examples)), **kwargs)

        yield sample(2, 3, id="rows")
        yield sample(4, id="vector")
        yield sample(2, 1, 5, id="grid")
        yield sample(0, 3, id="no rows")
        p = rng.dirichlet(np.ones(3), 2)
        yield og.Sample((np.ones(3), np.array([0, 4]), p), raises=og.ShapeError, id="examples")
        yield og.Sample((np.ones(2), np.array([0.0, 4.0]), p), raises=og.DtypeError, id="floats")


def _with_softmax(by_logits: og.Node | None, probabilities: og.Node, h: og.Node | None) -> og.Node | None:
    """Add what the cotangent `h` of a loss's softmax makes to the cotangent of its logits."""
    if h is None:
        return by_logits
    through = probabilities * (h - og.reduce_sum(h * probabilities, -1, keepdims=True))
    return through if by_logits is None else by_logits + through


def _examples(labels: og.Spec, logits: og.Spec) -> og.Shape:
    """Return the shape of the examples, of which each has one of `labels` and a row of `logits`."""
    if labels.dtype.kind not in "iu":
        raise og.DtypeError(
            f"labels are the numbers of classes, integers, not {labels.dtype}; "
            "for probabilities there is softmax_cross_entropy_loss"
        )
    if not logits.ndims or not labels.shape.compatible_with(logits.shape[:-1]):
        raise og.ShapeError(f"labels {labels.shape} must be logits {logits.shape} without the last axis, the classes")
    sizes = zip(labels.shape, logits.shape[:-1], strict=True)
    return og.Shape(m if n is None else n for m, n in sizes)


def _fill_places(places: og.Array, classes: og.Array, labels: og.Array, count: int) -> None:
    """Put into `places` where in the flattened (…, K) the class of each example stands, K being `count`.

    `classes` is work space of the dtype of `places`.
    """
    if not classes.size:
        return
    np.copyto(classes, labels, "unsafe")
    # the places of the extremes are found faster than the extremes
    if classes.item(classes.argmin()) < 0 or classes.item(classes.argmax()) >= count:
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise og.ArgumentError(f"labels hold {wrong}, where {count} classes are numbered from 0")
    flat = places.reshape(-1)
    flat.fill(count)
    flat[0] = 0
    np.add.accumulate(flat, 0, None, flat)  # arange without its memory
    np.add(places, classes, places)


def _normalize(rows: og.Array, column: og.Array, ones: og.Array) -> None:
    """Put the softmax of `rows`, (…, K), in their place, and the sums of their exponentials into `column`, (…, 1).

    `ones` is work space, (K,), and becomes what its name says.
    """
    ones.fill(1)
    np.exp(rows, rows)
    _sum_rows(rows, column, ones)
    np.divide(rows, column, rows)


def _sum_rows(rows: og.Array, column: og.Array, ones: og.Array) -> None:
    """Put the sums of `rows`, (…, K), into `column`, (…, 1); `ones` are K of them."""
    if column.dtype == rows.dtype and rows.size:
        np.dot(rows.reshape(-1, ones.size), ones, column.reshape(-1))  # in half the time of add.reduce
    else:
        np.add.reduce(rows, axis=-1, out=column, keepdims=True)


@og.front_door_for(SoftmaxCrossEntropyLoss)
def softmax_cross_entropy_loss(labels: og.NodeLike, logits: og.NodeLike) -> og.Node:
    """Compare labels with the softmax of logits: (…, K), (…, K) -> (…), without overflow.

    Labels come first; where a program has them last, name them: ``labels=…, logits=…``.

    Parameters
    ----------
    labels : array_like or Node, (…, K)
        Probabilities of the K classes, one-hot or soft. They need not sum to 1, and have a gradient.
    logits : array_like or Node, (…, K)
        Unnormalized log-probabilities.

    Returns
    -------
    Node, (…)
        -sum(labels * log_softmax(logits)) over the last axis, one loss for each example.

    Raises
    ------
    ShapeError
        Where the two shapes differ, or are those of scalars.
    """
    nodes = og.promote(labels, logits, floating=True, what="softmax_cross_entropy_loss")
    return og.apply_all(SoftmaxCrossEntropyLoss(), *nodes)[0]


@og.front_door_for(SparseSoftmaxCrossEntropyLoss)
def sparse_softmax_cross_entropy_loss(labels: og.NodeLike, logits: og.NodeLike) -> og.Node:
    """Compare the numbers of classes with the softmax of logits: (…), (…, K) -> (…), without overflow.

    `softmax_cross_entropy_loss` of one-hot labels. A class with a logit of -inf counts only where it is the label.

    Parameters
    ----------
    labels : array_like or Node of integers, (…)
        From 0 to K - 1.
    logits : array_like or Node, (…, K)
        Unnormalized log-probabilities.

    Returns
    -------
    Node, (…)
        -log_softmax(logits) at the label of each example.

    Raises
    ------
    ArgumentError
        In a run, for a label out of range.
    DtypeError
        For labels that are no integers.
    ShapeError
        Where the shape of `labels` is not that of `logits` without the last axis.
    """
    graph = og.graph_of(labels, logits)
    (node,) = og.promote(logits, floating=True, what="sparse_softmax_cross_entropy_loss", graph=graph)
    numbers = labels
    if not isinstance(labels, og.Node | np.ndarray):
        with contextlib.suppress(ValueError):  # of what is no array, about which apply says more
            numbers = np.asarray(labels)  # a list of Python ints would else become one of floats
    return og.apply_all(SparseSoftmaxCrossEntropyLoss(), numbers, node)[0]


@og.guarded
def sigmoid_cross_entropy_loss(labels: og.NodeLike, logits: og.NodeLike) -> og.Node:
    """Compare labels with the sigmoid of logits: (…), (…) -> (…), without overflow.

    Parameters
    ----------
    labels : array_like or Node, (…) or a scalar
        Probabilities, 0 and 1 or between. They have a gradient.
    logits : array_like or Node, (…)
        Unnormalized: log(p / (1 - p)).

    Returns
    -------
    Node, (…)
        -labels * log(sigmoid(logits)) - (1 - labels) * log(1 - sigmoid(logits)), one loss for each element.

    Raises
    ------
    ShapeError
        Where the two shapes differ and that of `labels` is no scalar's; for unknown sizes, in the run.
    """
    labels, logits = paired("sigmoid_cross_entropy_loss", labels=labels, logits=logits)
    # for labels of 0 and 1 no two large numbers are subtracted; 1 - sigmoid(x) is sigmoid(-x)
    return -(labels * log_sigmoid(logits) + (1.0 - labels) * log_sigmoid(-logits))
