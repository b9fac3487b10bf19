"""Under which key a file keeps the value of each name: its name, or another key where that cannot be stored."""

import itertools
import json
from collections.abc import Callable, Collection, Mapping

from opgraph.errors import FileError


def keys_for(names: Collection[str], storable: Callable[[str], bool]) -> dict[str, str]:
    """Return a key for each of `names`: the name itself, or one that no name has where it is not `storable`."""
    taken = set(names)
    spare = (key for key in map("name {}".format, itertools.count()) if key not in taken)
    return {name: name if storable(name) else next(spare) for name in names}


def is_text(name: str) -> bool:
    """Whether `name` can be written as UTF-8, which halves of surrogate pairs cannot."""
    return name == name.encode(errors="replace").decode()


def dump_names(keys: Mapping[str, str]) -> str:
    """Return the names that are not their own keys as JSON, empty where there are none."""
    # JSON would make one character of two surrogates in a row
    escaped = {key: name.encode("unicode_escape").decode() for name, key in keys.items() if key != name}
    return json.dumps(escaped) if escaped else ""


def load_names(text: str) -> dict[str, str]:
    """Return from keys to names what `dump_names` wrote."""
    table = json.loads(text) if text else {}
    if not isinstance(table, dict) or not all(isinstance(name, str) for name in table.values()):
        raise FileError("has a table of names that is damaged")
    return {key: name.encode("ascii").decode("unicode_escape") for key, name in table.items()}
