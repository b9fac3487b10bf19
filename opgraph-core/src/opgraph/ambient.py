"""What is in force where a node is made: the default graph, the name scope, the line, the region."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from opgraph.errors import ArgumentError, Source, user_source

if TYPE_CHECKING:
    from opgraph.graph import Graph
    from opgraph.node import Call, Node

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Tracing:
    """A function that is traced.

    Attributes
    ----------
    first
        The serial number of the first of its nodes.
    whens
        The nodes to which it attached updates.
    """

    first: int
    whens: "list[Node]"


@dataclass(frozen=True, slots=True)
class Ambient:
    """What is in force where a node is made."""

    graph: "Graph"
    scope: str = ""
    source: Source | None = None
    region: object | None = None
    gradient_of: str = ""
    trace: Tracing | None = None


ambient: ContextVar[Ambient] = ContextVar("opgraph_ambient")


class _Root:
    """What is in force where nothing else is: filled in by the module that defines graphs."""

    ambient: Ambient


root = _Root()


def get_ambient() -> Ambient:
    """Return the graph, name scope and source line in force."""
    found = ambient.get(None)
    return root.ambient if found is None else found


def current_source() -> Source | None:
    """Return the line to which what is made now is put down: the user's, or that of the node it differentiates."""
    return get_ambient().source or user_source()


def get_default_graph() -> "Graph":
    """Return the graph in which nodes are made."""
    return get_ambient().graph


@contextlib.contextmanager
def recompute_region() -> Iterator[None]:
    """Mark the calls made in a ``with`` as one region, which a gradient computes again for itself."""
    token = ambient.set(replace(get_ambient(), region=object()))
    try:
        yield
    finally:
        ambient.reset(token)


@contextlib.contextmanager
def name_scope(name: str) -> Iterator[str]:
    """Put ``name/`` before the names of all nodes made in a ``with``; scopes nest."""
    before = get_ambient()
    if not isinstance(name, str) or not name or name != name.strip("/"):
        raise ArgumentError(f"{name!r} is empty or has a slash at its end").located("name_scope", source=user_source())
    scope = f"{before.scope}{name}/"
    token = ambient.set(replace(before, scope=scope))
    try:
        yield scope
    finally:
        ambient.reset(token)


def at_source(node: "Node | Call", function: Callable[..., _T], *args: Any, gradient_of: str = "") -> _T:
    """Return what `function` returns, having nodes that it makes live in the graph, and name the line, of `node`.

    They are known as part of the gradient of an op, `gradient_of`.
    """

    def run() -> _T:
        ambient.set(Ambient(node.graph, "", node.source, gradient_of=gradient_of))
        return function(*args)

    # in a context of its own, which no interrupt can leave in force
    return contextvars.copy_context().run(run)
