from structures import ops

import opgraph as og
from opgraph.passes.lower import lower
from opgraph.passes.prune import prune
from opgraph.structure import Structure


def without_last(*fetches):
    """A structure whose last fetch is not wanted any more, as if a rewrite had found another way to it."""
    structure = lower(fetches, {}).structure
    return structure.rewritten(structure.steps, {structure.fetches[-1]: structure.fetches[0]})


def left(structure: Structure):
    pruned = prune(structure)
    assert prune(pruned) == pruned
    return [(step.op.short_name(), step.run) for step in pruned.steps]


def test_steps_constants_and_keys_that_nothing_needs_go():
    x = og.placeholder((2, 3))
    structure = without_last(og.exp(x), og.log(x) * 2.0 + og.random_normal((2, 3)))
    pruned = prune(structure)
    assert ops(pruned) == ["exp"]
    assert (dict(pruned.constants), dict(pruned.keys)) == ({}, {})
    assert (pruned.feeds, len(pruned.fetches)) == (structure.feeds, 2)


def test_a_shape_that_a_run_has_to_check_is_still_inferred():
    x, y = og.placeholder((None,)), og.placeholder((None,))
    assert left(without_last(og.exp(x), og.log(x + y))) == [("exp", True), ("add", False)]
    assert left(without_last(og.exp(x), og.log(x.reshape(2, 3)))) == [("exp", True), ("reshape", False)]


def test_a_shape_that_cannot_be_wrong_is_not():
    x, scalar = og.placeholder((None, 3)), og.placeholder(())
    unread = og.broadcast_like(scalar, x) * 2.0 + og.reduce_sum(og.tanh(x).T, 0, keepdims=True).T * 0.5
    assert left(without_last(og.exp(x), og.log(og.tanh(x) + scalar).T)) == [("exp", True)]
    assert ("add", False) in left(without_last(og.exp(x), og.log(unread)))
