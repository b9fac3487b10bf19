"""The error function and its complement, which NumPy lacks.

Both are put together from two parts: a rational function near 0, and further out the logarithm of what is
left of erfc when its decay is taken off, again a rational function,

    erf(x) = x + x C(x**2)                                   |x| < 3/4
    erfc(x) = exp(-x**2 - 9/16 + T(1 / x**2)) / x            x >= 3/4, a T for each of three intervals

The form is that of Sun's fdlibm (s_erf.c, 1993), after W. J. Cody, "Rational Chebyshev approximations for the
error function", Mathematics of Computation 23, 1969. The coefficients, lowest power first, are opgraph's own: found by
interpolation at Chebyshev nodes in 90 digits, they leave out less than 1e-16. With rounding, erf was within 1.5 units
in the last place and erfc within 3.5 wherever it was held against 90 digits.
"""

import math
from collections.abc import Iterable

import numpy as np

from opgraph.declarations import OpInfo, Sample
from opgraph.doors import front_door
from opgraph.errors import DtypeError
from opgraph.op import Array, Arrays, Cotangents, Nodes, Rng, Specs
from opgraph.ops.arithmetic import Choosy
from opgraph.ops.complexes import Unary
from opgraph.ops.elementwise import exp
from opgraph.ops.powers import square
from opgraph.spec import Spec

BLOCK = 8192  # elements whose work space fits into a core's second cache
EDGE = 0.75

Coefficients = tuple[float, ...]

# fmt: off
_CENTER: tuple[Coefficients, Coefficients] = (
    (0.1283791670955126, -0.3253680011121572, -0.027655713632926168, -0.005699545468103034, -1.120370347660432e-05),
    (1.0, 0.39537869786860763, 0.06401920010002311, 0.004924686571810172, 0.00012183946372633183,
     -4.1312681164756e-06),
)
_TAILS: tuple[tuple[float, float, Coefficients, Coefficients], ...] = (
    (
        0.75, 1.5,
        (-0.009866441565204817, -0.6060067406664174, -5.135065994491073, -14.84691684418438, -17.238044616375316,
         -8.105925122164235, -1.3889147004220683, -0.06204715198557364),
        (1.0, 10.750971909311671, 38.89140185926342, 59.89885899190989, 41.14091285732156, 12.059856790810365,
         1.2962123892194082, 0.0328586406528755, -9.440059805145279e-05),
    ),
    (
        1.5, 3.0,
        (-0.00986494391648336, -0.6892193599018954, -10.24325663448043, -58.13153083869712, -141.71146445121366,
         -144.38027253342733, -52.49107009678464, -4.342132585586608),
        (1.0, 19.18099827767481, 129.52464009919564, 386.80406863599626, 527.5444534331584, 306.5038740144762,
         61.971532155540416, 2.4788130326350646),
    ),
    (
        3.0, 28.0,  # erfc(28) is too small for a float
        (-0.009864942924700361, -0.7615276755394097, -15.026195396339633, -115.71658404798113, -370.8522503126918,
         -440.9936419791916, -127.63720705168782),
        (1.0, 26.5108148659328, 242.85877592445758, 944.2313861095396, 1537.5735489105427, 878.0419380045896,
         100.42644646934107),
    ),
)
# fmt: on


class ErrorFunction(Choosy):
    """What erf and erfc share: float64 inside, whatever the dtype, a block of elements at a time."""

    inplace = True

    def scratch(self, ins: Specs, outs: Specs) -> Specs:
        (y,) = outs
        n = min(BLOCK, y.shape.size or 0)
        return (Spec((7, n), np.float64), Spec((n,), np.float32))

    def compute(self, ins: Arrays, outs: Arrays, scratch: Arrays = ()) -> None:
        work, single = scratch
        blocks = np.nditer(
            [ins[0], outs[0]],
            flags=["external_loop", "buffered", "zerosize_ok"],
            op_flags=[["readonly"], ["writeonly"]],
            op_dtypes=[np.float64, np.float64],
            casting="same_kind",
            buffersize=BLOCK,
        )
        with blocks:
            for x, y in blocks:
                self.fill(y, x, work[:, : x.size], single[: x.size])

    def fill(self, y: Array, x: Array, work: Array, single: Array) -> None:
        """Fill `y`, which may be `x`, for one block."""
        raise NotImplementedError

    @classmethod
    def samples(cls, rng: Rng) -> Iterable[Sample]:
        for shape in ((2, 3), (), (4, 1, 2), (3, 0)):
            yield Sample((rng.uniform(-2.0, 2.0, shape),), id=f"{shape}")
        yield Sample((np.array([-0.7, 0.1, 1.3, 2.5]),), id="each part")
        yield Sample((np.array([1j]),), raises=DtypeError, id="complex")


class Erf(ErrorFunction, name="core.erf"):
    """Take the error function of each element: 2/√π times the integral of exp(-t**2) from 0 to x."""

    info = OpInfo(reference=np.vectorize(math.erf, otypes=[np.float64]))

    def fill(self, y: Array, x: Array, work: Array, single: Array) -> None:
        magnitude, near, tail = work[:3]
        far = _fill_parts(magnitude, near, tail, x, work[3:], single)
        np.add(x, near, out=near)
        np.subtract(1.0, tail, out=tail)
        np.copysign(tail, x, out=tail)
        np.copyto(y, near)
        np.copyto(y, tail, where=far)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (cotangents[0] * (exp(-square(ins[0])) * (2.0 / math.sqrt(math.pi))),)


class Erfc(ErrorFunction, name="core.erfc"):
    """Take 1 - erf(x) of each element, exact where that is small."""

    info = OpInfo(reference=np.vectorize(math.erfc, otypes=[np.float64]))

    def fill(self, y: Array, x: Array, work: Array, single: Array) -> None:
        magnitude, near, tail, offset = work[:4]
        far = _fill_parts(magnitude, near, tail, x, work[3:], single)
        # 1/2 - (x - 1/2 + near) loses nothing for x from 1/4 on, where 1 - (x + near) would
        np.multiply(0.5, np.greater_equal(x, 0.25, out=offset), out=offset)
        np.add(near, np.subtract(x, offset, out=magnitude), out=near)
        np.subtract(1.0, offset, out=offset)
        np.subtract(offset, near, out=near)
        np.subtract(2.0, tail, out=tail, where=np.less(x, 0.0))
        np.copyto(y, near)
        np.copyto(y, tail, where=far)

    def vjp(self, ins: Nodes, outs: Nodes, cotangents: Cotangents) -> Cotangents:
        return (cotangents[0] * (exp(-square(ins[0])) * (-2.0 / math.sqrt(math.pi))),)


def _fill_parts(magnitude: Array, near: Array, tail: Array, x: Array, work: Array, single: Array) -> Array:
    """Fill `near` with erf(x) - x, right below `EDGE`, and `tail` with erfc(|x|), right from there on.

    Returns where `tail` is to be taken; NaN counts as near.
    """
    np.absolute(x, out=magnitude)
    far: Array = np.greater_equal(magnitude, EDGE)
    squared, ratio, spare = work[:3]
    np.minimum(magnitude, EDGE, out=squared)  # what is further out shall not overflow
    np.multiply(squared, squared, out=squared)
    _fill_ratio(ratio, spare, _CENTER[0], _CENTER[1], squared)
    np.multiply(x, ratio, out=near)
    tail.fill(0.0)
    for low, high, numerator, denominator in _TAILS:
        chosen = np.flatnonzero((magnitude >= low) & (magnitude < high))
        if chosen.size:
            size = chosen.size
            tail[chosen] = _tail(magnitude, chosen, numerator, denominator, work[:, :size], single[:size])
    return far


def _tail(
    magnitude: Array, chosen: Array, numerator: Coefficients, denominator: Coefficients, work: Array, rounded: Array
) -> Array:
    """Return erfc of the `chosen` ones of `magnitude`, which one pair of polynomials serves."""
    x, inverse, spare = work[:3]
    exponent: Array = work[3]
    np.take(magnitude, chosen, out=x, mode="clip")  # which skips the checks
    np.multiply(x, x, out=inverse)
    np.divide(1.0, inverse, out=inverse)
    _fill_ratio(exponent, spare, numerator, denominator, inverse)
    # x * x = r * r + (x - r) * (x + r), where r has half the digits, so that r * r is exact
    np.copyto(rounded, x, casting="same_kind")
    np.subtract(rounded, x, out=inverse)
    np.add(rounded, x, out=spare)
    np.multiply(inverse, spare, out=inverse)
    np.add(exponent, inverse, out=exponent)
    np.exp(exponent, out=exponent)
    np.copyto(spare, rounded)
    np.multiply(spare, spare, out=spare)
    np.subtract(-0.5625, spare, out=spare)
    np.exp(spare, out=spare)
    np.multiply(exponent, spare, out=exponent)
    np.divide(exponent, x, out=exponent)
    return exponent


def _fill_ratio(out: Array, spare: Array, numerator: Coefficients, denominator: Coefficients, x: Array) -> None:
    """Fill `out` with the ratio of two polynomials in `x`."""
    for polynomial, coefficients in ((out, numerator), (spare, denominator)):
        polynomial.fill(coefficients[-1])
        for coefficient in coefficients[-2::-1]:
            np.multiply(polynomial, x, out=polynomial)
            np.add(polynomial, coefficient, out=polynomial)
    np.divide(out, spare, out=out)


erf: Unary = front_door(Erf)
erfc: Unary = front_door(Erfc)
