"""opgraph: an op library for automatic differentiation on NumPy, built like a plugin system.

Everything public is an attribute of this module: the graph and its nodes, `grad`, `RunTime`, the Op
protocol, and the front door of every installed op of opgraph-core, opgraph-nn and opgraph-vision.
Ops of other packages answer under `opgraph.ops`.
"""

from typing import TYPE_CHECKING, Any

from opgraph import autodiff, ops, registry
from opgraph.autodiff import grad
from opgraph.build import apply, apply_all, as_node, graph_of, promote
from opgraph.doors import front_door, front_door_for, make_op
from opgraph.errors import (
    ArgumentError,
    DtypeError,
    FeedError,
    GradientError,
    GraphError,
    KernelError,
    NonFiniteError,
    OpgraphError,
    OpLoadError,
    ShapeError,
    UninitializedError,
    UnknownOpError,
    hide_frames,
    placing,
    user_source,
)
from opgraph.graph import (
    Graph,
    Initializer,
    Variable,
    constant,
    get_default_graph,
    name_scope,
    placeholder,
    random_key,
    variable,
)
from opgraph.node import Call, Constant, Key, Node, NodeLike, Placeholder
from opgraph.op import Array, Arrays, Cotangents, Elementwise, Kernel, Nodes, Op, OpInfo, Rng, Sample, Specs
from opgraph.recompute import checkpoint
from opgraph.registry import register
from opgraph.runtime import Program, RunTime, generator
from opgraph.spec import (
    Axes,
    Shape,
    Spec,
    broadcast_shapes,
    get_default_dtype,
    is_differentiable,
    known_shape,
    listed_axes,
    normalize_axes,
    normalize_axis,
    promote_dtypes,
    real_dtype,
    reduced_shape,
    set_default_dtype,
)
from opgraph.transforms import hvp, jvp, value_and_grad, vjp

if TYPE_CHECKING:
    from opgraph.ops.arithmetic import add, divide, multiply, negative, subtract
    from opgraph.ops.axis import argmax, argmin, argsort, cumsum, flip, roll, sort, take_along_axis, topk
    from opgraph.ops.compare import equal, greater, greater_equal, less, less_equal, not_equal, where
    from opgraph.ops.complexes import conj, imag, real
    from opgraph.ops.elementwise import cast, exp, log, sqrt, tanh
    from opgraph.ops.flow import identity, stop_gradient
    from opgraph.ops.like import broadcast_like, count, ensure_shape_like, reshape_like, sum_to
    from opgraph.ops.linalg import matmul
    from opgraph.ops.reduce import (
        logsumexp,
        reduce_all,
        reduce_any,
        reduce_logsumexp,
        reduce_max,
        reduce_mean,
        reduce_min,
        reduce_prod,
        reduce_std,
        reduce_sum,
        reduce_variance,
    )
    from opgraph.ops.shape import expand_dims, reshape, squeeze, transpose

__all__ = [
    "ArgumentError",
    "Array",
    "Arrays",
    "Axes",
    "Call",
    "Constant",
    "Cotangents",
    "DtypeError",
    "Elementwise",
    "FeedError",
    "GradientError",
    "Graph",
    "GraphError",
    "Initializer",
    "Kernel",
    "KernelError",
    "Key",
    "Node",
    "NodeLike",
    "Nodes",
    "NonFiniteError",
    "Op",
    "OpInfo",
    "OpLoadError",
    "OpgraphError",
    "Placeholder",
    "Program",
    "Rng",
    "RunTime",
    "Sample",
    "Shape",
    "ShapeError",
    "Spec",
    "Specs",
    "UninitializedError",
    "UnknownOpError",
    "Variable",
    "add",
    "apply",
    "apply_all",
    "argmax",
    "argmin",
    "argsort",
    "as_node",
    "autodiff",
    "broadcast_like",
    "broadcast_shapes",
    "cast",
    "checkpoint",
    "conj",
    "constant",
    "count",
    "cumsum",
    "divide",
    "ensure_shape_like",
    "equal",
    "exp",
    "expand_dims",
    "flip",
    "front_door",
    "front_door_for",
    "generator",
    "get_default_dtype",
    "get_default_graph",
    "grad",
    "graph_of",
    "greater",
    "greater_equal",
    "hide_frames",
    "hvp",
    "identity",
    "imag",
    "is_differentiable",
    "jvp",
    "known_shape",
    "less",
    "less_equal",
    "listed_axes",
    "log",
    "logsumexp",
    "make_op",
    "matmul",
    "multiply",
    "name_scope",
    "negative",
    "normalize_axes",
    "normalize_axis",
    "not_equal",
    "ops",
    "placeholder",
    "placing",
    "promote",
    "promote_dtypes",
    "random_key",
    "real",
    "real_dtype",
    "reduce_all",
    "reduce_any",
    "reduce_logsumexp",
    "reduce_max",
    "reduce_mean",
    "reduce_min",
    "reduce_prod",
    "reduce_std",
    "reduce_sum",
    "reduce_variance",
    "reduced_shape",
    "register",
    "registry",
    "reshape",
    "reshape_like",
    "roll",
    "set_default_dtype",
    "sort",
    "sqrt",
    "squeeze",
    "stop_gradient",
    "subtract",
    "sum_to",
    "take_along_axis",
    "tanh",
    "topk",
    "transpose",
    "user_source",
    "value_and_grad",
    "variable",
    "vjp",
    "where",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module 'opgraph' has no attribute {name!r}")
    function = registry.get_flat(name)
    globals()[name] = function
    return function


def __dir__() -> list[str]:
    return sorted({*__all__, *registry.flat_names()})
