"""Networks of arrays, after "Neural networks in 100 lines of pure Python": no graph is in sight.

A `Layer` maps an array to another one and to the function for the way back; a `Learner` fits a model of such
layers batch by batch. Layers may be written by hand, or made of a function of nodes by `GraphLayer`, whose
way back opgraph finds.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

import opgraph as og
from opgraph_nn._checks import check_number, check_sizes

Backward: TypeAlias = Callable[[og.Array], Any]
Loss: TypeAlias = Callable[[og.Array, og.Array], tuple[Any, og.Array]]


class Parameter:
    """An array that is learned, `tensor`, and the sum of its gradients since the last update, `gradient`."""

    def __init__(self, tensor: ArrayLike) -> None:
        array = np.array(tensor)
        self.tensor: og.Array = array if array.dtype.kind in "fc" else array.astype(np.float64)
        self.gradient: og.Array = np.zeros_like(self.tensor)


class ParameterOptimizer(Protocol):
    """What changes parameters, one at a time, and zeroes their gradients."""

    def update(self, param: Parameter) -> None:
        """Change the tensor of `param` by its gradient, which is 0 afterwards."""


class Layer:
    """A layer that passes its input on: override `forward`, and make parameters with `build_param`."""

    parameters: list[Parameter]

    def __new__(cls, *args: Any, **kwargs: Any) -> Layer:
        # here, so that a subclass need not call super().__init__()
        layer = super().__new__(cls)
        layer.parameters = []
        return layer

    def forward(self, X: og.Array) -> tuple[og.Array, Backward]:
        """Return the output, and a function from its gradient to that of `X`.

        That function adds the parameters' gradients to what they have.
        """
        return X, lambda D: D

    def build_param(self, tensor: ArrayLike) -> Parameter:
        """Return a new parameter with a copy of `tensor`; `update` changes it."""
        parameter = Parameter(tensor)
        self.parameters.append(parameter)
        return parameter

    def update(self, optimizer: ParameterOptimizer) -> None:
        """Have `optimizer` change every parameter."""
        for parameter in self.parameters:
            optimizer.update(parameter)


class Linear(Layer):
    """Multiply by `weights` and add `bias`: (N, inputs) -> (N, outputs).

    The weights begin as normal numbers of variance 1 / inputs, drawn with `rng`.
    """

    @og.guarded
    def __init__(self, inputs: int, outputs: int, rng: np.random.Generator | None = None) -> None:
        check_sizes(inputs=inputs, outputs=outputs)
        drawn = (rng or np.random.default_rng()).standard_normal((inputs, outputs))
        self.weights = self.build_param(drawn * np.sqrt(1 / max(inputs, 1)))
        self.bias = self.build_param(np.zeros(outputs))

    def forward(self, X: og.Array) -> tuple[og.Array, Backward]:
        """Return X @ weights + bias.

        Raises
        ------
        ShapeError
            Where `X` is no matrix with a column for each row of the weights.
        """
        inputs, outputs = self.weights.tensor.shape
        if np.ndim(X) != 2 or np.shape(X)[1] != inputs:
            way = "; X[:, None] is one column" if np.ndim(X) == 1 and inputs == 1 else ""
            detail = f"takes X of shape (N, {inputs}), as Linear({inputs}, {outputs}), not {np.shape(X)}{way}"
            raise og.ShapeError(detail).located("Linear", source=og.user_source())

        def backward(D: og.Array) -> og.Array:
            self.weights.gradient += X.T @ D
            self.bias.gradient += D.sum(axis=0)
            return D @ self.weights.tensor.T

        return X @ self.weights.tensor + self.bias.tensor, backward


class ReLu(Layer):
    """Take the positive part; the gradient at 0 is 0."""

    def forward(self, X: og.Array) -> tuple[og.Array, Backward]:
        """Return max(X, 0)."""
        mask = X > 0
        return X * mask, lambda D: D * mask


class Sigmoid(Layer):
    """Squeeze between 0 and 1."""

    def forward(self, X: og.Array) -> tuple[og.Array, Backward]:
        """Return 1 / (1 + exp(-X)), without overflow."""
        S = np.exp(-np.logaddexp(0, -X))
        return S, lambda D: D * S * (1 - S)


class Sequential(Layer):
    """Apply layers one after the other; the way back goes through them in reverse order."""

    @og.guarded
    def __init__(self, *layers: Layer) -> None:
        for i, layer in enumerate(layers):
            _check_layer(f"layer {i}", layer)
        self.layers = layers
        # a layer that stands there twice is updated once
        self.parameters = list(dict.fromkeys(p for layer in layers for p in layer.parameters))

    def forward(self, X: og.Array) -> tuple[og.Array, Backward]:
        """Return what the last layer makes of what the others made."""
        backprops = []
        Y = X
        for layer in self.layers:
            Y, backprop = _forward(layer, Y)
            backprops.append(backprop)

        def backward(D: og.Array) -> Any:
            for backprop in reversed(backprops):
                D = backprop(D)
            return D

        return Y, backward


class GraphLayer(Layer):
    """A layer made of a function of nodes, whose way back is its gradient.

        dense = GraphLayer(lambda x, w, b: og.tanh(x @ w + b), rng.normal(size=(2, 8)), np.zeros(8))

    The function is traced once for each dtype and shape of examples, the number of rows left open. Its random
    numbers change from one `forward` to the next; the way back of each has those of its own.

    Parameters
    ----------
    function : callable
        From the input and the parameters, as nodes, to the output.
    *tensors : array_like
        The parameters' initial values.
    """

    def __init__(self, function: Callable[..., og.Node], *tensors: ArrayLike) -> None:
        self._function = function
        for tensor in tensors:
            self.build_param(tensor)
        self._runtime = og.RunTime()
        self._draws = itertools.count()
        self._traced: dict[tuple[og.Shape, np.dtype[Any]], tuple[og.Program, og.Program]] = {}

    def forward(self, X: ArrayLike) -> tuple[og.Array, Backward]:
        """Return the function's value on `X` and the parameters. The gradient of integers is None."""
        X = np.asarray(X)
        # all axes but the first keep their sizes, which ops may want to know
        key = og.Shape((None, *X.shape[1:]) if X.ndim else ()), X.dtype
        if key not in self._traced:
            with og.placing("GraphLayer", og.user_source()), og.Graph().as_default_graph():
                self._traced[key] = self._trace(*key)
        value, gradients = self._traced[key]
        draw = next(self._draws)
        given = (X, *(parameter.tensor for parameter in self.parameters))
        [Y] = self._run(value, draw, *given)

        def backward(D: og.Array) -> og.Array | None:
            found = self._run(gradients, draw, *given, D)
            first = found.pop(0) if og.is_differentiable(X.dtype) else None
            for parameter, gradient in zip(self.parameters, found, strict=True):
                parameter.gradient += gradient
            return first

        return Y, backward

    def _trace(self, shape: og.Shape, dtype: np.dtype[Any]) -> tuple[og.Program, og.Program]:
        """Return the programs of the value and of the gradients, by the input if it has one and the parameters."""
        x = og.placeholder(shape, dtype, "X")
        parameters = [og.placeholder(p.tensor.shape, p.tensor.dtype) for p in self.parameters]
        y = self._function(x, *parameters)
        if not isinstance(y, og.Node):
            raise og.ArgumentError(f"its function returned {y!r}, not a node")
        d = og.placeholder(y.shape, y.dtype, "D")
        wrt = [x, *parameters] if og.is_differentiable(dtype) else parameters
        gradients = og.grad(y, wrt, d, unconnected="zeros")
        return (
            self._runtime.compile([x, *parameters], [y]),
            self._runtime.compile([x, *parameters, d], gradients),
        )

    def _run(self, program: og.Program, draw: int, *values: og.Array) -> list[og.Array]:
        self._runtime.reset(step=draw)  # the way back is the same step, and draws the same numbers
        return program(*values)


def mse_loss(Yp: og.Array, Yt: og.Array) -> tuple[Any, og.Array]:
    """Return the mean of the squared differences, and its gradient by `Yp`, divided by the number of rows.

    Where `Yp` has one column, `Yt` may be a vector.

    Raises
    ------
    ShapeError
        Where the shapes differ otherwise.
    """
    Yp, Yt = np.asarray(Yp), np.asarray(Yt)
    if Yp.shape == (*Yt.shape, 1):
        Yt = Yt[:, None]
    if Yp.shape != Yt.shape:
        detail = f"predictions {Yp.shape} and targets {Yt.shape} must have the same shape"
        raise og.ShapeError(detail).located("mse_loss", source=og.user_source())
    diff = Yp - Yt
    return np.square(diff).mean(), 2 * diff / len(diff)


class SGDOptimizer:
    """Stochastic gradient descent: tensor -= lr * gradient, after which the gradient is 0."""

    @og.guarded
    def __init__(self, lr: float = 0.1) -> None:
        self.lr = check_number("lr", lr, "[0, inf)")

    def update(self, param: Parameter) -> None:
        """Change the tensor of `param` in place."""
        param.tensor -= self.lr * param.gradient
        param.gradient.fill(0)


class Learner:
    """Fits a model to examples, by a loss and an optimizer.

    Parameters
    ----------
    model : Layer
    loss : callable
        From predictions and targets to the loss and its gradient by the predictions: `mse_loss`.
    optimizer : ParameterOptimizer
        `SGDOptimizer`, or any other object with its ``update(param)``.
    seed : int, optional
        Of the order in which `fit` takes the examples.

    Raises
    ------
    ArgumentError
        For a model, a loss or an optimizer of graphs.
    """

    @og.guarded
    def __init__(self, model: Layer, loss: Loss, optimizer: ParameterOptimizer, seed: int | None = None) -> None:
        _check_layer("model", model)
        if not callable(getattr(optimizer, "update", None)):
            raise og.ArgumentError(
                f"optimizer must have update(parameter), as opgraph_nn.learner.SGDOptimizer has, not be "
                f"{_kind(optimizer)}; the optimizers of opgraph_nn.optimizers change the variables of graphs"
            )
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self._rng = np.random.default_rng(seed)

    def fit_batch(self, X: og.Array, Y: og.Array) -> Any:
        """Take one step on a batch; return its loss from before."""
        Yp, backward = _forward(self.model, X)
        found: Any = self.loss(Yp, Y)
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise og.ArgumentError(
                "loss must return a value and its gradient by the predictions, as opgraph_nn.learner.mse_loss does, "
                f"not {_kind(found)}; losses of nodes train graphs"
            ).located("Learner", source=og.user_source())
        loss, D = found
        backward(D)
        self.model.update(self.optimizer)
        return loss

    @og.guarded
    def fit(self, X: ArrayLike, Y: ArrayLike, epochs: int, bs: int) -> list[float]:
        """Go through the examples `epochs` times in another order each, in batches of `bs`.

        Returns
        -------
        list of float
            For each epoch the sum of the losses of its batches.

        Raises
        ------
        ArgumentError
            Where `X` and `Y` hold different numbers of examples, or `bs` is 0.
        """
        X, Y = np.asarray(X), np.asarray(Y)
        check_sizes(epochs=epochs, bs=bs)
        if len(X) != len(Y):
            raise og.ArgumentError(f"X holds {len(X)} examples and Y {len(Y)}")
        if not bs:
            raise og.ArgumentError("bs, the size of a batch, is 1 or more")
        losses = []
        for _ in range(epochs):
            order = self._rng.permutation(len(X))
            batches = (order[i : i + bs] for i in range(0, len(X), bs))
            losses.append(float(sum(self.fit_batch(X[batch], Y[batch]) for batch in batches)))
        return losses


def _check_layer(what: str, layer: Any) -> None:
    """Raise `ArgumentError` where `layer` is none of arrays: one of nodes, for example."""
    if not isinstance(layer, Layer):
        raise og.ArgumentError(
            f"{what} must be a Layer of opgraph_nn.learner, not {_kind(layer)}; "
            "GraphLayer makes one of a function of nodes"
        )


def _forward(layer: Layer, X: og.Array) -> tuple[Any, Backward]:
    """Return the output of `layer` and its way back; raise where its `forward` returned anything else."""
    found: Any = layer.forward(X)
    if not isinstance(found, tuple | list) or len(found) != 2 or not callable(found[1]):
        detail = f"its forward must return the output and a function for the way back, not {_kind(found)}"
        raise og.ArgumentError(detail).located(type(layer).__name__, source=og.user_source())
    return found[0], found[1]


def _kind(value: object) -> str:
    """Return what messages call `value`: a node as it is shown, anything else by its class."""
    return repr(value) if isinstance(value, og.Node) else f"{type(value).__qualname__} of {type(value).__module__}"
