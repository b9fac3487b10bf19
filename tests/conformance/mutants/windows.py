"""Padding, strides and dilation, wrong in one place; square and not."""

import numpy as np
from contract import expect, refused

import opgraph as og

Pair = tuple[int, int]


def windows_of(n, size, stride, dilation, pads):
    """Return how many windows there are along a dimension of `n` elements, `None` for `None`."""
    return None if n is None else (n + sum(pads) - dilation * (size - 1) - 1) // stride + 1


def walk(shape, op):
    """Yield, for each position in the window, which windows see a real element there, and which elements."""
    for i in range(op.size[0]):
        for j in range(op.size[1]):
            places = []
            for axis, k in ((0, i), (1, j)):
                at = np.arange(windows_of(shape[axis], *op.along(axis))) * op.stride[axis]
                at += k * op.dilation[axis] - op.pads[axis][0]
                seen = np.flatnonzero((at >= 0) & (at < shape[axis]))
                places.append((seen, at[seen]))
            (rows, from_rows), (columns, from_columns) = places
            yield (i, j), np.ix_(rows, columns), np.ix_(from_rows, from_columns)


def unfolded(x, size=(2, 2), stride=(1, 1), dilation=(1, 1), pads=((0, 0), (0, 0))):
    """Return the windows by slicing what NumPy padded."""
    padded = np.pad(x, pads)
    extent = [d * (k - 1) + 1 for d, k in zip(dilation, size, strict=True)]
    found = np.lib.stride_tricks.sliding_window_view(padded, extent)
    return found[:: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]


class Windows(og.Op):
    """What the ops share that take a picture's windows apart: (h, w) -> (h', w', kh, kw)."""

    size: Pair = (2, 2)
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    pads: tuple[Pair, Pair] = ((0, 0), (0, 0))

    def along(self, axis):
        return self.size[axis], self.stride[axis], self.dilation[axis], self.pads[axis]

    def infer(self, ins):
        expect(ins, "f2")
        (x,) = ins
        shape = [windows_of(n, *self.along(axis)) for axis, n in enumerate(x.shape)]
        if any(n is not None and n < 1 for n in shape):
            raise og.ShapeError(f"the window {self.size} exceeds the picture {x.shape}; pad it first")
        return (x.with_shape((*shape, *self.size)),)

    def compute(self, ins, outs):
        (x,), (y,) = ins, outs
        y[...] = 0
        for at, seen, elements in walk(x.shape, self):
            y[(*seen, *at)] = x[elements]

    def vjp(self, ins, outs, cotangents):
        return (og.apply(self.back(), cotangents[0], ins[0]),)

    def back(self):
        return Fold(self.size, self.stride, self.dilation, self.pads)

    @classmethod
    def samples(cls, rng):
        for id_, shape, attrs in cls.calls:
            yield og.Sample((rng.normal(size=shape),), attrs, id=id_)
        yield og.Sample((rng.normal(size=(2, 1)),), {"size": (2, 3)}, raises=og.ShapeError, id="too large")


class Fold(og.Op, name="mutants._fold"):
    """Add windows to where they came from: (h', w', kh, kw), (h, w) -> (h, w)."""

    inputs = ("g", "like")
    size: Pair
    stride: Pair
    dilation: Pair
    pads: tuple[Pair, Pair]
    along = Windows.along

    def infer(self, ins):
        return (og.Spec(ins[1].shape, ins[0].dtype),)

    def shape_only(self, n):
        return frozenset((1,))

    def compute(self, ins, outs):
        (g, _), (y,) = ins, outs
        y[...] = 0
        for at, (rows, columns), elements in walk(y.shape, self):
            # a wrong geometry may have more windows than there are
            rows, columns = rows[: g.shape[0]], columns[:, : g.shape[1]]
            y[elements[0][: len(rows)], elements[1][:, : columns.shape[1]]] += g[(rows, columns, *at)]

    def vjp(self, ins, outs, cotangents):
        return (og.apply(Unfold(self.size, self.stride, self.dilation, self.pads), cotangents[0]), None)


class Unfold(Windows, name="mutants._unfold"):
    """Take a picture's windows apart: (h, w) -> (h', w', kh, kw)."""


class StrideOne(Windows, name="mutants.stride_one"):
    """Take a picture's windows apart: (h, w) -> (h', w', kh, kw).

    There, the backward pass did not multiply positions by the stride.
    """

    caught_by = "vjp_full"
    source = "https://github.com/enggen/Deep-Learning-Coursera/issues/7"
    info = og.OpInfo(reference=unfolded, multilinear=(0,))
    calls = (
        ("square", (3, 4), {}),
        ("strided", (5, 4), {"stride": (2, 3), "size": (2, 1)}),
        ("one window", (1, 2), {"size": (1, 2)}),
    )

    def back(self):
        return Fold(self.size, (1, 1), self.dilation, self.pads)


class StrideRemainder(Windows, name="mutants.stride_remainder"):
    """Take a picture's windows apart: (h, w) -> (h', w', kh, kw).

    There, what the stride leaves over at the end was not accounted for in the backward pass: here it is taken
    to be at the front.
    """

    caught_by = "vjp_full"
    source = "https://github.com/torch/DEPRECEATED-torch7-distro/issues/20"
    info = og.OpInfo(reference=unfolded, multilinear=(0,))
    calls = (
        ("fits", (3, 5), {"stride": (1, 3)}),
        ("remainder", (4, 5), {"stride": (2, 2), "size": (2, 3)}),
        ("two left over", (4, 3), {"stride": (3, 1), "size": (2, 1)}),
        ("one window", (1, 2), {"size": (1, 2)}),
    )

    def vjp(self, ins, outs, cotangents):
        (x,), (g,) = ins, cotangents
        over = [
            0 if n is None else (n + sum(p) - d * (k - 1) - 1) % s
            for n, k, s, d, p in zip(x.shape, self.size, self.stride, self.dilation, self.pads, strict=True)
        ]
        pads = tuple((before - left, after) for (before, after), left in zip(self.pads, over, strict=True))
        return (og.apply(Fold(self.size, self.stride, self.dilation, pads), g, x),)


class PadsOfHeight(Windows, name="mutants.pads_of_height"):
    """Take a picture's windows apart: (h, w) -> (h', w', kh, kw).

    There, the backward pass computed the padding of the width from the height.
    """

    caught_by = "vjp_full"
    source = "https://github.com/renmengye/np-conv2d/pull/2"
    info = og.OpInfo(reference=unfolded, multilinear=(0,))
    calls = (
        ("no pads", (3, 4), {}),
        ("square pads", (2, 3), {"pads": ((1, 1), (1, 1))}),
        ("width alone", (3, 2), {"pads": ((0, 0), (1, 2)), "size": (2, 3)}),
        ("empty", (0, 3), {"pads": ((1, 1), (0, 0))}),
        ("one window", (1, 2), {"size": (1, 2)}),
    )

    def back(self):
        return Fold(self.size, self.stride, self.dilation, (self.pads[0], self.pads[0]))


class DilationOfHeight(Windows, name="mutants.dilation_of_height"):
    """Take a picture's windows apart: (h, w) -> (h', w', kh, kw).

    There, the backward pass of a pooling used the first dilation for both dimensions, and no test had two
    different ones.
    """

    caught_by = "vjp_full"
    source = "https://github.com/tracel-ai/burn/pull/4466"
    info = og.OpInfo(reference=unfolded, multilinear=(0,))
    calls = (
        ("square", (4, 5), {"dilation": (2, 2)}),
        ("not square", (3, 6), {"dilation": (1, 3), "size": (2, 2)}),
        ("one window", (1, 2), {"size": (1, 2)}),
    )

    def back(self):
        return Fold(self.size, self.stride, (self.dilation[0], self.dilation[0]), self.pads)


class DilationMissed(Windows, name="mutants.dilation_missed"):
    """Take a picture's windows apart: (h, w) -> (h', w', kh, kw).

    There, the backward pass called the function that takes windows apart without its dilation.
    """

    caught_by = "vjp_full"
    source = "https://github.com/deeplearning4j/deeplearning4j/issues/4100"
    info = og.OpInfo(reference=unfolded, multilinear=(0,))
    calls = (
        ("plain", (3, 4), {}),
        ("dilated", (5, 4), {"dilation": (3, 1), "size": (2, 3)}),
        ("one window", (1, 2), {"size": (1, 2)}),
    )

    def back(self):
        return Fold(self.size, self.stride, (1, 1), self.pads)


class KernelRotated(Windows, name="mutants.kernel_rotated"):
    """Take a picture's windows apart: (h, w) -> (h', w', kh, kw).

    There, the backward pass put an M by N kernel into an N by M matrix.
    """

    caught_by = "vjp_full"
    source = "https://github.com/mlpack/mlpack/pull/3376"
    info = og.OpInfo(reference=unfolded, multilinear=(0,))
    calls = (
        ("square", (3, 4), {}),
        ("not square", (5, 4), {"size": (2, 3)}),
        ("one window", (1, 2), {"size": (1, 2)}),
    )

    def vjp(self, ins, outs, cotangents):
        (x,), (g,) = ins, cotangents
        turned = og.reshape(g, (-1, *g.shape[1:2], self.size[1], self.size[0])) if g.shape[1] else g
        fold = Fold((self.size[1], self.size[0]), self.stride, self.dilation, self.pads)
        return (og.apply(fold, turned, x),)

    def infer(self, ins):
        expect(ins, "f2")
        if None in ins[0].shape:
            raise og.ShapeError("the picture's sizes must be known")
        return super().infer(ins)


class SamePads(og.Op, name="mutants.same_pads"):
    """Take one window for each element, the odd padding after: (n) -> (n, k).

    There, the odd element of the padding went to the front, where other systems have it at the end.
    """

    caught_by = "reference"
    source = "https://github.com/vtjeng/MIPVerify.jl/pull/23"
    k: int = 2
    info = og.OpInfo(
        reference=lambda x, k=2: np.stack(
            [np.pad(x, ((k - 1) // 2, k // 2))[i : i + len(x)] for i in range(k)], axis=1
        ),
        multilinear=(0,),
    )

    def infer(self, ins):
        expect(ins, "f1")
        if self.k < 1:
            raise og.ArgumentError(f"k={self.k} is not positive")
        return (ins[0].with_shape((*ins[0].shape, self.k)),)

    def pads(self):
        return ((0, 0), (self.k // 2, (self.k - 1) // 2))

    def compute(self, ins, outs):
        (x,), (y,) = ins, outs
        padded = np.pad(x, self.pads()[1])
        for i in range(self.k):
            y[:, i] = padded[i : i + len(x)]

    def vjp(self, ins, outs, cotangents):
        (x,), (g,) = ins, cotangents
        rows = og.expand_dims(g, (0, 2))
        picture = og.expand_dims(x, (0,))
        return (og.reshape_like(og.apply(Fold((1, self.k), (1, 1), (1, 1), self.pads()), rows, picture), x),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=5),), id="even window")
        yield og.Sample((rng.normal(size=4),), {"k": 3}, id="odd window")
        yield og.Sample((rng.normal(size=1),), {"k": 2}, id="one element")
        yield og.Sample((rng.normal(size=0),), id="empty")
        yield og.Sample((rng.normal(size=3),), {"k": 0}, raises=og.ArgumentError, id="no window")


class AveragePool(og.Op, name="mutants.average_pool"):
    """Average windows of k side by side, the last one of what is left: (n) -> (ceil(n / k)).

    There, the backward pass divided the last window's share by the whole window's size, where the values had
    been divided by what it holds.
    """

    caught_by = "vjp_full"
    source = "https://github.com/tracel-ai/burn/issues/5604"
    k: int = 2
    info = og.OpInfo(
        reference=lambda x, k=2: np.array([np.mean(x[i : i + k]) for i in range(0, len(x), k)]), multilinear=(0,)
    )

    def infer(self, ins):
        expect(ins, "f1")
        (n,) = ins[0].shape
        if self.k < 1:
            raise og.ArgumentError(f"k={self.k} is not positive")
        return (ins[0].with_shape((None if n is None else -(-n // self.k),)),)

    def compute(self, ins, outs):
        (x,), (y,) = ins, outs
        for i in range(len(y)):
            y[i] = np.mean(x[i * self.k : (i + 1) * self.k])

    def vjp(self, ins, outs, cotangents):
        return (og.apply(Share(self.k), cotangents[0], ins[0]),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=6),), id="fits")
        yield og.Sample((rng.normal(size=5),), {"k": 3}, id="rest")
        yield og.Sample((rng.normal(size=1),), id="one")
        yield og.Sample((rng.normal(size=0),), id="empty")
        yield og.Sample((rng.normal(size=3),), {"k": 0}, raises=og.ArgumentError, id="no window")


class Share(og.Op, name="mutants._share"):
    """Give each element of a window its share."""

    inputs = ("g", "like")
    k: int

    def infer(self, ins):
        return (og.Spec(ins[1].shape, ins[0].dtype),)

    def shape_only(self, n):
        return frozenset((1,))

    def compute(self, ins, outs):
        np.copyto(outs[0], np.repeat(ins[0], self.k)[: outs[0].size] / self.k)

    def vjp(self, ins, outs, cotangents):
        return (og.apply(AveragePool(self.k), cotangents[0]), None)


class MaxPoolZeros(og.Op, name="mutants.max_pool_zeros"):
    """Take the maximum of each window of 3, one element further each time, the ends padded: (n) -> (n).

    There, the padding was zeros, which won over negative elements.
    """

    caught_by = "reference"
    source = "https://github.com/apache/mxnet/issues/2753"
    hidden = 1
    info = og.OpInfo(
        reference=lambda x: np.array([max(x[max(i - 1, 0) : i + 2]) for i in range(len(x))]), tie_policy="first"
    )

    def infer(self, ins):
        expect(ins, "f1")
        return (ins[0], ins[0].with_dtype(np.int64))

    def compute(self, ins, outs):
        (x,), (y, chosen) = ins, outs
        padded = np.pad(x, 1)
        around = np.stack([padded[i : i + len(x)] for i in range(3)])
        np.max(around, axis=0, out=y)
        np.copyto(chosen, np.clip(np.argmax(around, axis=0) + np.arange(len(x)) - 1, 0, max(len(x) - 1, 0)))

    def vjp(self, ins, outs, cotangents):
        return (og.scatter_add(og.zeros_like(ins[0]), outs[1], cotangents[0]),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((np.array([2.0, -1.0, 3.5, 0.5, 1.0]),), id="positive ends")
        yield og.Sample((np.array([-2.0, -1.0, -3.5, -0.5]),), id="negative")
        yield og.Sample((np.array([1.5]),), id="one")
        yield og.Sample((np.zeros(0),), id="empty")
        yield refused()


class ReflectSwapped(og.Op, name="mutants.reflect_swapped"):
    """Pad by reflection about the first and the last element: (n) -> (before + n + after).

    There, tests had the same padding on both sides, so that a swap of the two was not seen.
    """

    caught_by = "vjp_full"
    source = "https://github.com/Oneflow-Inc/oneflow/pull/4176"
    before: int = 1
    after: int = 1
    info = og.OpInfo(
        reference=lambda x, before=1, after=1: np.pad(x, (before, after), mode="reflect"), multilinear=(0,)
    )

    def infer(self, ins):
        expect(ins, "f1")
        (n,) = ins[0].shape
        if min(self.before, self.after) < 0:
            raise og.ArgumentError(f"pads {self.before}, {self.after} are not negative")
        if n is not None and max(self.before, self.after) >= n:
            raise og.ShapeError(f"{n} elements cannot be reflected into {self.before} and {self.after}")
        return (ins[0].with_shape((None if n is None else n + self.before + self.after,)),)

    def compute(self, ins, outs):
        np.copyto(outs[0], np.pad(ins[0], (self.before, self.after), mode="reflect"))

    def vjp(self, ins, outs, cotangents):
        return (og.apply(ReflectBack(self.after, self.before), cotangents[0], ins[0]),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=4),), {"before": 2, "after": 2}, id="equal")
        yield og.Sample((rng.normal(size=5),), {"before": 3, "after": 1}, id="unequal")
        yield og.Sample((rng.normal(size=1),), {"before": 0, "after": 0}, id="none")
        yield og.Sample((rng.normal(size=2),), {"before": 2}, raises=og.ShapeError, id="too far")
        yield og.Sample((rng.normal(size=2),), {"before": -1}, raises=og.ArgumentError, id="negative")


class ReflectBack(og.Op, name="mutants._reflect_back"):
    """Add what was padded to the elements that it was reflected from."""

    inputs = ("g", "like")
    before: int
    after: int

    def infer(self, ins):
        return (og.Spec(ins[1].shape, ins[0].dtype),)

    def shape_only(self, n):
        return frozenset((1,))

    def compute(self, ins, outs):
        (g, _), (y,) = ins, outs
        n = y.size
        y[...] = 0
        np.add.at(y, np.pad(np.arange(n), (self.before, self.after), mode="reflect"), g)

    def vjp(self, ins, outs, cotangents):
        return (og.apply(ReflectSwapped(self.before, self.after), cotangents[0]), None)


class FoldGradientSwapped(Windows, name="mutants.fold_gradient_swapped"):
    """Take a picture's windows apart: (h, w) -> (h', w', kh, kw).

    There, the gradient of the transposed operation had stride and dilation the wrong way round; here that is
    the gradient's gradient.
    """

    caught_by = "adjoint"
    source = "https://github.com/huggingface/candle/pull/2337"
    info = og.OpInfo(reference=unfolded, multilinear=(0,))
    calls = (
        ("alike", (4, 5), {"stride": (2, 2), "dilation": (2, 2)}),
        ("different", (5, 4), {"stride": (2, 1), "dilation": (1, 2), "size": (3, 2)}),
        ("one window", (1, 2), {"size": (1, 2)}),
    )

    def back(self):
        return FoldSwapped(self.size, self.stride, self.dilation, self.pads)


class FoldSwapped(Fold, name="mutants._fold_swapped"):
    """Add windows to where they came from: (h', w', kh, kw), (h, w) -> (h, w)."""

    size: Pair
    stride: Pair
    dilation: Pair
    pads: tuple[Pair, Pair]

    def vjp(self, ins, outs, cotangents):
        return (og.apply(Unfold(self.size, self.dilation, self.stride, self.pads), cotangents[0]), None)
