"""opgraph: an op library for automatic differentiation on NumPy, built like a plugin system.

Everything public is an attribute of this module: the graph and its nodes, `grad`, `RunTime`, the Op
protocol, and the front door of every installed op of opgraph-core, opgraph-nn and opgraph-vision.
Ops of other packages answer under `opgraph.ops`.
"""

from typing import (
    TYPE_CHECKING,
    Any,
)

from opgraph import (
    autodiff,
    ops,
    registry,
)
from opgraph.ambient import get_default_graph, name_scope
from opgraph.autodiff import (
    grad,
)
from opgraph.build import (
    apply,
    apply_all,
    as_node,
    graph_of,
    promote,
)
from opgraph.compiled import CacheInfo
from opgraph.declarations import OpInfo, Sample
from opgraph.doors import (
    front_door,
    front_door_for,
    make_op,
)
from opgraph.errors import (
    ArgumentError,
    DtypeError,
    FeedError,
    FileError,
    GradientError,
    GraphError,
    KernelError,
    MissingFileError,
    NonFiniteError,
    NoValueError,
    OpgraphError,
    OpLoadError,
    ReadOnlyError,
    ShapeError,
    UninitializedError,
    UnknownOpError,
    hide_frames,
    placing,
    user_source,
)
from opgraph.graph import Graph, constant, placeholder, random_key
from opgraph.io import (
    LoadedGraph,
    Unmatched,
    load_graph,
    load_variables,
    save_graph,
    save_variables,
)
from opgraph.node import (
    Call,
    Constant,
    Key,
    Node,
    NodeLike,
    Placeholder,
)
from opgraph.op import Array, Arrays, Cotangents, Elementwise, Kernel, Nodes, Op, Rng, Specs, check_floating, generator
from opgraph.recompute import (
    checkpoint,
)
from opgraph.registry import (
    register,
)
from opgraph.runtime import (
    Program,
    RunTime,
)
from opgraph.signatures import guarded
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
    wide_dtype,
    widened,
)
from opgraph.threads import parallel_for
from opgraph.tracing import Function, TraceInfo, function
from opgraph.transforms import hessian, hvp, jacobian, jvp, value_and_grad, vjp
from opgraph.variable import Initializer, Variable, variable

if TYPE_CHECKING:
    from opgraph.ops.arithmetic import (
        add,
        divide,
        floor_divide,
        multiply,
        negative,
        remainder,
        squared_difference,
        subtract,
    )
    from opgraph.ops.compare import (
        equal,
        greater,
        greater_equal,
        isfinite,
        isinf,
        isnan,
        less,
        less_equal,
        logical_and,
        logical_not,
        logical_or,
        logical_xor,
        not_equal,
        where,
    )
    from opgraph.ops.complexes import (
        conj,
        imag,
        real,
    )
    from opgraph.ops.create import (
        arange,
        eye,
        full_like,
        linspace,
        one_hot,
        ones_like,
        zeros_like,
    )
    from opgraph.ops.diagonals import (
        diag,
        diagonal,
        trace,
        tril,
        triu,
    )
    from opgraph.ops.einsums import (
        einsum,
    )
    from opgraph.ops.elementwise import (
        cast,
        exp,
        exp2,
        expm1,
        log,
        log1p,
        log2,
        log10,
        logaddexp,
        rsqrt,
        sqrt,
    )
    from opgraph.ops.flow import (
        identity,
        stop_gradient,
    )
    from opgraph.ops.index import (
        add_at,
        gather,
        getitem,
        scatter_add,
        set_at,
        slice,
    )
    from opgraph.ops.join import (
        concat,
        split,
        split_like,
        stack,
        unstack,
    )
    from opgraph.ops.like import (
        broadcast_like,
        count,
        ensure_shape_like,
        reshape_like,
        sum_to,
    )
    from opgraph.ops.linalg import (
        dot,
        inner,
        matmul,
        outer,
        tensordot,
    )
    from opgraph.ops.moves import (
        flip,
        roll,
    )
    from opgraph.ops.norms import (
        global_norm,
        norm,
    )
    from opgraph.ops.ordering import (
        argmax,
        argmin,
        argsort,
        sort,
        topk,
    )
    from opgraph.ops.padding import (
        pad,
    )
    from opgraph.ops.picking import (
        take_along_axis,
    )
    from opgraph.ops.piecewise import (
        abs,
        ceil,
        clip,
        floor,
        maximum,
        minimum,
        round,
        sign,
        trunc,
    )
    from opgraph.ops.powers import (
        power,
        reciprocal,
        square,
    )
    from opgraph.ops.random import (
        random_bernoulli,
        random_normal,
        random_uniform,
    )
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
    from opgraph.ops.scans import (
        cumsum,
    )
    from opgraph.ops.shape import (
        broadcast_to,
        expand_dims,
        moveaxis,
        reshape,
        squeeze,
        swapaxes,
        transpose,
    )
    from opgraph.ops.special import (
        erf,
        erfc,
    )
    from opgraph.ops.tiling import (
        repeat,
        tile,
    )
    from opgraph.ops.trigonometry import (
        arccos,
        arccosh,
        arcsin,
        arcsinh,
        arctan,
        arctan2,
        arctanh,
        cos,
        cosh,
        hypot,
        sin,
        sinh,
        tan,
        tanh,
    )

__all__ = [
    "ArgumentError",
    "Array",
    "Arrays",
    "Axes",
    "CacheInfo",
    "Call",
    "Constant",
    "Cotangents",
    "DtypeError",
    "Elementwise",
    "FeedError",
    "FileError",
    "Function",
    "GradientError",
    "Graph",
    "GraphError",
    "Initializer",
    "Kernel",
    "KernelError",
    "Key",
    "LoadedGraph",
    "MissingFileError",
    "NoValueError",
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
    "ReadOnlyError",
    "Rng",
    "RunTime",
    "Sample",
    "Shape",
    "ShapeError",
    "Spec",
    "Specs",
    "TraceInfo",
    "UninitializedError",
    "UnknownOpError",
    "Unmatched",
    "Variable",
    "abs",
    "add",
    "add_at",
    "apply",
    "apply_all",
    "arange",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "argmax",
    "argmin",
    "argsort",
    "as_node",
    "autodiff",
    "broadcast_like",
    "broadcast_shapes",
    "broadcast_to",
    "cast",
    "ceil",
    "check_floating",
    "checkpoint",
    "clip",
    "concat",
    "conj",
    "constant",
    "cos",
    "cosh",
    "count",
    "cumsum",
    "diag",
    "diagonal",
    "divide",
    "dot",
    "einsum",
    "ensure_shape_like",
    "equal",
    "erf",
    "erfc",
    "exp",
    "exp2",
    "expand_dims",
    "expm1",
    "eye",
    "flip",
    "floor",
    "floor_divide",
    "front_door",
    "front_door_for",
    "full_like",
    "function",
    "gather",
    "generator",
    "get_default_dtype",
    "get_default_graph",
    "getitem",
    "global_norm",
    "grad",
    "graph_of",
    "greater",
    "greater_equal",
    "guarded",
    "hessian",
    "hide_frames",
    "hvp",
    "hypot",
    "identity",
    "imag",
    "inner",
    "is_differentiable",
    "isfinite",
    "isinf",
    "isnan",
    "jacobian",
    "jvp",
    "known_shape",
    "less",
    "less_equal",
    "linspace",
    "listed_axes",
    "load_graph",
    "load_variables",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logsumexp",
    "make_op",
    "matmul",
    "maximum",
    "minimum",
    "moveaxis",
    "multiply",
    "name_scope",
    "negative",
    "norm",
    "normalize_axes",
    "normalize_axis",
    "not_equal",
    "one_hot",
    "ones_like",
    "ops",
    "outer",
    "pad",
    "parallel_for",
    "placeholder",
    "placing",
    "power",
    "promote",
    "promote_dtypes",
    "random_bernoulli",
    "random_key",
    "random_normal",
    "random_uniform",
    "real",
    "real_dtype",
    "reciprocal",
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
    "remainder",
    "repeat",
    "reshape",
    "reshape_like",
    "roll",
    "round",
    "rsqrt",
    "save_graph",
    "save_variables",
    "scatter_add",
    "set_at",
    "set_default_dtype",
    "sign",
    "sin",
    "sinh",
    "slice",
    "sort",
    "split",
    "split_like",
    "sqrt",
    "square",
    "squared_difference",
    "squeeze",
    "stack",
    "stop_gradient",
    "subtract",
    "sum_to",
    "swapaxes",
    "take_along_axis",
    "tan",
    "tanh",
    "tensordot",
    "tile",
    "topk",
    "trace",
    "transpose",
    "tril",
    "triu",
    "trunc",
    "unstack",
    "user_source",
    "value_and_grad",
    "variable",
    "vjp",
    "where",
    "wide_dtype",
    "widened",
    "zeros_like",
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
