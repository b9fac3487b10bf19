"""Layers of a model: modules that hold variables and build nodes, nested at will.

model = Sequential(Linear(2, 8), Tanh(), Linear(8, 1))
loss = mse_loss(model(x), target)
step = rt.compile([x, target], [loss], Adam().minimize(loss, model.parameters()))
"""

from __future__ import annotations

import functools
import itertools
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

import opgraph as og
from opgraph_nn._checks import check_sizes
from opgraph_nn.initializers import GlorotUniformInitializer, ZerosInitializer
from opgraph_nn.ops.activation import relu, sigmoid

Layer = Callable[[og.Node], og.Node]


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
        dtype = og.Spec((inputs, outputs), og.get_default_dtype() if dtype is None else dtype).dtype
        if dtype.kind not in "fc":
            raise og.DtypeError(f"weights are floating-point or complex numbers, not {dtype}")
        with og.name_scope(self.name):
            self.weights = _drawn("weights", (inputs, outputs), initializer or GlorotUniformInitializer(), dtype)
            self.bias = _drawn("bias", (outputs,), ZerosInitializer(), dtype) if bias else None

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


class Sequential(Module):
    """Call layers one after the other: modules, or any functions of a node, such as ``og.relu``."""

    @og.guarded
    def __init__(self, *layers: Layer) -> None:
        for layer in layers:
            if not callable(layer):
                raise og.ArgumentError(f"layers are functions of a node, which {layer!r} is not")
        self.layers = layers

    def forward(self, x: og.Node) -> og.Node:
        """Return what the last layer makes of what the others made."""
        for layer in self.layers:
            x = layer(x)
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


def _drawn(name: str, shape: tuple[int, ...], initializer: og.Initializer, dtype: Any) -> og.Variable:
    """Return a variable that has its initial value already."""
    zeros = np.broadcast_to(np.zeros((), dtype), shape)  # which take no memory
    variable = og.Variable(zeros, name=name, initializer=initializer)
    variable.initialize()
    return variable


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
