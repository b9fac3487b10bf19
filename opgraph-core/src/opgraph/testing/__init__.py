"""Checks that an op, or any graph, is differentiated rightly: finite differences that estimate their own error."""

from opgraph.testing.gradients import check_grads
from opgraph.testing.numeric import Derivative, numerical_gradient

__all__ = ["Derivative", "check_grads", "numerical_gradient"]
