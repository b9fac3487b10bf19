"""Collections that threads, signal handlers and the garbage collector may use at once: each change is one call."""

import functools
import itertools
import weakref
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

_T = TypeVar("_T")
_clock = itertools.count()


class Recent(Generic[_T]):
    """Values by key, with the order in which they were last asked for."""

    def __init__(self) -> None:
        self._entries: dict[Hashable, tuple[list[int], _T]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable) -> _T | None:
        """Return the value for `key`, None where there is none."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        entry[0][0] = next(_clock)
        return entry[1]

    def put(self, key: Hashable, value: _T) -> None:
        """Keep a value."""
        self._entries[key] = [next(_clock)], value

    def pop(self, key: Hashable) -> _T | None:
        """Let go of the value for `key`, and return it; None where there is none."""
        entry = self._entries.pop(key, None)
        return None if entry is None else entry[1]

    def keep(self, n: int) -> None:
        """Let go of all but `n` values."""
        for _, key in self.uses()[: max(len(self._entries) - n, 0)]:
            self.pop(key)

    def keys(self) -> list[Hashable]:
        """Return the keys, that last which was asked for last."""
        return [key for _, key in self.uses()]

    def values(self) -> list[_T]:
        """Return the values, that last which was asked for last."""
        return [value for _, (_, value) in self._sorted()]

    def uses(self) -> list[tuple[int, Hashable]]:
        """Return the keys, each after the time at which it was last asked for; all that there are have one clock."""
        return [(used[0], key) for key, (used, _) in self._sorted()]

    def _sorted(self) -> list[tuple[Hashable, tuple[list[int], _T]]]:
        # a copy is made at once, where others could change what is iterated over
        return sorted(self._entries.copy().items(), key=lambda item: item[1][0])


class Alive(Generic[_T]):
    """Objects, for as long as somebody else holds them."""

    def __init__(self) -> None:
        self._refs: dict[int, weakref.ref[_T]] = {}

    def add(self, value: _T) -> None:
        """Add an object, which may be there already."""
        # forgotten by a call written in C: what a signal handler raised in one of Python's would go unheard
        self._refs[id(value)] = weakref.ref(value, functools.partial(self._refs.pop, id(value)))

    def __iter__(self) -> Iterator[_T]:
        refs = list(self._refs.values())  # at once, as a weak set would not make it
        return iter([value for ref in refs if (value := ref()) is not None])
