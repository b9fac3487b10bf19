"""The conformance kit: what proves that an op keeps its promises, and checks the gradients of any graph."""

from opgraph.testing.case import Case, Failed, Inconclusive
from opgraph.testing.check import Check, register_check
from opgraph.testing.gradients import check_grads
from opgraph.testing.numeric import Derivative, numerical_gradient, numerical_jacobian
from opgraph.testing.parametrize import parametrize_conformance
from opgraph.testing.report import Report, Result
from opgraph.testing.runner import check_op

__all__ = [
    "Case",
    "Check",
    "Derivative",
    "Failed",
    "Inconclusive",
    "Report",
    "Result",
    "check_grads",
    "check_op",
    "numerical_gradient",
    "numerical_jacobian",
    "parametrize_conformance",
    "register_check",
]
