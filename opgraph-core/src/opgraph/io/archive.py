"""Zip archives of arrays and JSON, as ``numpy.savez`` writes them; the same content gives the same bytes."""

import io
import json
import math
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format as npy

from opgraph.errors import FileError
from opgraph.op import Array

_HEADER_BYTES = 12 + 10_000  # the longest that NumPy reads where it does not trust a file
_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class Header(NamedTuple):
    """What a file says of a value: its shape, and its dtype's name without a byte order."""

    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.shape} {self.dtype}"


def write_archive(
    file: BinaryIO, members: Iterable[tuple[str, Array | str]], comments: Mapping[str, bytes] = MappingProxyType({})
) -> None:
    """Write each member, an array as ``.npy`` and text as it is, and the `comments` on some."""
    archive = zipfile.ZipFile(file, "w")
    try:
        for name, content in members:
            info = zipfile.ZipInfo(name)  # dated 1980, whatever the clock says
            info.create_system = 3  # on every system
            info.external_attr = 0o644 << 16
            info.comment = comments.get(name, b"")
            with archive.open(info, "w", force_zip64=True) as member:
                if isinstance(content, str):
                    member.write(content.encode(errors="surrogatepass"))
                else:
                    npy.write_array(member, content, allow_pickle=False)
        archive.close()
    except BaseException:
        archive.fp = None  # to close it would go on writing, and raise an error that hides this one
        raise


class Archive:
    """A zip archive that is open for reading; nothing of what it says is believed unseen.

    Where it is not to be `compressed`, what comes out takes no more memory than the file.
    """

    def __init__(self, file: BinaryIO, compressed: bool = True) -> None:
        try:
            self._archive = zipfile.ZipFile(file)
        except zipfile.BadZipFile as error:
            raise FileError(_what_instead(file)) from error
        infos = self._archive.infolist()
        twice = [name for name, count in Counter(info.filename for info in infos).items() if count > 1]
        if twice:
            raise FileError(f"is damaged: it holds {twice[0]!r} twice")
        self.members = {info.filename: info for info in infos}
        for name in () if compressed else self.members:
            self._check_stored(name)

    def header(self, member: str) -> Header:
        """Return shape and dtype of an array, without reading it."""
        header, _, _ = self._header(member)
        return header

    def array(self, member: str) -> Array:
        """Return an array in the machine's byte order; it may be read-only."""
        header, (fortran_order, dtype), offset = self._header(member)
        with self._archive.open(self.members[member]) as file:
            content = file.read()  # to the end, where zipfile compares the checksum
        array: Array = np.ndarray(header.shape, dtype, content, offset, order="F" if fortran_order else "C")
        return array if dtype.isnative else array.astype(dtype.newbyteorder("="))

    def text(self, member: str) -> str:
        """Return a text, which is never compressed."""
        self._check_stored(member)
        with self._archive.open(self.members[member]) as file:
            return file.read().decode(errors="surrogatepass")

    def _check_stored(self, member: str) -> None:
        if self.members[member].compress_type != zipfile.ZIP_STORED:
            raise FileError(f"is not as opgraph writes it: {member!r} in it is compressed")

    def _header(self, member: str) -> tuple[Header, tuple[bool, np.dtype[Any]], int]:
        info = self.members[member]
        with self._archive.open(info) as file:
            start = io.BytesIO(file.read(_HEADER_BYTES))
        try:
            shape, fortran_order, dtype = _READERS[npy.read_magic(start)](start)
        except (ValueError, KeyError) as error:
            raise FileError(f"is damaged: {member!r} in it is no array of numbers") from error
        # what holds Python objects is of any length, and is not read
        size = math.prod(shape) * dtype.itemsize
        if not dtype.hasobject and info.file_size != start.tell() + size:
            raise FileError(f"is damaged: {member!r} in it is not as long as it says")
        return Header(shape, dtype.name), (fortran_order, dtype), start.tell()


def _what_instead(file: BinaryIO) -> str:
    """Return what a file is that is no whole zip archive."""
    file.seek(0)
    start = file.read(6)
    if not start:
        return "is empty"
    if start == b"\x93NUMPY":
        return "is a single array, as numpy.save writes it, where several with names are expected"
    return "is damaged or was cut short" if start[:2] == b"PK" else "is no zip archive"


def dump_json(document: Any) -> str:
    """Return `document` as compact JSON, in which surrogates stand for themselves."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def load_json(text: str) -> Any:
    """Return what `dump_json` wrote."""
    return json.loads(text)
