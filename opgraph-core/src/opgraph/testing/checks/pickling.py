"""Ops as values: copied, compared, sent to other processes."""

import copy
import dataclasses
import itertools
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import opgraph as og
from opgraph.testing.agreement import attribute_bits, expect_same
from opgraph.testing.case import Case, Failed
from opgraph.testing.check import Check
from opgraph.testing.declared import declared_samples


def _pickled(op: og.Op) -> og.Op:
    found: og.Op = pickle.loads(pickle.dumps(op))
    return found


COPIES: tuple[tuple[str, Callable[[og.Op], og.Op]], ...] = (
    ("pickled and unpickled", _pickled),
    ("copied", copy.copy),
    ("copied in depth", copy.deepcopy),
)


class Pickle(Check):
    """Ops survive pickling and copying, and are equal exactly where classes and attributes agree in type and bits."""

    name = "pickle"
    searchable = False  # it looks at attributes alone

    def on_op(self, op_class: type[og.Op], seed: int) -> str | None:
        samples = [s for s in declared_samples(op_class, seed) if s.raises is None]
        ops = [op for sample in samples for op in _neighbours(Case.of(op_class, sample, sample.id).op)]
        for a, b in itertools.combinations_with_replacement(ops, 2):
            alike = attribute_bits(a) == attribute_bits(b)
            if (a == b) != alike:
                raise Failed(
                    f"{a!r} and {b!r} {'differ' if alike else 'are equal'} by ==; attributes decide, by type and bits"
                )
            if alike and hash(a) != hash(b):
                raise Failed(f"{a!r} and {b!r} are equal, but their hashes differ")
        return None

    def on_case(self, case: Case) -> str | None:
        for how, copied in COPIES:
            if "<locals>" in type(case.op).__qualname__ and copied is _pickled:
                continue  # Python finds no class that a function defines
            try:
                other = copied(case.op)
            except Exception as error:  # whatever pickle meets
                raise Failed(f"{case.op!r} cannot be {how}: {type(error).__name__}: {error}") from error
            if type(other) is not type(case.op) or attribute_bits(other) != attribute_bits(case.op):
                raise Failed(f"{case.op!r}, {how}, is {other!r}")
            if other != case.op or hash(other) != hash(case.op):
                raise Failed(f"{case.op!r}, {how}, does not equal itself")
            moved = dataclasses.replace(case, op=other)
            expect_same(moved.compute(), case.compute(), f"by the op {how}, the value")
        return None


def _neighbours(op: og.Op) -> Iterator[og.Op]:
    """Yield `op`, and ops that differ from it in the sign of a zero, in NaN, or in one number of an attribute."""
    yield op
    for name, value in op.attributes().items():
        if type(value) is float:
            others: tuple[Any, ...] = (0.0, -0.0, float("nan"), 2.0 * value)
        elif type(value) is bool:
            others = (not value,)
        elif type(value) is int:
            others = (value + 1,)
        else:
            others = ()
        for other in others:
            try:
                yield dataclasses.replace(op, **{name: other})  # type: ignore[type-var]  # subclasses are dataclasses
            except og.OpgraphError:
                continue  # the op refuses it
