"""The values of a graph's variables, saved and loaded by name."""

import importlib
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol, cast

from opgraph.ambient import get_default_graph
from opgraph.errors import GraphError, placing, user_source
from opgraph.graph import Graph
from opgraph.io.files import StrPath, reading, with_suffix, write_file
from opgraph.op import Array
from opgraph.spec import known_shape
from opgraph.variable import Variable, uninitialized

if TYPE_CHECKING:
    from opgraph.io.archive import Header

# imported when asked for: zipfile costs 15 ms, and most programs do without
FORMATS = {".npz": "opgraph.io.npz", ".safetensors": "opgraph.io.safetensors"}


class Unmatched(NamedTuple):
    """What `load_variables` left out: variables without a value in the file, and names that are no variable's."""

    missing: tuple[str, ...]
    extra: tuple[str, ...]


class Values(Protocol):
    """The values of a file that is open."""

    @property
    def names(self) -> Collection[str]:
        """The names of the values."""

    def header(self, name: str) -> "Header":
        """Return shape and dtype of a value, without reading it."""

    def read(self, name: str) -> Array:
        """Return a value as its header says it is."""


class Format(Protocol):
    """What a module has that reads and writes one format."""

    def write(self, file: BinaryIO, values: Mapping[str, Array]) -> None:
        """Write `values`, each under its name."""

    def open_values(self, path: str) -> AbstractContextManager[Values]:
        """Open a file for reading its values."""


def save_variables(path: StrPath, graph: Graph | None = None) -> str:
    """Write the values of all variables of a graph to a file, keyed by name.

    Slots that living optimizers keep are among them, so that training continues from the file as it would
    have continued without. The file is replaced in one step: it is the old or the new one at any
    moment, whatever fails.

    Parameters
    ----------
    path
        The file. ``.npz``, which `numpy.load` reads too, is appended where the path ends neither in
        that nor in ``.safetensors``, which needs ``opgraph-core[safetensors]``.
    graph
        The default graph where not given.

    Returns
    -------
    str
        The path that was written.

    Raises
    ------
    UninitializedError
        Where variables have no value yet; nothing is written then.
    DtypeError
        Where the format cannot hold the dtype of a variable.
    FileError
        Where the file cannot be written.
    """
    source = user_source()
    with placing("save_variables", source):
        target = with_suffix(path, FORMATS)
        form = _format_of(target)
        variables = _variables(graph)
        copies = (graph or get_default_graph()).read_values(list(variables.values()))
        values = {name: copy for name, copy in zip(variables, copies, strict=True) if copy is not None}
        if len(values) < len(variables):
            raise uninitialized([v.storage.label for n, v in variables.items() if n not in values], source)
        write_file(target, lambda file: form.write(file, values))
    return target


def load_variables(path: StrPath, graph: Graph | None = None, strict: bool = True) -> Unmatched:
    """Give the variables of a graph the values in a file, by name: all of them, or none where one does not fit.

    Parameters
    ----------
    path
        A file that `save_variables` or `numpy.savez` wrote; suffixes as there. Nothing is unpickled.
    graph
        The default graph where not given.
    strict
        Whether the names in the file must be those of the variables. If not, names of no variable are left
        aside, and variables that the file lacks keep their values.

    Returns
    -------
    Unmatched
        ``missing`` and ``extra``: the names that were left out, empty if `strict`.

    Raises
    ------
    GraphError
        Where names, shapes or dtypes differ; the message lists all. Dtypes are never converted, but for
        the byte order.
    FileError
        Where the file cannot be read, or is damaged.
    """
    with placing("load_variables", user_source()):
        target = with_suffix(path, FORMATS)
        form = _format_of(target)
        variables = _variables(graph)
        with reading(target), form.open_values(target) as stored:
            names = set(stored.names)
            missing = tuple(name for name in variables if name not in names)
            extra = tuple(sorted(names - variables.keys()))
            found = [variable for name, variable in variables.items() if name in names]
            _check_fit(found, stored, *((missing, extra) if strict else ((), ())))
            values = {variable: stored.read(variable.name) for variable in found}
        (graph or get_default_graph()).write_values(values)
    return Unmatched(missing, extra)


def _format_of(path: str) -> Format:
    module = next(module for suffix, module in FORMATS.items() if path.endswith(suffix))
    return cast(Format, importlib.import_module(module))


def _variables(graph: Graph | None) -> dict[str, Variable]:
    """Return the variables by name, slots among them."""
    return {variable.name: variable for variable in (graph or get_default_graph())._all_variables()}


def _check_fit(found: Iterable[Variable], stored: Values, missing: Collection[str], extra: Collection[str]) -> None:
    """Raise one error that says all that keeps the values in a file from going into the variables."""
    unequal = []
    for variable in found:
        header = stored.header(variable.name)
        if header != (known_shape(variable.shape), variable.dtype.name):
            unpickled = ", Python objects, which are never unpickled" if header.dtype == "object" else ""
            unequal.append(f"{variable.name!r} is {variable.spec}, in the file {header}{unpickled}")
    problems = [
        ("shapes or dtypes that differ", unequal),
        ("variables without a value in the file", [*map(repr, missing)]),
        ("names in the file that are no variable's", [*map(repr, extra)]),
    ]
    lines = [f"{what} ({len(listed)}): {_shortened(listed)}" for what, listed in problems if listed]
    if missing or extra:
        lines.append("strict=False leaves out what has no counterpart")
    if lines:
        raise GraphError("\n  ".join(("does not fit the graph", *lines)))


def _shortened(listed: Collection[str]) -> str:
    """Return the first few of `listed`, and how many there are besides."""
    shown = "; ".join(list(listed)[:8])
    return f"{shown}; and {len(listed) - 8} more" if len(listed) > 8 else shown
