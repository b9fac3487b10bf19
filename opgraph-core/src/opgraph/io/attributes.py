"""Attributes of ops as JSON, with their types and bits.

``None``, booleans, strings, floats and integers of up to 64 bits are themselves, a tuple is a list. All else
is an object with one entry that names its type.
"""

import math
import struct
from typing import Any

import numpy as np

from opgraph.errors import GraphError
from opgraph.spec import Shape, as_dtype


def encode_attribute(value: Any) -> Any:
    """Return `value` as what JSON can say; raise `TypeError` where its type has no form here."""
    match value:
        case None | bool() | str() if type(value) in (type(None), bool, str):
            return value
        case int() if type(value) is int:
            return value if value.bit_length() <= 64 else {"int": hex(value)}
        case float() if type(value) is float:
            return value if math.isfinite(value) else {"float": struct.pack(">d", value).hex()}
        case complex() if type(value) is complex:
            return {"complex": [encode_attribute(value.real), encode_attribute(value.imag)]}
        case Shape():
            return {"shape": list(value)}
        case tuple() if type(value) is tuple:
            return [encode_attribute(each) for each in value]
        case np.dtype() if value.kind in "biufc":
            # two dtypes may have one name: int64 is also what C calls long long
            return {"dtype": value.name if type(np.dtype(value.name)) is type(value) else value.char}
    raise TypeError(f"{value!r} is of type {type(value).__name__}")


def decode_attribute(value: Any) -> Any:
    """Return what `encode_attribute` encoded."""
    if isinstance(value, list):
        return tuple(map(decode_attribute, value))
    if not isinstance(value, dict):
        return value
    if len(value) != 1:
        raise GraphError(f"{value!r} is no attribute")
    [(kind, content)] = value.items()
    match kind, content:
        case "int", str():
            return int(content, 16)
        case "float", str():
            return struct.unpack(">d", bytes.fromhex(content))[0]
        case "complex", [real, imag]:
            return complex(decode_attribute(real), decode_attribute(imag))
        case "shape", list():
            return Shape(content)
        case "dtype", str():
            return as_dtype(content)
    raise GraphError(f"{value!r} is no attribute")
