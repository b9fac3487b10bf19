"""The structural checks of the conformance kit: each catches small wrong ops, and lets right ones pass."""

import dataclasses
import os
import threading
import time
from typing import ClassVar

import numpy as np
import pytest

import opgraph as og
from opgraph.testing import Case, check_op
from opgraph.testing.checks.errors import expect_no_bare_error, other_dtypes

STRUCTURAL = (
    "samples",
    "documented",
    "registered",
    "errors",
    "infer",
    "broadcast",
    "layout",
    "purity",
    "determinism",
    "batch",
    "rows",
    "combine",
    "compiled",
    "rewrites",
    "stale",
    "recompute",
    "pickle",
    "save_load",
)


@pytest.fixture(autouse=True)
def graph():
    """Each test builds in a graph of its own."""
    with og.Graph().as_default_graph() as graph:
        yield graph


@pytest.fixture
def register(monkeypatch):
    """Register an op for one test."""

    def register(op_class):
        monkeypatch.setitem(og.registry._registered, op_class.name, op_class)
        return op_class

    return register


# Right ops, of which the wrong ones change one thing.


class Scale(og.Elementwise, name="right.scale"):
    """Multiply each element by `factor`."""

    inplace = True
    factor: float = 2.0

    def compute(self, ins, outs):
        np.multiply(ins[0], self.factor, out=outs[0])

    def flops(self, ins, outs):
        return 2 * ins[0].shape.size

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * self.factor,)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)),), id="matrix")
        yield og.Sample((rng.normal(size=(3, 1)),), {"factor": -0.5}, id="column")
        yield og.Sample((rng.normal(size=(0, 3)),), id="empty")


class Product(og.Elementwise, name="right.product"):
    """Multiply two arrays; shapes broadcast."""

    inputs = ("x", "y")
    inplace = True

    def compute(self, ins, outs):
        np.multiply(*ins, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * ins[1], cotangents[0] * ins[0])

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)), rng.normal(size=(2, 3))), id="equal")
        yield og.Sample((rng.normal(size=(2, 1)), rng.normal(size=(4,))), id="broadcast")
        yield og.Sample((rng.normal(size=(0, 3)), rng.normal(size=(1, 3))), id="empty")


class Dense(og.Op, name="right.dense"):
    """Multiply rows by a matrix: (m, k), (k, n) -> (m, n)."""

    inputs = ("x", "w")

    def infer(self, ins):
        x, w = ins
        if x.ndims != 2 or w.ndims != 2:
            raise og.ShapeError(f"{x.shape} and {w.shape}: both must be matrices")
        if None not in (x.shape[1], w.shape[0]) and x.shape[1] != w.shape[0]:
            raise og.ShapeError(f"{x.shape} @ {w.shape}: inner sizes differ")
        return (x.with_shape((x.shape[0], w.shape[1])),)

    def compute(self, ins, outs):
        np.matmul(*ins, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x, w), (g,) = ins, cotangents
        return (g @ og.transpose(w), og.transpose(x) @ g)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)), rng.normal(size=(3, 4))), id="matrices")
        yield og.Sample((rng.normal(size=(1, 3)), rng.normal(size=(3, 4))), id="row")
        yield og.Sample((rng.normal(size=(0, 3)), rng.normal(size=(3, 4))), id="empty")
        yield og.Sample((rng.normal(size=(2, 3)), rng.normal(size=(2, 4))), raises=og.ShapeError, id="inner sizes")


class Total(og.Op, name="right.total"):
    """Sum over `axes`: (…) -> (…)."""

    combine = np.add
    axes: tuple[int, ...] | None = None
    keepdims: bool = False

    def infer(self, ins):
        (x,) = ins
        og.check_floating(self, x.dtype)
        axes = og.normalize_axes(self.axes, x.ndims)
        return (x.with_shape(og.reduced_shape(x.shape, axes, self.keepdims)),)

    def compute(self, ins, outs):
        np.sum(ins[0], axis=self.axes, keepdims=self.keepdims, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x,), (g,) = ins, cotangents
        axes = () if self.keepdims else og.normalize_axes(self.axes, len(x.shape))
        return (og.broadcast_like(og.expand_dims(g, axes), x),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)),), id="all")
        yield og.Sample((rng.normal(size=(4, 1, 3)),), {"axes": (-1, 0)}, id="two")
        yield og.Sample((rng.normal(size=(0, 3)),), {"axes": (0,), "keepdims": True}, id="empty")
        yield og.Sample((rng.normal(size=(2, 3)),), {"axes": (2,)}, raises=og.ArgumentError, id="out of range")


class Sigmoid(og.Elementwise, name="right.sigmoid"):
    """Squash each element: 1 / (1 + exp(-x))."""

    def compute(self, ins, outs):
        with np.errstate(all="ignore"):
            np.divide(1.0, 1.0 + np.exp(-ins[0]), out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * og.apply(self, ins[0]) * og.apply(self, -ins[0]),)

    def read_by(self, reader):
        return (lambda x: -og.logaddexp(-x, 0.0)) if reader.name == "core.log" else None

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)),), id="matrix")
        # log(sigmoid(36)) has one digit, and log(sigmoid(-740)) few
        yield og.Sample((np.array([[-800.0], [-740.0], [36.0], [30.0], [700.0]]),), id="far")
        yield og.Sample((np.array([[36.0]]),), id="nearly one")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield og.Sample((np.ones(2) * 1j,), raises=og.DtypeError, id="complex")

    refuses = "c"


class Top(og.Op, name="right.top"):
    """Take the greatest element of each row, and remember where it is: (m, n) -> (m,)."""

    hidden = 1

    def infer(self, ins):
        (x,) = ins
        if x.ndims != 2 or x.shape[1] == 0:
            raise og.ShapeError(f"{x.shape} is no matrix with columns")
        return (x.with_shape(x.shape[:1]), og.Spec(x.shape[:1], np.int64))

    def compute(self, ins, outs):
        (x,), (y, place) = ins, outs
        np.argmax(x, axis=1, out=place)
        # np.max(x, axis=1, out=y) would be wrong for reversed arrays before NumPy 2.2
        np.copyto(y, x[np.arange(len(x)), place])

    def vjp(self, ins, outs, cotangents):
        (x,), (y, _), (g, _) = ins, outs, cotangents
        return (og.where(og.equal(x, og.expand_dims(y, 1)), og.expand_dims(g, 1), 0.0),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)),), id="rows")
        yield og.Sample((rng.normal(size=(4, 1)),), id="one column")
        yield og.Sample((rng.normal(size=(0, 3)),), id="no rows")
        yield og.Sample((rng.normal(size=(3,)),), raises=og.ShapeError, id="vector")


class Columns(og.Op, name="right.columns"):
    """Take every `step`-th column: (m, n) -> (m, n // step, rounded up)."""

    step: int = 2

    def __post_init__(self):
        super().__post_init__()
        if self.step < 1:
            raise og.ArgumentError(f"step {self.step} is not positive")

    def infer(self, ins):
        (x,) = ins
        if x.ndims != 2:
            raise og.ShapeError(f"{x.shape} is no matrix")
        return (x.with_shape((x.shape[0], None if x.shape[1] is None else -(-x.shape[1] // self.step))),)

    def view(self, ins):
        return (ins[0][:, :: self.step],)

    def compute(self, ins, outs):
        np.copyto(outs[0], ins[0][:, :: self.step])

    def vjp(self, ins, outs, cotangents):
        (x,), (g,) = ins, cotangents
        flat = og.zeros_like(x)
        return (og.add_at(flat, (slice(None), slice(None, None, self.step)), g),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 5)),), id="odd")
        yield og.Sample((rng.normal(size=(1, 6)),), {"step": 3}, id="row")
        yield og.Sample((rng.normal(size=(0, 3)),), id="empty")
        yield og.Sample((rng.normal(size=(2, 5)),), {"step": 0}, raises=og.ArgumentError, id="no step")


class Noise(og.Op, name="right.noise"):
    """Draw from the normal distribution, in the shape of `like`: (4,), (…) -> (…)."""

    inputs = ("key", "like")

    def infer(self, ins):
        key, like = ins
        if not key.shape.compatible_with((4,)) or key.dtype != np.uint64:
            raise og.ShapeError(f"{key} is no key")
        return (like.with_dtype(np.float64),)

    def shape_only(self, n):
        return frozenset({1})

    def compute(self, ins, outs):
        og.generator(ins[0]).standard_normal(out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (None, None)

    @classmethod
    def samples(cls, rng):
        key = rng.integers(0, 1 << 32, 4, np.uint64)
        yield og.Sample((key, np.zeros((2, 3))), id="matrix")
        yield og.Sample((key, np.zeros((3, 1))), id="column")
        yield og.Sample((key, np.zeros((0, 3))), id="empty")
        yield og.Sample((key[:3], np.zeros((2, 3))), raises=og.ShapeError, id="no key")


RIGHT = (Scale, Product, Dense, Total, Sigmoid, Top, Columns, Noise)


@pytest.mark.parametrize("op_class", RIGHT)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_right_op_passes_every_structural_check(op_class, seed, register):
    report = check_op(register(op_class), checks=STRUCTURAL, seed=seed)
    assert report.ok, str(report)


@pytest.mark.parametrize(
    "name",
    ["core.where", "core.power", "core.einsum", "core.split", "core.norm", "nn._dropout_mask", "vision.maxpool2d"],
)
def test_our_own_ops_pass_every_structural_check(name):
    report = check_op(name, checks=STRUCTURAL)
    assert report.ok, str(report)


@pytest.mark.parametrize("seed", range(5))
def test_complex_products_of_a_block_may_be_rounded_otherwise(seed):
    rng = np.random.default_rng(seed)
    x, y = (rng.normal(size=shape) + 1j * rng.normal(size=shape) for shape in ((5,), (3, 1)))
    report = check_op("core.multiply", samples=[og.Sample((x, y))], checks=["purity", "compiled", "recompute"])
    assert report.ok, str(report)


def test_a_kernel_as_high_as_its_image_does_not_broadcast():
    rng = np.random.default_rng(0)
    g, kernel, x = (rng.normal(size=shape) for shape in ((1, 1, 2, 5), (2, 3, 1, 5), (1, 2, 6, 1)))
    sample = og.Sample((g, kernel, x), {"strides": (3, 2), "padding": "VALID"})
    report = check_op("vision._conv2d_input_gradient", samples=[sample], checks=["broadcast"])
    assert [result.status for result in report.results] == ["not applicable"], str(report)


def test_our_own_ops_take_or_refuse_every_dtype():
    dtypes = list(map(np.dtype, (np.bool, np.int8, np.int64, np.uint8, np.float16, np.float32, np.complex64)))
    for op_class in filter(lambda op: isinstance(op, type), map(og.registry.get, og.registry.names())):
        for sample in op_class.samples(np.random.default_rng(0)):
            if sample.raises is None:
                case = Case.of(op_class, sample, sample.id)
                for what, inputs in other_dtypes(case, dtypes):
                    expect_no_bare_error(case, what, inputs)


# Wrong ops: the check that must find them, and a word that its message must hold.

WRONG = []


def wrong(check, says):
    def add(op_class):
        WRONG.append(pytest.param(op_class, check, says, id=f"{check}-{op_class.__name__}"))
        return op_class

    return add


@wrong("infer", "a size that is None fits any other")
class NoneIsADifferentSize(Dense, name="wrong.none_is_a_different_size"):
    """Multiply rows by a matrix: (m, k), (k, n) -> (m, n)."""

    def infer(self, ins):
        x, w = ins
        if x.ndims != 2 or w.ndims != 2 or x.shape[1] != w.shape[0]:
            raise og.ShapeError("inner sizes differ")
        return (x.with_shape((x.shape[0], w.shape[1])),)


@wrong("infer", "infer raises TypeError")
class ComputesWithNone(Columns, name="wrong.computes_with_none"):
    """Take every `step`-th column."""

    def infer(self, ins):
        return (ins[0].with_shape((ins[0].shape[0], -(-ins[0].shape[1] // self.step))),)


@wrong("infer", "turns out otherwise than promised")
class PromisesOnes(Columns, name="wrong.promises_ones"):
    """Take every `step`-th column."""

    def infer(self, ins):
        (spec,) = super().infer(ins)
        return (spec.with_shape([1 if n is None else n for n in spec.shape]),)


@wrong("infer", "turns out otherwise than promised")
class PromisesWhatSamplesHave(Columns, name="wrong.promises_what_samples_have"):
    """Take every `step`-th column."""

    def infer(self, ins):
        (spec,) = super().infer(ins)
        return (spec.with_shape([3 if n is None else n for n in spec.shape]),) if spec.shape[0] == 2 else (spec,)


@wrong("infer", "the dtype of output 0 depends on what is known")
class DtypeBySize(Scale, name="wrong.dtype_by_size"):
    """Multiply each element by `factor`."""

    def dtypes(self, *ins):
        return np.dtype(np.float32)

    def infer(self, ins):
        return ins if ins[0].shape.is_known else super().infer(ins)


@wrong("infer", "it must not keep state")
class InfersInTurn(Scale, name="wrong.infers_in_turn"):
    """Multiply each element by `factor`."""

    turns: ClassVar = [0]

    def infer(self, ins):
        self.turns[0] += 1
        return (ins[0] if self.turns[0] % 2 else ins[0].with_dtype(np.float32),)


@wrong("infer", "not a tuple of Specs")
class InfersAList(Scale, name="wrong.infers_a_list"):
    """Multiply each element by `factor`."""

    def infer(self, ins):
        return list(ins)


@wrong("infer", "not known in full")
class UnknownScratch(Dense, name="wrong.unknown_scratch"):
    """Multiply rows by a matrix: (m, k), (k, n) -> (m, n)."""

    def scratch(self, ins, outs):
        return (outs[0].with_shape((None, 3)),)


@wrong("infer", "not a tuple of Specs")
class ListsScratch(Dense, name="wrong.lists_scratch"):
    """Multiply rows by a matrix: (m, k), (k, n) -> (m, n)."""

    def scratch(self, ins, outs):
        return list(outs)

    def compute(self, ins, outs, scratch):
        super().compute(ins, outs)


@wrong("infer", "scratch, asked twice")
class GrowsScratch(Dense, name="wrong.grows_scratch"):
    """Multiply rows by a matrix: (m, k), (k, n) -> (m, n)."""

    asked: ClassVar = [0]

    def scratch(self, ins, outs):
        self.asked[0] += 1
        return (outs[0].with_shape((self.asked[0],)),)

    def compute(self, ins, outs, scratch):
        super().compute(ins, outs)


@wrong("infer", "one must be visible")
class HidesAll(Dense, name="wrong.hides_all"):
    """Multiply rows by a matrix: (m, k), (k, n) -> (m, n)."""

    hidden = 1


@wrong("infer", "shape_only returns [0]")
class ListsWhatItDoesNotRead(Dense, name="wrong.lists_what_it_does_not_read"):
    """Multiply rows by a matrix: (m, k), (k, n) -> (m, n)."""

    def shape_only(self, n):
        return [0]


@wrong("infer", "the number of outputs depends on what is known")
class OneMoreWhereUnknown(Columns, name="wrong.one_more_where_unknown"):
    """Take every `step`-th column."""

    def infer(self, ins):
        return super().infer(ins) * (1 + (ins[0].shape[0] is None))


@wrong("infer", "for inputs whose sizes are all known")
class KnowsNothing(Columns, name="wrong.knows_nothing"):
    """Take every `step`-th column."""

    def infer(self, ins):
        return (super().infer(ins)[0].with_shape((ins[0].shape[0], None)),)


@wrong("infer", "flops returns None for")
class CountsNothing(Scale, name="wrong.counts_nothing"):
    """Multiply each element by `factor`."""

    def flops(self, ins, outs):
        return None


@wrong("infer", "flops returns np.int64(6) for")
class CountsInNumPy(Scale, name="wrong.counts_in_numpy"):
    """Multiply each element by `factor`."""

    def flops(self, ins, outs):
        return np.prod(outs[0].shape, dtype=np.int64)


@wrong("infer", "flops returns -5 for")
class CountsBackwards(Scale, name="wrong.counts_backwards"):
    """Multiply each element by `factor`."""

    def flops(self, ins, outs):
        return -5


@wrong("infer", "flops of wrong.counts_and_raises raises ZeroDivisionError")
class CountsAndRaises(Scale, name="wrong.counts_and_raises"):
    """Multiply each element by `factor`."""

    def flops(self, ins, outs):
        return 1 // 0


@wrong("broadcast", "the gradient")
class AveragesWhatBroadcast(Product, name="wrong.averages_what_broadcast"):
    """Multiply two arrays; shapes broadcast."""

    def vjp(self, ins, outs, cotangents):
        (x, y), (g,) = ins, cotangents
        # divides by how often y was repeated
        return (g * y, og.sum_to(g * x, y) * (og.count(y, dtype=y.dtype) / og.count(g, dtype=g.dtype)))


@wrong("broadcast", "value")
class RepeatsTheWrongWay(Product, name="wrong.repeats_the_wrong_way"):
    """Multiply two arrays; shapes broadcast."""

    def compute(self, ins, outs):
        x, y = ins
        np.multiply(np.resize(x, outs[0].shape), np.resize(y, outs[0].shape), out=outs[0])


@wrong("broadcast", "the gradient")
class FirstOfTheBatch(og.Op, name="wrong.first_of_the_batch"):
    """Scale every row by a vector, of which there is one or one for each: (m, n), (m or 1, n) -> (m, n)."""

    inputs = ("x", "y")

    def infer(self, ins):
        x, y = ins
        if x.ndims != 2 or y.ndims != 2:
            raise og.ShapeError("both must be matrices")
        if not x.shape.compatible_with(y.shape) and y.shape[0] != 1:
            raise og.ShapeError(f"{y.shape} does not fit {x.shape}")
        if None not in (x.shape[1], y.shape[1]) and x.shape[1] != y.shape[1]:
            raise og.ShapeError(f"{y.shape} does not fit {x.shape}")
        return (x,)

    def compute(self, ins, outs):
        np.multiply(*ins, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x, y), (g,) = ins, cotangents
        weight = og.count(x, 0, dtype=x.dtype) / og.count(y, 0, dtype=x.dtype)
        return (g * y, og.sum_to(g * x, y) / weight)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)), rng.normal(size=(2, 3))))


@wrong("layout", "input 0 in Fortran order")
class ReadsMemoryInOrder(Scale, name="wrong.reads_memory_in_order"):
    """Multiply each element by `factor`."""

    def compute(self, ins, outs):
        np.multiply(ins[0].ravel(order="K").reshape(ins[0].shape), self.factor, out=outs[0])


@wrong("layout", "stride 0")
class TakesStridesForDense(Scale, name="wrong.takes_strides_for_dense"):
    """Multiply each element by `factor`."""

    def compute(self, ins, outs):
        x = ins[0]
        broken = 0 in x.strides and x.size > 1
        np.multiply(x, 0.0 if broken else self.factor, out=outs[0])


@wrong("layout", "the view")
class ViewsMemoryInOrder(Columns, name="wrong.views_memory_in_order"):
    """Take every `step`-th column."""

    def view(self, ins):
        x = ins[0]
        return (x.ravel(order="K").reshape(x.shape)[:, :: self.step],)


@wrong("batch", "of stacks of input 0")
class ReversesTheStack(Scale, name="wrong.reverses_the_stack"):
    """Multiply each element by `factor`."""

    def batch(self, ins, batched):
        return ReversedScale(self.factor)


class ReversedScale(Scale, name="wrong.reversed_scale"):
    """Multiply each element by `factor`, and put the last row first."""

    def compute(self, ins, outs):
        np.multiply(ins[0][::-1], self.factor, out=outs[0])


@wrong("rows", "of rows 0 to 1")
class CentresColumns(Scale, name="wrong.centres_columns"):
    """Multiply each element by `factor`, less what the first row has."""

    def compute(self, ins, outs):
        np.multiply(ins[0] - ins[0][:1], self.factor, out=outs[0])
        outs[0][:1] += len(ins[0])

    def by_rows(self, ins):
        return frozenset([0])


@wrong("rows", "by_rows returns 0, not a frozenset of some of the numbers of 2 inputs, or None")
class RowsByNumber(Dense, name="wrong.rows_by_number"):
    """Multiply rows by a matrix: (m, k), (k, n) -> (m, n)."""

    def by_rows(self, ins):
        return 0


@wrong("rows", "by_rows returns frozenset({1}), but these inputs and the outputs have no first dimension in common")
class RowsOfTheMatrix(Dense, name="wrong.rows_of_the_matrix"):
    """Multiply rows by a matrix: (m, k), (k, n) -> (m, n)."""

    def by_rows(self, ins):
        return frozenset({1})


@wrong("rows", "by_rows of wrong.rows_that_raise raises IndexError")
class RowsThatRaise(Dense, name="wrong.rows_that_raise"):
    """Multiply rows by a matrix: (m, k), (k, n) -> (m, n)."""

    def by_rows(self, ins):
        return ins[2]


@wrong("rows", "of rows 0 to 1, infer of wrong.rows_of_both raises ShapeError")
class RowsOfBoth(Dense, name="wrong.rows_of_both"):
    """Multiply rows by a matrix: (m, k), (k, n) -> (m, n)."""

    def by_rows(self, ins):
        return frozenset({0, 1})

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(3, 3)), rng.normal(size=(3, 4))), id="square")


@wrong("batch", "batch returns True for stacks of the inputs (0,), not an op or None")
class BatchesByYes(Dense, name="wrong.batches_by_yes"):
    """Multiply rows by a matrix: (m, k), (k, n) -> (m, n)."""

    def batch(self, ins, batched):
        return True


@wrong("batch", "of stacks of input 0, infer of wrong.batches_as_it_is raises ShapeError")
class BatchesAsItIs(Dense, name="wrong.batches_as_it_is"):
    """Multiply rows by a matrix: (m, k), (k, n) -> (m, n)."""

    def batch(self, ins, batched):
        return self


@wrong("combine", "gives a value that")
class Longest(Total, name="wrong.longest"):
    """Take the root of the sum of squares over `axes`: (…) -> (…)."""

    def compute(self, ins, outs):
        np.sqrt(np.sum(np.square(ins[0]), axis=self.axes, keepdims=self.keepdims), out=outs[0])


@wrong("rewrites", "what read_by returns for core.exp() changes a value")
class Nonsense(Scale, name="wrong.nonsense"):
    """Multiply each element by `factor`."""

    def read_by(self, reader):
        return (lambda x: x * 17.0) if reader.name == "core.exp" else None


@wrong("rewrites", "what read_by returns for wrong.doubled_thrice(factor=2.0) changes a value")
class DoubledThrice(Scale, name="wrong.doubled_thrice"):
    """Multiply each element by `factor`."""

    def read_by(self, reader):
        return (lambda x: x * (2.0 * self.factor * reader.factor)) if isinstance(reader, DoubledThrice) else None


@wrong("rewrites", "its read_by, asked about exp, raised UnknownOpError: opgraph has no 'expp'")
class Misspelt(Scale, name="wrong.misspelt"):
    """Multiply each element by `factor`."""

    def read_by(self, reader):
        return (lambda x: og.expp(x)) if reader.name == "core.exp" else None


@wrong("rewrites", "read_by of wrong.asks_wrongly raises AttributeError")
class AsksWrongly(Scale, name="wrong.asks_wrongly"):
    """Multiply each element by `factor`."""

    def read_by(self, reader):
        return reader.nane


@wrong("purity", "compute writes to input 0")
class WritesToItsInput(Scale, name="wrong.writes_to_its_input"):
    """Multiply each element by `factor`."""

    def compute(self, ins, outs):
        np.multiply(ins[0], self.factor, out=outs[0])
        if ins[0].flags.writeable:
            np.copyto(ins[0], outs[0])


@wrong("purity", "NumPy's global random state")
class DrawsGlobally(Scale, name="wrong.draws_globally"):
    """Multiply each element by `factor`."""

    def compute(self, ins, outs):
        np.multiply(ins[0], self.factor, out=outs[0])
        np.random.random()  # noqa: NPY002  # what is wrong with it


@wrong("purity", "must fill its outputs")
class ReturnsItsValue(Scale, name="wrong.returns_its_value"):
    """Multiply each element by `factor`."""

    def compute(self, ins, outs):
        return np.multiply(ins[0], self.factor, out=outs[0])


@wrong("purity", "more than its attributes: seen")
class RemembersInItself(Scale, name="wrong.remembers_in_itself"):
    """Multiply each element by `factor`."""

    def compute(self, ins, outs):
        object.__setattr__(self, "seen", ins[0].shape)
        np.multiply(ins[0], self.factor, out=outs[0])


@wrong("purity", "over other rubbish")
class FillsInPart(Scale, name="wrong.fills_in_part"):
    """Multiply each element by `factor`."""

    def compute(self, ins, outs):
        np.multiply(ins[0], self.factor, out=outs[0], where=ins[0] > 0)


@wrong("purity", "over other rubbish")
class AddsToScratch(Dense, name="wrong.adds_to_scratch"):
    """Multiply rows by a matrix: (m, k), (k, n) -> (m, n)."""

    def scratch(self, ins, outs):
        return outs

    def compute(self, ins, outs, scratch):
        np.add(scratch[0], np.matmul(*ins), out=scratch[0])
        np.copyto(outs[0], scratch[0])


@wrong("purity", "which shape_only names")
class ReadsWhatItDoesNotRead(Noise, name="wrong.reads_what_it_does_not_read"):
    """Draw from the normal distribution, in the shape of `like`: (4,), (…) -> (…)."""

    def compute(self, ins, outs):
        super().compute(ins, outs)
        np.add(outs[0], ins[1], out=outs[0])


@wrong("purity", "its view returned")
class ViewsANumber(Columns, name="wrong.views_a_number"):
    """Take every `step`-th column."""

    def view(self, ins):
        return ins[0][:, :: self.step]


@wrong("purity", "infer or vjp draws from NumPy's global random state")
class DrawsForItsGradient(Scale, name="wrong.draws_for_its_gradient"):
    """Multiply each element by `factor`."""

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * (self.factor + 0 * np.random.random()),)  # noqa: NPY002  what is wrong with it


@wrong("purity", "memory of its own")
class CopiesInItsView(Columns, name="wrong.copies_in_its_view"):
    """Take every `step`-th column."""

    def view(self, ins):
        return (ins[0][:, :: self.step].copy(),)


@wrong("purity", "computed as a block on their own")
class NormalizesRows(Scale, name="wrong.normalizes_rows"):
    """Divide each element by the sum over the rows."""

    inplace = False

    def compute(self, ins, outs):
        np.divide(ins[0], np.sum(ins[0], axis=0, keepdims=True) if ins[0].ndim else 1.0, out=outs[0])


@wrong("purity", "inplace = True promises")
class ReadsAfterItWrote(Scale, name="wrong.reads_after_it_wrote"):
    """Multiply each element by its exponential."""

    def compute(self, ins, outs):
        np.exp(ins[0], out=outs[0])
        np.multiply(outs[0], ins[0], out=outs[0])


@wrong("purity", "with output 1 in the memory of input 0")
class WritesTheFirstBeforeTheSecond(Scale, name="wrong.writes_the_first_before_the_second"):
    """Give an element's double, and its triple."""

    outputs = 2

    def compute(self, ins, outs):
        np.multiply(ins[0], 3.0, out=outs[1])
        np.multiply(ins[0], 2.0, out=outs[0])


@wrong("stale", "although the gradient is not zero")
class KeepsTheFirst(Scale, name="wrong.keeps_the_first"):
    """Multiply each element by `factor`."""

    kept: ClassVar = {}

    def compute(self, ins, outs):
        x = self.kept.setdefault((self.factor, ins[0].shape), ins[0].copy())
        np.multiply(x, self.factor, out=outs[0])


@wrong("stale", "the same numbers in another shape")
class KeepsTheFirstSigns(Scale, name="wrong.keeps_the_first_signs"):
    """Take the sign of each element."""

    kept: ClassVar = {}

    def compute(self, ins, outs):
        np.copyto(outs[0], np.sign(self.kept.setdefault(ins[0].shape, ins[0].copy())))

    def vjp(self, ins, outs, cotangents):
        return (None,)


@wrong("stale", "after a run with other sizes in between")
class KeepsTheLargestSize(Dense, name="wrong.keeps_the_largest_size"):
    """Multiply rows by a matrix: (m, k), (k, n) -> (m, n)."""

    largest: ClassVar = [0]

    def compute(self, ins, outs):
        x, w = ins
        self.largest[0] = max(self.largest[0], x.shape[1])
        np.matmul(np.resize(x, (x.shape[0], self.largest[0])), np.resize(w, (self.largest[0], w.shape[1])), out=outs[0])


class Last(og.Op, name="wrong._last"):
    """Multiply by what the forward kernel saw last."""

    def infer(self, ins):
        return ins

    def compute(self, ins, outs):
        np.multiply(ins[0], np.resize(KeepsItsInputForTheGradient.seen[0], ins[0].shape), out=outs[0])


@wrong("stale", "after a forward run with other values: the gradient")
class KeepsItsInputForTheGradient(Scale, name="wrong.keeps_its_input_for_the_gradient"):
    """Square each element."""

    seen: ClassVar = [np.ones(1)]

    def compute(self, ins, outs):
        self.seen[0] = np.array(ins[0])
        np.multiply(ins[0], ins[0], out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (og.apply(Last(), cotangents[0] * 2.0),)


@wrong("determinism", "value")
class DrawsWithoutAKey(Scale, name="wrong.draws_without_a_key"):
    """Multiply each element by a random number."""

    def compute(self, ins, outs):
        np.multiply(ins[0], np.random.default_rng().random(), out=outs[0])


@wrong("determinism", "in several threads at once")
class SharesWorkSpace(Scale, name="wrong.shares_work_space"):
    """Multiply each element by `factor`."""

    space = np.empty(99)

    def compute(self, ins, outs):
        work = self.space[: ins[0].size].reshape(ins[0].shape)
        np.copyto(work, ins[0])
        time.sleep(0.0001)
        np.multiply(work, self.factor, out=outs[0])


@wrong("determinism", "in several threads at once, the kernel raises RuntimeError")
class RefusesThreads(Scale, name="wrong.refuses_threads"):
    """Multiply each element by `factor`."""

    def compute(self, ins, outs):
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("wrong thread")
        np.multiply(ins[0], self.factor, out=outs[0])


@wrong("determinism", "for another step the op draws the same")
class ForgetsTheStep(Noise, name="wrong.forgets_the_step"):
    """Draw from the normal distribution, in the shape of `like`: (4,), (…) -> (…)."""

    def compute(self, ins, outs):
        key = np.array(ins[0])
        key[3] = 0
        super().compute((key, ins[1]), outs)


@wrong("compiled", "between views and copies")
class ViewsWhatItWasShown(Columns, name="wrong.views_what_it_was_shown"):
    """Take every `step`-th column."""

    def view(self, ins):
        x = ins[0]
        # in Fortran order the rows from the last one on
        return (x[:, :: self.step] if x.flags.c_contiguous else x[::-1, :: self.step],)


@wrong("compiled", "compiled, the value")
class ReadsWhatLiesBehind(Scale, name="wrong.reads_what_lies_behind"):
    """Multiply each element by `factor`."""

    def compute(self, ins, outs):
        # a plan's buffers lie in one block of bytes
        np.multiply(ins[0], self.factor if outs[0].base is None else 0.0, out=outs[0])


@wrong("recompute", "recomputed")
class OtherEveryTime(Scale, name="wrong.other_every_time"):
    """Multiply each element by how often that was done."""

    times: ClassVar = [0]

    def compute(self, ins, outs):
        self.times[0] += 1
        np.multiply(ins[0], float(self.times[0]), out=outs[0])


@wrong("pickle", "does not equal itself")
class EqualsNothing(Scale, name="wrong.equals_nothing"):
    """Multiply each element by `factor`."""

    def __eq__(self, other):
        return self is other

    __hash__ = Scale.__hash__


@wrong("pickle", "their hashes differ")
class HashesByChance(Scale, name="wrong.hashes_by_chance"):
    """Multiply each element by `factor`."""

    def __eq__(self, other):
        return type(self) is type(other) and self.attributes() == other.attributes()

    def __hash__(self):
        return id(self)


@wrong("pickle", "cannot be pickled and unpickled: TypeError: not this one")
class RefusesToBePickled(Scale, name="wrong.refuses_to_be_pickled"):
    """Multiply each element by `factor`."""

    def __reduce__(self):
        raise TypeError("not this one")


@wrong("pickle", "are equal by ==")
class EqualsByValue(Scale, name="wrong.equals_by_value"):
    """Multiply each element by `factor`."""

    def __eq__(self, other):
        return type(self) is type(other) and self.factor == other.factor

    def __hash__(self):
        return hash(self.factor)


@wrong("pickle", "pickled and unpickled")
class LosesItsFactor(Scale, name="wrong.loses_its_factor"):
    """Multiply each element by `factor`."""

    def __reduce__(self):
        return (type(self), ())


@wrong("save_load", "which the op changes to 4.0")
class GrowsWhenItIsMade(Scale, name="wrong.grows_when_it_is_made"):
    """Multiply each element by `factor`."""

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "factor", self.factor + 1.0)


@wrong("save_load", "saved and loaded, is")
class HidesItsFactor(Scale, name="wrong.hides_its_factor"):
    """Multiply each element by `factor`."""

    def attributes(self):
        return {}


@wrong("save_load", "cannot be saved")
class HasAnAttributeOfItsOwn(Scale, name="wrong.has_an_attribute_of_its_own"):
    """Multiply each element by `factor`."""

    unit: np.number = np.clongdouble(1.0)


@wrong("errors", "but nothing is raised")
class TakesWhatItShouldRefuse(Dense, name="wrong.takes_what_it_should_refuse"):
    """Multiply rows by a matrix: (m, k), (k, n) -> (m, n)."""

    def infer(self, ins):
        return (ins[0].with_shape((ins[0].shape[0], ins[1].shape[1])),)


@wrong("errors", "declares ShapeError, but raises ArgumentError")
class RaisesAnother(Dense, name="wrong.raises_another"):
    """Multiply rows by a matrix: (m, k), (k, n) -> (m, n)."""

    def infer(self, ins):
        try:
            return super().infer(ins)
        except og.ShapeError as error:
            raise og.ArgumentError(error.detail) from None


@wrong("errors", "but raises KernelError: wrong.raises_a_builtin: its infer raised ValueError")
class RaisesABuiltin(Dense, name="wrong.raises_a_builtin"):
    """Multiply rows by a matrix: (m, k), (k, n) -> (m, n)."""

    def infer(self, ins):
        if ins[0].shape[1] != ins[1].shape[0]:
            raise ValueError("inner sizes differ")
        return super().infer(ins)


@wrong("errors", "no error of opgraph's")
class DeclaresABuiltin(Scale, name="wrong.declares_a_builtin"):
    """Multiply each element by `factor`."""

    @classmethod
    def samples(cls, rng):
        yield from super().samples(rng)
        yield og.Sample((rng.normal(size=(2, 3)),), {"factor": "x"}, raises=ValueError)


@wrong("errors", "compute raises ValueError")
class LeavesItToNumpy(Dense, name="wrong.leaves_it_to_numpy"):
    """Multiply rows by a matrix: (m, k), (k, n) -> (m, n)."""

    def infer(self, ins):
        x, w = ins
        return (x.with_shape((x.shape[0], w.shape[-1])),)

    @classmethod
    def samples(cls, rng):
        return [sample for sample in super().samples(rng) if sample.raises is None]


@wrong("errors", "infer raises IndexError")
class TakesMatricesForGranted(Dense, name="wrong.takes_matrices_for_granted"):
    """Multiply rows by a matrix: (m, k), (k, n) -> (m, n)."""

    def infer(self, ins):
        x, w = ins
        if x.shape[1] is not None and w.shape[0] is not None and x.shape[1] != w.shape[0]:
            raise og.ShapeError("inner sizes differ")
        return (x.with_shape((x.shape[0], w.shape[1])),)


@wrong("documented", "no docstring of its own")
class Undocumented(Scale, name="wrong.undocumented"):
    pass


@wrong("documented", "says nothing of shapes")
class Shapeless(Dense, name="wrong.shapeless"):
    """Multiply rows by a matrix."""


class OtherDefault(Scale, name="wrong.other_default"):
    """Multiply each element by `factor`."""


wrong("documented", "the op factor=2.0")(OtherDefault)


@og.front_door_for(OtherDefault)
def other_default(x, factor=3.0):
    """Multiply each element of `x` by `factor`."""
    return og.apply(OtherDefault(factor), og.as_node(x))


@wrong("documented", "does not mention its parameter 'factor'")
class Unmentioned(Scale, name="wrong.unmentioned"):
    """Multiply each element by `factor`."""


@og.front_door_for(Unmentioned)
def unmentioned(x, factor=2.0):
    """Multiply each element of `x`."""
    return og.apply(Unmentioned(factor), og.as_node(x))


@wrong("documented", "a function called another_name")
class Misnamed(Scale, name="wrong.misnamed"):
    """Multiply each element by `factor`."""


@og.front_door_for(Misnamed)
def another_name(x, factor=2.0):
    """Multiply each element of `x` by `factor`."""
    return og.apply(Misnamed(factor), og.as_node(x))


class Few(Scale, name="wrong.few"):
    """Multiply each element by `factor`."""

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 3)),))


wrong("samples", "at least 3 are needed")(Few)


@wrong("samples", "OpInfo.domain has 1 intervals; the samples have up to 2 inputs")
class HalfADomain(Product, name="wrong.half_a_domain"):
    """Multiply two arrays; shapes broadcast."""

    info = og.OpInfo(domain=[(-9.0, 9.0)])


@wrong("samples", "yields no sample")
class Sampleless(Scale, name="wrong.sampleless"):
    """Multiply each element by `factor`."""

    samples = og.Op.samples


def _with_shapes(op_class, *shapes):
    """Have samples of `op_class` in these shapes of one input."""
    op_class.samples = classmethod(lambda cls, rng: [og.Sample((rng.normal(size=shape),)) for shape in shapes])
    return op_class


class NoEmpty(Scale, name="wrong.no_empty"):
    """Multiply each element by `factor`."""


class NoOnes(Scale, name="wrong.no_ones"):
    """Multiply each element by `factor`."""


class Squares(Scale, name="wrong.squares"):
    """Multiply each element by `factor`."""


wrong("samples", "takes inputs of size 0")(_with_shapes(NoEmpty, (2, 3), (3, 1), (4,)))
wrong("samples", "takes inputs of size 1")(_with_shapes(NoOnes, (2, 3), (3, 0), (4,)))
wrong("samples", "have the same size 3")(_with_shapes(Squares, (3, 3), (3, 1), (0,)))


@wrong("samples", "no sample with raises=")
class RefusesInSecret(Dense, name="wrong.refuses_in_secret"):
    """Multiply rows by a matrix: (m, k), (k, n) -> (m, n)."""

    @classmethod
    def samples(cls, rng):
        return [sample for sample in super().samples(rng) if sample.raises is None]


@wrong("samples", "other samples for the same rng")
class SamplesAtRandom(Scale, name="wrong.samples_at_random"):
    """Multiply each element by `factor`."""

    @classmethod
    def samples(cls, rng):
        return super().samples(np.random.default_rng())


@pytest.mark.parametrize(("op_class", "check", "says"), WRONG)
def test_a_wrong_op_is_caught_by(op_class, check, says, register):
    report = check_op(register(op_class), checks=[check])
    assert not report.ok
    assert any(says in result.detail for result in report.failures), str(report)


def test_what_is_wrong_without_a_rewrite_is_not_laid_to_it(register):
    class Broken(Sigmoid, name="wrong.broken"):
        """Squash each element: 1 / (1 + exp(-x)): (…) -> (…)."""

        def compute(self, ins, outs):
            raise ValueError("boo")

    (first, *_) = check_op(register(Broken), checks=["rewrites"]).failures
    assert first.detail.startswith("compute of wrong.broken raises ValueError: boo")
    assert "raised" in first.data  # as in all other checks


def test_a_sample_may_have_equal_sizes_that_have_to_be_equal(register):
    report = check_op(register(Product), checks=["samples"])
    assert report.ok, str(report)


# Registration.


def test_an_op_that_nobody_registered_is_refused():
    report = check_op(Scale, checks=["registered"])
    assert "right.scale is not registered" in report.failures[0].detail
    assert "call og.register" in report.failures[0].detail


def test_a_name_that_leads_to_another_op_is_refused(monkeypatch):
    monkeypatch.setitem(og.registry._registered, "right.scale", Product)
    report = check_op(Scale, checks=["registered"])
    assert "right.scale leads to" in report.failures[0].detail


MODULE = """
import sys
import opgraph as og
if "pytest" not in sys.modules:
    raise ImportError("this module works in tests alone")
class Double(og.Elementwise, name="strange.double"):
    '''Double each element.'''
"""


@pytest.mark.parametrize("works_elsewhere", [True, False])
def test_an_installed_op_is_looked_for_in_a_fresh_process(tmp_path, monkeypatch, works_elsewhere):
    name = f"strange_ops_{works_elsewhere}".lower()
    text = MODULE.replace('"pytest" not in', '"opgraph" not in') if works_elsewhere else MODULE
    (tmp_path / f"{name}.py").write_text(text)
    metadata = tmp_path / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[opgraph.ops.v1]\nstrange.double = {name}:Double\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    og.registry.refresh()
    try:
        report = check_op("strange.double", checks=["registered"], in_process=True)
    finally:
        monkeypatch.undo()
        og.registry.refresh()
        og.registry._loaded.pop("strange.double", None)
    assert report.ok == works_elsewhere, str(report)
    if not works_elsewhere:
        assert "in a fresh process" in report.failures[0].detail
        assert "this module works in tests alone" in report.failures[0].detail


def test_a_class_within_a_function_is_copied_though_python_cannot_pickle_it(register):
    class Local(Scale, name="right.local"):
        """Multiply each element by `factor`."""

    report = check_op(register(Local), checks=["pickle"])
    assert report.ok, str(report)


def test_a_failure_says_where_and_what():
    sample = og.Sample((np.array([[1.0, -2.0, 3.0]]),))
    (result,) = check_op(FillsInPart, samples=[sample], checks=["purity"]).failures
    assert list(result.data["index"]) == [0, 1]
    assert result.data["found"] == "-7500.0"
    assert dataclasses.asdict(result)["check"] == "purity"
