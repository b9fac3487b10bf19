"""An op that a stranger ships."""

import numpy as np

import opgraph as og


class Gaussian(og.Elementwise, name="acme.gaussian"):
    """Evaluate the bell curve exp(-x² / (2 width²)) at each element."""

    inplace = True
    width: float = 1.0

    def compute(self, ins, outs):
        """Fill the output."""
        (x,), (y,) = ins, outs
        np.multiply(x, x, out=y)
        np.multiply(y, -0.5 / self.width**2, out=y)
        np.exp(y, out=y)

    def vjp(self, ins, outs, cotangents):
        """Return -x y / width² times the cotangent."""
        (x,), (y,), (g,) = ins, outs, cotangents
        return (g * y * x * (-1.0 / self.width**2),)

    @classmethod
    def samples(cls, rng):
        """Yield a plain call and one with a width."""
        yield og.Sample((rng.normal(size=(2, 3)),))
        yield og.Sample((rng.normal(size=(4,)),), {"width": 2.5})
        yield og.Sample((rng.normal(size=()),), {"width": 0.5})
