"""Losses: one value for each example, not reduced."""

from collections.abc import Iterable

import numpy as np

import opgraph as og
from opgraph_nn._checks import check_floats
from opgraph_nn.ops.activation import log_softmax, log_softmax_into, reduced, softmax


def _plain_loss(labels: og.Array, logits: og.Array) -> og.Array:
    exponentials = np.exp(logits)
    probabilities = exponentials / exponentials.sum(-1, keepdims=True)
    loss: og.Array = -(labels * np.log(probabilities)).sum(-1)
    return loss


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
        yield og.Sample(pair(2, 3, 5), id="grid")
        yield og.Sample((rng.normal(size=(2, 3)), rng.normal(size=(2, 3))), id="labels of any sum")
        yield og.Sample((rng.normal(size=(2, 3)), rng.normal(size=(2, 4))), raises=og.ShapeError)
        yield og.Sample((rng.normal(size=()), rng.normal(size=())), raises=og.ShapeError, id="scalars")


@og.front_door_for(SoftmaxCrossEntropyLoss)
def softmax_cross_entropy_loss(labels: og.NodeLike, logits: og.NodeLike) -> og.Node:
    """Compare labels with the softmax of logits: (…, K), (…, K) -> (…), without overflow.

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
