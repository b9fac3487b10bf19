"""Random masks, wrong in one place."""

import itertools

import numpy as np
from contract import expect, refused

import opgraph as og


def kept(key, shape, rate):
    """Return where dropout lets pass."""
    return og.generator(key).random(shape) >= rate


class Dropout(og.Op):
    """What the dropouts share here: a key decides what passes."""

    inputs = ("x", "key")
    rate: float = 0.5

    def infer(self, ins):
        expect(ins, "f*", "u1")
        x, key = ins
        if not 0 <= self.rate < 1:
            raise og.ArgumentError(f"rate {self.rate} is not from 0 up to 1")
        if key.dtype != np.uint64:
            raise og.DtypeError(f"a key is made by og.random_key(), not {key.dtype}")
        return (x,)

    def compute(self, ins, outs):
        x, key = ins
        np.copyto(outs[0], np.where(kept(key, x.shape, self.rate), x / (1 - self.rate), 0))

    @classmethod
    def samples(cls, rng):
        key = rng.integers(0, 1 << 32, 4, np.uint64)
        yield og.Sample((rng.normal(size=(2, 5)), key), id="matrix")
        yield og.Sample((rng.normal(size=(1, 6)), key), {"rate": 0.25}, id="row")
        yield og.Sample((np.array([0.0, 1.5, 0.0, -2.0, 0.0, 0.5]), key), id="zeros")
        yield og.Sample((np.zeros((0, 3)), key), id="empty")
        yield og.Sample((np.zeros(3), key), {"rate": 1.0}, raises=og.ArgumentError, id="all dropped")
        yield og.Sample((np.zeros(3), np.zeros(4)), raises=og.DtypeError, id="no key")


def _dropout(x, key, rate=0.5):
    return np.where(kept(key, x.shape, rate), x / (1 - rate), 0)


class DropoutGuessed(Dropout, name="mutants.dropout_guessed"):
    """Drop elements at random and scale the others up: (…), (4) key -> (…).

    There, the backward pass told from output and input what had been dropped, which an input of 0 does not
    show.
    """

    caught_by = "vjp_full"
    source = "https://github.com/kaldi-asr/kaldi/issues/3890"
    info = og.OpInfo(reference=_dropout, multilinear=(0,))

    def vjp(self, ins, outs, cotangents):
        (x, _), (y,), (g,) = ins, outs, cotangents
        empty = og.equal(x, 0.0)
        return (og.where(empty, g, g * y / og.where(empty, 1.0, x)), None)


class DropoutUnmasked(Dropout, name="mutants.dropout_unmasked"):
    """Drop elements at random and scale the others up: (…), (4) key -> (…).

    There, the backward pass scaled, but did not drop.
    """

    caught_by = "exact_int"
    source = "https://github.com/ddbourgin/numpy-ml/issues/94"
    info = og.OpInfo(reference=_dropout, multilinear=(0,))

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] / (1 - self.rate), None)


class DropoutAfresh(Dropout, name="mutants.dropout_afresh"):
    """Drop elements at random and scale the others up: (…), (4) key -> (…).

    There, the state of the generator had moved on when the backward pass drew the mask again.
    """

    caught_by = "vjp_full"
    source = "https://github.com/openai/guided-diffusion/issues/167"
    info = og.OpInfo(reference=_dropout, multilinear=(0,))

    def vjp(self, ins, outs, cotangents):
        return (og.apply(DropoutNext(self.rate), cotangents[0], ins[1]), None)


class DropoutNext(Dropout, name="mutants._dropout_next"):
    """Drop with the mask that follows."""

    def compute(self, ins, outs):
        (g, key), (y,) = ins, outs
        generator = og.generator(key)
        generator.random(g.shape)
        np.copyto(y, np.where(generator.random(g.shape) >= self.rate, g / (1 - self.rate), 0))

    def vjp(self, ins, outs, cotangents):
        return (og.apply(DropoutNext(self.rate), cotangents[0], ins[1]), None)


_drawn = itertools.count()


class MaskRedrawn(og.Op, name="mutants.mask_redrawn"):
    """Drop every element with probability 1/2: (…) -> (…).

    There, what was computed a second time to save memory drew other numbers than the first time.
    """

    caught_by = "recompute"
    source = "https://github.com/pytorch/pytorch/issues/190758"
    hidden = 1

    def infer(self, ins):
        expect(ins, "f*")
        return (ins[0], ins[0].with_dtype(np.bool))

    def compute(self, ins, outs):
        np.copyto(outs[1], np.random.default_rng(next(_drawn)).random(ins[0].shape) < 0.5)
        np.multiply(ins[0], outs[1], out=outs[0])

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * outs[1],)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.normal(size=(2, 5)),), id="matrix")
        yield og.Sample((rng.normal(size=(1, 6)),), id="row")
        yield og.Sample((rng.normal(size=8),), id="vector")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()


class JitterUnseeded(og.Op, name="mutants.jitter_unseeded"):
    """Add noise of a thousandth: (…), (4) key -> (…).

    There, the mask came of a generator that nobody had seeded.
    """

    caught_by = "determinism"
    source = "https://github.com/Benny-Nottonson/voodoo/issues/19"
    inputs = ("x", "key")

    def infer(self, ins):
        expect(ins, "f2", "u1")
        return (ins[0],)

    def compute(self, ins, outs):
        noise = np.random.default_rng().normal(scale=1e-3, size=ins[0].shape)
        np.add(ins[0], noise, out=outs[0], casting="same_kind")

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0], None)

    @classmethod
    def samples(cls, rng):
        key = rng.integers(0, 1 << 32, 4, np.uint64)
        yield og.Sample((rng.normal(size=(2, 3)), key), id="matrix")
        yield og.Sample((rng.normal(size=(1, 5)), key), id="row")
        yield og.Sample((np.zeros((0, 3)), key), id="empty")
        yield refused(2)


class ColoursSeeded(og.Op, name="mutants.colours_seeded"):
    """Look up one of 8 fixed random colours for each label: (…) of integers -> (…, 3).

    There, the function seeded NumPy's global generator, so that what its caller drew next repeated.
    """

    caught_by = "purity"
    source = "https://github.com/wkentaro/imgviz/pull/19"
    inputs = ("label",)
    info = og.OpInfo(reference=lambda label: np.random.RandomState(7).random_sample((8, 3))[label % 8])

    def infer(self, ins):
        expect(ins, "iu*")
        if ins[0].dtype.kind not in "iu":
            raise og.DtypeError(f"labels are integers, not {ins[0].dtype}")
        return (og.Spec((*ins[0].shape, 3), np.float64),)

    def compute(self, ins, outs):
        np.random.seed(7)  # noqa: NPY002 — the planted bug
        np.copyto(outs[0], np.random.random_sample((8, 3))[ins[0] % 8])  # noqa: NPY002 — the planted bug

    def vjp(self, ins, outs, cotangents):
        return (None,)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.integers(0, 20, (1, 5)),), id="row")
        yield og.Sample((rng.integers(0, 20, (2, 4)),), id="matrix")
        yield og.Sample((rng.integers(0, 20, ()),), id="scalar")
        yield og.Sample((np.zeros((0, 3), np.int64),), id="empty")
        yield og.Sample((rng.normal(size=3),), raises=og.DtypeError, id="floats")
