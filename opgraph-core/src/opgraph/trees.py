"""Nested tuples, lists and dicts: taken apart into their leaves, and put together again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple


class Tree(NamedTuple):
    """The shape of a nest of containers without its leaves; two are equal where the nests are alike.

    Attributes
    ----------
    kind
        The type of the outermost container; `Leaf` for a leaf, and the type of None for None, which has none.
    keys
        Of a dict.
    children
        The trees in it.
    """

    kind: type
    keys: tuple[Any, ...] = ()
    children: tuple["Tree", ...] = ()


class Leaf:
    """What a tree has where there is no container."""


LEAF = Tree(Leaf)
NOTHING = Tree(type(None))


def flatten(value: Any) -> tuple[list[Any], Tree]:
    """Return the leaves of a nest in their order, and its tree."""
    leaves: list[Any] = []
    return leaves, _tree(value, leaves)


def _tree(value: Any, leaves: list[Any]) -> Tree:
    if isinstance(value, tuple | list):
        return Tree(type(value), (), tuple([_tree(each, leaves) for each in value]))
    if isinstance(value, Mapping):
        return Tree(dict, tuple(value), tuple([_tree(each, leaves) for each in value.values()]))
    if value is None:
        return NOTHING
    leaves.append(value)
    return LEAF


def unflatten(tree: Tree, leaves: Sequence[Any]) -> Any:
    """Return the nest that has this tree and these leaves."""
    return _nest(tree, iter(leaves))


def _nest(tree: Tree, leaves: Iterator[Any]) -> Any:
    if tree is LEAF or tree.kind is Leaf:
        return next(leaves)
    if tree.kind is type(None):
        return None
    children = [_nest(child, leaves) for child in tree.children]
    if tree.kind is dict:
        return dict(zip(tree.keys, children, strict=True))
    # named tuples are made otherwise than tuples
    make: Callable[[Sequence[Any]], Any] = getattr(tree.kind, "_make", tree.kind)
    return make(children)


def paths(tree: Tree, name: str) -> list[str]:
    """Return what a message calls each leaf: ``x``, ``x[0]``, ``x['key']``."""
    if tree.kind is Leaf:
        return [name]
    if tree.kind is dict:
        inner = [f"{name}[{key!r}]" for key in tree.keys]
    else:
        fields = getattr(tree.kind, "_fields", None)
        inner = [f"{name}.{each}" for each in fields] if fields else [f"{name}[{i}]" for i in range(len(tree.children))]
    return [path for child, each in zip(tree.children, inner, strict=True) for path in paths(child, each)]
