"""Losses of classification: one value for each example, not reduced."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import numpy as np

import opgraph as og
from opgraph_nn._checks import check_floats, paired
from opgraph_nn.ops.activation import log_sigmoid
from opgraph_nn.ops.softmax import log_softmax, log_softmax_into, reduced, softmax


def _plain_loss(labels: og.Array, logits: og.Array) -> og.Array:
    exponentials = np.exp(logits)
    probabilities = exponentials / exponentials.sum(-1, keepdims=True)
    loss: og.Array = -(labels * np.log(probabilities)).sum(-1)
    return loss


def _plain_sparse_loss(labels: og.Array, logits: og.Array) -> og.Array:
    return _plain_loss(np.eye(logits.shape[-1])[labels], logits)


class SoftmaxCrossEntropyLoss(og.Op, name="nn.softmax_cross_entropy_loss"):
    """Compare labels with the softmax of logits: (…, K), (…, K) -> (…).

    -sum(labels * log_softmax(logits)) over the last axis. Labels may be any numbers; they need not
    sum to 1, and have a gradient of their own.
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
        examples = zip(labels.shape[:-1], logits.shape[:-1], strict=True)
        return (logits.with_shape(m if n is None else n for m, n in examples),)

    def scratch(self, ins: og.Specs, outs: og.Specs) -> og.Specs:
        logits = ins[1]
        return (logits, reduced(logits, -1), logits)

    def compute(self, ins: og.Arrays, outs: og.Arrays, scratch: og.Arrays = ()) -> None:
        (labels, logits), (loss,), (terms, *rest) = ins, outs, scratch
        log_softmax_into(terms, logits, -1, *rest)
        np.multiply(terms, labels, out=terms)
        np.add.reduce(terms, axis=-1, out=loss)
        np.negative(loss, out=loss)

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        labels, logits = ins
        g = og.expand_dims(cotangents[0], -1)
        total = og.reduce_sum(labels, -1, keepdims=True)
        return (-g * log_softmax(logits), g * (softmax(logits) * total - labels))

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


class SparseSoftmaxCrossEntropyLoss(og.Op, name="nn.sparse_softmax_cross_entropy_loss"):
    """Compare the numbers of classes with the softmax of logits: (…), (…, K) -> (…).

    -log_softmax(logits) at the class of each example.
    """

    inputs = ("labels", "logits")
    info = og.OpInfo(reference=_plain_sparse_loss)

    def infer(self, ins: og.Specs) -> og.Specs:
        labels, logits = ins
        check_floats(logits)
        return (logits.with_shape(_examples(labels, logits)),)

    def scratch(self, ins: og.Specs, outs: og.Specs) -> og.Specs:
        labels, logits = ins
        return (labels.with_dtype(np.intp), logits, reduced(logits, -1), logits)

    def compute(self, ins: og.Arrays, outs: og.Arrays, scratch: og.Arrays = ()) -> None:
        (labels, logits), (loss,), (places, terms, *rest) = ins, outs, scratch
        _find_classes(places, labels, logits.shape[-1])
        log_softmax_into(terms, logits, -1, *rest)
        np.take(terms.reshape(-1), places, out=loss, mode="clip")  # the mode that needs no copy of out
        np.negative(loss, out=loss)

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        labels, logits = ins
        g = og.expand_dims(cotangents[0], -1)
        return (None, g * (softmax(logits) - og.apply(OneHotLike(), labels, logits)))

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterable[og.Sample]:
        return _classes_and_logits(rng)


class OneHotLike(og.Op, name="nn._one_hot_like"):
    """Mark classes with 1 in zeros of the shape of `like`: (…), (…, K) -> (…, K)."""

    inputs = ("labels", "like")
    info = og.OpInfo(reference=lambda labels, like: np.eye(like.shape[-1])[labels])

    def infer(self, ins: og.Specs) -> og.Specs:
        labels, like = ins
        return (like.with_shape((*_examples(labels, like), like.shape[-1])),)

    def shape_only(self, n: int) -> frozenset[int]:
        return frozenset({1})

    def scratch(self, ins: og.Specs, outs: og.Specs) -> og.Specs:
        return (ins[0].with_dtype(np.intp),)

    def compute(self, ins: og.Arrays, outs: og.Arrays, scratch: og.Arrays = ()) -> None:
        (labels, _), (marks,), (places,) = ins, outs, scratch
        _find_classes(places, labels, marks.shape[-1])
        marks.fill(0)
        marks.reshape(-1)[places] = 1

    def vjp(self, ins: og.Nodes, outs: og.Nodes, cotangents: og.Cotangents) -> og.Cotangents:
        return (None, None)

    @classmethod
    def samples(cls, rng: np.random.Generator) -> Iterable[og.Sample]:
        return _classes_and_logits(rng)


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


def _find_classes(places: og.Array, labels: og.Array, classes: int) -> None:
    """Put into `places` where in the flattened (…, K) the class of each example stands."""
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise og.ArgumentError(f"labels hold {wrong}, where {classes} classes are numbered from 0")
    np.copyto(places, labels, casting="unsafe")  # what is in range goes into any integer
    flat = places.reshape(-1)
    np.add(flat, np.arange(0, flat.size * classes, classes or 1), out=flat)


def _classes_and_logits(rng: np.random.Generator) -> Iterable[og.Sample]:
    yield og.Sample((rng.integers(0, 3, 2), rng.normal(size=(2, 3))), id="rows")
    yield og.Sample((rng.integers(0, 4, ()), rng.normal(size=4)), id="vector")
    yield og.Sample((rng.integers(0, 5, (2, 3)), rng.normal(size=(2, 3, 5))), id="grid")
    yield og.Sample((rng.integers(0, 4, (3, 1), np.uint8), rng.normal(size=(3, 1, 4))), id="one column")
    yield og.Sample((np.zeros(0, np.int64), rng.normal(size=(0, 3))), id="no rows")
    yield og.Sample((rng.integers(0, 3, 4), rng.normal(size=(2, 3))), raises=og.ShapeError, id="sizes")
    yield og.Sample((rng.integers(0, 3, (2, 1)), rng.normal(size=(2, 3))), raises=og.ShapeError, id="dimensions")
    yield og.Sample((rng.integers(0, 3, ()), rng.normal(size=())), raises=og.ShapeError, id="scalars")
    yield og.Sample((rng.normal(size=2), rng.normal(size=(2, 3))), raises=og.DtypeError, id="floats")


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
    return og.apply(SoftmaxCrossEntropyLoss(), *nodes)


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
    return og.apply(SparseSoftmaxCrossEntropyLoss(), numbers, node)


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
