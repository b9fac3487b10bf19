"""Optimizers: from a loss to the new values of its variables, as graphs.

``rt.compile([x], [loss], updates=optimizers.Adam().minimize(loss))`` is a training step.
"""

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

import opgraph as og
from opgraph_nn._checks import check_number
from opgraph_nn._dtypes import at_least_float32

_making_slots = threading.Lock()  # two threads that ask for one slot get one


class Optimizer(ABC):
    """What optimizers share: `minimize`, and the slots in which they keep a state beside a variable."""

    def minimize(self, loss: og.Node, variables: Iterable[og.Variable] | None = None) -> dict[og.Variable, og.Node]:
        """Return the new values that a step takes, for the `updates` of ``rt.compile``.

        Parameters
        ----------
        loss : Node, (…)
            What is to fall; the sum of its elements, where it has several.
        variables : iterable of Variable, optional
            What to change; by default the trainable variables on which `loss` depends.

        Returns
        -------
        dict
            New value by variable: `variables` and the optimizer's slots, which it makes once and finds
            again when it is asked again. Slots begin as zeros, and are zeros again after
            ``graph.initialize_variables()``.

        Raises
        ------
        GradientError
            Where `loss` does not depend on one of `variables`, or on no trainable variable at all.
        ArgumentError
            Where one of `variables` is no variable.
        """
        with og.placing("minimize", og.user_source()):
            gradients = _gradients(loss, variables)
            # a slot is named after its variable alone, not after the present name scope
            with loss.graph.as_default_graph():
                return self._updates(gradients)

    @abstractmethod
    def _updates(self, gradients: Mapping[og.Variable, og.Node]) -> dict[og.Variable, og.Node]:
        """Return the new values of the variables that have `gradients`, and of their slots."""

    def _moment(self, variable: og.Variable, name: str) -> og.Variable:
        """Return the slot for a moment of the gradients of `variable`."""
        dtype = at_least_float32(variable.dtype)
        return self._slot(variable, f"{variable.name}/{name}", variable.shape, dtype)

    def _slot(self, owner: og.Variable | og.Graph, name: str, shape: og.Shape, dtype: np.dtype[Any]) -> og.Variable:
        """Return what is kept for `owner` as `name`: zeros to begin with."""
        with _making_slots:
            slots = owner.slots.setdefault(self, {})
            if name not in slots:
                slots[name] = og.Variable(
                    _zeros(shape), name=name, trainable=False, dtype=dtype, slot=True, initializer=_zeros
                )
            return slots[name]


class SGD(Optimizer):
    """Stochastic gradient descent: w -= learning_rate * g.

    With `momentum`, v = momentum * v + g and w -= learning_rate * v; with `nesterov` too,
    w -= learning_rate * (g + momentum * v). As in PyTorch, after Sutskever et al., "On the importance of
    initialization and momentum in deep learning", 2013.

    Parameters
    ----------
    learning_rate : float
        Not negative.
    momentum : float
        From 0 to below 1.
    nesterov : bool
        Look ahead along the momentum, which must not be 0.
    """

    def __init__(self, learning_rate: float, momentum: float = 0.0, nesterov: bool = False) -> None:
        with og.placing("SGD", og.user_source()):
            self.learning_rate = check_number("learning_rate", learning_rate, "[0, inf)")
            self.momentum = check_number("momentum", momentum, "[0, 1)")
            self.nesterov = bool(nesterov)
            if self.nesterov and not self.momentum:
                raise og.ArgumentError("nesterov needs a momentum above 0")

    def _updates(self, gradients: Mapping[og.Variable, og.Node]) -> dict[og.Variable, og.Node]:
        updates = {}
        for w, g in gradients.items():
            if self.momentum:
                slot = self._moment(w, "sgd_momentum")
                updates[slot] = v = slot * self.momentum + g
                g = g + v * self.momentum if self.nesterov else v
            updates[w] = _descended(w, g * self.learning_rate)
        return updates


class Adam(Optimizer):
    """Adam: steps by the first moment of the gradients over the root of the second.

    m = beta1 * m + (1 - beta1) * g; v = beta2 * v + (1 - beta2) * g**2;
    w -= learning_rate * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + epsilon), where t counts the
    steps from 1 (Kingma & Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1).

    One counter of steps serves all variables that one optimizer changes in one graph.

    Parameters
    ----------
    learning_rate : float
        Not negative.
    beta1, beta2 : float
        From 0 to below 1.
    epsilon : float
        Not negative.
    """

    def __init__(
        self, learning_rate: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
    ) -> None:
        with og.placing("Adam", og.user_source()):
            self.learning_rate = check_number("learning_rate", learning_rate, "[0, inf)")
            self.beta1 = check_number("beta1", beta1, "[0, 1)")
            self.beta2 = check_number("beta2", beta2, "[0, 1)")
            self.epsilon = check_number("epsilon", epsilon, "[0, inf)")

    def _updates(self, gradients: Mapping[og.Variable, og.Node]) -> dict[og.Variable, og.Node]:
        step = self._slot(og.get_default_graph(), "adam_step", og.Shape(), np.dtype(np.int64))
        t = step + 1
        # in float64: after a million steps, float32 could not tell beta2**t from its neighbours
        rate = self.learning_rate / _one_minus_power(self.beta1, t)
        root = og.sqrt(_one_minus_power(self.beta2, t))
        updates: dict[og.Variable, og.Node] = {step: t}
        for w, g in gradients.items():
            m_slot, v_slot = self._moment(w, "adam_m"), self._moment(w, "adam_v")
            dtype = m_slot.dtype
            g = og.cast(g, dtype)
            updates[m_slot] = m = m_slot * self.beta1 + g * (1 - self.beta1)
            updates[v_slot] = v = v_slot * self.beta2 + g * g * (1 - self.beta2)
            scaled = m / (og.sqrt(v) / og.cast(root, dtype) + self.epsilon)
            updates[w] = _descended(w, scaled * og.cast(rate, dtype))
        return updates


def _gradients(loss: og.Node, variables: Iterable[og.Variable] | None) -> dict[og.Variable, og.Node]:
    """Return the gradients of the sum of `loss` with respect to `variables`, or those that count by default."""
    if not isinstance(loss, og.Node):
        raise og.GradientError(f"loss must be a node, not {loss!r}")
    if variables is None:
        trainable = [v for v in loss.graph.get_variables() if og.is_differentiable(v.dtype)]
        found = zip(trainable, og.grad(loss, trainable, unconnected="none"), strict=True)
        gradients = {variable: g for variable, g in found if g is not None}
        if not gradients:
            raise og.GradientError(f"{loss!r} depends on no trainable variable")
        return gradients
    if isinstance(variables, og.Node):
        raise og.ArgumentError(f"variables is a list of variables; write [{variables.name}] for {variables!r}")
    chosen = list(variables)
    for variable in chosen:
        if not isinstance(variable, og.Variable):
            raise og.ArgumentError(f"variables holds {variable!r}, which is no variable")
    chosen = list(dict.fromkeys(chosen))
    gradients = dict(zip(chosen, og.grad(loss, chosen, unconnected="none"), strict=True))
    for variable, g in gradients.items():
        if g is None:
            raise og.GradientError(f"{loss!r} does not depend on {variable!r}; leave it out of variables")
    return gradients


def _zeros(shape: Any, rng: np.random.Generator | None = None) -> og.Array:
    return np.zeros(shape, np.int8)  # which goes into every dtype


def _descended(w: og.Variable, change: og.Node) -> og.Node:
    """Return the variable less `change`, subtracted in the latter's dtype."""
    return og.cast(og.cast(w, change.dtype) - change, w.dtype)


def _one_minus_power(beta: float, t: og.Node) -> og.Node:
    """Return 1 - beta**t in float64."""
    log = math.log(beta) if beta else -math.inf
    return 1.0 - og.exp(og.cast(t, np.float64) * log)
