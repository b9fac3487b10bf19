"""The checks, one in a file. A new one is written in a file of its own and listed here."""

from opgraph.testing.check import Check
from opgraph.testing.checks.adjoint import Adjoint
from opgraph.testing.checks.complex import Complex
from opgraph.testing.checks.cotangent_linear import CotangentLinear
from opgraph.testing.checks.exact_int import ExactInt
from opgraph.testing.checks.jvp import Jvp
from opgraph.testing.checks.kink import Kink
from opgraph.testing.checks.precision import Precision
from opgraph.testing.checks.reference import Reference
from opgraph.testing.checks.second_order import SecondOrder
from opgraph.testing.checks.vjp_full import VjpFull
from opgraph.testing.checks.vjp_probe import VjpProbe

OWN: tuple[type[Check], ...] = (
    Reference,
    VjpFull,
    VjpProbe,
    SecondOrder,
    Jvp,
    Adjoint,
    CotangentLinear,
    ExactInt,
    Kink,
    Precision,
    Complex,
)
