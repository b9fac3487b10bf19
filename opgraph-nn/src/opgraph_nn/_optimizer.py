"""What optimizers share: from a loss to a training step, as a graph or run at once."""

from __future__ import annotations

import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike

import opgraph as og
from opgraph_nn._checks import check_number
from opgraph_nn._gradients import chosen_variables, find_gradients

STEPS_KEPT = 16  # compiled steps of one optimizer in one graph

_making = threading.RLock()  # two threads that ask for one slot, or one step, get one

Feeds = Mapping[Any, Any]

# what to fetch, new values by variable, and which of the chosen variables have gradients
_Differentiated = tuple[list[og.Node], dict[og.Variable, og.Node], tuple[int, ...]]


class Optimizer(ABC):
    """What optimizers share: `minimize`, running its steps, and the slots that hold a state beside a variable.

    An optimizer does not change. Where the learning rate is to, it is a scalar node: a placeholder, a
    variable that is not trainable, or a schedule computed from a count of steps.
    """

    learning_rate: float | og.Node
    _rate_name: ClassVar[str] = "learning_rate"

    def __post_init__(self) -> None:
        with og.placing(type(self).__name__, og.user_source()):
            self._check()

    def _check(self) -> None:
        """Raise `ArgumentError` for a hyperparameter out of range; numbers become floats."""
        rate, name = self.learning_rate, self._rate_name
        if not isinstance(rate, og.Node):
            object.__setattr__(self, "learning_rate", check_number(name, rate, "[0, inf)"))
        elif rate.ndim or rate.dtype.kind != "f":
            raise og.ArgumentError(f"{name} must be a number or a scalar floating-point node, not {rate!r}")

    @og.guarded
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
        DtypeError
            For a variable of complex numbers.
        """
        return self._new_values(find_gradients(loss, variables))

    @og.guarded
    def updates(self, gradients: Mapping[og.Variable, og.NodeLike]) -> dict[og.Variable, og.Node]:
        """Return the new values that a step takes, from given gradients; `minimize` is this of its own.

        ``optimizer.updates(clip_by_global_norm(gradients(loss), 1.0))`` steps down clipped gradients.

        Parameters
        ----------
        gradients : mapping from Variable to array_like or Node
            Each of its variable's shape.

        Raises
        ------
        ArgumentError, ShapeError, DtypeError, GraphError
            For a key that is no variable, and for a gradient that does not fit it.
        """
        return self._new_values(gradients)

    @og.guarded
    def optimize(
        self, objective: og.Node, feed_dict: Feeds | None = None, var_list: Iterable[og.Variable] | None = None
    ) -> og.Array:
        """Take one step of `minimize` in the graph's run time; return the value of `objective` before it.

        The step is compiled once for one objective, choice of variables and set of placeholders; an objective that
        is built again, of the same variables, is not differentiated again.

        Parameters
        ----------
        objective : Node, (…)
        feed_dict : mapping from Placeholder to array_like, optional
            It may hold placeholders that the objective does not need.
        var_list : iterable of Variable, optional

        Raises
        ------
        FeedError
            For a feed that is missing, is no placeholder's, or does not fit.
        GradientError, ArgumentError, DtypeError
            As `minimize` does.
        """
        return self._objective_step("optimize", objective, var_list).program.feed(feed_dict)[0]

    @og.guarded
    def compute_gradients(
        self, objective: og.Node, feed_dict: Feeds | None = None, var_list: Iterable[og.Variable] | None = None
    ) -> list[tuple[og.Array, og.Variable]]:
        """Return the values of the gradients of `objective`, each with its variable.

        Parameters and errors are those of `optimize`. `apply_gradients` takes what this returns.
        """
        step = self._objective_step("compute_gradients", objective, var_list)
        return list(zip(step.program.feed(feed_dict)[1:], step.variables, strict=True))

    @og.guarded
    def apply_gradients(self, grads_and_vars: Iterable[tuple[ArrayLike, og.Variable]]) -> None:
        """Take one step down given gradients, in the run time of the variables' graph.

        Parameters
        ----------
        grads_and_vars : iterable of (array_like, Variable)
            As `compute_gradients` returns them.

        Raises
        ------
        ArgumentError
            For what is no pair of a value and a variable, and for a variable that stands there twice.
        ShapeError, DtypeError
            Where a gradient does not fit its variable.
        """
        pairs = _checked_pairs(grads_and_vars)
        variables = [variable for _, variable in pairs]

        def make() -> _Step:
            fed = _gradient_placeholders(variables)
            runtime = variables[0].graph.get_runtime()
            return _Step(runtime.compile(list(fed.values()), [], self._new_values(fed)), variables)

        step = self._remembered(variables[0], ("apply_gradients", *map(weakref.ref, variables)), make)
        step.program.feed({p: gradient for p, (gradient, _) in zip(step.program.inputs, pairs, strict=True)})

    @abstractmethod
    def _updates(self, gradients: Mapping[og.Variable, og.Node]) -> dict[og.Variable, og.Node]:
        """Return the new values of the variables that have `gradients`, and of their slots.

        The gradients are float32 at least.
        """

    def _new_values(self, gradients: Mapping[og.Variable, og.NodeLike]) -> dict[og.Variable, og.Node]:
        """Return what `updates` does; an error leaves it unplaced."""
        if not isinstance(gradients, Mapping):
            raise og.ArgumentError(f"gradients are a mapping from variables, not {gradients!r}")
        if not gradients:
            return {}
        for variable in gradients:
            if not isinstance(variable, og.Variable):
                raise og.ArgumentError(f"gradients are keyed by variables, not by {variable!r}")
            if variable.dtype.kind != "f":
                raise og.DtypeError(f"{variable!r} is no floating-point variable, which is what optimizers change")
        graph = next(iter(gradients)).graph
        if isinstance(self.learning_rate, og.Node) and self.learning_rate.graph is not graph:
            raise og.GraphError(
                f"{self._rate_name} {self.learning_rate!r} is a node of another graph than the variables"
            )
        # a slot is named after its variable alone, not after the present name scope
        with graph.as_default_graph():
            return self._updates({w: _checked_gradient(w, g) for w, g in gradients.items()})

    def _rate(self, dtype: np.dtype[Any]) -> float | og.Node:
        """Return the learning rate as a factor of what has `dtype`."""
        rate = self.learning_rate
        return og.cast(rate, dtype) if isinstance(rate, og.Node) else rate

    def _moment(self, variable: og.Variable, name: str) -> og.Variable:
        """Return the slot for a moment of the gradients of `variable`."""
        dtype = og.wide_dtype(variable.dtype)
        return self._slot(variable, f"{variable.name}/{name}", variable.shape, dtype)

    def _slot(self, owner: og.Variable | og.Graph, name: str, shape: og.Shape, dtype: np.dtype[Any]) -> og.Variable:
        """Return what is kept for `owner` as `name`: zeros to begin with."""
        with _making:
            slots = owner.slots.setdefault(self, {})
            if name not in slots:
                slots[name] = og.Variable(
                    _zeros(shape), name=name, trainable=False, dtype=dtype, slot=True, initializer=_zeros
                )
            return slots[name]

    def _objective_step(self, what: str, objective: og.Node, var_list: Iterable[og.Variable] | None) -> _Step:
        """Return the step that computes `objective` and its gradients, or takes them where `what` is to optimize."""
        chosen = chosen_variables(objective, var_list)
        runtime = objective.graph.get_runtime()
        stopped = [node for node in runtime.stopped if node.graph is objective.graph]

        def make() -> _Step:
            rate = [self.learning_rate] if isinstance(self.learning_rate, og.Node) else []
            nodes = [objective, *chosen, *stopped, *rate]
            taking = weakref.ref(self) if what == "optimize" else None
            counts = len(chosen), len(stopped), var_list is None

            def differentiate(given: Sequence[og.Node]) -> _Differentiated:
                with og.placing(what, og.user_source()):
                    return _differentiated(taking, *counts, given)

            program, found = runtime.compile_derived((Optimizer, taking, *counts), nodes, differentiate)
            return _Step(program, [chosen[at] for at in found])

        return self._remembered(objective, (what, len(chosen), *map(weakref.ref, [*chosen, *stopped])), make)

    def _remembered(self, owner: og.Node, what: Hashable, make: Callable[[], _Step]) -> _Step:
        """Return the step that was made for `owner` and `what` before, or make it."""
        graph = owner.graph
        # kept by the graph, which the step keeps alive: kept here, neither would ever be freed
        known = graph.executables.setdefault(self, {})
        rest = (weakref.ref(graph.get_runtime()), graph.update_count, what)

        def forget(_: object) -> None:
            known.pop(key, None)

        key = (weakref.ref(owner, forget), *rest)
        with _making:
            step = known.pop(key, None)
            known[key] = step = step or make()  # at the end: used last
            for old in list(known)[:-STEPS_KEPT]:
                known.pop(old, None)
        return cast(_Step, step)


def _differentiated(
    taking: weakref.ref[Optimizer] | None, chosen: int, stopped: int, by_default: bool, nodes: Sequence[og.Node]
) -> _Differentiated:
    """Return an objective with its gradients, or with the step that an optimizer takes; and which variables have any.

    `nodes` are the objective, as many chosen variables, as many nodes through which nothing flows, and more. All is
    found in them and held weakly, since what is compiled lives as long as the graph, and serves others like it.
    """
    objective, variables = nodes[0], cast(list[og.Variable], nodes[1 : chosen + 1])
    found = find_gradients(objective, None if by_default else variables, nodes[chosen + 1 : chosen + 1 + stopped])
    positions = tuple([at for at, variable in enumerate(variables) if variable in found])
    if taking is None:
        return [objective, *found.values()], {}, positions
    optimizer = taking()
    if optimizer is None:
        raise og.GraphError("the optimizer is gone")
    return [objective], optimizer._new_values(found), positions


class _Step(NamedTuple):
    """A step of training, compiled, and the variables whose gradients it computes or takes."""

    program: og.Program
    variables: Sequence[og.Variable]


def _checked_pairs(grads_and_vars: Iterable[tuple[ArrayLike, og.Variable]]) -> list[tuple[ArrayLike, og.Variable]]:
    if not isinstance(grads_and_vars, Iterable):
        raise og.ArgumentError(f"takes pairs (gradient, variable), not {grads_and_vars!r}")
    pairs = list(grads_and_vars)
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not isinstance(pair[1], og.Variable):
            raise og.ArgumentError(f"takes pairs (gradient, variable), not {pair!r}")
    if not pairs:
        raise og.ArgumentError("takes pairs (gradient, variable), and was given none")
    variables = [variable for _, variable in pairs]
    for variable in variables:
        if variables.count(variable) > 1:
            raise og.ArgumentError(f"{variable!r} has two gradients; add them")
    return pairs


def _gradient_placeholders(variables: Sequence[og.Variable]) -> dict[og.Variable, og.Placeholder]:
    with variables[0].graph.as_default_graph():
        return {w: og.placeholder(w.shape, og.wide_dtype(w.dtype), f"{w.name}/gradient") for w in variables}


def _checked_gradient(variable: og.Variable, gradient: og.NodeLike) -> og.Node:
    """Return `gradient`, float32 at least, as a node that fits `variable`."""
    g = og.as_node(gradient)
    if g.graph is not variable.graph:
        raise og.GraphError(f"the gradient {g!r} is a node of another graph than {variable!r}")
    if not g.shape.compatible_with(variable.shape):
        raise og.ShapeError(f"a gradient of shape {g.shape} does not fit {variable!r}")
    return og.cast(g, og.wide_dtype(variable.dtype))


def _zeros(shape: Any, rng: np.random.Generator | None = None) -> og.Array:
    return np.zeros(shape, np.int8)  # which goes into every dtype
