"""The checks, one in a file. A new one is written in a file of its own and listed here."""

from opgraph.testing.check import Check
from opgraph.testing.checks.reference import Reference
from opgraph.testing.checks.second_order import SecondOrder
from opgraph.testing.checks.vjp_full import VjpFull

OWN: tuple[type[Check], ...] = (Reference, VjpFull, SecondOrder)
