"""An op within graphs: the values that it gives there, and its gradients."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import opgraph as og
from opgraph.testing.case import Case

Array: TypeAlias = NDArray[Any]
Function: TypeAlias = Callable[[Sequence[Array]], list[Array]]
Build: TypeAlias = Callable[[Sequence[og.Node]], Sequence[og.Node]]


def applied(op: og.Op) -> Build:
    """Return what builds the visible outputs of `op`."""
    return lambda nodes: og.apply_all(op, *nodes)


def values_and_gradients(case: Case, build: Build, unknown: bool, runtime: og.RunTime) -> Function:
    """Return what computes the visible outputs that `build` makes, and then the gradients of those that have any.

    Parameters
    ----------
    build
        From the nodes of the inputs to those of the visible outputs.
    unknown
        Whether no size is known when the graph is built.
    runtime
        Compiles it.
    """
    with og.Graph().as_default_graph():
        nodes = [og.placeholder([None] * x.ndim if unknown else x.shape, dtype=x.dtype) for x in case.inputs]
        outputs = list(build(nodes))
        given, gradients = with_gradients(case, nodes, outputs)
        program = runtime.compile([*nodes, *given], [*outputs, *gradients])
    return lambda inputs: program(*inputs, *cotangents(case, inputs))


def with_gradients(
    case: Case, nodes: Sequence[og.Node], outputs: Sequence[og.Node]
) -> tuple[list[og.Placeholder], list[og.Node]]:
    """Return placeholders for cotangents of `outputs`, and the gradients that they give by the inputs."""
    if not case.has_gradient:
        return [], []
    ys = [outputs[o] for o in case.outputs]
    given = [og.placeholder(y.shape, dtype=y.dtype) for y in ys]
    return given, og.vjp(ys, [nodes[i] for i in case.differentiable], given)


def cotangents(case: Case, inputs: Sequence[Array]) -> list[Array]:
    """Return the cotangents to feed for `inputs`: the same numbers for the same shapes."""
    if not case.has_gradient:
        return []
    specs = case.op.infer(tuple(og.Spec(og.Shape(x.shape), x.dtype) for x in inputs))
    return [signed(case.rng(f"cotangent {o}"), specs[o]) for o in case.outputs]


def signed(rng: np.random.Generator, spec: og.Spec) -> Array:
    """Return numbers of both signs that are neither small nor alike."""
    shape = og.known_shape(spec.shape)
    parts = [rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape) for _ in range(2)]
    return np.asarray(parts[0] + 1j * parts[1] if spec.dtype.kind == "c" else parts[0], spec.dtype)
