"""Recomputation: values that a gradient needs, computed again rather than kept."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import ParamSpec, TypeVar

from opgraph.ambient import at_source, recompute_region
from opgraph.errors import ArgumentError
from opgraph.node import Call, Node
from opgraph.signatures import guarded

_P = ParamSpec("_P")
_T = TypeVar("_T")


@guarded
def checkpoint(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Return `function` changed so that gradients compute again what it computes in between.

    A gradient then keeps the function's inputs alone until it needs the rest, which saves the memory of
    everything in between and costs a second computation. Usable as a decorator. The values are the same
    bit by bit: random keys draw the same numbers, and updates of variables fire once.

    Parameters
    ----------
    function
        Builds nodes from nodes.

    Notes
    -----
    Chen, Xu, Zhang and Guestrin, "Training deep nets with sublinear memory cost", 2016. A gradient of
    the gradient keeps what the first one computed again.
    """

    if not callable(function):
        raise ArgumentError(f"takes a function of nodes, not {function!r}")

    @functools.wraps(function)
    def checkpointed(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        with recompute_region():
            return function(*args, **kwargs)

    return checkpointed


def recomputed(calls: Iterable[Call]) -> dict[Call, Call]:
    """Return a copy, made now, of each of `calls`, which are of one region, and of what they need of it."""
    needed: set[Call] = set()
    pending = list(calls)
    while pending:
        call = pending.pop()
        if call not in needed:
            needed.add(call)
            pending += [x.call for x in call.inputs if x.call is not None and x.call.region is call.region]
    copies: dict[Call, Call] = {}
    for call in sorted(needed, key=lambda c: c.serial):
        copies[call] = at_source(call, _copied, call, copies)
    return copies


def _copied(call: Call, copies: Mapping[Call, Call]) -> Call:
    """Return `call` once more, reading `copies` where they stand for what it reads; it fires no updates."""
    inputs = tuple([_standing_for(x, copies) for x in call.inputs])
    copy = Call(call.graph, call.op, inputs, call.specs, call.graph.unique_name(call.name), call.source)
    copy.implicit = call.implicit
    copy.title = call.title
    copy.recomputes = True
    copy.weak = call.weak
    return copy


def _standing_for(node: Node, copies: Mapping[Call, Call]) -> Node:
    copy = None if node.call is None else copies.get(node.call)
    return node if copy is None else copy.output(node.index)
