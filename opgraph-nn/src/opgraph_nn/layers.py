"""Layers of a model: modules that hold variables and build nodes, nested at will.

model = Sequential(Linear(2, 8), Tanh(), Linear(8, 1))
loss = mse_loss(model(x), target)
step = rt.compile([x, target], [loss], Adam().minimize(loss, model.parameters()))

Layers that differ between training and use, `Dropout` and `BatchNorm`, are told when the graph is built, by
``is_training``: one model is called twice, for the loss and for what it is used for.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np

import opgraph as og
from opgraph_nn._checks import check_number, check_sizes
from opgraph_nn.initializers import GlorotUniformInitializer, OnesInitializer, ZerosInitializer
from opgraph_nn.ops.activation import relu, sigmoid
from opgraph_nn.ops.batch_norm import fused_batch_norm
from opgraph_nn.ops.dropout import dropout

Layer = Callable[..., og.Node]


class Module(ABC):
    """A part of a model: called with nodes, it builds what `forward` says under a name scope of its own.

    A subclass defines `forward`, and keeps variables and further modules in its attributes, or in lists,
    tuples and mappings there; `parameters` finds them. A module may be called several times: the calls share
    its variables. It belongs to the graph in which they were made.
    """

    @abstractmethod
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the module's result on nodes."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with og.name_scope(self.name):
            return self.forward(*args, **kwargs)

    @functools.cached_property
    def name(self) -> str:
        """The module's name scope, which may be set: its class in snake case, ``_1``… where that is taken at first."""
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", type(self).__name__).lower()
        return og.get_default_graph().unique_name(words).rpartition("/")[2]

    @og.guarded
    def make_variable(
        self,
        name: str,
        shape: Sequence[SupportsIndex],
        initializer: og.Initializer,
        dtype: Any = None,
        trainable: bool = True,
    ) -> og.Variable:
        """Return a variable in the module's name scope that has its initial value, to be kept in an attribute.

        Raises
        ------
        DtypeError
            For a `dtype` that is none of floating-point or complex numbers; by default it is the default float.
        """
        with og.placing(type(self).__name__, og.user_source()), og.name_scope(self.name):
            spec = og.Spec(shape, og.get_default_dtype() if dtype is None else dtype)
            if spec.dtype.kind not in "fc":
                raise og.DtypeError(f"{name} must be of floating-point or complex numbers, not {spec.dtype}")
            zeros = np.broadcast_to(np.zeros((), spec.dtype), og.known_shape(spec.shape))  # which take no memory
            variable = og.Variable(zeros, name, trainable, initializer=initializer)
            variable.initialize()
        return variable

    def parameters(self, only_trainable: bool = True) -> list[og.Variable]:
        """Return the variables of this module and of those in it, each once."""
        return list(self.named_parameters(only_trainable).values())

    def named_parameters(self, only_trainable: bool = True) -> dict[str, og.Variable]:
        """Return the variables by their way from here: ``"layers.0.weights"``; one with two ways by the first."""
        names: dict[og.Variable, str] = {}
        for name, variable in _variables(self, "", set()):
            if variable.trainable or not only_trainable:
                names.setdefault(variable, name)
        return {name: variable for variable, name in names.items()}


class Linear(Module):
    """Multiply by a matrix and add a bias: (N, inputs) -> (N, outputs).

    Parameters
    ----------
    inputs, outputs : int
    bias : bool
        Whether there is one; it begins as zeros.
    initializer : callable, optional
        Of the weights; `GlorotUniformInitializer` by default.
    dtype : numpy.dtype, optional
        The default float where not given.

    Attributes
    ----------
    weights : Variable
        A row for each input, a column for each output.
    bias : Variable or None
        One value for each output.

    Notes
    -----
    The variables have values at once; ``graph.initialize_variables(seed=…)`` draws them again.
    """

    @og.guarded
    def __init__(
        self,
        inputs: int,
        outputs: int,
        bias: bool = True,
        initializer: og.Initializer | None = None,
        dtype: Any = None,
    ) -> None:
        check_sizes(inputs=inputs, outputs=outputs)
        draw = initializer or GlorotUniformInitializer()
        self.weights = self.make_variable("weights", (inputs, outputs), draw, dtype)
        self.bias = self.make_variable("bias", (outputs,), ZerosInitializer(), dtype) if bias else None

    def forward(self, x: og.NodeLike) -> og.Node:
        """Return x @ weights + bias."""
        product = og.matmul(x, self.weights)
        return product if self.bias is None else product + self.bias


class ReLU(Module):
    """Take the positive part: `relu`."""

    def forward(self, x: og.NodeLike) -> og.Node:
        """Return max(x, 0)."""
        return relu(x)


ReLu = ReLU  # as the 100-line framework spells it


class Sigmoid(Module):
    """Squeeze between 0 and 1: `sigmoid`."""

    def forward(self, x: og.NodeLike) -> og.Node:
        """Return 1 / (1 + exp(-x))."""
        return sigmoid(x)


class Tanh(Module):
    """Squeeze between -1 and 1: `tanh`."""

    def forward(self, x: og.NodeLike) -> og.Node:
        """Return tanh(x)."""
        return og.tanh(x)


class Flatten(Module):
    """Make one axis of all but the first: (N, …) -> (N, the product of their sizes)."""

    def forward(self, x: og.NodeLike) -> og.Node:
        """Return `x` as rows.

        Raises
        ------
        ShapeError
            Where `x` is a scalar, or sizes are unknown besides that of the first axis.
        """
        node = og.as_node(x)
        columns = node.shape[1:].size
        if not node.ndim or columns is None:
            detail = f"takes (N, …), all sizes but N known, not {node!r}"
            raise og.ShapeError(detail).located("Flatten", source=og.user_source())
        rows = node.shape[0]
        return og.reshape(node, (-1 if rows is None else rows, columns))


class Dropout(Module):
    """Zero elements with probability `rate` in training, and scale the others: `dropout`.

    Parameters
    ----------
    rate : float
        From 0 to 1.
    """

    @og.guarded
    def __init__(self, rate: float = 0.5) -> None:
        self.rate = check_number("rate", rate, "[0, 1]")

    def forward(self, x: og.NodeLike, is_training: bool = True) -> og.Node:
        """Return `x` with elements dropped; if not `is_training`, `x` itself."""
        return dropout(x, self.rate, is_training)


class BatchNorm(Module):
    """Normalize each channel, then scale and shift it: (…, C) -> (…, C), by `fused_batch_norm`.

    Parameters
    ----------
    channels : int
        The size of the last axis.
    decay : float
        From 0 to 1: how much of the moving statistics stays in a step.
    epsilon : float
        Added to the variance.
    dtype : numpy.dtype, optional
        The default float where not given.

    Attributes
    ----------
    scale, offset : Variable
        One value for each channel; 1 and 0 to begin with.
    mean, variance : Variable
        The moving statistics, not trainable; 0 and 1 to begin with.
    """

    @og.guarded
    def __init__(self, channels: int, decay: float = 0.99, epsilon: float = 0.001, dtype: Any = None) -> None:
        check_sizes(channels=channels)
        self.decay = check_number("decay", decay, "[0, 1]")
        self.epsilon = check_number("epsilon", epsilon, "[0, inf)")
        ones, zeros = OnesInitializer(), ZerosInitializer()
        self.scale = self.make_variable("scale", (channels,), ones, dtype)
        self.offset = self.make_variable("offset", (channels,), zeros, dtype)
        self.mean = self.make_variable("mean", (channels,), zeros, dtype, trainable=False)
        self.variance = self.make_variable("variance", (channels,), ones, dtype, trainable=False)

    def forward(self, x: og.NodeLike, is_training: bool = True) -> og.Node:
        """Return `x` normalized by the batch's statistics, which move the moving ones; else by these."""
        return fused_batch_norm(
            x, self.scale, self.offset, self.mean, self.variance, self.epsilon, self.decay, is_training
        )


class Sequential(Module):
    """Call layers one after the other: modules, or any functions of a node, such as ``og.relu``.

    Layers that take ``is_training`` are given it.
    """

    @og.guarded
    def __init__(self, *layers: Layer) -> None:
        for layer in layers:
            if isinstance(layer, type):
                what = layer.__name__
                raise og.ArgumentError(
                    f"layers are functions of a node, which the class {what} is not; write {what}(…)"
                )
            if not callable(layer):
                hint = "; unpack the list: Sequential(*layers)" if isinstance(layer, list | tuple) else ""
                raise og.ArgumentError(f"layers are functions of a node, which {layer!r} is not{hint}")
        self.layers = layers

    def forward(self, x: og.Node, is_training: bool = True) -> og.Node:
        """Return what the last layer makes of what the others made."""
        for layer in self.layers:
            x = layer(x, is_training=is_training) if _asks_for_training(layer) else layer(x)
        return x


class MLP(Sequential):
    """A multilayer perceptron: linear layers with an activation between each two.

    Parameters
    ----------
    sizes : sequence of int
        Of the input, of every hidden layer, and of the output.
    activation : callable
        A function of a node.
    initializer : callable, optional
        As of `Linear`.
    """

    def __init__(
        self, sizes: Sequence[int], activation: Layer = relu, initializer: og.Initializer | None = None
    ) -> None:
        with og.placing(type(self).__name__, og.user_source()):
            if not isinstance(sizes, Sequence) or len(sizes) < 2:
                raise og.ArgumentError(f"sizes are those of the input and of every layer, two or more, not {sizes!r}")
        layers: list[Layer] = []
        with og.name_scope(self.name):
            for inputs, outputs in itertools.pairwise(sizes):
                layers += [activation, Linear(inputs, outputs, initializer=initializer)]
        super().__init__(*layers[1:])


NN = MLP  # as the graph-to-graph framework calls it


def _asks_for_training(layer: Layer) -> bool:
    """Whether a layer has a parameter ``is_training``."""
    function = layer.forward if isinstance(layer, Module) else layer
    try:
        return "is_training" in inspect.signature(function).parameters
    except ValueError:  # of a function in C
        return False


def _variables(value: Any, path: str, seen: set[int]) -> Iterator[tuple[str, og.Variable]]:
    """Yield the variables in a module's attributes, and in collections there, with their ways."""
    if isinstance(value, og.Variable):
        yield path, value
        return
    if isinstance(value, Module):
        items: Any = vars(value).items()
    elif isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    else:
        return
    if id(value) not in seen:  # modules may refer to each other
        seen.add(id(value))
        for key, each in items:
            yield from _variables(each, f"{path}.{key}" if path else str(key), seen)
