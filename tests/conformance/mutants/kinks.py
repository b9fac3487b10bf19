"""Ties and kinks, wrong in one place."""

import numpy as np
from contract import Real, expect, refused

import opgraph as og


class MaxOfRow(og.Op, name="mutants.max_of_row"):
    """Take the greatest element of each row, equal ones sharing the gradient: (n, m) -> (n).

    There, each of several greatest elements got the whole gradient.
    """

    caught_by = "kink"
    source = "https://github.com/sahandsafizadeh/qeep/issues/101"
    info = og.OpInfo(reference=lambda x: np.max(x, axis=1), tie_policy="split")

    def infer(self, ins):
        expect(ins, "f2")
        n, m = ins[0].shape
        if m == 0:
            raise og.ShapeError(f"{ins[0].shape} has no elements in a row")
        return (ins[0].with_shape((n,)),)

    def compute(self, ins, outs):
        np.max(ins[0], axis=1, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x,), (y,), (g,) = ins, outs, cotangents
        return (og.equal(x, og.expand_dims(y, (1,))) * og.expand_dims(g, (1,)),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.permutation(6).reshape(2, 3) * 1.0,), id="distinct")
        yield og.Sample((rng.permutation(4).reshape(4, 1) * 1.0,), id="one column")
        yield og.Sample((np.array([[1.0, 3.0, 3.0], [2.0, 0.5, -1.0]]),), id="tie")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield og.Sample((np.zeros((3, 0)),), raises=og.ShapeError, id="of nothing")


class GreaterOf(Real, name="mutants.greater_of"):
    """Take the greater of two, equal ones sharing the gradient: (…), (…) -> (…).

    There, both of two equal operands got the whole gradient.
    """

    caught_by = "kink"
    source = "https://github.com/shader-slang/slang/pull/6411"
    inputs = ("x", "y")
    inplace = True
    info = og.OpInfo(reference=np.maximum, tie_policy="split")

    def compute(self, ins, outs):
        np.maximum(ins[0], ins[1], out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x, y), (g,) = ins, cotangents
        return (g * og.greater_equal(x, y), g * og.greater_equal(y, x))

    @classmethod
    def samples(cls, rng):
        x = rng.permutation(6).reshape(2, 3) * 1.0
        yield og.Sample((x, x + rng.choice([-0.5, 0.5], (2, 3))), id="distinct")
        yield og.Sample((np.array([[1.0], [2.0], [-1.0], [0.5]]), np.array(0.75)), id="broadcast")
        yield og.Sample((np.array([1.0, 2.0, -3.0]), np.array([1.0, 0.5, -3.0])), id="tie")
        yield og.Sample((np.zeros((0, 3)), np.ones((1, 3))), id="empty")
        yield refused(2)


class Saturate(Real, name="mutants.saturate"):
    """Keep numbers between 0 and 1: (…) -> (…).

    There, the gradient exactly on the upper border came neither from inside nor from outside, but from zeros
    that were taken to lie beyond.
    """

    caught_by = "kink"
    source = "https://github.com/pytorch/pytorch/issues/23925"
    inplace = True
    info = og.OpInfo(reference=lambda x: np.clip(x, 0.0, 1.0), kinks=(0.0, 1.0))

    def compute(self, ins, outs):
        np.clip(ins[0], 0.0, 1.0, out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x,), (g,) = ins, cotangents
        inside = og.logical_and(og.greater_equal(x, 0.0), og.less(x, 1.0))
        return (g * og.where(og.equal(x, 1.0), -1.0, og.cast(inside, x.dtype)),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((np.array([[-0.5, 0.25, 0.5], [1.5, 0.75, 2.0]]),), id="away")
        yield og.Sample((np.array([[0.5], [1.25], [-1.0], [0.0]]),), id="lower border")
        yield og.Sample((np.array([1.0, 0.25]),), id="upper border")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()


class SafeNorm(og.Op, name="mutants.safe_norm"):
    """Take the length of each row, with the gradient 0 for a length of 0: (n, m) -> (n).

    There, the gradient of a length of 0 was NaN, 0 divided by 0.
    """

    caught_by = "kink"
    source = "https://github.com/clab/dynet/issues/1232"
    info = og.OpInfo(reference=lambda x: np.sqrt(np.sum(x * x, axis=1)), kinks=(0.0,))

    def infer(self, ins):
        expect(ins, "f2")
        return (ins[0].with_shape(ins[0].shape[:1]),)

    def compute(self, ins, outs):
        np.sqrt(np.einsum("ij,ij->i", ins[0], ins[0]), out=outs[0])

    def vjp(self, ins, outs, cotangents):
        (x,), (y,), (g,) = ins, outs, cotangents
        return (x * og.expand_dims(g / y, (1,)),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((rng.uniform(0.5, 2.0, (2, 3)),), id="matrix")
        yield og.Sample((rng.uniform(0.5, 2.0, (4, 1)),), id="one column")
        yield og.Sample((np.array([[0.0, 0.0, 0.0], [1.0, -2.0, 2.0]]),), id="zero")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()


class LeakyFromOutput(Real, name="mutants.leaky_from_output"):
    """Multiply negative numbers by a slope: (…) -> (…).

    There, the gradient told by the output's sign which side of 0 the input was on, which a negative slope
    belies.
    """

    caught_by = "vjp_full"
    source = "https://github.com/pytorch/pytorch/issues/31938"
    inplace = False
    slope: float = 0.01
    info = og.OpInfo(reference=lambda x, slope=0.01: np.where(x > 0, x, slope * x), kinks=(0.0,))

    def compute(self, ins, outs):
        (x,), (y,) = ins, outs
        np.multiply(x, self.slope, out=y)
        np.copyto(y, x, where=x > 0)

    def vjp(self, ins, outs, cotangents):
        return (cotangents[0] * og.where(og.greater(outs[0], 0.0), 1.0, self.slope),)

    @classmethod
    def samples(cls, rng):
        x = rng.uniform(0.5, 2.0, (2, 3)) * np.array([[1.0, -1.0, 1.0], [-1.0, -1.0, 1.0]])
        yield og.Sample((x,), id="matrix")
        yield og.Sample((-x[:, :1],), {"slope": -2.0}, id="negative slope")
        yield og.Sample((x[0, 0],), {"slope": 0.5}, id="scalar")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()


class EluFromOutput(Real, name="mutants.elu_from_output"):
    """Take alpha * (exp(x) - 1) of negative numbers: (…) -> (…).

    There, the backward pass looked at the output to tell the sides apart, wrong for a negative alpha.
    """

    caught_by = "vjp_full"
    source = "https://github.com/pytorch/pytorch/issues/47671"
    alpha: float = 1.0
    info = og.OpInfo(
        reference=lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))), kinks=(0.0,)
    )

    def compute(self, ins, outs):
        (x,), (y,) = ins, outs
        np.expm1(np.minimum(x, 0), out=y)
        np.multiply(y, self.alpha, out=y)
        np.copyto(y, x, where=x > 0)

    def vjp(self, ins, outs, cotangents):
        (y,), (g,) = outs, cotangents
        return (g * og.where(og.greater(y, 0.0), 1.0, y + self.alpha),)

    @classmethod
    def samples(cls, rng):
        x = rng.uniform(0.5, 2.0, (2, 3)) * np.array([[1.0, -1.0, 1.0], [-1.0, -1.0, 1.0]])
        yield og.Sample((x,), id="matrix")
        yield og.Sample((-x[:, :1],), {"alpha": -2.0}, id="negative alpha")
        yield og.Sample((x[0, 0],), {"alpha": 0.5}, id="scalar")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()


def _huber(x, y, delta=1.0):
    distance = np.abs(x - y)
    return np.where(distance <= delta, 0.5 * distance**2, delta * (distance - 0.5 * delta))


class HuberSigned(Real, name="mutants.huber_signed"):
    """Take Huber's loss of the difference: (…), (…) -> (…).

    There, the difference was compared with the threshold as it is, not by its size.
    """

    caught_by = "reference"
    source = "https://github.com/BobMcDear/attorch/issues/13"
    inputs = ("x", "y")
    delta: float = 1.0
    info = og.OpInfo(reference=_huber)

    def compute(self, ins, outs):
        difference = ins[0] - ins[1]
        far = difference > self.delta
        linear = self.delta * (np.abs(difference) - 0.5 * self.delta)
        np.copyto(outs[0], np.where(far, linear, 0.5 * difference**2))

    def vjp(self, ins, outs, cotangents):
        (x, y), (g,) = ins, cotangents
        gx = g * og.where(og.greater(x - y, self.delta), self.delta, x - y)
        return (gx, -gx)

    @classmethod
    def samples(cls, rng):
        x = np.array([[0.25, 2.5, -0.5], [-3.0, 0.75, 1.75]])
        yield og.Sample((x, np.zeros((2, 3))), id="matrix")
        yield og.Sample((x[:, :1], np.array(0.1)), {"delta": 0.5}, id="column")
        yield og.Sample((np.zeros((0, 3)), np.zeros((1, 3))), id="empty")
        yield refused(2)


class SmoothL1Jump(Real, name="mutants.smooth_l1_jump"):
    """Take the absolute value, rounded within beta of 0: (…) -> (…).

    There, the threshold became a parameter while the two pieces stayed as they were, so that they no longer
    met.
    """

    caught_by = "reference"
    source = "https://github.com/pytorch/pytorch/pull/17447"
    beta: float = 1.0
    info = og.OpInfo(reference=lambda x, beta=1.0: np.where(abs(x) < beta, 0.5 * x * x / beta, abs(x) - 0.5 * beta))

    def compute(self, ins, outs):
        z = np.abs(ins[0])
        np.copyto(outs[0], np.where(z < self.beta, 0.5 * z * z, z - 0.5))

    def vjp(self, ins, outs, cotangents):
        (x,), (g,) = ins, cotangents
        return (g * og.where(og.less(og.abs(x), self.beta), x, og.sign(x)),)

    @classmethod
    def samples(cls, rng):
        yield og.Sample((np.array([[0.25, 2.5, -0.5], [-3.0, 0.75, 1.75]]),), id="matrix")
        yield og.Sample((np.array([[0.3], [-0.2], [0.8], [-2.0]]),), {"beta": 0.5}, id="column")
        yield og.Sample((np.zeros((0, 3)),), id="empty")
        yield refused()
