"""The checks, one in a file. A new one is written in a file of its own and listed here."""

from opgraph.testing.check import Check
from opgraph.testing.checks.adjoint import Adjoint
from opgraph.testing.checks.batch import Batch
from opgraph.testing.checks.broadcast import Broadcast
from opgraph.testing.checks.combine import Combine
from opgraph.testing.checks.compiled import Compiled
from opgraph.testing.checks.complex import Complex
from opgraph.testing.checks.cotangent_linear import CotangentLinear
from opgraph.testing.checks.determinism import Determinism
from opgraph.testing.checks.documented import Documented
from opgraph.testing.checks.errors import Errors
from opgraph.testing.checks.exact_int import ExactInt
from opgraph.testing.checks.infer import Infer
from opgraph.testing.checks.jvp import Jvp
from opgraph.testing.checks.kink import Kink
from opgraph.testing.checks.layout import Layout
from opgraph.testing.checks.pickling import Pickle
from opgraph.testing.checks.precision import Precision
from opgraph.testing.checks.purity import Purity
from opgraph.testing.checks.recompute import Recompute
from opgraph.testing.checks.reference import Reference
from opgraph.testing.checks.registered import Registered
from opgraph.testing.checks.rewrites import Rewrites
from opgraph.testing.checks.rows import Rows
from opgraph.testing.checks.samples import Samples
from opgraph.testing.checks.save_load import SaveLoad
from opgraph.testing.checks.second_order import SecondOrder
from opgraph.testing.checks.stale import Stale
from opgraph.testing.checks.vjp_full import VjpFull
from opgraph.testing.checks.vjp_probe import VjpProbe

OWN: tuple[type[Check], ...] = (
    Samples,
    Documented,
    Registered,
    Errors,
    Infer,
    Reference,
    Broadcast,
    Layout,
    Purity,
    Determinism,
    Batch,
    Rows,
    Combine,
    Compiled,
    Rewrites,
    Stale,
    Recompute,
    Pickle,
    SaveLoad,
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
