"""Whole graphs, saved and loaded: structure, attributes, values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from opgraph.errors import FileError, GraphError
from opgraph.graph import as_update
from opgraph.io.decode import LoadedGraph, decode
from opgraph.io.encode import encode
from opgraph.io.files import StrPath, file_to_read, reading, with_suffix, write_file
from opgraph.node import Node, NodeLike, describe
from opgraph.op import Array
from opgraph.signatures import guarded
from opgraph.variable import Variable

SUFFIX = ".opgraph"
DOCUMENT = "graph.json"


@guarded
def save_graph(
    path: StrPath,
    fetches: Node | Iterable[Node] | Mapping[str, Node],
    updates: Mapping[Variable, NodeLike] | None = None,
) -> str:
    """Write a graph to a file: all that `fetches` and `updates` need, with the values of variables.

    What `Graph.add_update` attached to it goes along; the same graph gives the same bytes. The file is
    replaced in one step, as by `save_variables`.

    Parameters
    ----------
    path
        The file; ``.opgraph`` is appended where the path does not end in it.
    fetches
        Nodes by the names under which the loaded graph is to give them out; a sequence, or one node, goes
        by the nodes' own names.
    updates
        New values by variable, as `RunTime.compile` takes them: a training step to go on with.

    Returns
    -------
    str
        The path that was written.

    Raises
    ------
    GraphError
        Where a fetch is no node, a hidden output, or of another graph than the others.
    ArgumentError
        For an attribute of an op that is of a type of its own.
    FileError
        Where the file cannot be written.
    """
    from opgraph.io.archive import dump_json, write_archive  # not at the top: zipfile costs 15 ms

    target = with_suffix(path, (SUFFIX,))
    outputs, given = _by_name(fetches), dict(updates or {})
    for variable in given:
        if not isinstance(variable, Variable):
            raise GraphError(f"updates are keyed by variables, not by {variable!r}")
    _check_nodes([*outputs.values(), *given])
    changed = {variable: as_update(variable, value) for variable, value in given.items()}
    document, arrays = encode(outputs, changed)
    members: dict[str, Array | str] = {DOCUMENT: dump_json(document)}
    members.update((f"{number}.npy", array) for number, array in arrays.items())
    write_file(target, lambda file: write_archive(file, members.items()))
    return target


@guarded
def load_graph(path: StrPath) -> LoadedGraph:
    """Return a graph from a file that `save_graph` wrote, in a new `Graph`, with the names of its nodes.

    Runs nothing that is in the file, and imports the ops that it names, which are installed or registered,
    alone. Variables without a value when they were saved have none, and none has an initializer.

    Parameters
    ----------
    path
        The file; ``.opgraph`` is appended where the path does not end in it.

    Returns
    -------
    LoadedGraph
        With ``graph``, ``inputs``, ``outputs`` and ``updates``.

    Raises
    ------
    OpLoadError
        Where ops are not installed, or in another version than the graph was saved with.
    GraphError
        Where the file contradicts itself, or an op says that it cannot be.
    FileError
        Where the file cannot be read, or is damaged.
    """
    from opgraph.io.archive import Archive, load_json  # not at the top: zipfile costs 15 ms

    target = file_to_read(path, (SUFFIX,))
    with reading(target), open(target, "rb") as file:
        archive = Archive(file, compressed=False)
        if DOCUMENT not in archive.members:
            raise FileError("holds no graph")

        def array_of(number: int) -> Array | None:
            member = f"{number}.npy"
            return archive.array(member) if member in archive.members else None

        return decode(load_json(archive.text(DOCUMENT)), array_of)


def _by_name(fetches: Node | Iterable[Node] | Mapping[str, Node]) -> dict[str, Node]:
    if isinstance(fetches, Mapping):
        named = dict(fetches)
    elif isinstance(fetches, Node | Iterable):
        listed = [fetches] if isinstance(fetches, Node) else list(fetches)
        named = {getattr(node, "name", ""): node for node in listed}
    else:
        named = {"": fetches}
    for name, node in named.items():
        if not isinstance(node, Node):
            raise GraphError(f"fetches are nodes, or nodes by name, not {node!r}")
        if not isinstance(name, str):
            raise GraphError(f"fetches go by names that are strings, not {name!r}")
    return named


def _check_nodes(nodes: list[Node]) -> None:
    if not nodes:
        raise GraphError("neither fetches nor updates are given, and so nothing to save")
    for node in nodes:
        if node.call is not None and node.index >= node.call.visible:
            raise GraphError(f"{describe(node)} is a hidden output, which is not fetched")
        if node.graph is not nodes[0].graph:
            raise GraphError(f"{describe(node)} is a node of another graph than {describe(nodes[0])}")
