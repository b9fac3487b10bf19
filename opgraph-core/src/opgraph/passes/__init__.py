"""One small file a pass, from a graph to a plan.

`lower` takes nodes to a `Structure`. Graph passes take a structure to a better one, once: they are listed
in `GRAPH_PASSES`, in their order. `specialize` and `bind` make a `Plan` of it, once for each signature of
shapes, in which `PLAN_PASSES` may be left out.
"""

from collections.abc import Callable, Mapping

from opgraph.passes.eliminate_common import eliminate_common
from opgraph.passes.fold_constants import fold_constants
from opgraph.passes.prune import prune
from opgraph.passes.simplify import simplify
from opgraph.passes.stabilize import stabilize
from opgraph.structure import Structure

GRAPH_PASSES: Mapping[str, Callable[[Structure], Structure]] = {
    "simplify": simplify,
    "stabilize": stabilize,
    "fold_constants": fold_constants,
    "eliminate_common": eliminate_common,
    "prune": prune,
}

PLAN_PASSES = ("batch", "order", "fuse", "inplace", "commit")
