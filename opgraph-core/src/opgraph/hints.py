"""What users of NumPy, PyTorch, JAX and TensorFlow ask for, and what it is called here. Only messages use it."""

from collections.abc import Iterable

from opgraph.errors import closest_name, did_you_mean

# names that have another name here
OPS = {
    "absolute": "abs",
    "acos": "arccos",
    "acosh": "arccosh",
    "add_n": "add",
    "all": "reduce_all",
    "amax": "reduce_max",
    "amin": "reduce_min",
    "any": "reduce_any",
    "array": "constant",
    "as_tensor": "as_node",
    "asarray": "as_node",
    "asin": "arcsin",
    "asinh": "arcsinh",
    "astype": "cast",
    "atan": "arctan",
    "atan2": "arctan2",
    "atanh": "arctanh",
    "avg_pool": "avgpool2d",
    "avg_pool2d": "avgpool2d",
    "batch_normalization": "batch_norm",
    "bernoulli": "random_bernoulli",
    "bitwise_and": "logical_and",
    "bitwise_not": "logical_not",
    "bitwise_or": "logical_or",
    "bitwise_xor": "logical_xor",
    "bmm": "matmul",
    "cat": "concat",
    "clamp": "clip",
    "clip_by_value": "clip",
    "concatenate": "concat",
    "conjugate": "conj",
    "conv2DTranspose": "conv2d_transpose",
    "conv_transpose2d": "conv2d_transpose",
    "convert_to_tensor": "as_node",
    "cross_entropy": "sparse_softmax_cross_entropy_loss",
    "detach": "stop_gradient",
    "div": "divide",
    "eq": "equal",
    "expand": "broadcast_to",
    "expit": "sigmoid",
    "fmax": "maximum",
    "fmin": "minimum",
    "ge": "greater_equal",
    "gt": "greater",
    "hard_tanh": "clip",
    "index_select": "gather",
    "invert": "logical_not",
    "le": "less_equal",
    "linalg_norm": "norm",
    "logsoftmax": "log_softmax",
    "lt": "less",
    "max": "reduce_max",
    "max_pool": "maxpool2d",
    "max_pool2d": "maxpool2d",
    "maximum_reduce": "reduce_max",
    "mean": "reduce_mean",
    "min": "reduce_min",
    "mm": "matmul",
    "mod": "remainder",
    "movedim": "moveaxis",
    "mul": "multiply",
    "ne": "not_equal",
    "neg": "negative",
    "permute": "transpose",
    "pow": "power",
    "prod": "reduce_prod",
    "rand": "random_uniform",
    "randn": "random_normal",
    "repeat_interleave": "repeat",
    "scatter_nd": "scatter_add",
    "softmax_cross_entropy": "softmax_cross_entropy_loss",
    "softmax_cross_entropy_with_logits": "softmax_cross_entropy_loss",
    "sparse_softmax_cross_entropy_with_logits": "sparse_softmax_cross_entropy_loss",
    "split_with_sizes": "split",
    "std": "reduce_std",
    "sub": "subtract",
    "sum": "reduce_sum",
    "swish": "silu",
    "take": "gather",
    "tensor": "constant",
    "true_divide": "divide",
    "unbind": "unstack",
    "unsqueeze": "expand_dims",
    "upsample": "resize_nearest2d",
    "var": "reduce_variance",
    "view": "reshape",
    "vdot": "dot",
}

_ELEMENTWISE = {"max": ", or og.maximum(x, y) element by element", "min": ", or og.minimum(x, y) element by element"}

# what is done in another way
WAYS = {
    "T": "og.transpose(x) reverses the dimensions",
    "Session": "og.RunTime() runs graphs",
    "Tensor": "og.placeholder, og.constant and og.Variable make nodes",
    "allclose": "run both, then compare the arrays with numpy.allclose",
    "append": "og.concat([x, y], axis) joins nodes",
    "array_split": "og.split(x, sizes, axis) takes the sizes of the parts",
    "atleast_1d": "og.reshape(x, …) gives it the dimensions",
    "atleast_2d": "og.reshape(x, …) gives it the dimensions",
    "average": "og.reduce_mean(x * weights) averages with weights",
    "bincount": "og.reduce_sum(og.one_hot(x, depth), axis=0) counts",
    "column_stack": "og.stack(xs, axis=1) does it for vectors, og.concat(xs, axis=1) for matrices",
    "cond": "a graph has no control flow; og.where(condition, x, y) chooses",
    "copy": "a node never changes, and so needs no copy",
    "cpu": "values are NumPy arrays already; og.RunTime().run(x) returns one",
    "cumprod": "og.exp(og.cumsum(og.log(x))) is it for positive values",
    "data": "og.RunTime().run(x) returns the value; that of a variable is w.val",
    "device": "values are NumPy arrays",
    "diff": "use x[1:] - x[:-1]",
    "divmod": "og.floor_divide and og.remainder are its two parts",
    "dtype": "x.dtype is a node's dtype",
    "embedding": "og.gather(table, indices) looks up rows",
    "empty": "use og.zeros_like(x), or og.constant of an array",
    "empty_like": "use og.zeros_like(x)",
    "flat": "og.reshape(x, -1) makes it one-dimensional",
    "flatten": "og.reshape(x, -1) makes it one-dimensional, og.reshape(x, (x.shape[0], -1)) all but the first",
    "fliplr": "use og.flip(x, axis=1)",
    "flipud": "use og.flip(x, axis=0)",
    "full": "use og.constant of an array, or og.full_like(x, value)",
    "get_shape": "x.shape is a node's shape",
    "group_norm": "normalize with og.reduce_mean and og.reduce_variance",
    "hstack": "use og.concat(xs, axis=1), or og.concat(xs, axis=0) for vectors",
    "instance_norm": "normalize with og.reduce_mean and og.reduce_variance",
    "item": "run it, og.RunTime().run(x), and take .item() of the array",
    "itemsize": "use x.dtype.itemsize",
    "jit": "og.function(f) traces and compiles a function of arrays",
    "layer_norm": "normalize with og.reduce_mean and og.reduce_variance",
    "layer_normalization": "normalize with og.reduce_mean and og.reduce_variance",
    "left_shift": "use x * 2**n",
    "linalg": "og.matmul, og.norm, og.trace, og.diag and og.outer are flat names; there are no factorizations",
    "linear": "use x @ w + b",
    "median": "og.sort(x, axis) has it in the middle",
    "mse": "use og.reduce_mean(og.squared_difference(x, y))",
    "nan_to_num": "use og.where(og.isfinite(x), x, 0.0)",
    "nanmean": "og.where(og.isnan(x), 0.0, x) takes NaN away first",
    "nansum": "use og.reduce_sum(og.where(og.isnan(x), 0.0, x))",
    "nbytes": "use x.spec.nbytes",
    "new_zeros": "use og.zeros_like(x)",
    "nn": "activations and losses are flat names, og.relu; layers and optimizers are modules of opgraph_nn",
    "no_grad": "nothing is recorded until og.grad asks; og.stop_gradient(x) lets nothing flow back",
    "nonzero": "its shape would depend on values; og.where(condition, x, y) chooses",
    "numel": "use x.shape.size, which is None where a size is unknown",
    "numpy": "run it: og.RunTime().run(x) returns the array",
    "ones": "use og.constant(numpy.ones(shape)), or og.ones_like(x)",
    "optim": "opgraph_nn.optimizers has them",
    "percentile": "og.sort(x, axis) has it at its place",
    "positive": "use x itself",
    "quantile": "og.sort(x, axis) has it at its place",
    "random": "og.random_normal, og.random_uniform and og.random_bernoulli are flat names",
    "ravel": "og.reshape(x, -1) makes it one-dimensional",
    "relu6": "use og.clip(x, 0.0, 6.0)",
    "requires_grad": "every floating-point node has gradients: og.grad(y, x)",
    "requires_grad_": "every floating-point node has gradients: og.grad(y, x)",
    "right_shift": "use x // 2**n",
    "rint": "use og.round(x)",
    "select": "og.where(condition, x, y) chooses between two",
    "shape": "x.shape is a node's static shape",
    "signbit": "use x < 0",
    "size": "use x.shape.size, which is None where a size is unknown; x.shape[axis] along an axis",
    "strides": "a node has no memory of its own",
    "to": "og.cast(x, dtype) converts; values are NumPy arrays, on no device",
    "tolist": "run it, og.RunTime().run(x), and take .tolist() of the array",
    "unique": "its shape would depend on values; run x, then use numpy.unique",
    "vectorize": "ops broadcast; there is no vmap",
    "vmap": "ops broadcast; there is no vmap",
    "vstack": "use og.concat(xs, axis=0), or og.stack(xs, axis=0) for vectors",
    "zero_grad": "gradients are nodes, and add up nowhere",
    "zeros": "use og.constant(numpy.zeros(shape)), or og.zeros_like(x)",
}

_FACTORIZATIONS = "cholesky det eig eigh eigvals eigvalsh inv lstsq matrix_rank pinv qr slogdet solve svd"
WAYS |= dict.fromkeys(
    _FACTORIZATIONS.split(), "there are no factorizations and no inverse; use NumPy outside of the graph"
)
_LOOPS = "a graph has no control flow; a loop of Python unrolls when the graph is built"
WAYS |= dict.fromkeys(("fori_loop", "scan", "while_loop"), _LOOPS)
_LAYERS = "BatchNorm Dense Dropout Flatten Linear MLP Module Sequential"
WAYS |= dict.fromkeys(
    _LAYERS.split(), "opgraph_nn.layers has Linear, BatchNorm, Dropout, Flatten, Sequential and Module"
)
_IMAGE_LAYERS = "AvgPool2D AvgPool2d Conv2D Conv2d MaxPool2D MaxPool2d"
WAYS |= dict.fromkeys(_IMAGE_LAYERS.split(), "opgraph_vision.layers has Conv2D, MaxPool2D and AvgPool2D")

# keywords of functions; where two are possible, the first that a function has
KEYWORDS = {
    "a": "x",
    "alpha": "learning_rate",
    "array": "x",
    "arrays": "xs",
    "axes": "axis",
    "beta_1": "beta1",
    "beta_2": "beta2",
    "betas": "beta1",
    "decay": "weight_decay",
    "dim": "axis",
    "dims": "axis",
    "eps": "epsilon",
    "feed_dict": "feeds",
    "filters": "kernel",
    "input": "x",
    "keep_dims": "keepdims",
    "keepdim": "keepdims",
    "learning_rate": "alpha",
    "lr": "learning_rate alpha",
    "mu": "momentum",
    "other": "y",
    "stride": "strides",
    "dilation": "dilations",
    "tensor": "x",
    "tensors": "xs",
    "unbiased": "ddof",
    "weight": "kernel",
    "x1": "x",
    "x2": "y",
}


def way_to(name: str, known: Iterable[str], argument: str = "") -> str:
    """Return how to do what goes by `name` elsewhere, as the end of a message: ``"; use og.reduce_sum"``, or nothing.

    Parameters
    ----------
    known
        The names of the ops that there are, of which a close one is named where the tables know nothing.
    argument
        What the op is called with: ``"(x)"``, for a method.
    """
    known = list(known)
    if name in known or name in OPS:
        return f"; use og.{OPS.get(name, name)}{argument}{_ELEMENTWISE.get(name, '')}"
    if name in WAYS:
        return f"; {WAYS[name]}"
    meant = closest_name(name, OPS)
    if meant is None or closest_name(name, known) is not None:
        return did_you_mean(name, known)
    return f"; did you mean {meant!r}? use og.{OPS[meant]}{argument}"


def keyword_meant(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'axis'?"`` for a keyword that `known` lacks, or nothing."""
    known = list(known)
    meant = [each for each in KEYWORDS.get(name, "").split() if each in known]
    return f"; did you mean {meant[0]!r}?" if meant else did_you_mean(name, known)
