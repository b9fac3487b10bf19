"""Values by name in the format of ``numpy.savez``."""

import contextlib
from collections.abc import Collection, Iterator, Mapping
from typing import BinaryIO

from opgraph.errors import FileError
from opgraph.io.archive import Archive, Header, write_archive
from opgraph.io.keys import dump_names, is_text, keys_for, load_names
from opgraph.op import Array

NAMES = "names.json"  # has no .npy at its end, and so is no variable's
SLOT = b"slot of an optimizer"  # the comment of a member, which numpy.load does not look at


def write(file: BinaryIO, values: Mapping[str, Array], slots: Collection[str] = ()) -> None:
    """Write `values`, each as the member ``name.npy``, with a comment on those that are `slots`."""
    keys = keys_for(values, _is_storable)
    names = dump_names(keys)
    members = [(f"{keys[name]}.npy", value) for name, value in values.items()]
    comments = {f"{keys[name]}.npy": SLOT for name in slots}
    write_archive(file, [*members, (NAMES, names)] if names else members, comments)


@contextlib.contextmanager
def open_values(path: str) -> Iterator["_Values"]:
    """Open a file for reading its values."""
    with open(path, "rb") as file:
        yield _Values(Archive(file))


class _Values:
    """The values of an open file; `slots` are the names of those that optimizers kept."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        names = load_names(archive.text(NAMES) if NAMES in archive.members else "")
        keys = [member.removesuffix(".npy") for member in archive.members if member.endswith(".npy")]
        self._members = {names.get(key, key): f"{key}.npy" for key in keys}
        if len(self._members) < len(keys):
            raise FileError("is damaged: it holds two values of one name")
        self.slots = {name for name, member in self._members.items() if archive.members[member].comment == SLOT}

    @property
    def names(self) -> list[str]:
        """The names of the values."""
        return list(self._members)

    def header(self, name: str) -> Header:
        """Return shape and dtype of a value, without reading it."""
        return self._archive.header(self._members[name])

    def read(self, name: str) -> Array:
        """Return a value as its header says it is."""
        return self._archive.array(self._members[name])


def _is_storable(name: str) -> bool:
    # zip ends a name at NUL and counts its bytes in 16 bits; Windows reads a backslash as a slash
    return is_text(name) and not {"\0", "\\"} & set(name) and len(name.encode()) < 1 << 15
