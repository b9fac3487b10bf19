"""What people look at: what a plan does and how long it takes, as text and as tables."""

from opgraph.viz.explanation import Explanation
from opgraph.viz.instruction import Instruction, Part
from opgraph.viz.profile import Measured, MeasuredInstruction, MeasuredLine, Profile

__all__ = ["Explanation", "Instruction", "Measured", "MeasuredInstruction", "MeasuredLine", "Part", "Profile"]
