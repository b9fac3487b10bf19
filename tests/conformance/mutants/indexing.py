"""Indices that repeat, are negative or run backwards, wrong in one place."""

import numpy as np
from contract import check_index, expect, refused

import opgraph as og


class Take(og.Op):
    """What the lookups share here: rows of a table by an index."""

    inputs = ("x", "index")

    def infer(self, ins):
        expect(ins, "f*", "iu*")
        x, index = ins
        if not x.ndims:
            raise og.ShapeError("a scalar has no rows")
        if index.dtype.kind not in "iu":
            raise og.DtypeError(f"an index is an integer, not {index.dtype}")
        return (x.with_shape((*index.shape, *x.shape[1:])),)

    def compute(self, ins, outs):
        check_index(ins[1], len(ins[0]))
        np.copyto(outs[0], ins[0][ins[1]])

    def vjp(self, ins, outs, cotangents):
        x, index = ins
        return (og.apply(type(self).back(), cotangents[0], index, x), None)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(4, 3)), np.array([2, 0])), id="rows")
        yield og.Sample((rng.normal(size=(5,)), np.array([[1, 3, 4]])), id="elements")
        yield og.Sample((rng.normal(size=(4, 1)), np.array([2, 0, 2])), id="repeated")
        yield og.Sample((rng.normal(size=(4, 3)), np.array([-1, 1])), id="negative")
        yield og.Sample((rng.normal(size=(4, 3)), np.zeros((0,), np.int64)), id="empty")
        yield og.Sample((rng.normal(size=(4, 3)), np.array([0.5])), raises=og.DtypeError, id="float index")


class PutBack(og.Op):
    """What the gradients of lookups share: they put rows where they came from."""

    inputs = ("g", "index", "like")

    def infer(self, ins):
        return (og.Spec(ins[2].shape, ins[0].dtype),)

    def shape_only(self, n):
        return frozenset((2,))


class PutOver(PutBack, name="mutants._put_over"):
    """Put rows into zeros, over what is there."""

    def compute(self, ins, outs):
        g, index, _ = ins
        outs[0][...] = 0
        outs[0][index] += g

    def vjp(self, ins, outs, cotangents):
        return (og.apply(TakeOverwritten(), cotangents[0], ins[1]), None, None)


class TakeOverwritten(Take, name="mutants.take_overwritten"):
    """Look rows up: (n, …), (…) of integers -> (…, …).

    There, the gradient of a row that was taken twice was that of the last one alone.
    """

    caught_by = "vjp_full"
    source = "https://github.com/HIPS/autograd/issues/39"
    back = PutOver
    info = og.OpInfo(reference=lambda x, index: x[index], multilinear=(0,))


class PutForward(PutBack, name="mutants._put_forward"):
    """Add rows into zeros, those with a valid index from the front."""

    def compute(self, ins, outs):
        g, index, _ = ins
        outs[0][...] = 0
        valid = index >= 0
        np.add.at(outs[0], index[valid], g[valid])

    def vjp(self, ins, outs, cotangents):
        return (og.apply(TakeNegative(), cotangents[0], ins[1]), None, None)


class TakeNegative(Take, name="mutants.take_negative"):
    """Look rows up, negative ones from the end: (n, …), (…) of integers -> (…, …).

    There, negative indices were understood by the lookup, but not by its gradient.
    """

    caught_by = "vjp_full"
    source = "https://github.com/microsoft/onnxruntime/pull/7752"
    back = PutForward
    info = og.OpInfo(reference=lambda x, index: x[index], multilinear=(0,))


def _filled(x, value, index):
    result = np.array(x)
    result[index] = value
    return result


class FillTwice(og.Op, name="mutants.fill_twice"):
    """Fill the elements at an index with a value: (n), (), (k) of integers -> (n).

    There, an element that the index names twice counted twice in the gradient of the value.
    """

    caught_by = "vjp_full"
    source = "https://github.com/pytorch/pytorch/pull/57101"
    inputs = ("x", "value", "index")
    info = og.OpInfo(reference=_filled)

    def infer(self, ins):
        expect(ins, "f1", "f0", "iu1")
        return (ins[0],)

    def compute(self, ins, outs):
        x, value, index = ins
        check_index(index, len(x))
        np.copyto(outs[0], x)
        outs[0][index] = value

    def vjp(self, ins, outs, cotangents):
        (_, _, index), (g,) = ins, cotangents
        kept = og.apply(FillTwice(), g, og.cast(0.0, g.dtype), index)
        return (kept, og.reduce_sum(og.gather(g, index, 0)), None)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=5), rng.normal(), np.array([1, 3])), id="two")
        yield og.Sample((rng.normal(size=4), rng.normal(), np.array([2, 0, 2])), id="repeated")
        yield og.Sample((rng.normal(size=1), rng.normal(), np.array([0])), id="all")
        yield og.Sample((rng.normal(size=3), rng.normal(), np.zeros(0, np.int64)), id="none")
        yield refused(3)


def _stitched(rows, index, size):
    result = np.zeros(size)
    for i, row in zip(index, rows, strict=True):
        result[i] = row
    return result


class StitchOverwritten(og.Op, name="mutants.stitch_overwritten"):
    """Put elements where an index says, the last one where several go to one place: (k), (k) of integers -> (size).

    There, elements that were overwritten by later ones had a gradient.
    """

    caught_by = "vjp_full"
    source = "https://github.com/tensorflow/tensorflow/issues/7397"
    inputs = ("x", "index")
    size: int = 4
    info = og.OpInfo(reference=lambda x, index, size=4: _stitched(x, index, size), multilinear=(0,))

    def infer(self, ins):
        expect(ins, "f1", "iu1")
        if not ins[0].shape.compatible_with(ins[1].shape):
            raise og.ShapeError(f"{ins[0].shape} and {ins[1].shape} differ")
        return (ins[0].with_shape((self.size,)),)

    def compute(self, ins, outs):
        check_index(ins[1], self.size)
        outs[0][...] = 0
        for i, value in zip(ins[1], ins[0], strict=True):
            outs[0][i] = value

    def vjp(self, ins, outs, cotangents):
        return (og.gather(cotangents[0], ins[1], 0), None)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=2), np.array([3, 0])), id="two")
        yield og.Sample((rng.normal(size=3), np.array([2, 4, 2])), {"size": 5}, id="repeated")
        yield og.Sample((rng.normal(size=1), np.array([1])), id="one")
        yield og.Sample((rng.normal(size=0), np.zeros(0, np.int64)), id="none")
        yield refused(2)


class EveryOther(og.Op, name="mutants.every_other"):
    """Take every other element, from either end: (n) -> ((n + 1) // 2).

    There, the slice took a negative step, but some of the logic around it took the step to be positive.
    """

    caught_by = "vjp_full"
    source = "https://github.com/joschu/cgt/issues/12"
    backwards: bool = False
    info = og.OpInfo(reference=lambda x, backwards=False: x[:: -2 if backwards else 2], multilinear=(0,))

    def infer(self, ins):
        expect(ins, "f1")
        (n,) = ins[0].shape
        return (ins[0].with_shape((None if n is None else (n + 1) // 2,)),)

    def compute(self, ins, outs):
        np.copyto(outs[0], ins[0][:: -2 if self.backwards else 2])

    def vjp(self, ins, outs, cotangents):
        return (og.apply(Spaced(self.backwards), cotangents[0], ins[0]),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=5),), id="odd")
        yield og.Sample((rng.normal(size=6),), {"backwards": True}, id="backwards")
        yield og.Sample((rng.normal(size=1),), id="one")
        yield og.Sample((rng.normal(size=0),), id="empty")
        yield refused()


class Spaced(og.Op, name="mutants._spaced"):
    """Spread elements over every other place of zeros, from the end that the slice begins at."""

    inputs = ("g", "like")
    backwards: bool = False

    def infer(self, ins):
        return (og.Spec(ins[1].shape, ins[0].dtype),)

    def shape_only(self, n):
        return frozenset((1,))

    def compute(self, ins, outs):
        outs[0][...] = 0
        start = (outs[0].size - 1) % 2 if self.backwards else 0
        outs[0][start::2] = ins[0]

    def vjp(self, ins, outs, cotangents):
        return (og.apply(EveryOther(self.backwards), cotangents[0]), None)


class SortBack(og.Op, name="mutants.sort_back"):
    """Sort a vector: (n) -> (n).

    There, a reader took the indices that sort for the places that elements go to, which are each other's
    inverses.
    """

    caught_by = "vjp_full"
    source = "https://github.com/numpy/numpy/issues/8757"
    info = og.OpInfo(reference=np.sort)

    def infer(self, ins):
        expect(ins, "f1")
        return ins

    def compute(self, ins, outs):
        np.copyto(outs[0], np.sort(ins[0]))

    def vjp(self, ins, outs, cotangents):
        return (og.gather(cotangents[0], og.argsort(ins[0], 0), 0),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((np.array([3.0, 1.0, 2.5, 0.5, 2.0]),), id="five")
        yield og.Sample((rng.normal(size=1),), id="one")
        yield og.Sample((np.array([0.5, -1.0, 0.0]),), id="three")
        yield og.Sample((rng.normal(size=0),), id="empty")
        yield refused()
