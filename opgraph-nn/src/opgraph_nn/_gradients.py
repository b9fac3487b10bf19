"""Gradients of a loss by variable, and what is done to them before an optimizer takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import opgraph as og
from opgraph_nn._checks import check_number

_Key = TypeVar("_Key")


@og.guarded
def gradients(loss: og.Node, variables: Iterable[og.Variable] | None = None) -> dict[og.Variable, og.Node]:
    """Return the gradient of the sum of `loss` by variable, for ``Optimizer.updates``.

    Parameters
    ----------
    loss : Node, (…)
    variables : iterable of Variable, optional
        By default the trainable variables on which `loss` depends.

    Raises
    ------
    GradientError
        Where `loss` does not depend on one of `variables`, or on no trainable variable at all.
    ArgumentError
        Where one of `variables` is no variable.
    """
    return find_gradients(loss, variables)


@og.guarded
def clip_by_value(gradients: Mapping[_Key, og.Node], low: float, high: float) -> dict[_Key, og.Node]:
    """Return `gradients` with each element moved into the interval from `low` to `high`; NaN stays.

    Raises
    ------
    ArgumentError
        Where `low` or `high` is no number, or `low` is above `high`.
    """
    low = check_number("low", low, "[-inf, inf]")
    high = check_number("high", high, f"[{low}, inf]")
    return {key: og.clip(g, low, high) for key, g in gradients.items()}


@og.guarded
def clip_by_global_norm(gradients: Mapping[_Key, og.Node], max_norm: float) -> dict[_Key, og.Node]:
    """Return `gradients` scaled down together where their `global_norm` exceeds `max_norm`.

    g * max_norm / norm (Pascanu et al., "On the difficulty of training recurrent neural networks", 2013,
    algorithm 1). Where a gradient is NaN, all become NaN.

    Raises
    ------
    ArgumentError
        Where `max_norm` is no positive number.
    """
    limit = check_number("max_norm", max_norm, "(0, inf)")
    if not gradients:
        return {}
    norm = _norm(gradients.values())
    factor = og.where(norm <= limit, 1.0, limit / norm)
    return {key: _scaled(g, factor) for key, g in gradients.items()}


def global_norm(gradients: Mapping[_Key, og.Node]) -> og.Node:
    """Return the root of the sum of the squares of all elements of `gradients`: a scalar."""
    if not gradients:
        return og.constant(0.0)
    return _norm(gradients.values())


def find_gradients(
    loss: og.Node, variables: Iterable[og.Variable] | None, stopped: Iterable[og.Node] = ()
) -> dict[og.Variable, og.Node]:
    """Return what `gradients` does, with nothing flowing through `stopped`; an error leaves it unplaced."""
    chosen = chosen_variables(loss, variables)
    found = dict(zip(chosen, og.grad(loss, chosen, stopped=stopped, unconnected="none"), strict=True))
    connected = {variable: g for variable, g in found.items() if g is not None}
    if variables is None and not connected:
        raise og.GradientError(f"{loss!r} depends on no trainable variable")
    for variable in found:
        if variables is not None and variable not in connected:
            raise og.GradientError(f"{loss!r} does not depend on {variable!r}; leave it out of variables")
    return connected


def chosen_variables(loss: og.Node, variables: Iterable[og.Variable] | None) -> list[og.Variable]:
    """Return `variables`, each once, or those of the graph of `loss` that are changed by default."""
    if not isinstance(loss, og.Node):
        raise og.GradientError(f"loss must be a node, not {loss!r}")
    if variables is None:
        return [v for v in loss.graph.get_variables() if og.is_differentiable(v.dtype)]
    if isinstance(variables, og.Node):
        raise og.ArgumentError(f"variables is a list of variables; write [{variables.name}] for {variables!r}")
    if not isinstance(variables, Iterable):
        raise og.ArgumentError(f"variables is a list of variables, not {variables!r}")
    chosen = list(variables)
    for variable in chosen:
        if not isinstance(variable, og.Variable):
            raise og.ArgumentError(f"variables holds {variable!r}, which is no variable")
    return list(dict.fromkeys(chosen))


def _norm(gradients: Iterable[og.Node]) -> og.Node:
    """Return the norm of all `gradients`, of float16 as float32, whose range it may leave."""
    return og.global_norm([og.cast(g, og.wide_dtype(g.dtype)) for g in gradients])


def _scaled(g: og.Node, factor: og.Node) -> og.Node:
    dtype = og.wide_dtype(g.dtype)  # a factor may be too small for float16
    return og.cast(og.cast(g, dtype) * og.cast(factor, dtype), g.dtype)
