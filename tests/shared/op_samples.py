"""The samples of ops as tests take them, and what is wanted of them."""

import inspect

import numpy as np
import pytest

import opgraph as og


def op_classes(namespace):
    """The op classes that are registered in a namespace, without the functions composed of ops."""
    return [op for op in map(og.registry.get, og.registry.names(namespace)) if inspect.isclass(op)]


def all_samples(op_class):
    return list(op_class.samples(np.random.default_rng(0)))


def samples(ops, valid=True, wanted=lambda op_class, sample: True):
    """Parameters of a test: each op with each of its valid, or its invalid, samples."""
    return [
        pytest.param(op_class, sample, id=f"{op_class.name}-{sample.id or i}")
        for op_class in ops
        for i, sample in enumerate(all_samples(op_class))
        if (sample.raises is None) == valid and wanted(op_class, sample)
    ]


def is_small(op_class, sample):
    """Whether differences by each single element take no time; larger samples are the conformance kit's to probe."""
    return sum(np.size(x) for x in sample.inputs) <= 500


def placeholders(inputs, unknown=False):
    return [og.placeholder([None] * x.ndim if unknown else x.shape, dtype=x.dtype) for x in inputs]


def faults(op_class, equal_sizes=()):
    """What the valid samples of an op lack, or have too much of.

    Two sizes that are equal hide a mistake that takes one for the other; `equal_sizes` names the samples whose
    op demands them.
    """
    valid = [sample for sample in all_samples(op_class) if sample.raises is None]
    shapes = [np.shape(x) for sample in valid for x in sample.inputs]
    if len(valid) < 3:
        yield "fewer than three valid samples"
    if not any(0 in shape for shape in shapes):
        yield "no sample with an empty dimension"
    if not any(1 in shape for shape in shapes):
        yield "no sample with a dimension of size 1"
    for sample in valid:
        for x in sample.inputs:
            sizes = [n for n in np.shape(x) if n != 1]
            if len(set(sizes)) < len(sizes) and sample.id not in equal_sizes:
                yield f"equal sizes {np.shape(x)} in sample {sample.id!r}"
