"""Values by name in the format of safetensors, where that package is installed."""

import contextlib
import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, BinaryIO

from opgraph.errors import DtypeError, FileError
from opgraph.io.archive import Header
from opgraph.io.keys import dump_names, is_text, keys_for, load_names
from opgraph.op import Array

try:
    from safetensors import SafetensorError, safe_open
    from safetensors.numpy import save
except ImportError as error:
    raise FileError(".safetensors needs a package of that name: pip install opgraph-core[safetensors]") from error

# entries of the metadata
NAMES = "opgraph.names"
SLOTS = "opgraph.slots"
_DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
    "C64": "complex64",
}


def write(file: BinaryIO, values: Mapping[str, Array], slots: Collection[str] = ()) -> None:
    """Write `values`, each under its name, and the names of those that are `slots`."""
    for name, value in values.items():
        if value.dtype.name not in _DTYPES.values():
            raise DtypeError(f"{name!r} is {value.dtype}, which .safetensors cannot hold; save as .npz")
    # the name of the metadata is the only one that is taken
    keys = keys_for(values, lambda name: is_text(name) and name != "__metadata__")
    metadata = {NAMES: dump_names(keys), SLOTS: json.dumps([keys[name] for name in slots]) if slots else ""}
    said = {entry: text for entry, text in metadata.items() if text}
    try:
        content = save({keys[name]: value for name, value in values.items()}, said or None)
    except SafetensorError as error:  # old ones know fewer dtypes
        raise DtypeError(f"the installed safetensors cannot write this: {error}; upgrade it or save as .npz") from error
    file.write(content)


@contextlib.contextmanager
def open_values(path: str) -> Iterator["_Values"]:
    """Open a file for reading its values."""
    with safe_open(path, framework="numpy") as file:
        yield _Values(file)


class _Values:
    """The values of an open file; `slots` are the names of those that optimizers kept."""

    def __init__(self, file: Any) -> None:
        self._file = file
        metadata = file.metadata() or {}
        names = load_names(metadata.get(NAMES, ""))
        keys = list(file.keys())
        self._keys = {names.get(key, key): key for key in keys}
        if len(self._keys) < len(keys):
            raise FileError("is damaged: it holds two values of one name")
        marked = json.loads(metadata.get(SLOTS, "[]"))
        self.slots = {name for name, key in self._keys.items() if key in marked}

    @property
    def names(self) -> list[str]:
        """The names of the values."""
        return list(self._keys)

    def header(self, name: str) -> Header:
        """Return shape and dtype of a value, without reading it."""
        value = self._file.get_slice(self._keys[name])
        dtype = value.get_dtype()
        return Header(tuple(value.get_shape()), _DTYPES.get(dtype, dtype))

    def read(self, name: str) -> Array:
        """Return a value as its header says it is."""
        array: Array = self._file.get_tensor(self._keys[name])
        return array
