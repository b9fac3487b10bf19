"""The values of a graph's variables, saved and loaded by name."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol, cast

from opgraph.ambient import get_default_graph
from opgraph.errors import GraphError, placing, user_source
from opgraph.graph import Graph
from opgraph.io.files import StrPath, file_to_read, reading, with_suffix, write_file
from opgraph.op import Array
from opgraph.signatures import guarded
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

    slots: Collection[str]  # the names of those that optimizers kept

    @property
    def names(self) -> Collection[str]:
        """The names of the values."""

    def header(self, name: str) -> Header:
        """Return shape and dtype of a value, without reading it."""

    def read(self, name: str) -> Array:
        """Return a value as its header says it is."""


class Format(Protocol):
    """What a module has that reads and writes one format."""

    def write(self, file: BinaryIO, values: Mapping[str, Array], slots: Collection[str] = ()) -> None:
        """Write `values`, each under its name, and the names of those that are `slots`."""

    def open_values(self, path: str) -> AbstractContextManager[Values]:
        """Open a file for reading its values."""


@guarded
def save_variables(path: StrPath, graph: Graph | None = None, slots: bool = True) -> str:
    """Write the values of all variables of a graph to a file, keyed by name.

    A `Variable` that nobody holds any more is not among them. The file is replaced in one step: it is the old
    or the new one at any moment, whatever fails.

    Parameters
    ----------
    path
        The file. ``.npz``, which `numpy.load` reads too, is appended where the path ends neither in
        that nor in ``.safetensors``, which needs ``opgraph-core[safetensors]``.
    graph
        The default graph where not given.
    slots
        Whether the slots that living optimizers keep are among them, so that training continues from the file
        as it would have continued without.

    Returns
    -------
    str
        The path that was written.

    Raises
    ------
    UninitializedError
        Where variables have no value yet; nothing is written then.
    GraphError
        Where two variables have one name.
    DtypeError
        Where the format cannot hold the dtype of a variable.
    FileError
        Where the file cannot be written.
    """
    source = user_source()
    with placing("save_variables", source):
        target = with_suffix(path, FORMATS)
        form = _format_of(target)
        variables = {name: v for name, v in _variables(graph).items() if slots or not v.slot}
        copies = (graph or get_default_graph()).read_values(list(variables.values()))
        values = {name: copy for name, copy in zip(variables, copies, strict=True) if copy is not None}
        if len(values) < len(variables):
            raise uninitialized([v.storage.label for n, v in variables.items() if n not in values], source)
        kept = [name for name, variable in variables.items() if variable.slot]
        write_file(target, lambda file: form.write(file, values, kept))
    return target


@guarded
def load_variables(path: StrPath, graph: Graph | None = None, strict: bool = True) -> Unmatched:
    """Give the variables of a graph the values in a file, by name: all of them, or none where one does not fit.

    Parameters
    ----------
    path
        A file that `save_variables` or `numpy.savez` wrote; suffixes as there. Nothing is unpickled.
    graph
        The default graph where not given.
    strict
        Whether the names in the file must be those of the variables, but for slots of optimizers that the
        graph does not have. If not, names of no variable are left aside, and variables that the file lacks
        keep their values.

    Returns
    -------
    Unmatched
        ``missing`` and ``extra``: the names that were left out. If `strict`, ``missing`` is empty and ``extra``
        holds slots alone.

    Raises
    ------
    GraphError
        Where names, shapes or dtypes differ; the message lists all. Dtypes are never converted, but for
        the byte order.
    FileError
        Where the file cannot be read, or is damaged.
    """
    target = file_to_read(path, FORMATS)
    form = _format_of(target)
    variables = _variables(graph)
    with reading(target), form.open_values(target) as stored:
        names = set(stored.names)
        missing = tuple(name for name in variables if name not in names)
        extra = tuple(sorted(names - variables.keys()))
        found = [variable for name, variable in variables.items() if name in names]
        strange = [name for name in extra if name not in stored.slots]
        _check_fit(found, stored, *(([variables[n] for n in missing], strange) if strict else ((), ())))
        values = {variable: stored.read(variable.name) for variable in found}
    (graph or get_default_graph()).write_values(values)
    return Unmatched(missing, extra)


def _format_of(path: str) -> Format:
    module = next(module for suffix, module in FORMATS.items() if path.endswith(suffix))
    return cast(Format, importlib.import_module(module))


def _variables(graph: Graph | None) -> dict[str, Variable]:
    """Return the variables by name, slots among them."""
    variables = (graph or get_default_graph())._all_variables()
    by_name = {variable.name: variable for variable in variables}
    if len(by_name) < len(variables):
        twice = next(v for v in variables if by_name[v.name] is not v)
        raise GraphError(f"two variables are named {twice.name!r}, and a file tells them by their names")
    return by_name


def _check_fit(
    found: Iterable[Variable], stored: Values, missing: Collection[Variable], extra: Collection[str]
) -> None:
    """Raise one error that says all that keeps the values in a file from going into the variables."""
    unequal = []
    for variable in found:
        header = stored.header(variable.name)
        if header != (known_shape(variable.shape), variable.dtype.name):
            unpickled = ", Python objects, which are never unpickled" if header.dtype == "object" else ""
            unequal.append(f"{variable.name!r} is {variable.spec}, in the file {header}{unpickled}")
    problems = [
        ("shapes or dtypes that differ", unequal),
        ("variables without a value in the file", [repr(v.name) for v in missing if not v.slot]),
        ("slots of an optimizer without a value in the file", [repr(v.name) for v in missing if v.slot]),
        ("names in the file that are no variable's", [*map(repr, extra)]),
    ]
    lines = [f"{what} ({len(listed)}): {_shortened(listed)}" for what, listed in problems if listed]
    if any(v.slot for v in missing):
        lines.append("to evaluate, load before minimize makes the slots; strict=False leaves them as they are")
    if extra or not all(v.slot for v in missing):
        lines.append("strict=False leaves out what has no counterpart")
    if lines:
        raise GraphError("\n  ".join(("does not fit the graph", *lines)))


def _shortened(listed: Collection[str]) -> str:
    """Return the first few of `listed`, and how many there are besides."""
    shown = "; ".join(list(listed)[:8])
    return f"{shown}; and {len(listed) - 8} more" if len(listed) > 8 else shown
