"""Optimizers: from a loss to the new values of its variables.

``rt.compile([x], [loss], updates=optimizers.Adam().minimize(loss))`` is a training step as a program;
``optimizers.Adam().optimize(loss, {x: data})`` takes one in the graph's run time. ``updates`` takes gradients
that were clipped, or come from elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

import opgraph as og
from opgraph_nn._checks import check_numbers
from opgraph_nn._gradients import clip_by_global_norm, clip_by_value, global_norm, gradients
from opgraph_nn._optimizer import Optimizer

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamOptimizer",
    "AdamW",
    "GradientDescentOptimizer",
    "Momentum",
    "Nesterov",
    "Optimizer",
    "RMSProp",
    "RMSPropOptimizer",
    "clip_by_global_norm",
    "clip_by_value",
    "global_norm",
    "gradients",
]

Gradients = Mapping[og.Variable, og.Node]
Updates = dict[og.Variable, og.Node]


@og.guarded
@dataclass(frozen=True, eq=False)
class SGD(Optimizer):
    """Stochastic gradient descent: w -= learning_rate * g.

    With `momentum`, v = momentum * v + g and w -= learning_rate * v; with `nesterov` too,
    w -= learning_rate * (g + momentum * v). As in PyTorch, after Sutskever et al., "On the importance of
    initialization and momentum in deep learning", 2013.

    Parameters
    ----------
    learning_rate : float or Node, ()
        Not negative.
    momentum : float
        From 0 to below 1.
    nesterov : bool
        Look ahead along the momentum, which must not be 0.
    """

    learning_rate: float | og.Node
    momentum: float = 0.0
    nesterov: bool = False

    def _check(self) -> None:
        super()._check()
        check_numbers(self, momentum="[0, 1)")
        if self.nesterov and not self.momentum:
            raise og.ArgumentError("nesterov needs a momentum above 0")

    def _updates(self, gradients: Gradients) -> Updates:
        updates: Updates = {}
        for w, g in gradients.items():
            if self.momentum:
                slot = self._moment(w, "sgd_momentum")
                updates[slot] = v = slot * self.momentum + g
                g = g + v * self.momentum if self.nesterov else v
            updates[w] = _descended(w, g * self._rate(g.dtype))
        return updates


@og.guarded
class Momentum(SGD):
    """`SGD` with a momentum, which is 0.9 unless given."""

    def __init__(self, learning_rate: float | og.Node, momentum: float = 0.9, nesterov: bool = False) -> None:
        super().__init__(learning_rate, momentum, nesterov)


@og.guarded
class Nesterov(SGD):
    """`SGD` with Nesterov's momentum, which is 0.9 unless given."""

    def __init__(self, learning_rate: float | og.Node, momentum: float = 0.9) -> None:
        super().__init__(learning_rate, momentum, nesterov=True)


@og.guarded
@dataclass(frozen=True, eq=False)
class RMSProp(Optimizer):
    """RMSProp: steps by the gradient over the root of the mean of its squares.

    s = rho * s + (1 - rho) * g**2; w -= learning_rate * g / (sqrt(s) + epsilon) (Hinton, "Neural networks
    for machine learning", 2012, lecture 6e). With `momentum`, v = momentum * v + what w would lose, and
    w -= v. If `centered`, a = rho * a + (1 - rho) * g too, and s - a**2 stands for s under the root (Graves,
    "Generating sequences with recurrent neural networks", 2013, equations 38 to 45).

    The learning rate goes into the momentum, as in TensorFlow; epsilon stands outside of the root, as in
    PyTorch.

    Parameters
    ----------
    learning_rate : float or Node, ()
        Not negative.
    rho, momentum : float
        From 0 to below 1.
    epsilon : float
        Not negative.
    centered : bool
        Divide by the deviation of the gradients, not by the root of their mean square.
    """

    learning_rate: float | og.Node = 1e-3
    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False

    def _check(self) -> None:
        super()._check()
        check_numbers(self, rho="[0, 1)", momentum="[0, 1)", epsilon="[0, inf)")

    def _updates(self, gradients: Gradients) -> Updates:
        updates: Updates = {}
        for w, g in gradients.items():
            square_slot = self._moment(w, "rmsprop_square")
            updates[square_slot] = s = square_slot * self.rho + og.square(g) * (1 - self.rho)
            if self.centered:
                mean_slot = self._moment(w, "rmsprop_mean")
                updates[mean_slot] = mean = mean_slot * self.rho + g * (1 - self.rho)
                s = og.maximum(s - og.square(mean), 0.0)  # rounding may take it below 0
            change = g / (og.sqrt(s) + self.epsilon) * self._rate(g.dtype)
            if self.momentum:
                slot = self._moment(w, "rmsprop_momentum")
                updates[slot] = change = slot * self.momentum + change
            updates[w] = _descended(w, change)
        return updates


@og.guarded
@dataclass(frozen=True, eq=False)
class Adagrad(Optimizer):
    """Adagrad: steps by the gradient over the root of the sum of all its squares.

    s = s + g**2; w -= learning_rate * g / (sqrt(s) + epsilon) (Duchi et al., "Adaptive subgradient methods
    for online learning and stochastic optimization", 2011, figure 1; epsilon as in PyTorch).

    Parameters
    ----------
    learning_rate : float or Node, ()
        Not negative.
    epsilon : float
        Not negative.
    """

    learning_rate: float | og.Node = 1e-2
    epsilon: float = 1e-10

    def _check(self) -> None:
        super()._check()
        check_numbers(self, epsilon="[0, inf)")

    def _updates(self, gradients: Gradients) -> Updates:
        updates: Updates = {}
        for w, g in gradients.items():
            slot = self._moment(w, "adagrad_square")
            updates[slot] = s = slot + og.square(g)
            updates[w] = _descended(w, g / (og.sqrt(s) + self.epsilon) * self._rate(g.dtype))
        return updates


@og.guarded
@dataclass(frozen=True, eq=False)
class Adam(Optimizer):
    """Adam: steps by the first moment of the gradients over the root of the second.

    m = beta1 * m + (1 - beta1) * g; v = beta2 * v + (1 - beta2) * g**2;
    w -= learning_rate * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + epsilon), where t counts the
    steps from 1 (Kingma & Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1).

    One counter of steps serves all variables that one optimizer changes in one graph.

    Parameters
    ----------
    learning_rate : float or Node, ()
        Not negative.
    beta1, beta2 : float
        From 0 to below 1.
    epsilon : float
        Not negative.
    """

    learning_rate: float | og.Node = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def _check(self) -> None:
        super()._check()
        check_numbers(self, beta1="[0, 1)", beta2="[0, 1)", epsilon="[0, inf)")

    def _updates(self, gradients: Gradients) -> Updates:
        step = self._slot(og.get_default_graph(), "adam_step", og.Shape(), np.dtype(np.int64))
        t = step + 1
        # in float64: after a million steps, float32 could not tell beta2**t from its neighbours
        rate = self._rate(np.dtype(np.float64)) / _one_minus_power(self.beta1, t)
        root = og.sqrt(_one_minus_power(self.beta2, t))
        updates: Updates = {step: t}
        for w, g in gradients.items():
            m_slot, v_slot = self._moment(w, "adam_m"), self._moment(w, "adam_v")
            updates[m_slot] = m = m_slot * self.beta1 + g * (1 - self.beta1)
            updates[v_slot] = v = v_slot * self.beta2 + og.square(g) * (1 - self.beta2)
            updates[w] = _descended(w, self._change(w, m, v, rate, root))
        return updates

    def _change(self, w: og.Variable, m: og.Node, v: og.Node, rate: og.Node, root: og.Node) -> og.Node:
        """Return what `w` loses: by its moments, learning_rate / (1 - beta1**t) and sqrt(1 - beta2**t)."""
        return m / (og.sqrt(v) / og.cast(root, v.dtype) + self.epsilon) * og.cast(rate, m.dtype)


@og.guarded
@dataclass(frozen=True, eq=False)
class AdamW(Adam):
    """`Adam` with decoupled weight decay: w loses learning_rate * weight_decay * w besides.

    (Loshchilov & Hutter, "Decoupled weight decay regularization", 2019, algorithm 2; scaled by the learning
    rate as in PyTorch.)

    Parameters
    ----------
    learning_rate : float or Node, ()
        Not negative.
    beta1, beta2 : float
        From 0 to below 1.
    epsilon, weight_decay : float
        Not negative.
    """

    weight_decay: float = 1e-2

    def _check(self) -> None:
        super()._check()
        check_numbers(self, weight_decay="[0, inf)")

    def _change(self, w: og.Variable, m: og.Node, v: og.Node, rate: og.Node, root: og.Node) -> og.Node:
        decay = og.cast(w, m.dtype) * self.weight_decay * self._rate(m.dtype)
        return super()._change(w, m, v, rate, root) + decay


@og.guarded
class GradientDescentOptimizer(SGD):
    """`SGD` by the name and signature of the Graph/RunTime framework."""

    _rate_name = "alpha"

    def __init__(self, alpha: float | og.Node) -> None:
        super().__init__(alpha)


@og.guarded
class RMSPropOptimizer(RMSProp):
    """`RMSProp` by the name and signature of the Graph/RunTime framework."""

    _rate_name = "alpha"

    def __init__(
        self, alpha: float | og.Node = 1e-3, rho: float = 0.9, momentum: float = 0.0, epsilon: float = 1e-7
    ) -> None:
        super().__init__(alpha, rho, momentum, epsilon)


@og.guarded
class AdamOptimizer(Adam):
    """`Adam` by the name, signature and formula of the Graph/RunTime framework.

    w -= alpha * sqrt(1 - beta2**t) / (1 - beta1**t) * m / (sqrt(v) + epsilon), where epsilon is not divided by
    the correction of v (Kingma & Ba 2015, end of section 2), as in TensorFlow.
    """

    _rate_name = "alpha"

    def __init__(
        self, alpha: float | og.Node = 1e-3, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
    ) -> None:
        super().__init__(alpha, beta1, beta2, epsilon)

    def _change(self, w: og.Variable, m: og.Node, v: og.Node, rate: og.Node, root: og.Node) -> og.Node:
        return m / (og.sqrt(v) + self.epsilon) * og.cast(rate * root, m.dtype)


def _descended(w: og.Variable, change: og.Node) -> og.Node:
    """Return the variable less `change`, subtracted in the latter's dtype."""
    return og.cast(og.cast(w, change.dtype) - change, w.dtype)


def _one_minus_power(beta: float, t: og.Node) -> og.Node:
    """Return 1 - beta**t in float64."""
    log = math.log(beta) if beta else -math.inf
    return 1.0 - og.exp(og.cast(t, np.float64) * log)
