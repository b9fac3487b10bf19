"""What tests of graph passes share: structures, and what runs make of them."""

import numpy as np

import opgraph as og
from opgraph.passes.lower import lower
from opgraph.passes.prune import prune


def after(graph_pass, *fetches, updates=None):
    """What a pass makes of the structure of some fetches, with what it left over gone."""
    return prune(graph_pass(lower(fetches, updates or {}).structure))


def ops(structure):
    """The ops of a structure's steps that run, in their order."""
    return [step.op.short_name() for step in structure.steps if step.run]


def assert_same_bits(found, expected):
    assert len(found) == len(expected)
    for x, y in zip(found, expected, strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        np.testing.assert_array_equal(x, y)
        assert x.tobytes() == y.tobytes()


def assert_passes_change_nothing(fetches, feeds=None, passes=None, updates=None):
    """A run with graph passes gives what one without them gives, bit by bit; returns what it gives."""
    feeds = feeds or {}
    found, expected = (
        og.RunTime(seed=7, passes=chosen).compile(list(feeds), fetches, updates)(*feeds.values())
        for chosen in (passes, ())
    )
    assert_same_bits(found, expected)
    return found
