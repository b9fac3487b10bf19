"""Elements moved along axes: flips and rolls."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, SupportsIndex

import numpy as np

from opgraph.build import apply, as_node
from opgraph.declarations import OpInfo, Sample
from opgraph.doors import front_door_for, make_op
from opgraph.errors import ArgumentError
from opgraph.node import Node, NodeLike
from opgraph.op import Arrays, Cotangents, Nodes, Op, Rng, Specs
from opgraph.ops.like import reshape_like
from opgraph.ops.shape import reshape
from opgraph.spec import Axes, listed_axes, normalize_axes, normalize_axis


class Flip(Op, name="core.flip"):
    """Reverse the order of elements along `axes`, all by default."""

    info = OpInfo(reference=lambda x, axes=None: np.flip(x, axes), multilinear=(0,))
    axes: tuple[int, ...] | None = None

    def infer(self, ins: Specs) -> Specs:
        normalize_axes(self.axes, ins[0].ndims)
        return ins

    def view(self, ins: Arrays) -> Arrays | None:
        (x,) = ins
        axes = normalize_axes(self.axes, x.ndim)
        turned: list[Any] = [slice(None, None, -1 if i in axes else 1) for i in range(x.ndim)]
        return (x[(*turned, ...)],)

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.copyto(outs[0], np.flip(ins[0], self.axes))

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (flip(cotangents[0], self.axes),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(2, 3)),), id="all")
        yield Sample((rng.normal(size=(3, 1, 2)),), {"axes": (-1, 0)}, id="two")
        yield Sample((rng.normal(size=(2, 3)),), {"axes": ()}, id="none")
        yield Sample((rng.normal(size=()),), id="scalar")
        yield Sample((rng.normal(size=(0, 3)),), {"axes": (0,)}, id="empty")
        yield Sample((rng.normal(size=(2, 3)),), {"axes": (2,)}, raises=ArgumentError, id="out of range")
        yield Sample((rng.normal(size=(2, 3)),), {"axes": (1, -1)}, raises=ArgumentError, id="twice")


class Roll(Op, name="core.roll"):
    """Move elements on by `shifts` along `axes`, one each; what leaves at the end comes in at the start."""

    info = OpInfo(reference=lambda x, shifts, axes: np.roll(x, shifts, axes) if axes else x, multilinear=(0,))
    shifts: tuple[int, ...]
    axes: tuple[int, ...]

    def infer(self, ins: Specs) -> Specs:
        if len(self.shifts) != len(self.axes):
            raise ArgumentError(f"{len(self.shifts)} shifts {self.shifts} for {len(self.axes)} axes {self.axes}")
        for axis in self.axes:
            normalize_axis(axis, ins[0].ndims)
        return ins

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        (x,), (y,) = ins, outs
        total = [0] * x.ndim
        for shift, axis in zip(self.shifts, self.axes, strict=True):
            total[axis] += shift
        # along each axis a value is two parts that change places
        parts = [_halves(n, shift % n if n else 0) for n, shift in zip(x.shape, total, strict=True)]
        for halves in itertools.product(*parts):
            y[tuple(to for _, to in halves)] = x[tuple(of for of, _ in halves)]

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (apply(Roll(tuple(-shift for shift in self.shifts), self.axes), cotangents[0]),)

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        yield Sample((rng.normal(size=(5,)),), {"shifts": (2,), "axes": (0,)}, id="vector")
        yield Sample((rng.normal(size=(3, 1, 4)),), {"shifts": (-1, 3), "axes": (0, -1)}, id="two")
        yield Sample((rng.normal(size=(2, 3)),), {"shifts": (7, -2), "axes": (1, 1)}, id="one twice")
        yield Sample((rng.normal(size=()),), {"shifts": (), "axes": ()}, id="scalar")
        yield Sample((rng.normal(size=(0, 3)),), {"shifts": (1,), "axes": (0,)}, id="empty")
        yield Sample((rng.normal(size=(2, 3)),), {"shifts": (1,), "axes": (2,)}, raises=ArgumentError)
        yield Sample((rng.normal(size=(2, 3)),), {"shifts": (1,), "axes": (0, 1)}, raises=ArgumentError)


def _halves(n: int, shift: int) -> list[tuple[slice, slice]]:
    """Return from where to where the parts of `n` elements go that move on by `shift`."""
    stay = (slice(0, n - shift), slice(shift, n))
    return [stay, (slice(n - shift, n), slice(0, shift))] if shift else [stay]


@front_door_for(Flip)
def flip(x: NodeLike, axis: Axes = None) -> Node:
    """Reverse the order of elements along `axis`: an int, several of them, or all by default.

    Raises
    ------
    ArgumentError
        For an axis out of range or given twice.
    """
    return apply(make_op(Flip, axes=None if axis is None else listed_axes(axis)), as_node(x))


@front_door_for(Roll)
def roll(x: NodeLike, shift: SupportsIndex | Sequence[SupportsIndex], axis: Axes = None) -> Node:
    """Move elements on by `shift` along `axis`; those that leave at the end come in again at the start.

    Parameters
    ----------
    x : array_like or Node, (…)
    shift
        A negative one moves towards the start. Several go with as many axes, or all along the one.
    axis
        Several get one shift each, or all the same. One that stands there twice moves by the sum. By default
        `x` is rolled as if flattened in row-major order.

    Raises
    ------
    ArgumentError
        For an axis out of range, and for several shifts along another number of axes.
    """
    node = as_node(x)
    shifts = listed_axes(shift)
    axes = (0,) if axis is None else listed_axes(axis)
    if len(shifts) == 1:
        shifts *= len(axes)
    elif len(axes) == 1:
        axes *= len(shifts)
    op = make_op(Roll, shifts=shifts, axes=axes)
    return reshape_like(apply(op, reshape(node, -1)), node) if axis is None else apply(op, node)
