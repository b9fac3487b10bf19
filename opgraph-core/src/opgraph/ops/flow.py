"""Ops that give their input back: what passes through them, or does not, is the gradient."""

from collections.abc import Iterable

import numpy as np

from opgraph.declarations import OpInfo, Sample
from opgraph.doors import front_door
from opgraph.op import Arrays, Cotangents, Nodes, Op, Rng, Specs
from opgraph.ops.complexes import Unary


class Passing(Op):
    """What the ops share whose output is their input, as a view."""

    def infer(self, ins: Specs) -> Specs:
        return ins

    def view(self, ins: Arrays) -> Arrays | None:
        return ins

    def compute(self, ins: Arrays, outs: Arrays) -> None:
        np.copyto(outs[0], ins[0])

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        for shape in ((2, 3), (), (4, 1, 2), (3, 0)):
            yield Sample((rng.normal(size=shape),), id=f"{shape}")
        yield Sample((rng.normal(size=(3,)) + 1j,), id="complex")
        yield Sample((rng.integers(0, 9, (3,)),), id="integers")


class Identity(Passing, name="core.identity"):
    """Give `x` back, as another node: (…) -> (…)."""

    info = OpInfo(reference=lambda x: x, multilinear=(0,))

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return cotangents


class StopGradient(Passing, name="core.stop_gradient"):
    """Give `x` back, but let no gradient through: (…) -> (…). Its gradient is zero."""

    info = OpInfo(
        reference=lambda x: x,
        zero_gradient=(0,),
        expected_failures=dict.fromkeys(
            ("vjp_full", "jvp", "complex"), "the gradient is stopped on purpose, so differences disagree"
        ),
    )

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (None,)


identity: Unary = front_door(Identity)
stop_gradient: Unary = front_door(StopGradient)
