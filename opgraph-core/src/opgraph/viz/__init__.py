"""What people look at: what a plan does, as text and as tables."""

from opgraph.node import above
from opgraph.viz.explanation import Explanation
from opgraph.viz.instruction import Instruction

__all__ = ["Explanation", "Instruction"]

above.explain = Explanation.of
